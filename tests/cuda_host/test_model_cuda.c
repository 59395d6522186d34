/* The model on the CUDA backend in emulation, against ref: hidden states of every layer, losses,
 * ranks, logits, every gradient, AdamW steps; F32 and BF16 (ref rounds at the same points), with
 * and without convolution and dropout, sequences shorter and longer than max_relative_positions.
 *
 * The worst relative L2 error of every kind is printed; the bounds stand in `bound`. */
#include "model/state.h"
#include "tests/cuda_host/emulation.h"
#define FIX_TOKENS 128
#include "tests/model_fixture.h"
#include "tests/testing.h"
#include "train/optimizer.h"

#include <math.h>

enum kind { HIDDEN, LOGITS, LOSS, GRADIENT, GRAD_MATRIX, GRAD_VECTOR, STEP_LOSS, WEIGHTS, KINDS };
static const char *const kind_name[KINDS] = {"hidden",
                                             "logits",
                                             "loss",
                                             "all gradients",
                                             "gradients of matrices",
                                             "gradients of vectors",
                                             "losses of steps",
                                             "weights after steps"};
static const double bound[2][KINDS] = {{1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5},
                                       {2e-2, 2e-2, 5e-3, 2e-2, 2e-2, 2e-2, 5e-3, 5e-3}};
static struct {
    double error;
    char where[128];
} worst[2][KINDS];
static int bad;

enum { STEPS = 10, LABELS = 3 };

/* What a model is made of. */
struct shape {
    const char *name;
    struct sec_model_config c;
    enum sec_dtype act;
    bool recompute;
};

/* A model on a backend. */
struct rig {
    struct sec_backend *be;
    struct sec_model *m;
    struct sec_optimizer opt;
};

static const int lengths[] = {37, 1, 70, 12};
enum { SEQS = 4, MAX_SEQLEN = 80 };

static struct sec_model_config nano(int64_t conv, int64_t mp, double dropout)
{
    struct sec_model_config c = fix_config(conv, mp, dropout);
    c.vocab_size = 512;
    c.hidden_size = 64;
    c.intermediate_size = 256;
    c.position_buckets = 16;
    c.initializer_range = 0.15;
    return c;
}

static struct sec_model_config tiny(void)
{
    struct sec_model_config c = fix_config(3, 512, 0);
    c.vocab_size = 29952;
    c.hidden_size = 128;
    c.num_hidden_layers = 4;
    c.intermediate_size = 512;
    c.position_buckets = 64;
    c.initializer_range = 0.08;
    return c;
}

static void open_rig(struct rig *r, bool cuda, const struct shape *s, bool train)
{
    struct sec_model_options o = {.act = s->act,
                                  .train = train,
                                  .heads = SEC_HEAD_MLM | SEC_HEAD_CLASSIFY,
                                  .num_labels = LABELS,
                                  .max_tokens = FIX_TOKENS,
                                  .max_seqs = FIX_SEQS,
                                  .max_seqlen = MAX_SEQLEN,
                                  .logit_rows = 16,
                                  .recompute = s->recompute};
    assert_ok(cuda ? sec_backend_cuda(&r->be) : sec_backend_ref(&r->be));
    assert_ok(sec_model_create(&s->c, r->be, &o, &r->m));
    float *host = calloc((size_t)r->m->params.total, sizeof *host);
    assert_non_null(host);
    fix_values(r->m, 5, host);
    /* The backend adds a bias rounded to act (ops.h); here the first ones are. */
    for (int64_t i = 0; i < r->m->params.total; i++)
        host[i] = sec_bf16_to_f32(sec_f32_to_bf16(host[i]));
    assert_ok(sec_model_load(r->m, host));
    free(host);
    r->opt = (struct sec_optimizer){0};
    if (train)
        assert_ok(sec_optimizer_create(r->m, &r->opt));
}

static void close_rig(struct rig *r)
{
    if (r->opt.model)
        sec_optimizer_free(&r->opt);
    sec_model_free(r->m);
    r->be->destroy(r->be);
}

