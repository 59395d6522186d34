/* Device code of the bf16 attention kernels: tiles of rows in shared memory, their products on
 * tensor cores, and the position scores of a pair of tiles.
 *
 * A block is 4 warps and owns 64 rows X, 16 a warp, whose fragments stay in registers; it walks
 * over tiles of BN columns Y. Position scores come from two strips in shared memory, strip_x[a][c]
 * = X_a.RX[origin + c],   strip_y[b][c] = Y_b.RY[origin + c], made by mma; a strip holds only what
 * 16 neighbouring rows (or columns) can ask for: they meet at most 16 + BN - 1 (or 16 + 64 - 1)
 * values of delta. Its origin differs from one 16 to the next. How a score finds its slot depends
 * on the pair: CONSTANT  one slot for all: a number a row, kept in registers, and a number a column
 *   LINEAR    slot = delta + rel[0] for the whole pair: its place in a strip is a subtraction
 *   TABLE     anything else: rel of the pair's deltas is looked up in shared memory
 *   GATHERED  where slots grow so much faster than deltas that there would be no room: rows are
 *             fetched by delta, one for each, and used as in LINEAR
 * The relative rows in use lie in a ring, row r at r % RING: when the window moves, only the rows
 * that are new are fetched. A strip may run past the window, over older rows: nobody reads those
 * columns.
 *
 * One step of a kernel, all threads in each call:
 *   load_tile, load_window, commit, wait, barrier        Y and its window are there
 *   strips                                               writes the strips
 *   barrier                                              Y and the window are free for the next
 * step add_positions                                        adds to the accumulators of X Yᵀ
 *   barrier before the next strips
 * Accumulators of a warp, [16 x BN] as float acc[BN / 8][4], are laid out like D of ptx.h: element
 * acc[n][2h + e] is row 16 warp + g + 8h, column 8n + 2t + e. */
#ifndef SEC_KERNELS_CUDA_ATTN_TILE_H
#define SEC_KERNELS_CUDA_ATTN_TILE_H

#include "kernels/cuda/attn.h"

enum { ATTN_ROWS = SEC_CUDA_TILE, ATTN_WARPS = 4, ATTN_THREADS = ATTN_WARPS * WARP };
enum AttnMode { ATTN_CONSTANT, ATTN_LINEAR, ATTN_TABLE, ATTN_GATHERED };

/* Shared memory of the position scores of D columns a head, BN columns a tile, SIGN as in attn.h.
 *
 * Strides. LINEAR, lanes (g, t) of a warp read strip_x at g (STRIDE_X + SIGN) - 2 SIGN t as pairs,
 * and strip_y at 2t (STRIDE_Y - SIGN) + SIGN g: no bank conflict. Their stores, g STRIDE + 2t, take
 * two turns; no stride is without conflict both ways. A warp's 16 x 64 scores take 32 + 80 turns of
 * shared memory for either strip; an even stride of 88 takes 64 + 40, and is worse where TABLE
 * pairs look up slots that lie close together. */
template <int D_, int BN_, int SIGN_> struct AttnStrips {
    static constexpr int D = D_, BN = BN_, SIGN = SIGN_;
    static constexpr int RING = ATTN_ROWS + BN, DELTAS = ATTN_ROWS + BN - 1, GROUPS = BN / 16;
    static constexpr int STRIDE_X = 16 + BN + (SIGN > 0 ? 7 : 9);
    static constexpr int STRIDE_Y = 16 + ATTN_ROWS + (SIGN > 0 ? 5 : 3);
    static_assert(D % 32 == 0 && (BN == 32 || BN == 64) && SIGN * SIGN == 1, "shape");
    bf16 rx[RING * D], ry[RING * D];
    float x[ATTN_ROWS * STRIDE_X], y[BN * STRIDE_Y]; /* CONSTANT: y[b] is the number of column b */
    int origin_x[ATTN_WARPS], origin_y[GROUPS];      /* slot of column 0; TABLE only */
    uint16_t table[DELTAS + 1];                      /* slot of a - b = diff - (BN - 1) + i */
};

/* A pair of tiles: a - b = diff at row 0, column 0; slots low .. high are in use. GATHERED: they
 * count the pair's deltas from 0. */
