/* Sequence classifier as in Hugging Face's DebertaV2ForSequenceClassification: p = gelu(X[first] Wp
 * + bp), dropout, classifier. */
#include "model/state.h"

#include "base/error.h"

static int upload_first(struct sec_model *m, const struct sec_batch *b)
{
    struct sec_model_state *st = m->st;
    size_t n = (size_t)b->n_seqs;
    for (int32_t s = 0; s < b->n_seqs; s++) {
        st->row_host[s] = b->cu_seqlens[s];
        st->key_host[s] = b->row_key ? b->row_key[b->cu_seqlens[s]] : 0;
    }
    int rc = m->be->upload(m->be, st->a.first_rows, st->row_host, n * sizeof *st->row_host);
    if (!rc)
        rc = m->be->upload(m->be, st->a.first_key, st->key_host, n * sizeof *st->key_host);
    return rc;
}

static struct sec_dropout pool_dropout(struct sec_model *m)
{
    return sec_site(m, SITE_CLASSIFIER, m->config.hidden_dropout_prob, m->st->a.first_key);
}

int sec_model_classify(struct sec_model *m, const struct sec_batch *b, bool training,
                       uint64_t dropout_seed, float *logits)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    const struct sec_params *p = &m->params;
    int64_t h = m->config.hidden_size, n = b->n_seqs, labels = m->opt.num_labels;
    enum sec_dtype act = m->opt.act;
    if (!(m->opt.heads & SEC_HEAD_CLASSIFY))
        return sec_fail(SEC_ECONFIG, "this model has no classifier");
    int rc;
    SEC_TRY(sec_model_forward(m, b, training, dropout_seed));
    SEC_TRY(upload_first(m, b));
    SEC_TRY(be->gather_rows(be, sec_model_hidden(m), a->first_rows, n, h, act, a->pool_x));
    SEC_TRY(sec_linear(m, a->pool_x, n, h, h, p->pool_w, p->pool_b, a->pool_y, h, a->pool_aux));
    struct sec_dropout d = pool_dropout(m);
    if (d.p > 0)
        SEC_TRY(be->dropout(be, a->pool_y, a->pool_y, n, h, act, &d));
    struct sec_gemm g = {.m = n,
                         .n = labels,
                         .k = h,
                         .trans_b = true,
                         .ab_type = act,
                         .c_type = sec_m_master(m),
                         .a = a->pool_y,
                         .b = sec_w(m, p->cls_w),
                         .c = a->cls_logits,
                         .lda = h,
                         .ldb = h,
                         .ldc = labels,
                         .epilogue = SEC_EPI_BIAS,
                         .bias = sec_v(m, p->cls_b)};
    SEC_TRY(be->gemm(be, &g));
    SEC_TRY(sec_fetch_f32(m, a->cls_logits, sec_m_master(m), n * labels, logits));
    m->st->have_classify = m->opt.train;
fail:
    return rc;
}

/* dlogits to the backend in the act type. */
static int upload_dlogits(struct sec_model *m, const float *dlogits, int64_t n)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    void *dst = m->opt.act == SEC_F32 ? a->cls_d : a->cls_logits; /* cls_logits: F32 or wider */
    int rc = be->upload(be, dst, dlogits, (size_t)n * sizeof *dlogits);
    if (!rc && dst != a->cls_d)
        rc = be->cast(be, a->cls_d, m->opt.act, dst, SEC_F32, n);
    return rc;
}

int sec_model_classify_bwd(struct sec_model *m, const struct sec_batch *b, const float *dlogits)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    const struct sec_params *p = &m->params;
    int64_t h = m->config.hidden_size, n = b->n_seqs, labels = m->opt.num_labels;
    enum sec_dtype act = m->opt.act;
    size_t hidden_bytes = (size_t)(m->st->n_tokens * h) * sec_dtype_size(act);
    if (!m->st->have_classify || b->n_seqs != m->st->n_seqs || b->n_tokens != m->st->n_tokens)
        return sec_fail(SEC_ECONFIG, "classifier backward without its forward pass just before");
    m->st->have_forward = m->st->have_classify = false;
    int rc;
    SEC_TRY(upload_dlogits(m, dlogits, n * labels));
    SEC_TRY(
        sec_linear_bwd_weight(m, a->cls_d, labels, a->pool_y, n, h, labels, p->cls_w, p->cls_b));
    SEC_TRY(
        sec_linear_bwd_input(m, a->cls_d, labels, n, h, labels, p->cls_w, a->pool_d, act, false));
    struct sec_dropout d = pool_dropout(m);
    if (d.p > 0)
        SEC_TRY(be->dropout(be, a->pool_d, a->pool_d, n, h, act, &d));
    SEC_TRY(be->gelu_bwd(be, a->pool_d, a->pool_aux, a->pool_d, n * h, act));
    SEC_TRY(sec_linear_bwd_weight(m, a->pool_d, h, a->pool_x, n, h, h, p->pool_w, p->pool_b));
    SEC_TRY(sec_linear_bwd_input(m, a->pool_d, h, n, h, h, p->pool_w, a->pool_y, act, false));
    SEC_TRY(be->zero(be, a->grad_a, hidden_bytes));
    SEC_TRY(be->scatter_add_rows(be, a->pool_y, a->first_rows, n, h, act, a->grad_a));
    m->st->batch = b;
    SEC_TRY(sec_encoder_bwd(m));
    rc = be->sync(be);
fail:
    return rc;
}
