/* Problems of disentangled attention and their solution by the definition (ops.h), in plain double
 * loops: what the tests of its implementations share. All static: included by the test programs,
 * after cmocka.h. */
#ifndef SEC_TESTS_ATTN_CASE_H
#define SEC_TESTS_ATTN_CASE_H

#include "base/mem.h"
#include "base/rng.h"
#include "kernels/dropout.h"
#include "kernels/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { Q, K, V, QR, KR, DO, N_IN };
enum { O, DQ, DK, DV, DQR, DKR, N_OUT };
static const char *const out_name[] = {"o", "dq", "dk", "dv", "dqr", "dkr"};

/* Mistakes that a comparison must see: the second position term with its sign turned round, and
 * relative rows of keys one too far. */
enum mistake { NO_MISTAKE, FLIPPED_P2C, SHIFTED_C2P };

struct problem {
    struct sec_attn a;
    int32_t *cu;
    uint16_t *rel_idx;
    uint64_t *row_key;
    void *in[N_IN], *out[N_OUT];
    double *want[N_OUT];
    enum mistake mistake;
    int64_t width;
};

struct shape {
    int heads, head_dim, buckets, max_rel; /* buckets: k, so 2k rows */
    double p;
    int n_seqs;
    const int *len;
};

/* model.md; float32 throughout does not matter here, any monotone table will do. */
static int bucket(int delta, int k, int max_rel)
{
    int mid = k / 2, size = abs(delta), b = size;
    size = size < max_rel - 1 ? size : max_rel - 1;
    b = size;
    if (size > mid)
        b = (int)ceil(log((double)size / mid) / log((max_rel - 1.0) / mid) * (mid - 1)) + mid;
    int idx = (delta < 0 ? -b : b) + k;
    return idx < 0 ? 0 : idx > 2 * k - 1 ? 2 * k - 1 : idx;
}

static double get(const void *p, int64_t i, enum sec_dtype t)
{
    return t == SEC_BF16 ? sec_bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}
static void *random_rows(int which, int64_t rows, int64_t ld, enum sec_dtype t)
{
    void *p = sec_xmalloc((size_t)(rows * ld) * sec_dtype_size(t));
    for (int64_t i = 0; i < rows * ld; i++) {
        float x = (float)sec_rand_normal(3, (uint32_t)which + 100, (uint64_t)i);
        if (t == SEC_BF16)
            ((uint16_t *)p)[i] = sec_f32_to_bf16(x);
        else
            ((float *)p)[i] = x;
    }
    return p;
}

