/* Cross-entropy with its gradient in place. A block owns a row and reads it three times: maximum
 * and rank, sum, gradient; after the first time it comes from the cache. */
#include "kernels/cuda/cuda.h"

constexpr int THREADS = 256;

template <class T>
static __device__ void no_label(T *row, int64_t cols, bool want_grad, bool aligned, float *loss,
                                int32_t *rank)
{
    const float zero[4] = {};
    for (int64_t g = threadIdx.x; 4 * g < cols && want_grad; g += THREADS)
        store4(row + 4 * g, cols - 4 * g < 4 ? (int)(cols - 4 * g) : 4, aligned, zero);
    if (threadIdx.x == 0) {
        loss[blockIdx.x] = 0;
        if (rank)
            rank[blockIdx.x] = -1;
    }
}

template <class T>
__global__ void xent_kernel(T *logits, int64_t cols, int64_t ld, const uint16_t *labels,
                            float scale, bool want_grad, bool aligned, float *loss, int32_t *rank)
{
    SMEM(float, shared, THREADS / WARP);
    SMEM(int, shared_rank, THREADS / WARP);
    T *row = logits + (int64_t)blockIdx.x * ld;
    int64_t label = labels[blockIdx.x], groups = (cols + 3) / 4;
    if (label == SEC_NO_LABEL) { /* the whole block */
        no_label(row, cols, want_grad, aligned, loss, rank);
        return;
    }
    float own = to_float(row[label]), most = -INFINITY, sum = 0;
    int better = 0;
    for (int64_t g = threadIdx.x; g < groups; g += THREADS) {
        int n = cols - 4 * g < 4 ? (int)(cols - 4 * g) : 4;
        float x[4];
        load4(row + 4 * g, n, aligned, x);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < n) {
                most = fmaxf(most, x[i]);
                better += x[i] > own || (x[i] == own && 4 * g + i < label);
            }
    }
    most = sec_cuda_block_reduce(most, shared, sec_cuda_larger());
    better = sec_cuda_block_reduce(better, shared_rank, sec_cuda_plus());
    for (int64_t g = threadIdx.x; g < groups; g += THREADS) {
        int n = cols - 4 * g < 4 ? (int)(cols - 4 * g) : 4;
        float x[4];
        load4(row + 4 * g, n, aligned, x);
#pragma unroll
        for (int i = 0; i < 4; i++)
            sum += i < n ? expf(x[i] - most) : 0.0f;
    }
    sum = sec_cuda_block_reduce(sum, shared, sec_cuda_plus());
    if (threadIdx.x == 0) {
        loss[blockIdx.x] = most - own + logf(sum);
        if (rank)
            rank[blockIdx.x] = better;
    }
    float inverse = 1.0f / sum;
    for (int64_t g = threadIdx.x; g < groups && want_grad; g += THREADS) {
        int n = cols - 4 * g < 4 ? (int)(cols - 4 * g) : 4;
        float x[4];
        load4(row + 4 * g, n, aligned, x);
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[i] = (expf(x[i] - most) * inverse - (4 * g + i == label ? 1.0f : 0.0f)) * scale;
        store4(row + 4 * g, n, aligned, x);
    }
}

int sec_cuda_xent(struct sec_backend *b, const struct sec_xent *x)
{
    if (x->rows == 0)
        return 0;
    return sec_cuda_by_type(x->type, "xent", [&](auto t) {
        using T = decltype(t);
        bool aligned = sec_cuda_aligned4<T>(x->cols, x->logits) && x->ld % 4 == 0;
        return LAUNCH((xent_kernel<T>), (unsigned)x->rows, THREADS, 0, sec_cuda_of(b)->stream,
                      (T *)x->logits, x->cols, x->ld, x->labels, (float)x->scale, x->want_grad,
                      aligned, x->loss, x->rank);
    });
}
