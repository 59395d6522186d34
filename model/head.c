/* MLM head: t = LN(gelu(X Wt + bt)); logits = t Eᵀ + bias, at chosen rows only, and the logits a
 * chunk of rows at a time. In training the logits have the act type and become their own gradient;
 * in evaluation they are F32 (F64 with F64), from the act copies of t and E. */
#include "model/state.h"

#include "base/error.h"

/* rows: n of them, already on the backend. */
static int transform(struct sec_model *m, const int32_t *rows, int64_t n)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    const struct sec_params *p = &m->params;
    int64_t h = m->config.hidden_size;
    struct sec_add_ln ln = {.rows = n,
                            .cols = h,
                            .act = m->opt.act,
                            .eps = (float)m->config.layer_norm_eps,
                            .a = a->head_s,
                            .gamma = sec_v(m, p->head_g),
                            .beta = sec_v(m, p->head_beta),
                            .y = a->head_t,
                            .mean = a->head_mean,
                            .rstd = a->head_rstd};
    int rc;
    SEC_TRY(be->gather_rows(be, sec_model_hidden(m), rows, n, h, m->opt.act, a->head_x));
    SEC_TRY(sec_linear(m, a->head_x, n, h, h, p->head_w, p->head_b, a->head_s, h, a->head_aux));
    rc = be->add_ln(be, &ln);
fail:
    return rc;
}

static int logits(struct sec_model *m, int64_t first, int64_t n, enum sec_dtype type)
{
    struct sec_acts *a = &m->st->a;
    int64_t h = m->config.hidden_size, v = m->config.vocab_size;
    struct sec_gemm g = {.m = n,
                         .n = v,
                         .k = h,
                         .trans_b = true,
                         .ab_type = m->opt.act,
                         .c_type = type,
                         .a = sec_at(a->head_t, first * h, m->opt.act),
                         .b = sec_w(m, m->params.word),
                         .c = a->logits,
                         .lda = h,
                         .ldb = h,
                         .ldc = v,
                         .epilogue = SEC_EPI_BIAS,
                         .bias = sec_v(m, m->params.head_bias)};
    return m->be->gemm(m->be, &g);
}

static int cross_entropy(struct sec_model *m, int64_t first, int64_t n, enum sec_dtype type,
                         double scale, bool grad)
{
    struct sec_acts *a = &m->st->a;
    struct sec_xent x = {.rows = n,
                         .cols = m->config.vocab_size,
                         .type = type,
                         .logits = a->logits,
                         .ld = m->config.vocab_size,
                         .labels = a->labels + first,
                         .scale = scale,
                         .want_grad = grad,
                         .loss = sec_at(a->loss, first, type == SEC_F64 ? SEC_F64 : SEC_F32),
                         .rank = a->rank + first};
    return m->be->xent(m->be, &x);
}

/* The logits' gradient: dt for these rows; dE and dbias accumulated. */
static int logits_bwd(struct sec_model *m, int64_t first, int64_t n)
{
    struct sec_acts *a = &m->st->a;
    int64_t h = m->config.hidden_size, v = m->config.vocab_size;
    int rc = sec_linear_bwd_weight(m, a->logits, v, sec_at(a->head_t, first * h, m->opt.act), n, h,
                                   v, m->params.word, m->params.head_bias);
    if (!rc)
        rc = sec_linear_bwd_input(m, a->logits, v, n, h, v, m->params.word,
                                  sec_at(a->head_dt, first * h, m->opt.act), m->opt.act, false);
    return rc;
}

static int transform_bwd(struct sec_model *m, int64_t n)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    const struct sec_params *p = &m->params;
    int64_t h = m->config.hidden_size, t = m->st->n_tokens;
    enum sec_dtype act = m->opt.act;
    struct sec_add_ln_bwd ln = {.rows = n,
                                .cols = h,
                                .act = act,
                                .dy = a->head_dt,
                                .s = a->head_s,
                                .mean = a->head_mean,
                                .rstd = a->head_rstd,
                                .gamma = sec_v(m, p->head_g),
                                .ds = a->head_dt,
                                .dgamma = sec_g(m, p->head_g),
                                .dbeta = sec_g(m, p->head_beta)};
    int rc;
    SEC_TRY(be->add_ln_bwd(be, &ln));
    SEC_TRY(be->gelu_bwd(be, a->head_dt, a->head_aux, a->head_dt, n * h, act));
    SEC_TRY(sec_linear_bwd_weight(m, a->head_dt, h, a->head_x, n, h, h, p->head_w, p->head_b));
    SEC_TRY(sec_linear_bwd_input(m, a->head_dt, h, n, h, h, p->head_w, a->head_s, act, false));
    SEC_TRY(be->zero(be, a->grad_a, (size_t)(t * h) * sec_dtype_size(act)));
    rc = be->scatter_add_rows(be, a->head_s, a->masked_rows, n, h, act, a->grad_a);
fail:
    return rc;
}

static int check_masked(const struct sec_model *m, const struct sec_batch *b)
{
    if (!(m->opt.heads & SEC_HEAD_MLM))
        return sec_fail(SEC_ECONFIG, "this model has no masked-language-model head");
    if (b->n_masked > m->opt.max_masked)
        return sec_fail(SEC_ECONFIG, "batch of %d masked tokens; the model was created for %d",
                        b->n_masked, m->opt.max_masked);
    return 0;
}

