/* Element by element: casts, sums, GELU, dropout. A thread takes groups of four. */
#include "kernels/cuda/cuda.h"

constexpr int THREADS = 256;

/* Phi(x) + x phi(x). */
static __device__ __forceinline__ float gelu_grad(float x)
{
    float phi = 0.39894228040143268f * expf(-0.5f * x * x);
    return 0.5f * (1.0f + erff(x * 0.70710678118654752f)) + x * phi;
}

/* y = f(x, z) on n elements; z may be NULL. Any of them may be y. */
template <class X, class Y, class F>
__global__ void map_kernel(const X *x, const X *z, Y *y, int64_t n, bool aligned, F f)
{
    int64_t i = 4 * ((int64_t)blockIdx.x * THREADS + threadIdx.x);
    if (i >= n)
        return;
    int count = n - i < 4 ? (int)(n - i) : 4;
    bool vector = aligned && count == 4;
    float a[4], b[4] = {}, c[4];
    load4(x + i, count, vector, a);
    if (z)
        load4(z + i, count, vector, b);
#pragma unroll
    for (int j = 0; j < 4; j++)
        c[j] = f(a[j], b[j]);
    store4(y + i, count, vector, c);
}

template <class X, class Y, class F>
static cudaError_t map(struct sec_backend *b, const void *x, const void *z, void *y, int64_t n, F f)
{
    if (n == 0)
        return cudaSuccess;
    bool aligned = sec_cuda_aligned4<X>(4, x, z) && sec_cuda_aligned4<Y>(4, y);
    return LAUNCH((map_kernel<X, Y, F>), sec_cuda_blocks(n, 4 * THREADS), THREADS, 0,
                  sec_cuda_of(b)->stream, (const X *)x, (const X *)z, (Y *)y, n, aligned, f);
}

struct Identity {
    __device__ __forceinline__ float operator()(float x, float) const
    {
        return x;
    }
};
struct Sum {
    __device__ __forceinline__ float operator()(float x, float z) const
    {
        return z + x;
    }
};
struct Gelu {
    __device__ __forceinline__ float operator()(float x, float) const
    {
        return sec_cuda_gelu_of(x);
    }
};
struct GeluGrad {
    __device__ __forceinline__ float operator()(float dy, float x) const
    {
        return dy * gelu_grad(x);
    }
};

int sec_cuda_cast(struct sec_backend *b, void *dst, enum sec_dtype to, const void *src,
                  enum sec_dtype from, int64_t n)
{
    if (to == from && to != SEC_F64)
        return b->copy(b, dst, src, (size_t)n * sec_dtype_size(to));
    if (to == SEC_F64)
        return sec_fail(SEC_ECONFIG, "cuda: cast: F64 is a type of the ref backend only");
    return sec_cuda_by_type(from, "cast", [&](auto x) {
        using X = decltype(x);
        return to == SEC_F32 ? map<X, float>(b, src, NULL, dst, n, Identity())
                             : map<X, bf16>(b, src, NULL, dst, n, Identity());
    });
}

int sec_cuda_add(struct sec_backend *b, void *y, const void *x, int64_t n, enum sec_dtype act)
{
    return sec_cuda_by_type(act, "add", [&](auto t) {
        using T = decltype(t);
        return map<T, T>(b, x, y, y, n, Sum());
    });
}

int sec_cuda_gelu(struct sec_backend *b, const void *x, void *y, int64_t n, enum sec_dtype act)
{
    return sec_cuda_by_type(act, "gelu", [&](auto t) {
        using T = decltype(t);
        return map<T, T>(b, x, NULL, y, n, Gelu());
    });
}

int sec_cuda_gelu_bwd(struct sec_backend *b, const void *dy, const void *x, void *dx, int64_t n,
                      enum sec_dtype act)
{
    return sec_cuda_by_type(act, "gelu_bwd", [&](auto t) {
        using T = decltype(t);
        return map<T, T>(b, dy, x, dx, n, GeluGrad());
    });
}

/* A thread a group of four columns of a row, which is one block of random words. */
template <class T>
__global__ void dropout_kernel(const T *x, T *y, int64_t rows, int64_t cols, bool aligned,
                               sec_cuda_drop drop)
{
    int64_t groups = (cols + 3) / 4, at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    int64_t row = at / groups, group = at % groups;
    if (row >= rows)
        return;
    int count = cols - 4 * group < 4 ? (int)(cols - 4 * group) : 4;
    int64_t i = row * cols + 4 * group;
    float v[4], keep[4];
    load4(x + i, count, aligned, v);
    sec_cuda_drop4(drop, drop.row_key[row], (uint32_t)group, keep);
#pragma unroll
    for (int j = 0; j < 4; j++)
        v[j] *= keep[j];
    store4(y + i, count, aligned, v);
}

int sec_cuda_dropout(struct sec_backend *b, const void *x, void *y, int64_t rows, int64_t cols,
                     enum sec_dtype act, const struct sec_dropout *d)
{
    if (!(d->p > 0))
        return x == y ? 0 : b->copy(b, y, x, (size_t)(rows * cols) * sec_dtype_size(act));
    if (rows == 0 || cols == 0)
        return 0;
    return sec_cuda_by_type(act, "dropout", [&](auto t) {
        using T = decltype(t);
        unsigned blocks = sec_cuda_blocks(rows * ((cols + 3) / 4), THREADS);
        return LAUNCH((dropout_kernel<T>), blocks, THREADS, 0, sec_cuda_of(b)->stream, (const T *)x,
                      (T *)y, rows, cols, sec_cuda_aligned4<T>(cols, x, y), sec_cuda_drop_of(d));
    });
}
