/* The op table on the CUDA backend in emulation, against ref:
 *   compare   F32 and BF16, under every schedule the same bits
 *   rows      same bits for a row alone and among others
 *   faults    the k-th CUDA call of an op fails, for every k: an error, no crash, nothing leaked */
#include "tests/cuda_host/emulation.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/op_device.h"

static void test_compare(void **state)
{
    assert_int_equal(for_cases(cases, N_CASES, INT64_MAX, compare_case), 0);
}

struct again {
    struct sec_backend *b;
    const struct op_case *oc;
    enum sec_dtype type;
    struct call first;
    int runs, bad;
};

static void run_again(void *arg)
{
    struct again *a = arg;
    struct call c, *into = a->runs++ ? &c : &a->first;
    call_init(into, a->oc, a->type);
    run_or_fail(a->b, into);
    if (into == &a->first)
        return;
    a->bad += compare_bits(&a->first, &c, -1, "under another schedule");
    call_free(&c);
}

static void test_schedules(void **state)
{
    struct sec_backend *b = open_cuda();
    int bad = 0;
    for (int i = 0; i < N_CASES; i++)
        for (int t = 0; t < 2; t++) {
            struct again a = {.b = b, .oc = &cases[i], .type = types[t]};
            if (cases[i].dim[0] * (cases[i].dim[1] + 1) > 70000)
                continue; /* ten runs of each: the small ones */
            cuda_host_each_schedule(run_again, &a);
            bad += a.bad;
            call_free(&a.first);
        }
    b->destroy(b);
    assert_int_equal(bad, 0);
}

static void test_rows(void **state)
{
    assert_int_equal(for_cases(cases, N_CASES, INT64_MAX, check_rows), 0);
}

/* Opening, running and closing with the k-th call failing. */
static void test_faults(void **state)
{
    struct cuda_host_config before = cuda_host_current(), c = before;
    c.quiet = true;
    for (int i = 0; i < N_CASES; i++) {
        const struct op_case *oc = &cases[i];
        if (i && oc[-1].op == oc->op)
            continue; /* the first case of each op */
        int rc = -1;
        for (long k = 1; rc; k++) {
            struct sec_backend *b;
            struct call call;
            c.fail_at = k;
            cuda_host_configure(&c);
            rc = sec_backend_cuda(&b);
            if (!rc) {
                call_init(&call, oc, SEC_BF16);
                rc = run_staged(b, &call);
                call_free(&call);
                b->destroy(b);
            }
            if (rc && (rc != SEC_EDEVICE || !strstr(sec_error(), "cuda: ")))
                fail_msg("%s, call %ld: %d: %s", oc->op->name, k, rc, sec_error());
            assert_int_equal(cuda_host_stats_now().allocated, 0);
            cuda_host_reset();
        }
    }
    cuda_host_configure(&before);
}

static void test_open(void **state)
{
    static const struct {
        int devices, driver;
        size_t memory;
        const char *text;
    } bad[] = {{0, 13000, 8 << 20, "no NVIDIA driver"},
               {1, 12080, 8 << 20, "supports CUDA 12.8, this build needs 13.0"},
               {1, 13000, 8 << 20, "cudaMalloc: 33554432 bytes"}};
    struct cuda_host_config before = cuda_host_current(), c = before;
    struct sec_backend *b;
    c.quiet = true;
    for (int i = 0; i < 3; i++) {
        c.devices = bad[i].devices;
        c.driver = bad[i].driver;
        c.memory = bad[i].memory;
        cuda_host_configure(&c);
        assert_int_equal(sec_backend_cuda(&b), SEC_EDEVICE);
        assert_null(b);
        if (!strstr(sec_error(), bad[i].text))
            fail_msg("\"%s\" is not in \"%s\"", bad[i].text, sec_error());
        cuda_host_reset();
    }
    c.memory = (size_t)64 << 20;
    cuda_host_configure(&c);
    b = open_cuda();
    void *p;
    assert_string_equal(b->name, "cuda");
    assert_false(b->host);
    assert_int_equal(b->alloc(b, (size_t)40 << 20, &p), SEC_EDEVICE);
    assert_non_null(strstr(sec_error(), "32 MiB of the device's 64 MiB are free"));
    b->destroy(b);
    cuda_host_configure(&before);
    cuda_host_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),      cmocka_unit_test(test_compare),
        cmocka_unit_test(test_schedules), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
