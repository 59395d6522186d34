/* Backward of the disentangled attention (attn.h, model.md): P is recomputed by pair blocks.
 *
 * A unit (a span of a sequence) owns the gradients of its queries and of its keys, so no two tasks
 * write one row. A sequence of one span computes both from the same pair block; a longer one runs
 * over its spans twice, once for its queries and once for its keys.
 *
 * dQr and dKr are sums over all sequences. Consecutive units are grouped into chunks of at least
 * ATTN_SPAN rows; each (chunk, head) task sums into a slot of its own, and after every round of
 * SLOTS tasks the slots are added in the order of the chunks. Chunks and rounds depend on shapes
 * only, so the bits do not depend on the threads. */
#include "kernels/cpu/attn.h"

#include <omp.h>
#include <string.h>

#define SLOTS 64

struct backward {
    struct attn_block block;
    char *v_panels, *k_rows, *q_rows, *do_rows; /* packed */
    float *dp;                                  /* [ROWS, ATTN_LDS] */
    void *da_rows, *da_cols, *p_cols;           /* operands, see struct attn_grad */
    float *delta;                               /* [ROWS] */
    float *dq, *dk, *dv;                        /* [SPAN, d_pad] sums */
    float *dc, *dt;                             /* [ld_rel, ROWS], [ld_rel, LDP] by table row */
    void *half_rows, *half_cols;                /* dc or dt as bf16 operands */
    void *wide_do;
    float *dqr, *dkr; /* the slot: [rel1 - rel0, d_pad] each */
};

/* What one pair block contributes. */
struct want {
    bool queries, keys;
};

static size_t carve(const struct attn_call *c, char *base, struct backward *f)
{
    char *at = base;
    size_t row = (size_t)c->ld_rel * 4, wide = (size_t)c->dp * 4, panels = attn_panels_bytes(c);
    size_t sums = (size_t)(ATTN_SPAN * c->d_pad) * 4, operand = (size_t)ATTN_ROWS * ATTN_LDP * 4;
    size_t scores = (size_t)ATTN_ROWS * ATTN_LDS * 4, half = row * ATTN_LDP / 2;
    bool pairs = c->mk->ks == 2;
    *f = (struct backward){
        .v_panels = attn_take(&at, panels),
        .k_rows = attn_take(&at, panels),
        .q_rows = attn_take(&at, panels),
        .do_rows = attn_take(&at, panels),
        .dp = attn_take(&at, scores),
        .da_rows = attn_take(&at, operand),
        .da_cols = attn_take(&at, operand),
        .p_cols = attn_take(&at, operand),
        .delta = attn_take(&at, (size_t)ATTN_ROWS * 4),
        .dq = attn_take(&at, sums),
        .dk = attn_take(&at, sums),
        .dv = attn_take(&at, sums),
        .dc = attn_take(&at, row * ATTN_ROWS),
        .dt = attn_take(&at, row * ATTN_LDP),
        .half_rows = attn_take(&at, pairs ? half : 0),
        .half_cols = attn_take(&at, pairs ? half : 0),
        .wide_do = attn_take(&at, wide * ATTN_ROWS),
        .block = {.k_panels = attn_take(&at, panels),
                  .wide_k = attn_take(&at, wide * ATTN_SPAN),
                  .wide_q = attn_take(&at, wide * ATTN_ROWS)},
    };
    struct attn_block *x = &f->block;
    x->t = (float *)attn_take(&at, row * (ATTN_SPAN + ATTN_PAD) + 4 * ATTN_PAD) + ATTN_PAD;
    x->c = (float *)attn_take(&at, row * (ATTN_ROWS + 1) + 4 * ATTN_PAD) + ATTN_PAD;
    x->s = (float *)attn_take(&at, scores) + ATTN_PAD;
    return (size_t)(at - base);
}

/* Sums by table row, sums[r - base][x] for rows x of a sub-block, as operands of products. Row x
 * meets delta in [lo + x*step, hi + x*step]. */
