#include "data/synth_slice.h"

#include "base/error.h"

#include <stdlib.h>

/* Squeeze what would fall behind the slice into its last eighth, keeping the order. */
static int64_t clamp_time(const struct synth_slice *s, int64_t t)
{
    if (t < s->t0)
        return s->t0;
    int64_t room = (s->t1 - s->t0) / 8, knee = s->t1 - room;
    if (t <= knee || room < 2)
        return t < s->t1 ? t : s->t1 - 1;
    double over = (double)(t - knee), width = (double)room;
    int64_t squeezed = knee + (int64_t)(width * over / (over + width));
    return squeezed < s->t1 ? squeezed : s->t1 - 1;
}

static bool make_room(struct synth_slice *s, struct synth_out *o)
{
    if (o->cap - o->len < SYNTH_LINE_MAX) {
        size_t cap = o->cap ? 2 * o->cap : 8 * SYNTH_LINE_MAX;
        char *p = realloc(o->data, cap);
        if (!p)
            goto fail;
        o->data = p;
        o->cap = cap;
    }
    if (o->lines == o->ref_cap) {
        size_t cap = o->ref_cap ? 2 * o->ref_cap : 512;
        struct synth_ref *p = realloc(o->ref, cap * sizeof *p);
        if (!p)
            goto fail;
        o->ref = p;
        o->ref_cap = cap;
    }
    return true;
fail:
    s->rc = sec_fail(SEC_ENOMEM, "no memory for a slice of generated logs (%zu bytes)", o->cap);
    return false;
}

bool synth_begin(struct synth_slice *s, enum synth_file f, int64_t *t, struct synth_line *l)
{
    struct synth_out *o = &s->out[f];
    if (!(s->formats >> f & 1) || s->rc || (!s->beat && s->used >= s->budget) || !make_room(s, o))
        return false;
    *t = clamp_time(s, *t);
    s->file = f;
    l->p = o->data + o->len;
    return true;
}

static uint32_t find_actors(struct synth_slice *s, const char *line, size_t n)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < SYNTH_ACTORS && s->actors->name[i]; i++)
        if (memmem(line, n, s->actors->text[i], strlen(s->actors->text[i])))
            found |= UINT32_C(1) << i;
    if (!found && !s->rc)
        s->rc = sec_fail(SEC_EFAIL,
                         "internal error: a labelled line names no actor of its incident: %.*s",
                         (int)(n < 200 ? n : 200), line);
    return found;
}

void synth_end(struct synth_slice *s, int64_t t, const struct synth_line *l)
{
    struct synth_out *o = &s->out[s->file];
    char *p = l->p;
    *p++ = '\n';
    size_t n = (size_t)(p - (o->data + o->len));
    struct synth_ref *ref = &o->ref[o->lines++];
    *ref =
        (struct synth_ref){.time = (uint64_t)t, .offset = (uint32_t)o->len, .length = (uint32_t)n};
    if (s->beat) {
        ref->beat = s->beat;
        ref->actors = find_actors(s, o->data + o->len, n - 1);
        o->labelled++;
    }
    o->len += n;
    s->used += s->by_lines ? 1 : n;
}

static int by_time(const void *a, const void *b)
{
    const struct synth_ref *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

int synth_slice_sort(struct synth_slice *s)
{
    for (int f = 0; f < SYNTH_FILES; f++) {
        struct synth_out *o = &s->out[f];
        if (!o->lines)
            continue;
        if (o->sorted_cap < o->len) {
            char *p = realloc(o->sorted, o->cap);
            if (!p)
                return sec_fail(SEC_ENOMEM, "no memory for a slice of generated logs (%zu bytes)",
                                o->cap);
            o->sorted = p;
            o->sorted_cap = o->cap;
        }
        qsort(o->ref, o->lines, sizeof *o->ref, by_time);
        char *p = o->sorted;
        for (size_t i = 0; i < o->lines; i++) {
            memcpy(p, o->data + o->ref[i].offset, o->ref[i].length);
            p += o->ref[i].length;
        }
        char *old = o->data;
        size_t cap = o->cap;
        o->data = o->sorted;
        o->cap = o->sorted_cap;
        o->sorted = old;
        o->sorted_cap = cap;
    }
    return 0;
}

void synth_slice_clear(struct synth_slice *s)
{
    for (int f = 0; f < SYNTH_FILES; f++)
        s->out[f].len = s->out[f].lines = s->out[f].labelled = 0;
    s->used = 0;
    s->beat = 0;
    s->rc = 0;
}

void synth_slice_free(struct synth_slice *s)
{
    for (int f = 0; f < SYNTH_FILES; f++) {
        free(s->out[f].data);
        free(s->out[f].sorted);
        free(s->out[f].ref);
    }
    free(s->active);
    *s = (struct synth_slice){0};
}
