/* Matrix multiplication of the cpu backend: partition, packing and order around the micro-kernels.
 *
 * op(B) is packed into panels, shared by all threads, in blocks of columns that stay in the third
 * level cache; op(A) is read as it lies where the kernel can (rows of the right type), else packed
 * by blocks. With one block of rows (a few lines at inference) each thread packs the panels it uses
 * itself, chunk by chunk, into its first-level cache.
 *
 * Order of a sum: within chunks of KC dwords of k one chain of fused multiply-adds, the chunks
 * added in order. It depends on k alone; rows, columns and threads only decide who computes. */
#include "kernels/cpu/gemm.h"

#include "base/error.h"
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <omp.h>

#define KC         512               /* dwords of k in a chunk */
#define MC         112               /* rows of a block: 8 strips of 14 */
#define GROUP      8                 /* panels of a task */
#define BLOCK_B    ((size_t)2 << 20) /* bytes of packed B in flight, at least GROUP panels */
#define A_BYTES    ((size_t)(MC + 48) * KC * 4)
#define SUM_FLOATS ((size_t)MC * GROUP * SEC_MK_MAX_NR)
#define LOCAL      (A_BYTES + SUM_FLOATS * 4 + (size_t)KC * SEC_MK_MAX_NR * 4)

struct plan {
    const struct sec_gemm *g;
    const struct sec_mk *mk;
    int64_t kp, panels;
    int64_t rows, n_blocks; /* rows of an M block, how many */
    int64_t group;          /* panels of a task */
    int64_t per_block;      /* panels packed at a time; 0: each task packs its own */
    bool bf16, direct_a, plain_c;
    char *packed, *local;
};

const struct sec_mk *sec_mk_for(enum sec_isa isa, enum sec_dtype type)
{
    switch (isa) {
    case SEC_ISA_AVX512BF16:
        return type == SEC_BF16 ? &sec_mk_avx512bf16 : &sec_mk_avx512;
    case SEC_ISA_AVX512:
        return &sec_mk_avx512;
    case SEC_ISA_AVX2:
        return &sec_mk_avx2;
    default:
        return &sec_mk_portable;
    }
}

static inline const char *at(const void *p, int64_t row, int64_t ld, int64_t col, bool bf16)
{
    return (const char *)p + (row * ld + col) * (bf16 ? 2 : 4);
}

void sec_mk_pack_b(const struct sec_mk *mk, void *dst, const void *src, int64_t ld, bool bf16,
                   bool trans, int64_t k, int64_t n, int64_t first, int64_t end)
{
    size_t bytes = sec_mk_panel_bytes(mk, k);
    for (int64_t p = first; p < end; p++) {
        int64_t col = p * mk->nr, cols = n - col < mk->nr ? n - col : mk->nr;
        char *out = (char *)dst + (size_t)p * bytes;
        if (trans)
            mk->pack_panel_t(out, at(src, col, ld, 0, bf16), ld, bf16, k, cols);
        else
            mk->pack_cols(out, mk->nr, at(src, 0, ld, col, bf16), ld, bf16, k, cols);
    }
}

void sec_mk_block(const struct sec_mk *mk, int64_t m, int64_t panels, int64_t kp, const void *a,
                  int64_t ars, int64_t acs, const void *b, size_t b_stride, float *c, int64_t ldc,
                  bool add)
{
    int64_t strips = sec_div_up(m, mk->mr);
    for (int64_t p = 0; p < panels; p++)
        for (int64_t s = 0; s < strips; s++) {
            int64_t i = m * s / strips, rows = m * (s + 1) / strips - i;
            mk->tile((int)rows, kp, (const char *)a + i * ars, ars, acs,
                     (const char *)b + (size_t)p * b_stride, c + i * ldc + p * mk->nr, ldc, add);
        }
}

/* Rows of an M block as micro-kernel operands, strip by strip. */
struct a_block {
    const char *p;
    int64_t ars, acs, strip; /* strip: bytes from packed strip to strip; 0: rows as they lie */
};