struct rel_sums {
    const char *rows, *cols;
    int64_t rows_stride, cols_stride; /* bytes from r to r; from dword of r to dword of r */
    int64_t base, end;                /* of r */
    int64_t m, lo, hi;
    int step;
};

static struct rel_sums make_operands(const struct attn_call *c, const struct backward *f,
                                     const float *sums, int64_t ld, struct rel_sums x)
{
    int64_t n = sec_div_up(x.m, 16) * 16, ld_half = n + 16;
    x.rows = x.cols = (const char *)sums;
    x.rows_stride = x.cols_stride = ld * 4;
    if (c->mk->ks == 2) {
        c->ops->halve(sums, ld, (x.end - x.base + 1) / 2 * 2, n, ld_half, f->half_rows,
                      f->half_cols);
        x.rows = f->half_rows;
        x.cols = f->half_cols;
        x.rows_stride = ld_half * 2;
        x.cols_stride = ld_half * 4;
    }
    return x;
}

/* out[x, :] += sum over r of sums[r][x] rel[r, :]. */
static void add_rel_rows(const struct attn_call *c, const struct rel_sums *x, const char *rel,
                         float *out)
{
    const struct sec_mk *mk = c->mk;
    int64_t strips = sec_div_up(x->m, mk->mr);
    size_t panel = sec_mk_panel_bytes(mk, c->rel1 - c->rel0);
    for (int64_t s = 0; s < strips; s++) {
        int64_t i = x->m * s / strips, end = x->m * (s + 1) / strips;
        int64_t from = x->step > 0 ? x->lo + i : x->lo - (end - 1);
        int64_t to = x->step > 0 ? x->hi + end - 1 : x->hi - i;
        int64_t r = (c->idx[from] - x->base) / mk->ks, last = (c->idx[to] - x->base) / mk->ks;
        for (int64_t p = 0; p < c->d_panels; p++)
            mk->tile((int)(end - i), last - r + 1, x->cols + r * x->cols_stride + i * 4, 4,
                     x->cols_stride,
                     rel + (size_t)p * panel + ((x->base - c->rel0) / mk->ks + r) * mk->nr * 4,
                     out + i * c->d_pad + p * mk->nr, c->d_pad, true);
    }
}

/* slot[r, :] += sum over x of sums[r][x] rows[x, :], rows packed along x. */
static void add_to_slot(const struct attn_call *c, const struct rel_sums *x, const char *rows,
                        float *slot)
{
    const struct sec_mk *mk = c->mk;
    size_t panel = sec_mk_panel_bytes(mk, x->m);
    int64_t count = x->end - x->base, strips = sec_div_up(count, mk->mr);
    for (int64_t s = 0; s < strips; s++) {
        int64_t r = count * s / strips, end = count * (s + 1) / strips, row = x->base + r - c->rel0;
        /* Only rows x that meet one of these r. */
        int64_t from = c->first_delta[row], to = c->first_delta[row + (end - r)] - 1;
        int64_t i = x->step > 0 ? from - x->hi : x->lo - to;
        int64_t last = x->step > 0 ? to - x->lo : x->hi - from;
        i = (i < 0 ? 0 : i) / mk->ks;
        last = (last < x->m - 1 ? last : x->m - 1) / mk->ks;
        if (to < from || last < i)
            continue;
        for (int64_t p = 0; p < c->d_panels; p++)
            mk->tile((int)(end - r), last - i + 1, x->rows + r * x->rows_stride + i * 4,
                     x->rows_stride, 4, rows + (size_t)p * panel + i * mk->nr * 4,
                     slot + row * c->d_pad + p * mk->nr, c->d_pad, true);
    }
}

/* The window of table rows that delta in [lo, hi] can meet, and its sums set to zero. */
static struct rel_sums clear_window(const struct attn_call *c, float *sums, int64_t ld, int64_t lo,
                                    int64_t hi)
{
    int64_t nr = c->mk->nr;
    struct rel_sums x = {.base = c->rel0 + (c->idx[lo] - c->rel0) / nr * nr, .end = c->idx[hi] + 1};
    memset(sums, 0, (size_t)((x.end - x.base + 1) / 2 * 2 * ld) * 4);
    return x;
}

