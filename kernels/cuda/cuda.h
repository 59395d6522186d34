/* The CUDA backend's own header: its state and what its files share. One stream carries all work,
 * so operations follow one another without events; nothing waits for the host but download, sync
 * and sumsq. Errors: a launch or call that fails gives SEC_EDEVICE with CUDA's text.
 *
 * Scratch memory belongs to the state and only grows; a slot is used by one operation at a time. A
 * step that has run once allocates nothing when it runs again. */
#ifndef SEC_KERNELS_CUDA_CUDA_H
#define SEC_KERNELS_CUDA_CUDA_H

#include "kernels/cuda/device.h"

#include <cublasLt.h>

extern "C" {
#include "base/error.h"
#include "kernels/dropout.h"
#include "kernels/ops.h"
}

enum sec_cuda_slot {
    SCRATCH_BIAS,     /* the bias of a product in the type of its result */
    SCRATCH_PARTIAL,  /* partial sums of reductions over rows */
    SCRATCH_COLUMNS,  /* convolution: neighbouring rows side by side */
    SCRATCH_GRADIENT, /* convolution: their gradient, fp32 */
    SCRATCH_ATTN,     /* attention backward: delta, then the sums by relative row of both sides */
    SCRATCH_SLOTS
};

struct sec_cuda_plan;  /* gemm.cu */
struct sec_cuda_graph; /* graph.cu */

/* 64 rows of one sequence (fewer at its end), the work of one block of attention. */
struct sec_cuda_tile {
    int32_t start; /* first token of the sequence */
    int32_t len;   /* of the sequence */
    int32_t row;   /* first row of the tile, within the sequence; a multiple of SEC_CUDA_TILE */
};
enum { SEC_CUDA_TILE = 64 };

/* Tables of the sequences under way, on the device (sequences.cu). Their addresses change only when
 * they grow, and `generation` of the state with them: a recorded pass finds other contents there.
 */
struct sec_cuda_sequences {
    int32_t n_seqs, rel_span;
    int32_t cu_slots;                  /* n_seqs rounded up like tile_blocks */
    const int32_t *cu;                 /* [cu_slots + 1]; behind the last sequence empty ones */
    const uint16_t *rel;               /* that of delta = i - j at rel[delta], |delta| < rel_span */
    const struct sec_cuda_tile *tiles; /* longest sequences first; behind them tiles of len 0 */
    int32_t tile_blocks; /* to launch: all tiles, rounded up so that batches share recordings */
    int32_t linear; /* rel[delta] = delta + rel[0] up to this |delta|; a change counts as a move */
    struct sec_cuda_sequences_host *host; /* copies to compare with */
};

struct sec_cuda {
    int device;
    cudaStream_t stream;
    cublasLtHandle_t blas;
    struct sec_cuda_plan *plans;
    void *workspace; /* of cuBLASLt */
    size_t workspace_bytes;
    double *pinned; /* one result for the host */
    char *staging;  /* pinned; uploads under way from its first staging_used bytes */
    size_t staging_used;
    void *scratch[SCRATCH_SLOTS];
    size_t scratch_bytes[SCRATCH_SLOTS];
    struct sec_cuda_sequences sequences;
    uint64_t generation; /* counts buffers that moved: recordings of earlier ones are void */
    struct sec_cuda_graph *graphs;
};

static inline struct sec_cuda *sec_cuda_of(struct sec_backend *b)
{
    return static_cast<struct sec_cuda *>(b->state);
}

/* 0, or SEC_EDEVICE with "cuda: WHAT: CUDA's text". */
int sec_cuda_status(cudaError_t rc, const char *what);

/* At least `bytes` in this slot, NULL and a message on failure. What it held is lost. */
void *sec_cuda_scratch(struct sec_backend *b, enum sec_cuda_slot slot, size_t bytes);