struct AttnPair {
    int diff, low, high;
    AttnMode mode;
};

/* The number of each row of a lane while pairs are CONSTANT at one slot. */
struct AttnRowScore {
    int slot = -1;
    float x[2];
};

/* Rows of D bf16 without padding; 16-byte chunks change places by row, so that the 8 rows of a
 * ldmatrix lie in different banks. */
template <int D> static __device__ __forceinline__ unsigned tile_at(unsigned row, unsigned chunk)
{
    unsigned turn = D == 32 ? row / 2 % 4 : row % 8;
    return row * D + (chunk ^ turn) * 8;
}

/* Rows first .. first + ROWS - 1 of a sequence of len rows; zeros past its end. `from` is row 0 at
 * the columns of the head. */
template <int D, int ROWS>
static __device__ __forceinline__ void load_tile(bf16 *tile, const bf16 *from, int64_t ld,
                                                 int first, int len)
{
#pragma unroll
    for (unsigned i = threadIdx.x; i < ROWS * D / 8; i += ATTN_THREADS) {
        unsigned row = i / (D / 8), chunk = i % (D / 8);
        int at = first + (int)row;
        cp_async16_zfill(tile + tile_at<D>(row, chunk), from + (at < len ? at : 0) * ld + chunk * 8,
                         at < len);
    }
}

/* Fragments (A of ptx.h) of the warp's 16 rows, from global memory: first is row 0 of the block's
 * tile. Rows past the end are zeros. */
template <int D>
static __device__ __forceinline__ void load_fragments(uint32_t x[D / 16][4], const bf16 *from,
                                                      int64_t ld, int first, int len)
{
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < 4 * (D / 16); i++) {
        int row = first + 16 * warp + lane / 4 + i % 2 * 8;
        int col = i / 4 * 16 + i / 2 % 2 * 8 + lane % 4 * 2;
        x[i / 4][i % 4] = 0;
        if (row < len)
            x[i / 4][i % 4] =
                load_vec<1>(reinterpret_cast<const uint32_t *>(from + row * ld + col))[0];
    }
}

/* The same of rows row .. row + 15 of a tile in shared memory. */
template <int D>
static __device__ __forceinline__ void tile_fragments(uint32_t x[D / 16][4], const bf16 *tile,
                                                      int row)
{
    int lane = threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < D / 16; k++)
        ldmatrix_x4(x[k], tile + tile_at<D>(row + lane % 16, 2 * k + lane / 16));
}

/* acc += X Rᵀ for 8 rows R of a tile; each lane says where row lane % 8 lies. */
template <int D>
static __device__ __forceinline__ void mma_rows(float acc[4], const uint32_t x[D / 16][4],
                                                const bf16 *tile, int row)
{
    int lane = threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < D / 16; k += 2) {
        uint32_t b[4];
        ldmatrix_x4(b, tile + tile_at<D>(row, 2 * k + lane / 8));
        mma_16816_bf16(acc, x[k], b);
        mma_16816_bf16(acc, x[k + 1], b + 2);
    }
}

/* acc += X Yᵀ, Y a tile of BN rows. */
template <int D, int BN>
static __device__ __forceinline__ void mma_xyt(float acc[BN / 8][4], const uint32_t x[D / 16][4],
                                               const bf16 *tile)
{
#pragma unroll
    for (int n = 0; n < BN / 8; n++)
        mma_rows<D>(acc[n], x, tile, 8 * n + threadIdx.x % 8);
}

/* acc += bf16(P) Y, P [16 x BN] in accumulators, Y a tile of BN rows. */
template <int D, int BN>
static __device__ __forceinline__ void mma_py(float acc[D / 8][4], const float p[BN / 8][4],
                                              const bf16 *tile)
{
    int lane = threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < BN / 16; k++) {
        const float *left = p[2 * k], *right = p[2 * k + 1];
        uint32_t a[4] = {cvt_bf16x2(left[0], left[1]), cvt_bf16x2(left[2], left[3]),
                         cvt_bf16x2(right[0], right[1]), cvt_bf16x2(right[2], right[3])};
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t b[4];
            ldmatrix_x4_trans(b, tile + tile_at<D>(16 * k + lane % 16, n + lane / 16));
            mma_16816_bf16(acc[n], a, b);
            mma_16816_bf16(acc[n + 1], a, b + 2);
        }
    }
}

