/* Disentangled attention of the CUDA backend in emulation, forward and backward:
 *   flash and dense kernels, fp32 and bf16, against the definition in fp64 on the same inputs
 *   (attn_case.h): lengths around the borders of tiles, max_relative_positions below and above
 *   them, ragged batches, dropout, head sizes, rows that are not aligned
 *   mistakes in the position terms are seen by the same comparison
 *   the same bits again, under every schedule, and for a sequence alone or in company
 *   a CUDA call that fails leaves a backend that works */
#include "base/error.h"
#include "tests/cuda_host/emulation.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/attn_case.h"

/* Allowed relative L2 distance, by type. */
static double tolerance(const struct problem *x)
{
    return x->a.act == SEC_BF16 ? 1e-2 : 1e-5;
}

static void use_naive(bool naive)
{
    if (naive)
        setenv("SECENC_CUDA_ATTN", "naive", 1);
    else
        unsetenv("SECENC_CUDA_ATTN");
}

static struct sec_backend *open_cuda(void)
{
    struct sec_backend *b;
    if (sec_backend_cuda(&b))
        fail_msg("%s", sec_error());
    return b;
}

static size_t in_bytes(const struct problem *x, int i)
{
    const struct sec_attn *a = &x->a;
    int64_t n =
        i == QR || i == KR ? a->rel_rows * a->ld_rel : a->n_tokens * (i == DO ? a->ld_do : a->ld);
    return (size_t)n * sec_dtype_size(a->act);
}
static size_t out_bytes(const struct problem *x, int i)
{
    return (size_t)(out_rows(x, i) * out_ld(x, i)) * sec_dtype_size(x->a.act);
}
static size_t lse_bytes(const struct problem *x)
{
    return (size_t)x->a.n_tokens * (size_t)x->a.heads * sizeof(float);
}

/* Buffers of a problem on the device. */
struct device {
    struct sec_backend *b;
    void *p[N_IN + N_OUT + 3];
    int n;
};
static int to_device(struct device *d, const void *host, size_t bytes, void **out)
{
    int rc = d->b->alloc(d->b, bytes, out);
    if (rc)
        return rc;
    d->p[d->n++] = *out;
    return d->b->upload(d->b, *out, host, bytes);
}

static int put(struct device *d, const struct problem *x, struct sec_attn *a, void *out[N_OUT])
{
    void *in[N_IN], *key, *seed, *lse;
    int rc = 0;
    *a = x->a;
    for (int i = 0; !rc && i < N_IN; i++)
        rc = to_device(d, x->in[i], in_bytes(x, i), &in[i]);
    for (int i = 0; !rc && i < N_OUT; i++)
        rc = to_device(d, x->out[i], out_bytes(x, i), &out[i]);
    if (!rc)
        rc = to_device(d, x->a.lse, lse_bytes(x), &lse);
    if (!rc)
        rc = to_device(d, x->a.dropout.row_key, (size_t)x->a.n_tokens * sizeof(uint64_t), &key);
    if (!rc)
        rc = to_device(d, x->a.dropout.seed, sizeof(uint64_t), &seed);
    if (rc)
        return rc;
    a->q = in[Q];
    a->k = in[K];
    a->v = in[V];
    a->qr = in[QR];
    a->kr = in[KR];
    a->d_o = in[DO];
    a->o = out[O];
    a->dq = out[DQ];
    a->dk = out[DK];
    a->dv = out[DV];
    a->dqr = out[DQR];
    a->dkr = out[DKR];
    a->lse = lse;
    a->dropout.row_key = key;
    a->dropout.seed = seed;
    return 0;
}

/* Forward and backward on the device; the results to the problem's own buffers. */
static int run(struct sec_backend *b, struct problem *x)
{
    struct device d = {.b = b};
    struct sec_attn a;
    void *out[N_OUT];
    int rc = put(&d, x, &a, out);
    if (!rc)
        rc = b->attn(b, &a);
    if (!rc)
        rc = b->attn_bwd(b, &a);
    for (int i = 0; !rc && i < N_OUT; i++)
        rc = b->download(b, x->out[i], out[i], out_bytes(x, i));
    if (!rc)
        rc = b->download(b, x->a.lse, a.lse, lse_bytes(x));
    for (int i = 0; i < d.n; i++)
        b->free(b, d.p[i]);
    return rc;
}
static void run_or_fail(struct sec_backend *b, struct problem *x)
{
    if (run(b, x))
        fail_msg("%s", sec_error());
}

