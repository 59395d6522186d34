#include "model/params.h"

#include "base/error.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAM_ALIGN = 64 };

struct builder {
    struct sec_params *p;
    int cap;
};

static int64_t put(struct builder *b, bool aligned, bool decay, bool ones, int ndim, int64_t s0,
                   int64_t s1, int64_t s2, const char *name)
{
    struct sec_params *p = b->p;
    if (p->n == b->cap) /* sized by sec_params_build; a bug, not a state of the world */
        return -1;
    if (aligned)
        p->total = (p->total + PARAM_ALIGN - 1) / PARAM_ALIGN * PARAM_ALIGN;
    struct sec_param *v = &p->v[p->n++];
    snprintf(v->name, sizeof v->name, "%s", name);
    v->ndim = ndim;
    v->shape[0] = s0;
    v->shape[1] = s1;
    v->shape[2] = s2;
    v->offset = p->total;
    v->count = s0 * (ndim > 1 ? s1 : 1) * (ndim > 2 ? s2 : 1);
    v->decay = decay;
    v->ones = ones;
    p->total += v->count;
    p->n_trainable += v->count;
    return v->offset;
}

static int64_t put_matrix(struct builder *b, int64_t rows, int64_t cols, const char *name)
{
    return put(b, true, true, false, 2, rows, cols, 0, name);
}

static int64_t put_vector(struct builder *b, int64_t n, const char *name)
{
    return put(b, true, false, false, 1, n, 0, 0, name);
}

/* gamma and beta of prefix.LayerNorm */
static void put_layer_norm(struct builder *b, int64_t n, const char *prefix, int64_t *gamma,
                           int64_t *beta)
{
    char name[96];
    snprintf(name, sizeof name, "%s.LayerNorm.weight", prefix);
    *gamma = put(b, true, false, true, 1, n, 0, 0, name);
    snprintf(name, sizeof name, "%s.LayerNorm.bias", prefix);
    *beta = put_vector(b, n, name);
}

static void put_linear(struct builder *b, int64_t out, int64_t in, const char *prefix, int64_t *w,
                       int64_t *bias)
{
    char name[96];
    snprintf(name, sizeof name, "%s.weight", prefix);
    *w = put_matrix(b, out, in, name);
    snprintf(name, sizeof name, "%s.bias", prefix);
    *bias = put_vector(b, out, name);
}

static void put_layer(struct builder *b, int i, int64_t h, int64_t inner,
                      struct sec_layer_offsets *o)
{
    static const char *const proj[3] = {"query", "key", "value"};
    char name[96];
    for (int j = 0; j < 3; j++) {
        snprintf(name, sizeof name, "deberta.encoder.layer.%d.attention.self.%s_proj.weight", i,
                 proj[j]);
        int64_t at = put(b, j == 0, true, false, 2, h, h, 0, name);
        if (j == 0)
            o->qkv_w = at;
    }
    for (int j = 0; j < 3; j++) {
        snprintf(name, sizeof name, "deberta.encoder.layer.%d.attention.self.%s_proj.bias", i,
                 proj[j]);
        int64_t at = put(b, j == 0, false, false, 1, h, 0, 0, name);
        if (j == 0)
            o->qkv_b = at;
    }
    snprintf(name, sizeof name, "deberta.encoder.layer.%d.attention.output.dense", i);
    put_linear(b, h, h, name, &o->o_w, &o->o_b);
    snprintf(name, sizeof name, "deberta.encoder.layer.%d.attention.output", i);
    put_layer_norm(b, h, name, &o->ln1_g, &o->ln1_b);
    snprintf(name, sizeof name, "deberta.encoder.layer.%d.intermediate.dense", i);
    put_linear(b, inner, h, name, &o->w1, &o->b1);
    snprintf(name, sizeof name, "deberta.encoder.layer.%d.output.dense", i);
    put_linear(b, h, inner, name, &o->w2, &o->b2);
    snprintf(name, sizeof name, "deberta.encoder.layer.%d.output", i);
    put_layer_norm(b, h, name, &o->ln2_g, &o->ln2_b);
}

