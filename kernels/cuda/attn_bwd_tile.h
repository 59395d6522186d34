/* Device code of the bf16 attention backward, on top of attn_tile.h: what is shared by its two
 * sides (attn_bwd.cu) and does not depend on how the loop runs.
 *
 * Sums by relative row. Along a row of scores the slot is monotone, so the columns of one slot are
 * one run, which may go on over many tiles. A warp owns its rows: it sums runs in fp32, keeps the
 * sum of a run that goes on in the next tile (the carry), and writes a run to global memory when it
 * is over: each (row, slot) once. The order of additions depends on shapes only. */
#ifndef SEC_KERNELS_CUDA_ATTN_BWD_TILE_H
#define SEC_KERNELS_CUDA_ATTN_BWD_TILE_H

#include "kernels/cuda/attn_tile.h"

/* The arrays of one head and sequence by role; row 0 is the first token of the sequence. X and Z
 * are the rows' own, Y and W the columns'; scores are X Yᵀ, gradients of probabilities Z Wᵀ. */
struct BwdOperands {
    const bf16 *x, *z, *y, *w, *rx, *ry;
    int64_t ld_z, ld_w; /* of x and y: ld of Attn */
    bf16 *dx, *dz;      /* dz: keys only */
    bf16 *sums;         /* dc or dt */
};
template <int SIGN>
static __device__ __forceinline__ BwdOperands bwd_operands(const Attn<bf16> &a, int start, int head)
{
    int64_t col = (int64_t)head * a.head_dim, at = start * a.ld + col;
    int64_t at_o = start * a.ld_do + col, out = start * a.ld_d + col;
    int64_t sums = ((int64_t)head * a.n_tokens + start) * a.rel_rows;
    if (SIGN > 0)
        return {a.q + at, a.d_o + at_o, a.k + at,   a.v + at, a.kr + col, a.qr + col,
                a.ld_do,  a.ld,         a.dq + out, nullptr,  a.dc + sums};
    return {a.k + at, a.v + at, a.q + at,   a.d_o + at_o, a.qr + col, a.kr + col,
            a.ld,     a.ld_do,  a.dk + out, a.dv + out,   a.dt + sums};
}

/* acc += X Yᵀ as mma_xyt, with X in shared memory too: 16 rows of a tile from `row` on. */
template <int D, int BN>
static __device__ __forceinline__ void mma_tiles(float acc[BN / 8][4], const bf16 *x, int row,
                                                 const bf16 *y)
{
    int lane = threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < D / 16; k += 2) {
        uint32_t a[2][4], b[4];
        ldmatrix_x4(a[0], x + tile_at<D>(row + lane % 16, 2 * k + lane / 16));
        ldmatrix_x4(a[1], x + tile_at<D>(row + lane % 16, 2 * k + 2 + lane / 16));
#pragma unroll
        for (int n = 0; n < BN / 8; n++) {
            ldmatrix_x4(b, y + tile_at<D>(8 * n + lane % 8, 2 * k + lane / 8));
            mma_16816_bf16(acc[n], a[0], b);
            mma_16816_bf16(acc[n], a[1], b + 2);
        }
    }
}

static __device__ __forceinline__ float quad_sum(float x)
{
    x += warp_xor(x, 1);
    return x + warp_xor(x, 2);
}

/* What dropout keeps where rows are keys and columns queries, for an element's place h, e within
 * acc[n][2h + e]: bit 4n of keep[2h + e]. The 4 lanes g / 4 = const, t = const share 4 keys of 2
 * rows' halves and 2 queries: each draws for one of the four pairs. keys are the row keys of the
 * tile's queries, row0 the warp's first key position. */