/* The models of a shape. EXACT, ref in F32, goes with BF16 only: its distance from REF is what
 * rounding does to a value. */
enum { REF, CUDA, EXACT, RIGS };
static int rigs(const struct shape *s)
{
    return s->act == SEC_BF16 ? RIGS : RIGS - 1;
}

static void open_rigs(struct rig r[RIGS], const struct shape *s)
{
    struct shape exact = *s;
    exact.act = SEC_F32;
    for (int i = 0; i < rigs(s); i++)
        open_rig(&r[i], i == CUDA, i == EXACT ? &exact : s, true);
}

static void close_rigs(struct rig r[RIGS], const struct shape *s)
{
    for (int i = 0; i < rigs(s); i++)
        close_rig(&r[i]);
}

static float *new_floats(int64_t n)
{
    float *x = calloc((size_t)n, sizeof *x);
    assert_non_null(x);
    return x;
}

static double relative_l2(const float *got, const float *want, int64_t n)
{
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += pow((double)got[i] - (double)want[i], 2);
        norm += (double)want[i] * (double)want[i];
    }
    return diff == 0 ? 0 : sqrt(diff) / fmax(sqrt(norm), 1e-30);
}

/* Notes the error of `got` against `want`; it is shown and counted beyond the bound, or, if that is
 * more, beyond twice what rounding does to `want`. Two roundings of one size, independent of each
 * other, differ by sqrt(2) of it; attention in bf16 also rounds P and its gradient, which ref keeps
 * in fp32. */
static void near_or(const struct shape *s, enum kind k, const char *what, const float *got,
                    const float *want, int64_t n, double rounding)
{
    int t = s->act == SEC_BF16;
    double e = relative_l2(got, want, n), most = fmax(bound[t][k], 2 * rounding);
    if (!(e <= most)) {
        print_message("%s %s, %s: %s: error %.2e, bound %.1e\n", s->name, t ? "bf16" : "f32",
                      kind_name[k], what, e, most);
        bad++;
    }
    if (!(e <= worst[t][k].error)) {
        worst[t][k].error = e;
        snprintf(worst[t][k].where, sizeof worst[t][k].where, "%s %s", s->name, what);
    }
}

static void check_bad(void)
{
    int n = bad;
    bad = 0;
    assert_int_equal(n, 0);
}

static void near(const struct shape *s, enum kind k, const char *what, const float *got,
                 const float *want, int64_t n)
{
    near_or(s, k, what, got, want, n, 0);
}

static void near_value(const struct shape *s, enum kind k, const char *what, double got,
                       double want)
{
    float a = (float)got, b = (float)want;
    near(s, k, what, &a, &b, 1);
}

static float *gradients(const struct rig *r)
{
    float *g = new_floats(r->m->params.total);
    assert_ok(sec_fetch_f32(r->m, r->m->grad, SEC_F32, r->m->params.total, g));
    return g;
}

static float *values(const struct rig *r)
{
    float *x = new_floats(r->m->params.total);
    assert_ok(sec_model_store(r->m, x));
    return x;
}

/* All gradients, and every one: of a tensor whose gradient nearly cancels little is left but what
 * rounding does to it, in ref too. */
static void near_gradients(const struct shape *s, const struct rig r[RIGS])
{
    float *x[RIGS];
    for (int i = 0; i < rigs(s); i++)
        x[i] = gradients(&r[i]);
    for (int i = 0; i < r[REF].m->params.n; i++) {
        const struct sec_param *p = &r[REF].m->params.v[i];
        double rounding = s->act == SEC_BF16
                              ? relative_l2(x[REF] + p->offset, x[EXACT] + p->offset, p->count)
                              : 0;
        near_or(s, p->ndim > 1 ? GRAD_MATRIX : GRAD_VECTOR, p->name, x[CUDA] + p->offset,
                x[REF] + p->offset, p->count, rounding);
    }
    near(s, GRADIENT, "one after another", x[CUDA], x[REF], r[REF].m->params.total);
    for (int i = 0; i < rigs(s); i++)
        free(x[i]);
}

