/* Backward pass of the encoder. The gradient that flows down lives in grad_a; add_ln_bwd leaves the
 * residual's share there, and the branch's share is added by the GEMM that ends the branch. */
#include "model/state.h"

#include "base/error.h"

int sec_linear_bwd_weight(struct sec_model *m, const void *dy, int64_t ldy, const void *x,
                          int64_t rows, int64_t in, int64_t out, int64_t w, int64_t b)
{
    struct sec_gemm g = {.m = out,
                         .n = in,
                         .k = rows,
                         .trans_a = true,
                         .accumulate = true,
                         .ab_type = m->opt.act,
                         .c_type = sec_m_master(m),
                         .a = dy,
                         .b = x,
                         .c = sec_g(m, w),
                         .lda = ldy,
                         .ldb = in,
                         .ldc = in};
    int rc = m->be->gemm(m->be, &g);
    if (!rc)
        rc = m->be->bias_grad(m->be, dy, rows, out, ldy, m->opt.act, sec_g(m, b));
    return rc;
}

int sec_linear_bwd_input(struct sec_model *m, const void *dy, int64_t ldy, int64_t rows, int64_t in,
                         int64_t out, int64_t w, void *dx, enum sec_dtype dx_type, bool accumulate)
{
    struct sec_gemm g = {.m = rows,
                         .n = in,
                         .k = out,
                         .accumulate = accumulate,
                         .ab_type = m->opt.act,
                         .c_type = dx_type,
                         .a = dy,
                         .b = sec_w(m, w),
                         .c = dx,
                         .lda = ldy,
                         .ldb = in,
                         .ldc = in};
    return m->be->gemm(m->be, &g);
}

/* LayerNorm over dropout(branch) + residual: dy in grad_a becomes the residual's gradient; the
 * branch's is returned in *branch. */
static int ln_bwd(struct sec_model *m, const void *s, const void *mean, const void *rstd,
                  int64_t gamma, int64_t beta, struct sec_dropout d, const void **branch)
{
    struct sec_acts *a = &m->st->a;
    struct sec_add_ln_bwd ln = {.rows = m->st->n_tokens,
                                .cols = m->config.hidden_size,
                                .act = m->opt.act,
                                .dy = a->grad_a,
                                .s = s,
                                .mean = mean,
                                .rstd = rstd,
                                .gamma = sec_v(m, gamma),
                                .dropout = d,
                                .ds = a->grad_a,
                                .da = d.p > 0 ? a->grad_b : NULL,
                                .dgamma = sec_g(m, gamma),
                                .dbeta = sec_g(m, beta)};
    *branch = d.p > 0 ? a->grad_b : a->grad_a;
    return m->be->add_ln_bwd(m->be, &ln);
}

static int feed_forward_bwd(struct sec_model *m, int l)
{
    struct sec_acts *a = &m->st->a;
    struct sec_layer_acts *s = &a->layer[l];
    struct sec_backend *be = m->be;
    const struct sec_layer_offsets *p = &m->params.layer[l];
    int64_t t = m->st->n_tokens, h = m->config.hidden_size, n = m->config.intermediate_size;
    enum sec_dtype act = m->opt.act;
    struct sec_dropout d =
        sec_site(m, (uint32_t)(16 * l + SITE_FFN_OUT), m->config.hidden_dropout_prob, a->row_key);
    const void *dy;
    int rc;
    SEC_TRY(ln_bwd(m, s->s2, s->mean2, s->rstd2, p->ln2_g, p->ln2_b, d, &dy));
    SEC_TRY(be->gelu(be, s->aux, a->inner, t * n, act)); /* cheaper than keeping it */
    SEC_TRY(sec_linear_bwd_weight(m, dy, h, a->inner, t, n, h, p->w2, p->b2));
    SEC_TRY(sec_linear_bwd_input(m, dy, h, t, n, h, p->w2, a->inner, act, false));
    SEC_TRY(be->gelu_bwd(be, a->inner, s->aux, a->inner, t * n, act));
    SEC_TRY(sec_linear_bwd_weight(m, a->inner, n, s->y1, t, h, n, p->w1, p->b1));
    rc = sec_linear_bwd_input(m, a->inner, n, t, h, n, p->w1, a->grad_a, act, true);
fail:
    return rc;
}

