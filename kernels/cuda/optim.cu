/* AdamW over a flat range, and the sum of squares in fp64 in an order that depends on n only. */
#include "kernels/cuda/cuda.h"

constexpr int THREADS = 256;

struct AdamW {
    int64_t n;
    float *param, *m, *v;
    const float *grad;
    bf16 *copy;
    float decay, one_minus_beta1, beta2, one_minus_beta2, step_size, inverse_root2, eps, grad_scale;
    bool aligned;
};

static __global__ void adamw_kernel(AdamW a)
{
    int64_t i = 4 * ((int64_t)blockIdx.x * THREADS + threadIdx.x);
    if (i >= a.n)
        return;
    int count = a.n - i < 4 ? (int)(a.n - i) : 4;
    bool vector = a.aligned && count == 4;
    float p[4], m[4], v[4], g[4];
    load4(a.param + i, count, vector, p);
    load4(a.m + i, count, vector, m);
    load4(a.v + i, count, vector, v);
    load4(a.grad + i, count, vector, g);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float x = g[j] * a.grad_scale;
        m[j] += a.one_minus_beta1 * (x - m[j]);
        v[j] = a.beta2 * v[j] + a.one_minus_beta2 * x * x;
        p[j] = p[j] * a.decay - a.step_size * m[j] / (sqrtf(v[j]) * a.inverse_root2 + a.eps);
    }
    store4(a.param + i, count, vector, p);
    store4(a.m + i, count, vector, m);
    store4(a.v + i, count, vector, v);
    if (a.copy)
        store4(a.copy + i, count, vector, p);
}

int sec_cuda_adamw(struct sec_backend *b, const struct sec_adamw *a)
{
    if (a->master != SEC_F32)
        return sec_fail(SEC_ECONFIG, "cuda: adamw: the master type is F32");
    if (a->n == 0)
        return 0;
    double bias1 = 1 - pow(a->beta1, (double)a->step), bias2 = 1 - pow(a->beta2, (double)a->step);
    AdamW k = {a->n,
               (float *)a->param,
               (float *)a->m,
               (float *)a->v,
               (const float *)a->grad,
               (bf16 *)a->copy,
               (float)(1 - a->lr * a->weight_decay),
               (float)(1 - a->beta1),
               (float)a->beta2,
               (float)(1 - a->beta2),
               (float)(a->lr / bias1),
               (float)(1 / sqrt(bias2)),
               (float)a->eps,
               (float)a->grad_scale,
               sec_cuda_aligned4<float>(4, a->param, a->m, a->v, a->grad) &&
                   sec_cuda_aligned4<bf16>(4, a->copy)};
    return sec_cuda_status(LAUNCH(adamw_kernel, sec_cuda_blocks(a->n, 4 * THREADS), THREADS, 0,
                                  sec_cuda_of(b)->stream, k),
                           "adamw");
}

constexpr int64_t SUM_CHUNK = 16384;

/* partial[block] = sum of squares of one chunk. */
static __global__ void sumsq_kernel(const float *x, int64_t n, double *partial)
{
    SMEM(double, shared, THREADS / WARP);
    int64_t first = (int64_t)blockIdx.x * SUM_CHUNK, end = min(first + SUM_CHUNK, n);
    double sum = 0;
    for (int64_t i = first + threadIdx.x; i < end; i += THREADS)
        sum += (double)x[i] * (double)x[i];
    sum = sec_cuda_block_reduce(sum, shared, sec_cuda_plus());
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
}

static __global__ void sum_kernel(const double *partial, int64_t n, double *out)
{
    SMEM(double, shared, THREADS / WARP);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        sum += partial[i];
    sum = sec_cuda_block_reduce(sum, shared, sec_cuda_plus());
    if (threadIdx.x == 0)
        *out = sum;
}

int sec_cuda_sumsq(struct sec_backend *b, const void *x, int64_t n, enum sec_dtype master,
                   double *out)
{
    struct sec_cuda *s = sec_cuda_of(b);
    *out = 0;
    if (master != SEC_F32)
        return sec_fail(SEC_ECONFIG, "cuda: sumsq: the master type is F32");
    if (n == 0)
        return 0;
    unsigned chunks = sec_cuda_blocks(n, SUM_CHUNK);
    double *partial = (double *)sec_cuda_scratch(b, SCRATCH_PARTIAL, (chunks + 1) * sizeof(double));
    if (!partial)
        return SEC_EDEVICE;
    cudaError_t rc =
        LAUNCH(sumsq_kernel, chunks, THREADS, 0, s->stream, (const float *)x, n, partial + 1);
    if (rc == cudaSuccess)
        rc = LAUNCH(sum_kernel, 1, THREADS, 0, s->stream, partial + 1, chunks, partial);
    if (rc == cudaSuccess)
        rc = cudaMemcpyAsync(s->pinned, partial, sizeof(double), cudaMemcpyDeviceToHost, s->stream);
    if (rc == cudaSuccess)
        rc = cudaStreamSynchronize(s->stream);
    if (rc == cudaSuccess)
        *out = *s->pinned;
    return sec_cuda_status(rc, "sumsq");
}
