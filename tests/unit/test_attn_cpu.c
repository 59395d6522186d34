/* Disentangled attention of the cpu backend, forward and backward, against its definition (ops.h)
 * written as plain double loops here: every instruction set, fp32 and bf16, lengths around the
 * block borders and above max_relative_positions, ragged batches, dropout; the same bits for any
 * number of threads, and for a sequence alone or in company. */
#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/cpu/cpu.h"
#include "kernels/dropout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { Q, K, V, QR, KR, DO, N_IN };
enum { O, DQ, DK, DV, DQR, DKR, N_OUT };
static const char *const out_name[] = {"o", "dq", "dk", "dv", "dqr", "dkr"};

struct problem {
    struct sec_attn a;
    int32_t *cu;
    uint16_t *rel_idx;
    uint64_t *row_key;
    void *in[N_IN], *out[N_OUT];
    double *want[N_OUT];
    int64_t width;
};

struct shape {
    int heads, head_dim, buckets, max_rel; /* buckets: k, so 2k rows */
    double p;
    int n_seqs;
    const int *len;
};

/* model.md; float32 throughout does not matter here, any monotone table will do. */
static int bucket(int delta, int k, int max_rel)
{
    int mid = k / 2, size = abs(delta), b = size;
    size = size < max_rel - 1 ? size : max_rel - 1;
    b = size;
    if (size > mid)
        b = (int)ceil(log((double)size / mid) / log((max_rel - 1.0) / mid) * (mid - 1)) + mid;
    int idx = (delta < 0 ? -b : b) + k;
    return idx < 0 ? 0 : idx > 2 * k - 1 ? 2 * k - 1 : idx;
}

static double get(const void *p, int64_t i, enum sec_dtype t)
{
    return t == SEC_BF16 ? sec_bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}
static void *random_rows(int which, int64_t rows, int64_t ld, enum sec_dtype t)
{
    void *p = sec_xmalloc((size_t)(rows * ld) * sec_dtype_size(t));
    for (int64_t i = 0; i < rows * ld; i++) {
        float x = (float)sec_rand_normal(3, (uint32_t)which + 100, (uint64_t)i);
        if (t == SEC_BF16)
            ((uint16_t *)p)[i] = sec_f32_to_bf16(x);
        else
            ((float *)p)[i] = x;
    }
    return p;
}

static void make(struct problem *x, const struct shape *s, enum sec_dtype act)
{
    struct sec_attn *a = &x->a;
    *x = (struct problem){.width = (int64_t)s->heads * s->head_dim};
    x->cu = sec_xcalloc((size_t)s->n_seqs + 1, sizeof *x->cu);
    int longest = 1;
    for (int i = 0; i < s->n_seqs; i++) {
        x->cu[i + 1] = x->cu[i] + s->len[i];
        longest = s->len[i] > longest ? s->len[i] : longest;
    }
    int64_t n = x->cu[s->n_seqs], span = longest + 3, w = x->width;
    x->rel_idx = sec_xmalloc((size_t)(2 * span - 1) * sizeof *x->rel_idx);
    for (int64_t d = 1 - span; d < span; d++)
        x->rel_idx[d + span - 1] = (uint16_t)bucket((int)d, s->buckets, s->max_rel);
    x->row_key = sec_xmalloc((size_t)n * sizeof *x->row_key);
    for (int64_t i = 0; i < n; i++)
        x->row_key[i] = 0x123456789ull * (uint64_t)(i + 1);
    *a = (struct sec_attn){.n_tokens = (int32_t)n,
                           .n_seqs = s->n_seqs,
                           .max_seqlen = longest,
                           .heads = s->heads,
                           .head_dim = s->head_dim,
                           .rel_rows = 2 * s->buckets,
                           .rel_span = (int32_t)span,
                           .act = act,
                           .scale = (float)(1 / sqrt(3.0 * s->head_dim)),
                           .cu_seqlens = x->cu,
                           .rel_idx = x->rel_idx,
                           .ld = 3 * w,
                           .ld_rel = 2 * w,
                           .ld_o = w + 8,
                           .ld_do = w,
                           .ld_d = 3 * w,
                           .ld_drel = w + 4};
    static const uint64_t seed = 77;
    a->dropout = (struct sec_dropout){(float)s->p, 5, &seed, x->row_key};
    a->q = x->in[Q] = random_rows(Q, n, a->ld, act);
    a->k = x->in[K] = random_rows(K, n, a->ld, act);
    a->v = x->in[V] = random_rows(V, n, a->ld, act);
    a->qr = x->in[QR] = random_rows(QR, a->rel_rows, a->ld_rel, act);
    a->kr = x->in[KR] = random_rows(KR, a->rel_rows, a->ld_rel, act);
    a->d_o = x->in[DO] = random_rows(DO, n, a->ld_do, act);
    const int64_t size[N_OUT] = {n * a->ld_o,
                                 n * a->ld_d,
                                 n * a->ld_d,
                                 n * a->ld_d,
                                 a->rel_rows * a->ld_drel,
                                 a->rel_rows * a->ld_drel};
    for (int i = 0; i < N_OUT; i++) {
        x->out[i] = sec_xcalloc((size_t)size[i], 4);
        x->want[i] = sec_xcalloc((size_t)((i < DQR ? n : a->rel_rows) * w), sizeof(double));
    }
    a->lse = sec_xcalloc((size_t)n * (size_t)s->heads, sizeof *a->lse);
    a->o = x->out[O];
    a->dq = x->out[DQ];
    a->dk = x->out[DK];
    a->dv = x->out[DV];
    a->dqr = x->out[DQR];
    a->dkr = x->out[DKR];
}

