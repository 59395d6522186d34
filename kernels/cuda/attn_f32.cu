/* Flash disentangled attention in fp32, forward and backward, on the ordinary cores: the path of
 * parity, built like the bf16 kernels (attn_fwd.cu, attn_bwd.cu). A block owns 64 rows X of a head
 * (32 in the backward of head size 128, for want of shared memory) and walks over tiles of 32
 * columns Y; scores live in registers, for one pair of tiles at a time.
 *
 * A thread (tx, ty) owns rows ty + TY i and columns tx + 16 j of a pair, and of the sums of a row
 * columns tx + 16 c; a row's threads are half a warp. Position scores: for 32 relative rows at a
 * time, strips X RXᵀ and Y RYᵀ in shared memory, from which each score takes its two numbers. */
#include "kernels/cuda/attn.h"

constexpr int COLS = 32, TX = 16;
constexpr int PITCH_S = COLS + 1;
constexpr int FEW = 4; /* relative rows that are not worth a tile */

template <int D_, int ROWS_> struct Shape {
    static constexpr int D = D_, ROWS = ROWS_, TY = ROWS / 4, THREADS = TX * TY;
    static constexpr int PITCH = D + 4; /* neighbouring rows start in other banks */
    struct Pair {
        float x[ROWS * PITCH], y[COLS * PITCH], r[COLS * PITCH];
        float s[ROWS * PITCH_S], strip_x[ROWS * PITCH_S], strip_y[COLS * PITCH_S];
    };
};

/* Rows X, columns Y of one head and sequence and their relative rows; sign as in attn.h. */
struct Operands {
    const float *x, *y, *rx, *ry;
    const uint16_t *rel;
    int64_t ld, ld_rel;
    int len;
};

/* Rows first .. first + rows - 1 of `from`, those at `end` and behind it as zeros. */
template <class F>
static __device__ __forceinline__ void load_rows(float *to, const float *from, int64_t ld,
                                                 int first, int end, int rows)
{
    for (int i = threadIdx.x; i < rows * (F::D / 4); i += F::THREADS) {
        int row = i / (F::D / 4), col = i % (F::D / 4) * 4;
        Vec<float, 4> v = {{0, 0, 0, 0}};
        if (first + row < end)
            v = load_vec<4>(from + (first + row) * ld + col);
        store_vec(to + row * F::PITCH + col, v);
    }
}

