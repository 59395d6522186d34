/* Disentangled attention by the definition in ops.h: one row of scores at a time. */
#include "base/error.h"
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>

/* The pair (query i, key j) of head h of the sequence that starts at row `start`. */
struct pair {
    int64_t q, k; /* element index of the first column of Q_i, K_j (and V_j) */
    int64_t rel;  /* of Qr and Kr at idx(i-j) */
};

static struct pair pair_at(const struct sec_attn *a, int64_t start, int h, int64_t i, int64_t j)
{
    int64_t col = (int64_t)h * a->head_dim;
    return (struct pair){(start + i) * a->ld + col, (start + j) * a->ld + col,
                         a->rel_idx[i - j + a->rel_span - 1] * a->ld_rel + col};
}

static double dot(enum sec_dtype t, const void *x, int64_t i, const void *y, int64_t j, int n)
{
    double sum = 0;
    for (int c = 0; c < n; c++)
        sum += sec_ref_get(x, t, i + c) * sec_ref_get(y, t, j + c);
    return sum;
}

static double score(const struct sec_attn *a, struct pair p)
{
    int d = a->head_dim;
    return (double)a->scale *
           (dot(a->act, a->q, p.q, a->k, p.k, d) + dot(a->act, a->q, p.q, a->kr, p.rel, d) +
            dot(a->act, a->k, p.k, a->qr, p.rel, d));
}

static double drop(const struct sec_attn *a, int64_t row, int h, int64_t j)
{
    return sec_ref_drop(&a->dropout, row, a->dropout.site + ((uint32_t)h << 16), j);
}

/* One query row: p has room for n numbers. */
static void forward_row(const struct sec_attn *a, int64_t start, int64_t n, int h, int64_t i,
                        double *p)
{
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        p[j] = score(a, pair_at(a, start, h, i, j));
        max = p[j] > max ? p[j] : max;
    }
    for (int64_t j = 0; j < n; j++)
        sum += exp(p[j] - max);
    for (int64_t j = 0; j < n; j++)
        p[j] = exp(p[j] - max) / sum * drop(a, start + i, h, j);
    for (int c = 0; c < a->head_dim; c++) {
        double o = 0;
        for (int64_t j = 0; j < n; j++)
            o += p[j] * sec_ref_get(a->v, a->act, pair_at(a, start, h, i, j).k + c);
        sec_ref_set(a->o, a->act, (start + i) * a->ld_o + (int64_t)h * a->head_dim + c, o);
    }
    if (a->lse)
        sec_ref_set(a->lse, sec_master_type(a->act), (int64_t)h * a->n_tokens + start + i,
                    max + log(sum));
}

int sec_ref_attn(struct sec_backend *b, const struct sec_attn *a)
{
    double *p = malloc(sizeof *p * (size_t)(a->max_seqlen + 1));
    if (!p)
        return sec_fail(SEC_ENOMEM, "ref attention: no memory for %d scores", a->max_seqlen);
    for (int s = 0; s < a->n_seqs; s++)
        for (int h = 0; h < a->heads; h++)
            for (int64_t i = 0, n = a->cu_seqlens[s + 1] - a->cu_seqlens[s]; i < n; i++)
                forward_row(a, a->cu_seqlens[s], n, h, i, p);
    free(p);
    return 0;
}

/* Gradients in double, one [rows, heads*head_dim] array each, stored once at the end. */
struct grads {
    double *dq, *dk, *dv, *dqr, *dkr;
};

static void backward_pair(const struct sec_attn *a, int64_t start, int h, int64_t i, int64_t j,
                          double delta, struct grads *g)
{
    struct pair at = pair_at(a, start, h, i, j);
    int d = a->head_dim;
    int64_t width = (int64_t)a->heads * d, col = (int64_t)h * d;
    double lse = sec_ref_get(a->lse, sec_master_type(a->act), (int64_t)h * a->n_tokens + start + i);
    double p = exp(score(a, at) - lse), keep = drop(a, start + i, h, j);
    double dp = dot(a->act, a->d_o, (start + i) * a->ld_do + col, a->v, at.k, d) * keep;
    double da = (double)a->scale * p * (dp - delta); /* d of the sum of the three terms */
    double *dq = g->dq + (start + i) * width + col, *dk = g->dk + (start + j) * width + col;
    double *dv = g->dv + (start + j) * width + col;
    int64_t rel = a->rel_idx[i - j + a->rel_span - 1] * width + col;
    for (int c = 0; c < d; c++) {
        double q = sec_ref_get(a->q, a->act, at.q + c), k = sec_ref_get(a->k, a->act, at.k + c);
        dv[c] += p * keep * sec_ref_get(a->d_o, a->act, (start + i) * a->ld_do + col + c);
        dq[c] += da * (k + sec_ref_get(a->kr, a->act, at.rel + c));
        dk[c] += da * (q + sec_ref_get(a->qr, a->act, at.rel + c));
        g->dkr[rel + c] += da * q;
        g->dqr[rel + c] += da * k;
    }
}

static void store(void *dst, enum sec_dtype t, int64_t ld, const double *src, int64_t rows,
                  int64_t width)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++)
            sec_ref_set(dst, t, r * ld + c, src[r * width + c]);
}

int sec_ref_attn_bwd(struct sec_backend *b, const struct sec_attn *a)
{
    int64_t width = (int64_t)a->heads * a->head_dim, n_tok = a->n_tokens, n_rel = a->rel_rows;
    double *all = calloc((size_t)((3 * n_tok + 2 * n_rel) * width + 1), sizeof *all);
    if (!all)
        return sec_fail(SEC_ENOMEM, "ref attention: no memory for the gradients of %d tokens",
                        a->n_tokens);
    struct grads g = {all, all + n_tok * width, all + 2 * n_tok * width, all + 3 * n_tok * width,
                      all + (3 * n_tok + n_rel) * width};
    for (int s = 0; s < a->n_seqs; s++) {
        int64_t start = a->cu_seqlens[s], n = a->cu_seqlens[s + 1] - start;
        for (int h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < n; i++) {
                int64_t col = (int64_t)h * a->head_dim;
                double delta = 0;
                for (int c = 0; c < a->head_dim; c++)
                    delta += sec_ref_get(a->d_o, a->act, (start + i) * a->ld_do + col + c) *
                             sec_ref_get(a->o, a->act, (start + i) * a->ld_o + col + c);
                for (int64_t j = 0; j < n; j++)
                    backward_pair(a, start, h, i, j, delta, &g);
            }
    }
    store(a->dq, a->act, a->ld_d, g.dq, n_tok, width);
    store(a->dk, a->act, a->ld_d, g.dk, n_tok, width);
    store(a->dv, a->act, a->ld_d, g.dv, n_tok, width);
    store(a->dqr, a->act, a->ld_drel, g.dqr, n_rel, width);
    store(a->dkr, a->act, a->ld_drel, g.dkr, n_rel, width);
    free(all);
    return 0;
}
