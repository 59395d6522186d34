/* The memory plan: the sizes of configs/, what has to fit, and that "largest" is the largest. */
#include "testing.h"

#include "kernels/cuda_memory.h"
#include "train/memory.h"

static struct sec_train_config config(const char *name)
{
    struct sec_train_config c = {0};
    char path[64];
    assert_ok(sec_config_defaults(sec_train_schema, &c));
    snprintf(path, sizeof path, "configs/%s.yaml", name);
    assert_ok(sec_config_load(sec_train_schema, &c, path));
    return c;
}

static void test_table(void **state)
{
    struct sec_train_plan_row rows[SEC_PLAN_MODELS * SEC_PLAN_LENGTHS];
    struct sec_train_config base = config("base");
    assert_ok(sec_train_plan_table(&base, true, SEC_CUDA_USUAL_BYTES, rows));
    for (int i = 0; i < SEC_PLAN_MODELS * SEC_PLAN_LENGTHS; i++) {
        const struct sec_train_plan_row *r = &rows[i];
        struct sec_train_config c = config(r->model);
        struct sec_train_memory m;
        c.seq_len = r->seq_len;
        c.batch_tokens = r->batch_tokens;
        assert_ok(sec_train_config_check(&c));
        assert_int_equal(sec_model_config_count(&c.model), r->parameters);
        assert_ok(sec_train_memory(&c, true, &m));
        assert_int_equal(m.total, r->bytes);
        c.recompute = true;
        assert_ok(sec_train_memory(&c, true, &m));
        assert_int_equal(m.total, r->bytes_recompute);
        assert_true(r->bytes_recompute < r->bytes);
        assert_true(r->largest == 0 || r->largest >= r->seq_len);
        assert_true(r->largest_recompute > r->largest);
        sec_config_free(sec_train_schema, &c);
    }
    sec_config_free(sec_train_schema, &base);
}

/* 80 GB = 80e9 bytes, less than any device sold as such has. */
static uint64_t need(const char *name, int64_t seq_len, int64_t batch_tokens, bool recompute)
{
    struct sec_train_config c = config(name);
    struct sec_train_memory m;
    c.seq_len = seq_len;
    c.batch_tokens = batch_tokens;
    c.recompute = recompute;
    assert_ok(sec_train_config_check(&c));
    assert_ok(sec_train_memory(&c, true, &m));
    sec_config_free(sec_train_schema, &c);
    return m.total;
}

static void test_fits(void **state)
{
    uint64_t gb = 1000000000;
    assert_true(need("xxlarge", 1024, 1024, false) < 80 * gb);
    assert_true(need("xxlarge", 1024, 32768, false) < 80 * gb);
    assert_true(need("xxlarge", 48000, 48000, false) > 80 * gb);
    assert_true(need("xxlarge", 48000, 48000, true) < 40 * gb);
    assert_true(need("base", 48000, 48000, false) < 24 * gb);
    assert_true(need("base", 1024, 65536, false) < 24 * gb);
    /* Parameters, gradients and moments alone: 18 bytes a parameter. */
    uint64_t state_bytes = UINT64_C(18) * 1076000000;
    assert_true(need("xxlarge", 1024, 1024, false) > state_bytes);
}

static void test_largest(void **state)
{
    struct sec_train_config c = config("nano");
    struct sec_train_memory m;
    char text[160], want[64];
    for (int i = 0; i < 8; i++) {
        bool cuda = i & 1;
        uint64_t limit = (uint64_t)(i + 2) << 30;
        c.recompute = i & 2;
        c.seq_len = i & 4 ? 1000 : 512;
        int64_t n = sec_train_largest_batch(&c, cuda, c.recompute, limit);
        c.batch_tokens = n;
        assert_ok(sec_train_config_check(&c));
        assert_ok(sec_train_memory(&c, cuda, &m));
        assert_true(m.total <= limit && n % 64 == 0);
        c.batch_tokens = n + 64;
        assert_ok(sec_train_memory(&c, cuda, &m));
        assert_true(m.total > limit);
        snprintf(want, sizeof want, "data.batch_tokens=%lld fits", (long long)n);
        assert_non_null(strstr(sec_train_what_fits(&c, cuda, limit, text), want));
    }
    assert_int_equal(sec_train_largest_batch(&c, false, true, 1000), 0);
    assert_non_null(strstr(sec_train_what_fits(&c, false, 1000, text), "not one sequence"));
    c.recompute = false;
    c.batch_tokens = c.seq_len = 48000;
    c.recompute = true;
    assert_ok(sec_train_memory(&c, true, &m));
    c.recompute = false;
    assert_non_null(strstr(sec_train_what_fits(&c, true, m.total, text),
                           "data.batch_tokens=48000 fits with train.recompute=true"));
    sec_config_free(sec_train_schema, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_fits),
                                       cmocka_unit_test(test_largest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