static void near_weights(const struct shape *s, const struct rig r[RIGS])
{
    float *x[2] = {values(&r[REF]), values(&r[CUDA])};
    for (int i = 0; i < r[REF].m->params.n; i++) {
        const struct sec_param *p = &r[REF].m->params.v[i];
        near(s, WEIGHTS, p->name, x[CUDA] + p->offset, x[REF] + p->offset, p->count);
    }
    free(x[0]);
    free(x[1]);
}

static void near_layers(const struct shape *s, const struct rig r[RIGS], int64_t tokens)
{
    int64_t n = tokens * s->c.hidden_size;
    float *x[2] = {new_floats(n), new_floats(n)};
    char what[32];
    for (int l = 0; l <= s->c.num_hidden_layers; l++) {
        for (int i = 0; i < 2; i++)
            assert_ok(sec_model_layer_rows(r[i].m, l, x[i]));
        snprintf(what, sizeof what, "layer %d", l);
        near(s, HIDDEN, what, x[1], x[0], n);
    }
    free(x[0]);
    free(x[1]);
}

static void check_train(const struct shape *s, struct rig r[RIGS], const struct sec_batch *b)
{
    double loss[RIGS];
    int64_t correct[RIGS];
    for (int i = 0; i < rigs(s); i++) {
        assert_ok(sec_model_zero_grad(r[i].m));
        assert_ok(sec_model_train_mlm(r[i].m, b, 1.0 / b->n_masked, 11, &loss[i], &correct[i]));
    }
    near_value(s, LOSS, "training", loss[CUDA], loss[REF]);
    if (s->act == SEC_F32)
        assert_int_equal(correct[CUDA], correct[REF]);
    near_layers(s, r, b->n_tokens);
    near_gradients(s, r);
}

/* Losses and ranks of the masked rows follow from their own logits, and these are ref's. */
static void check_eval(const struct shape *s, struct rig r[RIGS], const struct sec_batch *b)
{
    int64_t v = s->c.vocab_size;
    float *loss = new_floats(2 * FIX_TOKENS), *logits = new_floats(2 * v * b->n_masked);
    int32_t rank[2][FIX_TOKENS];
    for (int i = 0; i < 2; i++) {
        assert_ok(sec_model_eval_mlm(r[i].m, b, loss + i * FIX_TOKENS, rank[i]));
        assert_ok(sec_model_mlm_logits(r[i].m, b->masked_rows, b->n_masked,
                                       logits + i * v * b->n_masked));
    }
    near(s, LOGITS, "masked rows", logits + v * b->n_masked, logits, v * b->n_masked);
    near(s, LOSS, "evaluation", loss + FIX_TOKENS, loss, b->n_masked);
    for (int i = 0; i < b->n_masked; i++) {
        const float *x = logits + v * (b->n_masked + i), own = x[b->labels[i]];
        double sum = 0, max = (double)own;
        int above = 0;
        for (int64_t j = 0; j < v; j++)
            max = fmax(max, (double)x[j]);
        for (int64_t j = 0; j < v; j++) {
            sum += exp((double)x[j] - max);
            above += x[j] > own || (x[j] == own && j < b->labels[i]);
        }
        double want = max + log(sum) - (double)own;
        assert_true(fabs(want - (double)loss[FIX_TOKENS + i]) < 1e-5 * fmax(1, want));
        assert_int_equal(above, rank[1][i]);
        if (s->act == SEC_F32)
            assert_int_equal(rank[0][i], rank[1][i]);
    }
    free(loss);
    free(logits);
}

static void check_classify(const struct shape *s, struct rig r[RIGS], const struct sec_batch *b)
{
    static const float d[SEQS * LABELS] = {0.5f,  -0.25f, -0.25f, 0.125f, 0.25f, -0.375f,
                                           -0.5f, 0.75f,  -0.25f, 0.25f,  0.5f,  -0.75f};
    float logits[RIGS][SEQS * LABELS];
    for (int i = 0; i < rigs(s); i++) {
        assert_ok(sec_model_zero_grad(r[i].m));
        assert_ok(sec_model_classify(r[i].m, b, true, 12, logits[i]));
        assert_ok(sec_model_classify_bwd(r[i].m, b, d));
    }
    near(s, LOGITS, "classifier", logits[CUDA], logits[REF], SEQS * LABELS);
    near_gradients(s, r);
}