/* Gradients of the projections of the relative rows; their input gradient is summed over the layers
 * in the master type. */
static int relative_rows_bwd(struct sec_model *m, int l)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    const struct sec_layer_offsets *p = &m->params.layer[l];
    int64_t h = m->config.hidden_size, r = 2 * m->config.position_buckets;
    enum sec_dtype master = sec_m_master(m);
    struct sec_dropout d =
        sec_site(m, (uint32_t)(16 * l + SITE_REL), m->config.hidden_dropout_prob, a->rel_key);
    const void *rel = a->rel_act;
    int rc;
    if (d.p > 0) {
        SEC_TRY(be->dropout(be, a->rel_act, a->rel_drop, r, h, m->opt.act, &d));
        rel = a->rel_drop;
    }
    SEC_TRY(sec_linear_bwd_weight(m, a->grad_rel, 2 * h, rel, r, h, 2 * h, p->qkv_w, p->qkv_b));
    if (d.p > 0) {
        SEC_TRY(sec_linear_bwd_input(m, a->grad_rel, 2 * h, r, h, 2 * h, p->qkv_w, a->grad_reln,
                                     master, false));
        SEC_TRY(be->dropout(be, a->grad_reln, a->grad_reln, r, h, master, &d));
        rc = be->add(be, a->grad_relm, a->grad_reln, r * h, master);
    } else {
        rc = sec_linear_bwd_input(m, a->grad_rel, 2 * h, r, h, 2 * h, p->qkv_w, a->grad_relm,
                                  master, true);
    }
fail:
    return rc;
}

static int attention_bwd(struct sec_model *m, int l)
{
    struct sec_acts *a = &m->st->a;
    struct sec_layer_acts *s = &a->layer[l];
    const struct sec_layer_offsets *p = &m->params.layer[l];
    int64_t t = m->st->n_tokens, h = m->config.hidden_size;
    enum sec_dtype act = m->opt.act;
    struct sec_dropout d =
        sec_site(m, (uint32_t)(16 * l + SITE_ATTN_OUT), m->config.hidden_dropout_prob, a->row_key);
    void *dqkv = a->inner, *d_o = sec_at(a->inner, 3 * t * h, act);
    const void *dy;
    int rc;
    SEC_TRY(ln_bwd(m, s->s1, s->mean1, s->rstd1, p->ln1_g, p->ln1_b, d, &dy));
    SEC_TRY(sec_linear_bwd_weight(m, dy, h, s->o, t, h, h, p->o_w, p->o_b));
    SEC_TRY(sec_linear_bwd_input(m, dy, h, t, h, h, p->o_w, d_o, act, false));
    struct sec_attn at = sec_layer_attn(m, l);
    at.d_o = d_o;
    at.ld_do = h;
    at.dq = dqkv;
    at.dk = sec_at(dqkv, h, act);
    at.dv = sec_at(dqkv, 2 * h, act);
    at.ld_d = 3 * h;
    at.dqr = a->grad_rel;
    at.dkr = sec_at(a->grad_rel, h, act);
    at.ld_drel = 2 * h;
    SEC_TRY(m->be->attn_bwd(m->be, &at));
    SEC_TRY(sec_linear_bwd_weight(m, dqkv, 3 * h, s->in, t, h, 3 * h, p->qkv_w, p->qkv_b));
    SEC_TRY(relative_rows_bwd(m, l));
    rc = sec_linear_bwd_input(m, dqkv, 3 * h, t, h, 3 * h, p->qkv_w, a->grad_a, act, true);
fail:
    return rc;
}

/* To grad_conv: the gradient at the convolution's output. Its input X0 gets its share later, when
 * grad_a has come down to it. */
