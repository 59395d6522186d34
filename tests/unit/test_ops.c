/* Every op of every backend at every instruction set of this machine.
 *   compare   cpu against ref, F32 and BF16
 *   gradient  every backward of ref at F64 against finite differences
 *   threads   same bits on 1, 2 and 3 threads
 *   rows      same bits for a row alone and among others
 * `test_ops speed [op]` prints rates instead of testing. */
#include "kernels/cpu/cpu.h"
#include "tests/unit/op_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static const enum sec_dtype types[] = {SEC_F32, SEC_BF16};

static struct sec_backend *ref_backend(void)
{
    struct sec_backend *b;
    assert_int_equal(sec_backend_ref(&b), 0);
    return b;
}

static struct sec_backend *cpu_backend(enum sec_isa isa, int threads)
{
    struct sec_backend *b;
    assert_int_equal(sec_backend_cpu_with(isa, threads, &b), 0);
    return b;
}

static void test_compare(void **state)
{
    struct sec_backend *ref = ref_backend();
    int bad = 0;
    for (int i = 0; i < N_CASES; i++)
        for (int t = 0; t < 2; t++) {
            struct call want;
            call_init(&want, &cases[i], types[t]);
            assert_int_equal(call_run(ref, &want), 0);
            for (int isa = 0; isa <= (int)sec_cpu_isa_detected(); isa++) {
                struct sec_backend *cpu = cpu_backend((enum sec_isa)isa, 2);
                struct call got;
                call_init(&got, &cases[i], types[t]);
                assert_int_equal(call_run(cpu, &got), 0);
                for (int j = 0; j < got.n; j++)
                    if (got.t[j].role != IN)
                        bad += compare_tensor(&got, &got.t[j], &want.t[j],
                                              sec_isa_name((enum sec_isa)isa));
                call_free(&got);
                cpu->destroy(cpu);
            }
            call_free(&want);
        }
    ref->destroy(ref);
    assert_int_equal(bad, 0);
}

/* The scalar whose gradient the backward computes: upstream gradients times outputs. */
static double objective(struct sec_backend *b, struct call *c)
{
    call_rewind(c);
    assert_int_equal(c->c.op->forward(b, c), 0);
    double sum = 0;
    for (int i = 0; i < c->n; i++)
        for (int64_t j = 0; c->t[i].role == OUT && c->t[i].grad >= 0 && j < c->t[i].n; j++)
            sum += get(&c->t[i], j) * get(&c->t[c->t[i].grad], j);
    return sum;
}

static double analytic(const struct tensor *g, int64_t i)
{
    return get(g, i) - (g->before ? g->before[i] : 0);
}

/* Central differences of fourth order on up to 60 elements of one input. */
static int check_input(struct sec_backend *b, struct call *c, struct tensor *x,
                       const double *gradient, int64_t n)
{
    double *v = x->data, scale = 0;
    int bad = 0;
    for (int64_t i = 0; i < n; i++)
        scale += gradient[i] * gradient[i];
    scale = sqrt(scale / (double)n) + 1e-3;
    for (int64_t s = 0, count = n < 60 ? n : 60; s < count; s++) {
        int64_t i = n <= 60 ? s : (int64_t)(mix64((uint64_t)s) % (uint64_t)n);
        double keep = v[i], h = 1e-3, f[4];
        for (int j = 0; j < 4; j++) {
            v[i] = keep + h * (j < 2 ? j - 2 : j - 1);
            f[j] = objective(b, c);
        }
        v[i] = keep;
        double numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
        if (fabs(numeric - gradient[i]) <= 1e-6 * (scale + fabs(gradient[i])))
            continue;
        char text[128];
        case_text(c, text, sizeof text);
        printf("%s: d/d%s[%lld] is %.10g, finite difference %.10g\n", text, x->name, (long long)i,
               gradient[i], numeric);
        bad = 1;
    }
    return bad;
}

static int check_gradient(struct sec_backend *b, const struct op_case *oc)
{
    struct call c;
    int bad = 0;
    call_init(&c, oc, SEC_F64);
    assert_int_equal(call_run(b, &c), 0);
    double *gradient[MAX_TENSORS] = {0}; /* of every input, before rewinding */
    for (int i = 0; i < c.n; i++) {
        if (c.t[i].role != IN || c.t[i].grad < 0)
            continue;
        gradient[i] = sec_xmalloc((size_t)c.t[i].n * sizeof(double));
        for (int64_t j = 0; j < c.t[i].n; j++)
            gradient[i][j] = analytic(&c.t[c.t[i].grad], j);
    }
    for (int i = 0; i < c.n; i++)
        if (gradient[i])
            bad += check_input(b, &c, &c.t[i], gradient[i], c.t[i].n);
    for (int i = 0; i < c.n; i++)
        free(gradient[i]);
    call_free(&c);
    return bad;
}

