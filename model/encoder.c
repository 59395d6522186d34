/* Forward pass of the encoder (model.md, "Forward"). */
#include "model/state.h"

#include "base/error.h"

#include <math.h>

struct sec_dropout sec_site(const struct sec_model *m, uint32_t site, double p,
                            const uint64_t *row_key)
{
    return (struct sec_dropout){m->st->training ? (float)p : 0.0f, site, m->st->a.seed, row_key};
}

int sec_linear(struct sec_model *m, const void *x, int64_t rows, int64_t in, int64_t out, int64_t w,
               int64_t b, void *y, int64_t ldy, void *gelu_aux)
{
    struct sec_gemm g = {.m = rows,
                         .n = out,
                         .k = in,
                         .trans_b = true,
                         .ab_type = m->opt.act,
                         .c_type = m->opt.act,
                         .a = x,
                         .b = sec_w(m, w),
                         .c = y,
                         .lda = in,
                         .ldb = in,
                         .ldc = ldy,
                         .bias = sec_v(m, b),
                         .aux = gelu_aux,
                         .epilogue = gelu_aux ? SEC_EPI_BIAS_GELU : SEC_EPI_BIAS};
    return m->be->gemm(m->be, &g);
}

struct sec_attn sec_layer_attn(struct sec_model *m, int l)
{
    const struct sec_layer_acts *a = &m->st->a.layer[l];
    const struct sec_model_config *c = &m->config;
    const struct sec_batch *b = m->st->batch;
    int64_t h = c->hidden_size;
    int32_t d = (int32_t)(h / c->num_attention_heads);
    enum sec_dtype act = m->opt.act;
    return (struct sec_attn){.n_tokens = b->n_tokens,
                             .n_seqs = b->n_seqs,
                             .max_seqlen = b->max_seqlen,
                             .heads = (int32_t)c->num_attention_heads,
                             .head_dim = d,
                             .rel_rows = (int32_t)(2 * c->position_buckets),
                             .rel_span = m->opt.max_seqlen,
                             .act = act,
                             .scale = (float)(1 / sqrt(3.0 * d)),
                             .cu_seqlens = b->cu_seqlens,
                             .rel_idx = m->st->rel_idx,
                             .q = a->qkv,
                             .k = sec_at(a->qkv, h, act),
                             .v = sec_at(a->qkv, 2 * h, act),
                             .ld = 3 * h,
                             .qr = a->rel,
                             .kr = sec_at(a->rel, h, act),
                             .ld_rel = 2 * h,
                             .dropout = sec_site(m, (uint32_t)(16 * l + SITE_ATTN),
                                                 c->attention_probs_dropout_prob, m->st->a.row_key),
                             .o = a->o,
                             .ld_o = h,
                             .lse = a->lse};
}

static int embeddings(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    const struct sec_model_config *c = &m->config;
    int64_t t = m->st->n_tokens, h = c->hidden_size;
    int rc = be->embed(be, sec_w(m, m->params.word), a->ids, t, h, m->opt.act, a->x0);
    struct sec_add_ln ln = {.rows = t,
                            .cols = h,
                            .act = m->opt.act,
                            .eps = (float)c->layer_norm_eps,
                            .a = a->x0,
                            .gamma = sec_v(m, m->params.emb_g),
                            .beta = sec_v(m, m->params.emb_b),
                            .y = a->x0,
                            .mean = a->mean0,
                            .rstd = a->rstd0};
    if (!rc)
        rc = be->add_ln(be, &ln);
    struct sec_dropout d = sec_site(m, SITE_EMBEDDING, c->hidden_dropout_prob, a->row_key);
    if (!rc && d.p > 0)
        rc = be->dropout(be, a->x0, a->x0, t, h, m->opt.act, &d);
    return rc;
}

/* Rel = LN(rel_embeddings), computed in the master type: it is small, and its gradient is a sum
 * over all layers. */
static int relative(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    int64_t r = 2 * m->config.position_buckets, h = m->config.hidden_size;
    enum sec_dtype master = sec_m_master(m);
    struct sec_add_ln ln = {.rows = r,
                            .cols = h,
                            .act = master,
                            .eps = (float)m->config.layer_norm_eps,
                            .a = sec_v(m, m->params.rel),
                            .gamma = sec_v(m, m->params.rel_g),
                            .beta = sec_v(m, m->params.rel_b),
                            .y = a->rel_master,
                            .mean = a->rel_mean,
                            .rstd = a->rel_rstd};
    int rc = be->add_ln(be, &ln);
    if (!rc && a->rel_act != a->rel_master)
        rc = be->cast(be, a->rel_act, m->opt.act, a->rel_master, master, r * h);
    return rc;
}

