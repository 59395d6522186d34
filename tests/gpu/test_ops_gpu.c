/* The op table on a real device, against ref; tests/gpu/run drives it.
 *   usage: test_ops_gpu [compare|attention|rows|repeat|small]...     default: all but small
 *   compare    every op, shape and type
 *   attention  lengths, head sizes and windows of relative rows that reach every way a pair of
 *              tiles is computed
 *   rows       same bits for some rows alone and among others
 *   repeat     same bits when run again
 *   small      one case of each op, and short attention: for compute-sanitizer
 * SECENC_TEST_TOKENS=N leaves out cases of more than N rows (the emulation is slow). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/op_device.h"

/* Relative rows: 8 saturate after a few tokens, so that most pairs of tiles have one slot; 512 are
 * one a distance up to 128. */
static const struct op_case attention[] = {
    {.op = &op_attn, .dim = {64, 2, 64, 512}, .seqs = {64}},
    {.op = &op_attn, .dim = {65, 2, 64, 512}, .p = 0.1f, .seqs = {65}},
    {.op = &op_attn, .dim = {200, 2, 32, 8}, .seqs = {1, 7, 63, 64, 65}},
    {.op = &op_attn, .dim = {200, 2, 128, 8}, .p = 0.1f, .seqs = {127, 73}},
    {.op = &op_attn, .dim = {513, 2, 64, 8}, .p = 0.1f, .seqs = {513}},
    {.op = &op_attn, .dim = {713, 2, 64, 512}, .seqs = {513, 200}},
    {.op = &op_attn, .dim = {1500, 2, 64, 512}, .p = 0.1f, .seqs = {1500}},
    {.op = &op_attn, .dim = {1500, 1, 128, 64}, .seqs = {1500}},
    {.op = &op_attn, .dim = {1564, 2, 32, 32}, .seqs = {1500, 64}},
};
enum { N_ATTENTION = sizeof attention / sizeof *attention };

static int64_t most_rows(void)
{
    const char *text = getenv("SECENC_TEST_TOKENS");
    return text ? strtoll(text, NULL, 10) : INT64_MAX;
}

static int repeat(struct sec_backend *b, const struct op_case *oc, enum sec_dtype type)
{
    struct call first, second;
    call_init(&first, oc, type);
    call_init(&second, oc, type);
    run_or_fail(b, &first);
    run_or_fail(b, &second);
    int bad = compare_bits(&first, &second, -1, "when run again");
    call_free(&first);
    call_free(&second);
    return bad;
}

static void test_compare(void **state)
{
    assert_int_equal(for_cases(cases, N_CASES, most_rows(), compare_case), 0);
}

static void test_attention(void **state)
{
    assert_int_equal(for_cases(attention, N_ATTENTION, most_rows(), compare_case), 0);
}

static void test_rows(void **state)
{
    assert_int_equal(for_cases(cases, N_CASES, most_rows(), check_rows), 0);
    assert_int_equal(for_cases(attention, 4, most_rows(), check_rows), 0);
}

static void test_repeat(void **state)
{
    assert_int_equal(for_cases(cases, N_CASES, most_rows(), repeat), 0);
    assert_int_equal(for_cases(attention, N_ATTENTION, most_rows(), repeat), 0);
}

static void test_small(void **state)
{
    int bad = for_cases(attention, 4, most_rows(), compare_case);
    for (int i = 0; i < N_CASES; i++)
        if (i + 1 == N_CASES || cases[i].op != cases[i + 1].op) /* the last case of each op */
            bad += for_cases(&cases[i], 1, most_rows(), compare_case);
    assert_int_equal(bad, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(test_compare),
                                     cmocka_unit_test(test_attention), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_repeat)};
    const struct CMUnitTest one[] = {cmocka_unit_test(test_compare),
                                     cmocka_unit_test(test_attention), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_repeat), cmocka_unit_test(test_small)};
    int rc = 0;
    char name[32];
    if (argc < 2)
        return cmocka_run_group_tests(all, NULL, NULL);
    for (int i = 1; i < argc; i++) {
        snprintf(name, sizeof name, "test_%.20s", argv[i]);
        cmocka_set_test_filter(name);
        rc += cmocka_run_group_tests(one, NULL, NULL);
    }
    return rc;
}
