/* Peak, matrix multiplication and attention of the cpu backend. */
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/cpu/peak.h"
#include "model/model.h"
#include "tools/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const type_names[] = {"fp32", "bf16"};

int sec_bench_peak(struct sec_bench *b)
{
    int rc = 0;
    for (int t = 0; t < 2; t++) {
        struct sec_bench_row r = {.unit = "GFLOP/s", .runs = 1};
        snprintf(r.name, sizeof r.name, "peak %s", type_names[t]);
        r.value = r.best = sec_cpu_peak_gflops(t ? SEC_BF16 : SEC_F32);
        SEC_TRY(sec_bench_add(b, &r));
    }
fail:
    return rc;
}

/* n values of about unit size, as fp32 or bf16. */
static void *random_values(int64_t n, enum sec_dtype type)
{
    void *p = sec_alloc_aligned((size_t)n * sec_dtype_size(type));
    struct sec_rng g = sec_rng_make(1, SEC_STREAM_SAMPLE, (uint64_t)n);
    for (int64_t i = 0; p && i < n; i++) {
        float v = (float)(sec_rng_u32(&g) >> 8) * 0x1p-23f - 1;
        if (type == SEC_BF16)
            ((uint16_t *)p)[i] = sec_f32_to_bf16(v);
        else
            ((float *)p)[i] = v;
    }
    return p;
}

struct gemm_run {
    struct sec_backend *be;
    struct sec_gemm g;
};

static int run_gemm(void *ctx)
{
    struct gemm_run *r = ctx;
    return r->be->gemm(r->be, &r->g);
}

/* m, n, k, and whether it is a weight gradient (A and C as in dW += dYᵀ X). */
static const struct {
    int m, n, k;
    bool gradient;
} gemm_shapes[] = {{4096, 384, 128, false},  {4096, 512, 128, false},  {4096, 128, 512, false},
                   {600, 29952, 128, false}, {4096, 1152, 384, false}, {4096, 1536, 384, false},
                   {4096, 384, 1536, false}, {4096, 2304, 768, false}, {4096, 3072, 768, false},
                   {4096, 768, 3072, false}, {384, 128, 4096, true},   {1536, 384, 4096, true},
                   {3072, 768, 4096, true},  {1, 3072, 768, false},    {32, 3072, 768, false}};

static int one_gemm(struct sec_bench *b, struct sec_backend *be, size_t i, enum sec_dtype type)
{
    int64_t m = gemm_shapes[i].m, n = gemm_shapes[i].n, k = gemm_shapes[i].k;
    bool grad = gemm_shapes[i].gradient;
    enum sec_dtype c_type = grad ? SEC_F32 : type;
    char name[96];
    int rc = 0;
    struct gemm_run r = {be,
                         {.m = m,
                          .n = n,
                          .k = k,
                          .trans_a = grad,
                          .trans_b = !grad,
                          .accumulate = grad,
                          .ab_type = type,
                          .c_type = c_type,
                          .lda = grad ? m : k,
                          .ldb = grad ? n : k,
                          .ldc = n}};
    void *a = random_values(m * k, type), *w = random_values(n * k, type);
    void *c = random_values(m * n, c_type);
    if (!a || !w || !c) {
        rc = sec_fail(SEC_ENOMEM, "no memory for a product of %lld x %lld x %lld", (long long)m,
                      (long long)n, (long long)k);
        goto fail;
    }
    r.g.a = a;
    r.g.b = w;
    r.g.c = c;
    snprintf(name, sizeof name, "gemm %s %s%lldx%lldx%lld", type_names[type == SEC_BF16],
             grad ? "dW " : "", (long long)m, (long long)n, (long long)k);
    SEC_TRY(sec_bench_time(b, name, "GFLOP/s", 2e-9 * (double)m * (double)n * (double)k,
                           be->peak_flops(be, type) * 1e-9, run_gemm, &r));
fail:
    sec_free_aligned(a);
    sec_free_aligned(w);
    sec_free_aligned(c);
    return rc;
}

int sec_bench_gemm(struct sec_bench *b)
{
    struct sec_backend *be = NULL;
    int rc;
    SEC_TRY(sec_backend_cpu(&be));
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < sizeof gemm_shapes / sizeof *gemm_shapes; i++)
            SEC_TRY(one_gemm(b, be, i, t ? SEC_BF16 : SEC_F32));
fail:
    if (be)
        be->destroy(be);
    return rc;
}

struct attn_run {
    struct sec_backend *be;
    struct sec_attn a;
};

static int run_attn(void *ctx)
{
    struct attn_run *r = ctx;
    return r->be->attn(r->be, &r->a);
}

