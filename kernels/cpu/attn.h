/* Inside of the disentangled attention: what forward and backward share.
 *
 * Work goes by pair blocks: up to ATTN_SPAN queries x up to ATTN_SPAN keys of one head of one
 * sequence, the queries in sub-blocks of ATTN_ROWS. So memory per thread does not grow with the
 * sequence. A unit is one span of a sequence; a sequence of up to ATTN_SPAN tokens is one unit.
 *
 * Position terms: T[j,r] = K_j.Qr[r] and C[i,r] = Q_i.Kr[r] are computed by strips of micro-kernel
 * rows, each only for the window of r that the strip can meet (r = idx(i-j) is monotone), and then
 * looked up. Along a vector of neighbouring keys (or queries) r stays within a vector's length in
 * every sane table ("narrow"), so a look-up is a load and a permutation; other tables take a slow
 * path.
 *
 * Types: with bf16 and vdpbf16ps the operands of all products are bf16 pairs, P and dA included
 * (rounded as flash attention does); without it bf16 is widened and all is float. Scores, position
 * terms, softmax and every sum are float. */
#ifndef SEC_KERNELS_CPU_ATTN_H
#define SEC_KERNELS_CPU_ATTN_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"

#define ATTN_SPAN 512
#define ATTN_ROWS 112
#define ATTN_PAD  32 /* zero columns on both sides of a row of dA, slack behind a row of T and C */
#define ATTN_LDS  (ATTN_SPAN + 2 * ATTN_PAD)
#define ATTN_LDP  (ATTN_SPAN + 32) /* row of an operand; not a power of two: cache sets */

/* Dropout of one head: words as in ops.h. */
struct attn_drop {
    bool on;
    uint32_t threshold, site;
    float scale;
    uint64_t seed;
    const uint64_t *row_key; /* of the sub-block's first row */
};

/* Sub-block of scores and its look-up tables. delta = i - j of its first row and column. */
struct attn_scores {
    float *s; /* [rows, ATTN_LDS], Q.K on entry, scores on exit; columns n..n up to 32 get -inf */
    int m, n;
    const float *c, *t; /* C [m, ld] from row c_base of the table, T [n, ld] from t_base */
    int64_t ld, c_base, t_base;
    const int32_t *idx, *rev; /* idx(delta + x) at idx[x], idx(delta - x) at rev[x] */
    bool narrow;
    float scale;
    float *row_max; /* [m] or NULL */
};

struct attn_grad {
    float *s;        /* [m, ATTN_LDS] scores; becomes dA, zero in the padding and in rows m.. */
    const float *dp; /* [m, ATTN_LDS] dO.V */
    int m, n, key0;  /* key0: position of column 0 in the sequence */
    float scale;
    const float *lse, *delta; /* [m] */
    struct attn_drop drop;
    int ks;
    void *da_rows;          /* dwords [m][ATTN_LDP/ks] or NULL */
    void *da_cols, *p_cols; /* dwords [m/ks][ATTN_LDP] or NULL */
};

/* The parts that depend on the instruction set. */
struct attn_ops {
    int vl;
    void (*scores)(const struct attn_scores *x);
    /* Online softmax of a sub-block: max and sum [m] are updated, P (dropped out) goes to dwords
     * [m][ATTN_LDP/ks], the rows of o [m, d] are scaled to the new maximum. */
    void (*softmax)(const float *s, int m, int n, int key0, int ks, const struct attn_drop *drop,
                    const float *row_max, float *max, float *sum, void *p, float *o, int64_t ld_o,
                    int d);
    /* dst[m, d] of the given type = src / sum[row] (sum NULL: as it is). */
    void (*store)(void *dst, int64_t ld, bool bf16, const float *src, int64_t ld_src, int64_t m,
                  int64_t d, const float *sum);
    /* delta[i] = sum_c a[i,c] b[i,c]. */
    void (*row_dots)(const void *a, int64_t ld_a, const void *b, int64_t ld_b, bool bf16, int64_t m,
                     int64_t d, float *out);
    void (*grad)(const struct attn_grad *x);
    /* dct[r - base][i] = sum over the keys with idx = r of dA[i, key]: idx[x] = idx(delta + x) with
     * delta that of dA's first row and column; window zeroed by the caller. */
    void (*sum_c)(const float *da, int m, int n, const int32_t *idx, int64_t base, float *dct,
                  int64_t ld);
    /* dtt[r - base][j] += sum over the rows i with idx = r of dA[i, j]. */
    void (*sum_t)(const float *da, int m, int n, const int32_t *idx, int64_t base, float *dtt,
                  int64_t ld);
    /* Floats [rows, n] (rows even) to bf16 rows [rows][ld_out] and pairs of rows as dwords
     * [rows/2][ld_out]. */
    void (*halve)(const float *src, int64_t ld, int64_t rows, int64_t n, int64_t ld_out,
                  void *as_rows, void *as_cols);
    void (*add)(float *dst, const float *src, int64_t n);
};
extern const struct attn_ops attn_ops_portable, attn_ops_avx2, attn_ops_avx512;

