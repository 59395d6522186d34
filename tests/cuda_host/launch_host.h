/* LAUNCH of kernels/cuda/device.h: binds the arguments by value, as a real launch does, and checks
 * that pointers among them are device or pinned memory. */
#ifndef SEC_TESTS_CUDA_HOST_LAUNCH_HOST_H
#define SEC_TESTS_CUDA_HOST_LAUNCH_HOST_H

#include <functional>
#include <tuple>

namespace cuda_host
{
cudaError_t launch_bound(const char *name, const void *kernel, dim3 grid, dim3 block, size_t smem,
                         cudaStream_t stream, std::function<void()> body);
/* cudaErrorInvalidValue and a message if p is neither NULL nor memory that a kernel can reach. */
cudaError_t check_pointer_arg(const char *kernel, int arg, const void *p);

template <class T> static inline cudaError_t check_arg(const char *kernel, int i, const T &x)
{
    if constexpr (std::is_pointer<T>::value)
        return check_pointer_arg(kernel, i, reinterpret_cast<const void *>(x));
    return cudaSuccess;
}

template <class... P, class... A>
static inline cudaError_t launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                                 size_t smem, cudaStream_t stream, A &&...args)
{
    static_assert(sizeof...(P) == sizeof...(A), "number of kernel arguments");
    std::tuple<typename std::remove_const<P>::type...> bound(
        static_cast<typename std::remove_const<P>::type>(args)...);
    cudaError_t rc = cudaSuccess;
    int i = 0;
    std::apply(
        [&](const auto &...x) { ((rc = rc == cudaSuccess ? check_arg(name, ++i, x) : rc), ...); },
        bound);
    if (rc != cudaSuccess)
        return rc;
    return launch_bound(name, reinterpret_cast<const void *>(kernel), grid, block, smem, stream,
                        [kernel, bound] { std::apply(kernel, bound); });
}
} // namespace cuda_host

#endif
