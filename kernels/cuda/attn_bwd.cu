/* Backward of disentangled attention, bf16 on tensor cores, without the matrix of scores: one
 * kernel for both sides (attn.h: rows X, columns Y, sign).
 *   queries as rows  X = Q, Z = dO, Y = K, W = V:  dQ = dA K + dC Kr, sums dC
 *   keys as rows     X = K, Z = V, Y = Q, W = dO:  dK = dAᵀ Q + dT Qr, dV = (P o D)ᵀ dO, sums dT
 * with P = exp(A - lse), dP = Z Wᵀ o D (D: dropout), dA = scale P o (dP - delta).
 *
 * A block owns 64 rows and walks over tiles of 32 columns; accumulators stay in registers. Step:
 *   strips of position scores, X Yᵀ, Z Wᵀ | barrier | dA, products, sums by relative row | barrier
 * Columns of the next step come by cp.async during this one, its relative rows after the first
 * barrier. The share of the relative rows in dX is added at the end, from complete sums. */
#include "kernels/cuda/attn_bwd_tile.h"

/* The shared memory of a block, and the parameters of a kernel. */
template <int D_, int SIGN_> struct Bwd {
    static constexpr int D = D_, SIGN = SIGN_, BN = 32;
    static constexpr int BLOCKS = D == 128 ? 1 : D == 64 ? 2 : 3; /* a multiprocessor */
    /* Whether fragments of X stay in registers; else they are read again at each step, as those of
     * Z are. */
    static constexpr bool KEEP = D <= 64;
    using Strips = AttnStrips<D, BN, SIGN>;
    Strips strips;
    alignas(128) bf16 y[2][BN * D], w[2][BN * D], x[KEEP ? 8 : ATTN_ROWS * D], z[ATTN_ROWS * D];
    /* Of the columns when they are queries; lse in base 2. */
    alignas(16) float lse[2][BN], delta[2][BN];
    uint64_t key[2][BN];
    BwdOperands operands; /* here for the loop, which is short of registers */
};

constexpr float LOG2E = 1.4426950408889634f;

/* Statistics of a query: those of a token that is not there give P = 0. */
struct BwdQuery {
    float lse, delta;
    uint64_t key;
};
static __device__ __forceinline__ BwdQuery bwd_query(const Attn<bf16> &a, int start, int len,
                                                     int head, int i)
{
    BwdQuery q = {INFINITY, 0, 0};
    if (i < len) {
        int64_t at = (int64_t)head * a.n_tokens + start + i;
        q.lse = a.lse[at] * LOG2E;
        q.delta = a.delta[at];
        if (a.drop.row_key)
            q.key = a.drop.row_key[start + i];
    }
    return q;
}

/* From scores (before scale) and Z Wᵀ: da = dA, and for keys as rows dp = P o D. y0: the first
 * column; row statistics as for bwd_query. */
template <class B>
static __device__ __forceinline__ void
score_gradients(float da[B::BN / 8][4], float dp[B::BN / 8][4], const B &s, int stage,
                const Attn<bf16> &a, const sec_cuda_drop &drop, const BwdQuery own[2], int row0,
                int y0, int len)
{
    int t = threadIdx.x % 4;
    uint32_t keep[4] = {FULL_WARP, FULL_WARP, FULL_WARP, FULL_WARP};
    float kept = 1;
    if (drop.row_key && B::SIGN > 0) {
        drop_rows<B::BN>(dp, drop, t % 2 ? own[1].key : own[0].key, y0);
    } else if (drop.row_key) {
        drop_columns<B::BN>(keep, drop, s.key[stage], row0);
        kept = drop.scale;
    }
#pragma unroll
    for (int n = 0; n < B::BN / 8; n++) {
        Vec<float, 2> lse = {}, delta = {};
        if (B::SIGN < 0) {
            lse = load_vec<2>(s.lse[stage] + 8 * n + 2 * t);
            delta = load_vec<2>(s.delta[stage] + 8 * n + 2 * t);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float l = B::SIGN > 0 ? own[i / 2].lse : lse[i % 2];
            float dl = B::SIGN > 0 ? own[i / 2].delta : delta[i % 2];
            float p = exp2_approx(da[n][i] * (a.scale * LOG2E) - l);
            if (B::SIGN > 0) {
                p = y0 + 8 * n + 2 * t + i % 2 < len ? p : 0.0f;
                da[n][i] = a.scale * p * (dp[n][i] - dl);
            } else {
                float d = keep[i] >> 4 * n & 1 ? kept : 0.0f;
                da[n][i] = a.scale * p * (dp[n][i] * d - dl);
                dp[n][i] = p * d;
            }
        }
    }
}