template <int BN>
static __device__ __forceinline__ void drop_columns(uint32_t keep[4], const sec_cuda_drop &d,
                                                    const uint64_t *keys, int row0)
{
    int lane = threadIdx.x % WARP, t = lane % 4, own = lane / 4 % 4;
    uint32_t drawn = 0, group = (uint32_t)(row0 / 4 + own / 2 * 2 + lane / 16);
#pragma unroll
    for (int n = 0; n < BN / 8; n++) {
        float x[4];
        sec_cuda_drop4(d, keys[8 * n + 2 * t + own % 2], group, x);
#pragma unroll
        for (int i = 0; i < 4; i++)
            drawn |= (uint32_t)(x[i] > 0) << (4 * n + i);
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        keep[i] = warp_from(drawn, (lane & ~12) | i << 2) >> own;
}

/* A warp's sums by relative row. */
struct BwdRuns {
    bf16 *sums;         /* of the warp's first row; row stride rel_rows */
    int rel_rows, rows; /* rows: how many of the 16 exist */
    float carry[2];     /* of rows g and g + 8, spread over the 4 lanes of a row */
};

static __device__ __forceinline__ void write_sum(const BwdRuns &r, int row, int slot, float sum)
{
    if (row < r.rows)
        r.sums[(int64_t)row * r.rel_rows + slot] = bf16{cvt_bf16(sum)};
}

/* A pair of tiles with one slot. next: lane i knows the slot that row i % 16 sees in the column
 * after the tile, -1 if there is none. */
template <int BN>
static __device__ __forceinline__ void sum_constant(BwdRuns &r, const float da[BN / 8][4], int slot,
                                                    int next)
{
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    bool over[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
            r.carry[h] += da[n][2 * h] + da[n][2 * h + 1];
        over[h] = warp_from(next, g + 8 * h) != slot;
    }
    if (!warp_any(over[0] || over[1]))
        return;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float sum = quad_sum(r.carry[h]);
        if (over[h]) {
            if (t == 0)
                write_sum(r, g + 8 * h, slot, sum);
            r.carry[h] = 0;
        }
    }
}

/* The sum of the values of one's run, in the lane that is its head. heads: the first lanes of the
 * runs. */
static __device__ __forceinline__ float run_sum(float x, uint32_t heads)
{
    int lane = threadIdx.x % WARP;
    uint32_t later = heads & ~((2u << lane) - 1);
    int end = later ? __ffs((int)later) - 2 : WARP - 1;
    for (int d = 1; warp_any(lane + d <= end); d *= 2) {
        float y = warp_down(x, d);
        if (lane + d <= end)
            x += y;
    }
    return x;
}

/* The slot of a row and a column of a pair, neither CONSTANT. zero is that of delta = 0. */
template <class S>
static __device__ __forceinline__ int pair_slot(const S &s, const AttnPair &p, const uint16_t *rel,
                                                int zero, int len, int row, int col)
{
    if (p.mode == ATTN_LINEAR)
        return S::SIGN * (p.diff + row - col) + zero;
    if (p.mode == ATTN_TABLE)
        return s.table[row - col + S::BN - 1];
    return attn_slot(rel, S::SIGN * (p.diff + row - col), len);
}

/* Any other pair, a row after the other: lane i has column i. dA goes through shared memory, where
 * the warp's rows of strip_x are no longer needed. */
template <class S>
static __device__ __forceinline__ void sum_rows(S &s, BwdRuns &r, const float da[S::BN / 8][4],
                                                const AttnPair &p, const uint16_t *rel, int len,
                                                int next)
{
    constexpr int STRIDE = WARP + 8; /* stores of pairs without bank conflicts */
    static_assert(S::BN == WARP && STRIDE <= S::STRIDE_X, "a lane a column");
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    float *rows = s.x + 16 * warp * S::STRIDE_X;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < S::BN / 8; n++)
#pragma unroll
        for (int h = 0; h < 2; h++)
            store_vec(rows + (g + 8 * h) * STRIDE + 8 * n + 2 * t,
                      Vec<float, 2>{{da[n][2 * h], da[n][2 * h + 1]}});
    __syncwarp();
    int zero = rel[0];
    /* Bit i: the last run of row i goes on after the tile. */
    uint32_t goes_on =
        warp_ballot(next == pair_slot(s, p, rel, zero, len, 16 * warp + lane % 16, S::BN - 1));
    if (p.mode == ATTN_LINEAR && !goes_on && !warp_any(r.carry[0] != 0 || r.carry[1] != 0)) {
#pragma unroll 1
        for (int i = 0; i < 16; i++)
            write_sum(r, i, S::SIGN * (p.diff + 16 * warp + i - lane) + zero,
                      rows[i * STRIDE + lane]);
        return;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float carry = quad_sum(r.carry[h]);
#pragma unroll 1
        for (int i = 8 * h; i < 8 * h + 8; i++) {
            float before = warp_from(carry, i % 8 * 4);
            float x = rows[i * STRIDE + lane] + (lane == 0 ? before : 0.0f);
            int slot = pair_slot(s, p, rel, zero, len, 16 * warp + i, lane);
            int left = warp_up(slot, 1);
            uint32_t heads = warp_ballot(lane == 0 || left != slot);
            x = run_sum(x, heads);
            int last = WARP - 1 - __clz((int)heads); /* head of the last run */
            bool open = goes_on >> i & 1;
            float rest = warp_from(x, last);
            if ((heads >> lane & 1) && !(open && lane == last))
                write_sum(r, i, slot, x);
            if (g == i % 8)
                r.carry[h] = open && t == 0 ? rest : 0.0f;
        }
    }
}

