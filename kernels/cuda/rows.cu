/* Rows picked by an index: embedding look-up and its gradient, gather and scatter. */
#include "kernels/cuda/cuda.h"

constexpr int THREADS = 128;

/* y[r,:] = x[rows[r],:], a block a row; whole rows as vectors of 16 bytes when they are aligned. */
template <class T, class Index>
__global__ void gather_kernel(const T *x, const Index *rows, int64_t cols, bool aligned, T *y)
{
    const T *from = x + (int64_t)rows[blockIdx.x] * cols;
    T *to = y + (int64_t)blockIdx.x * cols;
    if (aligned) {
        for (int64_t c = threadIdx.x * VEC<T>; c < cols; c += THREADS * VEC<T>)
            store_vec(to + c, load_vec<VEC<T>>(from + c));
        return;
    }
    for (int64_t c = threadIdx.x; c < cols; c += THREADS)
        to[c] = from[c];
}

template <class Index>
static int gather(struct sec_backend *b, const void *x, const Index *rows, int64_t n, int64_t cols,
                  enum sec_dtype act, void *y, const char *what)
{
    if (n == 0)
        return 0;
    return sec_cuda_by_type(act, what, [&](auto t) {
        using T = decltype(t);
        bool aligned = cols % VEC<T> == 0 && ((uintptr_t)x | (uintptr_t)y) % 16 == 0;
        return LAUNCH((gather_kernel<T, Index>), (unsigned)n, THREADS, 0, sec_cuda_of(b)->stream,
                      (const T *)x, rows, cols, aligned, (T *)y);
    });
}

int sec_cuda_embed(struct sec_backend *b, const void *table, const uint16_t *ids, int64_t t,
                   int64_t h, enum sec_dtype act, void *x)
{
    return gather(b, table, ids, t, h, act, x, "embed");
}

int sec_cuda_gather_rows(struct sec_backend *b, const void *x, const int32_t *rows, int64_t n,
                         int64_t cols, enum sec_dtype act, void *y)
{
    return gather(b, x, rows, n, cols, act, y, "gather_rows");
}

/* dx[rows[r],:] += dy[r,:]; rows are distinct, so nobody else writes there. */
template <class T>
__global__ void scatter_kernel(const T *dy, const int32_t *rows, int64_t cols, T *dx)
{
    const T *from = dy + (int64_t)blockIdx.x * cols;
    T *to = dx + (int64_t)rows[blockIdx.x] * cols;
    for (int64_t c = threadIdx.x; c < cols; c += THREADS)
        to[c] = from_float<T>(to_float(to[c]) + to_float(from[c]));
}

int sec_cuda_scatter_add_rows(struct sec_backend *b, const void *dy, const int32_t *rows, int64_t n,
                              int64_t cols, enum sec_dtype act, void *dx)
{
    if (n == 0)
        return 0;
    return sec_cuda_by_type(act, "scatter_add_rows", [&](auto t) {
        using T = decltype(t);
        return LAUNCH((scatter_kernel<T>), (unsigned)n, THREADS, 0, sec_cuda_of(b)->stream,
                      (const T *)dy, rows, cols, (T *)dx);
    });
}

/* The ids of THREADS positions from `first` that equal `id`, as a list of positions in ascending
 * order; the same count in every thread. */
static __device__ int matches(const uint16_t *ids, int64_t first, int64_t end, uint16_t id,
                              int *list, int *counts)
{
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    bool match = first + threadIdx.x < end && ids[first + threadIdx.x] == id;
    uint32_t bits = warp_ballot(match);
    if (lane == 0)
        counts[warp] = __popc(bits);
    __syncthreads();
    int before = 0, all = 0;
    for (int w = 0; w < THREADS / WARP; w++) {
        before += w < warp ? counts[w] : 0;
        all += counts[w];
    }
    if (match)
        list[before + __popc(bits & ((1u << lane) - 1))] = (int)threadIdx.x;
    __syncthreads();
    return all;
}

/* Deterministic scatter without sorting. Block t leaves at once if its id has come before; of the
 * blocks that stay, one for each id, each finds the positions of its id and adds their rows in the
 * order of t. Blocks of frequent ids leave early, so that the search costs about
 * (distinct ids) x T x 2 bytes of L2 reads. */
template <class T>
__global__ void embed_bwd_kernel(const T *dx, const uint16_t *ids, int64_t n, int64_t h, int pad,
                                 float *dtable)
{
    SMEM(int, list, THREADS);
    SMEM(int, counts, THREADS / WARP);
    int64_t own = blockIdx.x, c = (int64_t)blockIdx.y * THREADS + threadIdx.x;
    uint16_t id = ids[own];
    if ((int)id == pad)
        return;
    for (int64_t first = 0; first < own; first += THREADS)
        if (matches(ids, first, own, id, list, counts) > 0)
            return;
    float sum = c < h ? dtable[(int64_t)id * h + c] : 0.0f;
    for (int64_t first = own / THREADS * THREADS; first < n; first += THREADS) {
        int count = matches(ids, first, n, id, list, counts);
        for (int i = 0; i < count && c < h; i++)
            sum += to_float(dx[(first + list[i]) * h + c]);
    }
    if (c < h)
        dtable[(int64_t)id * h + c] = sum;
}

int sec_cuda_embed_bwd(struct sec_backend *b, const void *dx, const uint16_t *ids, int64_t t,
                       int64_t h, enum sec_dtype act, int pad, void *dtable)
{
    if (t == 0 || h == 0)
        return 0;
    return sec_cuda_by_type(act, "embed_bwd", [&](auto type) {
        using T = decltype(type);
        dim3 grid((unsigned)t, sec_cuda_blocks(h, THREADS));
        return LAUNCH((embed_bwd_kernel<T>), grid, THREADS, 0, sec_cuda_of(b)->stream,
                      (const T *)dx, ids, t, h, pad, (float *)dtable);
    });
}