/* acc[i][j] += A[ty + TY i] . B[tx + 16 j]. */
template <class F, int I, int J>
static __device__ __forceinline__ void dot_tile(float acc[I][J], const float *a, const float *b)
{
    a += threadIdx.x / TX * F::PITCH;
    b += threadIdx.x % TX * F::PITCH;
#pragma unroll 4
    for (int c = 0; c < F::D; c += 4) {
        Vec<float, 4> left[I], right[J];
#pragma unroll
        for (int i = 0; i < I; i++)
            left[i] = load_vec<4>(a + i * F::TY * F::PITCH + c);
#pragma unroll
        for (int j = 0; j < J; j++)
            right[j] = load_vec<4>(b + j * TX * F::PITCH + c);
#pragma unroll
        for (int i = 0; i < I; i++)
#pragma unroll
            for (int j = 0; j < J; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    acc[i][j] += left[i][e] * right[j][e];
    }
}

/* acc[i][c] += sum over b of P[ty + TY i][b] Y[b][tx + 16 c]. */
template <class F>
static __device__ __forceinline__ void product(float acc[4][F::D / TX], const float *p,
                                               const float *y)
{
    p += threadIdx.x / TX * PITCH_S;
    y += threadIdx.x % TX;
#pragma unroll 4
    for (int b = 0; b < COLS; b++) {
        float left[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            left[i] = p[i * F::TY * PITCH_S + b];
#pragma unroll
        for (int c = 0; c < F::D / TX; c++) {
            float right = y[b * F::PITCH + c * TX];
#pragma unroll
            for (int i = 0; i < 4; i++)
                acc[i][c] += left[i] * right;
        }
    }
}

/* strip[m][u] = A[m] . R[u] for M rows of A and the n relative rows of r. */
template <class F, int M>
static __device__ __forceinline__ void write_strip(float *strip, const float *a, const float *r,
                                                   int n)
{
    if (n <= FEW) {
        for (int e = threadIdx.x; e < M * n; e += F::THREADS) {
            int m = e % M, u = e / M;
            float sum = 0;
            for (int c = 0; c < F::D; c += 4) {
                Vec<float, 4> left = load_vec<4>(a + m * F::PITCH + c);
                Vec<float, 4> right = load_vec<4>(r + u * F::PITCH + c);
#pragma unroll
                for (int k = 0; k < 4; k++)
                    sum += left[k] * right[k];
            }
            strip[m * PITCH_S + u] = sum;
        }
        return;
    }
    float acc[M / F::TY][2] = {};
    dot_tile<F, M / F::TY, 2>(acc, a, r);
    strip += threadIdx.x / TX * PITCH_S + threadIdx.x % TX;
#pragma unroll
    for (int i = 0; i < M / F::TY; i++)
#pragma unroll
        for (int j = 0; j < 2; j++)
            strip[i * F::TY * PITCH_S + j * TX] = acc[i][j];
}

/* The slot of a row and a column; those past the end stand for the last ones. */
template <int SIGN>
static __device__ __forceinline__ int slot_of(const Operands &o, int row, int col)
{
    return o.rel[SIGN * (min(row, o.len - 1) - min(col, o.len - 1))];
}

/* acc = A / scale of the pair at rows x0 and columns y0, whose tiles are in shared memory. Behind
 * its last barrier y and r are free. */
template <class F, int SIGN>
static __device__ __forceinline__ void scores(float acc[4][2], typename F::Pair &s,
                                              const Operands &o, int x0, int y0)
{
    int tx = threadIdx.x % TX, ty = threadIdx.x / TX, slot[4][2];
    dot_tile<F, 4, 2>(acc, s.x, s.y);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 2; j++)
            slot[i][j] = slot_of<SIGN>(o, x0 + ty + F::TY * i, y0 + tx + TX * j);
    int ends[2] = {slot_of<SIGN>(o, x0, y0 + COLS - 1), slot_of<SIGN>(o, x0 + F::ROWS - 1, y0)};
    int low = min(ends[0], ends[1]), end = max(ends[0], ends[1]) + 1;
    for (int base = low; base < end; base += COLS) {
        int n = min(COLS, end - base);
        load_rows<F>(s.r, o.rx, o.ld_rel, base, end, n);
        __syncthreads();
        write_strip<F, F::ROWS>(s.strip_x, s.x, s.r, n);
        __syncthreads();
        load_rows<F>(s.r, o.ry, o.ld_rel, base, end, n);
        __syncthreads();
        write_strip<F, COLS>(s.strip_y, s.y, s.r, n);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int u = slot[i][j] - base;
                if (u >= 0 && u < n)
                    acc[i][j] += s.strip_x[(ty + F::TY * i) * PITCH_S + u] +
                                 s.strip_y[(tx + TX * j) * PITCH_S + u];
            }
    }
}

/* Half a warp: the threads of a row. */
template <class J> static __device__ __forceinline__ float row_reduce(float x, J join)
{
#pragma unroll
    for (int m = TX / 2; m > 0; m /= 2)
        x = join(x, warp_xor(x, m));
    return x;
}

template <class F>
static __device__ __forceinline__ void store_rows(float *to, int64_t ld, int first, int len,
                                                  const float acc[4][F::D / TX],
                                                  const float factor[4])
{
    int tx = threadIdx.x % TX, ty = threadIdx.x / TX;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = first + ty + F::TY * i;
        if (row < len)
#pragma unroll
            for (int c = 0; c < F::D / TX; c++)
                to[row * ld + tx + TX * c] = acc[i][c] * factor[i];
    }
}

/* A head's dropout. */
static __device__ __forceinline__ sec_cuda_drop head_drop(sec_cuda_drop d, int head)
{
    d.site += (uint32_t)head << 16;
    return d;
}

/* The next tile of keys into the softmax of a thread's rows: scores become exponentials, which go
 * to p with dropout; the output follows the new maximum. */