/* Rows [i, i+m) and dwords [p, p+len) of op(A). */
static struct a_block a_operand(const struct plan *f, char *buf, int64_t i, int64_t m, int64_t p,
                                int64_t len)
{
    const struct sec_gemm *g = f->g;
    const struct sec_mk *mk = f->mk;
    int64_t k0 = p * mk->ks, k = g->k - k0 < len * mk->ks ? g->k - k0 : len * mk->ks;
    if (g->trans_a) {
        /* A strip's dwords of one k side by side, in a cache line of their own. */
        int64_t strips = sec_div_up(m, mk->mr), pad = (mk->mr + 7) / 8 * 8;
        for (int64_t q = 0; q < len; q += 32) /* all strips while the lines are at hand */
            for (int64_t s = 0; s < strips; s++) {
                int64_t row = i + m * s / strips, rows = g->m - row < pad ? g->m - row : pad;
                int64_t left = k - q * mk->ks < 32 * mk->ks ? k - q * mk->ks : 32 * mk->ks;
                mk->pack_cols(buf + (s * len + q) * pad * 4, pad,
                              at(g->a, k0 + q * mk->ks, g->lda, row, f->bf16), g->lda, f->bf16,
                              left, rows);
            }
        return (struct a_block){buf, 4, pad * 4, len * pad * 4};
    }
    if (f->direct_a)
        return (struct a_block){at(g->a, i, g->lda, k0, f->bf16), g->lda * (f->bf16 ? 2 : 4), 4, 0};
    mk->pack_rows(buf, len, at(g->a, i, g->lda, k0, f->bf16), g->lda, f->bf16, m, k);
    return (struct a_block){buf, len * 4, 4, 0};
}

/* One panel of C for all strips of the block. */
static void multiply(const struct sec_mk *mk, int64_t m, int64_t len, const struct a_block *a,
                     const void *b, float *c, int64_t ldc, bool add)
{
    int64_t strips = sec_div_up(m, mk->mr);
    for (int64_t s = 0; s < strips; s++) {
        int64_t i = m * s / strips, rows = m * (s + 1) / strips - i;
        mk->tile((int)rows, len, a->p + (a->strip ? s * a->strip : i * a->ars), a->ars, a->acs, b,
                 c + i * ldc, ldc, add);
    }
}

/* The panel's chunk of op(B): from the shared block, or packed here. */
static const void *b_operand(const struct plan *f, void *buf, int64_t panel, int64_t block_first,
                             int64_t p, int64_t len)
{
    const struct sec_gemm *g = f->g;
    int64_t nr = f->mk->nr, ks = f->mk->ks;
    if (f->per_block)
        return f->packed + (size_t)(panel - block_first) * sec_mk_panel_bytes(f->mk, g->k) +
               (size_t)(p * nr * 4);
    int64_t k = g->k - p * ks < len * ks ? g->k - p * ks : len * ks;
    int64_t col = panel * nr, cols = g->n - col < nr ? g->n - col : nr;
    if (g->trans_b)
        f->mk->pack_panel_t(buf, at(g->b, col, g->ldb, p * ks, f->bf16), g->ldb, f->bf16, k, cols);
    else
        f->mk->pack_cols(buf, nr, at(g->b, p * ks, g->ldb, col, f->bf16), g->ldb, f->bf16, k, cols);
    return buf;
}

static void finish(const struct plan *f, const float *sum, int64_t ld, int64_t i, int64_t m,
                   int64_t col, int64_t n)
{
    const struct sec_gemm *g = f->g;
    bool bf16 = g->c_type == SEC_BF16, bias = g->epilogue != SEC_EPI_NONE;
    struct sec_mk_out out = {
        .c = (void *)at(g->c, i, g->ldc, col, bf16),
        .aux = g->epilogue == SEC_EPI_BIAS_GELU ? (void *)at(g->aux, i, g->ldc, col, bf16) : NULL,
        .ldc = g->ldc,
        .bf16 = bf16,
        .accumulate = g->accumulate,
        .gelu = g->epilogue == SEC_EPI_BIAS_GELU,
        .bias = bias ? (const float *)g->bias + col : NULL,
    };
    f->mk->finish(sum, ld, m, n, &out);
}

/* One M block x one group of panels over all of k. */
static void run_task(const struct plan *f, char *local, int64_t block, int64_t first, int64_t end,
                     int64_t block_first)
{
    const struct sec_gemm *g = f->g;
    const struct sec_mk *mk = f->mk;
    float *sums = (float *)(local + A_BYTES);
    void *buf_b = sums + SUM_FLOATS;
    int64_t i = g->m * block / f->n_blocks, m = g->m * (block + 1) / f->n_blocks - i;
    int64_t ld = GROUP * mk->nr;

    for (int64_t p = 0; p == 0 || p < f->kp; p += KC) { /* once for k = 0: C is still set */
        int64_t len = f->kp - p < KC ? f->kp - p : KC;
        struct a_block a = a_operand(f, local, i, m, p, len);
        for (int64_t panel = first; panel < end; panel++) {
            const void *b = b_operand(f, buf_b, panel, block_first, p, len);
            int64_t col = panel * mk->nr, n = g->n - col < mk->nr ? g->n - col : mk->nr;
            float *sum = sums + (panel - first) * mk->nr;
            if (f->plain_c && n == mk->nr) {
                multiply(mk, m, len, &a, b, (float *)g->c + i * g->ldc + col, g->ldc,
                         g->accumulate || p > 0);
                continue;
            }
            multiply(mk, m, len, &a, b, sum, ld, p > 0);
            if (p + len == f->kp)
                finish(f, sum, ld, i, m, col, n);
        }
    }
}