static int upload_masked(struct sec_model *m, const struct sec_batch *b)
{
    struct sec_acts *a = &m->st->a;
    size_t n = (size_t)b->n_masked;
    int rc = m->be->upload(m->be, a->masked_rows, b->masked_rows, n * sizeof *a->masked_rows);
    if (!rc)
        rc = m->be->upload(m->be, a->labels, b->labels, n * sizeof *a->labels);
    return rc;
}

/* Losses and ranks of n rows to the host staging; type is that of the logits. */
static int fetch_losses(struct sec_model *m, int32_t n, enum sec_dtype type)
{
    struct sec_model_state *st = m->st;
    size_t size = type == SEC_F64 ? sizeof(double) : sizeof(float);
    int rc = m->be->download(m->be, st->loss_host, st->a.loss, (size_t)n * size);
    if (!rc)
        rc = m->be->download(m->be, st->rank_host, st->a.rank, (size_t)n * sizeof(int32_t));
    return rc;
}

static double loss_at(const struct sec_model *m, int32_t i)
{
    return m->opt.act == SEC_F64 ? ((const double *)m->st->loss_host)[i]
                                 : (double)((const float *)m->st->loss_host)[i];
}

/* All of a training pass that works on backend memory alone: losses to their place, gradients
 * added. */
static int train_pass(struct sec_model *m, double loss_scale)
{
    const struct sec_batch *b = m->st->batch;
    int rc;
    SEC_TRY(sec_encoder(m));
    SEC_TRY(transform(m, m->st->a.masked_rows, b->n_masked));
    for (int32_t i = 0, step = m->st->logit_rows_train; i < b->n_masked; i += step) {
        int32_t n = b->n_masked - i < step ? b->n_masked - i : step;
        SEC_TRY(logits(m, i, n, m->opt.act));
        SEC_TRY(cross_entropy(m, i, n, m->opt.act, loss_scale, true));
        SEC_TRY(logits_bwd(m, i, n));
    }
    SEC_TRY(transform_bwd(m, b->n_masked));
    rc = sec_encoder_bwd(m);
fail:
    return rc;
}

int sec_model_train_mlm(struct sec_model *m, const struct sec_batch *b, double loss_scale,
                        uint64_t dropout_seed, double *loss_sum, int64_t *n_correct)
{
    *loss_sum = 0;
    if (n_correct)
        *n_correct = 0;
    if (!m->opt.train)
        return sec_fail(SEC_ECONFIG, "this model was created for inference, not for training");
    if (b->n_masked == 0)
        return sec_model_forward(m, b, true, dropout_seed);
    m->st->have_forward = false;
    const struct sec_batch *whole = b;
    int rc;
    SEC_TRY(sec_check_batch(m, b));
    SEC_TRY(check_masked(m, b));
    if (m->opt.pad)
        whole = sec_padded(m, b);
    SEC_TRY(sec_begin_pass(m, whole, true, dropout_seed));
    SEC_TRY(upload_masked(m, whole));
    SEC_TRY(sec_run_pass(m, loss_scale, train_pass));
    SEC_TRY(fetch_losses(m, b->n_masked, m->opt.act));
    for (int32_t i = 0; i < b->n_masked; i++) {
        *loss_sum += loss_at(m, i);
        if (n_correct)
            *n_correct += m->st->rank_host[i] == 0;
    }
    m->st->n_given = b->n_tokens;
    m->st->have_forward = true;
fail:
    return rc;
}

int sec_model_eval_mlm(struct sec_model *m, const struct sec_batch *b, float *loss, int32_t *rank)
{
    enum sec_dtype type = sec_m_master(m);
    int rc;
    SEC_TRY(sec_model_forward(m, b, false, 0));
    if (b->n_masked == 0)
        return 0;
    SEC_TRY(check_masked(m, b));
    SEC_TRY(upload_masked(m, b));
    SEC_TRY(transform(m, m->st->a.masked_rows, b->n_masked));
    for (int32_t i = 0, step = m->st->logit_rows_eval; i < b->n_masked; i += step) {
        int32_t n = b->n_masked - i < step ? b->n_masked - i : step;
        SEC_TRY(logits(m, i, n, type));
        SEC_TRY(cross_entropy(m, i, n, type, 0, false));
    }
    SEC_TRY(fetch_losses(m, b->n_masked, type));
    for (int32_t i = 0; i < b->n_masked; i++) {
        loss[i] = (float)loss_at(m, i);
        rank[i] = m->st->rank_host[i];
    }
fail:
    return rc;
}

int sec_model_mlm_logits(struct sec_model *m, const int32_t *rows, int32_t n, float *out)
{
    enum sec_dtype type = sec_m_master(m);
    int64_t v = m->config.vocab_size;
    if (!m->st->have_forward)
        return sec_fail(SEC_ECONFIG, "logits asked for without a forward pass before");
    if (!(m->opt.heads & SEC_HEAD_MLM))
        return sec_fail(SEC_ECONFIG, "this model has no masked-language-model head");
    if (n > m->opt.max_masked)
        return sec_fail(SEC_ECONFIG, "logits of %d rows; the model was created for %d", n,
                        m->opt.max_masked);
    int rc;
    SEC_TRY(m->be->upload(m->be, m->st->a.masked_rows, rows, (size_t)n * sizeof *rows));
    SEC_TRY(transform(m, m->st->a.masked_rows, n));
    for (int32_t i = 0, step = m->st->logit_rows_eval; i < n; i += step) {
        int32_t count = n - i < step ? n - i : step;
        SEC_TRY(logits(m, i, count, type));
        SEC_TRY(sec_fetch_f32(m, m->st->a.logits, type, count * v, out + i * v));
    }
    rc = 0;
fail:
    return rc;
}