template <class F> struct Softmax {
    float most[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, sum[4] = {};

    __device__ __forceinline__ void step(float s[4][2], float out[4][F::D / TX], float *p,
                                         const sec_cuda_drop &drop, const uint64_t key[4],
                                         float scale, int y0, int len)
    {
        int tx = threadIdx.x % TX, ty = threadIdx.x / TX;
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 2; j++)
                s[i][j] = y0 + tx + TX * j < len ? s[i][j] * scale : -INFINITY;
            float top = row_reduce(fmaxf(s[i][0], s[i][1]), sec_cuda_larger());
            top = fmaxf(top, most[i]);
            float shrink = expf(most[i] - top);
            most[i] = top;
            sum[i] *= shrink;
#pragma unroll
            for (int c = 0; c < F::D / TX; c++)
                out[i][c] *= shrink;
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int col = tx + TX * j;
                float e = expf(s[i][j] - top);
                sum[i] += e;
                p[(ty + F::TY * i) * PITCH_S + col] = e * attn_keep(drop, key[i], y0 + col);
            }
        }
    }
};

template <int D> using Forward = Shape<D, 64>;

template <int D>
__global__ void __launch_bounds__(Forward<D>::THREADS, 1) attn_fwd_f32_kernel(Attn<float> a)
{
    using F = Forward<D>;
    DYN_SMEM(typename F::Pair, s);
    sec_cuda_tile tile = a.tiles[blockIdx.x];
    if (tile.len == 0)
        return;
    int ty = threadIdx.x / TX, head = blockIdx.y, len = tile.len, x0 = tile.row;
    int64_t col = (int64_t)head * D, at = tile.start * a.ld + col;
    Operands o = {a.q + at, a.k + at, a.kr + col, a.qr + col, a.rel, a.ld, a.ld_rel, len};
    sec_cuda_drop drop = head_drop(a.drop, head);
    uint64_t key[4] = {};
    for (int i = 0; i < 4; i++)
        if (drop.row_key && x0 + ty + F::TY * i < len)
            key[i] = drop.row_key[tile.start + x0 + ty + F::TY * i];
    load_rows<F>(s->x, o.x, a.ld, x0, len, F::ROWS);
    float out[4][D / TX] = {}, factor[4];
    Softmax<F> softmax;
    for (int y0 = 0; y0 < len; y0 += COLS) {
        __syncthreads();
        load_rows<F>(s->y, o.y, a.ld, y0, len, COLS);
        __syncthreads();
        float acc[4][2] = {};
        scores<F, 1>(acc, *s, o, x0, y0);
        load_rows<F>(s->y, a.v + at, a.ld, y0, len, COLS);
        softmax.step(acc, out, s->s, drop, key, a.scale, y0, len);
        __syncthreads();
        product<F>(out, s->s, s->y);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = x0 + ty + F::TY * i;
        float sum = row_reduce(softmax.sum[i], sec_cuda_plus());
        factor[i] = 1.0f / sum;
        if (a.lse && row < len && threadIdx.x % TX == 0)
            a.lse[(int64_t)head * a.n_tokens + tile.start + row] = softmax.most[i] + logf(sum);
    }
    store_rows<F>(a.o + tile.start * a.ld_o + col, a.ld_o, x0, len, out, factor);
}

template <int D> using Backward = Shape<D, (D == 128 ? 32 : 64)>;

/* What the backward keeps besides: Z, and the statistics of the queries, be they rows or columns.
 */
template <class F> struct BackwardShared {
    typename F::Pair pair;
    float z[F::ROWS * F::PITCH];
    float lse[F::ROWS], delta[F::ROWS];
    uint64_t key[F::ROWS];
};
template <class F>
static __device__ __forceinline__ void load_queries(BackwardShared<F> &s, const Attn<float> &a,
                                                    int start, int head, int first, int len,
                                                    int count)
{
    int t = threadIdx.x;
    if (t >= count || first + t >= len)
        return;
    int64_t token = start + first + t, at = (int64_t)head * a.n_tokens + token;
    s.lse[t] = a.lse[at];
    s.delta[t] = a.delta[at];
    s.key[t] = a.drop.row_key ? a.drop.row_key[token] : 0;
}