/* Columns y0 .. of the sequence into a stage. */
template <class B>
static __device__ __forceinline__ void load_columns(B &s, int stage, const BwdOperands &o,
                                                    int64_t ld, int y0, int len)
{
    load_tile<B::D, B::BN>(s.y[stage], o.y, ld, y0, len);
    load_tile<B::D, B::BN>(s.w[stage], o.w, o.ld_w, y0, len);
}
template <class B>
static __device__ __forceinline__ void store_query(B &s, int stage, const BwdQuery &q)
{
    if (B::SIGN < 0 && threadIdx.x < B::BN) {
        s.lse[stage][threadIdx.x] = q.lse;
        s.delta[stage][threadIdx.x] = q.delta;
        s.key[stage][threadIdx.x] = q.key;
    }
}

/* The strips of a pair of tiles, da = X Yᵀ, dp = Z Wᵀ. */
template <class B>
static __device__ __forceinline__ void
products(float da[B::BN / 8][4], float dp[B::BN / 8][4], B &s, int stage, uint32_t x[B::D / 16][4],
         const AttnPair &pair, const uint16_t *rel, int len, AttnRowScore &row_score)
{
    int row = threadIdx.x / WARP * 16;
    if (!B::KEEP)
        tile_fragments<B::D>(x, s.x, row);
    strips(s.strips, pair, rel, len, x, s.y[stage], row_score);
    if (B::KEEP)
        mma_xyt<B::D, B::BN>(da, x, s.y[stage]);
    else
        mma_tiles<B::D, B::BN>(da, s.x, row, s.y[stage]);
    mma_tiles<B::D, B::BN>(dp, s.z, row, s.w[stage]);
}

/* What a launch makes of the keys' side: with 128 columns a head, registers hold only one of dK,
 * dV.
 */
enum BwdPart { BWD_ALL, BWD_DX, BWD_DZ };

/* The results of a block. Where they go is worked out anew: registers are short within the loop. */
template <int D, int SIGN, BwdPart PART>
static __device__ __forceinline__ void finish(const Attn<bf16> &a, Bwd<D, SIGN> &s,
                                              const BwdRuns &runs, float dx[D / 8][4],
                                              const float dz[D / 8][4])
{
    const sec_cuda_tile tile = a.tiles[blockIdx.x];
    const BwdOperands &o = s.operands;
    const int64_t at = (int64_t)tile.row * a.ld_d;
    const int rows = tile.len - tile.row;
    if (SIGN < 0 && PART != BWD_DX)
        store_rows<D>(o.dz + at, a.ld_d, dz, rows);
    if (PART == BWD_DZ)
        return;
    int ends[2] = {attn_slot(a.rel, SIGN * (1 - rows), tile.len),
                   attn_slot(a.rel, SIGN * (tile.row + ATTN_ROWS - 1), tile.len)};
    add_relative<D>(dx, runs, o.rx, a.ld_rel, min(ends[0], ends[1]), max(ends[0], ends[1]),
                    s.strips.rx, (int)(s.strips.ry - s.strips.rx));
    store_rows<D>(o.dx + at, a.ld_d, dx, rows);
}