/* One call: shared and read-only once made. */
struct attn_unit {
    int32_t seq, first; /* first row within the sequence */
};
struct attn_call {
    const struct sec_attn *a;
    const struct sec_mk *mk;
    const struct attn_ops *ops;
    bool bf16, narrow;
    int threads;
    int64_t d, dp, d_pad, d_panels; /* head_dim; in dwords; to whole panels; panels */
    int64_t rel0, rel1;             /* rows of the table in use, borders at multiples of nr */
    int64_t ld_rel;                 /* floats in a row of T and C */
    struct attn_unit *units;
    int n_units;
    const int32_t *idx, *rev; /* idx[delta], rev[-delta], for |delta| < max_seqlen + ATTN_PAD */
    int32_t *first_delta; /* [r - rel0]: least delta with idx(delta) >= r; one past the end too */
    /* Panels per head: Kr and Qr as [d, rows]; backward also as [rows, d]. */
    char *kr, *qr, *kr_rows, *qr_rows;
    size_t rel_bytes, rel_row_bytes; /* of a head */
    char *more;                      /* the caller's part of the scratch */
};

/* First the sizes; then tables, packed position rows and `more` bytes of scratch. */
void attn_call_shape(struct attn_call *c, struct sec_backend *b, const struct sec_attn *a);
int attn_call_init(struct attn_call *c, struct sec_backend *b, bool backward, size_t more);

static inline int64_t attn_len(const struct attn_call *c, int seq)
{
    return c->a->cu_seqlens[seq + 1] - c->a->cu_seqlens[seq];
}
/* Rows of a [tokens, ...] matrix of the act type at the head's first column. */
static inline const char *attn_rows(const struct attn_call *c, const void *p, int64_t ld,
                                    int64_t row, int head)
{
    return (const char *)p + (row * ld + head * c->d) * (c->bf16 ? 2 : 4);
}

/* An A operand of d dwords a row: where the rows lie, or widened into buf [m][dp]. */
struct attn_operand {
    const char *p;
    int64_t stride;
};
struct attn_operand attn_operand(const struct attn_call *c, void *buf, const void *p, int64_t ld,
                                 int64_t row, int head, int64_t m);

/* out[x, r - base] = A_x . rel[r] for the rows x of A, by strips; row x meets delta in [lo +
 * x*step, hi + x*step] (step 1 for queries, -1 for keys). */
void attn_rel_strips(const struct attn_call *c, struct attn_operand rows, int64_t m,
                     const char *rel, int64_t lo, int64_t hi, int step, float *out, int64_t base);

/* The sub-block's scores of queries q0.. (operand q) and the keys of k0, with T given. */
struct attn_block {
    int head;
    int64_t start, len;    /* of the sequence */
    int64_t k0, nk;        /* keys of the pair block */
    int64_t t_base;        /* first table row of T */
    char *k_panels;        /* [d, nk] */
    float *t, *c, *s;      /* T [nk + PAD, ld_rel], C [ROWS, ld_rel], scores [ROWS, ATTN_LDS] */
    float *row_max;        /* [ROWS] or NULL */
    void *wide_k, *wide_q; /* room for widened operands [SPAN][dp], [ROWS][dp] */
};
/* Packs the keys and computes T for queries q0 .. q1. */
void attn_block_keys(const struct attn_call *c, struct attn_block *x, int64_t q0, int64_t q1);
void attn_block_scores(const struct attn_call *c, struct attn_block *x, int64_t q0, int m);

/* Packed [nk, d] rows (keys along k) as B operand. */
void attn_pack_rows(const struct attn_call *c, void *dst, const void *p, int64_t ld, int64_t row,
                    int head, int64_t m);
static inline size_t attn_panels_bytes(const struct attn_call *c)
{
    return (size_t)(ATTN_SPAN + SEC_MK_MAX_NR) * (size_t)c->d_pad * 4;
}

static inline struct attn_drop attn_drop_of(const struct attn_call *c, int head, int64_t row)
{
    const struct sec_dropout *d = &c->a->dropout;
    struct attn_drop r = {.on = d->p > 0};
    if (r.on) {
        r.threshold = (uint32_t)((double)d->p * 4294967296.0);
        r.scale = (float)(1.0 / (1.0 - (double)d->p));
        r.site = d->site + ((uint32_t)head << 16);
        r.seed = *d->seed;
        r.row_key = d->row_key + row;
    }
    return r;
}

/* Parts of one thread's scratch, carved off in turn. */
static inline void *attn_take(char **at, size_t bytes)
{
    void *p = *at;
    *at += SEC_ALIGN64(bytes);
    return p;
}

#endif
