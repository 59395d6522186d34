/* Disentangled attention straight from its definition: either type, any head size and length. A
 * score is computed again wherever it is needed, so memory stays O(T). What the flash kernels are
 * checked against, and what runs for head sizes that they do not take.
 *
 * Threads are keys (or queries, or rows) while scores are computed and columns while rows are
 * summed; the two sides meet in shared memory. Every sum goes in one order, that of the keys or
 * queries of its sequence. */
#include "kernels/cuda/attn.h"

constexpr int THREADS = 64;
constexpr int ROW_BLOCKS = 8; /* that share the rows of a tile */
static_assert(THREADS == SEC_CUDA_TILE, "a thread a row of a tile");

/* A sequence and a head as one thing: rows of Q, K, V and so on by position in the sequence. */
template <class T> struct Head {
    const Attn<T> &a;
    int64_t start, len, col;
    int h;

    __device__ Head(const Attn<T> &all, const sec_cuda_tile &tile, int head)
        : a(all), start(tile.start), len(tile.len), col((int64_t)head * all.head_dim), h(head)
    {
    }
    __device__ int64_t at(int64_t i, int64_t ld) const
    {
        return (start + i) * ld + col;
    }
    __device__ const T *q(int64_t i) const
    {
        return a.q + at(i, a.ld);
    }
    __device__ const T *k(int64_t j) const
    {
        return a.k + at(j, a.ld);
    }
    __device__ const T *v(int64_t j) const
    {
        return a.v + at(j, a.ld);
    }
    __device__ const T *d_o(int64_t i) const
    {
        return a.d_o + at(i, a.ld_do);
    }
    __device__ const T *kr(int64_t i, int64_t j) const
    {
        return a.kr + a.rel[i - j] * a.ld_rel + col;
    }
    __device__ const T *qr(int64_t i, int64_t j) const
    {
        return a.qr + a.rel[i - j] * a.ld_rel + col;
    }
    __device__ float score(int64_t i, int64_t j) const
    {
        const T *qi = q(i), *kj = k(j), *c2p = kr(i, j), *p2c = qr(i, j);
        float sum = 0;
        for (int c = 0; c < a.head_dim; c++) {
            float x = to_float(qi[c]), y = to_float(kj[c]);
            sum += x * (y + to_float(c2p[c])) + y * to_float(p2c[c]);
        }
        return a.scale * sum;
    }
    __device__ float keep(int64_t i, int64_t j) const
    {
        sec_cuda_drop d = a.drop;
        d.site += (uint32_t)h << 16;
        return attn_keep(d, d.row_key ? d.row_key[start + i] : 0, (int)j);
    }
    /* dropout(P)[i,j] and the gradient of the sum of the three terms. */
    __device__ void gradient(int64_t i, int64_t j, float *p_kept, float *d_sum) const
    {
        int64_t stat = (int64_t)h * a.n_tokens + start + i;
        float p = expf(score(i, j) - a.lse[stat]), kept = keep(i, j), dp = 0;
        const T *upstream = d_o(i), *value = v(j);
        for (int c = 0; c < a.head_dim; c++)
            dp += to_float(upstream[c]) * to_float(value[c]);
        *p_kept = p * kept;
        *d_sum = a.scale * p * (kept * dp - a.delta[stat]);
    }
};

/* Query row i: scores twice, for the sum of their exponentials and for the output. */
template <class T>
static __device__ void forward_row(const Head<T> &head, int64_t i, float *reduce, float *p)
{
    const Attn<T> &a = head.a;
    float most = -INFINITY, sum = 0;
    for (int64_t j = threadIdx.x; j < head.len; j += THREADS) {
        float s = head.score(i, j), larger = fmaxf(most, s);
        sum = sum * expf(most - larger) + expf(s - larger);
        most = larger;
    }
    float all = sec_cuda_block_reduce(most, reduce, sec_cuda_larger());
    sum = sec_cuda_block_reduce(most == -INFINITY ? 0.0f : sum * expf(most - all), reduce,
                                sec_cuda_plus());
    float lse = all + logf(sum);
    for (int64_t first = 0; first < head.len; first += THREADS) {
        int n = (int)min((int64_t)THREADS, head.len - first);
        int64_t j = first + threadIdx.x;
        if (j < head.len)
            p[threadIdx.x] = expf(head.score(i, j) - all) / sum * head.keep(i, j);
        __syncthreads();
        /* The output grows in fp32 in shared memory behind p. */
        for (int c = threadIdx.x; c < a.head_dim; c += THREADS) {
            float o = first ? p[THREADS + c] : 0.0f;
            for (int u = 0; u < n; u++)
                o += p[u] * to_float(head.v(first + u)[c]);
            p[THREADS + c] = o;
        }
        __syncthreads();
    }
    for (int c = threadIdx.x; c < a.head_dim; c += THREADS)
        a.o[head.at(i, a.ld_o) + c] = from_float<T>(p[THREADS + c]);
    if (a.lse && threadIdx.x == 0)
        a.lse[(int64_t)head.h * a.n_tokens + head.start + i] = lse;
}