/* The slot of a delta; deltas past the ends of a sequence of len rows are those at its ends. */
static __device__ __forceinline__ int attn_slot(const uint16_t *rel, int delta, int len)
{
    return rel[max(1 - len, min(delta, len - 1))];
}

/* The least delta of a pair. */
template <class S> static __device__ __forceinline__ int attn_first(int diff)
{
    return S::SIGN > 0 ? diff - (S::BN - 1) : -diff - (ATTN_ROWS - 1);
}

/* Whether window and strips of a pair whose deltas start at `from` have room for their slots: where
 * slots grow no faster than deltas they always have. */
template <class S>
static __device__ __forceinline__ bool attn_fits(const uint16_t *rel, int from, int len)
{
    auto width = [&](int at, int deltas) {
        return attn_slot(rel, at + deltas - 1, len) - attn_slot(rel, at, len) + 1;
    };
    bool fits = width(from, S::DELTAS) <= S::RING;
    for (int i = 0; i < ATTN_WARPS; i++)
        fits &= width(from + 16 * i, 16 + S::BN - 1) <= 16 + S::BN;
    for (int i = 0; i < S::GROUPS; i++)
        fits &= width(from + 16 * i, 16 + ATTN_ROWS - 1) <= 16 + ATTN_ROWS;
    return fits;
}

/* The pair of the tiles that start at rows x0 and columns y0 of a sequence of len rows. */
template <class S>
static __device__ __forceinline__ AttnPair attn_pair(const uint16_t *rel, int linear, int x0,
                                                     int y0, int len)
{
    int diff = x0 - y0, from = attn_first<S>(diff), to = from + S::DELTAS - 1;
    if (max(-from, to) <= linear)
        return {diff, from + rel[0], to + rel[0], ATTN_LINEAR};
    int low = attn_slot(rel, from, len), high = attn_slot(rel, to, len);
    if (high - low >= 16 + S::BN && !attn_fits<S>(rel, from, len))
        return {diff, 0, S::DELTAS - 1, ATTN_GATHERED};
    return {diff, low, high, low == high ? ATTN_CONSTANT : ATTN_TABLE};
}

/* Fetches the window of a pair into the rings, less what the pair before left there (NULL:
 * nothing). rx and ry are the tables RX and RY at the columns of the head. */
template <class S>
static __device__ __forceinline__ void load_window(S &s, const AttnPair &p, const AttnPair *before,
                                                   const uint16_t *rel, int len, const bf16 *rx,
                                                   const bf16 *ry, int64_t ld)
{
    constexpr unsigned CHUNKS = S::D / 8;
    int low = p.low, high = p.high;
    bool by_delta = p.mode == ATTN_GATHERED;
    if (before && !by_delta && before->mode != ATTN_GATHERED) {
        if (before->low <= low && low <= before->high)
            low = before->high + 1;
        else if (before->low <= high && high <= before->high)
            high = before->low - 1;
    }
    unsigned chunks = (unsigned)max(0, high - low + 1) * CHUNKS;
    for (unsigned i = threadIdx.x; i < chunks; i += ATTN_THREADS) {
        unsigned slot = (unsigned)low + i / CHUNKS, chunk = i % CHUNKS;
        int row = by_delta ? attn_slot(rel, attn_first<S>(p.diff) + (int)slot, len) : (int)slot;
        unsigned to = tile_at<S::D>(slot % S::RING, chunk);
        int64_t at = row * ld + chunk * 8;
        cp_async16(s.rx + to, rx + at);
        cp_async16(s.ry + to, ry + at);
    }
}

/* strip[row][8 j ..] = F_row . ring[origin + 8 j ..] of 16 rows for j = from, from + step .. */
template <class S, int STRIDE>
static __device__ __forceinline__ void write_strip(float *strip, const uint32_t f[S::D / 16][4],
                                                   const bf16 *ring, int origin, int from,
                                                   int count, int step)
{
    int lane = threadIdx.x % WARP;
    strip += lane / 4 * STRIDE + lane % 4 * 2;
#pragma unroll 2
    for (int j = from; j < count; j += step) {
        float acc[4] = {};
        mma_rows<S::D>(acc, f, ring, (unsigned)(origin + 8 * j + lane % 8) % S::RING);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            strip[8 * h * STRIDE + 8 * j] = acc[2 * h];
            strip[8 * h * STRIDE + 8 * j + 1] = acc[2 * h + 1];
        }
    }
}

