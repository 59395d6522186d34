/* Matrix multiplication of the cpu backend against a double-precision loop: every instruction set,
 * type, transposition and epilogue over random shapes and leading dimensions; the same bits for any
 * number of threads and for a row whatever rows stand beside it. */
#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUARD 7 /* columns beyond n that must stay as they are */

static double get(const void *p, int64_t i, enum sec_dtype t)
{
    return t == SEC_BF16 ? sec_bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static void *random_matrix(struct sec_rng *r, int64_t count, enum sec_dtype t)
{
    void *p = sec_xmalloc((size_t)count * sec_dtype_size(t) + 1);
    for (int64_t i = 0; i < count; i++) {
        float x = (float)sec_u01((uint64_t)sec_rng_u32(r) << 32) * 2 - 1;
        if (t == SEC_BF16)
            ((uint16_t *)p)[i] = sec_f32_to_bf16(x);
        else
            ((float *)p)[i] = x;
    }
    return p;
}

static struct sec_gemm make(struct sec_rng *r, int64_t m, int64_t n, int64_t k, int flags)
{
    struct sec_gemm g = {.m = m, .n = n, .k = k};
    g.trans_a = flags & 1;
    g.trans_b = flags >> 1 & 1;
    g.ab_type = flags >> 2 & 1 ? SEC_BF16 : SEC_F32;
    g.c_type = g.ab_type == SEC_BF16 && flags >> 3 & 1 ? SEC_BF16 : SEC_F32;
    g.epilogue = (enum sec_epilogue)((flags >> 4 & 3) % 3);
    g.accumulate = g.epilogue == SEC_EPI_NONE && flags >> 6 & 1;
    g.lda = (g.trans_a ? m : k) + sec_rng_below(r, 5);
    g.ldb = (g.trans_b ? k : n) + sec_rng_below(r, 5);
    g.ldc = n + GUARD;
    g.a = random_matrix(r, g.lda * (g.trans_a ? k : m), g.ab_type);
    g.b = random_matrix(r, g.ldb * (g.trans_b ? n : k), g.ab_type);
    g.c = random_matrix(r, g.ldc * m, g.c_type);
    g.aux = random_matrix(r, g.ldc * m, g.c_type);
    g.bias = random_matrix(r, n, SEC_F32);
    return g;
}

static void release(struct sec_gemm *g)
{
    free((void *)g->a);
    free((void *)g->b);
    free(g->c);
    free(g->aux);
    free((void *)g->bias);
}

static void run(const struct sec_gemm *g, enum sec_isa isa, int threads)
{
    struct sec_backend *b;
    assert_int_equal(sec_backend_cpu_with(isa, threads, &b), 0);
    assert_int_equal(b->gemm(b, g), 0);
    b->destroy(b);
}

static void check_element(const struct sec_gemm *g, const void *old, int64_t i, int64_t j)
{
    double sum = 0, size = 0;
    for (int64_t p = 0; p < g->k; p++) {
        double a = get(g->a, g->trans_a ? p * g->lda + i : i * g->lda + p, g->ab_type);
        double x = get(g->b, g->trans_b ? j * g->ldb + p : p * g->ldb + j, g->ab_type);
        sum += a * x;
        size += fabs(a * x);
    }
    if (g->epilogue != SEC_EPI_NONE)
        sum += get(g->bias, j, SEC_F32);
    if (g->accumulate)
        sum += get(old, i * g->ldc + j, g->c_type);
    /* A chain of k roundings of at most the sum of magnitudes, sparse in practice; then the store.
     */
    double eps = 0x1p-24 * (4 + sqrt((double)g->k)) * (size + 2);
    double store = g->c_type == SEC_BF16 ? 0x1p-8 : 0x1p-23, tol = eps + store * fabs(sum);
    if (g->epilogue == SEC_EPI_BIAS_GELU) {
        double aux = get(g->aux, i * g->ldc + j, g->c_type);
        if (fabs(aux - sum) > tol)
            fail_msg("aux[%d,%d] %.9g, expected %.9g +- %.3g", (int)i, (int)j, aux, sum, tol);
        sum = aux * 0.5 * erfc(-aux * 0.70710678118654752440);
        tol = store * fabs(sum) + 1e-6;
    }
    double c = get(g->c, i * g->ldc + j, g->c_type);
    if (!(fabs(c - sum) <= tol))
        fail_msg("c[%d,%d] of %dx%dx%d ta %d tb %d types %d %d epilogue %d acc %d: %.9g, expected "
                 "%.9g +- %.3g",
                 (int)i, (int)j, (int)g->m, (int)g->n, (int)g->k, g->trans_a, g->trans_b,
                 g->ab_type, g->c_type, g->epilogue, g->accumulate, c, sum, tol);
}

static void check(struct sec_gemm *g, enum sec_isa isa)
{
    size_t bytes = (size_t)(g->ldc * g->m) * sec_dtype_size(g->c_type);
    void *old = sec_xmalloc(bytes);
    memcpy(old, g->c, bytes);
    run(g, isa, 1);
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++)
            check_element(g, old, i, j);
        for (int64_t j = g->n; j < g->ldc; j++)
            assert_true(get(g->c, i * g->ldc + j, g->c_type) ==
                        get(old, i * g->ldc + j, g->c_type));
    }
    for (int threads = 2; threads <= 3; threads++) {
        struct sec_gemm again = *g;
        again.c = sec_xmalloc(bytes);
        memcpy(again.c, old, bytes);
        run(&again, isa, threads);
        assert_memory_equal(again.c, g->c, bytes);
        free(again.c);
    }
    free(old);
}

