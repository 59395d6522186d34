/* The op table on a backend with memory of its own: a call's buffers are copied to the device, the
 * op runs there, and what it wrote comes back. All static: included by the test programs, after
 * cmocka.h. */
#ifndef SEC_TESTS_OP_DEVICE_H
#define SEC_TESTS_OP_DEVICE_H

#include "base/error.h"
#include "tests/unit/op_cases.h"

static const enum sec_dtype types[] = {SEC_F32, SEC_BF16};

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

/* One case of one type against ref; the number of outputs out of bounds. */
static int compare_case(struct sec_backend *b, const struct op_case *oc, enum sec_dtype type)
{
    struct sec_backend *ref;
    struct call want, got;
    int bad = 0;
    assert_int_equal(sec_backend_ref(&ref), 0);
    call_init(&want, oc, type);
    call_init(&got, oc, type);
    round_bias(&want);
    assert_int_equal(call_run(ref, &want), 0);
    run_or_fail(b, &got);
    for (int j = 0; j < got.n; j++)
        if (got.t[j].role != IN)
            bad += compare_tensor(&got, &got.t[j], &want.t[j], b->name);
    call_free(&got);
    call_free(&want);
    ref->destroy(ref);
    return bad;
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

/* Same bits for some rows alone, and among the others. */
static int check_rows(struct sec_backend *b, const struct op_case *oc, enum sec_dtype type)
{
    struct call whole;
    int bad = 0;
    int64_t rows = oc->dim[0];
    if ((oc->flags & F_TRANS_A) || rows < 2)
        return 0;
    call_init(&whole, oc, type);
    run_or_fail(b, &whole);
    for (int s = 0; s < whole.n_seqs; s++)
        bad += check_slice(b, &whole, whole.cu[s], whole.cu[s + 1] - whole.cu[s]);
    if (!whole.n_seqs)
        bad += check_slice(b, &whole, 0, 1) + check_slice(b, &whole, rows / 2, 1) +
               check_slice(b, &whole, rows > 2, rows > 2 ? rows - 2 : 1);
    call_free(&whole);
    return bad;
}

/* Calls f for every case of at most `rows` rows and every type; the sum of what it returns. */
static int for_cases(const struct op_case *list, int n, int64_t rows,
                     int (*f)(struct sec_backend *b, const struct op_case *oc, enum sec_dtype t))
{
    struct sec_backend *b = open_cuda();
    int bad = 0;
    for (int i = 0; i < n; i++)
        for (int t = 0; t < 2 && list[i].dim[0] <= rows; t++)
            bad += f(b, &list[i], types[t]);
    b->destroy(b);
    return bad;
}

#endif
