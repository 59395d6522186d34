/* Configurations, parameter tables and initial values. */
#include "base/config.h"
#include "model/model.h"
#include "testing.h"
#include "train/config.h"

#include <math.h>

static struct sec_model_config load(const char *name)
{
    struct sec_train_config c = {0};
    char path[64];
    snprintf(path, sizeof path, "configs/%s.yaml", name);
    assert_ok(sec_config_defaults(sec_train_schema, &c));
    assert_ok(sec_config_load(sec_train_schema, &c, path));
    sec_config_free(sec_train_schema, &c);
    return c.model;
}

/* The table of the design; nano is counted by hand: 64 (512 + 2 + 32 + 2) + 2 (12 * 4096 + 9 * 64 +
 * 256)
 * + (3 * 4096 + 192) + (4096 + 192 + 512). */
static void test_counts(void **state)
{
    static const struct {
        const char *name;
        int64_t count;
    } want[] = {{"nano", 152320},       {"tiny", 4740096},    {"small", 22968576},
                {"base", 110847744},    {"large", 337739008}, {"xlarge", 736231680},
                {"xxlarge", 1076209920}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        struct sec_model_config c = load(want[i].name);
        struct sec_params p;
        assert_ok(sec_params_build(&c, SEC_HEAD_MLM, 0, &p));
        assert_int_equal(sec_model_config_count(&c), want[i].count);
        assert_int_equal(p.n_trainable, want[i].count);
        sec_params_free(&p);
    }
}

static void test_layout(void **state)
{
    struct sec_model_config c = load("tiny");
    struct sec_params p;
    c.hidden_size = 24; /* rows that are no multiple of the alignment */
    c.num_attention_heads = 3;
    assert_ok(sec_params_build(&c, SEC_HEAD_MLM | SEC_HEAD_CLASSIFY, 3, &p));
    int64_t end = 0;
    for (int i = 0; i < p.n; i++) {
        const struct sec_param *v = &p.v[i];
        bool joined = strstr(v->name, "key_proj") || strstr(v->name, "value_proj");
        assert_true(v->offset >= end);
        assert_true(joined ? v->offset == end : v->offset % 64 == 0 && v->offset - end < 64);
        assert_ptr_equal(sec_params_find(&p, v->name), v);
        assert_int_equal(v->decay, v->ndim > 1);
        assert_int_equal(v->ones, strstr(v->name, "LayerNorm.weight") != NULL);
        end = v->offset + v->count;
    }
    assert_true(p.total >= end && p.total % 64 == 0);
    const struct sec_param *key =
        sec_params_find(&p, "deberta.encoder.layer.1.attention.self.key_proj.bias");
    assert_int_equal(key->offset, p.layer[1].qkv_b + 24);
    assert_int_equal(sec_params_find(&p, "classifier.weight")->shape[0], 3);
    assert_null(sec_params_find(&p, "no.such.tensor"));
    sec_params_free(&p);
}

static void test_init(void **state)
{
    struct sec_model_config c = load("nano");
    struct sec_params p;
    assert_ok(sec_params_build(&c, SEC_HEAD_MLM, 0, &p));
    float *x = calloc((size_t)p.total, sizeof *x), *y = calloc((size_t)p.total, sizeof *y);
    sec_params_init(&p, &c, 1, x);
    sec_params_init(&p, &c, 2, y);
    assert_memory_not_equal(x, y, (size_t)p.total * sizeof *x);
    sec_params_init(&p, &c, 1, y);
    assert_memory_equal(x, y, (size_t)p.total * sizeof *x);
    size_t row = (size_t)c.hidden_size;
    for (size_t i = 0; i < row; i++) {
        assert_true(x[p.word + (int64_t)i] == 0);
        assert_true(x[p.rel + (int64_t)i] == x[p.rel + (int64_t)(row + i)]);
    }
    double sum = 0, sq = 0;
    int64_t n = (c.vocab_size - 1) * c.hidden_size;
    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[p.word + c.hidden_size + i];
        sum += v;
        sq += v * v;
    }
    assert_true(fabs(sum / (double)n) < 5 * 0.02 / sqrt((double)n));
    assert_true(fabs(sqrt(sq / (double)n) / 0.02 - 1) < 0.02);
    for (int i = 0; i < p.n; i++)
        for (int64_t j = 0; p.v[i].ndim == 1 && j < p.v[i].count; j++)
            assert_true(x[p.v[i].offset + j] == (p.v[i].ones ? 1.0f : 0.0f));
    free(x);
    free(y);
    sec_params_free(&p);
}

/* Monotone, odd about k before the clamp, exact near zero, row 0 never read. (Values are compared
 * with PyTorch's in tests/parity.) */
static void test_relative(void **state)
{
    struct sec_model_config c = load("base");
    enum { SPAN = 2000 };
    static uint16_t idx[2 * SPAN - 1];
    sec_relative_index(&c, SPAN, idx);
    for (int d = -(SPAN - 1); d < SPAN; d++) {
        uint16_t v = idx[d + SPAN - 1];
        assert_in_range(v, 1, 511);
        if (d > -(SPAN - 1))
            assert_true(v >= idx[d + SPAN - 2]);
        if (d >= -128 && d <= 128)
            assert_int_equal(v, 256 + d);
        assert_int_equal(v + idx[-d + SPAN - 1], 512);
    }
    assert_int_equal(idx[511 + SPAN - 1], 511);
    assert_int_equal(idx[SPAN - 1 - 511], 1);
    assert_int_equal(idx[0], 1);
}

static void test_refusals(void **state)
{
    struct sec_model_config good = load("tiny"), c;
#define BAD(field, value, text)                                                                    \
    c = good;                                                                                      \
    c.field = value;                                                                               \
    assert_fails(sec_model_config_check(&c), SEC_ECONFIG, text)
    BAD(num_attention_heads, 3, "num_attention_heads is 3");
    BAD(hidden_size, (int64_t)1 << 40, "at most 16384");
    BAD(hidden_size, 100, "hidden_size is 100");
    BAD(conv_kernel_size, 2, "conv_kernel_size is 2");
    BAD(position_buckets, 7, "position_buckets is 7");
    BAD(max_relative_positions, 33, "max_relative_positions is 33");
    BAD(vocab_size, 128100, "vocab_size is 128100");
    BAD(layer_norm_eps, 0, "layer_norm_eps");
    BAD(hidden_dropout_prob, 1, "dropout");
#undef BAD
    struct sec_params p;
    assert_fails(sec_params_build(&good, SEC_HEAD_CLASSIFY, 0, &p), SEC_ECONFIG, "label");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_layout),
                                       cmocka_unit_test(test_init), cmocka_unit_test(test_relative),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