static void query_side(const struct attn_call *c, struct backward *f, int64_t first, int m,
                       float *dq)
{
    struct attn_block *x = &f->block;
    int64_t delta = first - x->k0, lo = delta - (x->nk - 1);
    sec_mk_block(c->mk, m, c->d_panels, sec_mk_kp(c->mk, x->nk), f->da_rows,
                 ATTN_LDP * 4 / c->mk->ks, 4, f->k_rows, sec_mk_panel_bytes(c->mk, x->nk), dq,
                 c->d_pad, true);
    struct rel_sums w = clear_window(c, f->dc, ATTN_ROWS, lo, delta + sec_div_up(m, 16) * 16 - 1);
    c->ops->sum_c(x->s, m, (int)x->nk, c->idx + delta, w.base, f->dc, ATTN_ROWS);
    w.m = m;
    w.lo = lo;
    w.hi = delta;
    w.step = 1;
    w = make_operands(c, f, f->dc, ATTN_ROWS, w);
    add_rel_rows(c, &w, c->kr_rows + (size_t)x->head * c->rel_row_bytes, dq);
    add_to_slot(c, &w, f->q_rows, f->dkr);
}

static void key_side(const struct attn_call *c, struct backward *f, int64_t first, int m,
                     int64_t t_base)
{
    struct attn_block *x = &f->block;
    int64_t kp = sec_mk_kp(c->mk, m);
    size_t panel = sec_mk_panel_bytes(c->mk, m);
    sec_mk_block(c->mk, x->nk, c->d_panels, kp, f->p_cols, 4, ATTN_LDP * 4, f->do_rows, panel,
                 f->dv, c->d_pad, true);
    sec_mk_block(c->mk, x->nk, c->d_panels, kp, f->da_cols, 4, ATTN_LDP * 4, f->q_rows, panel,
                 f->dk, c->d_pad, true);
    c->ops->sum_t(x->s, m, (int)x->nk, c->idx + (first - x->k0), t_base, f->dt, ATTN_LDP);
}

/* One sub-block of queries of the pair block. */
static void sub_block(const struct attn_call *c, struct backward *f, int64_t q0, int64_t first,
                      int m, struct want want, int64_t t_base)
{
    const struct sec_attn *a = c->a;
    struct attn_block *x = &f->block;
    int64_t row = x->start + first;
    attn_block_scores(c, x, first, m);
    struct attn_operand d_o = attn_operand(c, f->wide_do, a->d_o, a->ld_do, row, x->head, m);
    sec_mk_block(c->mk, m, sec_div_up(x->nk, 32) * 32 / c->mk->nr, c->dp, d_o.p, d_o.stride, 4,
                 f->v_panels, sec_mk_panel_bytes(c->mk, c->d), f->dp, ATTN_LDS, false);
    c->ops->row_dots(attn_rows(c, a->d_o, a->ld_do, row, x->head), a->ld_do,
                     attn_rows(c, a->o, a->ld_o, row, x->head), a->ld_o, c->bf16, m, c->d,
                     f->delta);
    struct attn_grad g = {.s = x->s,
                          .dp = f->dp,
                          .m = m,
                          .n = (int)x->nk,
                          .key0 = (int)x->k0,
                          .scale = a->scale,
                          .lse = a->lse + (int64_t)x->head * a->n_tokens + row,
                          .delta = f->delta,
                          .drop = attn_drop_of(c, x->head, row),
                          .ks = c->mk->ks,
                          .da_rows = want.queries ? f->da_rows : NULL,
                          .da_cols = want.keys ? f->da_cols : NULL,
                          .p_cols = f->p_cols};
    c->ops->grad(&g);
    attn_pack_rows(c, f->q_rows, a->q, a->ld, row, x->head, m);
    if (want.keys) {
        attn_pack_rows(c, f->do_rows, a->d_o, a->ld_do, row, x->head, m);
        key_side(c, f, first, m, t_base);
    }
    if (want.queries)
        query_side(c, f, first, m, f->dq + (first - q0) * c->d_pad);
}