static void put_heads(struct builder *b, const struct sec_model_config *c, unsigned heads)
{
    struct sec_params *p = b->p;
    int64_t h = c->hidden_size;
    if (heads & SEC_HEAD_MLM) {
        put_linear(b, h, h, "cls.predictions.transform.dense", &p->head_w, &p->head_b);
        put_layer_norm(b, h, "cls.predictions.transform", &p->head_g, &p->head_beta);
        p->head_bias = put_vector(b, c->vocab_size, "cls.predictions.bias");
    }
    if (heads & SEC_HEAD_CLASSIFY) {
        put_linear(b, h, h, "pooler.dense", &p->pool_w, &p->pool_b);
        put_linear(b, p->num_labels, h, "classifier", &p->cls_w, &p->cls_b);
    }
}

int sec_params_build(const struct sec_model_config *c, unsigned heads, int num_labels,
                     struct sec_params *p)
{
    *p = (struct sec_params){.conv_w = -1, .conv_b = -1, .conv_g = -1, .conv_beta = -1};
    p->head_w = p->head_b = p->head_g = p->head_beta = p->head_bias = -1;
    p->pool_w = p->pool_b = p->cls_w = p->cls_b = -1;
    int rc = sec_model_config_check(c);
    if (rc)
        return rc;
    if ((heads & SEC_HEAD_CLASSIFY) && num_labels < 1)
        return sec_fail(SEC_ECONFIG, "a classifier needs at least one label; %d given", num_labels);
    int64_t h = c->hidden_size, layers = c->num_hidden_layers;
    struct builder b = {p, (int)(16 * layers + 32)};
    p->num_labels = heads & SEC_HEAD_CLASSIFY ? num_labels : 0;
    p->v = calloc((size_t)b.cap, sizeof *p->v);
    p->layer = calloc((size_t)layers, sizeof *p->layer);
    if (!p->v || !p->layer) {
        sec_params_free(p);
        return sec_fail(SEC_ENOMEM, "out of memory for the parameter table of %lld layers",
                        (long long)layers);
    }
    p->word = put_matrix(&b, c->vocab_size, h, "deberta.embeddings.word_embeddings.weight");
    put_layer_norm(&b, h, "deberta.embeddings", &p->emb_g, &p->emb_b);
    p->rel = put_matrix(&b, 2 * c->position_buckets, h, "deberta.encoder.rel_embeddings.weight");
    put_layer_norm(&b, h, "deberta.encoder", &p->rel_g, &p->rel_b);
    for (int i = 0; i < (int)layers; i++) {
        put_layer(&b, i, h, c->intermediate_size, &p->layer[i]);
        if (i == 0 && c->conv_kernel_size) {
            p->conv_w = put(&b, true, true, false, 3, h, h, c->conv_kernel_size,
                            "deberta.encoder.conv.conv.weight");
            p->conv_b = put_vector(&b, h, "deberta.encoder.conv.conv.bias");
            put_layer_norm(&b, h, "deberta.encoder.conv", &p->conv_g, &p->conv_beta);
        }
    }
    put_heads(&b, c, heads);
    p->total = (p->total + PARAM_ALIGN - 1) / PARAM_ALIGN * PARAM_ALIGN;
    return 0;
}

void sec_params_free(struct sec_params *p)
{
    free(p->v);
    free(p->layer);
    p->v = NULL;
    p->layer = NULL;
    p->n = 0;
}

const struct sec_param *sec_params_find(const struct sec_params *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->v[i].name, name))
            return &p->v[i];
    return NULL;
}

void sec_params_init(const struct sec_params *p, const struct sec_model_config *c, uint64_t seed,
                     float *master)
{
    memset(master, 0, (size_t)p->total * sizeof *master);
    for (int i = 0; i < p->n; i++) {
        const struct sec_param *v = &p->v[i];
        float *x = master + v->offset;
        if (v->ones) {
            for (int64_t j = 0; j < v->count; j++)
                x[j] = 1;
        } else if (v->ndim > 1) {
            for (int64_t j = 0; j < v->count; j++)
                x[j] = (float)(c->initializer_range *
                               sec_rand_normal(seed, SEC_STREAM_INIT, (uint64_t)(v->offset + j)));
        }
    }
    size_t row = (size_t)c->hidden_size * sizeof *master;
    memset(master + p->word, 0, row); /* [PAD] */
    sec_params_tie_row0(p, c, master);
}

void sec_params_tie_row0(const struct sec_params *p, const struct sec_model_config *c,
                         float *master)
{
    memcpy(master + p->rel, master + p->rel + c->hidden_size,
           (size_t)c->hidden_size * sizeof *master);
}
