/* Disentangled attention of the cpu backend, forward and backward, against its definition (ops.h)
 * written as plain double loops (attn_case.h): every instruction set, fp32 and bf16, lengths around
 * the block borders and above max_relative_positions, ragged batches, dropout; the same bits for
 * any number of threads, and for a sequence alone or in company. */
#include "base/cpu.h"
#include "kernels/cpu/cpu.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/attn_case.h"

static void run(struct problem *x, enum sec_isa isa, int threads)
{
    struct sec_backend *b;
    assert_int_equal(sec_backend_cpu_with(isa, threads, &b), 0);
    assert_int_equal(b->attn(b, &x->a), 0);
    assert_int_equal(b->attn_bwd(b, &x->a), 0);
    b->destroy(b);
}

static void compare(const struct problem *x, enum sec_isa isa, double tol_o, double tol_grad)
{
    bool good = true;
    for (int i = 0; i < N_OUT; i++)
        good &= near_enough(x, i, i == O ? tol_o : tol_grad, sec_isa_name(isa));
    assert_true(good);
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
