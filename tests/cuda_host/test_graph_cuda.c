/* Recorded training passes (kernels/cuda/graph.cu) on the CUDA backend in emulation: the bits of
 * plain passes, under every schedule, with other contents, seeds and sequences, after buffers have
 * moved, with what cannot be recorded, and with the k-th CUDA call failing. */
#include "model/state.h"
#include "tests/cuda_host/emulation.h"
#include "tests/model_fixture.h"
#include "tests/testing.h"

static const int batches[][5] = {
    {9, 1, 13, 4}, {20, 7}, {9, 1, 13, 4}, {3, 3, 3, 3, 3}, {17, 20, 20}};
enum { BATCHES = 5, PASSES = 10 };

struct rig {
    struct sec_backend *be;
    struct sec_model *m;
};

static int layers = 2;
static struct sec_model_config config(void)
{
    struct sec_model_config c = fix_config(3, 7, 0.2);
    c.hidden_size = 32;
    c.num_hidden_layers = layers;
    return c;
}

/* With recordings or without, all else equal. */
static int open_rig(struct rig *r, bool recorded, enum sec_dtype act)
{
    struct sec_model_config c = config();
    struct sec_model_options o = {.act = act,
                                  .train = true,
                                  .heads = SEC_HEAD_MLM,
                                  .max_tokens = FIX_TOKENS,
                                  .max_seqs = FIX_SEQS,
                                  .max_seqlen = 20,
                                  .max_masked = 32,
                                  .logit_rows = 20,
                                  .pad = true};
    r->m = NULL;
    int rc = sec_backend_cuda(&r->be);
    if (!rc && !recorded)
        r->be->record_begin = NULL;
    if (!rc)
        rc = sec_model_create(&c, r->be, &o, &r->m);
    return rc;
}

static void close_rig(struct rig *r)
{
    sec_model_free(r->m);
    if (r->be)
        r->be->destroy(r->be);
}

static int load(struct rig *r, uint64_t seed)
{
    float *host = calloc((size_t)r->m->params.total, sizeof *host);
    fix_values(r->m, seed, host);
    int rc = sec_model_load(r->m, host);
    free(host);
    return rc;
}

static void fill(struct fix_batch *f, int i)
{
    int n = 0;
    while (n < 5 && batches[i % BATCHES][n])
        n++;
    fix_fill(f, batches[i % BATCHES], n, 1 + 7 * i, 96);
}

/* Pass i: other weights, sequences and seed than those before; its loss and gradients. */
static int pass(struct rig *r, int i, double *loss, float *grad)
{
    struct fix_batch f;
    size_t bytes = (size_t)r->m->params.total * sizeof *grad;
    fill(&f, i);
    int rc;
    SEC_TRY(load(r, 3 + (uint64_t)i));
    SEC_TRY(sec_model_zero_grad(r->m));
    SEC_TRY(sec_model_train_mlm(r->m, &f.b, 0.25, 100 + (uint64_t)i, loss, NULL));
    rc = r->be->download(r->be, grad, r->m->grad, bytes);
fail:
    return rc;
}

struct expected {
    double loss[PASSES];
    float *grad[PASSES];
};

static void plain_passes(enum sec_dtype act, struct expected *e)
{
    struct rig r;
    assert_ok(open_rig(&r, false, act));
    for (int i = 0; i < PASSES; i++) {
        e->grad[i] = malloc((size_t)r.m->params.total * sizeof(float));
        assert_ok(pass(&r, i, &e->loss[i], e->grad[i]));
        assert_true(e->loss[i] > 0 && e->loss[i] < 1e4);
    }
    close_rig(&r);
}

static void free_expected(struct expected *e)
{
    for (int i = 0; i < PASSES; i++)
        free(e->grad[i]);
}

static void check_pass(struct rig *r, int i, const struct expected *e)
{
    size_t n = (size_t)r->m->params.total;
    float *grad = malloc(n * sizeof *grad);
    double loss;
    assert_ok(pass(r, i, &loss, grad));
    assert_true(loss == e->loss[i]);
    assert_memory_equal(grad, e->grad[i], n * sizeof *grad);
    free(grad);
}

struct schedule {
    enum sec_dtype act;
    struct expected e;
    uint64_t calls; /* of the last pass */
};

static void run_schedule(void *arg)
{
    struct schedule *s = arg;
    struct rig r;
    assert_ok(open_rig(&r, true, s->act));
    for (int i = 0; i < PASSES; i++) {
        uint64_t before = cuda_host_stats_now().calls;
        check_pass(&r, i, &s->e);
        s->calls = cuda_host_stats_now().calls - before;
    }
    close_rig(&r);
}

