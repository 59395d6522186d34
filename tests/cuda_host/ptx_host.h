/* The emulated twins of kernels/cuda/ptx.h, which documents them. Warp-wide ones run when the last
 * lane comes. */
#ifndef SEC_TESTS_CUDA_HOST_PTX_HOST_H
#define SEC_TESTS_CUDA_HOST_PTX_HOST_H

#include "device_host.h"

namespace cuda_host
{
struct MmaArg {
    float *d;
    const uint32_t *a, *b;
};
struct LdmatrixArg {
    uint32_t *r;
    const void *row;
};
extern const Collective op_mma, op_ldmatrix, op_ldmatrix_trans;
void cp_async(void *smem, const void *global, bool valid);
void cp_async_commit();
void cp_async_wait(unsigned groups_left);
} // namespace cuda_host

static inline void mma_16816_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    cuda_host::MmaArg arg = {d, a, b};
    cuda_host::collective(&cuda_host::op_mma, &arg);
}
static inline void ldmatrix_x4(uint32_t r[4], const void *row)
{
    cuda_host::LdmatrixArg arg = {r, row};
    cuda_host::collective(&cuda_host::op_ldmatrix, &arg);
}
static inline void ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
    cuda_host::LdmatrixArg arg = {r, row};
    cuda_host::collective(&cuda_host::op_ldmatrix_trans, &arg);
}
static inline void cp_async16(void *smem, const void *global)
{
    cuda_host::cp_async(smem, global, true);
}
static inline void cp_async16_zfill(void *smem, const void *global, bool valid)
{
    cuda_host::cp_async(smem, global, valid);
}
static inline void cp_async_commit()
{
    cuda_host::cp_async_commit();
}
template <int N> static inline void cp_async_wait()
{
    cuda_host::cp_async_wait(N);
}

static inline uint16_t cvt_bf16(float f)
{
    uint32_t u = __float_as_uint(f);
    return f != f ? 0x7FFF : (uint16_t)((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
}
static inline uint32_t cvt_bf16x2(float lo, float hi)
{
    return cvt_bf16(lo) | (uint32_t)cvt_bf16(hi) << 16;
}
static inline float exp2_approx(float x)
{
    float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
}

#endif
