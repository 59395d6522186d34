/* The op contract: one struct of function pointers that every backend fills in (ref, cpu, cuda).
 * model/ is written once against it; tests/unit/test_ops.c runs every op x shape x dtype of every
 * backend against ref.
 *
 * Batches are unpadded: T tokens in a flat list, sequence s is rows cu_seqlens[s]..cu_seqlens[s+1].
 * Matrices are row-major with a leading dimension (elements between rows).
 *
 * Types. "act" is the type of activations, their gradients and the compute copy of the matrices:
 * F32, BF16, or F64 (ref only, for finite differences). "Master" is the type of bias, gamma, beta,
 * of all parameter gradients and of the optimiser: F64 when act is F64, else F32.
 *
 * Rounding. A value is rounded to its type when it is stored, and only then: inside an op, sums are
 * F32 (F64 on ref), LayerNorm statistics, softmax, position terms and losses included. In a GEMM
 * with accumulate the old value is added before rounding.
 *
 * Order. The result of a row depends on that row only, never on which rows stand beside it
 * (embeddings of a line are the same in any batch); reductions over rows go in an order that
 * depends on shapes only. So results are the same bits for any number of threads.
 *
 * Dropout. Element (row, col) of site s is kept iff word (col & 3) of
 *   Philox4x32-10(counter = {key lo, key hi, col >> 2, s}, key = *seed)  with key = row_key[row]
 * is >= floor(p * 2^32); a kept value is multiplied by 1/(1-p). In attention row = query, col = key
 * position within its sequence, and s = site + (head << 16). The keys belong to the tokens, so
 * packing does not matter. Seed and keys lie in backend memory: a recorded pass is replayed with
 * others. p = 0 turns it off (both may then be NULL).
 *
 * Pointers are device pointers of that backend (host memory for ref and cpu). Aliasing is allowed
 * only where it is said. Every function returns 0 or SEC_E*; shapes are the caller's duty
 * (asserted). One thread drives a backend. */
#ifndef SEC_KERNELS_OPS_H
#define SEC_KERNELS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sec_dtype { SEC_F32, SEC_BF16, SEC_F64 };

static inline size_t sec_dtype_size(enum sec_dtype t)
{
    return t == SEC_F32 ? 4 : t == SEC_BF16 ? 2 : 8;
}
static inline enum sec_dtype sec_master_type(enum sec_dtype act)
{
    return act == SEC_F64 ? SEC_F64 : SEC_F32;
}

struct sec_dropout {
    float p;
    uint32_t site;        /* < 65536 */
    const uint64_t *seed; /* one value */
    const uint64_t *row_key;
};

enum sec_epilogue {
    SEC_EPI_NONE,
    SEC_EPI_BIAS,     /* C = AB + bias */
    SEC_EPI_BIAS_GELU /* aux = AB + bias; C = gelu(the rounded aux), erf form */
};

/* C[m,n] (+)= op(A)[m,k] op(B)[k,n]. op(A) = A [m,k], or trans_a: A is stored [k,m]; op(B) = B
 * [k,n], or trans_b: B is stored [n,k]. A linear layer y = x Wᵀ + b is trans_b; dx = dy W is
 * neither; dW += dyᵀ x is trans_a with accumulate and c_type master. */
struct sec_gemm {
    int64_t m, n, k;
    bool trans_a, trans_b, accumulate;
    enum sec_dtype ab_type, c_type;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
    enum sec_epilogue epilogue; /* not with accumulate */
    const void *bias;           /* [n] master type; cuda adds it rounded to c_type */
    void *aux;                  /* [m,n] c_type, leading dimension ldc */
};

/* Y = LN(S) * gamma + beta with S = dropout(A) + R, biased variance, statistics over H columns. S
 * is rounded to act whether or not it is kept, so training and inference agree. */
struct sec_add_ln {
    int64_t rows, cols; /* contiguous: leading dimension = cols */
    enum sec_dtype act;
    float eps;
    const void *a;        /* [rows, cols] */
    const void *residual; /* [rows, cols] or NULL */
    struct sec_dropout dropout;
    const void *gamma, *beta; /* [cols] master */
    void *s;                  /* [rows, cols] act: the sum, may be a; NULL = not kept */
    void *y;                  /* [rows, cols] act; may be a or residual */
    void *mean, *rstd;        /* [rows] master; NULL = not kept (inference) */
};

/* Backward: dS from dY (to ds), dA = dropout'(dS) (to da; NULL when p = 0 or not wanted), dgamma
 * and dbeta accumulated. xhat is recomputed from s. */
struct sec_add_ln_bwd {
    int64_t rows, cols;
    enum sec_dtype act;
    const void *dy, *s;
    const void *mean, *rstd, *gamma;
    struct sec_dropout dropout;
    void *ds;             /* may be dy */
    void *da;             /* not ds */
    void *dgamma, *dbeta; /* [cols] master, += */
};