static void each_isa(void (*fn)(enum sec_isa))
{
    for (int isa = 0; isa <= (int)sec_cpu_isa_detected(); isa++)
        fn((enum sec_isa)isa);
}

static void random_shapes(enum sec_isa isa)
{
    struct sec_rng r = sec_rng_make(7, SEC_STREAM_SAMPLE, 0);
    for (int flags = 0; flags < 128; flags++)
        for (int turn = 0; turn < 2; turn++) {
            uint32_t top = turn ? 150 : 40;
            int64_t m = 1 + sec_rng_below(&r, top), n = 1 + sec_rng_below(&r, top);
            struct sec_gemm g = make(&r, m, n, sec_rng_below(&r, top), flags);
            check(&g, isa);
            release(&g);
        }
}
static void test_random_shapes(void **state)
{
    each_isa(random_shapes);
}

/* Several blocks of rows, groups of columns and chunks of k at once, odd everywhere. */
static void large_shapes(enum sec_isa isa)
{
    static const int64_t shape[][3] = {{230, 290, 1030}, {1, 70, 2111}, {113, 33, 3},
                                       {1000, 2, 17},    {15, 900, 64}, {257, 31, 1}};
    struct sec_rng r = sec_rng_make(8, SEC_STREAM_SAMPLE, 0);
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        for (int flags = (int)i % 4; flags < 128; flags += 13) {
            struct sec_gemm g = make(&r, shape[i][0], shape[i][1], shape[i][2], flags);
            check(&g, isa);
            release(&g);
        }
}
static void test_large_shapes(void **state)
{
    each_isa(large_shapes);
}

/* The first rows of a product, alone, have the bits they have in company. */
static void row_independence(enum sec_isa isa)
{
    struct sec_rng r = sec_rng_make(9, SEC_STREAM_SAMPLE, 0);
    for (int flags = 0; flags < 64; flags++) {
        struct sec_gemm g = make(&r, 333, 75, 1100 + flags % 2, flags);
        run(&g, isa, 2);
        size_t size = sec_dtype_size(g.c_type);
        for (int64_t m = 1; m < g.m; m = m * 2 + 1) {
            int64_t first = g.trans_a ? 0 : sec_rng_below(&r, (uint32_t)(g.m - m));
            struct sec_gemm part = g;
            part.m = m;
            part.a = (const char *)g.a + (size_t)(first * g.lda) * sec_dtype_size(g.ab_type);
            part.c = sec_xcalloc((size_t)(m * g.ldc), size);
            part.aux = sec_xcalloc((size_t)(m * g.ldc), size);
            run(&part, isa, 2);
            for (int64_t i = 0; i < m; i++)
                assert_memory_equal((char *)part.c + (size_t)(i * g.ldc) * size,
                                    (char *)g.c + (size_t)((first + i) * g.ldc) * size,
                                    (size_t)g.n * size);
            free(part.c);
            free(part.aux);
        }
        release(&g);
    }
}
static void test_row_independence(void **state)
{
    each_isa(row_independence);
}

/* 0 x the padding must not turn a neighbour's infinity into NaN (odd k in bf16 pairs). */
static void test_no_leak_from_neighbours(void **state)
{
    struct sec_rng r = sec_rng_make(10, SEC_STREAM_SAMPLE, 0);
    for (int isa = 0; isa <= (int)sec_cpu_isa_detected(); isa++) {
        struct sec_gemm g = make(&r, 20, 20, 5, 4 | 2);
        uint16_t *a = (uint16_t *)g.a;
        release(&(struct sec_gemm){.a = g.b});
        g.lda = g.ldb = 9;
        a = realloc(a, sizeof *a * 180);
        uint16_t *x = malloc(sizeof *x * 180);
        for (int i = 0; i < 180; i++)
            a[i] = x[i] = i % 9 < 5 ? 0x3F80 : 0x7F80;
        g.a = a;
        g.b = x;
        run(&g, (enum sec_isa)isa, 1);
        for (int i = 0; i < 20; i++)
            for (int j = 0; j < 20; j++)
                assert_true(((float *)g.c)[i * g.ldc + j] == 5.0f);
        release(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_large_shapes),
        cmocka_unit_test(test_row_independence),
        cmocka_unit_test(test_no_leak_from_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