/* Nothing between the rows has been written. */
static bool gaps_untouched(const struct problem *x)
{
    for (int i = 0; i < N_OUT; i++)
        for (int64_t r = 0; r < out_rows(x, i); r++)
            for (int64_t c = x->width; c < out_ld(x, i); c++)
                if (get(x->out[i], r * out_ld(x, i) + c, x->a.act) != 0) {
                    print_message("%s[%lld] is written at column %lld of %lld\n", out_name[i],
                                  (long long)r, (long long)c, (long long)x->width);
                    return false;
                }
    return true;
}

enum { FLASH = 1, DENSE = 2 };

static void check(const struct shape *s, int kernels)
{
    struct sec_backend *b = open_cuda();
    bool good = true;
    for (int type = 0; type < 2; type++)
        for (int naive = 0; naive < 2; naive++) {
            struct problem x;
            if (!(kernels & (naive ? DENSE : FLASH)))
                continue;
            use_naive(naive);
            make(&x, s, type ? SEC_BF16 : SEC_F32);
            oracle(&x);
            run_or_fail(b, &x);
            for (int i = 0; i < N_OUT; i++)
                good &= near_enough(&x, i, tolerance(&x), naive ? "dense" : "flash");
            good &= gaps_untouched(&x);
            release(&x);
        }
    use_naive(false);
    b->destroy(b);
    assert_true(good);
}

static void test_lengths(void **state)
{
    static const int len[] = {1, 7, 63, 64, 65, 127, 200};
    for (size_t i = 0; i < sizeof len / sizeof *len; i++)
        check(&(struct shape){1, 64, 16, 64, 0, 1, len + i}, FLASH | DENSE);
}
static void test_head_dims(void **state)
{
    static const int len[] = {70, 33}, flash[] = {32, 64, 128}, dense[] = {8, 48, 72};
    for (size_t i = 0; i < 3; i++)
        check(&(struct shape){2, flash[i], 32, 512, 0, 2, len}, FLASH | DENSE);
    for (size_t i = 0; i < 3; i++)
        check(&(struct shape){2, dense[i], 32, 512, 0.1, 2, len}, DENSE);
}
/* max_relative_positions below the longest and above all. */
static void test_ragged_with_dropout(void **state)
{
    static const int len[] = {5, 130, 1, 64, 210, 2, 31};
    check(&(struct shape){3, 32, 16, 128, 0.1, 7, len}, FLASH | DENSE);
    check(&(struct shape){1, 64, 256, 512, 0.5, 7, len}, FLASH);
    check(&(struct shape){1, 128, 64, 512, 0.3, 7, len}, FLASH);
}
/* Far pairs with one relative row, near ones with a window, and the diagonal. */
static void test_long(void **state)
{
    static const int len[] = {513, 20}, longest[] = {1500};
    check(&(struct shape){1, 32, 32, 256, 0.2, 2, len}, FLASH | DENSE);
    check(&(struct shape){1, 64, 256, 512, 0, 2, len}, FLASH);
    check(&(struct shape){1, 32, 16, 100, 0.1, 1, longest}, FLASH);
    check(&(struct shape){1, 32, 64, 2000, 0, 1, longest}, FLASH);
}
/* One step of delta skips many rows. */
static void test_steep_table(void **state)
{
    static const int len[] = {150, 17};
    check(&(struct shape){1, 32, 64, 36, 0, 2, len}, FLASH | DENSE);
    check(&(struct shape){1, 64, 256, 140, 0.1, 2, len}, FLASH);
}