/* Disentangled attention (model.md). For query i and key j of one sequence and each head:
 *   A[i,j] = scale * (Q_i.K_j + Q_i.Kr[idx(i-j)] + K_j.Qr[idx(i-j)]),  P = softmax_j(A),
 *   O_i = sum_j dropout(P)[i,j] V_j,  lse[i] = log sum_j exp A[i,j].
 * Head h is columns h*head_dim .. of every row. rel_idx has 2*rel_span-1 entries, that of
 * delta = i-j at rel_idx[delta + rel_span - 1]; it is monotone in delta; rel_span >= max_seqlen. It
 * and cu_seqlens are host pointers on every backend. */
struct sec_attn {
    int32_t n_tokens, n_seqs, max_seqlen, heads, head_dim, rel_rows, rel_span;
    enum sec_dtype act;
    float scale;
    const int32_t *cu_seqlens; /* host */
    const uint16_t *rel_idx;   /* host */
    const void *q, *k, *v;
    int64_t ld;          /* of q, k, v */
    const void *qr, *kr; /* [rel_rows, heads*head_dim] */
    int64_t ld_rel;
    struct sec_dropout dropout;
    void *o; /* [n_tokens, heads*head_dim], forward: written; backward: read */
    int64_t ld_o;
    float *lse; /* [heads, n_tokens]; F64 when act is F64; NULL in inference */
    /* backward only: everything below is set, not accumulated */
    const void *d_o;
    int64_t ld_do;
    void *dq, *dk, *dv;
    int64_t ld_d;
    void *dqr, *dkr;
    int64_t ld_drel;
};

/* 1-D convolution over the rows of each sequence, "same" zero padding, odd kernel size:
 *   Y[t,o] = bias[o] + sum_{i,u} X[t + u - ksize/2, i] W[o,i,u], rows outside the sequence are 0.
 */
struct sec_conv {
    int32_t n_tokens, n_seqs, channels, ksize;
    enum sec_dtype act;
    const int32_t *cu_seqlens; /* host */
    const void *x;             /* [T, C] */
    const void *w;             /* [C, C, ksize] act (compute copy) */
    const void *bias;          /* [C] master */
    void *y;                   /* forward */
    const void *dy;            /* backward */
    void *dx;                  /* accumulated: += */
    void *dw, *dbias;          /* master, += */
};

/* Row-wise cross-entropy with the gradient in place:
 *   loss[r] = logsumexp(logits[r]) - logits[r, label[r]];  rank[r] = logits strictly greater than
 * the label's, plus equal ones with a smaller index;  grad: logits := (softmax - onehot) * scale.
 * A row whose label is SEC_NO_LABEL has loss 0, rank -1 and gradient +0. */
#define SEC_NO_LABEL 0xFFFF
struct sec_xent {
    int64_t rows, cols;
    enum sec_dtype type; /* of logits */
    void *logits;        /* [rows, cols], overwritten by the gradient when want_grad */
    int64_t ld;
    const uint16_t *labels; /* [rows] */
    double scale;
    bool want_grad;
    float *loss;   /* [rows], F64 when type is F64; host-readable after sync */
    int32_t *rank; /* [rows] or NULL */
};

/* AdamW (Loshchilov & Hutter 2019) on a flat range, PyTorch's formula and order of operations:
 *   g = grad * grad_scale; p *= 1 - lr*wd; m += (1-b1)(g-m); v = b2 v + (1-b2) g g;
 *   p -= lr/(1-b1^t) * m / (sqrt(v)/sqrt(1-b2^t) + eps); copy := bf16(p) if given. */
struct sec_adamw {
    int64_t n, step; /* t, from 1 */
    enum sec_dtype master;
    void *param, *m, *v;
    const void *grad;
    void *copy; /* BF16 [n] or NULL */
    double lr, beta1, beta2, eps, weight_decay, grad_scale;
};

struct sec_backend {
    const char *name; /* "ref", "cpu", "cuda" */
    char detail[64];  /* e.g. the instruction set in use */
    bool host;        /* device pointers are host pointers (ref, cpu) */
    void *state;

    /* Measured peak of the arithmetic at this type, FLOP/s of the whole backend; NULL = not known.
     * The first call measures (about 0.1 s), later ones remember. */
    double (*peak_flops)(struct sec_backend *b, enum sec_dtype t);

    /* Memory, 64-byte aligned (256 on cuda). alloc fails with SEC_ENOMEM / SEC_EDEVICE. */
    int (*alloc)(struct sec_backend *b, size_t bytes, void **out);
    void (*free)(struct sec_backend *b, void *p);
    int (*upload)(struct sec_backend *b, void *dst, const void *host, size_t bytes);
    int (*download)(struct sec_backend *b, void *host, const void *src, size_t bytes);
    int (*copy)(struct sec_backend *b, void *dst, const void *src, size_t bytes);
    int (*zero)(struct sec_backend *b, void *dst, size_t bytes);
    int (*sync)(struct sec_backend *b);

    /* The sequences of the ops that follow, for a backend that keeps tables of them on its device;
     * NULL on others. An op that meets other sequences than the last ones makes the tables itself:
     * calling this first is a duty only between record_begin and record_end, where the same
     * sequences must have been set before. rel_idx and rel_span as in struct sec_attn; NULL: as
     * they were. */
    int (*set_sequences)(struct sec_backend *b, const int32_t *cu_seqlens, int32_t n_seqs,
                         const uint16_t *rel_idx, int32_t rel_span);

