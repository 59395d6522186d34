/* What forward and backward of the attention share: tables, packed position rows, scores. */
#include "kernels/cpu/attn.h"

#include "base/error.h"

#include <string.h>

/* idx and rev with ATTN_PAD repeated entries at both ends; whether every VL neighbours are narrow.
 */
static void make_tables(struct attn_call *c, int32_t *idx, int32_t *rev)
{
    const struct sec_attn *a = c->a;
    int64_t top = a->max_seqlen - 1, end = top + ATTN_PAD;
    for (int64_t x = -end; x <= end; x++) {
        int64_t in = x < -top ? -top : x > top ? top : x;
        idx[end + x] = rev[end - x] = a->rel_idx[in + a->rel_span - 1];
    }
    c->idx = idx + end;
    c->rev = rev + end;
    c->narrow = true;
    for (int64_t x = -end; x + c->ops->vl - 1 <= end && c->narrow; x++)
        c->narrow = c->idx[x + c->ops->vl - 1] - c->idx[x] < c->ops->vl;
    int64_t x = -top;
    for (int64_t r = c->rel0; r <= c->rel1; r++) {
        while (x <= top && c->idx[x] < r)
            x++;
        c->first_delta[r - c->rel0] = (int32_t)x;
    }
}

static void list_units(struct attn_call *c)
{
    c->n_units = 0;
    for (int s = 0; s < c->a->n_seqs; s++)
        for (int64_t i = 0; i < attn_len(c, s); i += ATTN_SPAN)
            c->units[c->n_units++] = (struct attn_unit){s, (int32_t)i};
}

/* Rows rel0..rel1 of Kr and Qr for every head. Rows past the end of the table are zero. */
static void pack_rel(struct attn_call *c, bool backward)
{
    const struct sec_attn *a = c->a;
    int64_t rows = c->rel1 - c->rel0, in = a->rel_rows - c->rel0;
    in = in < rows ? in : rows;
#pragma omp parallel for schedule(static) num_threads(c->threads)
    for (int h = 0; h < a->heads; h++) {
        const void *src[2] = {attn_rows(c, a->kr, a->ld_rel, c->rel0, h),
                              attn_rows(c, a->qr, a->ld_rel, c->rel0, h)};
        char *cols[2] = {c->kr, c->qr}, *by_row[2] = {c->kr_rows, c->qr_rows};
        for (int t = 0; t < 2; t++) {
            sec_mk_pack_b(c->mk, cols[t] + (size_t)h * c->rel_bytes, src[t], a->ld_rel, c->bf16,
                          true, c->d, in, 0, rows / c->mk->nr);
            if (!backward)
                continue;
            char *out = by_row[t] + (size_t)h * c->rel_row_bytes;
            memset(out, 0, c->rel_row_bytes);
            for (int64_t p = 0; p < c->d_panels; p++) {
                int64_t col = p * c->mk->nr, n = c->d - col < c->mk->nr ? c->d - col : c->mk->nr;
                c->mk->pack_cols(out + (size_t)p * sec_mk_panel_bytes(c->mk, rows), c->mk->nr,
                                 (const char *)src[t] + col * (c->bf16 ? 2 : 4), a->ld_rel, c->bf16,
                                 in, n);
            }
        }
    }
}

void attn_call_shape(struct attn_call *c, struct sec_backend *b, const struct sec_attn *a)
{
    const struct sec_cpu_state *st = sec_cpu_state(b);
    *c = (struct attn_call){.a = a, .mk = sec_mk_for(st->isa, a->act), .threads = st->threads};
    c->ops = st->isa >= SEC_ISA_AVX512 ? &attn_ops_avx512
             : st->isa == SEC_ISA_AVX2 ? &attn_ops_avx2
                                       : &attn_ops_portable;
    c->bf16 = a->act == SEC_BF16;
    c->d = a->head_dim;
    c->dp = sec_mk_kp(c->mk, c->d);
    c->d_panels = sec_div_up(c->d, c->mk->nr);
    c->d_pad = c->d_panels * c->mk->nr;
    int64_t nr = c->mk->nr, top = a->max_seqlen - 1;
    c->rel0 = a->rel_idx[a->rel_span - 1 - top] / nr * nr;
    c->rel1 = (a->rel_idx[a->rel_span - 1 + top] / nr + 1) * nr;
    c->ld_rel = c->rel1 - c->rel0 + ATTN_PAD;
    c->rel_bytes = (size_t)((c->rel1 - c->rel0) * c->dp) * 4;
    c->rel_row_bytes = (size_t)c->d_panels * sec_mk_panel_bytes(c->mk, c->rel1 - c->rel0);
}