/* Queries q0..q1 against the keys of f->block. */
static void pair_block(const struct attn_call *c, struct backward *f, int64_t q0, int64_t q1,
                       struct want want)
{
    const struct sec_attn *a = c->a;
    struct attn_block *x = &f->block;
    int64_t row = x->start + x->k0, lo = q0 - x->k0, hi = q1 - 1 - x->k0;
    attn_block_keys(c, x, q0, q1);
    attn_pack_rows(c, f->k_rows, a->k, a->ld, row, x->head, x->nk);
    sec_mk_pack_b(c->mk, f->v_panels, attn_rows(c, a->v, a->ld, row, x->head), a->ld, c->bf16, true,
                  c->d, x->nk, 0, sec_div_up(x->nk, 32) * 32 / c->mk->nr);
    struct rel_sums w = {0};
    if (want.keys)
        w = clear_window(c, f->dt, ATTN_LDP, lo - (sec_div_up(x->nk, 16) * 16 - 1), hi);
    for (int64_t i = q0; i < q1; i += ATTN_ROWS)
        sub_block(c, f, q0, i, sec_min_int(q1 - i, ATTN_ROWS), want, w.base);
    if (!want.keys)
        return;
    w.m = x->nk;
    w.lo = lo;
    w.hi = hi;
    w.step = -1;
    w = make_operands(c, f, f->dt, ATTN_LDP, w);
    add_rel_rows(c, &w, c->qr_rows + (size_t)x->head * c->rel_row_bytes, f->dk);
    add_to_slot(c, &w, f->k_rows, f->dqr);
}

static void store(const struct attn_call *c, void *dst, const float *src, int64_t row, int64_t m,
                  int head)
{
    int64_t ld = c->a->ld_d;
    c->ops->store((char *)dst + (row * ld + head * c->d) * (c->bf16 ? 2 : 4), ld, c->bf16, src,
                  c->d_pad, m, c->d, NULL);
}

static void run_unit(const struct attn_call *c, struct backward *f, struct attn_unit u, int head)
{
    const struct sec_attn *a = c->a;
    struct attn_block *x = &f->block;
    int64_t len = attn_len(c, u.seq), m = len - u.first < ATTN_SPAN ? len - u.first : ATTN_SPAN;
    x->head = head;
    x->start = a->cu_seqlens[u.seq];
    size_t bytes = (size_t)(m * c->d_pad) * 4;
    memset(f->dq, 0, bytes);
    memset(f->dk, 0, bytes);
    memset(f->dv, 0, bytes);
    bool single = len <= ATTN_SPAN;
    for (int64_t other = 0; other < len; other += ATTN_SPAN) {
        int64_t end = other + ATTN_SPAN < len ? other + ATTN_SPAN : len;
        x->k0 = other;
        x->nk = end - other;
        pair_block(c, f, u.first, u.first + m, (struct want){true, single});
    }
    x->k0 = u.first;
    x->nk = m;
    for (int64_t other = 0; other < len && !single; other += ATTN_SPAN) {
        int64_t end = other + ATTN_SPAN < len ? other + ATTN_SPAN : len;
        pair_block(c, f, other, end, (struct want){false, true});
    }
    store(c, a->dq, f->dq, x->start + u.first, m, head);
    store(c, a->dk, f->dk, x->start + u.first, m, head);
    store(c, a->dv, f->dv, x->start + u.first, m, head);
}

/* The chunk that begins at unit u ends before the returned one. */
static int chunk_end(const struct attn_call *c, int u)
{
    int64_t rows = 0;
    while (u < c->n_units && rows < ATTN_SPAN) {
        int64_t left = attn_len(c, c->units[u].seq) - c->units[u].first;
        rows += left < ATTN_SPAN ? left : ATTN_SPAN;
        u++;
    }
    return u;
}