void sec_cuda_gemm_free(struct sec_cuda *s);
void sec_cuda_sequences_free(struct sec_cuda *s);
void sec_cuda_graph_free(struct sec_cuda *s);
/* 0, or SEC_EDEVICE while a pass is recorded, which is then given up: what touches the host or
 * moves buffers asks first. */
int sec_cuda_not_recorded(struct sec_cuda *s, const char *what);

/* Makes the tables of these sequences unless they are the ones in place. */
int sec_cuda_set_sequences(struct sec_backend *b, const int32_t *cu_seqlens, int32_t n_seqs,
                           const uint16_t *rel_idx, int32_t rel_span);
int sec_cuda_record_begin(struct sec_backend *b, const void *key, size_t key_bytes, bool *replayed);
int sec_cuda_record_end(struct sec_backend *b, bool complete, bool *repeat);
int sec_cuda_attn(struct sec_backend *b, const struct sec_attn *a);
int sec_cuda_attn_bwd(struct sec_backend *b, const struct sec_attn *a);

/* The same product for `count` sets of matrices, each this many elements behind the last. No
 * epilogue. */
struct sec_cuda_batches {
    int32_t count;
    int64_t a, b, c;
};
int sec_cuda_gemm_batched(struct sec_backend *b, const struct sec_gemm *g,
                          const struct sec_cuda_batches *batches);

double sec_cuda_peak_flops(struct sec_backend *b, enum sec_dtype t);

/* The operations of ops.h by file. */
int sec_cuda_gemm(struct sec_backend *b, const struct sec_gemm *g);
int sec_cuda_cast(struct sec_backend *b, void *dst, enum sec_dtype to, const void *src,
                  enum sec_dtype from, int64_t n);
int sec_cuda_dropout(struct sec_backend *b, const void *x, void *y, int64_t rows, int64_t cols,
                     enum sec_dtype act, const struct sec_dropout *d);
int sec_cuda_gelu(struct sec_backend *b, const void *x, void *y, int64_t n, enum sec_dtype act);
int sec_cuda_gelu_bwd(struct sec_backend *b, const void *dy, const void *x, void *dx, int64_t n,
                      enum sec_dtype act);
int sec_cuda_add(struct sec_backend *b, void *y, const void *x, int64_t n, enum sec_dtype act);
int sec_cuda_embed(struct sec_backend *b, const void *table, const uint16_t *ids, int64_t t,
                   int64_t h, enum sec_dtype act, void *x);
int sec_cuda_embed_bwd(struct sec_backend *b, const void *dx, const uint16_t *ids, int64_t t,
                       int64_t h, enum sec_dtype act, int pad, void *dtable);
int sec_cuda_gather_rows(struct sec_backend *b, const void *x, const int32_t *rows, int64_t n,
                         int64_t cols, enum sec_dtype act, void *y);
int sec_cuda_scatter_add_rows(struct sec_backend *b, const void *dy, const int32_t *rows, int64_t n,
                              int64_t cols, enum sec_dtype act, void *dx);
int sec_cuda_add_ln(struct sec_backend *b, const struct sec_add_ln *a);
int sec_cuda_add_ln_bwd(struct sec_backend *b, const struct sec_add_ln_bwd *a);
int sec_cuda_bias_grad(struct sec_backend *b, const void *dy, int64_t rows, int64_t cols,
                       int64_t ld, enum sec_dtype act, void *db);
int sec_cuda_xent(struct sec_backend *b, const struct sec_xent *x);
int sec_cuda_adamw(struct sec_backend *b, const struct sec_adamw *a);
int sec_cuda_sumsq(struct sec_backend *b, const void *x, int64_t n, enum sec_dtype master,
                   double *out);
int sec_cuda_conv(struct sec_backend *b, const struct sec_conv *c);
int sec_cuda_conv_bwd(struct sec_backend *b, const struct sec_conv *c);

