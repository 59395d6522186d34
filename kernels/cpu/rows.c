/* Sharing out the row-wise ops. Every split is by rows, columns or fixed blocks, so that no sum
 * depends on the number of threads. */
#include "kernels/cpu/rows.h"

#include "base/error.h"
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

enum {
    ROW_BLOCK = 64,      /* rows of one partial column sum */
    STRIP = 512,         /* columns of one partial column sum */
    SUM_BLOCK = 1 << 15, /* elements of one partial sum of squares */
    ELEMENT_UNIT = 64    /* element ranges start on cache lines of either type */
};

static const struct sec_row_kernels *kernels(struct sec_backend *b)
{
    switch (sec_cpu_state(b)->isa) {
    case SEC_ISA_AVX512BF16:
        return &sec_row_kernels_avx512bf16;
    case SEC_ISA_AVX512:
        return &sec_row_kernels_avx512;
    case SEC_ISA_AVX2:
        return &sec_row_kernels_avx2;
    default:
        return &sec_row_kernels_portable;
    }
}

static struct sec_range my_part(int64_t n, int64_t unit)
{
    return sec_split(n, omp_get_num_threads(), omp_get_thread_num(), unit);
}

static const void *at(const void *p, int64_t i, enum sec_dtype t)
{
    return (const char *)p + i * (int64_t)sec_dtype_size(t);
}
static void *at_mut(void *p, int64_t i, enum sec_dtype t)
{
    return (char *)p + i * (int64_t)sec_dtype_size(t);
}

static bool is_bf16(enum sec_dtype act)
{
    assert(act != SEC_F64);
    return act == SEC_BF16;
}

int sec_cpu_cast(struct sec_backend *b, void *dst, enum sec_dtype to, const void *src,
                 enum sec_dtype from, int64_t n)
{
    assert(to != SEC_F64 && from != SEC_F64);
#pragma omp parallel num_threads(sec_cpu_threads(b, n))
    {
        struct sec_range r = my_part(n, ELEMENT_UNIT);
        kernels(b)->cast(at_mut(dst, r.begin, to), to, at(src, r.begin, from), from,
                         r.end - r.begin);
    }
    return 0;
}

int sec_cpu_gelu(struct sec_backend *b, const void *x, void *y, int64_t n, enum sec_dtype act)
{
    bool bf16 = is_bf16(act);
#pragma omp parallel num_threads(sec_cpu_threads(b, n))
    {
        struct sec_range r = my_part(n, ELEMENT_UNIT);
        kernels(b)->gelu(at(x, r.begin, act), at_mut(y, r.begin, act), r.end - r.begin, bf16);
    }
    return 0;
}

int sec_cpu_gelu_bwd(struct sec_backend *b, const void *dy, const void *x, void *dx, int64_t n,
                     enum sec_dtype act)
{
    bool bf16 = is_bf16(act);
#pragma omp parallel num_threads(sec_cpu_threads(b, n))
    {
        struct sec_range r = my_part(n, ELEMENT_UNIT);
        kernels(b)->gelu_bwd(at(dy, r.begin, act), at(x, r.begin, act), at_mut(dx, r.begin, act),
                             r.end - r.begin, bf16);
    }
    return 0;
}

int sec_cpu_add(struct sec_backend *b, void *y, const void *x, int64_t n, enum sec_dtype act)
{
    bool bf16 = is_bf16(act);
#pragma omp parallel num_threads(sec_cpu_threads(b, n))
    {
        struct sec_range r = my_part(n, ELEMENT_UNIT);
        kernels(b)->add(at_mut(y, r.begin, act), at(x, r.begin, act), r.end - r.begin, bf16);
    }
    return 0;
}

int sec_cpu_adamw(struct sec_backend *b, const struct sec_adamw *a)
{
    assert(a->master == SEC_F32);
#pragma omp parallel num_threads(sec_cpu_threads(b, a->n))
    {
        struct sec_range r = my_part(a->n, ELEMENT_UNIT);
        kernels(b)->adamw(a, r.begin, r.end);
    }
    return 0;
}

int sec_cpu_sumsq(struct sec_backend *b, const void *x, int64_t n, enum sec_dtype master,
                  double *out)
{
    assert(master == SEC_F32);
    int64_t blocks = sec_div_up(n, SUM_BLOCK);
    double *part = sec_cpu_scratch(b, SEC_SCRATCH_OP, (size_t)blocks * sizeof *part);
    if (!part)
        return SEC_ENOMEM;
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, n))
    for (int64_t i = 0; i < blocks; i++)
        part[i] = kernels(b)->sumsq((const float *)x + i * SUM_BLOCK,
                                    sec_min_int(n - i * SUM_BLOCK, SUM_BLOCK));
    *out = 0;
    for (int64_t i = 0; i < blocks; i++)
        *out += part[i];
    return 0;
}

int sec_cpu_embed(struct sec_backend *b, const void *table, const uint16_t *ids, int64_t t,
                  int64_t h, enum sec_dtype act, void *x)
{
    size_t bytes = (size_t)h * sec_dtype_size(act);
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, t *h))
    for (int64_t r = 0; r < t; r++)
        memcpy(at_mut(x, r * h, act), at(table, ids[r] * h, act), bytes);
    return 0;
}

/* Every thread walks all tokens for its own columns, so the order of additions is that of t. */
int sec_cpu_embed_bwd(struct sec_backend *b, const void *dx, const uint16_t *ids, int64_t t,
                      int64_t h, enum sec_dtype act, int pad, void *dtable)
{
    bool bf16 = is_bf16(act);
#pragma omp parallel num_threads(sec_cpu_threads(b, t *h))
    {
        struct sec_range c = my_part(h, ELEMENT_UNIT);
        for (int64_t r = 0; r < t && c.begin < c.end; r++)
            if (ids[r] != pad)
                kernels(b)->add_to_f32((float *)dtable + ids[r] * h + c.begin,
                                       at(dx, r * h + c.begin, act), c.end - c.begin, bf16);
    }
    return 0;
}

