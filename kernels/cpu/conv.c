/* Convolution as a matrix product. Row t of the unfolded input is the ksize rows around t side by
 * side, zeros where the window leaves the sequence; the kernel is reordered to match, (tap,
 * channel). The gradient of the input is the same thing with the taps reversed and the channels
 * exchanged. */
#include "base/error.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

/* Row t of a sequence begin..end. */
static void unfold_row(const struct sec_conv *c, const char *from, char *to, int64_t t,
                       int64_t begin, int64_t end)
{
    size_t row = (size_t)c->channels * sec_dtype_size(c->act);
    for (int u = 0; u < c->ksize; u++, to += row) {
        int64_t r = t + u - c->ksize / 2;
        if (r >= begin && r < end)
            memcpy(to, from + (size_t)r * row, row);
        else
            memset(to, 0, row);
    }
}

static void unfold(struct sec_backend *b, const struct sec_conv *c, const void *src, char *dst)
{
    int64_t width = (int64_t)c->channels * c->ksize;
    size_t bytes = (size_t)width * sec_dtype_size(c->act);
#pragma omp parallel num_threads(sec_cpu_threads(b, c->n_tokens *width))
    {
        struct sec_range mine =
            sec_split(c->n_tokens, omp_get_num_threads(), omp_get_thread_num(), 1);
        for (int s = 0; s < c->n_seqs; s++) {
            int64_t begin = c->cu_seqlens[s], end = c->cu_seqlens[s + 1];
            int64_t first = begin > mine.begin ? begin : mine.begin;
            for (int64_t t = first; t < end && t < mine.end; t++)
                unfold_row(c, src, dst + (size_t)t * bytes, t, begin, end);
        }
    }
}

/* Element (o, i, u) of W goes to (o, u, i), or for the input gradient to (o', i) with
 * o' = (ksize-1-u) * channels + o. */
static void reorder_kernel(struct sec_backend *b, const struct sec_conv *c, void *dst,
                           bool for_input)
{
    int64_t ch = c->channels, ks = c->ksize;
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, ch *ch *ks))
    for (int64_t o = 0; o < ch; o++)
        for (int64_t u = 0; u < ks; u++) {
            int64_t to = for_input ? ((ks - 1 - u) * ch + o) * ch : (o * ks + u) * ch;
            if (c->act == SEC_BF16)
                for (int64_t i = 0; i < ch; i++)
                    ((uint16_t *)dst)[to + i] = ((const uint16_t *)c->w)[(o * ch + i) * ks + u];
            else
                for (int64_t i = 0; i < ch; i++)
                    ((float *)dst)[to + i] = ((const float *)c->w)[(o * ch + i) * ks + u];
        }
}

/* Scratch: unfolded rows, reordered kernel, F32 kernel gradient. */
struct conv_scratch {
    char *rows, *kernel;
    float *dw;
};

static int get_scratch(struct sec_backend *b, const struct sec_conv *c, struct conv_scratch *s)
{
    size_t size = sec_dtype_size(c->act), ch = (size_t)c->channels, ks = (size_t)c->ksize;
    size_t rows = SEC_ALIGN64((size_t)c->n_tokens * ch * ks * size);
    size_t kernel = SEC_ALIGN64(ch * ch * ks * size);
    s->rows = sec_cpu_scratch(b, SEC_SCRATCH_CONV, rows + kernel + ch * ch * ks * sizeof(float));
    if (!s->rows)
        return SEC_ENOMEM;
    s->kernel = s->rows + rows;
    s->dw = (float *)(void *)(s->kernel + kernel);
    return 0;
}

int sec_cpu_conv(struct sec_backend *b, const struct sec_conv *c)
{
    assert(c->act != SEC_F64 && c->ksize % 2 == 1);
    struct conv_scratch s;
    int rc = get_scratch(b, c, &s);
    if (rc)
        return rc;
    int64_t width = (int64_t)c->channels * c->ksize;
    unfold(b, c, c->x, s.rows);
    reorder_kernel(b, c, s.kernel, false);
    return b->gemm(b, &(struct sec_gemm){.m = c->n_tokens,
                                         .n = c->channels,
                                         .k = width,
                                         .trans_b = true,
                                         .ab_type = c->act,
                                         .c_type = c->act,
                                         .a = s.rows,
                                         .b = s.kernel,
                                         .c = c->y,
                                         .lda = width,
                                         .ldb = width,
                                         .ldc = c->channels,
                                         .epilogue = SEC_EPI_BIAS,
                                         .bias = c->bias});
}

static int input_gradient(struct sec_backend *b, const struct sec_conv *c,
                          const struct conv_scratch *s)
{
    int64_t width = (int64_t)c->channels * c->ksize;
    unfold(b, c, c->dy, s->rows);
    reorder_kernel(b, c, s->kernel, true);
    return b->gemm(b, &(struct sec_gemm){.m = c->n_tokens,
                                         .n = c->channels,
                                         .k = width,
                                         .accumulate = true,
                                         .ab_type = c->act,
                                         .c_type = c->act,
                                         .a = s->rows,
                                         .b = s->kernel,
                                         .c = c->dx,
                                         .lda = width,
                                         .ldb = c->channels,
                                         .ldc = c->channels});
}

static int kernel_gradient(struct sec_backend *b, const struct sec_conv *c,
                           const struct conv_scratch *s)
{
    int64_t ch = c->channels, ks = c->ksize, width = ch * ks;
    unfold(b, c, c->x, s->rows);
    int rc = b->gemm(b, &(struct sec_gemm){.m = ch,
                                           .n = width,
                                           .k = c->n_tokens,
                                           .trans_a = true,
                                           .ab_type = c->act,
                                           .c_type = SEC_F32,
                                           .a = c->dy,
                                           .b = s->rows,
                                           .c = s->dw,
                                           .lda = ch,
                                           .ldb = width,
                                           .ldc = width});
    if (rc)
        return rc;
    float *dw = c->dw;
#pragma omp parallel for schedule(static) num_threads(sec_cpu_threads(b, ch *width))
    for (int64_t o = 0; o < ch; o++)
        for (int64_t i = 0; i < ch; i++)
            for (int64_t u = 0; u < ks; u++)
                dw[(o * ch + i) * ks + u] += s->dw[(o * ks + u) * ch + i];
    return 0;
}

int sec_cpu_conv_bwd(struct sec_backend *b, const struct sec_conv *c)
{
    assert(c->act != SEC_F64 && c->ksize % 2 == 1);
    struct conv_scratch s;
    int rc = get_scratch(b, c, &s);
    if (!rc)
        rc = input_gradient(b, c, &s);
    if (!rc)
        rc = kernel_gradient(b, c, &s);
    if (!rc)
        rc = sec_cpu_bias_grad(b, c->dy, c->n_tokens, c->channels, c->channels, c->act, c->dbias);
    return rc;
}