template <int D, int SIGN, BwdPart PART>
__global__ void __launch_bounds__(ATTN_THREADS, Bwd<D, SIGN>::BLOCKS) attn_bwd(Attn<bf16> a)
{
    using B = Bwd<D, SIGN>;
    constexpr int BN = B::BN;
    DYN_SMEM(B, s);
    const sec_cuda_tile tile = a.tiles[blockIdx.x];
    const int len = tile.len, row = tile.row, head = blockIdx.y;
    if (len == 0)
        return;
    const int row0 = row + threadIdx.x / WARP * 16;
    const BwdOperands o = bwd_operands<SIGN>(a, tile.start, head);
    sec_cuda_drop drop = a.drop;
    drop.site += (uint32_t)head << 16;

    uint32_t x[D / 16][4];
    if (B::KEEP)
        load_fragments<D>(x, o.x, a.ld, row, len);
    else
        load_tile<D, ATTN_ROWS>(s->x, o.x, a.ld, row, len);
    load_tile<D, ATTN_ROWS>(s->z, o.z, o.ld_z, row, len);
    if (threadIdx.x == 0)
        s->operands = o;
    BwdQuery own[2] = {}, column = {};
#pragma unroll
    for (int h = 0; h < 2 && SIGN > 0; h++)
        own[h] = bwd_query(a, tile.start, len, head, row0 + threadIdx.x % WARP / 4 + 8 * h);
    if (SIGN < 0)
        store_query(*s, 0, bwd_query(a, tile.start, len, head, threadIdx.x % BN));
    AttnPair pair = attn_pair<typename B::Strips>(a.rel, a.linear, row, 0, len);
    load_columns(*s, 0, o, a.ld, 0, len);
    load_window(s->strips, pair, nullptr, a.rel, len, o.rx, o.ry, a.ld_rel);
    cp_async_commit();

    float dx[D / 8][4] = {}, dz[D / 8][4] = {};
    AttnRowScore row_score;
    BwdRuns runs = {o.sums + (int64_t)row0 * a.rel_rows, a.rel_rows, len - row0, {0, 0}};
    for (int y0 = 0, stage = 0; y0 < len; y0 += BN, stage ^= 1) {
        const bool last = y0 + BN >= len;
        cp_async_wait<0>();
        __syncthreads();
        if (!last) {
            load_columns(*s, stage ^ 1, s->operands, a.ld, y0 + BN, len);
            if (SIGN < 0)
                column = bwd_query(a, tile.start, len, head, y0 + BN + threadIdx.x % BN);
        }
        float da[BN / 8][4] = {}, dp[BN / 8][4] = {};
        products(da, dp, *s, stage, x, pair, a.rel, len, row_score);
        __syncthreads();
        AttnPair next = attn_pair<typename B::Strips>(a.rel, a.linear, row, y0 + BN, len);
        if (!last)
            load_window(s->strips, next, &pair, a.rel, len, s->operands.rx, s->operands.ry,
                        a.ld_rel);
        cp_async_commit();
        add_positions(da, s->strips, pair, row_score);
        score_gradients(da, dp, *s, stage, a, drop, own, row0, y0, len);
        if (SIGN < 0 && PART != BWD_DX)
            mma_py<D, BN>(dz, dp, s->w[stage]);
        if (PART != BWD_DZ) {
            mma_py<D, BN>(dx, da, s->y[stage]);
            sum_runs(s->strips, runs, da, pair, a.rel, len, last);
        }
        store_query(*s, stage ^ 1, column);
        pair = next;
    }
    finish<D, SIGN, PART>(a, *s, runs, dx, dz);
}

template <int D, int SIGN, BwdPart PART = BWD_ALL>
static cudaError_t launch(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream)
{
    constexpr size_t bytes = sizeof(Bwd<D, SIGN>);
    CUDA_RETURN(cudaFuncSetAttribute(attn_bwd<D, SIGN, PART>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
    dim3 grid((unsigned)tile_blocks, (unsigned)a.heads);
    return LAUNCH((attn_bwd<D, SIGN, PART>), grid, ATTN_THREADS, bytes, stream, a);
}
template <int D>
static cudaError_t both_sides(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream)
{
    CUDA_RETURN((launch<D, 1>(a, tile_blocks, stream)));
    if constexpr (D == 128) {
        CUDA_RETURN((launch<D, -1, BWD_DX>(a, tile_blocks, stream)));
        return launch<D, -1, BWD_DZ>(a, tile_blocks, stream);
    } else {
        return launch<D, -1>(a, tile_blocks, stream);
    }
}

cudaError_t attn_bwd_bf16(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream)
{
    if (a.head_dim == 32)
        return both_sides<32>(a, tile_blocks, stream);
    if (a.head_dim == 64)
        return both_sides<64>(a, tile_blocks, stream);
    if (a.head_dim == 128)
        return both_sides<128>(a, tile_blocks, stream);
    return cudaErrorInvalidValue;
}