static int conv_bwd_to_output(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    int64_t t = m->st->n_tokens, h = m->config.hidden_size;
    struct sec_dropout none = {0},
                       d = sec_site(m, SITE_CONV, m->config.hidden_dropout_prob, a->row_key);
    const void *dy;
    int rc;
    SEC_TRY(ln_bwd(m, a->conv_s, a->conv_mean, a->conv_rstd, m->params.conv_g, m->params.conv_beta,
                   none, &dy));
    SEC_TRY(be->gelu_bwd(be, dy, a->conv, a->grad_conv, t * h, m->opt.act));
    if (d.p > 0)
        rc = be->dropout(be, a->grad_conv, a->grad_conv, t, h, m->opt.act, &d);
fail:
    return rc;
}

static int conv_bwd_to_input(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    const struct sec_batch *b = m->st->batch;
    struct sec_conv cv = {.n_tokens = b->n_tokens,
                          .n_seqs = b->n_seqs,
                          .channels = (int32_t)m->config.hidden_size,
                          .ksize = (int32_t)m->config.conv_kernel_size,
                          .act = m->opt.act,
                          .cu_seqlens = b->cu_seqlens,
                          .x = a->x0,
                          .w = sec_w(m, m->params.conv_w),
                          .bias = sec_v(m, m->params.conv_b),
                          .dy = a->grad_conv,
                          .dx = a->grad_a,
                          .dw = sec_g(m, m->params.conv_w),
                          .dbias = sec_g(m, m->params.conv_b)};
    return m->be->conv_bwd(m->be, &cv);
}

static int embeddings_bwd(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    int64_t t = m->st->n_tokens, h = m->config.hidden_size;
    struct sec_dropout none = {0},
                       d = sec_site(m, SITE_EMBEDDING, m->config.hidden_dropout_prob, a->row_key);
    const void *dy;
    int rc = 0;
    if (d.p > 0)
        SEC_TRY(be->dropout(be, a->grad_a, a->grad_a, t, h, m->opt.act, &d));
    /* The rows of the table again, instead of keeping them. */
    SEC_TRY(be->embed(be, sec_w(m, m->params.word), a->ids, t, h, m->opt.act, a->inner));
    SEC_TRY(ln_bwd(m, a->inner, a->mean0, a->rstd0, m->params.emb_g, m->params.emb_b, none, &dy));
    rc = be->embed_bwd(be, dy, a->ids, t, h, m->opt.act, 0, sec_g(m, m->params.word));
fail:
    return rc;
}

/* Row 0 gets exactly zero: no distance maps to it, so its rows of dQr and dKr are zero. */
static int relative_bwd(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    int64_t r = 2 * m->config.position_buckets, h = m->config.hidden_size;
    struct sec_add_ln_bwd ln = {.rows = r,
                                .cols = h,
                                .act = sec_m_master(m),
                                .dy = a->grad_relm,
                                .s = sec_v(m, m->params.rel),
                                .mean = a->rel_mean,
                                .rstd = a->rel_rstd,
                                .gamma = sec_v(m, m->params.rel_g),
                                .ds = a->grad_relm,
                                .dgamma = sec_g(m, m->params.rel_g),
                                .dbeta = sec_g(m, m->params.rel_b)};
    int rc = m->be->add_ln_bwd(m->be, &ln);
    if (!rc)
        rc = m->be->add(m->be, sec_g(m, m->params.rel), a->grad_relm, r * h, sec_m_master(m));
    return rc;
}

int sec_encoder_bwd(struct sec_model *m)
{
    struct sec_acts *a = &m->st->a;
    bool conv = m->config.conv_kernel_size > 0;
    int last = (int)m->config.num_hidden_layers - 1;
    size_t rel = (size_t)(2 * m->config.position_buckets * m->config.hidden_size);
    int rc;
    SEC_TRY(m->be->zero(m->be, a->grad_relm, rel * sec_dtype_size(sec_m_master(m))));
    for (int l = last; l >= 0; l--) {
        if (l == 0 && conv)
            SEC_TRY(conv_bwd_to_output(m));
        if (m->opt.recompute && l < last) /* that of the last layer is still there */
            SEC_TRY(sec_layer_again(m, l));
        SEC_TRY(feed_forward_bwd(m, l));
        SEC_TRY(attention_bwd(m, l));
    }
    if (conv)
        SEC_TRY(conv_bwd_to_input(m));
    SEC_TRY(embeddings_bwd(m));
    rc = relative_bwd(m);
fail:
    return rc;
}
