/* The memory plan: one function lays out and measures. */
#include "model/state.h"

enum { LOGIT_BYTES = 32 << 20, PLAN_ALIGN = 256 };

struct cursor {
    char *base;
    uint64_t at;
};

static void *take(struct cursor *c, int64_t elements, size_t size)
{
    uint64_t at = c->at;
    c->at += ((uint64_t)elements * size + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
    return c->base ? c->base + at : NULL;
}

struct sec_model_options sec_model_resolve(const struct sec_model_config *c,
                                           const struct sec_model_options *o)
{
    struct sec_model_options r = *o;
    int64_t row = c->vocab_size * (int64_t)sec_dtype_size(r.act);
    if (r.max_masked <= 0)
        r.max_masked = r.max_tokens;
    if (r.logit_rows <= 0)
        r.logit_rows = (int32_t)(LOGIT_BYTES / row < 1 ? 1 : LOGIT_BYTES / row);
    if (r.logit_rows > r.max_masked)
        r.logit_rows = r.max_masked;
    return r;
}

struct dims {
    int64_t t, h, inner, heads, r, b, m;
    size_t act, master;
    bool train, recompute, dropout;
};

static void plan_layer(struct cursor *k, const struct dims *d, struct sec_layer_acts *l)
{
    l->qkv = take(k, 3 * d->t * d->h, d->act);
    l->rel = take(k, 2 * d->r * d->h, d->act);
    l->o = take(k, d->t * d->h, d->act);
    l->s1 = take(k, d->t * d->h, d->act);
    l->y1 = take(k, d->t * d->h, d->act);
    l->aux = take(k, d->t * d->inner, d->act);
    l->s2 = d->train ? take(k, d->t * d->h, d->act) : l->s1;
    if (!d->train)
        return;
    l->lse = take(k, d->heads * d->t, d->master);
    l->mean1 = take(k, d->t, d->master);
    l->rstd1 = take(k, d->t, d->master);
    l->mean2 = take(k, d->t, d->master);
    l->rstd2 = take(k, d->t, d->master);
}

/* Training keeps every layer, or with recomputation its input and output; inference walks between
 * two hidden buffers, the first of which is x0, so the convolution after layer 0 still finds it. */
static void plan_layers(struct cursor *k, const struct dims *d, int64_t n, struct sec_acts *a)
{
    a->x0 = take(k, d->t * d->h, d->act);
    void *other = d->train ? NULL : take(k, d->t * d->h, d->act);
    struct sec_layer_acts shared = {0};
    if (!d->train || d->recompute)
        plan_layer(k, d, &shared);
    void *in = a->x0;
    for (int64_t i = 0; i < n; i++) {
        struct sec_layer_acts l = shared;
        if (d->train && !d->recompute)
            plan_layer(k, d, &l);
        l.in = in;
        l.out = d->train ? take(k, d->t * d->h, d->act) : in == a->x0 ? other : a->x0;
        in = l.out;
        if (a->layer)
            a->layer[i] = l;
    }
}

static void plan_head(struct cursor *k, const struct dims *d, uint64_t logits, struct sec_acts *a)
{
    int64_t n = d->m * d->h;
    a->head_x = take(k, n, d->act);
    a->head_aux = take(k, n, d->act);
    a->head_s = take(k, n, d->act);
    a->head_t = take(k, n, d->act);
    a->head_dt = d->train ? take(k, n, d->act) : NULL;
    a->head_mean = take(k, d->m, d->master);
    a->head_rstd = take(k, d->m, d->master);
    a->logits = take(k, (int64_t)logits, 1);
}

static void plan_pool(struct cursor *k, const struct dims *d, int64_t labels, struct sec_acts *a)
{
    a->pool_x = take(k, d->b * d->h, d->act);
    a->pool_aux = take(k, d->b * d->h, d->act);
    a->pool_y = take(k, d->b * d->h, d->act);
    a->cls_logits = take(k, d->b * labels, d->master);
    if (d->train) {
        a->cls_d = take(k, d->b * labels, d->act);
        a->pool_d = take(k, d->b * d->h, d->act);
    }
}

static void plan_inputs(struct cursor *k, const struct dims *d, struct sec_acts *a)
{
    a->ids = take(k, d->t, sizeof *a->ids);
    a->row_key = take(k, d->t, sizeof *a->row_key);
    a->rel_key = take(k, d->r, sizeof *a->rel_key);
    a->first_key = take(k, d->b, sizeof *a->first_key);
    a->seed = take(k, 1, sizeof *a->seed);
    a->first_rows = take(k, d->b, sizeof *a->first_rows);
    a->masked_rows = take(k, d->m, sizeof *a->masked_rows);
    a->labels = take(k, d->m, sizeof *a->labels);
    a->loss = take(k, d->m, d->master);
    a->rank = take(k, d->m, sizeof *a->rank);
}

static void plan_grads(struct cursor *k, const struct dims *d, bool conv, struct sec_acts *a)
{
    a->grad_a = take(k, d->t * d->h, d->act);
    if (d->dropout)
        a->grad_b = take(k, d->t * d->h, d->act);
    if (conv)
        a->grad_conv = take(k, d->t * d->h, d->act);
    a->grad_rel = take(k, 2 * d->r * d->h, d->act);
    a->grad_relm = take(k, d->r * d->h, d->master);
    a->grad_reln = take(k, d->r * d->h, d->master);
}

void sec_plan(const struct sec_model_config *c, const struct sec_model_options *options, char *base,
              struct sec_acts *a, struct sec_plan *plan)
{
    struct sec_model_options o = sec_model_resolve(c, options);
    struct cursor k = {base, 0};
    bool conv = c->conv_kernel_size > 0;
    struct dims d = {o.max_tokens,
                     c->hidden_size,
                     c->intermediate_size,
                     c->num_attention_heads,
                     2 * c->position_buckets,
                     o.max_seqs,
                     o.max_masked,
                     sec_dtype_size(o.act),
                     sec_dtype_size(sec_master_type(o.act)),
                     o.train,
                     o.train && o.recompute,
                     c->hidden_dropout_prob > 0};
    size_t eval_size = sec_dtype_size(sec_master_type(o.act));
    uint64_t logits = (uint64_t)o.logit_rows * (uint64_t)c->vocab_size * d.act;
    plan->logit_rows_train = o.logit_rows;
    plan->logit_rows_eval = (int32_t)(logits / ((uint64_t)c->vocab_size * eval_size));
    if (plan->logit_rows_eval < 1) {
        plan->logit_rows_eval = 1;
        logits = (uint64_t)c->vocab_size * eval_size;
    }

    plan_layers(&k, &d, c->num_hidden_layers, a);
    a->rel_master = take(&k, d.r * d.h, d.master);
    a->rel_act = d.act == d.master ? a->rel_master : take(&k, d.r * d.h, d.act);
    a->rel_mean = take(&k, d.r, d.master);
    a->rel_rstd = take(&k, d.r, d.master);
    if (o.train) {
        a->mean0 = take(&k, d.t, d.master);
        a->rstd0 = take(&k, d.t, d.master);
    }
    if (conv) {
        a->conv = take(&k, d.t * d.h, d.act);
        a->conv_s = take(&k, d.t * d.h, d.act);
        a->conv_mean = take(&k, d.t, d.master);
        a->conv_rstd = take(&k, d.t, d.master);
    }
    plan->activations = o.train ? k.at : 0;

    plan_inputs(&k, &d, a);
    a->rel_drop = d.dropout && o.train ? take(&k, d.r * d.h, d.act) : a->rel_act;
    if (o.heads & SEC_HEAD_CLASSIFY)
        plan_pool(&k, &d, o.num_labels, a);
    if (o.train)
        plan_grads(&k, &d, conv, a);
    struct cursor head = k;
    a->inner = take(&k, d.t * (d.inner > 4 * d.h ? d.inner : 4 * d.h), d.act);
    if (o.heads & SEC_HEAD_MLM) {
        plan_head(&head, &d, logits, a);
        if (head.at > k.at)
            k.at = head.at;
    }
    plan->bytes = k.at;
}

int sec_model_memory(const struct sec_model_config *c, const struct sec_model_options *o,
                     struct sec_model_memory *out)
{
    struct sec_params p;
    int rc = sec_params_build(c, o->heads, o->num_labels, &p);
    if (rc)
        return rc;
    uint64_t total = (uint64_t)p.total;
    sec_params_free(&p);
    size_t master = sec_dtype_size(sec_master_type(o->act));
    struct sec_acts a = {0};
    struct sec_plan plan;
    sec_plan(c, o, NULL, &a, &plan);
    out->params = total * (master + (o->act == SEC_BF16 ? sec_dtype_size(SEC_BF16) : 0));
    out->grads = o->train ? total * master : 0;
    out->activations = plan.activations;
    out->scratch = plan.bytes - plan.activations;
    return 0;
}

/* FLOPs of one token, counting a multiply-add as two, matrices and attention only:
 *   a layer: projections and feed-forward 2 (4 H² + 2 H I); content scores and P V 2 * 2 s H; the
 * two position terms 2 * 2 H min(2k, 2s), since a query meets at most 2s - 1 distances of 2k rows;
 *   convolution once: 2 * ksize * H²; head at the masked share: 2 (H² + H V). */
double sec_model_flops_per_token(const struct sec_model_config *c, double s, double masked)
{
    double h = (double)c->hidden_size, inner = (double)c->intermediate_size;
    double rows = 2.0 * (double)c->position_buckets, v = (double)c->vocab_size;
    if (rows > 2 * s)
        rows = 2 * s;
    double layer = 2 * (4 * h * h + 2 * h * inner) + 4 * s * h + 4 * h * rows;
    return (double)c->num_hidden_layers * layer + 2 * (double)c->conv_kernel_size * h * h +
           masked * 2 * (h * h + h * v);
}