template <class T> __global__ void attn_forward_kernel(Attn<T> a)
{
    DYN_SMEM(float, p);
    SMEM(float, reduce, THREADS / WARP);
    sec_cuda_tile tile = a.tiles[blockIdx.x];
    Head<T> head(a, tile, blockIdx.y);
    int end = min(tile.row + SEC_CUDA_TILE, tile.len);
    for (int i = tile.row + blockIdx.z; i < end; i += ROW_BLOCKS)
        forward_row(head, i, reduce, p);
}

/* Gradients of row x of Q (BY_QUERY, over all keys), or of K and V (over all queries). */
template <bool BY_QUERY, class T>
static __device__ void backward_row(const Head<T> &head, int64_t x, float *share)
{
    const Attn<T> &a = head.a;
    float *d_sum = share, *p_kept = share + THREADS, *first_sum = share + 2 * THREADS;
    float *value_sum = first_sum + a.head_dim;
    for (int64_t first = 0; first < head.len; first += THREADS) {
        int n = (int)min((int64_t)THREADS, head.len - first);
        int64_t y = first + threadIdx.x;
        if (y < head.len)
            head.gradient(BY_QUERY ? x : y, BY_QUERY ? y : x, &p_kept[threadIdx.x],
                          &d_sum[threadIdx.x]);
        __syncthreads();
        for (int c = threadIdx.x; c < a.head_dim; c += THREADS) {
            float d = first ? first_sum[c] : 0.0f, dv = first ? value_sum[c] : 0.0f;
            for (int u = 0; u < n; u++) {
                int64_t other = first + u;
                if (BY_QUERY) {
                    d += d_sum[u] * (to_float(head.k(other)[c]) + to_float(head.kr(x, other)[c]));
                } else {
                    d += d_sum[u] * (to_float(head.q(other)[c]) + to_float(head.qr(other, x)[c]));
                    dv += p_kept[u] * to_float(head.d_o(other)[c]);
                }
            }
            first_sum[c] = d;
            value_sum[c] = dv;
        }
        __syncthreads();
    }
    for (int c = threadIdx.x; c < a.head_dim; c += THREADS) {
        (BY_QUERY ? a.dq : a.dk)[head.at(x, a.ld_d) + c] = from_float<T>(first_sum[c]);
        if (!BY_QUERY)
            a.dv[head.at(x, a.ld_d) + c] = from_float<T>(value_sum[c]);
    }
}

template <bool BY_QUERY, class T> __global__ void backward_kernel(Attn<T> a)
{
    DYN_SMEM(float, share);
    sec_cuda_tile tile = a.tiles[blockIdx.x];
    Head<T> head(a, tile, blockIdx.y);
    int end = min(tile.row + SEC_CUDA_TILE, tile.len);
    for (int i = tile.row + blockIdx.z; i < end; i += ROW_BLOCKS)
        backward_row<BY_QUERY>(head, i, share);
}

