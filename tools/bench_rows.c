/* Ops that are bound by memory: bytes moved a second, every operand counted once. */
#include "base/error.h"
#include "tools/bench.h"

#include <stdio.h>
#include <string.h>

enum { COLS = 768, VOCAB = 29952 };

/* One op on its buffers; the fields that it needs are set. */
struct rows_run {
    struct sec_backend *be;
    enum sec_dtype act;
    int64_t rows;
    void *x, *y, *z;     /* [rows, COLS] act; z of its gradient */
    void *mean, *vector; /* [2 rows], [4 COLS] fp32 */
    void *logits, *labels, *loss;
    int64_t logit_rows;
    void *master[4], *copy; /* [rows, COLS] fp32, act */
};

static int add_ln(struct rows_run *r)
{
    float *v = r->vector, *m = r->mean;
    return r->be->add_ln(r->be, &(struct sec_add_ln){.rows = r->rows,
                                                     .cols = COLS,
                                                     .act = r->act,
                                                     .eps = 1e-7f,
                                                     .a = r->x,
                                                     .residual = r->y,
                                                     .gamma = v,
                                                     .beta = v + COLS,
                                                     .s = r->x,
                                                     .y = r->z,
                                                     .mean = m,
                                                     .rstd = m + r->rows});
}
static int add_ln_bwd(struct rows_run *r)
{
    float *v = r->vector, *m = r->mean;
    return r->be->add_ln_bwd(r->be, &(struct sec_add_ln_bwd){.rows = r->rows,
                                                             .cols = COLS,
                                                             .act = r->act,
                                                             .dy = r->z,
                                                             .s = r->x,
                                                             .mean = m,
                                                             .rstd = m + r->rows,
                                                             .gamma = v,
                                                             .ds = r->y,
                                                             .dgamma = v + 2 * COLS,
                                                             .dbeta = v + 3 * COLS});
}
static int gelu(struct rows_run *r)
{
    return r->be->gelu(r->be, r->x, r->y, r->rows * COLS, r->act);
}
static int gelu_bwd(struct rows_run *r)
{
    return r->be->gelu_bwd(r->be, r->z, r->x, r->y, r->rows * COLS, r->act);
}
static int bias_grad(struct rows_run *r)
{
    return r->be->bias_grad(r->be, r->x, r->rows, COLS, COLS, r->act, r->vector);
}
static int xent(struct rows_run *r)
{
    return r->be->xent(r->be, &(struct sec_xent){.rows = r->logit_rows,
                                                 .cols = VOCAB,
                                                 .type = r->act,
                                                 .logits = r->logits,
                                                 .ld = VOCAB,
                                                 .labels = r->labels,
                                                 .scale = 1e-3,
                                                 .want_grad = true,
                                                 .loss = r->loss});
}
static int adamw(struct rows_run *r)
{
    return r->be->adamw(r->be, &(struct sec_adamw){.n = r->rows * COLS,
                                                   .step = 10,
                                                   .master = SEC_F32,
                                                   .param = r->master[0],
                                                   .m = r->master[1],
                                                   .v = r->master[2],
                                                   .grad = r->master[3],
                                                   .copy = r->act == SEC_BF16 ? r->copy : NULL,
                                                   .lr = 1e-4,
                                                   .beta1 = 0.9,
                                                   .beta2 = 0.98,
                                                   .eps = 1e-6,
                                                   .weight_decay = 0.01,
                                                   .grad_scale = 1});
}

/* Values moved a row: act and fp32. Those of xent are logits. */
static const struct {
    const char *name;
    int (*run)(struct rows_run *r);
    int act, master;
    bool logits;
} ops[] = {{"residual + layer norm", add_ln, 4, 0, false},
           {"layer norm backward", add_ln_bwd, 3, 0, false},
           {"gelu", gelu, 2, 0, false},
           {"gelu backward", gelu_bwd, 3, 0, false},
           {"bias gradient", bias_grad, 1, 0, false},
           {"cross-entropy", xent, 2, 0, true},
           {"adamw", adamw, 1, 7, false}};

struct timed {
    struct rows_run *r;
    int op;
};

static int run_op(void *ctx)
{
    struct timed *t = ctx;
    struct sec_backend *be = t->r->be;
    int rc = 0;
    for (int i = 0; !rc && i < sec_bench_calls(be); i++)
        rc = ops[t->op].run(t->r);
    return rc ? rc : be->sync(be);
}

static int make_buffers(struct rows_run *r)
{
    struct sec_backend *be = r->be;
    int64_t n = r->rows * COLS;
    int rc;
    r->logit_rows = r->rows / 64;
    SEC_TRY(sec_bench_values(be, n, r->act, &r->x));
    SEC_TRY(sec_bench_values(be, n, r->act, &r->y));
    SEC_TRY(sec_bench_values(be, n, r->act, &r->z));
    SEC_TRY(sec_bench_values(be, 2 * r->rows, SEC_F32, &r->mean));
    SEC_TRY(sec_bench_values(be, 4 * COLS, SEC_F32, &r->vector));
    SEC_TRY(sec_bench_values(be, r->logit_rows * VOCAB, r->act, &r->logits));
    SEC_TRY(sec_bench_values(be, r->logit_rows, SEC_F32, &r->loss));
    SEC_TRY(sec_bench_values(be, r->logit_rows, SEC_F32, &r->labels));
    SEC_TRY(be->zero(be, r->labels, (size_t)r->logit_rows * sizeof(uint16_t)));
    for (int i = 0; i < 4; i++)
        SEC_TRY(sec_bench_values(be, n, SEC_F32, &r->master[i]));
    SEC_TRY(be->zero(be, r->master[2], (size_t)n * sizeof(float)));
    rc = sec_bench_values(be, n, SEC_BF16, &r->copy);
fail:
    return rc;
}

static void free_buffers(struct rows_run *r)
{
    void *all[] = {r->x,         r->y,         r->z,        r->mean, r->vector,
                   r->logits,    r->loss,      r->labels,   r->copy, r->master[0],
                   r->master[1], r->master[2], r->master[3]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        r->be->free(r->be, all[i]);
}

static int bench_type(struct sec_bench *b, struct sec_backend *be, enum sec_dtype act)
{
    struct rows_run r = {.be = be, .act = act, .rows = be->host ? 4096 : 32768};
    int rc = make_buffers(&r);
    for (int i = 0; !rc && i < (int)(sizeof ops / sizeof *ops); i++) {
        struct timed t = {&r, i};
        double values = ops[i].logits ? (double)r.logit_rows * VOCAB : (double)r.rows * COLS;
        int moved = act == SEC_F32 && ops[i].master ? 0 : ops[i].act; /* no bf16 copy */
        double bytes = values * (moved * (double)sec_dtype_size(act) + 4.0 * ops[i].master);
        char name[96];
        snprintf(name, sizeof name, "%s %s", ops[i].name, sec_bench_type(act));
        rc = sec_bench_time(b, name, "GB/s", 1e-9 * bytes * sec_bench_calls(be), 0, run_op, &t);
    }
    free_buffers(&r);
    return rc;
}

int sec_bench_rows(struct sec_bench *b)
{
    struct sec_backend *be = NULL;
    int rc;
    SEC_TRY(sec_backend_open(b->device, &be));
    SEC_TRY(bench_type(b, be, SEC_F32));
    rc = bench_type(b, be, SEC_BF16);
fail:
    if (be)
        be->destroy(be);
    return rc;
}
