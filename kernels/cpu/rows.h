/* The ops that are not matrix products, one table per instruction set. A function works on the
 * given range only and starts no thread; rows.c shares out the ranges. */
#ifndef SEC_KERNELS_CPU_ROWS_H
#define SEC_KERNELS_CPU_ROWS_H

#include "kernels/ops.h"

struct sec_row_kernels {
    /* Element ranges: n elements at the pointers. F32 and BF16. */
    void (*cast)(void *dst, enum sec_dtype to, const void *src, enum sec_dtype from, int64_t n);
    void (*gelu)(const void *x, void *y, int64_t n, bool bf16);
    void (*gelu_bwd)(const void *dy, const void *x, void *dx, int64_t n, bool bf16);
    void (*add)(void *y, const void *x, int64_t n, bool bf16);
    void (*add_to_f32)(float *y, const void *x, int64_t n, bool bf16); /* y += x */
    void (*adamw)(const struct sec_adamw *a, int64_t begin, int64_t end);
    double (*sumsq)(const float *x, int64_t n);

    /* Rows begin..end. */
    void (*dropout)(const void *x, void *y, int64_t begin, int64_t end, int64_t cols, bool bf16,
                    const struct sec_dropout *d);
    void (*add_ln)(const struct sec_add_ln *a, int64_t begin, int64_t end, float *row);
    /* dgamma, dbeta: [cols] sums of these rows, added to. */
    void (*add_ln_bwd)(const struct sec_add_ln_bwd *a, int64_t begin, int64_t end, float *dgamma,
                       float *dbeta);
    /* sum[c] = sum of `rows` rows of n columns. */
    void (*column_sums)(const void *x, int64_t rows, int64_t n, int64_t ld, bool bf16, float *sum);
    void (*xent)(const struct sec_xent *x, int64_t begin, int64_t end);
};

extern const struct sec_row_kernels sec_row_kernels_portable, sec_row_kernels_avx2,
    sec_row_kernels_avx512, sec_row_kernels_avx512bf16;

/* The backend functions (contract: ops.h). */
int sec_cpu_cast(struct sec_backend *b, void *dst, enum sec_dtype to, const void *src,
                 enum sec_dtype from, int64_t n);
int sec_cpu_embed(struct sec_backend *b, const void *table, const uint16_t *ids, int64_t t,
                  int64_t h, enum sec_dtype act, void *x);
int sec_cpu_embed_bwd(struct sec_backend *b, const void *dx, const uint16_t *ids, int64_t t,
                      int64_t h, enum sec_dtype act, int pad, void *dtable);
int sec_cpu_add_ln(struct sec_backend *b, const struct sec_add_ln *a);
int sec_cpu_add_ln_bwd(struct sec_backend *b, const struct sec_add_ln_bwd *a);
int sec_cpu_dropout(struct sec_backend *b, const void *x, void *y, int64_t rows, int64_t cols,
                    enum sec_dtype act, const struct sec_dropout *d);
int sec_cpu_gelu(struct sec_backend *b, const void *x, void *y, int64_t n, enum sec_dtype act);
int sec_cpu_gelu_bwd(struct sec_backend *b, const void *dy, const void *x, void *dx, int64_t n,
                     enum sec_dtype act);
int sec_cpu_bias_grad(struct sec_backend *b, const void *dy, int64_t rows, int64_t cols, int64_t ld,
                      enum sec_dtype act, void *db);
int sec_cpu_add(struct sec_backend *b, void *y, const void *x, int64_t n, enum sec_dtype act);
int sec_cpu_gather_rows(struct sec_backend *b, const void *x, const int32_t *rows, int64_t n,
                        int64_t cols, enum sec_dtype act, void *y);
int sec_cpu_scatter_add_rows(struct sec_backend *b, const void *dy, const int32_t *rows, int64_t n,
                             int64_t cols, enum sec_dtype act, void *dx);
int sec_cpu_xent(struct sec_backend *b, const struct sec_xent *x);
int sec_cpu_adamw(struct sec_backend *b, const struct sec_adamw *a);
int sec_cpu_sumsq(struct sec_backend *b, const void *x, int64_t n, enum sec_dtype master,
                  double *out);

#endif
