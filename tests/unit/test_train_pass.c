/* Two ways to run a training pass that give the gradients of the plain one: a batch filled up to a
 * fixed shape, and activations computed again in backward. */
#include "model/state.h"
#include "model_fixture.h"
#include "testing.h"

#include <math.h>

static const int lengths[] = {9, 1, 13, 4};

struct outcome {
    double loss;
    int64_t correct;
    void *grad;
    size_t n; /* values */
    float hidden[FIX_TOKENS * 16];
};

static struct sec_model_options options(enum sec_dtype act)
{
    return (struct sec_model_options){.act = act,
                                      .train = true,
                                      .heads = SEC_HEAD_MLM,
                                      .max_tokens = FIX_TOKENS,
                                      .max_seqs = 4,
                                      .max_seqlen = 20,
                                      .max_masked = 40,
                                      .logit_rows = 7};
}

/* Two passes, so that gradients are added to. */
static void run(const char *backend, const struct sec_model_config *c,
                const struct sec_model_options *o, struct outcome *out)
{
    struct sec_backend *be;
    struct sec_model *m;
    struct fix_batch f;
    assert_ok(sec_backend_open(backend, &be));
    assert_ok(sec_model_create(c, be, o, &m));
    size_t n = (size_t)m->params.total;
    float *host = calloc(n, sizeof *host);
    fix_values(m, 3, host);
    assert_ok(sec_model_load(m, host));
    free(host);
    assert_ok(sec_model_zero_grad(m));
    for (int i = 0; i < 2; i++) {
        fix_fill(&f, lengths + i, 4 - i, 1 + i, (int)c->vocab_size);
        assert_ok(sec_model_train_mlm(m, &f.b, 0.25, 11 + (uint64_t)i, &out->loss, &out->correct));
    }
    assert_ok(sec_model_hidden_rows(m, 0, f.b.n_tokens, out->hidden));
    assert_true(sec_model_hidden_rows(m, 0, f.b.n_tokens + 1, out->hidden) == SEC_ECONFIG);
    assert_ok(sec_model_layer_rows(m, 1, out->hidden));
    out->n = n;
    out->grad = malloc(n * sizeof(double));
    memcpy(out->grad, m->grad, n * sec_dtype_size(sec_master_type(o->act)));
    sec_model_free(m);
    be->destroy(be);
}

static double relative_l2(const struct outcome *a, const struct outcome *b, enum sec_dtype act)
{
    double diff = 0, norm = 0;
    for (size_t i = 0; i < a->n; i++) {
        double x = act == SEC_F64 ? ((double *)a->grad)[i] : (double)((float *)a->grad)[i];
        double y = act == SEC_F64 ? ((double *)b->grad)[i] : (double)((float *)b->grad)[i];
        diff += (x - y) * (x - y);
        norm += x * x;
    }
    assert_true(norm > 0);
    return sqrt(diff / norm);
}

/* tolerance 0: the same bits. */
static void compare(const char *backend, const struct sec_model_config *c,
                    const struct sec_model_options *plain, const struct sec_model_options *other,
                    double tolerance)
{
    struct outcome *a = calloc(2, sizeof *a), *b = a + 1;
    run(backend, c, plain, a);
    run(backend, c, other, b);
    assert_true(a->loss == b->loss && a->correct == b->correct);
    assert_memory_equal(a->hidden, b->hidden, sizeof a->hidden);
    if (tolerance > 0)
        assert_true(relative_l2(a, b, plain->act) <= tolerance);
    else
        assert_memory_equal(a->grad, b->grad, a->n * sec_dtype_size(sec_master_type(plain->act)));
    free(a->grad);
    free(b->grad);
    free(a);
}

/* The reference adds in the order of tokens, so what is filled up adds zeros at the end; the cpu
 * backend's sums over tokens have another order for another number of them. */
static void test_padded(void **state)
{
    static const enum sec_dtype types[] = {SEC_F64, SEC_F32, SEC_BF16};
    for (int i = 0; i < 12; i++) {
        struct sec_model_config c = fix_config(i & 1 ? 3 : 0, i & 2 ? 7 : 512, i & 1 ? 0.2 : 0);
        struct sec_model_options o = options(types[i % 3]), padded = o;
        padded.pad = true;
        compare("ref", &c, &o, &padded, 0);
        if (o.act != SEC_F64)
            compare("cpu", &c, &o, &padded, 1e-6);
    }
}

