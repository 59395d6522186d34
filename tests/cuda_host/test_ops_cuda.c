/* The op table on the CUDA backend in emulation, against ref:
 *   compare   F32 and BF16, under every schedule the same bits
 *   rows      same bits for a row alone and among others
 *   faults    the k-th CUDA call of an op fails, for every k: an error, no crash, nothing leaked */
#include "tests/cuda_host/emulation.h"
#include "tests/unit/op_cases.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/error.h"

static const enum sec_dtype types[] = {SEC_F32, SEC_BF16};

/* Ops that the backend has. */
static bool has(const struct sec_backend *b, const struct op_case *c)
{
    return c->op != &op_attn || b->attn;
}

static struct sec_backend *open_cuda(void)
{
    struct sec_backend *b;
    int rc = sec_backend_cuda(&b);
    if (rc)
        fail_msg("%s", sec_error());
    return b;
}

/* One host buffer of a call and its place on the device. */
struct staged {
    void **where, *host, *device;
    size_t bytes;
};
struct stage {
    struct staged item[MAX_TENSORS + 5];
    int n;
};

static int stage_add(struct sec_backend *b, struct stage *s, void **where, size_t bytes)
{
    if (!*where || !bytes)
        return 0;
    struct staged *item = &s->item[s->n];
    *item = (struct staged){.where = where, .host = *where, .bytes = bytes};
    TRY(b->alloc(b, bytes, &item->device));
    s->n++;
    *where = item->device;
    return b->upload(b, item->device, item->host, bytes);
}

static int stage_in(struct sec_backend *b, struct stage *s, struct call *c)
{
    size_t rows = (size_t)c->c.dim[0];
    for (int i = 0; i < c->n; i++)
        TRY(stage_add(b, s, &c->t[i].data, (size_t)c->t[i].n * sec_dtype_size(c->t[i].type)));
    TRY(stage_add(b, s, (void **)&c->ids, rows * sizeof *c->ids));
    TRY(stage_add(b, s, (void **)&c->rows, rows * sizeof *c->rows));
    TRY(stage_add(b, s, (void **)&c->rank, rows * sizeof *c->rank));
    TRY(stage_add(b, s, (void **)&c->drop.row_key, rows * sizeof(uint64_t)));
    return stage_add(b, s, (void **)&c->drop.seed, sizeof(uint64_t));
}

/* Puts the host buffers back, with what the op wrote when it succeeded. */
static int stage_out(struct sec_backend *b, struct stage *s, struct call *c, int rc)
{
    for (int i = 0; i < s->n; i++) {
        struct staged *item = &s->item[i];
        if (!rc)
            rc = b->download(b, item->host, item->device, item->bytes);
        b->free(b, item->device);
        *item->where = item->host;
    }
    for (int64_t r = 0; !rc && c->rank && r < c->c.dim[0]; r++)
        sec_ref_set(data(c, "rank"), c->master, r, c->rank[r]);
    return rc;
}

static int run_staged(struct sec_backend *b, struct call *c)
{
    struct stage s = {.n = 0};
    int rc = stage_in(b, &s, c);
    if (!rc)
        rc = call_run(b, c);
    return stage_out(b, &s, c, rc);
}

static void run_or_fail(struct sec_backend *b, struct call *c)
{
    char text[128];
    case_text(c, text, sizeof text);
    if (run_staged(b, c))
        fail_msg("%s: %s", text, sec_error());
}

/* The backend adds the bias rounded to act (ops.h); the reference gets it so. */
static void round_bias(struct call *c)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->t[i].name, "bias") && c->act == SEC_BF16)
            for (int64_t j = 0; j < c->t[i].n; j++) {
                float *x = (float *)c->t[i].data + j;
                *x = sec_bf16_to_f32(sec_f32_to_bf16(*x));
            }
}

static void test_compare(void **state)
{
    struct sec_backend *ref, *b = open_cuda();
    int bad = 0;
    assert_int_equal(sec_backend_ref(&ref), 0);
    for (int i = 0; i < N_CASES; i++)
        for (int t = 0; t < 2 && has(b, &cases[i]); t++) {
            struct call want, got;
            call_init(&want, &cases[i], types[t]);
            call_init(&got, &cases[i], types[t]);
            round_bias(&want);
            assert_int_equal(call_run(ref, &want), 0);
            run_or_fail(b, &got);
            for (int j = 0; j < got.n; j++)
                if (got.t[j].role != IN)
                    bad += compare_tensor(&got, &got.t[j], &want.t[j], "cuda");
            call_free(&got);
            call_free(&want);
        }
    b->destroy(b);
    ref->destroy(ref);
    assert_int_equal(bad, 0);
}

struct again {
    struct sec_backend *b;
    const struct op_case *oc;
    enum sec_dtype type;
    struct call first;
    int runs, bad;
};

static void run_again(void *arg)
{
    struct again *a = arg;
    struct call c, *into = a->runs++ ? &c : &a->first;
    call_init(into, a->oc, a->type);
    run_or_fail(a->b, into);
    if (into == &a->first)
        return;
    a->bad += compare_bits(&a->first, &c, -1, "under another schedule");
    call_free(&c);
}

