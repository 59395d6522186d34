/* The peak of the device's arithmetic: a large product of random values by cuBLASLt. Random,
 * because on zeros a GPU draws less power and clocks higher than it does in training. */
#include "kernels/cuda/cuda.h"

constexpr int THREADS = 256, FIRST = 128, LARGEST = 8192, ROUNDS = 5, CALLS = 4;

template <class T> __global__ void random_kernel(int64_t n, T *out)
{
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4;
    uint32_t ctr[4] = {(uint32_t)i, (uint32_t)(i >> 32), 0, 0}, key[2] = {1, 2}, word[4];
    if (i >= n)
        return;
    sec_philox4x32(ctr, key, word);
    Vec<T, 4> v;
#pragma unroll
    for (int k = 0; k < 4; k++)
        v[k] = from_float<T>((float)(int32_t)word[k] * 0x1p-31f);
    store_vec(out + i, v);
}

static int fill(struct sec_backend *b, enum sec_dtype t, int64_t n, void *out)
{
    return sec_cuda_by_type(t, "peak", [&](auto x) {
        using T = decltype(x);
        return LAUNCH((random_kernel<T>), sec_cuda_blocks(n, 4 * THREADS), THREADS, 0,
                      sec_cuda_of(b)->stream, n, (T *)out);
    });
}

/* Seconds of one product out of `calls`. */
static int timed(struct sec_backend *b, const struct sec_gemm *g, const cudaEvent_t event[2],
                 int calls, double *seconds)
{
    cudaStream_t stream = sec_cuda_of(b)->stream;
    float ms = 0;
    int rc = sec_cuda_status(cudaEventRecord(event[0], stream), "peak");
    for (int i = 0; !rc && i < calls; i++)
        rc = b->gemm(b, g);
    if (!rc)
        rc = sec_cuda_status(cudaEventRecord(event[1], stream), "peak");
    if (!rc)
        rc = sec_cuda_status(cudaEventSynchronize(event[1]), "peak");
    if (!rc)
        rc = sec_cuda_status(cudaEventElapsedTime(&ms, event[0], event[1]), "peak");
    *seconds = ms * 1e-3 / calls;
    return rc;
}

/* n x n x n, once to choose and warm up, once to see; then rounds if it is short. */
static int measure(struct sec_backend *b, enum sec_dtype t, int64_t n, const cudaEvent_t event[2],
                   double *seconds)
{
    void *m[3] = {NULL, NULL, NULL};
    int rc = 0;
    for (int i = 0; !rc && i < 3; i++)
        rc = b->alloc(b, (size_t)(n * n) * sec_dtype_size(t), &m[i]);
    for (int i = 0; !rc && i < 2; i++)
        rc = fill(b, t, n * n, m[i]);
    struct sec_gemm g = {};
    g.m = g.n = g.k = g.lda = g.ldb = g.ldc = n;
    g.trans_b = true;
    g.ab_type = g.c_type = t;
    g.a = m[0];
    g.b = m[1];
    g.c = m[2];
    if (!rc)
        rc = timed(b, &g, event, 1, seconds);
    if (!rc && *seconds < 0.05)
        rc = timed(b, &g, event, 1, seconds);
    for (int i = 0; !rc && *seconds < 0.01 && i < ROUNDS; i++) {
        double s;
        rc = timed(b, &g, event, CALLS, &s);
        if (!rc && s < *seconds)
            *seconds = s;
    }
    for (int i = 0; i < 3; i++)
        b->free(b, m[i]);
    return rc;
}

/* Sizes grow while a product takes less than a millisecond, and memory is there for them. */
double sec_cuda_peak_flops(struct sec_backend *b, enum sec_dtype t)
{
    static double known[2]; /* of device 0, the only one in use */
    double *peak = &known[t == SEC_BF16], seconds = 0;
    cudaEvent_t event[2] = {NULL, NULL};
    if (t == SEC_F64)
        return 0;
    if (*peak > 0)
        return *peak;
    if (cudaEventCreate(&event[0]) == cudaSuccess && cudaEventCreate(&event[1]) == cudaSuccess)
        for (int64_t n = FIRST; n <= LARGEST && seconds < 1e-3; n *= 2) {
            if (measure(b, t, n, event, &seconds) || seconds <= 0)
                break;
            double flops = 2.0 * (double)n * (double)n * (double)n / seconds;
            *peak = flops > *peak ? flops : *peak;
        }
    for (cudaEvent_t e : event)
        if (e)
            cudaEventDestroy(e);
    cudaGetLastError();
    sec_error_clear();
    return *peak;
}