/* Adds dA of a pair of tiles. last: no columns come after it. */
template <class S>
static __device__ __forceinline__ void sum_runs(S &s, BwdRuns &r, const float da[S::BN / 8][4],
                                                const AttnPair &p, const uint16_t *rel, int len,
                                                bool last)
{
    int row = threadIdx.x / WARP * 16 + threadIdx.x % 16;
    int next = last ? -1 : attn_slot(rel, S::SIGN * (p.diff + row - S::BN), len);
    if (p.mode == ATTN_CONSTANT)
        sum_constant<S::BN>(r, da, p.low, next);
    else
        sum_rows(s, r, da, p, rel, len, next);
}

/* acc += the sums of the warp's rows, rounded as written, at slots from .. from + 15 up to high,
 * times a tile of 16 relative rows. */
template <int D>
static __device__ __forceinline__ void add_sums(float acc[D / 8][4], const BwdRuns &r, int from,
                                                int high, const bf16 *tile)
{
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const bf16 *sums = r.sums + (int64_t)g * r.rel_rows + from + 2 * t;
    float c[2][4];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int row = i / 2 % 2 * 8, slot = i / 4 * 8 + i % 2;
        bool in = g + row < r.rows && from + 2 * t + slot <= high;
        c[i / 4][i % 4] = in ? to_float(sums[(int64_t)row * r.rel_rows + slot]) : 0.0f;
    }
    mma_py<D, 16>(acc, c, tile);
}

/* acc += those sums times RX: slots low .. high. `rings` has room for two tiles of ATTN_ROWS rows,
 * the second at rings + half. */
template <int D>
static __device__ __forceinline__ void add_relative(float acc[D / 8][4], const BwdRuns &r,
                                                    const bf16 *rx, int64_t ld_rel, int low,
                                                    int high, bf16 *rings, int half)
{
    constexpr int BN = ATTN_ROWS;
    __syncthreads();
    load_tile<D, BN>(rings, rx, ld_rel, low, high + 1);
    cp_async_commit();
    for (int from = low, other = half; from <= high; from += BN, other = half - other) {
        if (from + BN <= high)
            load_tile<D, BN>(rings + other, rx, ld_rel, from + BN, high + 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
#pragma unroll 1
        for (int k = 0; k < BN; k += 16)
            add_sums<D>(acc, r, from + k, high, rings + (half - other) + k * D);
        __syncthreads();
    }
}

/* The warp's rows of a result; to is row 0 of the block's tile. */
template <int D>
static __device__ __forceinline__ void store_rows(bf16 *to, int64_t ld, const float acc[D / 8][4],
                                                  int rows)
{
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int row = threadIdx.x / WARP * 16 + g + 8 * h;
        if (row >= rows)
            continue;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            store_vec(reinterpret_cast<uint32_t *>(to + row * ld + 8 * n + 2 * t),
                      Vec<uint32_t, 1>{{cvt_bf16x2(acc[n][2 * h], acc[n][2 * h + 1])}});
    }
}

#endif
