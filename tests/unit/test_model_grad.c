/* The whole model's gradients in F64 on the reference backend against central differences. */
#include "model/state.h"
#include "model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct sec_backend *be;
    struct sec_model *m;
    struct fix_batch f;
    double *base, *work, *grad;
};

static void open_rig(struct rig *r, int64_t conv, int64_t mp, double dropout, unsigned heads)
{
    static const int lengths[] = {9, 1, 13, 4};
    struct sec_model_config c = fix_config(conv, mp, dropout);
    struct sec_model_options o = {.act = SEC_F64,
                                  .train = true,
                                  .heads = heads,
                                  .num_labels = 3,
                                  .max_tokens = FIX_TOKENS,
                                  .max_seqs = FIX_SEQS,
                                  .max_seqlen = 16,
                                  .logit_rows = 3};
    assert_int_equal(sec_backend_ref(&r->be), 0);
    assert_int_equal(sec_model_create(&c, r->be, &o, &r->m), 0);
    fix_fill(&r->f, lengths, 4, 1, (int)c.vocab_size);
    for (int i = 0; i < r->f.b.n_tokens; i++)
        r->f.ids[i] += r->f.ids[i] == 0; /* a look-up of [PAD] has no gradient, by design */
    size_t n = (size_t)r->m->params.total;
    float *host = calloc(n, sizeof *host);
    fix_values(r->m, 5, host);
    assert_int_equal(sec_model_load(r->m, host), 0);
    free(host);
    r->base = calloc(n, sizeof(double));
    r->work = calloc(n, sizeof(double));
    r->grad = calloc(n, sizeof(double));
    memcpy(r->base, r->m->master, n * sizeof(double));
}

static void close_rig(struct rig *r)
{
    free(r->base);
    free(r->work);
    free(r->grad);
    sec_model_free(r->m);
    r->be->destroy(r->be);
}

static double mlm_loss(struct rig *r)
{
    double sum;
    assert_int_equal(sec_model_train_mlm(r->m, &r->f.b, 0.25, 11, &sum, NULL), 0);
    return 0.25 * sum;
}

/* A linear form of the logits, so that its gradient is the caller's. The values are read where they
 * are F64; sec_model_classify() itself hands out fp32. */
static double class_loss(struct rig *r)
{
    static const float weight[12] = {1, -2, 0.5f, 3, 1, -1, 0.25f, 2, -3, 1, 1, 2};
    float logits[12];
    assert_int_equal(sec_model_classify(r->m, &r->f.b, true, 11, logits), 0);
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (double)weight[i] * ((const double *)r->m->st->a.cls_logits)[i];
    assert_int_equal(sec_model_classify_bwd(r->m, &r->f.b, weight), 0);
    assert_true(sec_model_classify_bwd(r->m, &r->f.b, weight) != 0); /* needs its forward pass */
    return sum;
}

/* Along a random direction: the derivative of the loss is <grad, direction>. One tensor at a time,
 * so that every tensor is checked on its own scale. */
static void check_tensors(struct rig *r, double (*loss)(struct rig *))
{
    double *x = r->m->master;
    size_t n = (size_t)r->m->params.total;
    sec_model_zero_grad(r->m);
    loss(r);
    memcpy(r->grad, r->m->grad, n * sizeof(double));
    for (int i = 0; i < r->m->params.n; i++) {
        const struct sec_param *p = &r->m->params.v[i];
        double want[2], dot = 0, h = 1e-4, norm = 0;
        for (int64_t j = p->offset; j < p->offset + p->count; j++) {
            r->work[j] = sec_rand_normal(3, SEC_STREAM_SAMPLE, (uint64_t)j);
            dot += r->grad[j] * r->work[j];
            norm += r->grad[j] * r->grad[j];
        }
        for (int step = 0; step < 2; step++) { /* Richardson: error O(h^4) */
            double d = h / (1 << step), side[2];
            for (int s = 0; s < 2; s++) {
                for (int64_t j = p->offset; j < p->offset + p->count; j++)
                    x[j] = r->base[j] + (s ? -d : d) * r->work[j];
                side[s] = loss(r);
            }
            want[step] = (side[0] - side[1]) / (2 * d);
        }
        memcpy(x + p->offset, r->base + p->offset, (size_t)p->count * sizeof *x);
        double value = (4 * want[1] - want[0]) / 3;
        double error = fabs(value - dot) / (fabs(dot) + sqrt(norm) + 1e-9);
        if (error > 1e-6)
            print_message("%s: %.10g by differences, %.10g by backward\n", p->name, value, dot);
        assert_true(error <= 1e-6);
    }
}

static void check(int64_t conv, int64_t mp, double dropout, unsigned head)
{
    struct rig r;
    open_rig(&r, conv, mp, dropout, head);
    check_tensors(&r, head == SEC_HEAD_MLM ? mlm_loss : class_loss);
    const double *row0 = r.grad + r.m->params.rel;
    for (int64_t j = 0; j < r.m->config.hidden_size; j++)
        assert_true(row0[j] == 0);
    close_rig(&r);
}

static void test_mlm(void **state)
{
    check(0, 512, 0, SEC_HEAD_MLM);
    check(3, 512, 0, SEC_HEAD_MLM);
}

static void test_mlm_short_span(void **state)
{
    check(3, 7, 0, SEC_HEAD_MLM); /* sequences longer than max_relative_positions */
}

static void test_mlm_dropout(void **state)
{
    check(3, 512, 0.25, SEC_HEAD_MLM);
    check(0, 7, 0.25, SEC_HEAD_MLM);
}

static void test_classify(void **state)
{
    check(3, 7, 0, SEC_HEAD_CLASSIFY);
    check(0, 512, 0.25, SEC_HEAD_CLASSIFY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlm), cmocka_unit_test(test_mlm_short_span),
        cmocka_unit_test(test_mlm_dropout), cmocka_unit_test(test_classify)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