/* Smaller tasks until every thread has several: changes nothing in the results. */
static void plan_tasks(struct plan *f, int threads)
{
    const struct sec_gemm *g = f->g;
    int64_t want = threads > 1 ? 4 * threads : 1;
    f->n_blocks = sec_div_up(g->m, MC);
    f->group = f->panels < GROUP ? f->panels : GROUP;
    if (f->n_blocks == 1) {
        f->per_block = 0;
        while (f->group > 1 && sec_div_up(f->panels, f->group) < want)
            f->group = (f->group + 1) / 2;
        return;
    }
    f->per_block = (int64_t)(BLOCK_B / (sec_mk_panel_bytes(f->mk, g->k) + 1)) / GROUP * GROUP;
    if (f->per_block < GROUP)
        f->per_block = GROUP;
    if (f->per_block > f->panels)
        f->per_block = f->panels;
    while (f->n_blocks * sec_div_up(f->per_block, f->group) < want) {
        int64_t rows = sec_div_up(g->m, f->n_blocks);
        if (rows >= 4 * f->mk->mr)
            f->n_blocks *= 2;
        else if (f->group > 2)
            f->group = (f->group + 1) / 2;
        else
            break;
    }
}

static void run_blocks(const struct plan *f, int threads)
{
    const struct sec_gemm *g = f->g;
#pragma omp parallel num_threads(threads)
    {
        char *local = f->local + (size_t)omp_get_thread_num() * LOCAL;
        int64_t step = f->per_block ? f->per_block : f->panels;
        for (int64_t first = 0; first < f->panels; first += step) {
            int64_t count = f->panels - first < step ? f->panels - first : step;
            if (f->per_block) {
                int64_t col = first * f->mk->nr;
                const char *b = g->trans_b ? at(g->b, col, g->ldb, 0, f->bf16)
                                           : at(g->b, 0, g->ldb, col, f->bf16);
#pragma omp for schedule(dynamic, 1)
                for (int64_t p = 0; p < count; p++)
                    sec_mk_pack_b(f->mk, f->packed, b, g->ldb, f->bf16, g->trans_b, g->k,
                                  g->n - col, p, p + 1);
            }
            int64_t groups = sec_div_up(count, f->group);
#pragma omp for schedule(dynamic, 1)
            for (int64_t t = 0; t < f->n_blocks * groups; t++) {
                int64_t p = t % groups * f->group,
                        end = p + f->group < count ? p + f->group : count;
                run_task(f, local, t / groups, first + p, first + end, first);
            }
        }
    }
}

int sec_cpu_gemm(struct sec_backend *b, const struct sec_gemm *g)
{
    const struct sec_cpu_state *s = sec_cpu_state(b);
    assert(g->ab_type != SEC_F64 && g->c_type != SEC_F64);
    assert(!g->accumulate || g->epilogue == SEC_EPI_NONE);
    if (g->m <= 0 || g->n <= 0)
        return 0;

    struct plan f = {.g = g, .mk = sec_mk_for(s->isa, g->ab_type), .bf16 = g->ab_type == SEC_BF16};
    f.kp = sec_mk_kp(f.mk, g->k);
    f.panels = sec_div_up(g->n, f.mk->nr);
    f.plain_c = g->c_type == SEC_F32 && g->epilogue == SEC_EPI_NONE;
    f.direct_a = f.mk->ks == 2 ? g->k % 2 == 0 : !f.bf16;
    /* A thread costs a few microseconds to wake: about a million multiply-adds. */
    int threads = sec_min_int(s->threads, 1 + g->m * g->n * g->k / 1000000);
    plan_tasks(&f, threads);
    size_t packed = SEC_ALIGN64((size_t)f.per_block * sec_mk_panel_bytes(f.mk, g->k));
    f.packed = sec_cpu_scratch(b, SEC_SCRATCH_GEMM, packed + (size_t)threads * LOCAL);
    if (!f.packed)
        return sec_fail_at(SEC_ENOMEM, "matrix product %lld x %lld x %lld", (long long)g->m,
                           (long long)g->n, (long long)g->k);
    f.local = f.packed + packed;
    run_blocks(&f, threads);
    return 0;
}
