/* Flash disentangled attention, forward, bf16 on tensor cores: a block makes 64 rows of O of one
 * head, walking over tiles of keys with an online softmax in base 2. Scores are never stored.
 *
 * Order of a step, between its three barriers: K and the relative window of this step have been
 * fetched during the softmax of the one before, V is fetched during the scores.
 *
 * Global reads a score at D = 64: 4 bytes of K and V (a tile of each for 64 x 64 scores) where
 * pairs are CONSTANT; 4 more while the window moves by 64 rows a step near the diagonal, less where
 * slots are coarser than distances. */
#include "kernels/cuda/attn_tile.h"

namespace
{
constexpr float LOG2E = 1.4426950408889634f;

template <int D> struct Shape {
    static constexpr int BN = D == 128 ? 32 : 64;
    using Strips = AttnStrips<D, BN, 1>;
    struct Shared {
        bf16 k[BN * D], v[BN * D];
        Strips pos;
    };
};

/* load_tile with the same number of copies for every thread known: no test of each, which takes
 * registers that this kernel has. */
template <int D, int BN>
__device__ __forceinline__ void load_columns(bf16 *tile, const bf16 *from, int64_t ld, int first,
                                             int len)
{
    constexpr unsigned CHUNKS = D / 8;
    static_assert(BN * CHUNKS % ATTN_THREADS == 0, "as many copies for every thread");
#pragma unroll
    for (unsigned i = 0; i < BN * CHUNKS; i += ATTN_THREADS) {
        unsigned row = (i + threadIdx.x) / CHUNKS, chunk = (i + threadIdx.x) % CHUNKS;
        int at = first + (int)row;
        cp_async16_zfill(tile + tile_at<D>(row, chunk), from + (at < len ? at : 0) * ld + chunk * 8,
                         at < len);
    }
}

/* Maximum (of the scores, unscaled), sum of exponentials of a lane's columns, by its two rows. */
struct Softmax {
    float max[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
};

/* s becomes exp2(scale (s - max)) and the output follows the new maximum. A row without any finite
 * score yet has maximum 0 here, a NaN stays one. */
template <int D, int BN>
__device__ __forceinline__ void softmax_step(float s[BN / 8][4], float o[D / 8][4], Softmax &m,
                                             float scale)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float top = m.max[h];
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
            top = fmaxf(top, fmaxf(s[n][2 * h], s[n][2 * h + 1]));
        top = fmaxf(top, warp_xor(top, 1));
        top = fmaxf(top, warp_xor(top, 2));
        float base = top == -INFINITY ? 0.0f : top * scale;
        float shrink = exp2_approx(m.max[h] * scale - base), sum = 0;
        m.max[h] = top;
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; e++) {
                s[n][e] = exp2_approx(s[n][e] * scale - base);
                sum += s[n][e];
            }
        m.sum[h] = m.sum[h] * shrink + sum;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            o[n][2 * h] *= shrink;
            o[n][2 * h + 1] *= shrink;
        }
    }
}

/* O and lse of the warp's rows that exist. */
template <int D>
__device__ __forceinline__ void write_rows(const Attn<bf16> &a, const sec_cuda_tile &tile, int head,
                                           const float o[D / 8][4], const Softmax &m)
{
    int lane = threadIdx.x % WARP, first = tile.row + threadIdx.x / WARP * 16 + lane / 4;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float sum = m.sum[h] + warp_xor(m.sum[h], 1);
        sum += warp_xor(sum, 2);
        float inverse = 1.0f / sum;
        int64_t token = tile.start + first + 8 * h;
        if (first + 8 * h < tile.len) {
            uint32_t *to = reinterpret_cast<uint32_t *>(a.o + token * a.ld_o + head * D) + lane % 4;
#pragma unroll
            for (int n = 0; n < D / 8; n++)
                to[4 * n] = cvt_bf16x2(o[n][2 * h] * inverse, o[n][2 * h + 1] * inverse);
            if (a.lse && lane % 4 == 0)
                a.lse[(int64_t)head * a.n_tokens + token] = m.max[h] * a.scale + logf(sum);
        }
    }
}

