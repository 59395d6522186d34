/* Inside of the cpu backend: state, scratch memory, work partition, instruction-set dispatch.
 *
 * A kernel with one body for all instruction sets lives in NAME.inc, written against simd.h. It is
 * compiled by NAME_portable.c, NAME_avx2.c, NAME_avx512.c and, where it pays, NAME_avx512bf16.c:
 *     #define SEC_SIMD 2     (0 portable, 1 avx2, 2 avx512, 3 avx512bf16)
 *     #include "kernels/cpu/NAME.inc"
 * External names inside go through SEC_SIMD_NAME(f) = f_avx512 and so on; NAME.c picks by
 * state->isa.
 *
 * Order: results must not depend on the number of threads. Threads may share out rows or blocks
 * whose borders depend on shapes only; a sum over blocks is made in block order by one thread. */
#ifndef SEC_KERNELS_CPU_CPU_H
#define SEC_KERNELS_CPU_CPU_H

#include "base/cpu.h"
#include "kernels/ops.h"

/* One scratch block per user, so that an op may call another op (conv calls gemm). */
enum sec_scratch {
    SEC_SCRATCH_GEMM,
    SEC_SCRATCH_ATTN,
    SEC_SCRATCH_OP,   /* partial sums of the row-wise ops */
    SEC_SCRATCH_CONV, /* im2col */
    SEC_SCRATCH_COUNT
};

struct sec_cpu_state {
    enum sec_isa isa;
    int threads; /* give to num_threads(); results do not depend on it */
    void *scratch[SEC_SCRATCH_COUNT];
    size_t scratch_size[SEC_SCRATCH_COUNT];
    double peak[2]; /* measured FLOP/s at F32 and BF16, 0: not yet */
};

static inline struct sec_cpu_state *sec_cpu_state(struct sec_backend *b)
{
    return b->state;
}

/* Scratch of at least `bytes`, 64-byte aligned, grow-only: valid until the next call for this user,
 * contents undefined. NULL with a message when out of memory. For per-thread parts ask for
 * threads * SEC_ALIGN64(part). Not to be called inside a parallel region. */
void *sec_cpu_scratch(struct sec_backend *b, enum sec_scratch user, size_t bytes);
#define SEC_ALIGN64(bytes) (((size_t)(bytes) + 63) & ~(size_t)63)

/* Part i of n items cut into `parts` parts, borders at multiples of `unit`. */
struct sec_range {
    int64_t begin, end;
};
static inline struct sec_range sec_split(int64_t n, int parts, int i, int64_t unit)
{
    int64_t units = (n + unit - 1) / unit, begin = units * i / parts * unit,
            end = units * (i + 1) / parts * unit;
    return (struct sec_range){begin < n ? begin : n, end < n ? end : n};
}

static inline int64_t sec_div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}
static inline int sec_min_int(int64_t a, int64_t b)
{
    return (int)(a < b ? a : b);
}

/* Threads worth waking for `work` touched elements. */
static inline int sec_cpu_threads(struct sec_backend *b, int64_t work)
{
    return sec_min_int(sec_cpu_state(b)->threads, 1 + work / 16384);
}

/* As sec_backend_cpu(), at a chosen instruction set (not above the detected one) and number of
 * threads (0: sec_threads()). */
int sec_backend_cpu_with(enum sec_isa isa, int threads, struct sec_backend **out);

int sec_cpu_gemm(struct sec_backend *b, const struct sec_gemm *g);
int sec_cpu_attn(struct sec_backend *b, const struct sec_attn *a);
int sec_cpu_attn_bwd(struct sec_backend *b, const struct sec_attn *a);
int sec_cpu_conv(struct sec_backend *b, const struct sec_conv *c);
int sec_cpu_conv_bwd(struct sec_backend *b, const struct sec_conv *c);

#endif