static void release(struct problem *x)
{
    for (int i = 0; i < N_IN; i++)
        free(x->in[i]);
    for (int i = 0; i < N_OUT; i++) {
        free(x->out[i]);
        free(x->want[i]);
    }
    free(x->cu);
    free(x->rel_idx);
    free(x->row_key);
    free(x->a.lse);
}

/* Doubles of one head: row i of a matrix of leading dimension ld. */
static double *head_of(const struct problem *x, int which, int64_t rows, int64_t ld, int h)
{
    int d = x->a.head_dim;
    double *p = sec_xmalloc((size_t)(rows * d) * sizeof *p);
    for (int64_t i = 0; i < rows; i++)
        for (int c = 0; c < d; c++)
            p[i * d + c] = get(x->in[which], i * ld + h * d + c, x->a.act);
    return p;
}

struct head {
    double *in[N_IN];
    int h, d;
};

static double dot(const double *a, const double *b, int d)
{
    double s = 0;
    for (int c = 0; c < d; c++)
        s += a[c] * b[c];
    return s;
}
static void axpy(double *y, double by, const double *x, int d)
{
    for (int c = 0; c < d; c++)
        y[c] += by * x[c];
}

/* Row i of the sequence at `start`: its softmax and everything it adds to the gradients. */
static void oracle_row(struct problem *x, const struct head *f, int64_t start, int64_t n, int64_t i,
                       double *p, double *dp)
{
    const struct sec_attn *a = &x->a;
    int d = f->d;
    int64_t w = x->width, col = (int64_t)f->h * d;
    const double *q = f->in[Q] + (start + i) * d, *d_o = f->in[DO] + (start + i) * d;
    const uint16_t *rel = a->rel_idx + i + a->rel_span - 1; /* rel[-j] */
    double most = -INFINITY, sum = 0, delta = 0;
    for (int64_t j = 0; j < n; j++) {
        const double *k = f->in[K] + (start + j) * d;
        p[j] = a->scale * (dot(q, k, d) + dot(q, f->in[KR] + rel[-j] * d, d) +
                           dot(k, f->in[QR] + rel[-j] * d, d));
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < n; j++)
        sum += p[j] = exp(p[j] - most);
    for (int64_t j = 0; j < n; j++) {
        const double *v = f->in[V] + (start + j) * d;
        double keep = 1;
        if (a->dropout.p > 0)
            keep = sec_dropout_keep(&a->dropout, x->row_key[start + i],
                                    a->dropout.site + ((uint32_t)f->h << 16), j)
                       ? 1 / (1 - (double)a->dropout.p)
                       : 0;
        p[j] /= sum;
        axpy(x->want[O] + (start + i) * w + col, p[j] * keep, v, d);
        axpy(x->want[DV] + (start + j) * w + col, p[j] * keep, d_o, d);
        dp[j] = keep * dot(d_o, v, d);
        delta += p[j] * dp[j];
    }
    for (int64_t j = 0; j < n; j++) {
        const double *k = f->in[K] + (start + j) * d;
        double da = a->scale * p[j] * (dp[j] - delta);
        axpy(x->want[DQ] + (start + i) * w + col, da, k, d);
        axpy(x->want[DQ] + (start + i) * w + col, da, f->in[KR] + rel[-j] * d, d);
        axpy(x->want[DK] + (start + j) * w + col, da, q, d);
        axpy(x->want[DK] + (start + j) * w + col, da, f->in[QR] + rel[-j] * d, d);
        axpy(x->want[DKR] + rel[-j] * w + col, da, q, d);
        axpy(x->want[DQR] + rel[-j] * w + col, da, k, d);
    }
}

