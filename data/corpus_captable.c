#include "data/corpus_captable.h"

#include "base/error.h"
#include "data/partfile.h"

#include <stdlib.h>
#include <string.h>

/* A capped template: its records are first, first + 1, ... of n in this segment; n 0 = free place.
 */
struct place {
    uint64_t key, next, n, k;
};

struct sec_captable {
    struct sec_part_stream *in;
    const uint64_t *ahead; /* next record of the stream; NULL = end */
    uint64_t segment;
    bool any;
    struct place *v; /* open addressing, at most half full */
    size_t mask, used;
};

static struct place *find(struct sec_captable *t, uint64_t key)
{
    size_t i = key & t->mask;
    while (t->v[i].n && t->v[i].key != key)
        i = (i + 1) & t->mask;
    return &t->v[i];
}

static int advance(struct sec_captable *t)
{
    int rc = sec_part_next(t->in, &t->ahead);
    if (rc == 1)
        t->ahead = NULL;
    return rc < 0 ? rc : 0;
}

int sec_captable_open(const struct sec_corpus_work *w, const struct sec_list *files, size_t task,
                      size_t memory, struct sec_captable **out)
{
    int rc = SEC_ENOMEM;
    char *scratch = sec_path_join(w->dir, "docs");
    struct sec_captable *t = calloc(1, sizeof *t);
    if (!t || !scratch) {
        sec_fail(rc, "out of memory for the template cap");
        goto fail;
    }
    t->mask = 1023;
    t->v = calloc(t->mask + 1, sizeof *t->v);
    if (!t->v) {
        sec_fail(rc, "out of memory for the template cap");
        goto fail;
    }
    SEC_TRY(sec_part_open(files, task, 5, memory, scratch, &t->in));
    SEC_TRY(advance(t));
    *out = t;
    t = NULL;
fail:
    sec_captable_close(t);
    free(scratch);
    return rc;
}

static int grow(struct sec_captable *t)
{
    struct sec_captable bigger = {.mask = 2 * t->mask + 1};
    bigger.v = calloc(bigger.mask + 1, sizeof *bigger.v);
    if (!bigger.v)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu capped templates", t->used);
    for (size_t i = 0; i <= t->mask; i++)
        if (t->v[i].n)
            *find(&bigger, t->v[i].key) = t->v[i];
    free(t->v);
    t->v = bigger.v;
    t->mask = bigger.mask;
    return 0;
}

static int enter(struct sec_captable *t, uint64_t segment)
{
    int rc = 0;
    memset(t->v, 0, (t->mask + 1) * sizeof *t->v);
    t->used = 0;
    t->segment = segment;
    t->any = true;
    while (t->ahead && t->ahead[0] <= segment) {
        const uint64_t *r = t->ahead;
        if (r[0] == segment) {
            if (2 * ++t->used > t->mask)
                SEC_TRY(grow(t));
            *find(t, r[1]) = (struct place){r[1], r[2], r[3], r[4]};
        }
        SEC_TRY(advance(t));
    }
fail:
    return rc;
}

int sec_captable_ask(struct sec_captable *t, uint64_t segment, uint64_t template, bool *drop)
{
    int rc = 0;
    *drop = false;
    if (!t->any || segment != t->segment)
        SEC_TRY(enter(t, segment));
    struct place *p = find(t, template);
    if (!p->n)
        return 0;
    unsigned __int128 i = p->next++;
    *drop = (i + 1) * p->k / p->n == i * p->k / p->n;
fail:
    return rc;
}

void sec_captable_close(struct sec_captable *t)
{
    if (!t)
        return;
    sec_part_close(t->in);
    free(t->v);
    free(t);
}
