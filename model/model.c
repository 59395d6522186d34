/* Creation, parameters in and out, and what a pass left behind. */
#include "model/model.h"
#include "model/state.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int check_options(const struct sec_model_config *c, const struct sec_model_options *o)
{
    if (o->max_tokens < 1 || o->max_seqs < 1 || o->max_seqlen < 1)
        return sec_fail(
            SEC_ECONFIG,
            "model for %d tokens, %d sequences of up to %d tokens; all must be positive",
            o->max_tokens, o->max_seqs, o->max_seqlen);
    if (o->max_seqlen > c->max_position_embeddings)
        return sec_fail(SEC_ECONFIG,
                        "sequences of %d tokens exceed model.max_position_embeddings %lld",
                        o->max_seqlen, (long long)c->max_position_embeddings);
    return 0;
}

static int alloc_host(struct sec_model *m)
{
    struct sec_model_state *st = m->st;
    const struct sec_model_options *o = &m->opt;
    size_t span = 2 * (size_t)o->max_seqlen - 1;
    st->rel_idx = malloc(span * sizeof *st->rel_idx);
    st->key_host = calloc((size_t)o->max_seqs, sizeof *st->key_host);
    st->row_host = calloc((size_t)o->max_seqs, sizeof *st->row_host);
    st->rank_host = calloc((size_t)o->max_masked, sizeof *st->rank_host);
    st->loss_host = calloc((size_t)o->max_masked, sizeof(double));
    st->a.layer = calloc((size_t)m->config.num_hidden_layers, sizeof *st->a.layer);
    if (!st->rel_idx || !st->key_host || !st->row_host || !st->rank_host || !st->loss_host ||
        !st->a.layer)
        return sec_fail(SEC_ENOMEM, "out of memory for the host side of a model");
    sec_relative_index(&m->config, o->max_seqlen, st->rel_idx);
    return sec_padded_alloc(m);
}

static int alloc_backend(struct sec_model *m)
{
    struct sec_backend *be = m->be;
    struct sec_model_state *st = m->st;
    enum sec_dtype act = m->opt.act, master = sec_master_type(act);
    size_t n = (size_t)m->params.total;
    struct sec_plan plan;
    int rc;
    sec_plan(&m->config, &m->opt, NULL, &st->a, &plan);
    SEC_TRY(be->alloc(be, plan.bytes, &st->block));
    sec_plan(&m->config, &m->opt, st->block, &st->a, &plan);
    st->logit_rows_train = plan.logit_rows_train;
    st->logit_rows_eval = plan.logit_rows_eval;
    SEC_TRY(be->alloc(be, n * sec_dtype_size(master), &m->master));
    SEC_TRY(be->zero(be, m->master, n * sec_dtype_size(master)));
    m->compute = m->master;
    if (act != master)
        SEC_TRY(be->alloc(be, n * sec_dtype_size(act), &m->compute));
    if (m->opt.train) {
        SEC_TRY(be->alloc(be, n * sec_dtype_size(master), &m->grad));
        SEC_TRY(sec_model_zero_grad(m));
    }
    rc = sec_model_refresh(m);
fail:
    return rc;
}

static int upload_rel_keys(struct sec_model *m)
{
    size_t n = (size_t)(2 * m->config.position_buckets);
    uint64_t *keys = malloc(n * sizeof *keys);
    if (!keys)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu keys", n);
    for (size_t i = 0; i < n; i++)
        keys[i] = REL_KEY | i;
    int rc = m->be->upload(m->be, m->st->a.rel_key, keys, n * sizeof *keys);
    free(keys);
    return rc;
}

int sec_model_create(const struct sec_model_config *c, struct sec_backend *be,
                     const struct sec_model_options *o, struct sec_model **out)
{
    *out = NULL;
    int rc = check_options(c, o);
    if (rc)
        return rc;
    struct sec_model *m = calloc(1, sizeof *m);
    if (!m)
        return sec_fail(SEC_ENOMEM, "out of memory for a model");
    m->config = *c;
    m->be = be;
    m->opt = sec_model_resolve(c, o);
    m->opt.pad = o->train && (o->pad || be->record_begin);
    SEC_TRY(sec_params_build(c, o->heads, o->num_labels, &m->params));
    m->st = calloc(1, sizeof *m->st);
    if (!m->st) {
        rc = sec_fail(SEC_ENOMEM, "out of memory for a model");
        goto fail;
    }
    SEC_TRY(alloc_host(m));
    SEC_TRY(alloc_backend(m));
    SEC_TRY(upload_rel_keys(m));
    *out = m;
    return 0;
fail:
    sec_model_free(m);
    return rc;
}

