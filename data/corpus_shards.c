#include "data/corpus_shards.h"

#include "base/error.h"
#include "base/ranks.h"
#include "data/corpus_manifest.h"
#include "data/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stage {
    struct sec_corpus_work *w;
    struct sec_shards *s;
    char *root; /* .build/stage */
};

static int add_plan(struct sec_shards *s, const struct sec_shard_plan *p)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct sec_shard_plan *v = realloc(s->plan, cap * sizeof *v);
        if (!v)
            return sec_fail(SEC_ENOMEM, "out of memory for %zu shards", cap);
        s->plan = v;
        s->cap = cap;
    }
    s->plan[s->n++] = *p;
    return 0;
}

/* The frames of one split in task order, cut where the source changes or the shard is full. */
static int plan_split(const struct sec_corpus_work *w, struct sec_shards *s, enum sec_split split)
{
    struct sec_shard_plan *p = NULL;
    for (size_t t = 0; t < w->n_tasks; t++) {
        const struct sec_frames *f = &s->frames[t];
        for (uint64_t i = 0; i < f->head.n; i++) {
            if (f->v[i].kind != (uint32_t)split)
                continue;
            int source = w->tasks[t].source;
            bool same = p && p->source == source;
            if (!same || p->raw + f->v[i].raw > w->o->shard_bytes) {
                struct sec_shard_plan next = {.split = split,
                                              .source = source,
                                              .number = same ? p->number + 1 : 0,
                                              .task = t,
                                              .frame = i};
                int rc = add_plan(s, &next);
                if (rc)
                    return rc;
                p = &s->plan[s->n - 1];
            }
            p->frames++;
            p->raw += f->v[i].raw;
        }
    }
    return 0;
}

static int copy_frames(const struct stage *st, const struct sec_shard_plan *p,
                       struct sec_shard_writer *out)
{
    int rc = 0;
    struct sec_buf packed = {0};
    uint64_t left = p->frames, i = p->frame;
    for (size_t t = p->task; left; t++, i = 0) {
        const struct sec_frames *f = &st->s->frames[t];
        for (; left && i < f->head.n; i++) {
            const struct sec_frames_entry *e = &f->v[i];
            if (e->kind != (uint32_t)p->split)
                continue;
            struct sec_shard_info contents = {.documents = e->documents,
                                              .records = e->records,
                                              .bytes_text = e->bytes_text,
                                              .bytes_raw = e->raw};
            SEC_TRY(sec_frames_read(st->w, t, e, &packed));
            SEC_TRY(sec_shard_writer_add_packed(out, &packed, &contents));
            left--;
        }
    }
fail:
    sec_buf_free(&packed);
    return rc;
}

/* Smaller shards are flushed together at the end of the stage: many flushes of small files take
 * longer than all the rest. So a later run, which may follow a loss of power, reads them before it
 * relies on them. */
enum { FLUSH_AT = 64 << 20 };

/* What is kept of a shard's info beside the shard; names follow from the plan. */
struct numbers {
    uint64_t documents, records, bytes_text, bytes_raw, bytes_packed, xxh3;
};

static int run(void *ctx, size_t i)
{
    const struct stage *st = ctx;
    const struct sec_shard_plan *p = &st->s->plan[i];
    int rc;
    struct sec_shard_writer *out = NULL;
    struct sec_shard_info info;
    char *sum = sec_work_path(st->w, "shards", i, "sum");
    if (!sum)
        return SEC_ENOMEM;
    SEC_TRY(sec_shard_writer_open(st->root, p->split, st->w->in.sources[p->source].name, p->number,
                                  &out));
    if (p->raw < FLUSH_AT)
        sec_shard_writer_unsynced(out);
    SEC_TRY(copy_frames(st, p, out));
    rc = sec_shard_writer_close(out, &info);
    out = NULL;
    if (rc)
        goto fail;
    struct numbers n = {info.documents, info.records,      info.bytes_text,
                        info.bytes_raw, info.bytes_packed, info.xxh3};
    sec_shard_info_free(&info);
    rc = sec_sealed_write(sum, &n, sizeof n);
fail:
    sec_shard_writer_abort(out);
    free(sum);
    return rc;
}

static int shard_path(const struct stage *st, size_t i, char **relative, char **full)
{
    const struct sec_shard_plan *p = &st->s->plan[i];
    *full = NULL;
    if (asprintf(relative, "%s/%s/%06d.jsonl.zst", sec_split_names[p->split],
                 st->w->in.sources[p->source].name, p->number) < 0)
        return sec_fail(SEC_ENOMEM, "out of memory for a shard's name");
    *full = sec_path_join(st->root, *relative);
    if (*full)
        return 0;
    free(*relative);
    return sec_fail(SEC_ENOMEM, "out of memory for a shard's name");
}

