/* The model above the backend: what a batch may be, memory, packing, determinism, chunks,
 * precision. */
#include "model_fixture.h"
#include "testing.h"

#include <math.h>

/* A backend that counts what is taken from it. */
static uint64_t taken;
static int (*inner_alloc)(struct sec_backend *b, size_t bytes, void **out);
static int counting_alloc(struct sec_backend *b, size_t bytes, void **out)
{
    taken += bytes;
    return inner_alloc(b, bytes, out);
}

static struct sec_backend *open_backend(const char *name)
{
    struct sec_backend *be;
    assert_ok(sec_backend_open(name, &be));
    inner_alloc = be->alloc;
    be->alloc = counting_alloc;
    taken = 0;
    return be;
}

static struct sec_model *make(struct sec_backend *be, const struct sec_model_config *c,
                              const struct sec_model_options *o)
{
    struct sec_model *m;
    assert_ok(sec_model_create(c, be, o, &m));
    float *host = calloc((size_t)m->params.total, sizeof *host);
    fix_values(m, 3, host);
    assert_ok(sec_model_load(m, host));
    free(host);
    return m;
}

static struct sec_model_options options(enum sec_dtype act, bool train, unsigned heads)
{
    return (struct sec_model_options){.act = act,
                                      .train = train,
                                      .heads = heads,
                                      .num_labels = 3,
                                      .max_tokens = FIX_TOKENS,
                                      .max_seqs = FIX_SEQS,
                                      .max_seqlen = 20};
}

static const int lengths[] = {9, 1, 13, 4};

static void test_memory(void **state)
{
    struct sec_model_config c = fix_config(3, 512, 0.1);
    for (int variant = 0; variant < 8; variant++) {
        enum sec_dtype act = variant & 1 ? SEC_BF16 : SEC_F32;
        struct sec_model_options o = options(act, variant & 2, SEC_HEAD_MLM | SEC_HEAD_CLASSIFY);
        o.max_masked = variant & 4 ? 20 : 0;
        struct sec_backend *be = open_backend("ref");
        struct sec_model_memory mem;
        struct fix_batch f;
        double loss;
        float logits[12], losses[FIX_TOKENS];
        int32_t rank[FIX_TOKENS];
        fix_fill(&f, lengths, 4, 1, (int)c.vocab_size);
        struct sec_model *m = make(be, &c, &o);
        assert_ok(sec_model_memory(&c, &o, &mem));
        assert_int_equal(taken, mem.params + mem.grads + mem.activations + mem.scratch);
        taken = 0; /* nothing more in a step */
        if (o.train)
            assert_ok(sec_model_train_mlm(m, &f.b, 1, 5, &loss, NULL));
        assert_ok(sec_model_eval_mlm(m, &f.b, losses, rank));
        assert_ok(sec_model_classify(m, &f.b, o.train, 5, logits));
        assert_int_equal(taken, 0);
        sec_model_free(m);
        be->destroy(be);
    }
}

/* Each sequence alone gives the bits it gives in a batch, dropout included; gradients of a batch
 * are the sum of those of its sequences. */
static void check_packing(const char *backend, enum sec_dtype act)
{
    struct sec_model_config c = fix_config(3, 9, 0.2);
    struct sec_model_options o = options(act, true, SEC_HEAD_MLM);
    struct sec_backend *be = open_backend(backend);
    struct sec_model *m = make(be, &c, &o);
    size_t n = (size_t)m->params.total, h = (size_t)c.hidden_size;
    float *whole = calloc(n, sizeof *whole), together[FIX_TOKENS * 16], alone[FIX_TOKENS * 16];
    struct fix_batch f;
    double sum, part, total = 0;
    fix_fill(&f, lengths, 4, 1, (int)c.vocab_size);
    assert_ok(sec_model_zero_grad(m));
    assert_ok(sec_model_train_mlm(m, &f.b, 0.5, 5, &sum, NULL));
    assert_ok(sec_model_layer_rows(m, 2, together));
    memcpy(whole, m->grad, n * sizeof *whole);
    assert_ok(sec_model_zero_grad(m));
    size_t at = 0;
    for (int s = 0; s < 4; s++) {
        fix_fill(&f, lengths + s, 1, 1 + s, (int)c.vocab_size);
        assert_ok(sec_model_train_mlm(m, &f.b, 0.5, 5, &part, NULL));
        assert_ok(sec_model_layer_rows(m, 2, alone));
        assert_memory_equal(alone, together + at, (size_t)lengths[s] * h * sizeof *alone);
        at += (size_t)lengths[s] * h;
        total += part;
    }
    assert_true(fabs(total - sum) <= 1e-6 * fabs(sum));
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        double g = (double)((float *)m->grad)[i];
        diff += pow(g - (double)whole[i], 2);
        norm += g * g;
    }
    assert_true(sqrt(diff / norm) < (act == SEC_BF16 ? 1e-2 : 1e-5));
    free(whole);
    sec_model_free(m);
    be->destroy(be);
}

static void test_packing(void **state)
{
    check_packing("ref", SEC_F32);
    check_packing("ref", SEC_BF16);
    check_packing("cpu", SEC_F32);
    check_packing("cpu", SEC_BF16);
}