void sec_model_free(struct sec_model *m)
{
    if (!m)
        return;
    struct sec_backend *be = m->be;
    if (m->compute && m->compute != m->master)
        be->free(be, m->compute);
    if (m->master)
        be->free(be, m->master);
    if (m->grad)
        be->free(be, m->grad);
    if (m->st) {
        if (m->st->block)
            be->free(be, m->st->block);
        free(m->st->rel_idx);
        free(m->st->key_host);
        free(m->st->row_host);
        free(m->st->rank_host);
        free(m->st->loss_host);
        free(m->st->a.layer);
        sec_padded_free(m);
        free(m->st);
    }
    sec_params_free(&m->params);
    free(m);
}

int sec_model_init(struct sec_model *m, uint64_t seed)
{
    float *host = sec_alloc_aligned((size_t)m->params.total * sizeof *host);
    if (!host)
        return SEC_ENOMEM;
    sec_params_init(&m->params, &m->config, seed, host);
    int rc = sec_model_load(m, host);
    sec_free_aligned(host);
    return rc;
}

int sec_model_load(struct sec_model *m, const float *host)
{
    size_t n = (size_t)m->params.total;
    if (m->opt.act != SEC_F64) {
        int rc = m->be->upload(m->be, m->master, host, n * sizeof *host);
        return rc ? rc : sec_model_refresh(m);
    }
    /* F64 is for finite differences on small models: widened on the host. */
    double *wide = malloc(n * sizeof *wide);
    if (!wide)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu parameters in F64", n);
    for (size_t i = 0; i < n; i++)
        wide[i] = host[i];
    int rc = m->be->upload(m->be, m->master, wide, n * sizeof *wide);
    free(wide);
    return rc;
}

int sec_model_store(struct sec_model *m, float *host)
{
    return sec_fetch_f32(m, m->master, sec_m_master(m), m->params.total, host);
}

int sec_model_refresh(struct sec_model *m)
{
    if (m->compute == m->master)
        return 0;
    return m->be->cast(m->be, m->compute, m->opt.act, m->master, sec_m_master(m), m->params.total);
}

int sec_model_zero_grad(struct sec_model *m)
{
    return m->be->zero(m->be, m->grad, (size_t)m->params.total * sec_dtype_size(sec_m_master(m)));
}

const void *sec_model_hidden(const struct sec_model *m)
{
    return m->st->a.layer[m->config.num_hidden_layers - 1].out;
}

int sec_fetch_f32(struct sec_model *m, const void *src, enum sec_dtype t, int64_t n, float *out)
{
    struct sec_backend *be = m->be;
    if (t == SEC_F32)
        return be->download(be, out, src, (size_t)n * sizeof *out);
    union {
        uint16_t h[2048];
        double d[2048];
    } part;
    for (int64_t i = 0; i < n; i += 2048) {
        int64_t count = n - i < 2048 ? n - i : 2048;
        int rc = be->download(be, &part, sec_at(src, i, t), (size_t)count * sec_dtype_size(t));
        if (rc)
            return rc;
        for (int64_t j = 0; j < count; j++)
            out[i + j] = t == SEC_BF16 ? sec_bf16_to_f32(part.h[j]) : (float)part.d[j];
    }
    return 0;
}

int sec_model_hidden_rows(struct sec_model *m, int64_t first, int64_t n, float *out)
{
    int64_t h = m->config.hidden_size;
    if (!m->st->have_forward || first < 0 || n < 0 || first + n > m->st->n_given)
        return sec_fail(SEC_ECONFIG, "hidden states of rows %lld..%lld asked for; the pass has %d",
                        (long long)first, (long long)(first + n), m->st->n_given);
    return sec_fetch_f32(m, sec_at(sec_model_hidden(m), first * h, m->opt.act), m->opt.act, n * h,
                         out);
}

int sec_model_layer_rows(struct sec_model *m, int layer, float *out)
{
    if (!m->opt.train || layer < 0 || layer > (int)m->config.num_hidden_layers)
        return sec_fail(SEC_ECONFIG, "hidden states of layer %d of %lld need a training model",
                        layer, (long long)m->config.num_hidden_layers);
    const void *x = layer ? m->st->a.layer[layer - 1].out : m->st->a.x0;
    return sec_fetch_f32(m, x, m->opt.act, m->st->n_given * m->config.hidden_size, out);
}