/* A model for inference alone gives the bits of one for training, a row alone those among others.
 */
static void check_inference(const struct shape *s, const struct rig *trained, struct fix_batch *f)
{
    int64_t h = s->c.hidden_size, n = f->b.n_tokens * h;
    float *a = new_floats(n), *b = new_floats(n);
    struct rig r;
    open_rig(&r, true, s, false);
    assert_ok(sec_model_forward(trained->m, &f->b, false, 0));
    assert_ok(sec_model_hidden_rows(trained->m, 0, f->b.n_tokens, a));
    assert_ok(sec_model_forward(r.m, &f->b, false, 0));
    assert_ok(sec_model_hidden_rows(r.m, 0, f->b.n_tokens, b));
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    for (int i = 0, at = 0; i < SEQS; at += lengths[i++]) {
        struct fix_batch one;
        fix_fill(&one, lengths + i, 1, 1 + i, (int)s->c.vocab_size);
        assert_ok(sec_model_forward(r.m, &one.b, false, 0));
        assert_ok(sec_model_hidden_rows(r.m, 0, lengths[i], b));
        assert_memory_equal(a + at * h, b, (size_t)(lengths[i] * h) * sizeof *a);
    }
    close_rig(&r);
    free(a);
    free(b);
}

/* Two micro-batches accumulate to the gradient of one batch of both. */
static void check_accumulation(const struct shape *s, const struct rig *r, struct fix_batch *f)
{
    double whole, part[2];
    assert_ok(sec_model_zero_grad(r->m));
    assert_ok(sec_model_train_mlm(r->m, &f->b, 0.5, 11, &whole, NULL));
    float *want = gradients(r);
    assert_ok(sec_model_zero_grad(r->m));
    for (int i = 0; i < 2; i++) {
        struct fix_batch half;
        fix_fill(&half, lengths + 2 * i, 2, 1 + 2 * i, (int)s->c.vocab_size);
        assert_ok(sec_model_train_mlm(r->m, &half.b, 0.5, 11, &part[i], NULL));
    }
    float *got = gradients(r);
    near_value(s, LOSS, "two micro-batches", part[0] + part[1], whole);
    near(s, GRADIENT, "two micro-batches", got, want, r->m->params.total);
    free(want);
    free(got);
}

static void check_no_masked(const struct rig *r, struct sec_batch b)
{
    double sum, squares;
    b.n_masked = 0;
    assert_ok(sec_model_zero_grad(r->m));
    assert_ok(sec_model_train_mlm(r->m, &b, 1, 11, &sum, NULL));
    assert_ok(r->be->sumsq(r->be, r->m->grad, r->m->params.total, SEC_F32, &squares));
    assert_true(sum == 0 && squares == 0);
}

static double step(struct rig *r, const struct sec_batch *b, int t)
{
    struct sec_optimizer_step o = {.t = t + 1,
                                   .lr = 1e-3,
                                   .grad_scale = 1.0 / b->n_masked,
                                   .beta1 = 0.9,
                                   .beta2 = 0.98,
                                   .eps = 1e-6,
                                   .weight_decay = 0.01,
                                   .clip = 1};
    double loss, norm;
    bool applied;
    assert_ok(sec_model_zero_grad(r->m));
    assert_ok(sec_model_train_mlm(r->m, b, 1, (uint64_t)(20 + t), &loss, NULL));
    assert_ok(sec_optimizer_apply(&r->opt, &o, &norm, &applied));
    assert_true(applied);
    return loss;
}

static void check_steps(const struct shape *s, struct rig r[RIGS], const struct sec_batch *b)
{
    char what[32];
    for (int t = 0; t < STEPS; t++) {
        double want = step(&r[REF], b, t);
        snprintf(what, sizeof what, "step %d", t);
        near_value(s, STEP_LOSS, what, step(&r[CUDA], b, t), want);
    }
    near_weights(s, r);
}

