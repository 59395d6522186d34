#include "data/corpus_near_work.h"

#include "base/error.h"
#include "base/ranks.h"

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
    *edge = b->open || sec_bit(n->again, i);
    /* Every source's buckets were settled by themselves, with its own first document. */
    if (n->scope == SEC_SCOPE_ALL && n->round == 0)
        *edge = source_of(n, document) != source_of(n, b->first);
}

/* Most documents are alone with a key. The first round leaves those that are not, for the rounds
 * after it: near/buckets/PART.part. */
struct keeper {
    struct sec_part_writer *out; /* NULL = not this round */
    uint64_t last[2];
    bool any, kept; /* last is there; it is written */
};

static int keep(struct keeper *k, size_t part, const uint64_t *r)
{
    int rc = 0;
    if (!k->out)
        return 0;
    bool same = k->any && r[0] == k->last[0];
    if (same && !k->kept)
        SEC_TRY(sec_part_add(k->out, part, k->last));
    if (same)
        SEC_TRY(sec_part_add(k->out, part, r));
    k->last[0] = r[0];
    k->last[1] = r[1];
    k->any = true;
    k->kept = same;
fail:
    return rc;
}

static bool first_round(const struct sec_near *n)
{
    return n->scope == SEC_SCOPE_SOURCE && n->round == 0;
}

static int open_buckets(const struct sec_near *n, size_t part, const char *scratch,
                        struct sec_part_stream **in)
{
    if (!n->buckets)
        return sec_part_open(&n->bands, part, 2, n->w->task_memory / 2, scratch, in);
    struct sec_list one = {0};
    char *path = sec_work_path(n->w, "near/buckets", part, "part");
    int rc = path ? sec_list_add(&one, path) : SEC_ENOMEM;
    if (!rc)
        rc = sec_part_open(&one, part, 2, n->w->task_memory / 2, scratch, in);
    sec_list_free(&one);
    free(path);
    return rc;
}

static int create(const struct sec_near *n, size_t part, struct sec_part_writer **edges,
                  struct sec_part_writer **buckets)
{
    int rc;
    char *path = NULL;
    SEC_TRY(sec_near_path(n, "edges", part, "part", &path));
    SEC_TRY(sec_part_create(path, 2, n->groups.n, n->w->task_memory / 4, edges));
    if (first_round(n))
        rc = sec_work_create(n->w, "near/buckets", part, "part", 2, n->w->task_memory / 8, buckets);
fail:
    free(path);
    return rc;
}

static int make_edges(const struct sec_near *n, size_t part, struct sec_part_stream *in,
                      struct sec_part_writer *out, struct keeper *keeper)
{
    int rc;
    const uint64_t *r;
    struct bucket b = {.source = -1};
    for (bool first = true; !(rc = sec_part_next(in, &r)); first = false) {
        bool edge;
        if (first || r[0] != b.key ||
            (n->scope == SEC_SCOPE_SOURCE && source_of(n, r[1]) != b.source))
            begin(n, &b, r[0], r[1]);
        add(n, &b, r[1], &edge);
        if (edge)
            SEC_TRY(sec_part_add(out, sec_near_group(n, r[1]), (uint64_t[]){r[1], b.first}));
        SEC_TRY(keep(keeper, part, r));
    }
    rc = rc == 1 ? 0 : rc;
fail:
    return rc;
}

static int run(void *ctx, size_t part)
{
    struct sec_near *n = ctx;
    int rc;
    struct sec_part_stream *in = NULL;
    struct sec_part_writer *out = NULL;
    struct keeper keeper = {.out = NULL};
    char *scratch = NULL;
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(open_buckets(n, part, scratch, &in));
    SEC_TRY(create(n, part, &out, &keeper.out));
    SEC_TRY(make_edges(n, part, in, out, &keeper));
    SEC_TRY(sec_part_finish(&keeper.out));
    rc = sec_part_finish(&out);
fail:
    sec_part_abort(out);
    sec_part_abort(keeper.out);
    sec_part_close(in);
    free(scratch);
    return rc;
}

static bool done(void *ctx, size_t part)
{
    return sec_near_have(ctx, "edges", part, "part");
}

/* Are the first round's buckets all there? (One that was damaged is set aside.) */
static int find_buckets(struct sec_near *n)
{
    n->buckets = !first_round(n);
    for (size_t p = 0; n->buckets && !sec_rank() && p < n->w->n_parts; p++)
        n->buckets = sec_work_have(n->w, "near/buckets", p, "part");
    return sec_ranks_bcast(&n->buckets, sizeof n->buckets);
}

int sec_near_edges(struct sec_near *n)
{
    int rc;
    SEC_TRY(sec_near_dir(n, "edges"));
    SEC_TRY(sec_ranks_agree(sec_work_stage_dir(n->w, "near/buckets")));
    SEC_TRY(find_buckets(n));
    rc = sec_near_stage(n, "near-edges", n->w->n_parts, NULL, done, run);
fail:
    return rc;
}
