/* The op table's machinery: a case is an op, a shape and options; a call is a case with its tensors
 * for one type. Tensor values depend on (name, index) only, so that every backend, and a slice of
 * the rows alone, sees the same numbers. All static: included by test_ops.c. */
#ifndef SEC_TESTS_OP_CASE_H
#define SEC_TESTS_OP_CASE_H

#include "base/hash.h"
#include "base/mem.h"
#include "kernels/dropout.h"
#include "kernels/ops.h"
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 20, MAX_DIMS = 6, MAX_SEQS = 8 };

enum flag {
    F_TRANS_A = 1,
    F_TRANS_B = 2,
    F_ACCUMULATE = 4,
    F_MASTER_C = 8,
    F_BIAS = 16,
    F_GELU = 32, /* with bias */
    F_RESIDUAL = 64,
    F_IN_PLACE = 128,
    F_PAD = 256,
    F_INFERENCE = 512, /* optional outputs are NULL */
    F_LARGE = 1024,    /* logits of wide range */
    F_NO_LABEL = 2048, /* of every third row */
};

struct op_case {
    const struct op *op;
    int64_t dim[MAX_DIMS]; /* dim[0] = rows */
    int flags;
    float p;                /* dropout */
    int32_t seqs[MAX_SEQS]; /* lengths; their sum is dim[0] */
    int64_t row0;           /* slices: index of the first row in the whole */
};

enum role { IN, OUT, INOUT };

struct tensor {
    const char *name;
    enum sec_dtype type;
    enum role role;
    int64_t n, row_width; /* row_width 0: not one row per row of the case */
    void *data;
    double *before; /* INOUT: what was there */
    int grad;       /* IN: its gradient tensor; OUT: the upstream gradient; -1: none */
};

struct call {
    struct op_case c;
    enum sec_dtype act, master;
    struct tensor t[MAX_TENSORS];
    int n;
    int32_t cu[MAX_SEQS + 1], n_seqs, max_seqlen;
    uint16_t *ids, *rel_idx;
    int32_t *rows, *rank;
    uint64_t *key; /* of the rows; behind them the seed */
    struct sec_dropout drop;
    int64_t k;      /* length of the longest sum: error grows with its root */
    double work[2]; /* forward, backward: flops, or bytes moved when below 0 */
};

struct op {
    const char *name;
    void (*setup)(struct call *c);
    int (*forward)(struct sec_backend *b, struct call *c);
    int (*backward)(struct sec_backend *b, struct call *c); /* NULL: none */
    bool exact;                                             /* same bits as ref */
    double bf16_l2; /* above 0: rounded values feed later sums; allowed relative L2 error at BF16 */
    double unit;    /* size of terms that may cancel in a result: a floor for the tolerance */
};

static inline uint64_t mix64(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static inline uint64_t name_seed(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    return h;
}

/* Triangular distribution, mean 0, variance 1. */
static inline double value_at(uint64_t seed, int64_t i)
{
    uint64_t r = mix64(seed + (uint64_t)i * 0x2545F4914F6CDD1Du);
    return ((double)(uint32_t)r + (double)(r >> 32) - 4294967295.0) / 4294967296.0 * 2.449;
}

/* Adds a tensor and fills it: IN and INOUT with mean + std * value, OUT with NaN. Returns its
 * index. */
static int tensor(struct call *c, const char *name, enum role role, enum sec_dtype type, int64_t n,
                  int64_t row_width, double std, double mean)
{
    struct tensor *t = &c->t[c->n];
    *t = (struct tensor){
        .name = name, .type = type, .role = role, .n = n, .row_width = row_width, .grad = -1};
    t->data = sec_alloc_aligned((size_t)(n + 1) * sec_dtype_size(type));
    uint64_t seed = name_seed(name);
    int64_t first = c->c.row0 * row_width;
    for (int64_t i = 0; i < n; i++)
        sec_ref_set(t->data, type, i,
                    role == OUT ? (double)NAN : mean + std * value_at(seed, first + i));
    if (role == INOUT) {
        t->before = sec_xmalloc((size_t)(n + 1) * sizeof(double));
        for (int64_t i = 0; i < n; i++)
            t->before[i] = sec_ref_get(t->data, type, i);
    }
    return c->n++;
}

/* Sets INOUT tensors back to what they held. */
static inline void call_rewind(struct call *c)
{
    for (int j = 0; j < c->n; j++)
        for (int64_t i = 0; c->t[j].before && i < c->t[j].n; i++)
            sec_ref_set(c->t[j].data, c->t[j].type, i, c->t[j].before[i]);
}

static void call_init(struct call *c, const struct op_case *oc, enum sec_dtype act)
{
    *c = (struct call){.c = *oc, .act = act, .master = sec_master_type(act), .k = 1};
    int64_t rows = oc->dim[0];
    c->key = sec_xcalloc((size_t)rows + 1, sizeof *c->key);
    for (int64_t r = 0; r < rows; r++)
        c->key[r] = mix64((uint64_t)(oc->row0 + r));
    c->key[rows] = 0x1234567890ABCDEFu;
    c->drop = (struct sec_dropout){.p = oc->p, .site = 7};
    if (oc->p > 0) {
        c->drop.row_key = c->key;
        c->drop.seed = c->key + rows;
    }
    for (; c->n_seqs < MAX_SEQS && oc->seqs[c->n_seqs]; c->n_seqs++) {
        int32_t len = oc->seqs[c->n_seqs];
        c->cu[c->n_seqs + 1] = c->cu[c->n_seqs] + len;
        c->max_seqlen = len > c->max_seqlen ? len : c->max_seqlen;
    }
    oc->op->setup(c);
}

static void call_free(struct call *c)
{
    for (int i = 0; i < c->n; i++) {
        sec_free_aligned(c->t[i].data);
        free(c->t[i].before);
    }
    free(c->key);
    free(c->ids);
    free(c->rel_idx);
    free(c->rows);
    free(c->rank);
}

static void *data(struct call *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->t[i].name, name))
            return c->t[i].data;
    return NULL; /* this case does not have it */
}

