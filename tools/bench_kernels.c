/* Peak, matrix multiplication and attention of a backend. A device is timed over several calls
 * before it is waited for, so that launches do not count. */
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/model.h"
#include "tools/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *sec_bench_type(enum sec_dtype type)
{
    return type == SEC_BF16 ? "bf16" : "fp32";
}

int sec_bench_calls(const struct sec_backend *be)
{
    return be->host ? 1 : 10;
}

int sec_bench_values(struct sec_backend *be, int64_t n, enum sec_dtype type, void **out)
{
    size_t bytes = (size_t)n * sec_dtype_size(type);
    void *p = sec_alloc_aligned(bytes);
    struct sec_rng g = sec_rng_make(1, SEC_STREAM_SAMPLE, (uint64_t)n);
    *out = NULL;
    if (!p)
        return sec_fail(SEC_ENOMEM, "no memory for %lld values", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        float v = (float)(sec_rng_u32(&g) >> 8) * 0x1p-23f - 1;
        if (type == SEC_BF16)
            ((uint16_t *)p)[i] = sec_f32_to_bf16(v);
        else
            ((float *)p)[i] = v;
    }
    int rc = be->alloc(be, bytes, out);
    if (!rc)
        rc = be->upload(be, *out, p, bytes);
    if (!rc)
        rc = be->sync(be);
    sec_free_aligned(p);
    return rc;
}

/* m, n, k, and whether it is a weight gradient (A and C as in dW += dYᵀ X). */
struct gemm_shape {
    int m, n, k;
    bool gradient;
};
static const struct gemm_shape host_shapes[] = {
    {4096, 384, 128, false},  {4096, 512, 128, false},  {4096, 128, 512, false},
    {600, 29952, 128, false}, {4096, 1152, 384, false}, {4096, 1536, 384, false},
    {4096, 384, 1536, false}, {4096, 2304, 768, false}, {4096, 3072, 768, false},
    {4096, 768, 3072, false}, {384, 128, 4096, true},   {1536, 384, 4096, true},
    {3072, 768, 4096, true},  {1, 3072, 768, false},    {32, 3072, 768, false}};
/* Of base and large, 32,768 tokens. */
static const struct gemm_shape device_shapes[] = {
    {32768, 2304, 768, false},  {32768, 768, 768, false},   {32768, 3072, 768, false},
    {32768, 768, 3072, false},  {2304, 768, 32768, true},   {3072, 768, 32768, true},
    {768, 3072, 32768, true},   {560, 29952, 768, false},   {29952, 768, 560, true},
    {32768, 3072, 1024, false}, {32768, 4096, 1024, false}, {32768, 1024, 4096, false},
    {4096, 1024, 32768, true}};
struct gemm_run {
    struct sec_backend *be;
    struct sec_gemm g;
};

static int run_gemm(void *ctx)
{
    struct gemm_run *r = ctx;
    int rc = 0;
    for (int i = 0; !rc && i < sec_bench_calls(r->be); i++)
        rc = r->be->gemm(r->be, &r->g);
    return rc ? rc : r->be->sync(r->be);
}

/* peak: FLOP/s to set it against, 0: none. */
static int one_gemm(struct sec_bench *b, struct sec_backend *be, const struct gemm_shape *s,
                    enum sec_dtype type, double peak)
{
    int64_t m = s->m, n = s->n, k = s->k;
    enum sec_dtype c_type = s->gradient ? SEC_F32 : type;
    double work = 2e-9 * (double)m * (double)n * (double)k * sec_bench_calls(be);
    char name[96];
    int rc;
    struct gemm_run r = {be,
                         {.m = m,
                          .n = n,
                          .k = k,
                          .trans_a = s->gradient,
                          .trans_b = !s->gradient,
                          .accumulate = s->gradient,
                          .ab_type = type,
                          .c_type = c_type,
                          .lda = s->gradient ? m : k,
                          .ldb = s->gradient ? n : k,
                          .ldc = n}};
    void *x = NULL, *w = NULL;
    SEC_TRY(sec_bench_values(be, m * k, type, &x));
    SEC_TRY(sec_bench_values(be, n * k, type, &w));
    SEC_TRY(sec_bench_values(be, m * n, c_type, &r.g.c));
    r.g.a = x;
    r.g.b = w;
    snprintf(name, sizeof name, "gemm %s %s%lldx%lldx%lld", sec_bench_type(type),
             s->gradient ? "dW " : "", (long long)m, (long long)n, (long long)k);
    rc = sec_bench_time(b, name, "GFLOP/s", work, peak * 1e-9, run_gemm, &r);
fail:
    be->free(be, x);
    be->free(be, w);
    be->free(be, r.g.c);
    return rc;
}

static double peak_of(struct sec_backend *be, enum sec_dtype type)
{
    return be->peak_flops ? be->peak_flops(be, type) : 0;
}

struct copy_run {
    struct sec_backend *be;
    void *from, *to;
};
enum { COPY_BYTES = 1 << 28 };

static int run_copy(void *ctx)
{
    struct copy_run *r = ctx;
    int rc = 0;
    for (int i = 0; !rc && i < sec_bench_calls(r->be); i++)
        rc = r->be->copy(r->be, r->to, r->from, COPY_BYTES);
    return rc ? rc : r->be->sync(r->be);
}

/* Memory of a device, bytes read and bytes written. */
static int bench_copy(struct sec_bench *b, struct sec_backend *be)
{
    struct copy_run r = {.be = be};
    int rc;
    SEC_TRY(sec_bench_values(be, COPY_BYTES / 4, SEC_F32, &r.from));
    SEC_TRY(be->alloc(be, COPY_BYTES, &r.to));
    rc =
        sec_bench_time(b, "copy", "GB/s", 2e-9 * COPY_BYTES * sec_bench_calls(be), 0, run_copy, &r);
fail:
    be->free(be, r.from);
    be->free(be, r.to);
    return rc;
}