int attn_call_init(struct attn_call *c, struct sec_backend *b, bool backward, size_t more)
{
    const struct sec_attn *a = c->a;
    int64_t top = a->max_seqlen - 1, rows = c->rel1 - c->rel0;
    size_t table = SEC_ALIGN64((size_t)(2 * (top + ATTN_PAD) + 1) * sizeof(int32_t));
    size_t firsts = SEC_ALIGN64((size_t)(rows + 1) * sizeof(int32_t));
    size_t units =
        SEC_ALIGN64((size_t)(a->n_tokens / ATTN_SPAN + a->n_seqs + 1) * sizeof *c->units);
    size_t packed = SEC_ALIGN64((size_t)a->heads * c->rel_bytes);
    size_t packed_rows = backward ? SEC_ALIGN64((size_t)a->heads * c->rel_row_bytes) : 0;
    char *at = sec_cpu_scratch(b, SEC_SCRATCH_ATTN,
                               2 * table + firsts + units + 2 * packed + 2 * packed_rows + more);
    if (!at)
        return sec_fail_at(SEC_ENOMEM, "attention over %d tokens", a->n_tokens);
    int32_t *idx = attn_take(&at, table), *rev = attn_take(&at, table);
    c->first_delta = attn_take(&at, firsts);
    c->units = attn_take(&at, units);
    c->kr = attn_take(&at, packed);
    c->qr = attn_take(&at, packed);
    c->kr_rows = attn_take(&at, packed_rows);
    c->qr_rows = attn_take(&at, packed_rows);
    c->more = at;
    make_tables(c, idx, rev);
    list_units(c);
    pack_rel(c, backward);
    return 0;
}

struct attn_operand attn_operand(const struct attn_call *c, void *buf, const void *p, int64_t ld,
                                 int64_t row, int head, int64_t m)
{
    const char *src = attn_rows(c, p, ld, row, head);
    if (!c->bf16 || c->mk->ks == 2)
        return (struct attn_operand){src, ld * (c->bf16 ? 2 : 4)};
    c->mk->pack_rows(buf, c->dp, src, ld, true, m, c->d);
    return (struct attn_operand){buf, c->dp * 4};
}

void attn_pack_rows(const struct attn_call *c, void *dst, const void *p, int64_t ld, int64_t row,
                    int head, int64_t m)
{
    sec_mk_pack_b(c->mk, dst, attn_rows(c, p, ld, row, head), ld, c->bf16, false, m, c->d, 0,
                  c->d_panels);
}

void attn_rel_strips(const struct attn_call *c, struct attn_operand rows, int64_t m,
                     const char *rel, int64_t lo, int64_t hi, int step, float *out, int64_t base)
{
    const struct sec_mk *mk = c->mk;
    int64_t strips = sec_div_up(m, mk->mr);
    size_t panel = sec_mk_panel_bytes(mk, c->d);
    for (int64_t s = 0; s < strips; s++) {
        int64_t x = m * s / strips, end = m * (s + 1) / strips;
        int64_t from = step > 0 ? lo + x : lo - (end - 1), to = step > 0 ? hi + end - 1 : hi - x;
        int64_t first = (c->idx[from] - c->rel0) / mk->nr, last = (c->idx[to] - c->rel0) / mk->nr;
        for (int64_t p = first; p <= last; p++)
            mk->tile((int)(end - x), c->dp, rows.p + x * rows.stride, rows.stride, 4,
                     rel + (size_t)p * panel, out + x * c->ld_rel + (c->rel0 + p * mk->nr - base),
                     c->ld_rel, false);
    }
}

static int64_t window_base(const struct attn_call *c, int64_t delta)
{
    return c->rel0 + (c->idx[delta] - c->rel0) / c->mk->nr * c->mk->nr;
}

void attn_block_keys(const struct attn_call *c, struct attn_block *x, int64_t q0, int64_t q1)
{
    const struct sec_attn *a = c->a;
    int64_t row = x->start + x->k0;
    sec_mk_pack_b(c->mk, x->k_panels, attn_rows(c, a->k, a->ld, row, x->head), a->ld, c->bf16, true,
                  c->d, x->nk, 0, sec_div_up(x->nk, 32) * 32 / c->mk->nr);
    struct attn_operand k = attn_operand(c, x->wide_k, a->k, a->ld, row, x->head, x->nk);
    int64_t lo = q0 - x->k0, hi = q1 - 1 - x->k0;
    x->t_base = window_base(c, lo - (x->nk - 1));
    attn_rel_strips(c, k, x->nk, c->qr + (size_t)x->head * c->rel_bytes, lo, hi, -1, x->t,
                    x->t_base);
}

void attn_block_scores(const struct attn_call *c, struct attn_block *x, int64_t q0, int m)
{
    const struct sec_attn *a = c->a;
    struct attn_operand q = attn_operand(c, x->wide_q, a->q, a->ld, x->start + q0, x->head, m);
    int64_t delta = q0 - x->k0, lo = delta - (x->nk - 1), c_base = window_base(c, lo);
    attn_rel_strips(c, q, m, c->kr + (size_t)x->head * c->rel_bytes, lo, delta, 1, x->c, c_base);
    sec_mk_block(c->mk, m, sec_div_up(x->nk, c->mk->nr), c->dp, q.p, q.stride, 4, x->k_panels,
                 sec_mk_panel_bytes(c->mk, c->d), x->s, ATTN_LDS, false);
    struct attn_scores s = {.s = x->s,
                            .m = m,
                            .n = (int)x->nk,
                            .c = x->c,
                            .t = x->t,
                            .ld = c->ld_rel,
                            .c_base = c_base,
                            .t_base = x->t_base,
                            .idx = c->idx + delta,
                            .rev = c->rev - delta,
                            .narrow = c->narrow,
                            .scale = a->scale,
                            .row_max = x->row_max};
    c->ops->scores(&s);
}