/* Sums of dQr and dKr over all chunks, [heads][2][rel1 - rel0][d_pad], and the slots of a round. */
struct rel_grads {
    float *total, *slots;
    int64_t size; /* floats of one of the two in a slot */
};

static void run_rounds(const struct attn_call *c, char *parts, size_t part, struct rel_grads *r)
{
    int heads = c->a->heads, per_round = heads < SLOTS ? SLOTS / heads : 1;
    int begin[SLOTS + 1];
    for (int u = 0; u < c->n_units; u = begin[0]) {
        int chunks = 0;
        begin[0] = u;
        while (chunks < per_round && begin[chunks] < c->n_units) {
            begin[chunks + 1] = chunk_end(c, begin[chunks]);
            chunks++;
        }
#pragma omp parallel num_threads(c->threads)
        {
            struct backward f;
            carve(c, parts + part * (size_t)omp_get_thread_num(), &f);
            memset(f.block.s - ATTN_PAD, 0, (size_t)ATTN_ROWS * ATTN_LDS * 4);
#pragma omp for schedule(dynamic, 1)
            for (int t = 0; t < chunks * heads; t++) {
                f.dqr = r->slots + t * 2 * r->size;
                f.dkr = f.dqr + r->size;
                memset(f.dqr, 0, (size_t)r->size * 8);
                for (int i = begin[t / heads]; i < begin[t / heads + 1]; i++)
                    run_unit(c, &f, c->units[i], t % heads);
            }
#pragma omp for schedule(static)
            for (int h = 0; h < heads; h++)
                for (int k = 0; k < chunks; k++)
                    c->ops->add(r->total + h * 2 * r->size,
                                r->slots + (k * heads + h) * 2 * r->size, 2 * r->size);
        }
        begin[0] = begin[chunks];
    }
}

/* Totals to dqr and dkr; table rows out of every sequence's reach get 0. */
static void store_rel(const struct attn_call *c, const struct rel_grads *r)
{
    const struct sec_attn *a = c->a;
    size_t size = c->bf16 ? 2 : 4, row_bytes = (size_t)(a->heads * c->d) * size;
    int64_t end = c->rel1 < a->rel_rows ? c->rel1 : a->rel_rows;
    for (int t = 0; t < 2; t++) {
        char *dst = t ? a->dkr : a->dqr;
        for (int64_t row = 0; row < a->rel_rows; row++)
            if (row < c->rel0 || row >= end)
                memset(dst + (size_t)(row * a->ld_drel) * size, 0, row_bytes);
        for (int h = 0; h < a->heads; h++)
            c->ops->store(dst + (size_t)(c->rel0 * a->ld_drel + h * c->d) * size, a->ld_drel,
                          c->bf16, r->total + (2 * h + t) * r->size, c->d_pad, end - c->rel0, c->d,
                          NULL);
    }
}

int sec_cpu_attn_bwd(struct sec_backend *b, const struct sec_attn *a)
{
    struct attn_call c;
    struct backward f;
    if (a->n_tokens <= 0)
        return 0;
    attn_call_shape(&c, b, a);
    size_t part = carve(&c, (char *)(uintptr_t)64, &f);
    struct rel_grads r = {.size = (c.rel1 - c.rel0) * c.d_pad};
    int64_t chunks = (a->heads < SLOTS ? SLOTS / a->heads : 1) * a->heads;
    size_t total = SEC_ALIGN64((size_t)(a->heads * 2 * r.size) * 4);
    size_t slots = SEC_ALIGN64((size_t)(chunks * 2 * r.size) * 4);
    int rc = attn_call_init(&c, b, true, total + slots + part * (size_t)c.threads);
    if (rc)
        return rc;
    char *at = c.more;
    r.total = attn_take(&at, total);
    r.slots = attn_take(&at, slots);
    memset(r.total, 0, total);
    run_rounds(&c, at, part, &r);
    store_rel(&c, &r);
    return 0;
}
