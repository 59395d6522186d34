/* What every kernel file includes. The same .cu source is compiled by nvcc for the GPU and by g++
 * against tests/cuda_host/, which executes it without one; what stands here is all that a kernel
 * may use beyond plain C++17 and the CUDA built-in indices.
 *
 * Rules for kernels
 * - Launch only with LAUNCH(kernel, grid, block, smem_bytes, stream, args...); a template with a
 *   comma goes in parentheses: LAUNCH((copy<float, 4>), ...). It is an expression of type
 *   cudaError_t, and every use checks it. More than 48 KiB of dynamic shared memory needs
 *   cudaFuncSetAttribute first.
 * - Shared memory only through DYN_SMEM(T, name) and SMEM(T, name, count). It starts as garbage.
 * - Every thread of a block reaches every __syncthreads(); none returns before the last one.
 * - Warp operations only through the functions below: all 32 lanes take part, always. Block sizes
 *   are multiples of 32.
 * - Inline PTX only in ptx.h, where each wrapper has an emulated twin. What cp_async brings is
 *   there after cp_async_wait for the thread that asked, after a barrier for the others.
 * - Vectors are read and written with load_vec and store_vec: aligned to their size.
 * - Results do not depend on the order of blocks or warps. Blocks do not wait for one another.
 *   Atomics are on integers only, where any order gives the same result.
 * - No cooperative launch, clusters, dynamic parallelism, textures, thrust, cub, managed memory,
 *   or __constant__ data; no malloc or printf in a kernel. */
#ifndef SEC_KERNELS_CUDA_DEVICE_H
#define SEC_KERNELS_CUDA_DEVICE_H

#include <cuda_runtime.h>

#include "base/philox.h"

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__

#define LAUNCH(kernel, grid, block, smem_bytes, stream, ...)                                       \
    (kernel<<<(grid), (block), (smem_bytes), (stream)>>>(__VA_ARGS__), cudaGetLastError())
/* One name for all: the alignment of an extern array may not differ between kernels of a file. */
#define DYN_SMEM(T, name)                                                                          \
    extern __shared__ __align__(128) unsigned char sec_dyn_smem[];                                 \
    T *const name = reinterpret_cast<T *>(sec_dyn_smem)
#define SMEM(T, name, count) __shared__ T name[count]

#else

#ifndef SEC_CUDA_HOST
#error "compile with nvcc, or with tests/cuda_host first among the include directories"
#endif
#define LAUNCH(kernel, grid, block, smem_bytes, stream, ...)                                       \
    cuda_host::launch(#kernel, kernel, grid, block, smem_bytes, stream, __VA_ARGS__)
#define DYN_SMEM(T, name) T *const name = static_cast<T *>(cuda_host::dynamic_smem())
/* The address of `site` stands for the declaration, one for each instance of a template. */
#define SMEM(T, name, count)                                                                       \
    static const char name##_site = 0;                                                             \
    T(&name)                                                                                       \
    [count] = *static_cast<T(*)[count]>(                                                           \
        cuda_host::static_smem(&name##_site, sizeof(T[count]), alignof(T)))

#endif

/* An error anywhere in a launch sequence ends a function that returns cudaError_t. */
#define CUDA_RETURN(expr)                                                                          \
    do {                                                                                           \
        cudaError_t err_ = (expr);                                                                 \
        if (err_ != cudaSuccess)                                                                   \
            return err_;                                                                           \
    } while (0)

/* bf16, converted exactly as sec_f32_to_bf16 (kernels/ops.h) does: to nearest even, NaN stays NaN
 * with its upper bits. */
struct bf16 {
    uint16_t bits;
};

static __device__ __forceinline__ float to_float(bf16 h)
{
    return __uint_as_float((uint32_t)h.bits << 16);
}
static __device__ __forceinline__ float to_float(float f)
{
    return f;
}

#include "kernels/cuda/ptx.h"

template <class T> __device__ __forceinline__ T from_float(float f);
template <> __device__ __forceinline__ float from_float<float>(float f)
{
    return f;
}
template <> __device__ __forceinline__ bf16 from_float<bf16>(float f)
{
    uint32_t u = __float_as_uint(f);
    uint16_t nan = (uint16_t)(u >> 16 | 0x40);
    return bf16{f != f ? nan : cvt_bf16(f)};
}

/* Two neighbouring bf16 of memory or of an mma fragment: lo is the lower address. */
static __device__ __forceinline__ float bf16_lo(uint32_t pair)
{
    return __uint_as_float(pair << 16);
}
static __device__ __forceinline__ float bf16_hi(uint32_t pair)
{
    return __uint_as_float(pair & 0xFFFF0000u);
}

/* N values of T that move as one access of 4, 8 or 16 bytes. */
template <class T, int N> struct alignas(sizeof(T) * N) Vec {
    static_assert(sizeof(T) * N == 4 || sizeof(T) * N == 8 || sizeof(T) * N == 16, "vector size");
    T v[N];
    __device__ __forceinline__ T &operator[](int i)
    {
        return v[i];
    }
    __device__ __forceinline__ const T &operator[](int i) const
    {
        return v[i];
    }
};
/* As many values of T as 16 bytes hold. */
template <class T> constexpr int VEC = 16 / (int)sizeof(T);

template <int N, class T> __device__ __forceinline__ Vec<T, N> load_vec(const T *p)
{
#ifndef __CUDACC__
    cuda_host::check_access(p, sizeof(Vec<T, N>));
#endif
    return *reinterpret_cast<const Vec<T, N> *>(p);
}
template <int N, class T> __device__ __forceinline__ void store_vec(T *p, const Vec<T, N> &x)
{
#ifndef __CUDACC__
    cuda_host::check_access(p, sizeof(Vec<T, N>));
#endif
    *reinterpret_cast<Vec<T, N> *>(p) = x;
}

/* Warp operations: all 32 lanes. */
#define FULL_WARP 0xFFFFFFFFu
enum { WARP = 32 };

template <class T> __device__ __forceinline__ T warp_xor(T x, int lane_mask)
{
    return __shfl_xor_sync(FULL_WARP, x, lane_mask);
}
template <class T> __device__ __forceinline__ T warp_from(T x, int lane)
{
    return __shfl_sync(FULL_WARP, x, lane);
}
template <class T> __device__ __forceinline__ T warp_up(T x, unsigned delta)
{
    return __shfl_up_sync(FULL_WARP, x, delta);
}
template <class T> __device__ __forceinline__ T warp_down(T x, unsigned delta)
{
    return __shfl_down_sync(FULL_WARP, x, delta);
}
static __device__ __forceinline__ bool warp_any(bool x)
{
    return __any_sync(FULL_WARP, x);
}
static __device__ __forceinline__ bool warp_all(bool x)
{
    return __all_sync(FULL_WARP, x);
}
static __device__ __forceinline__ uint32_t warp_ballot(bool x)
{
    return __ballot_sync(FULL_WARP, x);
}
/* The butterfly gives every lane the same bits. */
template <class T> __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
    for (int m = WARP / 2; m > 0; m /= 2)
        x += warp_xor(x, m);
    return x;
}
static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int m = WARP / 2; m > 0; m /= 2)
        x = fmaxf(x, warp_xor(x, m));
    return x;
}

#endif