/* Chunks of logits and a second run change nothing in the losses; evaluation agrees with training.
 */
static void test_chunks(void **state)
{
    struct sec_model_config c = fix_config(0, 512, 0);
    float loss[3][FIX_TOKENS], logits[FIX_TOKENS * 96];
    int32_t rank[FIX_TOKENS];
    struct fix_batch f;
    fix_fill(&f, lengths, 4, 1, (int)c.vocab_size);
    assert_true(f.b.n_masked > 5);
    for (int v = 0; v < 3; v++) {
        struct sec_model_options o = options(SEC_F32, v != 1, SEC_HEAD_MLM);
        double sum, scored = 0;
        int64_t correct = -1, first = 0;
        o.logit_rows = v == 2 ? 3 : 0;
        struct sec_backend *be = open_backend("ref");
        struct sec_model *m = make(be, &c, &o);
        assert_ok(sec_model_eval_mlm(m, &f.b, loss[v], rank));
        assert_memory_equal(loss[0], loss[v], (size_t)f.b.n_masked * sizeof(float));
        assert_ok(sec_model_mlm_logits(m, f.masked_rows, f.b.n_masked, logits));
        for (int i = 0; i < f.b.n_masked; i++) {
            const float *x = logits + i * c.vocab_size;
            double total = 0;
            int above = 0;
            for (int j = 0; j < c.vocab_size; j++) {
                total += exp((double)x[j]);
                above += x[j] > x[f.labels[i]];
            }
            assert_true(fabs(log(total) - (double)x[f.labels[i]] - (double)loss[v][i]) < 1e-4);
            assert_int_equal(above, rank[i]);
            scored += (double)loss[v][i];
            first += rank[i] == 0;
        }
        if (o.train) {
            assert_ok(sec_model_train_mlm(m, &f.b, 1, 0, &sum, &correct));
            assert_true(fabs(sum - scored) < 1e-4);
            assert_int_equal(correct, first);
        }
        sec_model_free(m);
        be->destroy(be);
    }
}

/* A batch without a masked token is a step without a gradient, not an error. */
static void test_edges(void **state)
{
    struct sec_model_config c = fix_config(3, 512, 0);
    struct sec_model_options o = options(SEC_F32, true, SEC_HEAD_MLM);
    struct sec_backend *be = open_backend("ref");
    struct sec_model *m = make(be, &c, &o);
    struct fix_batch f;
    double sum, squares;
    float x[FIX_TOKENS * 16], logits[3];
    fix_fill(&f, lengths, 4, 1, (int)c.vocab_size);
    f.b.n_masked = 0;
    assert_ok(sec_model_zero_grad(m));
    assert_ok(sec_model_train_mlm(m, &f.b, 1, 0, &sum, NULL));
    assert_ok(be->sumsq(be, m->grad, m->params.total, SEC_F32, &squares));
    assert_true(sum == 0 && squares == 0);
    assert_ok(sec_model_forward(m, &f.b, false, 0));
    assert_ok(sec_model_hidden_rows(m, 3, 5, x));
    assert_fails(sec_model_hidden_rows(m, 26, 2, x), SEC_ECONFIG, "26..28");
    f.ids[7] = 96;
    assert_fails(sec_model_forward(m, &f.b, false, 0), SEC_EDATA, "token id 96 at position 7");
    f.ids[7] = 5;
    f.b.max_seqlen = 21;
    assert_fails(sec_model_forward(m, &f.b, false, 0), SEC_ECONFIG, "longest 21");
    f.b.max_seqlen = 13;
    assert_fails(sec_model_classify(m, &f.b, false, 0, logits), SEC_ECONFIG, "no classifier");
    sec_model_free(m);
    o.max_seqlen = 300;
    assert_fails(sec_model_create(&c, be, &o, &m), SEC_ECONFIG, "max_position_embeddings 256");
    be->destroy(be);
}

/* Two sequences, one with a token at distance >= max_relative_positions: row 0 is never read. */
static void test_row0(void **state)
{
    struct sec_model_config c = fix_config(0, 7, 0);
    struct sec_model_options o = options(SEC_F32, true, SEC_HEAD_MLM);
    struct sec_backend *be = open_backend("ref");
    struct sec_model *m = make(be, &c, &o);
    struct fix_batch f;
    float a[FIX_TOKENS * 16], b[FIX_TOKENS * 16];
    fix_fill(&f, lengths, 4, 1, (int)c.vocab_size);
    assert_ok(sec_model_forward(m, &f.b, false, 0));
    assert_ok(sec_model_hidden_rows(m, 0, f.b.n_tokens, a));
    for (int i = 0; i < c.hidden_size; i++)
        ((float *)m->master)[m->params.rel + i] = 1e6f * (float)(i % 3);
    assert_ok(sec_model_forward(m, &f.b, false, 0));
    assert_ok(sec_model_hidden_rows(m, 0, f.b.n_tokens, b));
    assert_memory_equal(a, b, (size_t)(f.b.n_tokens * c.hidden_size) * sizeof *a);
    sec_model_free(m);
    be->destroy(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_packing),
        cmocka_unit_test(test_chunks), cmocka_unit_test(test_edges), cmocka_unit_test(test_row0)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
