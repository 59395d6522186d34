/* Which records are repetitions: of equal hashes within a source the first record stays. */
#include "base/error.h"
#include "base/ranks.h"
#include "data/corpus_records.h"
#include "data/partfile.h"

#include <stdlib.h>

struct exact {
    struct sec_corpus_work *w;
    struct sec_list files;
};

static int sort_out(struct sec_part_stream *in, struct sec_part_writer *gone,
                    struct sec_part_writer *templates, size_t n_parts)
{
    int rc;
    const uint64_t *r;
    uint64_t lo = 0, hi = 0;
    bool any = false;
    while (!(rc = sec_part_next(in, &r))) {
        bool same = any && r[0] == lo && r[1] == hi;
        lo = r[0];
        hi = r[1];
        any = true;
        if (!same)
            continue;
        SEC_TRY(sec_part_add(gone, sec_key_task(r[2]), &r[2]));
        if (templates)
            SEC_TRY(sec_part_add(templates, r[3] % n_parts,
                                 (uint64_t[]){r[3], sec_key_segment(r[2]), UINT64_MAX, 0}));
    }
    rc = rc == 1 ? 0 : rc;
fail:
    return rc;
}

static int exact_part(void *ctx, size_t part)
{
    const struct exact *e = ctx;
    struct sec_corpus_work *w = e->w;
    int rc = SEC_ENOMEM;
    bool cap = sec_capped(w->o);
    struct sec_part_stream *in = NULL;
    struct sec_part_writer *gone = NULL, *templates = NULL;
    char *path = sec_work_path(w, "exact", part, "part"),
         *tmpl = sec_work_path(w, "exact", part, "tmpl"), *scratch = sec_path_join(w->dir, "exact");
    if (!path || !tmpl || !scratch)
        goto fail;
    SEC_TRY(sec_part_open(&e->files, part, cap ? 4 : 3, w->task_memory / 2, scratch, &in));
    SEC_TRY(sec_part_create(path, 1, w->n_tasks, w->task_memory / 4, &gone));
    if (cap)
        SEC_TRY(sec_part_create(tmpl, 4, w->n_parts, w->task_memory / 8, &templates));
    SEC_TRY(sort_out(in, gone, templates, w->n_parts));
    SEC_TRY(sec_part_finish(&templates));
    rc = sec_part_finish(&gone);
fail:
    sec_part_abort(gone);
    sec_part_abort(templates);
    sec_part_close(in);
    free(path);
    free(tmpl);
    free(scratch);
    return rc;
}

static bool exact_done(void *ctx, size_t part)
{
    const struct exact *e = ctx;
    return sec_work_have(e->w, "exact", part, "part") &&
           (!sec_capped(e->w->o) || sec_work_have(e->w, "exact", part, "tmpl"));
}

int sec_records_exact(struct sec_corpus_work *w)
{
    int rc;
    struct exact e = {.w = w};
    struct sec_stage s = {.name = "exact",
                          .n = w->n_parts,
                          .threads = w->threads,
                          .stop = w->o->stop,
                          .done = exact_done,
                          .run = exact_part,
                          .ctx = &e};
    rc = sec_work_files(w, "scan", w->n_tasks, "part", &e.files);
    if (!rc)
        rc = sec_work_stage_dir(w, "exact");
    SEC_TRY(sec_ranks_agree(rc));
    rc = sec_stage_run(&s);
fail:
    sec_list_free(&e.files);
    return rc;
}
