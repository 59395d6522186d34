#include "base/error.h"
#include "kernels/ref/ref.h"

#include <stdlib.h>

/* Row i of op(A), or column-wise access to op(B), as doubles: the operands in plain row-major form.
 */
static void unpack(double *dst, const void *src, enum sec_dtype t, int64_t rows, int64_t cols,
                   int64_t ld, bool transposed)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            dst[r * cols + c] = sec_ref_get(src, t, transposed ? c * ld + r : r * ld + c);
}

static void store_row(const struct sec_gemm *g, int64_t i, const double *sum)
{
    enum sec_dtype master = sec_master_type(g->ab_type);
    for (int64_t j = 0; j < g->n; j++) {
        int64_t at = i * g->ldc + j;
        double x = sum[j];
        if (g->accumulate)
            x += sec_ref_get(g->c, g->c_type, at);
        if (g->epilogue != SEC_EPI_NONE)
            x += sec_ref_get(g->bias, master, j);
        if (g->epilogue == SEC_EPI_BIAS_GELU) {
            sec_ref_set(g->aux, g->c_type, at, x);
            x = sec_ref_gelu(sec_ref_get(g->aux, g->c_type, at));
        }
        sec_ref_set(g->c, g->c_type, at, x);
    }
}

int sec_ref_gemm(struct sec_backend *b, const struct sec_gemm *g)
{
    int64_t m = g->m, n = g->n, k = g->k;
    double *a = malloc(sizeof *a * (size_t)(m * k + 1));
    double *bb = malloc(sizeof *bb * (size_t)(k * n + 1));
    double *sums = malloc(sizeof *sums * (size_t)(m * n + 1));
    int rc = a && bb && sums ? 0
                             : sec_fail(SEC_ENOMEM, "ref gemm: no memory for %lld x %lld x %lld",
                                        (long long)m, (long long)n, (long long)k);
    if (rc)
        goto fail;
    unpack(a, g->a, g->ab_type, m, k, g->lda, g->trans_a);
    unpack(bb, g->b, g->ab_type, k, n, g->ldb, g->trans_b);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < m; i++) {
        double *sum = sums + i * n;
        for (int64_t j = 0; j < n; j++)
            sum[j] = 0;
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = 0; j < n; j++)
                sum[j] += a[i * k + l] * bb[l * n + j];
        store_row(g, i, sum);
    }
fail:
    free(a);
    free(bb);
    free(sums);
    return rc;
}
