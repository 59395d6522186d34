/* Forward of the disentangled attention (attn.h): online softmax over spans of keys. One task is
 * one head of one span of queries; its results depend on that sequence alone. */
#include "kernels/cpu/attn.h"

#include <math.h>
#include <omp.h>

struct forward {
    struct attn_block block;
    char *v_rows;
    float *max, *sum, *o; /* [SPAN], [SPAN], [SPAN, d_pad] */
    void *p;              /* [ROWS][LDP/ks] dwords */
    float *row_max;
};

static size_t carve(const struct attn_call *c, char *base, struct forward *f)
{
    char *at = base;
    size_t row = (size_t)c->ld_rel * 4, wide = (size_t)c->dp * 4;
    *f = (struct forward){.block.k_panels = attn_take(&at, attn_panels_bytes(c)),
                          .v_rows = attn_take(&at, attn_panels_bytes(c)),
                          .max = attn_take(&at, (size_t)ATTN_SPAN * 4),
                          .sum = attn_take(&at, (size_t)ATTN_SPAN * 4),
                          .o = attn_take(&at, (size_t)(ATTN_SPAN * c->d_pad) * 4),
                          .p = attn_take(&at, (size_t)ATTN_ROWS * ATTN_LDP * 4),
                          .row_max = attn_take(&at, (size_t)ATTN_ROWS * 4)};
    struct attn_block *x = &f->block;
    /* Slack in front too: look-ups of lanes beyond the sequence. */
    x->t = (float *)attn_take(&at, row * (ATTN_SPAN + ATTN_PAD) + 4 * ATTN_PAD) + ATTN_PAD;
    x->c = (float *)attn_take(&at, row * (ATTN_ROWS + 1) + 4 * ATTN_PAD) + ATTN_PAD;
    x->s = (float *)attn_take(&at, (size_t)ATTN_ROWS * ATTN_LDS * 4) + ATTN_PAD;
    x->wide_k = attn_take(&at, wide * ATTN_SPAN);
    x->wide_q = attn_take(&at, wide * ATTN_ROWS);
    x->row_max = f->row_max;
    return (size_t)(at - base);
}

static void attend(const struct attn_call *c, struct forward *f, int64_t q0, int64_t first, int m)
{
    struct attn_block *x = &f->block;
    int64_t at = first - q0;
    float *o = f->o + at * c->d_pad;
    struct attn_drop drop = attn_drop_of(c, x->head, x->start + first);
    attn_block_scores(c, x, first, m);
    c->ops->softmax(x->s, m, (int)x->nk, (int)x->k0, c->mk->ks, &drop, f->row_max, f->max + at,
                    f->sum + at, f->p, o, c->d_pad, (int)c->d);
    sec_mk_block(c->mk, m, c->d_panels, sec_mk_kp(c->mk, x->nk), f->p, ATTN_LDP * 4 / c->mk->ks, 4,
                 f->v_rows, sec_mk_panel_bytes(c->mk, x->nk), o, c->d_pad, x->k0 > 0);
}

static void run_unit(const struct attn_call *c, struct forward *f, struct attn_unit u, int head)
{
    const struct sec_attn *a = c->a;
    struct attn_block *x = &f->block;
    int64_t len = attn_len(c, u.seq), q0 = u.first;
    int64_t q1 = q0 + ATTN_SPAN < len ? q0 + ATTN_SPAN : len;
    x->head = head;
    x->start = a->cu_seqlens[u.seq];
    for (int64_t i = 0; i < q1 - q0; i++) {
        f->max[i] = -INFINITY;
        f->sum[i] = 0;
    }
    for (x->k0 = 0; x->k0 < len; x->k0 += ATTN_SPAN) {
        x->nk = len - x->k0 < ATTN_SPAN ? len - x->k0 : ATTN_SPAN;
        attn_block_keys(c, x, q0, q1);
        attn_pack_rows(c, f->v_rows, a->v, a->ld, x->start + x->k0, head, x->nk);
        for (int64_t i = q0; i < q1; i += ATTN_ROWS)
            attend(c, f, q0, i, sec_min_int(q1 - i, ATTN_ROWS));
    }
    int64_t row = x->start + q0;
    c->ops->store((char *)a->o + (row * a->ld_o + head * c->d) * (c->bf16 ? 2 : 4), a->ld_o,
                  c->bf16, f->o, c->d_pad, q1 - q0, c->d, f->sum);
    for (int64_t i = 0; a->lse && i < q1 - q0; i++)
        a->lse[(int64_t)head * a->n_tokens + row + i] = f->max[i] + logf(f->sum[i]);
}

int sec_cpu_attn(struct sec_backend *b, const struct sec_attn *a)
{
    struct attn_call c;
    struct forward size;
    if (a->n_tokens <= 0)
        return 0;
    /* Sizes need the call's shape, its scratch needs the size: the shape first. */
    attn_call_shape(&c, b, a);
    size_t part = carve(&c, (char *)(uintptr_t)64, &size);
    int rc = attn_call_init(&c, b, false, part * (size_t)c.threads);
    if (rc)
        return rc;
#pragma omp parallel num_threads(c.threads)
    {
        struct forward f;
        carve(&c, c.more + part * (size_t)omp_get_thread_num(), &f);
#pragma omp for schedule(dynamic, 1)
        for (int t = 0; t < c.n_units * a->heads; t++)
            run_unit(&c, &f, c.units[t / a->heads], t % a->heads);
    }
    return 0;
}