int sec_cpu_gather_rows(struct sec_backend *b, const void *x, const int32_t *rows, int64_t n,
                        int64_t cols, enum sec_dtype act, void *y)
{
    size_t bytes = (size_t)cols * sec_dtype_size(act);
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, n *cols))
    for (int64_t r = 0; r < n; r++)
        memcpy(at_mut(y, r * cols, act), at(x, rows[r] * cols, act), bytes);
    return 0;
}

int sec_cpu_scatter_add_rows(struct sec_backend *b, const void *dy, const int32_t *rows, int64_t n,
                             int64_t cols, enum sec_dtype act, void *dx)
{
    bool bf16 = is_bf16(act);
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, n *cols))
    for (int64_t r = 0; r < n; r++)
        kernels(b)->add(at_mut(dx, rows[r] * cols, act), at(dy, r * cols, act), cols, bf16);
    return 0;
}

int sec_cpu_dropout(struct sec_backend *b, const void *x, void *y, int64_t rows, int64_t cols,
                    enum sec_dtype act, const struct sec_dropout *d)
{
    bool bf16 = is_bf16(act);
    if (d->p == 0) {
        if (x != y)
            memcpy(y, x, (size_t)(rows * cols) * sec_dtype_size(act));
        return 0;
    }
#pragma omp parallel num_threads(sec_cpu_threads(b, rows *cols))
    {
        struct sec_range r = my_part(rows, 1);
        kernels(b)->dropout(x, y, r.begin, r.end, cols, bf16, d);
    }
    return 0;
}

int sec_cpu_add_ln(struct sec_backend *b, const struct sec_add_ln *a)
{
    assert(a->act != SEC_F64);
    int threads = sec_cpu_threads(b, a->rows * a->cols);
    size_t row_bytes = SEC_ALIGN64((size_t)a->cols * sizeof(float));
    char *scratch = sec_cpu_scratch(b, SEC_SCRATCH_OP, (size_t)threads * row_bytes);
    if (!scratch)
        return SEC_ENOMEM;
#pragma omp parallel num_threads(threads)
    {
        struct sec_range r = my_part(a->rows, 1);
        float *row = (float *)(void *)(scratch + (size_t)omp_get_thread_num() * row_bytes);
        kernels(b)->add_ln(a, r.begin, r.end, row);
    }
    return 0;
}

/* dst[c] += the sum over blocks, in their order, of part[block * stride + c]. */
static void add_parts(struct sec_backend *b, float *dst, const float *part, int64_t blocks,
                      int64_t stride, int64_t cols)
{
#pragma omp parallel num_threads(sec_cpu_threads(b, blocks *cols))
    {
        struct sec_range c = my_part(cols, ELEMENT_UNIT);
        for (int64_t i = 0; i < blocks && c.begin < c.end; i++)
            kernels(b)->add_to_f32(dst + c.begin, part + i * stride + c.begin, c.end - c.begin,
                                   false);
    }
}

int sec_cpu_add_ln_bwd(struct sec_backend *b, const struct sec_add_ln_bwd *a)
{
    assert(a->act != SEC_F64);
    int64_t blocks = sec_div_up(a->rows, ROW_BLOCK), cols = a->cols;
    size_t bytes = (size_t)(2 * blocks * cols) * sizeof(float);
    float *part = sec_cpu_scratch(b, SEC_SCRATCH_OP, bytes);
    if (!part)
        return SEC_ENOMEM;
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, a->rows *cols))
    for (int64_t i = 0; i < blocks; i++) {
        float *sums = part + 2 * i * cols;
        memset(sums, 0, 2 * (size_t)cols * sizeof *sums);
        kernels(b)->add_ln_bwd(a, i * ROW_BLOCK, sec_min_int((i + 1) * ROW_BLOCK, a->rows), sums,
                               sums + cols);
    }
    add_parts(b, a->dgamma, part, blocks, 2 * cols, cols);
    add_parts(b, a->dbeta, part + cols, blocks, 2 * cols, cols);
    return 0;
}

int sec_cpu_bias_grad(struct sec_backend *b, const void *dy, int64_t rows, int64_t cols, int64_t ld,
                      enum sec_dtype act, void *db)
{
    bool bf16 = is_bf16(act);
    int64_t blocks = sec_div_up(rows, ROW_BLOCK), strips = sec_div_up(cols, STRIP);
    float *part = sec_cpu_scratch(b, SEC_SCRATCH_OP, (size_t)(blocks * cols) * sizeof *part);
    if (!part)
        return SEC_ENOMEM;
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, rows *cols))
    for (int64_t i = 0; i < blocks * strips; i++) {
        int64_t r = i / strips * ROW_BLOCK, c = i % strips * STRIP;
        kernels(b)->column_sums(at(dy, r * ld + c, act), sec_min_int(rows - r, ROW_BLOCK),
                                sec_min_int(cols - c, STRIP), ld, bf16,
                                part + i / strips * cols + c);
    }
    add_parts(b, db, part, blocks, cols, cols);
    return 0;
}

int sec_cpu_xent(struct sec_backend *b, const struct sec_xent *x)
{
    assert(x->type != SEC_F64);
#pragma omp parallel num_threads(sec_cpu_threads(b, x->rows * x->cols * 4))
    {
        struct sec_range r = my_part(x->rows, 1);
        kernels(b)->xent(x, r.begin, r.end);
    }
    return 0;
}
