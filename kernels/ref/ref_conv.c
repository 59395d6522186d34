#include "base/error.h"
#include "kernels/ref/ref.h"

#include <stdlib.h>

/* Row t + u - ksize/2 if it is in the sequence [begin, end), else -1. */
static int64_t tap(const struct sec_conv *c, int64_t t, int64_t u, int64_t begin, int64_t end)
{
    int64_t row = t + u - c->ksize / 2;
    return row >= begin && row < end ? row : -1;
}

int sec_ref_conv(struct sec_backend *b, const struct sec_conv *c)
{
    int64_t ch = c->channels, ks = c->ksize;
    for (int s = 0; s < c->n_seqs; s++) {
        int64_t begin = c->cu_seqlens[s], end = c->cu_seqlens[s + 1];
        for (int64_t t = begin; t < end; t++)
            for (int64_t o = 0; o < ch; o++) {
                double y = sec_ref_get(c->bias, sec_master_type(c->act), o);
                for (int64_t u = 0; u < ks; u++) {
                    int64_t row = tap(c, t, u, begin, end);
                    for (int64_t i = 0; i < ch && row >= 0; i++)
                        y += sec_ref_get(c->x, c->act, row * ch + i) *
                             sec_ref_get(c->w, c->act, (o * ch + i) * ks + u);
                }
                sec_ref_set(c->y, c->act, t * ch + o, y);
            }
    }
    return 0;
}

static void backward_at(const struct sec_conv *c, int64_t t, int64_t o, int64_t begin, int64_t end,
                        double *dx, double *dw)
{
    int64_t ch = c->channels, ks = c->ksize;
    double dy = sec_ref_get(c->dy, c->act, t * ch + o);
    for (int64_t u = 0; u < ks; u++) {
        int64_t row = tap(c, t, u, begin, end);
        for (int64_t i = 0; i < ch && row >= 0; i++) {
            dx[row * ch + i] += dy * sec_ref_get(c->w, c->act, (o * ch + i) * ks + u);
            dw[(o * ch + i) * ks + u] += dy * sec_ref_get(c->x, c->act, row * ch + i);
        }
    }
}

static void add_into(void *dst, enum sec_dtype t, const double *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sec_ref_set(dst, t, i, sec_ref_get(dst, t, i) + src[i]);
}

int sec_ref_conv_bwd(struct sec_backend *b, const struct sec_conv *c)
{
    enum sec_dtype master = sec_master_type(c->act);
    int64_t ch = c->channels, n_x = c->n_tokens * ch, n_w = ch * ch * c->ksize;
    double *dx = calloc((size_t)(n_x + n_w + ch), sizeof *dx);
    if (!dx)
        return sec_fail(SEC_ENOMEM, "ref conv: no memory for the gradients of %d tokens",
                        c->n_tokens);
    double *dw = dx + n_x, *dbias = dw + n_w;
    for (int s = 0; s < c->n_seqs; s++)
        for (int64_t t = c->cu_seqlens[s]; t < c->cu_seqlens[s + 1]; t++)
            for (int64_t o = 0; o < ch; o++) {
                backward_at(c, t, o, c->cu_seqlens[s], c->cu_seqlens[s + 1], dx, dw);
                dbias[o] += sec_ref_get(c->dy, c->act, t * ch + o);
            }
    add_into(c->dx, c->act, dx, n_x);
    add_into(c->dw, master, dw, n_w);
    add_into(c->dbias, master, dbias, ch);
    free(dx);
    return 0;
}