/* From scores and Z Wᵀ: dA to s, and for keys as rows dropout(P) to strip_x. */
template <class F, int SIGN>
static __device__ __forceinline__ void gradients(BackwardShared<F> &s, const float acc[4][2],
                                                 const float dp[4][2], const sec_cuda_drop &drop,
                                                 float scale, int x0, int y0, int len)
{
    int tx = threadIdx.x % TX, ty = threadIdx.x / TX;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            int row = ty + F::TY * i, col = tx + TX * j, query = SIGN > 0 ? row : col;
            bool there = x0 + row < len && y0 + col < len;
            float p = 0, keep = 0, da = 0;
            if (there) {
                p = expf(scale * acc[i][j] - s.lse[query]);
                keep = attn_keep(drop, s.key[query], SIGN > 0 ? y0 + col : x0 + row);
                da = scale * p * (keep * dp[i][j] - s.delta[query]);
            }
            s.pair.s[row * PITCH_S + col] = da;
            if (SIGN < 0)
                s.pair.strip_x[row * PITCH_S + col] = p * keep;
        }
}

/* A row's sum of dA over the columns of one relative row. They are neighbours, so each sum is
 * written once, when the next begins. */
struct Run {
    int slot = -1;
    float sum = 0;

    template <int SIGN>
    __device__ __forceinline__ void step(float *to, const float *da, const Operands &o, int row,
                                         int y0)
    {
        float part = 0;
        for (int b = 0; b < min(COLS, o.len - y0); b++) {
            int next = slot_of<SIGN>(o, row, y0 + b);
            if (next != slot) {
                sum += part;
                finish(to);
                slot = next;
                sum = part = 0;
            }
            part += da[b];
        }
        sum += part;
    }
    __device__ __forceinline__ void finish(float *to) const
    {
        if (slot >= 0)
            to[slot] = sum;
    }
};

/* dX += sums RX, the sums complete in global memory and written by this block. */
template <class F, int SIGN>
static __device__ __forceinline__ void add_relative(float dx[4][F::D / TX], typename F::Pair &s,
                                                    const Operands &o, const float *sums,
                                                    int rel_rows, int x0)
{
    int ends[2] = {slot_of<SIGN>(o, x0, o.len - 1), slot_of<SIGN>(o, x0 + F::ROWS - 1, 0)};
    int low = min(ends[0], ends[1]), end = max(ends[0], ends[1]) + 1;
    for (int base = low; base < end; base += COLS) {
        __syncthreads();
        load_rows<F>(s.r, o.rx, o.ld_rel, base, end, COLS);
        for (int i = threadIdx.x; i < F::ROWS * COLS; i += F::THREADS) {
            int row = i / COLS, u = i % COLS;
            bool there = x0 + row < o.len && base + u < end;
            s.s[row * PITCH_S + u] = there ? sums[(int64_t)(x0 + row) * rel_rows + base + u] : 0.0f;
        }
        __syncthreads();
        product<F>(dx, s.s, s.r);
    }
}

/* SIGN 1: queries as rows, X = Q, Z = dO, Y = K, W = V; -1: keys as rows, X = K, Z = V, Y = Q,
 * W = dO. */