static void test_same_bits(void **state)
{
    for (int t = 0; t < 2; t++) {
        struct schedule s = {.act = t ? SEC_BF16 : SEC_F32};
        plain_passes(s.act, &s.e);
        cuda_host_each_schedule(run_schedule, &s);
        print_message("%s: %llu CUDA calls in a replayed pass\n", t ? "bf16" : "fp32",
                      (unsigned long long)s.calls);
        free_expected(&s.e);
    }
}

/* A larger product elsewhere moves the buffers that recordings hold. */
static int grow(struct rig *r, int64_t n)
{
    struct sec_backend *be = r->be;
    void *x = NULL, *y = NULL;
    int rc;
    SEC_TRY(be->alloc(be, (size_t)n * 4, &x));
    SEC_TRY(be->alloc(be, (size_t)n * 8 * 2, &y));
    SEC_TRY(be->zero(be, x, (size_t)n * 4));
    SEC_TRY(be->zero(be, y, (size_t)n * 8 * 2));
    rc = be->bias_grad(be, y, 8, n, n, SEC_BF16, x);
fail:
    if (x)
        be->free(be, x);
    if (y)
        be->free(be, y);
    return rc;
}

static void test_growth(void **state)
{
    struct expected e;
    struct rig r;
    plain_passes(SEC_BF16, &e);
    assert_ok(open_rig(&r, true, SEC_BF16));
    for (int i = 0; i < PASSES; i++) {
        if (i % 3 == 2)
            assert_ok(grow(&r, (int64_t)10000 << i));
        check_pass(&r, i, &e);
    }
    close_rig(&r);
    free_expected(&e);
}

/* An op that touches the host cannot be recorded: the pass runs as it comes. */
static int (*inner_gelu)(struct sec_backend *b, const void *x, void *y, int64_t n,
                         enum sec_dtype act);
static int gelu_with_sync(struct sec_backend *b, const void *x, void *y, int64_t n,
                          enum sec_dtype act)
{
    int rc = b->sync(b);
    return rc ? rc : inner_gelu(b, x, y, n, act);
}

static void test_not_recordable(void **state)
{
    struct expected e;
    struct rig r;
    plain_passes(SEC_F32, &e);
    assert_ok(open_rig(&r, true, SEC_F32));
    inner_gelu = r.be->gelu;
    r.be->gelu = gelu_with_sync;
    for (int i = 0; i < PASSES; i++)
        check_pass(&r, i, &e);
    close_rig(&r);
    free_expected(&e);
}

/* More keys than there is room for. */
static void test_many(void **state)
{
    struct rig r;
    double loss[2][40];
    for (int v = 0; v < 2; v++) {
        assert_ok(open_rig(&r, v, SEC_F32));
        assert_ok(load(&r, 3));
        for (int i = 0; i < 40; i++) {
            struct fix_batch f;
            int scale = i < 4 ? 0 : i % 20; /* a part of the key */
            fill(&f, i);
            assert_ok(sec_model_train_mlm(r.m, &f.b, scale, 100, &loss[v][i], NULL));
        }
        close_rig(&r);
    }
    assert_memory_equal(loss[0], loss[1], sizeof loss[0]);
}

/* As it comes, recorded, replayed. */
static int three_passes(const struct expected *e)
{
    struct rig r = {0};
    double loss;
    int rc = open_rig(&r, true, SEC_F32);
    size_t n = r.m ? (size_t)r.m->params.total : 0;
    float *grad = malloc(n * sizeof *grad + 1);
    for (int i = 0; !rc && i < 3; i++) {
        rc = pass(&r, i, &loss, grad);
        if (!rc && (loss != e->loss[i] || memcmp(grad, e->grad[i], n * sizeof *grad)))
            fail_msg("pass %d has other results", i);
    }
    free(grad);
    close_rig(&r);
    return rc;
}

/* A failed call ends in an error, or in a pass that was not recorded. */
static void test_faults(void **state)
{
    struct cuda_host_config before = cuda_host_current(), c = before;
    struct expected e;
    layers = 1;
    plain_passes(SEC_F32, &e);
    uint64_t first = cuda_host_stats_now().calls;
    assert_ok(three_passes(&e));
    long calls = (long)(cuda_host_stats_now().calls - first), survived = 0;
    c.quiet = true;
    for (long k = 1; k <= calls; k++) {
        c.fail_at = k;
        cuda_host_configure(&c);
        int rc = three_passes(&e);
        survived += !rc;
        if (rc && (rc != SEC_EDEVICE || !strstr(sec_error(), "cuda: ")))
            fail_msg("call %ld: %d: %s", k, rc, sec_error());
        assert_int_equal(cuda_host_stats_now().allocated, 0);
        cuda_host_reset();
    }
    cuda_host_configure(&before);
    print_message("%ld calls, %ld of their failures change nothing\n", calls, survived);
    free_expected(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_growth),
        cmocka_unit_test(test_not_recordable), cmocka_unit_test(test_many),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
