#include "model/compare.h"

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/open.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sec_tensor_diff *add(struct sec_model_diff *d, const char *arena, const char *name)
{
    struct sec_tensor_diff *grown = realloc(d->v, (d->n + 1) * sizeof *d->v);
    if (!grown) {
        sec_fail(SEC_ENOMEM, "out of memory for a comparison");
        return NULL;
    }
    d->v = grown;
    struct sec_tensor_diff *t = &d->v[d->n++];
    *t = (struct sec_tensor_diff){0};
    snprintf(t->name, sizeof t->name, "%s/%s", arena, name);
    return t;
}

static void compare_values(const float *x, const float *y, int64_t n, struct sec_tensor_diff *t)
{
    t->n = n;
    for (int64_t i = 0; i < n; i++) {
        if (!memcmp(&x[i], &y[i], sizeof *x))
            continue;
        double gap = fabs((double)x[i] - (double)y[i]);
        t->n_diff++;
        if (!(gap <= t->max_abs)) /* true for NaN, which then stays */
            t->max_abs = gap;
    }
}

static bool same_shape(const struct sec_param *a, const struct sec_param *b)
{
    return a->ndim == b->ndim && !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof a->shape[0]);
}

static int compare_arena(const char *arena, const struct sec_opened o[2], struct sec_model_diff *d)
{
    for (int side = 0; side < 2; side++) {
        const struct sec_params *mine = &o[side].params, *other = &o[1 - side].params;
        for (int i = 0; i < mine->n; i++) {
            const struct sec_param *p = &mine->v[i], *q = sec_params_find(other, p->name);
            bool both = q && same_shape(p, q);
            if (side && both)
                continue; /* done from the first side */
            struct sec_tensor_diff *t = add(d, arena, p->name);
            if (!t)
                return SEC_ENOMEM;
            t->n = p->count;
            if (both)
                compare_values(o[0].master + p->offset, o[1].master + q->offset, p->count, t);
            else
                t->only_in = side + 1;
            d->n_diff += t->only_in || t->n_diff;
        }
    }
    return 0;
}

/* The same arena of both checkpoints into the buffers of the parameters, which are done with. */
static int compare_moments(struct sec_opened o[2], struct sec_model_diff *d)
{
    static const char *const names[] = {"adam_m", "adam_v"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!sec_ckpt_has(o[0].dir, names[i]) || !sec_ckpt_has(o[1].dir, names[i]))
            continue;
        for (int side = 0; side < 2; side++) {
            struct sec_ckpt_arena a = {names[i], o[side].master};
            int rc = sec_ckpt_read(o[side].dir, &o[side].params, &a, 1);
            if (rc)
                return rc;
        }
        int rc = compare_arena(names[i], o, d);
        if (rc)
            return rc;
    }
    return 0;
}

int sec_model_compare(const char *a, const char *b, struct sec_model_diff *out)
{
    struct sec_opened o[2] = {{.step = -1}, {.step = -1}};
    *out = (struct sec_model_diff){0};
    int rc;
    SEC_TRY(sec_model_open(a, &o[0]));
    SEC_TRY(sec_model_open(b, &o[1]));
    bool exported[2] = {o[0].step < 0, o[1].step < 0};
    for (int side = 0; side < 2 && exported[0] != exported[1]; side++)
        sec_params_tie_row0(&o[side].params, &o[side].config, o[side].master);
    SEC_TRY(compare_arena("param", o, out));
    if (!exported[0] && !exported[1])
        SEC_TRY(compare_moments(o, out));
    for (int side = 0; side < 2; side++) {
        out->dir[side] = o[side].dir;
        o[side].dir = NULL;
    }
fail:
    sec_opened_free(&o[0]);
    sec_opened_free(&o[1]);
    if (rc)
        sec_model_diff_free(out);
    return rc;
}

void sec_model_diff_free(struct sec_model_diff *d)
{
    free(d->v);
    free(d->dir[0]);
    free(d->dir[1]);
    *d = (struct sec_model_diff){0};
}