static void check_shape(const char *name, struct sec_model_config c)
{
    for (int t = 0; t < 2; t++) {
        struct shape s = {name, c, t ? SEC_BF16 : SEC_F32, false};
        struct fix_batch f;
        struct rig r[RIGS];
        fix_fill(&f, lengths, SEQS, 1, (int)c.vocab_size);
        open_rigs(r, &s);
        check_train(&s, r, &f.b);
        check_eval(&s, r, &f.b);
        check_classify(&s, r, &f.b);
        check_inference(&s, &r[CUDA], &f);
        check_accumulation(&s, &r[CUDA], &f);
        check_no_masked(&r[CUDA], f.b);
        check_steps(&s, r, &f.b);
        close_rigs(r, &s);
    }
    check_bad();
}

static void test_nano(void **state)
{
    check_shape("nano", nano(0, 512, 0));
}

static void test_nano_conv(void **state)
{
    check_shape("nano conv", nano(3, 512, 0));
}

static void test_nano_far(void **state)
{
    check_shape("nano conv mp 24", nano(3, 24, 0));
}

static void test_nano_dropout(void **state)
{
    check_shape("nano conv mp 24 dropout", nano(3, 24, 0.1));
    check_shape("nano dropout", nano(0, 512, 0.1));
}

static void test_tiny(void **state)
{
    for (int t = 0; t < 2; t++) {
        struct shape s = {"tiny", tiny(), t ? SEC_BF16 : SEC_F32, false};
        struct fix_batch f;
        struct rig r[RIGS];
        fix_fill(&f, lengths, SEQS, 1, (int)s.c.vocab_size);
        open_rigs(r, &s);
        check_train(&s, r, &f.b);
        close_rigs(r, &s);
    }
    check_bad();
}

/* Three steps (the first as it comes, the second recorded, the third replayed), an evaluation and a
 * classification: the weights, losses and logits in one array. */
struct again {
    struct shape s;
    float *first;
    int runs;
};

static void run_again(void *arg)
{
    struct again *a = arg;
    struct fix_batch f;
    struct rig r;
    int32_t rank[FIX_TOKENS];
    fix_fill(&f, lengths, SEQS, 1, (int)a->s.c.vocab_size);
    open_rig(&r, true, &a->s, true);
    int64_t n = r.m->params.total, all = n + 3 + FIX_TOKENS + SEQS * LABELS;
    float *x = new_floats(all);
    for (int t = 0; t < 3; t++)
        x[n + t] = (float)step(&r, &f.b, t);
    assert_ok(sec_model_store(r.m, x));
    assert_ok(sec_model_eval_mlm(r.m, &f.b, x + n + 3, rank));
    assert_ok(sec_model_classify(r.m, &f.b, false, 0, x + n + 3 + FIX_TOKENS));
    close_rig(&r);
    if (a->runs++) {
        if (memcmp(a->first, x, (size_t)all * sizeof *x))
            fail_msg("other bits in run %d, under another schedule or with recompute", a->runs);
        free(x);
    } else {
        a->first = x;
    }
}

static void test_schedules(void **state)
{
    for (int t = 0; t < 2; t++) {
        struct again a = {{"nano", nano(3, 24, 0.1), t ? SEC_BF16 : SEC_F32, false}, NULL, 0};
        cuda_host_each_schedule(run_again, &a);
        a.s.recompute = true;
        run_again(&a);
        free(a.first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nano),      cmocka_unit_test(test_nano_conv),
        cmocka_unit_test(test_nano_far),  cmocka_unit_test(test_nano_dropout),
        cmocka_unit_test(test_schedules), cmocka_unit_test(test_tiny),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < KINDS; k++)
            print_message("%s %-22s %.1e (bound %.0e%s)  %s\n", t ? "bf16" : "f32 ", kind_name[k],
                          worst[t][k].error, bound[t][k],
                          t && (k == GRAD_MATRIX || k == GRAD_VECTOR) ? " or twice the rounding"
                                                                      : "",
                          worst[t][k].where);
    return failed;
}
