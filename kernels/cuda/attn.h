/* Disentangled attention on CUDA: what its files share.
 *
 *   sequences.cu    tables of the batch: tiles, relative index
 *   attn.cu         the operations: tables, which kernel, the products of the relative rows
 *   attn_naive.cu   dense kernels straight from the definition, any head size: what the others are
 *                   checked against
 *   attn_fwd.cu     flash forward, bf16 on tensor cores, head sizes 32, 64, 128
 *   attn_bwd.cu     flash backward, bf16
 *   attn_f32.cu     flash forward and backward, fp32
 *   attn_tile.h     device code of the bf16 kernels: tiles, strips of position scores
 *
 * Every kernel is given the same Attn<T>. Row, column and sequence tables are those of
 * sec_cuda_sequences; block b works on tile tiles[b], and leaves at once if its len is 0.
 *
 * Scores of a tile. Rows X are queries and columns Y keys, or the other way round (backward, keys
 * stationary); with sign = 1 or -1,
 *   A[a,b] = scale (X_a.Y_b + X_a.RX[idx(sign (a-b))] + Y_b.RY[idx(sign (a-b))])
 * where RX, RY = Kr, Qr for queries as rows and Qr, Kr for keys as rows. idx is monotone, so the
 * relative rows that a pair of tiles uses are one window [low, low + width). */
#ifndef SEC_KERNELS_CUDA_ATTN_H
#define SEC_KERNELS_CUDA_ATTN_H

#include "kernels/cuda/cuda.h"

template <class T> struct Attn {
    const sec_cuda_tile *tiles;
    const uint16_t *rel; /* rel[delta] */
    int32_t linear, n_tokens, rel_rows, head_dim, heads;
    float scale;
    const T *q, *k, *v; /* row stride ld; head h at columns h * head_dim */
    const T *qr, *kr;   /* row stride ld_rel */
    int64_t ld, ld_rel, ld_o;
    T *o;
    float *lse; /* [heads, n_tokens] natural logarithm; NULL in inference */
    sec_cuda_drop drop;
    /* backward */
    const T *d_o;
    T *dq, *dk, *dv; /* row stride ld_d */
    int64_t ld_do, ld_d;
    float *delta; /* [heads, n_tokens]: sum over columns of dO * O */
    /* Sums of the scores' gradients by relative row: dc[h, i, r] over keys j with idx(i-j) = r, of
     * type T, and dt[h, j, r] over queries. Zeroed before. */
    T *dc, *dt;
};

/* What multiplies P[i,j] where the query's row has this key: 0 or 1/(1-p). d.site is the head's. */
static __device__ __forceinline__ float attn_keep(const sec_cuda_drop &d, uint64_t row_key, int j)
{
    float four[4];
    if (!d.row_key)
        return 1;
    sec_cuda_drop4(d, row_key, (uint32_t)j >> 2, four);
    return (j & 2) ? (j & 1 ? four[3] : four[2]) : (j & 1 ? four[1] : four[0]);
}

/* The kernels by file. The launch covers seq.tile_blocks x heads blocks. dQ and dK leave backward
 * complete: with the shares dC Kr and dT Qr. */
cudaError_t attn_fwd_bf16(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream);
cudaError_t attn_bwd_bf16(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream);
cudaError_t attn_fwd_f32(const Attn<float> &a, int tile_blocks, cudaStream_t stream);
cudaError_t attn_bwd_f32(const Attn<float> &a, int tile_blocks, cudaStream_t stream);
/* Straight from the definition, either type, any head_dim; the backward also sets dqr and dkr
 * (row stride ld_drel), which the flash kernels leave to products with dc and dt. */
template <class T>
cudaError_t attn_fwd_naive(const Attn<T> &a, int tile_blocks, cudaStream_t stream);
template <class T>
cudaError_t attn_bwd_naive(const Attn<T> &a, T *dqr, T *dkr, int64_t ld_drel, int tile_blocks,
                           cudaStream_t stream);
/* delta of every token and head. */
template <class T> cudaError_t attn_delta(const Attn<T> &a, cudaStream_t stream);

#endif