static void make(struct problem *x, const struct shape *s, enum sec_dtype act)
{
    struct sec_attn *a = &x->a;
    *x = (struct problem){.width = (int64_t)s->heads * s->head_dim};
    x->cu = sec_xcalloc((size_t)s->n_seqs + 1, sizeof *x->cu);
    int longest = 1;
    for (int i = 0; i < s->n_seqs; i++) {
        x->cu[i + 1] = x->cu[i] + s->len[i];
        longest = s->len[i] > longest ? s->len[i] : longest;
    }
    int64_t n = x->cu[s->n_seqs], span = longest + 3, w = x->width;
    x->rel_idx = sec_xmalloc((size_t)(2 * span - 1) * sizeof *x->rel_idx);
    for (int64_t d = 1 - span; d < span; d++)
        x->rel_idx[d + span - 1] = (uint16_t)bucket((int)d, s->buckets, s->max_rel);
    x->row_key = sec_xmalloc((size_t)n * sizeof *x->row_key);
    for (int64_t i = 0; i < n; i++)
        x->row_key[i] = 0x123456789ull * (uint64_t)(i + 1);
    *a = (struct sec_attn){.n_tokens = (int32_t)n,
                           .n_seqs = s->n_seqs,
                           .max_seqlen = longest,
                           .heads = s->heads,
                           .head_dim = s->head_dim,
                           .rel_rows = 2 * s->buckets,
                           .rel_span = (int32_t)span,
                           .act = act,
                           .scale = (float)(1 / sqrt(3.0 * s->head_dim)),
                           .cu_seqlens = x->cu,
                           .rel_idx = x->rel_idx,
                           .ld = 3 * w,
                           .ld_rel = 2 * w,
                           .ld_o = w + 8,
                           .ld_do = w,
                           .ld_d = 3 * w,
                           .ld_drel = w + 4};
    static const uint64_t seed = 77;
    a->dropout = (struct sec_dropout){(float)s->p, 5, &seed, x->row_key};
    a->q = x->in[Q] = random_rows(Q, n, a->ld, act);
    a->k = x->in[K] = random_rows(K, n, a->ld, act);
    a->v = x->in[V] = random_rows(V, n, a->ld, act);
    a->qr = x->in[QR] = random_rows(QR, a->rel_rows, a->ld_rel, act);
    a->kr = x->in[KR] = random_rows(KR, a->rel_rows, a->ld_rel, act);
    a->d_o = x->in[DO] = random_rows(DO, n, a->ld_do, act);
    const int64_t size[N_OUT] = {n * a->ld_o,
                                 n * a->ld_d,
                                 n * a->ld_d,
                                 n * a->ld_d,
                                 a->rel_rows * a->ld_drel,
                                 a->rel_rows * a->ld_drel};
    for (int i = 0; i < N_OUT; i++) {
        x->out[i] = sec_xcalloc((size_t)size[i], 4);
        x->want[i] = sec_xcalloc((size_t)((i < DQR ? n : a->rel_rows) * w), sizeof(double));
    }
    a->lse = sec_xcalloc((size_t)n * (size_t)s->heads, sizeof *a->lse);
    a->o = x->out[O];
    a->dq = x->out[DQ];
    a->dk = x->out[DK];
    a->dv = x->out[DV];
    a->dqr = x->out[DQR];
    a->dkr = x->out[DKR];
}

static void release(struct problem *x)
{
    for (int i = 0; i < N_IN; i++)
        free(x->in[i]);
    for (int i = 0; i < N_OUT; i++) {
        free(x->out[i]);
        free(x->want[i]);
    }
    free(x->cu);
    free(x->rel_idx);
    free(x->row_key);
    free(x->a.lse);
}

/* Doubles of one head: row i of a matrix of leading dimension ld. */
static double *head_of(const struct problem *x, int which, int64_t rows, int64_t ld, int h)
{
    int d = x->a.head_dim;
    double *p = sec_xmalloc((size_t)(rows * d) * sizeof *p);
    for (int64_t i = 0; i < rows; i++)
        for (int c = 0; c < d; c++)
            p[i * d + c] = get(x->in[which], i * ld + h * d + c, x->a.act);
    return p;
}

struct head {
    double *in[N_IN];
    int h, d;
};

static double dot(const double *a, const double *b, int d)
{
    double s = 0;
    for (int c = 0; c < d; c++)
        s += a[c] * b[c];
    return s;
}
static void axpy(double *y, double by, const double *x, int d)
{
    for (int c = 0; c < d; c++)
        y[c] += by * x[c];
}