static const struct op_case gradient_cases[] = {
    {.op = &op_linear, .dim = {5, 4, 3}},
    {.op = &op_linear, .dim = {3, 6, 5}, .flags = F_GELU},
    {.op = &op_embed, .dim = {9, 3, 4}},
    {.op = &op_add_ln, .dim = {4, 7}},
    {.op = &op_add_ln, .dim = {5, 9}, .flags = F_RESIDUAL, .p = 0.3f},
    {.op = &op_add_ln, .dim = {5, 9}, .flags = F_RESIDUAL | F_IN_PLACE, .p = 0.3f},
    {.op = &op_dropout, .dim = {5, 9}, .p = 0.4f},
    {.op = &op_gelu, .dim = {6, 10}},
    {.op = &op_gather, .dim = {3, 4, 7}},
    {.op = &op_attn, .dim = {13, 2, 4, 8}, .seqs = {8, 1, 4}},
    {.op = &op_attn, .dim = {13, 2, 4, 8}, .p = 0.3f, .seqs = {8, 1, 4}},
    {.op = &op_attn, .dim = {40, 1, 3, 6}, .p = 0.1f, .seqs = {40}},
    {.op = &op_conv, .dim = {11, 3, 3}, .seqs = {1, 6, 4}},
    {.op = &op_conv, .dim = {11, 2, 5}, .seqs = {2, 9}},
    {.op = &op_xent, .dim = {4, 9}},
};

static void test_gradient(void **state)
{
    struct sec_backend *ref = ref_backend();
    int bad = 0;
    for (size_t i = 0; i < sizeof gradient_cases / sizeof *gradient_cases; i++)
        bad += check_gradient(ref, &gradient_cases[i]);
    ref->destroy(ref);
    assert_int_equal(bad, 0);
}

static void test_threads(void **state)
{
    int bad = 0;
    for (int isa = 0; isa <= (int)sec_cpu_isa_detected(); isa++)
        for (int i = 0; i < N_CASES; i++)
            for (int t = 0; t < 2; t++) {
                struct call c[3];
                for (int k = 0; k < 3; k++) {
                    struct sec_backend *cpu = cpu_backend((enum sec_isa)isa, k + 1);
                    call_init(&c[k], &cases[i], types[t]);
                    assert_int_equal(call_run(cpu, &c[k]), 0);
                    cpu->destroy(cpu);
                }
                for (int k = 1; k < 3; k++) {
                    bad += compare_bits(&c[0], &c[k], -1, k == 1 ? "on 2 threads" : "on 3 threads");
                    call_free(&c[k]);
                }
                call_free(&c[0]);
            }
    assert_int_equal(bad, 0);
}

/* Runs rows begin .. begin+count of a case on their own and compares with the whole. */
static int check_slice(struct sec_backend *b, const struct call *whole, int64_t begin,
                       int64_t count)
{
    struct op_case part = whole->c;
    part.dim[0] = count;
    part.row0 = begin;
    if (part.seqs[0]) {
        memset(part.seqs, 0, sizeof part.seqs);
        part.seqs[0] = (int32_t)count;
    }
    struct call c;
    call_init(&c, &part, whole->act);
    assert_int_equal(call_run(b, &c), 0);
    int bad = compare_bits(whole, &c, begin, "from the same rows among others");
    call_free(&c);
    return bad;
}

static int check_rows(struct sec_backend *b, const struct op_case *oc, enum sec_dtype type)
{
    struct call whole;
    call_init(&whole, oc, type);
    assert_int_equal(call_run(b, &whole), 0);
    int bad = 0;
    for (int s = 0; s < whole.n_seqs; s++)
        bad += check_slice(b, &whole, whole.cu[s], whole.cu[s + 1] - whole.cu[s]);
    int64_t rows = oc->dim[0], at[] = {0, rows / 2, rows - 1};
    for (int i = 0; i < 3 && !whole.n_seqs; i++)
        bad += check_slice(b, &whole, at[i], 1);
    if (!whole.n_seqs && rows > 2)
        bad += check_slice(b, &whole, 1, rows - 2);
    call_free(&whole);
    return bad;
}

static void test_rows(void **state)
{
    int bad = 0;
    for (int isa = 0; isa <= (int)sec_cpu_isa_detected(); isa++) {
        struct sec_backend *cpu = cpu_backend((enum sec_isa)isa, 2);
        for (int i = 0; i < N_CASES; i++)
            for (int t = 0; t < 2; t++)
                if (!(cases[i].flags & F_TRANS_A) && cases[i].dim[0] > 1)
                    bad += check_rows(cpu, &cases[i], types[t]);
        cpu->destroy(cpu);
    }
    assert_int_equal(bad, 0);
}