/* The slots of a strip whose rows and columns meet at a - b = least .. most. */
struct AttnSpan {
    int origin, tiles; /* of 8 slots */
};
template <class S>
static __device__ __forceinline__ AttnSpan attn_span(const AttnPair &p, const uint16_t *rel,
                                                     int least, int most, int len)
{
    int from = S::SIGN > 0 ? least : -most, to = S::SIGN > 0 ? most : -least;
    if (p.mode != ATTN_TABLE)
        return {p.low + from - attn_first<S>(p.diff), (to - from) / 8 + 1};
    int origin = attn_slot(rel, from, len);
    return {origin, (attn_slot(rel, to, len) - origin) / 8 + 1};
}

/* Both numbers of a CONSTANT pair: all 8 rows of the second factor are the same one, so every lane
 * gets what belongs to its rows. */
template <class S>
static __device__ __forceinline__ void constant_scores(S &s, const AttnPair &p,
                                                       const uint32_t x[S::D / 16][4],
                                                       const bf16 *y, AttnRowScore &row)
{
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row.slot != p.low) {
        float acc[4] = {};
        mma_rows<S::D>(acc, x, s.rx, (unsigned)p.low % S::RING);
        row.slot = p.low;
        row.x[0] = acc[0];
        row.x[1] = acc[2];
    }
    if (warp >= S::GROUPS)
        return;
    uint32_t f[S::D / 16][4];
    float acc[4] = {};
    tile_fragments<S::D>(f, y, 16 * warp);
    mma_rows<S::D>(acc, f, s.ry, (unsigned)p.low % S::RING);
    if (lane % 4 == 0) {
        s.y[16 * warp + lane / 4] = acc[0];
        s.y[16 * warp + lane / 4 + 8] = acc[2];
    }
}

/* Writes what add_positions needs: x are the fragments of the warp's rows, y the tile of columns.
 * For strip_y the warps share the columns, 16 at a time. */
template <class S>
static __device__ __forceinline__ void strips(S &s, const AttnPair &p, const uint16_t *rel, int len,
                                              const uint32_t x[S::D / 16][4], const bf16 *y,
                                              AttnRowScore &row)
{
    if (p.mode == ATTN_CONSTANT) {
        constant_scores(s, p, x, y, row);
        return;
    }
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int group = warp % S::GROUPS, b = p.diff - 16 * group - 15, a = p.diff + 16 * warp;
    AttnSpan sx = attn_span<S>(p, rel, a - (S::BN - 1), a + 15, len);
    AttnSpan sy = attn_span<S>(p, rel, b, b + 15 + ATTN_ROWS - 1, len);
    if (p.mode == ATTN_TABLE) {
        for (int i = threadIdx.x; i < S::DELTAS; i += ATTN_THREADS)
            s.table[i] = (uint16_t)attn_slot(rel, S::SIGN * (p.diff - (S::BN - 1) + i), len);
        if (lane == 0) {
            s.origin_x[warp] = sx.origin;
            if (warp < S::GROUPS)
                s.origin_y[group] = sy.origin;
        }
    } else if (S::SIGN < 0) {
        sx.origin--; /* puts the pairs of add_positions at even places */
    }
    write_strip<S, S::STRIDE_X>(s.x + 16 * warp * S::STRIDE_X, x, s.rx, sx.origin, 0, sx.tiles, 1);
    uint32_t f[S::D / 16][4];
    tile_fragments<S::D>(f, y, 16 * group);
    write_strip<S, S::STRIDE_Y>(s.y + 16 * group * S::STRIDE_Y, f, s.ry, sy.origin,
                                warp / S::GROUPS, sy.tiles, ATTN_WARPS / S::GROUPS);
}