/* Columns from len on get no weight; y0 is that of column 0. */
template <int BN> __device__ __forceinline__ void mask_columns(float s[BN / 8][4], int y0, int len)
{
#pragma unroll
    for (int n = 0; n < BN / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (y0 + 8 * n + (int)threadIdx.x % 4 * 2 + i % 2 >= len)
                s[n][i] = -INFINITY;
}

template <int D> __global__ void __launch_bounds__(ATTN_THREADS, 2) attn_fwd_kernel(Attn<bf16> a)
{
    constexpr int BN = Shape<D>::BN;
    using Strips = typename Shape<D>::Strips;
    DYN_SMEM(typename Shape<D>::Shared, s);
    const sec_cuda_tile tile = a.tiles[blockIdx.x];
    const int len = tile.len, head = blockIdx.y;
    if (len == 0)
        return;
    const int64_t at = tile.start * a.ld + head * D;
    const bf16 *k = a.k + at, *v = a.v + at, *kr = a.kr + head * D, *qr = a.qr + head * D;

    AttnPair pair = attn_pair<Strips>(a.rel, a.linear, tile.row, 0, len);
    load_columns<D, BN>(s->k, k, a.ld, 0, len);
    load_window(s->pos, pair, nullptr, a.rel, len, kr, qr, a.ld_rel);
    cp_async_commit();
    uint32_t q[D / 16][4];
    load_fragments<D>(q, a.q + at, a.ld, tile.row, len);
    uint64_t row_key = 0;
    if (a.drop.row_key) {
        row_key = a.drop.row_key[tile.start + min(drop_row(tile.row), len - 1)];
        a.drop.site += (uint32_t)head << 16;
    }

    float o[D / 8][4] = {};
    Softmax m;
    AttnRowScore row;
    for (int y0 = 0; y0 < len; y0 += BN) {
        AttnPair next = attn_pair<Strips>(a.rel, a.linear, tile.row, y0 + BN, len);
        cp_async_wait<0>();
        __syncthreads();
        load_columns<D, BN>(s->v, v, a.ld, y0, len);
        cp_async_commit();
        strips(s->pos, pair, a.rel, len, q, s->k, row);
        float p[BN / 8][4] = {};
        mma_xyt<D, BN>(p, q, s->k);
        __syncthreads();
        if (y0 + BN < len) {
            load_columns<D, BN>(s->k, k, a.ld, y0 + BN, len);
            load_window(s->pos, next, &pair, a.rel, len, kr, qr, a.ld_rel);
        }
        cp_async_commit(); /* of the last step: nothing, but the count stays */
        add_positions(p, s->pos, pair, row);
        if (y0 + BN > len)
            mask_columns<BN>(p, y0, len);
        softmax_step<D, BN>(p, o, m, a.scale * LOG2E);
        if (a.drop.row_key)
            drop_rows<BN>(p, a.drop, row_key, y0);
        cp_async_wait<1>();
        __syncthreads();
        mma_py<D, BN>(o, p, s->v);
        pair = next;
    }
    write_rows<D>(a, tile, head, o, m);
}

template <int D> cudaError_t launch(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream)
{
    constexpr int bytes = (int)sizeof(typename Shape<D>::Shared);
    CUDA_RETURN(cudaFuncSetAttribute(attn_fwd_kernel<D>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return LAUNCH(attn_fwd_kernel<D>, dim3(tile_blocks, a.heads), ATTN_THREADS, bytes, stream, a);
}
} // namespace

cudaError_t attn_fwd_bf16(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream)
{
    if (a.head_dim == 32)
        return launch<32>(a, tile_blocks, stream);
    if (a.head_dim == 64)
        return launch<64>(a, tile_blocks, stream);
    if (a.head_dim == 128)
        return launch<128>(a, tile_blocks, stream);
    return cudaErrorInvalidValue;
}
