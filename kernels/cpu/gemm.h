/* Micro-kernels of matrix multiplication, shared by gemm.c and the attention: one set per
 * instruction set and element type.
 *
 * Everything is counted in dwords along k: one float, or a pair of bf16 (a set with ks = 2, for
 * vdpbf16ps). Sets with ks = 1 take bf16 matrices too and widen them while packing.
 *   A operand: dword (i, p) at a + i*ars + p*acs bytes: either rows as they lie in memory (acs = 4)
 *     or packed columns [p][m] (ars = 4).
 *   B operand: panels of nr columns, each [kp][nr] dwords; columns beyond n are zero.
 *   C: floats.
 * Every element of C is one chain of fused multiply-adds over p, the same for any m and position: a
 * row's bits do not depend on the rows beside it. No state; safe from any thread. */
#ifndef SEC_KERNELS_CPU_GEMM_H
#define SEC_KERNELS_CPU_GEMM_H

#include "base/cpu.h"
#include "kernels/ops.h"

#define SEC_MK_MAX_MR 14
#define SEC_MK_MAX_NR 32

/* What to do with finished sums on their way to C. */
struct sec_mk_out {
    void *c, *aux; /* at the first element; aux only with gelu */
    int64_t ldc;
    bool bf16, accumulate, gelu;
    const float *bias; /* at the first column, or NULL */
};

struct sec_mk {
    int ks, mr, nr;
    /* C[m, nr] = A B, or += with add; 1 <= m <= mr. */
    void (*tile)(int m, int64_t kp, const void *a, int64_t ars, int64_t acs, const void *b,
                 float *c, int64_t ldc, bool add);
    /* Rows of a matrix [m, k] as dwords [m][kp] (the last pair filled with 0). */
    void (*pack_rows)(void *dst, int64_t kp, const void *src, int64_t ld, bool bf16, int64_t m,
                      int64_t k);
    /* A matrix stored [k, m] as dwords [kp][m_pad]; columns m..m_pad are zero. As B operand of one
     * panel, m_pad = nr. */
    void (*pack_cols)(void *dst, int64_t m_pad, const void *src, int64_t ld, bool bf16, int64_t k,
                      int64_t m);
    /* One B panel of op(B) = transposed [n, k], n <= nr. */
    void (*pack_panel_t)(void *dst, const void *src, int64_t ld, bool bf16, int64_t k, int64_t n);
    /* Sums [m, n] to C with bias, GELU, old value and rounding. */
    void (*finish)(const float *sum, int64_t ld, int64_t m, int64_t n,
                   const struct sec_mk_out *out);
};

extern const struct sec_mk sec_mk_portable, sec_mk_avx2, sec_mk_avx512, sec_mk_avx512bf16;

/* The set for matrices of this type on this instruction set. */
const struct sec_mk *sec_mk_for(enum sec_isa isa, enum sec_dtype type);

static inline int64_t sec_mk_kp(const struct sec_mk *mk, int64_t k)
{
    return (k + mk->ks - 1) / mk->ks;
}

/* Bytes of op(B)[k, n] in panels, and the packing of panels [first, end). */
static inline size_t sec_mk_panel_bytes(const struct sec_mk *mk, int64_t k)
{
    return (size_t)sec_mk_kp(mk, k) * (size_t)mk->nr * 4;
}
void sec_mk_pack_b(const struct sec_mk *mk, void *dst, const void *src, int64_t ld, bool bf16,
                   bool trans, int64_t k, int64_t n, int64_t first, int64_t end);

/* C[m, panels*nr] (floats, (+)=) = A B for any m. b_stride: bytes from panel to panel. */
void sec_mk_block(const struct sec_mk *mk, int64_t m, int64_t panels, int64_t kp, const void *a,
                  int64_t ars, int64_t acs, const void *b, size_t b_stride, float *c, int64_t ldc,
                  bool add);

#endif