/* The comparison finds these, in every output. */
static void test_mistakes_are_seen(void **state)
{
    static const int len[] = {70, 33};
    struct shape s = {2, 64, 32, 128, 0.1, 2, len};
    struct sec_backend *b = open_cuda();
    for (int type = 0; type < 2; type++)
        for (enum mistake m = FLIPPED_P2C; m <= SHIFTED_C2P; m++) {
            struct problem x;
            make(&x, &s, type ? SEC_BF16 : SEC_F32);
            x.mistake = m;
            oracle(&x);
            run_or_fail(b, &x);
            for (int i = 0; i < N_OUT; i++)
                assert_false(near_enough(&x, i, 5 * tolerance(&x), "expected mistake"));
            release(&x);
        }
    /* One value of one relative row, as the device sees it. */
    for (int table = QR; table <= KR; table++) {
        struct problem x;
        make(&x, &s, SEC_BF16);
        oracle(&x);
        uint16_t *value = (uint16_t *)x.in[table] + 35 * x.a.ld_rel + 7;
        *value = sec_f32_to_bf16(sec_bf16_to_f32(*value) + 4);
        run_or_fail(b, &x);
        bool good = true;
        for (int i = 0; i < N_OUT; i++)
            good &= near_enough(&x, i, tolerance(&x), "expected mistake");
        assert_false(good);
        release(&x);
    }
    b->destroy(b);
}

static void assert_same_bits(const struct problem *x, const struct problem *y)
{
    for (int i = 0; i < N_OUT; i++)
        assert_memory_equal(x->out[i], y->out[i], out_bytes(x, i));
    assert_memory_equal(x->a.lse, y->a.lse, lse_bytes(x));
}

struct again {
    const struct shape *shape;
    enum sec_dtype type;
    struct problem first;
    int runs;
};
static void run_again(void *arg)
{
    struct again *a = arg;
    struct problem x, *into = a->runs++ ? &x : &a->first;
    struct sec_backend *b = open_cuda();
    make(into, a->shape, a->type);
    run_or_fail(b, into);
    b->destroy(b);
    if (into == &x) {
        assert_same_bits(&a->first, &x);
        release(&x);
    }
}
static void test_schedules(void **state)
{
    static const int len[] = {70, 1, 33};
    static const struct shape shapes[] = {{2, 32, 16, 40, 0.1, 3, len},
                                          {1, 64, 16, 300, 0, 2, len},
                                          {1, 128, 64, 40, 0.1, 1, len},
                                          {1, 24, 16, 40, 0.1, 3, len}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int type = 0; type < 2; type++) {
            struct again a = {.shape = &shapes[i], .type = type ? SEC_BF16 : SEC_F32};
            cuda_host_each_schedule(run_again, &a);
            release(&a.first);
        }
}

/* A sequence's outputs and its tokens' gradients are the same bits whatever the rest of the batch.
 */
static void alone_or_in_company(struct sec_backend *b, const struct shape *all, enum sec_dtype type)
{
    struct problem batch;
    size_t es = sec_dtype_size(type);
    make(&batch, all, type);
    run_or_fail(b, &batch);
    for (int s = 0; s < all->n_seqs; s++) {
        struct shape alone = *all;
        struct problem one;
        alone.n_seqs = 1;
        alone.len += s;
        make(&one, &alone, type);
        int64_t row = batch.cu[s], n = alone.len[0];
        for (int i = Q; i < N_IN; i++)
            if (i != QR && i != KR)
                memcpy(one.in[i],
                       (char *)batch.in[i] +
                           (size_t)(row * (i == DO ? batch.a.ld_do : batch.a.ld)) * es,
                       in_bytes(&one, i));
        memcpy(one.row_key, batch.row_key + row, (size_t)n * sizeof *one.row_key);
        run_or_fail(b, &one);
        for (int i = O; i <= DV; i++)
            assert_memory_equal(one.out[i],
                                (char *)batch.out[i] + (size_t)(row * out_ld(&batch, i)) * es,
                                out_bytes(&one, i));
        release(&one);
    }
    release(&batch);
}
static void test_alone_or_in_company(void **state)
{
    static const int len[] = {40, 70, 130, 129, 1};
    struct sec_backend *b = open_cuda();
    for (int type = 0; type < 2; type++) {
        alone_or_in_company(b, &(struct shape){2, 64, 64, 100, 0.1, 5, len},
                            type ? SEC_BF16 : SEC_F32);
        alone_or_in_company(b, &(struct shape){1, 48, 16, 512, 0.1, 5, len},
                            type ? SEC_BF16 : SEC_F32);
    }
    b->destroy(b);
}