/* The smallest delta in (-len, len) with rel[delta] >= row; len if there is none. */
static __device__ int64_t first_delta(const uint16_t *rel, int64_t len, int row)
{
    int64_t low = 1 - len, high = len;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (rel[middle] >= row)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Gradients of relative row blockIdx.x: over the tiles of queries, over its deltas. */
template <class T>
__global__ void relative_kernel(Attn<T> a, T *dqr, T *dkr, int64_t ld_drel, int tile_blocks)
{
    DYN_SMEM(float, share);
    float *d_sum = share, *dq = share + THREADS, *dk = dq + a.head_dim;
    int row = blockIdx.x;
    for (int c = threadIdx.x; c < a.head_dim; c += THREADS)
        dq[c] = dk[c] = 0;
    for (int t = 0; t < tile_blocks; t++) {
        sec_cuda_tile tile = a.tiles[t];
        if (tile.len == 0)
            break;
        Head<T> head(a, tile, blockIdx.y);
        int64_t delta = first_delta(a.rel, tile.len, row);
        int64_t end = first_delta(a.rel, tile.len, row + 1);
        int n = min(SEC_CUDA_TILE, tile.len - tile.row);
        for (; delta < end; delta++) {
            /* Rows whose key i - delta is in the sequence. */
            int64_t low = max((int64_t)0, delta - tile.row);
            int64_t high = min((int64_t)n, tile.len + delta - tile.row);
            float unused;
            if (threadIdx.x >= low && threadIdx.x < high)
                head.gradient(tile.row + threadIdx.x, tile.row + threadIdx.x - delta, &unused,
                              &d_sum[threadIdx.x]);
            __syncthreads();
            /* Sums of sums: one long one would lose digits. */
            for (int c = threadIdx.x; c < a.head_dim; c += THREADS) {
                float by_q = 0, by_k = 0;
                for (int64_t u = low; u < high; u++) {
                    by_q += d_sum[u] * to_float(head.q(tile.row + u)[c]);
                    by_k += d_sum[u] * to_float(head.k(tile.row + u - delta)[c]);
                }
                dk[c] += by_q;
                dq[c] += by_k;
            }
            __syncthreads();
        }
    }
    int64_t at = row * ld_drel + (int64_t)blockIdx.y * a.head_dim;
    for (int c = threadIdx.x; c < a.head_dim; c += THREADS) {
        dqr[at + c] = from_float<T>(dq[c]);
        dkr[at + c] = from_float<T>(dk[c]);
    }
}

/* A warp a token and head. */
template <class T> __global__ void delta_kernel(Attn<T> a)
{
    int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP;
    int lane = threadIdx.x % WARP;
    if (at >= (int64_t)a.n_tokens * a.heads)
        return;
    int64_t row = at / a.heads, col = at % a.heads * a.head_dim;
    float sum = 0;
    for (int c = lane; c < a.head_dim; c += WARP)
        sum += to_float(a.d_o[row * a.ld_do + col + c]) * to_float(a.o[row * a.ld_o + col + c]);
    sum = warp_sum(sum);
    if (lane == 0)
        a.delta[at % a.heads * a.n_tokens + row] = sum;
}

static dim3 row_grid(int tile_blocks, int heads)
{
    return dim3((unsigned)tile_blocks, (unsigned)heads, ROW_BLOCKS);
}

template <class T>
cudaError_t attn_fwd_naive(const Attn<T> &a, int tile_blocks, cudaStream_t stream)
{
    size_t smem = (size_t)(THREADS + a.head_dim) * sizeof(float);
    return LAUNCH((attn_forward_kernel<T>), row_grid(tile_blocks, a.heads), THREADS, smem, stream,
                  a);
}

template <class T>
cudaError_t attn_bwd_naive(const Attn<T> &a, T *dqr, T *dkr, int64_t ld_drel, int tile_blocks,
                           cudaStream_t stream)
{
    dim3 rows = row_grid(tile_blocks, a.heads);
    dim3 relative((unsigned)a.rel_rows, (unsigned)a.heads);
    size_t smem = (size_t)(2 * THREADS + 2 * a.head_dim) * sizeof(float);
    CUDA_RETURN(LAUNCH((backward_kernel<true, T>), rows, THREADS, smem, stream, a));
    CUDA_RETURN(LAUNCH((backward_kernel<false, T>), rows, THREADS, smem, stream, a));
    return LAUNCH((relative_kernel<T>), relative, THREADS, smem, stream, a, dqr, dkr, ld_drel,
                  tile_blocks);
}

template <class T> cudaError_t attn_delta(const Attn<T> &a, cudaStream_t stream)
{
    return LAUNCH((delta_kernel<T>), sec_cuda_blocks((int64_t)a.n_tokens * a.heads, THREADS / WARP),
                  THREADS, 0, stream, a);
}

template cudaError_t attn_fwd_naive(const Attn<float> &, int, cudaStream_t);
template cudaError_t attn_fwd_naive(const Attn<bf16> &, int, cudaStream_t);
template cudaError_t attn_bwd_naive(const Attn<float> &, float *, float *, int64_t, int,
                                    cudaStream_t);
template cudaError_t attn_bwd_naive(const Attn<bf16> &, bf16 *, bf16 *, int64_t, int, cudaStream_t);
template cudaError_t attn_delta(const Attn<float> &, cudaStream_t);
template cudaError_t attn_delta(const Attn<bf16> &, cudaStream_t);
