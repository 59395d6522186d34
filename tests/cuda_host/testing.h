/* What the programs of this folder share: device buffers filled from and read to host vectors. */
#ifndef SEC_TESTS_CUDA_HOST_TESTING_H
#define SEC_TESTS_CUDA_HOST_TESTING_H

#include "emulation.h"
#include "kernels/cuda/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#define assert_cuda(expr)                                                                          \
    do {                                                                                           \
        cudaError_t status_ = (expr);                                                              \
        if (status_ != cudaSuccess)                                                                \
            fail_msg("%s: %s: %s", #expr, cudaGetErrorName(status_), cudaGetErrorString(status_)); \
    } while (0)

template <class T> struct Device {
    T *p;
    size_t n;
    explicit Device(size_t count) : p(nullptr), n(count)
    {
        assert_cuda(cudaMalloc(&p, n * sizeof(T)));
    }
    explicit Device(const std::vector<T> &v) : Device(v.size())
    {
        assert_cuda(cudaMemcpy(p, v.data(), n * sizeof(T), cudaMemcpyHostToDevice));
    }
    Device(const Device &) = delete;
    ~Device()
    {
        cudaFree(p);
    }
    std::vector<T> get() const
    {
        std::vector<T> v(n);
        assert_cuda(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
        return v;
    }
};

/* Values in [-1, 1) that depend on seed and index only. */
static inline float value(uint32_t seed, size_t i)
{
    uint32_t ctr[4] = {(uint32_t)i, seed, 0, 0}, key[2] = {1, 2}, w[4];
    sec_philox4x32(ctr, key, w);
    return (float)(int32_t)w[0] * 0x1p-31f;
}
template <class T> static inline std::vector<T> values(uint32_t seed, size_t n)
{
    std::vector<T> v(n);
    for (size_t i = 0; i < n; i++)
        v[i] = from_float<T>(value(seed, i));
    return v;
}

#endif