template <class S>
static __device__ __forceinline__ void add_linear(float acc[S::BN / 8][4], const S &s)
{
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4, a = threadIdx.x / WARP * 16 + g;
    const float *sx = s.x + a * S::STRIDE_X, *sy = s.y + 2 * t * S::STRIDE_Y;
    /* Where a - b is, within the strips: 16 rows after the origin's row, 16 columns after its. */
    sx += S::SIGN > 0 ? g - 2 * t + S::BN - 2 : 2 * t - g + 16;
    sy += S::SIGN > 0 ? a - 2 * t + 15 : 2 * t - a + ATTN_ROWS - 1;
#pragma unroll
    for (int n = 0; n < S::BN / 8; n++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            Vec<float, 2> v = load_vec<2>(sx + 8 * h * (S::STRIDE_X + S::SIGN) - S::SIGN * 8 * n);
            const float *u = sy + 8 * n * S::STRIDE_Y + S::SIGN * (8 * h - n % 2 * 8);
            acc[n][2 * h] += v[S::SIGN > 0] + u[0];
            acc[n][2 * h + 1] += v[S::SIGN < 0] + u[S::STRIDE_Y - S::SIGN];
        }
}

/* Rows 8 further down see the slots of the 8 columns before. */
template <class S>
static __device__ __forceinline__ void add_table(float acc[S::BN / 8][4], const S &s)
{
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4, warp = threadIdx.x / WARP;
    int a = 16 * warp + g;
    const uint16_t *table = s.table + a - 2 * t + S::BN - 1;
    const float *sx = s.x + a * S::STRIDE_X - s.origin_x[warp];
    int above[2] = {table[8], table[7]};
#pragma unroll
    for (int n = 0; n < S::BN / 8; n++) {
        const float *sy = s.y + (8 * n + 2 * t) * S::STRIDE_Y - s.origin_y[n / 2];
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int slot = table[-8 * n - e];
            acc[n][e] += sx[slot] + sy[slot + e * S::STRIDE_Y];
            acc[n][2 + e] += sx[above[e] + 8 * S::STRIDE_X] + sy[above[e] + e * S::STRIDE_Y];
            above[e] = slot;
        }
    }
}

/* acc += X_a.RX[slot] + Y_b.RY[slot] of every element. */
template <class S>
static __device__ __forceinline__ void add_positions(float acc[S::BN / 8][4], const S &s,
                                                     const AttnPair &p, const AttnRowScore &row)
{
    if (p.mode == ATTN_TABLE) {
        add_table(acc, s);
    } else if (p.mode != ATTN_CONSTANT) {
        add_linear(acc, s);
    } else {
#pragma unroll
        for (int n = 0; n < S::BN / 8; n++) {
            Vec<float, 2> col = load_vec<2>(s.y + 8 * n + threadIdx.x % 4 * 2);
#pragma unroll
            for (int i = 0; i < 4; i++)
                acc[n][i] += row.x[i / 2] + col[i % 2];
        }
    }
}

/* Multiplies accumulators whose rows are queries and whose columns are keys, y0 the first of them,
 * by dropout: of neighbouring lanes, which share 4 columns, each draws for one of their two rows.
 * row_key is that of row drop_row, d.site the head's. */
static __device__ __forceinline__ int drop_row(int x0)
{
    int lane = threadIdx.x % WARP;
    return x0 + threadIdx.x / WARP * 16 + lane / 4 + lane % 2 * 8;
}
template <int BN>
static __device__ __forceinline__ void drop_rows(float acc[BN / 8][4], const sec_cuda_drop &d,
                                                 uint64_t row_key, int y0)
{
    int t = threadIdx.x % 4;
    bool lower = t % 2; /* this lane draws for row g + 8 */
#pragma unroll
    for (int n = 0; n < BN / 8; n++) {
        float own[4];
        sec_cuda_drop4(d, row_key, (uint32_t)(y0 / 4 + 2 * n + t / 2), own);
        float other[2] = {warp_xor(lower ? own[0] : own[2], 1),
                          warp_xor(lower ? own[1] : own[3], 1)};
#pragma unroll
        for (int e = 0; e < 2; e++) {
            acc[n][e] *= lower ? other[e] : own[e];
            acc[n][2 + e] *= lower ? own[2 + e] : other[e];
        }
    }
}

#endif
