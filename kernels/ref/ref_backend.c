/* The reference backend: the one-loop ops and the table. */
#include "base/error.h"
#include "kernels/dropout.h"
#include "kernels/host_memory.h"
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double sec_ref_drop(const struct sec_dropout *d, int64_t row, uint32_t site, int64_t col)
{
    if (d->p == 0)
        return 1;
    return sec_dropout_keep(d, d->row_key[row], site, col) ? sec_dropout_scale(d->p) : 0;
}

double sec_ref_gelu(double x)
{
    return x * 0.5 * erfc(-x * M_SQRT1_2);
}

double sec_ref_gelu_grad(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2) + x * exp(-0.5 * x * x) * M_SQRT1_2 * 0.5 * M_2_SQRTPI;
}

static int ref_cast(struct sec_backend *b, void *dst, enum sec_dtype to, const void *src,
                    enum sec_dtype from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sec_ref_set(dst, to, i, sec_ref_get(src, from, i));
    return 0;
}

static int ref_embed(struct sec_backend *b, const void *table, const uint16_t *ids, int64_t t,
                     int64_t h, enum sec_dtype act, void *x)
{
    for (int64_t r = 0; r < t; r++)
        for (int64_t c = 0; c < h; c++)
            sec_ref_set(x, act, r * h + c, sec_ref_get(table, act, ids[r] * h + c));
    return 0;
}

static int ref_embed_bwd(struct sec_backend *b, const void *dx, const uint16_t *ids, int64_t t,
                         int64_t h, enum sec_dtype act, int pad, void *dtable)
{
    enum sec_dtype master = sec_master_type(act);
    for (int64_t r = 0; r < t; r++)
        for (int64_t c = 0; c < h && ids[r] != pad; c++)
            sec_ref_set(dtable, master, ids[r] * h + c,
                        sec_ref_get(dtable, master, ids[r] * h + c) +
                            sec_ref_get(dx, act, r * h + c));
    return 0;
}

static int ref_dropout(struct sec_backend *b, const void *x, void *y, int64_t rows, int64_t cols,
                       enum sec_dtype act, const struct sec_dropout *d)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            sec_ref_set(y, act, r * cols + c,
                        sec_ref_get(x, act, r * cols + c) * sec_ref_drop(d, r, d->site, c));
    return 0;
}

static int ref_gelu(struct sec_backend *b, const void *x, void *y, int64_t n, enum sec_dtype act)
{
    for (int64_t i = 0; i < n; i++)
        sec_ref_set(y, act, i, sec_ref_gelu(sec_ref_get(x, act, i)));
    return 0;
}

static int ref_gelu_bwd(struct sec_backend *b, const void *dy, const void *x, void *dx, int64_t n,
                        enum sec_dtype act)
{
    for (int64_t i = 0; i < n; i++)
        sec_ref_set(dx, act, i,
                    sec_ref_get(dy, act, i) * sec_ref_gelu_grad(sec_ref_get(x, act, i)));
    return 0;
}

static int ref_bias_grad(struct sec_backend *b, const void *dy, int64_t rows, int64_t cols,
                         int64_t ld, enum sec_dtype act, void *db)
{
    enum sec_dtype master = sec_master_type(act);
    for (int64_t c = 0; c < cols; c++) {
        double sum = sec_ref_get(db, master, c);
        for (int64_t r = 0; r < rows; r++)
            sum += sec_ref_get(dy, act, r * ld + c);
        sec_ref_set(db, master, c, sum);
    }
    return 0;
}

static int ref_add(struct sec_backend *b, void *y, const void *x, int64_t n, enum sec_dtype act)
{
    for (int64_t i = 0; i < n; i++)
        sec_ref_set(y, act, i, sec_ref_get(y, act, i) + sec_ref_get(x, act, i));
    return 0;
}

static int ref_gather_rows(struct sec_backend *b, const void *x, const int32_t *rows, int64_t n,
                           int64_t cols, enum sec_dtype act, void *y)
{
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < cols; c++)
            sec_ref_set(y, act, r * cols + c, sec_ref_get(x, act, rows[r] * cols + c));
    return 0;
}

static int ref_scatter_add_rows(struct sec_backend *b, const void *dy, const int32_t *rows,
                                int64_t n, int64_t cols, enum sec_dtype act, void *dx)
{
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < cols; c++)
            sec_ref_set(dx, act, rows[r] * cols + c,
                        sec_ref_get(dx, act, rows[r] * cols + c) +
                            sec_ref_get(dy, act, r * cols + c));
    return 0;
}

static int ref_sumsq(struct sec_backend *b, const void *x, int64_t n, enum sec_dtype master,
                     double *out)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += sec_ref_get(x, master, i) * sec_ref_get(x, master, i);
    *out = sum;
    return 0;
}

static void ref_destroy(struct sec_backend *b)
{
    free(b);
}

int sec_backend_ref(struct sec_backend **out)
{
    struct sec_backend *b = calloc(1, sizeof *b);
    *out = b;
    if (!b)
        return sec_fail(SEC_ENOMEM, "no memory for the reference backend");
    sec_host_memory(b);
    b->name = "ref";
    strcpy(b->detail, "double precision");
    b->cast = ref_cast;
    b->gemm = sec_ref_gemm;
    b->embed = ref_embed;
    b->embed_bwd = ref_embed_bwd;
    b->add_ln = sec_ref_add_ln;
    b->add_ln_bwd = sec_ref_add_ln_bwd;
    b->dropout = ref_dropout;
    b->gelu = ref_gelu;
    b->gelu_bwd = ref_gelu_bwd;
    b->bias_grad = ref_bias_grad;
    b->add = ref_add;
    b->attn = sec_ref_attn;
    b->attn_bwd = sec_ref_attn_bwd;
    b->conv = sec_ref_conv;
    b->conv_bwd = sec_ref_conv_bwd;
    b->gather_rows = ref_gather_rows;
    b->scatter_add_rows = ref_scatter_add_rows;
    b->xent = sec_ref_xent;
    b->adamw = sec_ref_adamw;
    b->sumsq = ref_sumsq;
    b->destroy = ref_destroy;
    return 0;
}