/* Row i of the sequence at `start`: its softmax and everything it adds to the gradients. */
static void oracle_row(struct problem *x, const struct head *f, int64_t start, int64_t n, int64_t i,
                       double *p, double *dp)
{
    const struct sec_attn *a = &x->a;
    int d = f->d;
    int64_t w = x->width, col = (int64_t)f->h * d;
    const double *q = f->in[Q] + (start + i) * d, *d_o = f->in[DO] + (start + i) * d;
    const uint16_t *rel = a->rel_idx + i + a->rel_span - 1; /* rel[-j] */
    double most = -INFINITY, sum = 0, delta = 0;
    for (int64_t j = 0; j < n; j++) {
        const double *k = f->in[K] + (start + j) * d;
        int64_t c2p = rel[-j], p2c = rel[-j];
        if (x->mistake == FLIPPED_P2C)
            p2c = a->rel_idx[j - i + a->rel_span - 1];
        if (x->mistake == SHIFTED_C2P)
            c2p = c2p > 0 ? c2p - 1 : 0;
        p[j] = a->scale *
               (dot(q, k, d) + dot(q, f->in[KR] + c2p * d, d) + dot(k, f->in[QR] + p2c * d, d));
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < n; j++)
        sum += p[j] = exp(p[j] - most);
    for (int64_t j = 0; j < n; j++) {
        const double *v = f->in[V] + (start + j) * d;
        double keep = 1;
        if (a->dropout.p > 0)
            keep = sec_dropout_keep(&a->dropout, x->row_key[start + i],
                                    a->dropout.site + ((uint32_t)f->h << 16), j)
                       ? 1 / (1 - (double)a->dropout.p)
                       : 0;
        p[j] /= sum;
        axpy(x->want[O] + (start + i) * w + col, p[j] * keep, v, d);
        axpy(x->want[DV] + (start + j) * w + col, p[j] * keep, d_o, d);
        dp[j] = keep * dot(d_o, v, d);
        delta += p[j] * dp[j];
    }
    for (int64_t j = 0; j < n; j++) {
        const double *k = f->in[K] + (start + j) * d;
        double da = a->scale * p[j] * (dp[j] - delta);
        axpy(x->want[DQ] + (start + i) * w + col, da, k, d);
        axpy(x->want[DQ] + (start + i) * w + col, da, f->in[KR] + rel[-j] * d, d);
        axpy(x->want[DK] + (start + j) * w + col, da, q, d);
        axpy(x->want[DK] + (start + j) * w + col, da, f->in[QR] + rel[-j] * d, d);
        axpy(x->want[DKR] + rel[-j] * w + col, da, q, d);
        axpy(x->want[DQR] + rel[-j] * w + col, da, k, d);
    }
}

static void oracle(struct problem *x)
{
    const struct sec_attn *a = &x->a;
    double *p = sec_xmalloc((size_t)a->max_seqlen * sizeof *p);
    double *dp = sec_xmalloc((size_t)a->max_seqlen * sizeof *dp);
    for (int h = 0; h < a->heads; h++) {
        struct head f = {.h = h, .d = a->head_dim};
        const int64_t ld[N_IN] = {a->ld, a->ld, a->ld, a->ld_rel, a->ld_rel, a->ld_do};
        for (int i = 0; i < N_IN; i++)
            f.in[i] = head_of(x, i, i == QR || i == KR ? a->rel_rows : a->n_tokens, ld[i], h);
        for (int s = 0; s < a->n_seqs; s++)
            for (int64_t i = 0, n = x->cu[s + 1] - x->cu[s]; i < n; i++)
                oracle_row(x, &f, x->cu[s], n, i, p, dp);
        for (int i = 0; i < N_IN; i++)
            free(f.in[i]);
    }
    free(p);
    free(dp);
}

static int64_t out_rows(const struct problem *x, int i)
{
    return i < DQR ? x->a.n_tokens : x->a.rel_rows;
}
static int64_t out_ld(const struct problem *x, int i)
{
    return i == O ? x->a.ld_o : i < DQR ? x->a.ld_d : x->a.ld_drel;
}

/* Relative L2 distance of an output, and where it is further than `tol` a line. One key: P is 1
 * whatever the scores, and their gradients are rounding noise around 0. */
static bool near_enough(const struct problem *x, int i, double tol, const char *label)
{
    double diff = 0, size = 0;
    for (int64_t r = 0; r < out_rows(x, i); r++)
        for (int64_t c = 0; c < x->width; c++) {
            double want = x->want[i][r * x->width + c];
            double got = get(x->out[i], r * out_ld(x, i) + c, x->a.act);
            diff += (got - want) * (got - want);
            size += want * want;
        }
    double rel = sqrt(diff / (size + 1e-30));
    bool good = size < 1e-20 ? diff < 1e-6 : rel <= tol;
    if (!good || getenv("SECENC_TEST_VERBOSE"))
        print_message("%s %s: %s of %d heads x %d, longest %d, %d rows, dropout %g: relative L2 "
                      "%.3g (allowed %.3g)\n",
                      label, x->a.act == SEC_BF16 ? "bf16" : "f32", out_name[i], x->a.heads,
                      x->a.head_dim, x->a.max_seqlen, x->a.rel_rows, (double)x->a.dropout.p, rel,
                      tol);
    return good;
}

#endif
