/* Training passes recorded as CUDA graphs and replayed give the bits of plain passes, and a pass
 * that is run again its own: on a real device; tests/gpu/run drives it. Weights, sequences, tokens
 * and dropout seeds change from pass to pass. */
#include "tests/testing.h"
#define FIX_TOKENS 256
#include "tests/model_fixture.h"

enum { PASSES = 6, KINDS = 2, MOST = 4 };
static const int lengths[KINDS][MOST] = {{100, 1, 130}, {64, 65, 63, 7}};

struct rig {
    struct sec_backend *be;
    struct sec_model *m;
};

static void open_rig(struct rig *r, bool recorded, enum sec_dtype act)
{
    struct sec_model_config c = fix_config(3, 40, 0.1);
    c.hidden_size = 128;
    c.intermediate_size = 256;
    c.position_buckets = 32;
    c.initializer_range = 0.1;
    struct sec_model_options o = {.act = act,
                                  .train = true,
                                  .heads = SEC_HEAD_MLM,
                                  .max_tokens = FIX_TOKENS,
                                  .max_seqs = FIX_SEQS,
                                  .max_seqlen = FIX_TOKENS,
                                  .pad = true};
    assert_ok(sec_backend_cuda(&r->be));
    if (!recorded)
        r->be->record_begin = NULL;
    assert_ok(sec_model_create(&c, r->be, &o, &r->m));
}

static void close_rig(struct rig *r)
{
    sec_model_free(r->m);
    r->be->destroy(r->be);
}

/* Loss and gradients of pass i; the result is malloc'd, the loss behind the gradients. */
static float *pass(struct rig *r, int i)
{
    size_t n = (size_t)r->m->params.total;
    float *host = calloc(n + 1, sizeof *host);
    struct fix_batch f;
    double loss;
    int seqs = 0;
    while (seqs < MOST && lengths[i % KINDS][seqs])
        seqs++;
    assert_non_null(host);
    fix_fill(&f, lengths[i % KINDS], seqs, 1 + 5 * i, (int)r->m->config.vocab_size);
    fix_values(r->m, 3 + (uint64_t)i, host);
    assert_ok(sec_model_load(r->m, host));
    assert_ok(sec_model_zero_grad(r->m));
    assert_ok(sec_model_train_mlm(r->m, &f.b, 0.01, 100 + (uint64_t)i, &loss, NULL));
    assert_ok(r->be->download(r->be, host, r->m->grad, n * sizeof *host));
    assert_true(loss > 0 && loss < 1e5);
    host[n] = (float)loss;
    return host;
}

static void check(enum sec_dtype act, bool recorded)
{
    struct rig plain, other;
    open_rig(&plain, false, act);
    open_rig(&other, recorded, act);
    for (int i = 0; i < PASSES; i++) {
        float *want = pass(&plain, i), *got = pass(&other, i);
        if (memcmp(want, got, ((size_t)plain.m->params.total + 1) * sizeof *want))
            fail_msg("pass %d, %s: other bits when %s", i, act == SEC_BF16 ? "bf16" : "fp32",
                     recorded ? "recorded" : "run again");
        free(want);
        free(got);
    }
    close_rig(&plain);
    close_rig(&other);
}

static void test_again(void **state)
{
    check(SEC_F32, false);
    check(SEC_BF16, false);
}

static void test_recorded(void **state)
{
    check(SEC_F32, true);
    check(SEC_BF16, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_again),
                                       cmocka_unit_test(test_recorded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