static void oracle(struct problem *x)
{
    const struct sec_attn *a = &x->a;
    double *p = sec_xmalloc((size_t)a->max_seqlen * sizeof *p);
    double *dp = sec_xmalloc((size_t)a->max_seqlen * sizeof *dp);
    for (int h = 0; h < a->heads; h++) {
        struct head f = {.h = h, .d = a->head_dim};
        const int64_t ld[N_IN] = {a->ld, a->ld, a->ld, a->ld_rel, a->ld_rel, a->ld_do};
        for (int i = 0; i < N_IN; i++)
            f.in[i] = head_of(x, i, i == QR || i == KR ? a->rel_rows : a->n_tokens, ld[i], h);
        for (int s = 0; s < a->n_seqs; s++)
            for (int64_t i = 0, n = x->cu[s + 1] - x->cu[s]; i < n; i++)
                oracle_row(x, &f, x->cu[s], n, i, p, dp);
        for (int i = 0; i < N_IN; i++)
            free(f.in[i]);
    }
    free(p);
    free(dp);
}

static void run(struct problem *x, enum sec_isa isa, int threads)
{
    struct sec_backend *b;
    assert_int_equal(sec_backend_cpu_with(isa, threads, &b), 0);
    assert_int_equal(b->attn(b, &x->a), 0);
    assert_int_equal(b->attn_bwd(b, &x->a), 0);
    b->destroy(b);
}

static int64_t out_rows(const struct problem *x, int i)
{
    return i < DQR ? x->a.n_tokens : x->a.rel_rows;
}
static int64_t out_ld(const struct problem *x, int i)
{
    return i == O ? x->a.ld_o : i < DQR ? x->a.ld_d : x->a.ld_drel;
}

/* Relative L2 distance of every output. */
static void compare(const struct problem *x, enum sec_isa isa, double tol_o, double tol_grad)
{
    for (int i = 0; i < N_OUT; i++) {
        double diff = 0, size = 0;
        for (int64_t r = 0; r < out_rows(x, i); r++)
            for (int64_t c = 0; c < x->width; c++) {
                double want = x->want[i][r * x->width + c];
                double got = get(x->out[i], r * out_ld(x, i) + c, x->a.act);
                diff += (got - want) * (got - want);
                size += want * want;
            }
        double tol = i == O ? tol_o : tol_grad, rel = sqrt(diff / (size + 1e-30));
        if (getenv("SECENC_TEST_VERBOSE"))
            print_message("%s %s %s len %d d %d: %.2e\n", sec_isa_name(isa),
                          x->a.act == SEC_BF16 ? "bf16" : "f32", out_name[i], x->a.max_seqlen,
                          x->a.head_dim, rel);
        /* One key: P is 1 whatever the scores, their gradients are rounding noise around 0. */
        if (size < 1e-20 ? !(diff < 1e-6) : !(rel <= tol))
            fail_msg("%s %s: %s of %d heads x %d, longest %d, dropout %g: relative L2 %.3g > %.3g",
                     sec_isa_name(isa), x->a.act == SEC_BF16 ? "bf16" : "f32", out_name[i],
                     x->a.heads, x->a.head_dim, x->a.max_seqlen, (double)x->a.dropout.p, rel, tol);
    }
}

static void check(const struct shape *s, enum sec_isa isa)
{
    for (int type = 0; type < 2; type++) {
        struct problem x;
        make(&x, s, type ? SEC_BF16 : SEC_F32);
        oracle(&x);
        run(&x, isa, 2);
        if (type)
            compare(&x, isa, 6e-3, 1e-2);
        else
            compare(&x, isa, 2e-6, 5e-6);
        release(&x);
    }
}

static void each_isa(const struct shape *s)
{
    for (int isa = 0; isa <= (int)sec_cpu_isa_detected(); isa++)
        check(s, (enum sec_isa)isa);
}

static void test_lengths(void **state)
{
    static const int len[] = {1, 7, 15, 16, 17, 63, 64, 65, 127, 200};
    for (size_t i = 0; i < sizeof len / sizeof *len; i++)
        each_isa(&(struct shape){2, 32, 16, 64, 0, 1, len + i});
}
static void test_head_dims(void **state)
{
    static const int len[] = {70, 33};
    static const int dim[] = {8, 24, 32, 40, 64, 72, 128};
    for (size_t i = 0; i < sizeof dim / sizeof *dim; i++)
        each_isa(&(struct shape){2, dim[i], 32, 512, 0, 2, len});
}
static void test_ragged_with_dropout(void **state)
{
    static const int len[] = {5, 130, 1, 64, 300, 2, 31};
    each_isa(&(struct shape){3, 64, 64, 512, 0.1, 7, len});
    each_isa(&(struct shape){2, 64, 256, 512, 0.5, 7, len});
}
static void test_several_spans(void **state)
{
    static const int len[] = {513, 20};
    static const int longer[] = {1100};
    each_isa(&(struct shape){1, 32, 16, 512, 0.2, 2, len});
    each_isa(&(struct shape){1, 64, 64, 2000, 0, 1, longer});
}
/* max_rel just above mid: one step of delta skips many rows, the look-ups' slow path. */
static void test_steep_table(void **state)
{
    static const int len[] = {90, 17};
    each_isa(&(struct shape){1, 32, 64, 36, 0, 2, len});
}