static void test_schedules(void **state)
{
    struct sec_backend *b = open_cuda();
    int bad = 0;
    for (int i = 0; i < N_CASES; i++)
        for (int t = 0; t < 2 && has(b, &cases[i]); t++) {
            struct again a = {.b = b, .oc = &cases[i], .type = types[t]};
            if (cases[i].dim[0] * (cases[i].dim[1] + 1) > 70000)
                continue; /* ten runs of each: the small ones */
            cuda_host_each_schedule(run_again, &a);
            bad += a.bad;
            call_free(&a.first);
        }
    b->destroy(b);
    assert_int_equal(bad, 0);
}

/* Runs rows begin .. begin+count of a case on their own and compares with the whole. */
static int check_slice(struct sec_backend *b, const struct call *whole, int64_t begin,
                       int64_t count)
{
    struct op_case part = whole->c;
    struct call c;
    part.dim[0] = count;
    part.row0 = begin;
    if (part.seqs[0]) {
        memset(part.seqs, 0, sizeof part.seqs);
        part.seqs[0] = (int32_t)count;
    }
    call_init(&c, &part, whole->act);
    run_or_fail(b, &c);
    int bad = compare_bits(whole, &c, begin, "from the same rows among others");
    call_free(&c);
    return bad;
}

static void test_rows(void **state)
{
    struct sec_backend *b = open_cuda();
    int bad = 0;
    for (int i = 0; i < N_CASES; i++)
        for (int t = 0; t < 2 && has(b, &cases[i]); t++) {
            struct call whole;
            if ((cases[i].flags & F_TRANS_A) || cases[i].dim[0] < 2)
                continue;
            call_init(&whole, &cases[i], types[t]);
            run_or_fail(b, &whole);
            int64_t rows = cases[i].dim[0];
            for (int s = 0; s < whole.n_seqs; s++)
                bad += check_slice(b, &whole, whole.cu[s], whole.cu[s + 1] - whole.cu[s]);
            if (!whole.n_seqs)
                bad += check_slice(b, &whole, 0, 1) + check_slice(b, &whole, rows / 2, 1) +
                       check_slice(b, &whole, rows > 2, rows > 2 ? rows - 2 : 1);
            call_free(&whole);
        }
    b->destroy(b);
    assert_int_equal(bad, 0);
}

/* Opening, running and closing with the k-th call failing. */
static void test_faults(void **state)
{
    struct cuda_host_config before = cuda_host_current(), c = before;
    c.quiet = true;
    for (int i = 0; i < N_CASES; i++) {
        const struct op_case *oc = &cases[i];
        if (oc->op == &op_attn || (i && oc[-1].op == oc->op))
            continue; /* the first case of each op */
        int rc = -1;
        for (long k = 1; rc; k++) {
            struct sec_backend *b;
            struct call call;
            c.fail_at = k;
            cuda_host_configure(&c);
            rc = sec_backend_cuda(&b);
            if (!rc) {
                call_init(&call, oc, SEC_BF16);
                rc = run_staged(b, &call);
                call_free(&call);
                b->destroy(b);
            }
            if (rc && (rc != SEC_EDEVICE || !strstr(sec_error(), "cuda: ")))
                fail_msg("%s, call %ld: %d: %s", oc->op->name, k, rc, sec_error());
            assert_int_equal(cuda_host_stats_now().allocated, 0);
            cuda_host_reset();
        }
    }
    cuda_host_configure(&before);
}

static void test_open(void **state)
{
    static const struct {
        int devices, driver;
        size_t memory;
        const char *text;
    } bad[] = {{0, 13000, 8 << 20, "no NVIDIA driver"},
               {1, 12080, 8 << 20, "supports CUDA 12.8, this build needs 13.0"},
               {1, 13000, 8 << 20, "cudaMalloc: 33554432 bytes"}};
    struct cuda_host_config before = cuda_host_current(), c = before;
    struct sec_backend *b;
    c.quiet = true;
    for (int i = 0; i < 3; i++) {
        c.devices = bad[i].devices;
        c.driver = bad[i].driver;
        c.memory = bad[i].memory;
        cuda_host_configure(&c);
        assert_int_equal(sec_backend_cuda(&b), SEC_EDEVICE);
        assert_null(b);
        if (!strstr(sec_error(), bad[i].text))
            fail_msg("\"%s\" is not in \"%s\"", bad[i].text, sec_error());
        cuda_host_reset();
    }
    c.memory = (size_t)64 << 20;
    cuda_host_configure(&c);
    b = open_cuda();
    void *p;
    assert_string_equal(b->name, "cuda");
    assert_false(b->host);
    assert_int_equal(b->alloc(b, (size_t)40 << 20, &p), SEC_EDEVICE);
    assert_non_null(strstr(sec_error(), "32 MiB of the device's 64 MiB are free"));
    b->destroy(b);
    cuda_host_configure(&before);
    cuda_host_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),      cmocka_unit_test(test_compare),
        cmocka_unit_test(test_schedules), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
