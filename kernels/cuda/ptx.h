/* The only inline PTX of the project: mma, ldmatrix, cp.async and a few conversions, for sm_80 and
 * later. Each wrapper has a twin of the same name in tests/cuda_host/ptx_host.h, which is where the
 * emulation finds it.
 *
 * Fragments of mma.m16n8k16 (PTX ISA, "Matrix fragments for mma.m16n8k16"), g = lane / 4,
 * t = lane % 4; a register holds two neighbouring bf16, the lower index in the lower half:
 *   A [16 x 16]: a[0] (g, 2t..) a[1] (g+8, 2t..) a[2] (g, 2t+8..) a[3] (g+8, 2t+8..)
 *   B [16 x 8]:  b[0] (2t.., g) b[1] (2t+8.., g)        pairs run along k
 *   D [16 x 8]:  d[0] (g, 2t) d[1] (g, 2t+1) d[2] (g+8, 2t) d[3] (g+8, 2t+1)
 * ldmatrix: lane l gives the address of row l % 8 of 8x8 matrix l / 8; register i then holds of
 * matrix i the pair (row g, columns 2t..), or transposed (rows 2t.., column g). */
#ifndef SEC_KERNELS_CUDA_PTX_H
#define SEC_KERNELS_CUDA_PTX_H

#ifndef __CUDACC__
#include "ptx_host.h"
#else

static __device__ __forceinline__ uint32_t smem_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* d += a b. */
static __device__ __forceinline__ void mma_16816_bf16(float d[4], const uint32_t a[4],
                                                      const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(smem_address(row))
                 : "memory");
}
static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(smem_address(row))
                 : "memory");
}

/* 16 bytes from global to shared memory, past the registers; both addresses aligned to 16. Not
 * there before cp_async_wait. The _zfill form writes zeros and reads nothing when !valid; the
 * address must then still be one within an allocation. */
static __device__ __forceinline__ void cp_async16(void *smem, const void *global)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(smem_address(smem)),
                 "l"(global)
                 : "memory");
}
static __device__ __forceinline__ void cp_async16_zfill(void *smem, const void *global, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(smem_address(smem)),
                 "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
}
static __device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}
/* Waits until at most N of this thread's latest groups are under way. */
template <int N> __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

/* To nearest even; a NaN becomes 0x7FFF. from_float keeps its bits. */
static __device__ __forceinline__ uint16_t cvt_bf16(float f)
{
    uint16_t h;
    asm("cvt.rn.bf16.f32 %0, %1;\n" : "=h"(h) : "f"(f));
    return h;
}
static __device__ __forceinline__ uint32_t cvt_bf16x2(float lo, float hi)
{
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(hi), "f"(lo));
    return pair;
}

/* 2^x within 2 ulp; subnormal results are 0. */
static __device__ __forceinline__ float exp2_approx(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

#endif
#endif