static void test_threads_same_bits(void **state)
{
    static const int len[] = {40, 600, 3, 129, 512, 77};
    struct shape s = {3, 64, 64, 512, 0.1, 6, len};
    for (int isa = 0; isa <= (int)sec_cpu_isa_detected(); isa++)
        for (int type = 0; type < 2; type++) {
            struct problem one, many;
            make(&one, &s, type ? SEC_BF16 : SEC_F32);
            run(&one, (enum sec_isa)isa, 1);
            for (int threads = 1; threads <= 5; threads += 2) {
                make(&many, &s, one.a.act);
                run(&many, (enum sec_isa)isa, threads);
                for (int i = 0; i < N_OUT; i++)
                    assert_memory_equal(many.out[i], one.out[i],
                                        (size_t)(out_rows(&one, i) * out_ld(&one, i)) *
                                            sec_dtype_size(one.a.act));
                assert_memory_equal(many.a.lse, one.a.lse,
                                    (size_t)one.a.n_tokens * (size_t)one.a.heads * 4);
                release(&many);
            }
            release(&one);
        }
}

/* A sequence's outputs and its tokens' gradients are the same bits whatever the rest of the batch.
 */
static void test_alone_or_in_company(void **state)
{
    static const int len[] = {40, 70, 530, 129};
    struct shape all = {2, 64, 64, 512, 0.1, 4, len};
    for (int type = 0; type < 2; type++) {
        struct problem batch;
        make(&batch, &all, type ? SEC_BF16 : SEC_F32);
        run(&batch, sec_cpu_isa_detected(), 2);
        size_t es = sec_dtype_size(batch.a.act);
        for (int s = 0; s < all.n_seqs; s++) {
            struct shape alone = {2, 64, 64, 512, 0.1, 1, len + s};
            struct problem one;
            make(&one, &alone, batch.a.act);
            int64_t row = batch.cu[s], n = len[s];
            one.a.q = (char *)batch.in[Q] + (size_t)(row * batch.a.ld) * es;
            one.a.k = (char *)batch.in[K] + (size_t)(row * batch.a.ld) * es;
            one.a.v = (char *)batch.in[V] + (size_t)(row * batch.a.ld) * es;
            one.a.d_o = (char *)batch.in[DO] + (size_t)(row * batch.a.ld_do) * es;
            one.a.dropout.row_key = batch.row_key + row;
            run(&one, sec_cpu_isa_detected(), 2);
            for (int i = O; i <= DV; i++)
                for (int64_t r = 0; r < n; r++)
                    assert_memory_equal((char *)one.out[i] + (size_t)(r * out_ld(&one, i)) * es,
                                        (char *)batch.out[i] +
                                            (size_t)((row + r) * out_ld(&batch, i)) * es,
                                        (size_t)one.width * es);
            release(&one);
        }
        release(&batch);
    }
}

/* Inference: no lse, nothing else changes. */
static void test_without_lse(void **state)
{
    static const int len[] = {100};
    struct shape s = {2, 64, 64, 512, 0, 1, len};
    struct problem x;
    struct sec_backend *b;
    make(&x, &s, SEC_F32);
    oracle(&x);
    float *lse = x.a.lse;
    x.a.lse = NULL;
    assert_int_equal(sec_backend_cpu_with(sec_cpu_isa_detected(), 1, &b), 0);
    assert_int_equal(b->attn(b, &x.a), 0);
    x.a.lse = lse;
    for (int64_t i = 0; i < 100; i++)
        for (int64_t c = 0; c < x.width; c++)
            assert_true(fabs(((float *)x.out[O])[i * x.a.ld_o + c] - x.want[O][i * x.width + c]) <
                        1e-5);
    b->destroy(b);
    release(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_head_dims),
        cmocka_unit_test(test_ragged_with_dropout),
        cmocka_unit_test(test_several_spans),
        cmocka_unit_test(test_steep_table),
        cmocka_unit_test(test_threads_same_bits),
        cmocka_unit_test(test_alone_or_in_company),
        cmocka_unit_test(test_without_lse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