int sec_bench_peak(struct sec_bench *b)
{
    struct sec_backend *be = NULL;
    int rc;
    SEC_TRY(sec_backend_open(b->device, &be));
    for (int t = 0; t < 2; t++) {
        struct sec_bench_row r = {.unit = "GFLOP/s", .runs = 1};
        enum sec_dtype type = t ? SEC_BF16 : SEC_F32;
        snprintf(r.name, sizeof r.name, "peak %s", sec_bench_type(type));
        r.value = r.best = peak_of(be, type) * 1e-9;
        if (r.value > 0)
            SEC_TRY(sec_bench_add(b, &r));
    }
    if (!be->host)
        rc = bench_copy(b, be);
fail:
    if (be)
        be->destroy(be);
    return rc;
}

int sec_bench_gemm(struct sec_bench *b)
{
    struct sec_backend *be = NULL;
    int rc;
    SEC_TRY(sec_backend_open(b->device, &be));
    const struct gemm_shape *shape = be->host ? host_shapes : device_shapes;
    size_t n = be->host ? sizeof host_shapes / sizeof *host_shapes
                        : sizeof device_shapes / sizeof *device_shapes;
    for (int t = 0; t < 2; t++) {
        double peak = peak_of(be, t ? SEC_BF16 : SEC_F32);
        for (size_t i = 0; i < n && (be->host || t); i++)
            SEC_TRY(one_gemm(b, be, &shape[i], t ? SEC_BF16 : SEC_F32, peak));
    }
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
    int rc = 0;
    for (int i = 0; !rc && i < sec_bench_calls(r->be); i++)
        rc = r->be->attn(r->be, &r->a);
    return rc ? rc : r->be->sync(r->be);
}

static int run_attn_bwd(void *ctx)
{
    struct attn_run *r = ctx;
    int rc = 0;
    for (int i = 0; !rc && i < sec_bench_calls(r->be); i++)
        rc = r->be->attn_bwd(r->be, &r->a);
    return rc ? rc : r->be->sync(r->be);
}

enum { HEAD_DIM = 64 };

/* tokens, sequence length, heads, position buckets */
struct attn_shape {
    int tokens, len, heads, k;
};
static const struct attn_shape host_attn[] = {
    {4096, 128, 2, 64}, {4096, 512, 2, 64}, {4096, 512, 12, 256}, {8192, 8192, 12, 256}};
static const struct attn_shape device_attn[] = {{32768, 512, 12, 256},  {32768, 1024, 12, 256},
                                                {32768, 2048, 12, 256}, {32768, 8192, 12, 256},
                                                {32768, 1024, 16, 256}, {48000, 48000, 12, 256}};

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
    double work = (double)a->n_tokens * sec_bench_calls(r->be);
    char shape[48], name[96];
    int rc;
    snprintf(shape, sizeof shape, "%s %dx%d h%d r%d", sec_bench_type(a->act), a->n_seqs,
             a->max_seqlen, a->heads, a->rel_rows);
    snprintf(name, sizeof name, "attention %s", shape);
    SEC_TRY(sec_bench_time(b, name, "tokens/s", work, 0, run_attn, r));
    snprintf(name, sizeof name, "attention backward %s", shape);
    SEC_TRY(sec_bench_time(b, name, "tokens/s", work, 0, run_attn_bwd, r));
fail:
    return rc;
}

static int one_attn(struct sec_bench *b, struct sec_backend *be, const struct attn_shape *shape,
                    enum sec_dtype type)
{
    int32_t t = shape->tokens, s = shape->len, h = shape->heads;
    int64_t width = h * HEAD_DIM, rel = 2 * shape->k;
    struct sec_model_config mc = {.position_buckets = shape->k, .max_relative_positions = 512};
    int32_t *cu = malloc(((size_t)(t / s) + 1) * sizeof *cu);
    uint16_t *idx = malloc((2 * (size_t)s - 1) * sizeof *idx);
    void *rows = NULL, *rr = NULL;
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
                          .rel_idx = idx}};
    int rc;
    if (!cu || !idx) {
        rc = sec_fail(SEC_ENOMEM, "no memory for attention over %d tokens", t);
        goto fail;
    }
    for (int32_t j = 0; j <= t / s; j++)
        cu[j] = j * s;
    sec_relative_index(&mc, s, idx);
    SEC_TRY(be->alloc(be, (size_t)t * (size_t)h * sizeof(float), (void **)&r.a.lse));
    SEC_TRY(sec_bench_values(be, 8 * t * width, type, &rows));
    SEC_TRY(sec_bench_values(be, 4 * rel * width, type, &rr));
    point_operands(&r.a, rows, rr);
    rc = time_attn(b, &r);
fail:
    free(cu);
    free(idx);
    be->free(be, r.a.lse);
    be->free(be, rows);
    be->free(be, rr);
    return rc;
}

int sec_bench_attention(struct sec_bench *b)
{
    struct sec_backend *be = NULL;
    int rc;
    SEC_TRY(sec_backend_open(b->device, &be));
    const struct attn_shape *shape = be->host ? host_attn : device_attn;
    size_t n =
        be->host ? sizeof host_attn / sizeof *host_attn : sizeof device_attn / sizeof *device_attn;
    for (int t = be->host ? 0 : 1; t < 2; t++)
        for (size_t i = 0; i < n; i++)
            SEC_TRY(one_attn(b, be, &shape[i], t ? SEC_BF16 : SEC_F32));
fail:
    if (be)
        be->destroy(be);
    return rc;
}
