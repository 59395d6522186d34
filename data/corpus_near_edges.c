#include "data/corpus_near_work.h"

#include "base/error.h"

#include <stdlib.h>

/* A bucket in the making: documents of one band key (and one source) in document order. */
struct bucket {
    uint64_t key, first; /* first: that stands */
    int source;
    bool any, open; /* first is known; the bucket is of interest in this round */
    bool former;    /* the one that stood first before the last round is known */
};

static int source_of(const struct sec_near *n, uint64_t document)
{
    return n->w->tasks[sec_key_task(document)].source;
}

static void begin(const struct sec_near *n, struct bucket *b, uint64_t key, uint64_t document)
{
    *b = (struct bucket){.key = key, .source = source_of(n, document), .open = n->round == 0};
}

/* The next document of the bucket; *edge = it is a candidate against b->first. */
static void add(const struct sec_near *n, struct bucket *b, uint64_t document, bool *edge)
{
    uint64_t i = sec_doc_dense(n->w, document);
    bool gone = sec_bit(n->w->gone, i);
    *edge = false;
    /* What stands stood before, so the former first comes at the first or before it. */
    if (n->round && !b->former && !sec_bit(n->former, i)) {
        b->former = true;
        b->open = gone;
    }
    if (gone)
        return;
    if (!b->any) {
        b->any = true;
        b->first = document;
        return;
    }
    *edge = b->open;
    /* Every source's buckets were settled by themselves, with its own first document. */
    if (n->scope == SEC_SCOPE_ALL && n->round == 0)
        *edge = source_of(n, document) != source_of(n, b->first);
}

static int run(void *ctx, size_t part)
{
    struct sec_near *n = ctx;
    int rc;
    struct sec_part_stream *in = NULL;
    struct sec_part_writer *out = NULL;
    const uint64_t *r;
    struct bucket b = {.source = -1};
    char *scratch = NULL, *path = NULL;
    SEC_TRY(sec_near_path(n, "edges", part, "part", &path));
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->bands, part, 2, n->w->task_memory / 2, scratch, &in));
    SEC_TRY(sec_part_create(path, 2, n->groups.n, n->w->task_memory / 4, &out));
    bool first = true;
    while (!(rc = sec_part_next(in, &r))) {
        bool edge;
        if (first || r[0] != b.key ||
            (n->scope == SEC_SCOPE_SOURCE && source_of(n, r[1]) != b.source))
            begin(n, &b, r[0], r[1]);
        first = false;
        add(n, &b, r[1], &edge);
        if (edge)
            SEC_TRY(sec_part_add(out, sec_near_group(n, r[1]), (uint64_t[]){r[1], b.first}));
    }
    if (rc == 1)
        rc = sec_part_seal(out, NULL);
    else
        sec_part_abort(out);
    out = NULL;
fail:
    sec_part_abort(out);
    sec_part_close(in);
    free(path);
    free(scratch);
    return rc;
}

static bool done(void *ctx, size_t part)
{
    return sec_near_have(ctx, "edges", part, "part");
}

int sec_near_edges(struct sec_near *n)
{
    int rc = sec_near_dir(n, "edges");
    return rc ? rc : sec_near_stage(n, "near-edges", n->w->n_parts, NULL, done, run);
}