/* The shard is there as its sum says. */
static bool complete(const struct stage *st, size_t i, const struct numbers *n)
{
    struct sec_buf bytes = {0};
    char *relative, *full;
    if (shard_path(st, i, &relative, &full))
        return false;
    bool yes = sec_file_size(full) == (int64_t)n->bytes_packed;
    if (yes && st->s->plan[i].raw < FLUSH_AT)
        yes = !sec_read_file(full, &bytes) && sec_hash64(bytes.data, bytes.len, 0) == n->xxh3;
    sec_buf_free(&bytes);
    free(relative);
    free(full);
    return yes;
}

static bool done(void *ctx, size_t i)
{
    const struct stage *st = ctx;
    struct numbers n;
    char *sum = sec_work_path(st->w, "shards", i, "sum");
    bool yes =
        sum && sec_exists(sum) && !sec_sealed_read_into(sum, &n, sizeof n) && complete(st, i, &n);
    sec_error_clear();
    free(sum);
    return yes;
}

static int load_infos(const struct stage *st)
{
    int rc = 0;
    struct sec_shards *s = st->s;
    for (size_t i = 0; i < s->n && !rc; i++) {
        struct numbers n;
        char *full = NULL, *sum = sec_work_path(st->w, "shards", i, "sum");
        rc = sum ? sec_sealed_read_into(sum, &n, sizeof n) : SEC_ENOMEM;
        if (!rc)
            rc = shard_path(st, i, &s->info[i].path, &full);
        free(full);
        free(sum);
        if (rc)
            break;
        s->info[i].split = s->plan[i].split;
        s->info[i].source = st->w->in.sources[s->plan[i].source].name;
        s->info[i].documents = n.documents;
        s->info[i].records = n.records;
        s->info[i].bytes_text = n.bytes_text;
        s->info[i].bytes_raw = n.bytes_raw;
        s->info[i].bytes_packed = n.bytes_packed;
        s->info[i].xxh3 = n.xxh3;
    }
    return rc;
}

static int make_plan(const struct sec_corpus_work *w, struct sec_shards *s)
{
    int rc = 0;
    s->frames = calloc(w->n_tasks + 1, sizeof *s->frames);
    if (!s->frames)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu tasks", w->n_tasks);
    for (size_t t = 0; t < w->n_tasks; t++)
        SEC_TRY(sec_frames_load(w, t, &s->frames[t]));
    for (int split = 0; split < SEC_N_SPLITS; split++)
        SEC_TRY(plan_split(w, s, (enum sec_split)split));
    s->info = calloc(s->n + 1, sizeof *s->info);
    if (!s->info)
        rc = sec_fail(SEC_ENOMEM, "out of memory for %zu shards", s->n);
fail:
    return rc;
}

int sec_corpus_shards(struct sec_corpus_work *w, struct sec_shards *out)
{
    int rc;
    uint64_t *cost = NULL;
    struct stage st = {.w = w, .s = out, .root = sec_path_join(w->dir, "stage")};
    memset(out, 0, sizeof *out);
    rc = st.root ? make_plan(w, out) : sec_fail(SEC_ENOMEM, "out of memory for %s", w->dir);
    if (!rc)
        rc = sec_work_stage_dir(w, "shards");
    if (!rc)
        rc = sec_mkdir_p(st.root);
    cost = rc ? NULL : malloc((out->n + 1) * sizeof *cost);
    if (!rc && !cost)
        rc = sec_fail(SEC_ENOMEM, "out of memory for %zu shards", out->n);
    SEC_TRY(sec_ranks_agree(rc));
    for (size_t i = 0; i < out->n; i++)
        cost[i] = out->plan[i].raw;
    struct sec_stage s = {"shards", out->n, cost, w->threads, w->o->stop, done, run, &st};
    SEC_TRY(sec_stage_run(&s));
    SEC_TRY(sec_ranks_agree(sec_fsync_tree(st.root)));
    rc = sec_ranks_agree(load_infos(&st));
fail:
    free(cost);
    free(st.root);
    return rc;
}

void sec_shards_free(const struct sec_corpus_work *w, struct sec_shards *s)
{
    for (size_t t = 0; s->frames && t < w->n_tasks; t++)
        sec_frames_free(&s->frames[t]);
    for (size_t i = 0; s->info && i < s->n; i++)
        free(s->info[i].path);
    free(s->frames);
    free(s->plan);
    free(s->info);
    memset(s, 0, sizeof *s);
}