    /* Passes that are recorded once and replayed as a whole (CUDA graphs); NULL where there is
     * nothing to gain. `key` names everything that the ops between begin and end depend on besides
     * the contents of backend memory: pointers and shapes. Begin launches the recording of this key
     * and its tables, and says *replayed, or the caller issues the ops and calls end. Ops in
     * between must not touch the host: no alloc, free, upload, download, sync or sumsq. The first
     * pass of a key runs as it comes, the second is recorded; what is issued between begin and end
     * has been launched when end returns 0. After a failed op call end as well, with complete =
     * false. *repeat: the pass cannot be recorded, nothing of it has run; begin again, it then runs
     * as it comes. */
    int (*record_begin)(struct sec_backend *b, const void *key, size_t key_bytes, bool *replayed);
    int (*record_end)(struct sec_backend *b, bool complete, bool *repeat);

    int (*cast)(struct sec_backend *b, void *dst, enum sec_dtype to, const void *src,
                enum sec_dtype from, int64_t n);
    int (*gemm)(struct sec_backend *b, const struct sec_gemm *g);

    /* x[t,:] = table[ids[t],:]; backward dtable[ids[t],:] += dx[t,:] in the order of t, row `pad`
     * skipped (pad < 0: none). table act, dtable master. */
    int (*embed)(struct sec_backend *b, const void *table, const uint16_t *ids, int64_t t,
                 int64_t h, enum sec_dtype act, void *x);
    int (*embed_bwd)(struct sec_backend *b, const void *dx, const uint16_t *ids, int64_t t,
                     int64_t h, enum sec_dtype act, int pad, void *dtable);

    int (*add_ln)(struct sec_backend *b, const struct sec_add_ln *a);
    int (*add_ln_bwd)(struct sec_backend *b, const struct sec_add_ln_bwd *a);

    /* y = dropout(x), any alias; its own backward. */
    int (*dropout)(struct sec_backend *b, const void *x, void *y, int64_t rows, int64_t cols,
                   enum sec_dtype act, const struct sec_dropout *d);
    int (*gelu)(struct sec_backend *b, const void *x, void *y, int64_t n, enum sec_dtype act);
    /* dx = dy * gelu'(x); dx may be dy. */
    int (*gelu_bwd)(struct sec_backend *b, const void *dy, const void *x, void *dx, int64_t n,
                    enum sec_dtype act);
    /* db[c] += sum over rows of dy[r,c]; db master. */
    int (*bias_grad)(struct sec_backend *b, const void *dy, int64_t rows, int64_t cols, int64_t ld,
                     enum sec_dtype act, void *db);
    /* y += x, elementwise (rounded to act). */
    int (*add)(struct sec_backend *b, void *y, const void *x, int64_t n, enum sec_dtype act);

    int (*attn)(struct sec_backend *b, const struct sec_attn *a);
    int (*attn_bwd)(struct sec_backend *b, const struct sec_attn *a);
    int (*conv)(struct sec_backend *b, const struct sec_conv *c);
    int (*conv_bwd)(struct sec_backend *b, const struct sec_conv *c);

    /* y[r,:] = x[rows[r],:]; scatter: dx[rows[r],:] += dy[r,:], rows distinct. */
    int (*gather_rows)(struct sec_backend *b, const void *x, const int32_t *rows, int64_t n,
                       int64_t cols, enum sec_dtype act, void *y);
    int (*scatter_add_rows)(struct sec_backend *b, const void *dy, const int32_t *rows, int64_t n,
                            int64_t cols, enum sec_dtype act, void *dx);
    int (*xent)(struct sec_backend *b, const struct sec_xent *x);

    int (*adamw)(struct sec_backend *b, const struct sec_adamw *a);
    /* Sum of squares of a master range, in fp64 in a fixed order; result on the host. */
    int (*sumsq)(struct sec_backend *b, const void *x, int64_t n, enum sec_dtype master,
                 double *out);

    /* Bytes of the device's memory, and those free; NULL where the device is the host. */
    int (*memory)(struct sec_backend *b, uint64_t *left, uint64_t *total);
    void (*destroy)(struct sec_backend *b);
};

/* The backends. sec_backend_open picks by name: "ref", "cpu", "auto". */
int sec_backend_open(const char *name, struct sec_backend **out);
int sec_backend_ref(struct sec_backend **out);
int sec_backend_cpu(struct sec_backend **out);
int sec_backend_cuda(struct sec_backend **out); /* in builds with CUDA */

/* Round to nearest even; the one definition of bf16 conversion. */
static inline uint16_t sec_f32_to_bf16(float f)
{
    union {
        float f;
        uint32_t u;
    } x = {f};
    if ((x.u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(x.u >> 16 | 0x40);
    return (uint16_t)((x.u + 0x7FFFu + (x.u >> 16 & 1)) >> 16);
}
static inline float sec_bf16_to_f32(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } x = {(uint32_t)h << 16};
    return x.f;
}

#endif