static inline double get(const struct tensor *t, int64_t i)
{
    return sec_ref_get(t->data, t->type, i);
}

static int call_run(struct sec_backend *b, struct call *c)
{
    int rc = c->c.op->forward(b, c);
    return rc || !c->c.op->backward ? rc : c->c.op->backward(b, c);
}

static void case_text(const struct call *c, char *out, size_t size)
{
    static const char *const types[] = {"F32", "BF16", "F64"};
    int n = snprintf(out, size, "%s", c->c.op->name);
    for (int i = 0; i < MAX_DIMS && c->c.dim[i]; i++)
        n += snprintf(out + n, size - (size_t)n, "%s%lld", i ? "x" : " ", (long long)c->c.dim[i]);
    if (c->c.flags)
        n += snprintf(out + n, size - (size_t)n, " flags %d", c->c.flags);
    if (c->c.p > 0)
        n += snprintf(out + n, size - (size_t)n, " p %g", (double)c->c.p);
    snprintf(out + n, size - (size_t)n, " %s", types[c->act]);
}

/* Compares one output of two calls; prints the worst element and returns 1 if it is out of bounds.
 */
static int compare_tensor(const struct call *c, const struct tensor *got, const struct tensor *want,
                          const char *label)
{
    bool chained = c->c.op->bf16_l2 > 0, exact = c->c.op->exact;
    bool bf16 = c->act == SEC_BF16 && (chained || want->type == SEC_BF16);
    double rms = 0, diff = 0, worst = 0;
    int64_t where = 0;
    for (int64_t i = 0; i < want->n; i++)
        rms += get(want, i) * get(want, i);
    rms = sqrt(rms / (double)(want->n ? want->n : 1));
    double single = 0x1p-22 * sqrt((double)(c->k < 4 ? 4 : c->k));
    double tol = exact ? 0 : bf16 ? 0x1p-7 : single;
    double floor = c->c.op->unit + (!bf16 ? rms : chained ? 2 * rms : 0.125 * rms);
    double l2_tol = exact ? 0 : !bf16 ? single : chained ? c->c.op->bf16_l2 : 1e-3;
    for (int64_t i = 0; i < want->n; i++) {
        double d = fabs(get(got, i) - get(want, i)), e = d - tol * (fabs(get(want, i)) + floor);
        diff += d * d;
        if (!(e <= 0) && !(e <= worst)) {
            worst = e;
            where = i;
        }
    }
    diff = sqrt(diff / (double)(want->n ? want->n : 1));
    if (worst == 0 && diff <= l2_tol * (rms + c->c.op->unit))
        return 0;
    char text[128];
    case_text(c, text, sizeof text);
    printf("%s, %s: %s[%lld of %lld] is %.9g, should be %.9g; relative L2 %.3g (allowed %.3g)\n",
           text, label, want->name, (long long)where, (long long)want->n, get(got, where),
           get(want, where), rms > 0 ? diff / rms : diff, l2_tol);
    return 1;
}

/* Whether rows begin.. of the whole hold the same bits as the slice, in every output that has rows;
 * begin < 0: both are whole, every output. */
static int compare_bits(const struct call *whole, const struct call *slice, int64_t begin,
                        const char *label)
{
    int bad = 0;
    for (int i = 0; i < whole->n; i++) {
        const struct tensor *w = &whole->t[i], *s = &slice->t[i];
        if (w->role == IN || (begin >= 0 && !w->row_width))
            continue;
        size_t size = sec_dtype_size(w->type);
        int64_t first = begin < 0 ? 0 : begin * w->row_width;
        if (!memcmp((const char *)w->data + (size_t)first * size, s->data, (size_t)s->n * size))
            continue;
        char text[128];
        case_text(slice, text, sizeof text);
        printf("%s: %s differs %s (from row %lld)\n", text, w->name, label, (long long)begin);
        bad = 1;
    }
    return bad;
}

#endif