static void test_open(void **state)
{
    static const char *const names[] = {"ref", "cpu", "auto"};
    struct sec_backend *b;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sec_backend_open(names[i], &b), 0);
        assert_string_equal(b->name, i ? "cpu" : "ref");
        assert_true(b->host);
        b->destroy(b);
    }
    assert_true(sec_backend_open("tpu", &b) < 0);
}

/* Speed. */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Least seconds of a call over at least 5 runs and 0.3 s. */
static double best_time(struct sec_backend *b, struct call *c,
                        int (*fn)(struct sec_backend *, struct call *))
{
    double best = INFINITY, end = now() + 0.3;
    fn(b, c); /* warm-up */
    for (int n = 0; n < 5 || now() < end; n++) {
        double start = now();
        fn(b, c);
        double seconds = now() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static void print_rate(const char *what, double work, double seconds)
{
    printf("   %s %9.3f ms %8.1f %s", what, 1e3 * seconds, fabs(work) / seconds * 1e-9,
           work < 0 ? "GB/s   " : "GFLOP/s");
}

static const struct op_case speed_cases[] = {
    {.op = &op_cast, .dim = {1 << 24}},
    {.op = &op_gemm, .dim = {2048, 768, 768}, .flags = F_TRANS_B | F_BIAS},
    {.op = &op_gemm, .dim = {2048, 3072, 768}, .flags = F_TRANS_B | F_GELU},
    {.op = &op_gemm, .dim = {3072, 768, 2048}, .flags = F_TRANS_A | F_ACCUMULATE | F_MASTER_C},
    {.op = &op_embed, .dim = {8192, 768, 29952}},
    {.op = &op_add_ln, .dim = {8192, 768}, .flags = F_RESIDUAL},
    {.op = &op_add_ln, .dim = {8192, 768}, .flags = F_RESIDUAL, .p = 0.1f},
    {.op = &op_add_ln, .dim = {49152, 128}, .flags = F_RESIDUAL},
    {.op = &op_dropout, .dim = {8192, 768}, .p = 0.1f},
    {.op = &op_gelu, .dim = {4096, 3072}},
    {.op = &op_add, .dim = {8192, 768}},
    {.op = &op_bias_grad, .dim = {8192, 768}},
    {.op = &op_bias_grad, .dim = {1024, 29952}},
    {.op = &op_gather, .dim = {2048, 768, 16384}},
    {.op = &op_attn, .dim = {4096, 12, 64, 512}, .seqs = {512, 512, 512, 512, 512, 512, 512, 512}},
    {.op = &op_attn, .dim = {2048, 12, 64, 512}, .seqs = {2048}},
    {.op = &op_conv, .dim = {2048, 768, 3}, .seqs = {1024, 1000, 24}},
    {.op = &op_xent, .dim = {512, 29952}},
    {.op = &op_adamw, .dim = {1 << 24, 10}},
    {.op = &op_sumsq, .dim = {1 << 25}},
};

static int speed(const char *only)
{
    struct sec_backend *b;
    if (sec_backend_cpu(&b))
        return 1;
    printf("%s, %s\n", sec_cpu_model(), b->detail);
    size_t bytes = (size_t)1 << 28;
    char *from = sec_alloc_aligned(bytes), *to = sec_alloc_aligned(bytes);
    memset(from, 1, bytes);
    memset(to, 1, bytes);
    double best = INFINITY;
    for (int i = 0; i < 5; i++) {
        double start = now();
        b->copy(b, to, from, bytes);
        best = now() - start < best ? now() - start : best;
    }
    printf("memcpy of 256 MiB, one thread: %.1f GB/s read and written\n",
           2e-9 * (double)bytes / best);
    sec_free_aligned(from);
    sec_free_aligned(to);
    for (size_t i = 0; i < sizeof speed_cases / sizeof *speed_cases; i++)
        for (int t = 0; t < 2; t++) {
            struct call c;
            char text[128];
            if (only && strcmp(only, speed_cases[i].op->name))
                continue;
            call_init(&c, &speed_cases[i], types[t]);
            case_text(&c, text, sizeof text);
            printf("%-40s", text);
            print_rate("fwd", c.work[0], best_time(b, &c, c.c.op->forward));
            if (c.c.op->backward)
                print_rate("bwd", c.work[1], best_time(b, &c, c.c.op->backward));
            printf("\n");
            call_free(&c);
        }
    b->destroy(b);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "speed"))
        return speed(argc > 2 ? argv[2] : NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),    cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