/* Sizes at which there is nothing to fill up, or a whole number of tiles. */
static void test_padded_sizes(void **state)
{
    static const struct {
        int lengths[4], n, max_tokens, max_masked, tokens, seqs, masked;
    } cases[] = {
        {{20}, 1, 20, 20, 20, 1, 20},        {{20, 3}, 2, 24, 24, 24, 3, 24},
        {{13}, 1, 13 + 128, 0, 141, 3, 141}, {{13, 13}, 2, 600, 600, 600, 11, 256},
        {{13, 13}, 2, 600, 30, 600, 11, 30},
    };
    struct sec_model_config c = fix_config(0, 512, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sec_model_options o = options(SEC_F32);
        struct sec_backend *be;
        struct sec_model *m;
        struct fix_batch f;
        bool seen[600] = {false};
        o.max_tokens = cases[i].max_tokens;
        o.max_seqs = cases[i].n;
        o.max_masked = cases[i].max_masked;
        o.max_seqlen = i % 2 ? 64 : 100;
        o.pad = true;
        assert_ok(sec_backend_ref(&be));
        assert_ok(sec_model_create(&c, be, &o, &m));
        fix_fill(&f, cases[i].lengths, cases[i].n, 1, (int)c.vocab_size);
        const struct sec_batch *b = sec_padded(m, &f.b);
        assert_int_equal(b->n_tokens, cases[i].tokens);
        assert_int_equal(b->n_seqs, cases[i].seqs);
        assert_int_equal(b->cu_seqlens[b->n_seqs], b->n_tokens);
        assert_int_equal(b->n_masked, cases[i].masked);
        for (int s = 0; s < b->n_seqs; s++) {
            int len = b->cu_seqlens[s + 1] - b->cu_seqlens[s];
            assert_true(len > 0 && (s < f.b.n_seqs || len <= 64));
        }
        for (int r = 0; r < b->n_masked; r++) {
            assert_false(seen[b->masked_rows[r]]);
            seen[b->masked_rows[r]] = true;
            assert_true((b->labels[r] == SEC_NO_LABEL) == (r >= f.b.n_masked));
        }
        sec_model_free(m);
        be->destroy(be);
    }
}

static void test_recompute(void **state)
{
    for (int i = 0; i < 16; i++) {
        struct sec_model_config c = fix_config(i & 1 ? 3 : 0, i & 2 ? 7 : 512, i & 4 ? 0.2 : 0);
        struct sec_model_options o = options(i & 8 ? SEC_BF16 : SEC_F32), again;
        c.num_hidden_layers = 1 + i % 3;
        again = o;
        again.recompute = true;
        compare("ref", &c, &o, &again, 0);
        compare("cpu", &c, &o, &again, 0);
        o.pad = again.pad = true;
        compare("ref", &c, &o, &again, 0);
    }
}

static void test_recompute_classifier(void **state)
{
    struct sec_model_config c = fix_config(3, 512, 0.2);
    struct sec_model_options o = options(SEC_F32);
    float logits[2][12], dlogits[12] = {1, -2, 0.5f, 3, 1, -1, 0.25f, 2, -3, 1, 1, 2};
    void *grad[2];
    size_t bytes = 0;
    o.heads = SEC_HEAD_CLASSIFY;
    o.num_labels = 3;
    for (int i = 0; i < 2; i++) {
        struct sec_backend *be;
        struct sec_model *m;
        struct fix_batch f;
        o.recompute = i;
        assert_ok(sec_backend_cpu(&be));
        assert_ok(sec_model_create(&c, be, &o, &m));
        assert_ok(sec_model_init(m, 3));
        fix_fill(&f, lengths, 4, 1, (int)c.vocab_size);
        assert_ok(sec_model_classify(m, &f.b, true, 5, logits[i]));
        assert_ok(sec_model_classify_bwd(m, &f.b, dlogits));
        bytes = (size_t)m->params.total * sizeof(float);
        grad[i] = malloc(bytes);
        memcpy(grad[i], m->grad, bytes);
        sec_model_free(m);
        be->destroy(be);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    assert_memory_equal(grad[0], grad[1], bytes);
    free(grad[0]);
    free(grad[1]);
}

/* Twelve layers: an input each, and what one layer needs. */
static void test_recompute_memory(void **state)
{
    struct sec_model_config c = fix_config(0, 512, 0);
    struct sec_model_options o = options(SEC_BF16);
    struct sec_model_memory plain, again;
    c.num_hidden_layers = 12;
    o.max_tokens = 4096;
    assert_ok(sec_model_memory(&c, &o, &plain));
    o.recompute = true;
    assert_ok(sec_model_memory(&c, &o, &again));
    uint64_t t = 4096, h = 16, rows = 2 * 8;
    uint64_t layer = 2 * t * (3 * h + h + h + h + 24 + h) + 2 * rows * 2 * h + 4 * t * (2 + 4);
    assert_int_equal(plain.activations - again.activations, 11 * layer);
    assert_int_equal(plain.scratch, again.scratch);
    assert_int_equal(plain.params, again.params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_padded),           cmocka_unit_test(test_padded_sizes),
        cmocka_unit_test(test_recompute),        cmocka_unit_test(test_recompute_classifier),
        cmocka_unit_test(test_recompute_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