static int run_attn_bwd(void *ctx)
{
    struct attn_run *r = ctx;
    return r->be->attn_bwd(r->be, &r->a);
}

enum { HEAD_DIM = 64 };

/* tokens, sequence length, heads, position buckets */
static const struct {
    int tokens, len, heads, k;
} attn_shapes[] = {
    {4096, 128, 2, 64}, {4096, 512, 2, 64}, {4096, 512, 12, 256}, {8192, 8192, 12, 256}};

/* Operands out of two buffers: rows [T,H] x 8 (q k v o d_o dq dk dv) and [R,H] x 4 (qr kr dqr dkr).
 */
static void point_operands(struct sec_attn *a, char *rows, char *rel)
{
    int64_t width = a->heads * a->head_dim, size = (int64_t)sec_dtype_size(a->act);
    int64_t row = a->n_tokens * width * size, rel_row = a->rel_rows * width * size;
    a->q = rows;
    a->k = rows + row;
    a->v = rows + 2 * row;
    a->o = rows + 3 * row;
    a->d_o = rows + 4 * row;
    a->dq = rows + 5 * row;
    a->dk = rows + 6 * row;
    a->dv = rows + 7 * row;
    a->qr = rel;
    a->kr = rel + rel_row;
    a->dqr = rel + 2 * rel_row;
    a->dkr = rel + 3 * rel_row;
    a->ld = a->ld_rel = a->ld_o = a->ld_do = a->ld_d = a->ld_drel = width;
}

static int time_attn(struct sec_bench *b, struct attn_run *r)
{
    const struct sec_attn *a = &r->a;
    char shape[48], name[96];
    int rc;
    snprintf(shape, sizeof shape, "%s %dx%d h%d r%d", type_names[a->act == SEC_BF16], a->n_seqs,
             a->max_seqlen, a->heads, a->rel_rows);
    snprintf(name, sizeof name, "attention %s", shape);
    SEC_TRY(sec_bench_time(b, name, "tokens/s", a->n_tokens, 0, run_attn, r));
    snprintf(name, sizeof name, "attention backward %s", shape);
    SEC_TRY(sec_bench_time(b, name, "tokens/s", a->n_tokens, 0, run_attn_bwd, r));
fail:
    return rc;
}

static int one_attn(struct sec_bench *b, struct sec_backend *be, size_t i, enum sec_dtype type)
{
    int32_t t = attn_shapes[i].tokens, s = attn_shapes[i].len, h = attn_shapes[i].heads;
    int64_t width = h * HEAD_DIM, rel = 2 * attn_shapes[i].k;
    struct sec_model_config mc = {.position_buckets = attn_shapes[i].k,
                                  .max_relative_positions = 512};
    int32_t *cu = malloc(((size_t)(t / s) + 1) * sizeof *cu);
    uint16_t *idx = malloc((2 * (size_t)s - 1) * sizeof *idx);
    float *lse = sec_alloc_aligned((size_t)t * (size_t)h * sizeof *lse);
    char *rows = random_values(8 * t * width, type), *rr = random_values(4 * rel * width, type);
    int rc;
    if (!cu || !idx || !lse || !rows || !rr) {
        rc = sec_fail(SEC_ENOMEM, "no memory for attention over %d tokens", t);
        goto fail;
    }
    for (int32_t j = 0; j <= t / s; j++)
        cu[j] = j * s;
    sec_relative_index(&mc, s, idx);
    struct attn_run r = {be,
                         {.n_tokens = t,
                          .n_seqs = t / s,
                          .max_seqlen = s,
                          .heads = h,
                          .head_dim = HEAD_DIM,
                          .rel_rows = (int32_t)rel,
                          .rel_span = s,
                          .act = type,
                          .scale = (float)(1 / sqrt(3.0 * HEAD_DIM)),
                          .cu_seqlens = cu,
                          .rel_idx = idx,
                          .lse = lse}};
    point_operands(&r.a, rows, rr);
    rc = time_attn(b, &r);
fail:
    free(cu);
    free(idx);
    sec_free_aligned(lse);
    sec_free_aligned(rows);
    sec_free_aligned(rr);
    return rc;
}

int sec_bench_attention(struct sec_bench *b)
{
    struct sec_backend *be = NULL;
    int rc;
    SEC_TRY(sec_backend_cpu(&be));
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < sizeof attn_shapes / sizeof *attn_shapes; i++)
            SEC_TRY(one_attn(b, be, i, t ? SEC_BF16 : SEC_F32));
fail:
    if (be)
        be->destroy(be);
    return rc;
}