static int attention(struct sec_model *m, int l)
{
    struct sec_acts *a = &m->st->a;
    struct sec_layer_acts *s = &a->layer[l];
    struct sec_backend *be = m->be;
    const struct sec_layer_offsets *p = &m->params.layer[l];
    int64_t t = m->st->n_tokens, h = m->config.hidden_size, r = 2 * m->config.position_buckets;
    const void *rel = a->rel_act;
    struct sec_dropout d =
        sec_site(m, (uint32_t)(16 * l + SITE_REL), m->config.hidden_dropout_prob, a->rel_key);
    int rc;
    if (d.p > 0) {
        SEC_TRY(be->dropout(be, a->rel_act, a->rel_drop, r, h, m->opt.act, &d));
        rel = a->rel_drop;
    }
    SEC_TRY(sec_linear(m, s->in, t, h, 3 * h, p->qkv_w, p->qkv_b, s->qkv, 3 * h, NULL));
    SEC_TRY(sec_linear(m, rel, r, h, 2 * h, p->qkv_w, p->qkv_b, s->rel, 2 * h, NULL));
    struct sec_attn at = sec_layer_attn(m, l);
    SEC_TRY(be->attn(be, &at));
    SEC_TRY(sec_linear(m, s->o, t, h, h, p->o_w, p->o_b, s->s1, h, NULL));
    struct sec_add_ln ln = {.rows = t,
                            .cols = h,
                            .act = m->opt.act,
                            .eps = (float)m->config.layer_norm_eps,
                            .a = s->s1,
                            .residual = s->in,
                            .dropout = sec_site(m, (uint32_t)(16 * l + SITE_ATTN_OUT),
                                                m->config.hidden_dropout_prob, a->row_key),
                            .gamma = sec_v(m, p->ln1_g),
                            .beta = sec_v(m, p->ln1_b),
                            .s = m->opt.train ? s->s1 : NULL,
                            .y = s->y1,
                            .mean = s->mean1,
                            .rstd = s->rstd1};
    rc = be->add_ln(be, &ln);
fail:
    return rc;
}

static int feed_forward(struct sec_model *m, int l, void *out)
{
    struct sec_acts *a = &m->st->a;
    struct sec_layer_acts *s = &a->layer[l];
    struct sec_backend *be = m->be;
    const struct sec_layer_offsets *p = &m->params.layer[l];
    int64_t t = m->st->n_tokens, h = m->config.hidden_size, n = m->config.intermediate_size;
    int rc;
    SEC_TRY(sec_linear(m, s->y1, t, h, n, p->w1, p->b1, a->inner, n, s->aux));
    SEC_TRY(sec_linear(m, a->inner, t, n, h, p->w2, p->b2, s->s2, h, NULL));
    struct sec_add_ln ln = {.rows = t,
                            .cols = h,
                            .act = m->opt.act,
                            .eps = (float)m->config.layer_norm_eps,
                            .a = s->s2,
                            .residual = s->y1,
                            .dropout = sec_site(m, (uint32_t)(16 * l + SITE_FFN_OUT),
                                                m->config.hidden_dropout_prob, a->row_key),
                            .gamma = sec_v(m, p->ln2_g),
                            .beta = sec_v(m, p->ln2_b),
                            .s = m->opt.train ? s->s2 : NULL,
                            .y = out,
                            .mean = s->mean2,
                            .rstd = s->rstd2};
    rc = be->add_ln(be, &ln);
fail:
    return rc;
}

/* Z0 := LN(Z0 + gelu(dropout(conv(X0)))), reading the embedding output. Z0 itself is not needed
 * later: backward of the layer's own LayerNorm works from its sum. */
static int convolution(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    const struct sec_batch *b = m->st->batch;
    int64_t t = b->n_tokens, h = m->config.hidden_size;
    struct sec_conv cv = {.n_tokens = b->n_tokens,
                          .n_seqs = b->n_seqs,
                          .channels = (int32_t)h,
                          .ksize = (int32_t)m->config.conv_kernel_size,
                          .act = m->opt.act,
                          .cu_seqlens = b->cu_seqlens,
                          .x = a->x0,
                          .w = sec_w(m, m->params.conv_w),
                          .bias = sec_v(m, m->params.conv_b),
                          .y = a->conv};
    struct sec_dropout d = sec_site(m, SITE_CONV, m->config.hidden_dropout_prob, a->row_key);
    struct sec_add_ln ln = {.rows = t,
                            .cols = h,
                            .act = m->opt.act,
                            .eps = (float)m->config.layer_norm_eps,
                            .a = a->conv_s,
                            .residual = a->layer[0].out,
                            .gamma = sec_v(m, m->params.conv_g),
                            .beta = sec_v(m, m->params.conv_beta),
                            .s = m->opt.train ? a->conv_s : NULL,
                            .y = a->layer[0].out,
                            .mean = a->conv_mean,
                            .rstd = a->conv_rstd};
    int rc;
    SEC_TRY(be->conv(be, &cv));
    if (d.p > 0)
        SEC_TRY(be->dropout(be, a->conv, a->conv, t, h, m->opt.act, &d));
    SEC_TRY(be->gelu(be, a->conv, a->conv_s, t * h, m->opt.act));
    rc = be->add_ln(be, &ln);
fail:
    return rc;
}

/* The output is there already, for layer 0 with the convolution in it: it goes to scratch that is
 * free once the feed-forward's products are done. */
int sec_layer_again(struct sec_model *m, int l)
{
    int rc = attention(m, l);
    return rc ? rc : feed_forward(m, l, m->st->a.inner);
}

int sec_encoder(struct sec_model *m)
{
    int rc;
    SEC_TRY(embeddings(m));
    SEC_TRY(relative(m));
    for (int l = 0; l < (int)m->config.num_hidden_layers; l++) {
        SEC_TRY(attention(m, l));
        SEC_TRY(feed_forward(m, l, m->st->a.layer[l].out));
        if (l == 0 && m->config.conv_kernel_size)
            SEC_TRY(convolution(m));
    }
fail:
    return rc;
}

int sec_model_forward(struct sec_model *m, const struct sec_batch *b, bool training,
                      uint64_t dropout_seed)
{
    m->st->have_forward = false;
    int rc = sec_check_batch(m, b);
    if (!rc)
        rc = sec_begin_pass(m, b, training, dropout_seed);
    if (!rc)
        rc = sec_encoder(m);
    m->st->have_forward = !rc;
    return rc;
}
