#include "train/optimizer.h"

#include "base/error.h"

#include <math.h>
#include <stdlib.h>

/* Tensors lie in order of offset; a range runs to the start of the next kind, so the zero gaps
 * between tensors are covered (their gradients are zero, so they stay zero). */
static int build_ranges(const struct sec_params *p, struct sec_optimizer *o)
{
    o->range = calloc((size_t)p->n, sizeof *o->range);
    if (!o->range)
        return sec_fail(SEC_ENOMEM, "no memory for %d optimiser ranges", p->n);
    for (int i = 0; i < p->n; i++) {
        struct sec_decay_range *last = o->n_ranges ? &o->range[o->n_ranges - 1] : NULL;
        int64_t end = i + 1 < p->n ? p->v[i + 1].offset : p->total;
        if (last && last->decay == p->v[i].decay)
            last->count = end - last->offset;
        else
            o->range[o->n_ranges++] =
                (struct sec_decay_range){p->v[i].offset, end - p->v[i].offset, p->v[i].decay};
    }
    return 0;
}

int sec_optimizer_create(struct sec_model *m, struct sec_optimizer *o)
{
    int rc;
    *o = (struct sec_optimizer){.model = m};
    size_t bytes = (size_t)m->params.total * sec_dtype_size(sec_master_type(m->opt.act));
    SEC_TRY(build_ranges(&m->params, o));
    SEC_TRY(m->be->alloc(m->be, bytes, &o->m));
    SEC_TRY(m->be->alloc(m->be, bytes, &o->v));
    SEC_TRY(m->be->zero(m->be, o->m, bytes));
    SEC_TRY(m->be->zero(m->be, o->v, bytes));
    return 0;
fail:
    sec_optimizer_free(o);
    return rc;
}

void sec_optimizer_free(struct sec_optimizer *o)
{
    if (o->m)
        o->model->be->free(o->model->be, o->m);
    if (o->v)
        o->model->be->free(o->model->be, o->v);
    free(o->range);
    *o = (struct sec_optimizer){0};
}

int sec_optimizer_apply(struct sec_optimizer *o, const struct sec_optimizer_step *s, double *norm,
                        bool *applied)
{
    struct sec_model *m = o->model;
    enum sec_dtype master = sec_master_type(m->opt.act);
    size_t size = sec_dtype_size(master);
    double sq = 0;
    int rc = m->be->sumsq(m->be, m->grad, m->params.total, master, &sq);
    if (rc)
        return rc;
    *norm = sqrt(sq) * s->grad_scale;
    *applied = isfinite(*norm);
    if (!*applied)
        return 0;
    double clip = s->clip > 0 ? fmin(1, s->clip / (*norm + 1e-6)) : 1;
    bool copy = m->compute != m->master;
    for (int i = 0; i < o->n_ranges; i++) {
        const struct sec_decay_range *r = &o->range[i];
        size_t at = (size_t)r->offset * size;
        struct sec_adamw a = {
            .n = r->count,
            .step = s->t,
            .master = master,
            .param = (char *)m->master + at,
            .m = (char *)o->m + at,
            .v = (char *)o->v + at,
            .grad = (char *)m->grad + at,
            .copy =
                copy ? (char *)m->compute + (size_t)r->offset * sec_dtype_size(m->opt.act) : NULL,
            .lr = s->lr,
            .beta1 = s->beta1,
            .beta2 = s->beta2,
            .eps = s->eps,
            .weight_decay = r->decay ? s->weight_decay : 0,
            .grad_scale = s->grad_scale * clip,
        };
        if ((rc = m->be->adamw(m->be, &a)))
            return rc;
    }
    return 0;
}
