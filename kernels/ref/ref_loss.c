/* Cross-entropy and the optimiser. */
#include "kernels/ref/ref.h"

#include <math.h>

static void no_label(const struct sec_xent *x, int64_t r)
{
    sec_ref_set(x->loss, sec_master_type(x->type), r, 0);
    if (x->rank)
        x->rank[r] = -1;
    for (int64_t c = 0; c < x->cols && x->want_grad; c++)
        sec_ref_set(x->logits, x->type, r * x->ld + c, 0);
}

static void xent_row(const struct sec_xent *x, int64_t r)
{
    int64_t at = r * x->ld, label = x->labels[r];
    double own = sec_ref_get(x->logits, x->type, at + label), max = -INFINITY, sum = 0;
    int32_t rank = 0;
    for (int64_t c = 0; c < x->cols; c++) {
        double logit = sec_ref_get(x->logits, x->type, at + c);
        max = logit > max ? logit : max;
        rank += logit > own || (logit == own && c < label);
    }
    for (int64_t c = 0; c < x->cols; c++)
        sum += exp(sec_ref_get(x->logits, x->type, at + c) - max);
    sec_ref_set(x->loss, sec_master_type(x->type), r, max + log(sum) - own);
    if (x->rank)
        x->rank[r] = rank;
    for (int64_t c = 0; c < x->cols && x->want_grad; c++) {
        double p = exp(sec_ref_get(x->logits, x->type, at + c) - max) / sum;
        sec_ref_set(x->logits, x->type, at + c, (p - (c == label)) * x->scale);
    }
}

int sec_ref_xent(struct sec_backend *b, const struct sec_xent *x)
{
    for (int64_t r = 0; r < x->rows; r++)
        if (x->labels[r] == SEC_NO_LABEL)
            no_label(x, r);
        else
            xent_row(x, r);
    return 0;
}

int sec_ref_adamw(struct sec_backend *b, const struct sec_adamw *a)
{
    double bias1 = 1 - pow(a->beta1, (double)a->step), bias2 = 1 - pow(a->beta2, (double)a->step);
    for (int64_t i = 0; i < a->n; i++) {
        double g = sec_ref_get(a->grad, a->master, i) * a->grad_scale;
        double p = sec_ref_get(a->param, a->master, i) * (1 - a->lr * a->weight_decay);
        double m = sec_ref_get(a->m, a->master, i), v = sec_ref_get(a->v, a->master, i);
        m += (1 - a->beta1) * (g - m);
        v = a->beta2 * v + (1 - a->beta2) * g * g;
        p -= a->lr / bias1 * m / (sqrt(v) / sqrt(bias2) + a->eps);
        sec_ref_set(a->m, a->master, i, m);
        sec_ref_set(a->v, a->master, i, v);
        sec_ref_set(a->param, a->master, i, p);
        if (a->copy)
            sec_ref_set(a->copy, SEC_BF16, i, sec_ref_get(a->param, a->master, i));
    }
    return 0;
}