/* Rows that do not start at 16 bytes. */
static void test_unaligned(void **state)
{
    static const int len[] = {70, 33};
    struct sec_backend *b = open_cuda();
    for (int type = 0; type < 2; type++) {
        struct problem x;
        make(&x, &(struct shape){1, 64, 16, 64, 0, 2, len}, type ? SEC_BF16 : SEC_F32);
        x.a.ld_o = x.width + 1;
        oracle(&x);
        run_or_fail(b, &x);
        for (int i = 0; i < N_OUT; i++)
            assert_true(near_enough(&x, i, tolerance(&x), "unaligned"));
        release(&x);
    }
    b->destroy(b);
}

/* No tokens: the gradients of the relative rows are zero. No lse: the same output. */
static void test_empty_and_inference(void **state)
{
    static const int none[] = {0}, len[] = {70};
    struct sec_backend *b = open_cuda();
    for (int type = 0; type < 2; type++) {
        struct problem x, y;
        make(&x, &(struct shape){2, 64, 16, 64, 0, 0, none}, type ? SEC_BF16 : SEC_F32);
        memset(x.out[DQR], 0x11, out_bytes(&x, DQR));
        memset(x.out[DKR], 0x11, out_bytes(&x, DKR));
        run_or_fail(b, &x);
        for (int i = DQR; i <= DKR; i++)
            for (int64_t r = 0; r < x.a.rel_rows; r++)
                for (int64_t c = 0; c < x.width; c++)
                    assert_true(get(x.out[i], r * x.a.ld_drel + c, x.a.act) == 0);
        release(&x);

        struct device d = {.b = b};
        struct sec_attn a;
        void *out[N_OUT];
        struct shape s = {2, 64, 16, 64, 0, 1, len};
        make(&x, &s, type ? SEC_BF16 : SEC_F32);
        make(&y, &s, x.a.act);
        run_or_fail(b, &x);
        assert_int_equal(put(&d, &y, &a, out), 0);
        a.lse = NULL;
        a.d_o = a.dq = a.dk = a.dv = a.dqr = a.dkr = NULL;
        a.ld_do = a.ld_d = a.ld_drel = 0;
        assert_int_equal(b->attn(b, &a), 0);
        assert_int_equal(b->download(b, y.out[O], out[O], out_bytes(&y, O)), 0);
        assert_memory_equal(y.out[O], x.out[O], out_bytes(&x, O));
        for (int i = 0; i < d.n; i++)
            b->free(b, d.p[i]);
        release(&x);
        release(&y);
    }
    b->destroy(b);
}

/* The k-th CUDA call of a batch fails, for every k: an error, and what follows is right. */
static void test_faults(void **state)
{
    static const int len[] = {20, 3}, other[] = {70, 9, 1};
    const struct shape small = {1, 32, 16, 40, 0.1, 2, len};
    const struct shape large = {1, 32, 16, 40, 0.1, 3, other};
    struct cuda_host_config before = cuda_host_current(), c = before;
    struct problem want, x;
    c.quiet = true;
    struct sec_backend *b = open_cuda();
    make(&want, &large, SEC_BF16);
    run_or_fail(b, &want);
    b->destroy(b);
    int rc = -1;
    for (long k = 1; rc; k++) {
        b = open_cuda();
        make(&x, &small, SEC_BF16);
        run_or_fail(b, &x);
        release(&x);
        make(&x, &large, SEC_BF16);
        c.fail_at = k;
        cuda_host_configure(&c);
        rc = run(b, &x);
        if (rc && (rc != SEC_EDEVICE || !strstr(sec_error(), "cuda: ")))
            fail_msg("call %ld: %d: %s", k, rc, sec_error());
        cuda_host_configure(&before);
        cuda_host_reset();
        if (rc)
            run_or_fail(b, &x);
        assert_same_bits(&want, &x);
        release(&x);
        b->destroy(b);
        assert_int_equal(cuda_host_stats_now().allocated, 0);
    }
    release(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_head_dims),
        cmocka_unit_test(test_ragged_with_dropout),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_steep_table),
        cmocka_unit_test(test_mistakes_are_seen),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_alone_or_in_company),
        cmocka_unit_test(test_unaligned),
        cmocka_unit_test(test_empty_and_inference),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
