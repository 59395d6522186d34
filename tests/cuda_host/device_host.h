/* The device side of cuda_runtime.h: qualifiers, indices, barriers, warp functions, integer atomics
 * and intrinsics, as far as kernels may use them (kernels/cuda/device.h). __shared__ and
 * atomicAdd(float) are missing on purpose. */
#ifndef SEC_TESTS_CUDA_HOST_DEVICE_HOST_H
#define SEC_TESTS_CUDA_HOST_DEVICE_HOST_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

namespace cuda_host
{
struct BlockView {
    uint3 index;
    dim3 size, grid;
};
struct ThreadView {
    uint3 index;
    const BlockView *block;
};
/* The emulated thread that runs on this system thread; NULL outside kernels. */
extern __thread ThreadView *self __attribute__((tls_model("initial-exec")));

/* An operation that all 32 lanes of a warp take part in: the last one to come runs it for all. */
struct Collective {
    const char *name;
    void (*run)(void *const lane_args[32]);
};
void collective(const Collective *op, void *arg);
void barrier(int line);
void *dynamic_smem();
void *static_smem(const void *site, size_t bytes, size_t align);
[[noreturn]] void thread_fail(int error, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Fails the launch unless p is aligned to bytes and lies in device or shared memory or on the
 * thread's stack. */
void check_access(const void *p, size_t bytes);

struct ShuffleArg {
    uint64_t value, result;
    int source; /* the lane to read; out of 0..31: one's own value */
};
extern const Collective op_shuffle, op_ballot, op_syncwarp;

template <class T> static inline T shuffle(uint32_t mask, T x, int source, int width)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "shuffle type");
    if (mask != 0xFFFFFFFFu || width != 32)
        thread_fail(719, "a shuffle with mask 0x%x and width %d: only full warps are allowed", mask,
                    width);
    ShuffleArg a = {0, 0, source};
    memcpy(&a.value, &x, sizeof x);
    collective(&op_shuffle, &a);
    memcpy(&x, &a.result, sizeof x);
    return x;
}
uint32_t ballot(uint32_t mask, bool x);
int lane();
} // namespace cuda_host

#define threadIdx (cuda_host::self->index)
#define blockIdx  (cuda_host::self->block->index)
#define blockDim  (cuda_host::self->block->size)
#define gridDim   (cuda_host::self->block->grid)
static constexpr int warpSize = 32;

/* The call site tells barriers apart: threads that wait at different ones have diverged. */
static inline void __syncthreads(int line = __builtin_LINE())
{
    cuda_host::barrier(line);
}
static inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu)
{
    if (mask != 0xFFFFFFFFu)
        cuda_host::thread_fail(719, "__syncwarp with mask 0x%x: only full warps are allowed", mask);
    cuda_host::collective(&cuda_host::op_syncwarp, nullptr);
}
template <class T> static inline T __shfl_sync(uint32_t mask, T x, int from, int width = 32)
{
    return cuda_host::shuffle(mask, x, from & 31, width);
}
template <class T> static inline T __shfl_xor_sync(uint32_t mask, T x, int with, int width = 32)
{
    return cuda_host::shuffle(mask, x, cuda_host::lane() ^ with, width);
}
template <class T>
static inline T __shfl_up_sync(uint32_t mask, T x, unsigned delta, int width = 32)
{
    return cuda_host::shuffle(mask, x, cuda_host::lane() - (int)delta, width);
}
template <class T>
static inline T __shfl_down_sync(uint32_t mask, T x, unsigned delta, int width = 32)
{
    return cuda_host::shuffle(mask, x, cuda_host::lane() + (int)delta, width);
}
static inline uint32_t __ballot_sync(uint32_t mask, int x)
{
    return cuda_host::ballot(mask, x != 0);
}
static inline int __any_sync(uint32_t mask, int x)
{
    return cuda_host::ballot(mask, x != 0) != 0;
}
static inline int __all_sync(uint32_t mask, int x)
{
    return cuda_host::ballot(mask, x != 0) == 0xFFFFFFFFu;
}
static inline void __threadfence()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

template <class T> static inline T atomicAdd(T *p, T x)
{
    static_assert(std::is_integral<T>::value, "sums of floats depend on the order of threads");
    cuda_host::check_access(p, sizeof *p);
    return __atomic_fetch_add(p, x, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicOr(T *p, T x)
{
    static_assert(std::is_integral<T>::value, "integers only");
    cuda_host::check_access(p, sizeof *p);
    return __atomic_fetch_or(p, x, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicMax(T *p, T x)
{
    static_assert(std::is_integral<T>::value, "integers only");
    cuda_host::check_access(p, sizeof *p);
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (old < x &&
           !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
template <class T> static inline T atomicMin(T *p, T x)
{
    static_assert(std::is_integral<T>::value, "integers only");
    cuda_host::check_access(p, sizeof *p);
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (old > x &&
           !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

static inline float __uint_as_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline uint32_t __float_as_uint(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline int __float_as_int(float f)
{
    return (int)__float_as_uint(f);
}
static inline float __int_as_float(int i)
{
    return __uint_as_float((uint32_t)i);
}
template <class T> static inline T __ldg(const T *p)
{
    return *p;
}
static inline int __popc(uint32_t x)
{
    return __builtin_popcount(x);
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline uint32_t __umulhi(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}
static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
static inline double rsqrt(double x)
{
    return 1.0 / sqrt(x);
}
/* glibc has declarations of its own for these names. */
#define __expf expf
#define __logf logf
static inline float __fdividef(float a, float b)
{
    return a / b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
/* CUDA's min and max take any mixture of arithmetic types. */
template <class A, class B> static inline typename std::common_type<A, B>::type min(A a, B b)
{
    typedef typename std::common_type<A, B>::type T;
    return (T)b < (T)a ? (T)b : (T)a;
}
template <class A, class B> static inline typename std::common_type<A, B>::type max(A a, B b)
{
    typedef typename std::common_type<A, B>::type T;
    return (T)a < (T)b ? (T)b : (T)a;
}

#endif