template <int D, int SIGN>
__global__ void __launch_bounds__(Backward<D>::THREADS, 1) attn_bwd_f32_kernel(Attn<float> a)
{
    using F = Backward<D>;
    DYN_SMEM(BackwardShared<F>, s);
    sec_cuda_tile tile = a.tiles[blockIdx.x];
    int head = blockIdx.y, len = tile.len, x0 = tile.row + F::ROWS * blockIdx.z;
    if (x0 >= len)
        return;
    int64_t col = (int64_t)head * D, at = tile.start * a.ld + col, out = tile.start * a.ld_d + col;
    const float *d_o = a.d_o + tile.start * a.ld_do + col;
    Operands o = {SIGN > 0 ? a.q + at : a.k + at,
                  SIGN > 0 ? a.k + at : a.q + at,
                  (SIGN > 0 ? a.kr : a.qr) + col,
                  (SIGN > 0 ? a.qr : a.kr) + col,
                  a.rel,
                  a.ld,
                  a.ld_rel,
                  len};
    sec_cuda_drop drop = head_drop(a.drop, head);
    load_rows<F>(s->pair.x, o.x, a.ld, x0, len, F::ROWS);
    load_rows<F>(s->z, SIGN > 0 ? d_o : a.v + at, SIGN > 0 ? a.ld_do : a.ld, x0, len, F::ROWS);
    if (SIGN > 0)
        load_queries(*s, a, tile.start, head, x0, len, F::ROWS);
    float dx[4][D / TX] = {}, dz[SIGN > 0 ? 1 : 4][D / TX] = {};
    float *sums = (SIGN > 0 ? a.dc : a.dt) + ((int64_t)head * a.n_tokens + tile.start) * a.rel_rows;
    int row = x0 + threadIdx.x; /* of the threads that sum by relative row */
    bool runs = threadIdx.x < F::ROWS && row < len;
    Run run;
    for (int y0 = 0; y0 < len; y0 += COLS) {
        __syncthreads();
        load_rows<F>(s->pair.y, o.y, a.ld, y0, len, COLS);
        if (SIGN < 0)
            load_queries(*s, a, tile.start, head, y0, len, COLS);
        __syncthreads();
        float acc[4][2] = {}, dp[4][2] = {};
        scores<F, SIGN>(acc, s->pair, o, x0, y0);
        load_rows<F>(s->pair.r, SIGN > 0 ? a.v + at : d_o, SIGN > 0 ? a.ld : a.ld_do, y0, len,
                     COLS);
        __syncthreads();
        dot_tile<F, 4, 2>(dp, s->z, s->pair.r);
        gradients<F, SIGN>(*s, acc, dp, drop, a.scale, x0, y0, len);
        __syncthreads();
        product<F>(dx, s->pair.s, s->pair.y);
        if (SIGN < 0)
            product<F>(dz, s->pair.strip_x, s->pair.r);
        if (runs)
            run.step<SIGN>(sums + (int64_t)row * a.rel_rows, s->pair.s + threadIdx.x * PITCH_S, o,
                           row, y0);
    }
    if (runs)
        run.finish(sums + (int64_t)row * a.rel_rows);
    add_relative<F, SIGN>(dx, s->pair, o, sums, a.rel_rows, x0);
    const float one[4] = {1, 1, 1, 1};
    store_rows<F>((SIGN > 0 ? a.dq : a.dk) + out, a.ld_d, x0, len, dx, one);
    if (SIGN < 0)
        store_rows<F>(a.dv + out, a.ld_d, x0, len, dz, one);
}

template <class F, class S, class K>
static cudaError_t launch(K *kernel, const Attn<float> &a, int tile_blocks, cudaStream_t stream)
{
    CUDA_RETURN(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sizeof(S)));
    dim3 grid((unsigned)tile_blocks, (unsigned)a.heads, SEC_CUDA_TILE / F::ROWS);
    return LAUNCH(kernel, grid, F::THREADS, sizeof(S), stream, a);
}

template <int D> static cudaError_t forward(const Attn<float> &a, int blocks, cudaStream_t stream)
{
    using F = Forward<D>;
    return launch<F, typename F::Pair>(attn_fwd_f32_kernel<D>, a, blocks, stream);
}
template <int D> static cudaError_t backward(const Attn<float> &a, int blocks, cudaStream_t stream)
{
    using F = Backward<D>;
    CUDA_RETURN((launch<F, BackwardShared<F>>(attn_bwd_f32_kernel<D, 1>, a, blocks, stream)));
    return launch<F, BackwardShared<F>>(attn_bwd_f32_kernel<D, -1>, a, blocks, stream);
}

cudaError_t attn_fwd_f32(const Attn<float> &a, int tile_blocks, cudaStream_t stream)
{
    return a.head_dim == 32    ? forward<32>(a, tile_blocks, stream)
           : a.head_dim == 64  ? forward<64>(a, tile_blocks, stream)
           : a.head_dim == 128 ? forward<128>(a, tile_blocks, stream)
                               : cudaErrorInvalidValue;
}
cudaError_t attn_bwd_f32(const Attn<float> &a, int tile_blocks, cudaStream_t stream)
{
    return a.head_dim == 32    ? backward<32>(a, tile_blocks, stream)
           : a.head_dim == 64  ? backward<64>(a, tile_blocks, stream)
           : a.head_dim == 128 ? backward<128>(a, tile_blocks, stream)
                               : cudaErrorInvalidValue;
}