/* Calls f with a float or a bf16 to tell it the type; f launches and returns cudaError_t. */
template <class F> static inline int sec_cuda_by_type(enum sec_dtype act, const char *what, F f)
{
    if (act == SEC_F32)
        return sec_cuda_status(f(float()), what);
    if (act == SEC_BF16)
        return sec_cuda_status(f(bf16()), what);
    return sec_fail(SEC_ECONFIG, "cuda: %s: F64 is a type of the ref backend only", what);
}

static inline unsigned sec_cuda_blocks(int64_t n, int64_t per_block)
{
    return (unsigned)((n + per_block - 1) / per_block);
}

/* The dropout of ops.h in device form. */
struct sec_cuda_drop {
    const uint64_t *row_key; /* NULL: off */
    const uint64_t *seed;    /* in device memory */
    uint32_t site, threshold;
    float scale;
};

static inline struct sec_cuda_drop sec_cuda_drop_of(const struct sec_dropout *d)
{
    struct sec_cuda_drop out = {d->p > 0 ? d->row_key : NULL, d->seed, d->site,
                                sec_dropout_threshold(d->p), (float)sec_dropout_scale(d->p)};
    return out;
}

/* What multiplies columns 4g .. 4g+3 of a row: 0 or scale. */
static __device__ __forceinline__ void sec_cuda_drop4(const sec_cuda_drop &d, uint64_t row_key,
                                                      uint32_t group, float out[4])
{
    uint32_t ctr[4] = {(uint32_t)row_key, (uint32_t)(row_key >> 32), group, d.site};
    uint64_t seed = __ldg(d.seed);
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, word[4];
    sec_philox4x32(ctr, key, word);
#pragma unroll
    for (int i = 0; i < 4; i++)
        out[i] = word[i] >= d.threshold ? d.scale : 0.0f;
}

/* The erf form. */
static __device__ __forceinline__ float sec_cuda_gelu_of(float x)
{
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

/* Up to four neighbouring values as floats, and back; n of them are there. Whole groups move as one
 * vector when the caller knows that every group is aligned. */
template <class T>
static __device__ __forceinline__ void load4(const T *p, int n, bool aligned, float out[4])
{
    if (aligned) {
        Vec<T, 4> v = load_vec<4>(p);
#pragma unroll
        for (int i = 0; i < 4; i++)
            out[i] = to_float(v[i]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        out[i] = i < n ? to_float(p[i]) : 0.0f;
}
template <class T>
static __device__ __forceinline__ void store4(T *p, int n, bool aligned, const float x[4])
{
    if (aligned) {
        Vec<T, 4> v;
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = from_float<T>(x[i]);
        store_vec(p, v);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (i < n)
            p[i] = from_float<T>(x[i]);
}

/* Whether rows of `cols` values of T at these addresses move in groups of four. */
template <class T, class... P> static inline bool sec_cuda_aligned4(int64_t cols, P... p)
{
    uintptr_t bits = (0 | ... | reinterpret_cast<uintptr_t>(p));
    return cols % 4 == 0 && bits % (4 * sizeof(T)) == 0;
}

/* Sum and maximum over a block, the same bits in every thread; shared has a value a warp. */
template <class T, class F>
static __device__ __forceinline__ T sec_cuda_block_reduce(T x, T *shared, F join)
{
#pragma unroll
    for (int m = WARP / 2; m > 0; m /= 2)
        x = join(x, warp_xor(x, m));
    if (threadIdx.x % WARP == 0)
        shared[threadIdx.x / WARP] = x;
    __syncthreads();
    T all = shared[0];
    for (unsigned i = 1; i < blockDim.x / WARP; i++)
        all = join(all, shared[i]);
    __syncthreads();
    return all;
}
struct sec_cuda_plus {
    template <class T> __device__ __forceinline__ T operator()(T a, T b) const
    {
        return a + b;
    }
};
struct sec_cuda_larger {
    __device__ __forceinline__ float operator()(float a, float b) const
    {
        return fmaxf(a, b);
    }
};

#endif
