#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "data/corpus_place.h"
#include "data/corpus_report.h"
#include "data/corpus_write.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Is there anything that a later run can go on with? */
static bool has_work(const struct sec_corpus_work *w)
{
    char *path = w->dir ? sec_path_join(w->dir, SEC_PLAN) : NULL;
    bool yes = path && sec_exists(path);
    free(path);
    return yes;
}

/* Without documents there is no corpus, and nothing for a later run to go on with. */
static int check_any(struct sec_corpus_work *w, struct sec_corpus_report *report)
{
    if (w->doc_base[w->n_tasks])
        return 0;
    report->files = w->in.n;
    for (size_t t = 0; t < w->n_tasks; t++)
        sec_corpus_add_counts(&report->counts, &w->sums[t].counts);
    int rc = sec_corpus_check(w->o, &w->in, report);
    char *plan = sec_path_join(w->dir, SEC_PLAN);
    if (plan && !sec_rank())
        unlink(plan);
    free(plan);
    return rc;
}

/* One stage after the other; every rank comes to the same end. */
static int run_stages(struct sec_corpus_work *w, struct sec_near_report *near,
                      struct sec_corpus_report *report)
{
    int rc;
    SEC_TRY(sec_corpus_plan(w));
    SEC_TRY(sec_corpus_records(w));
    SEC_TRY(sec_corpus_documents(w));
    SEC_TRY(sec_ranks_agree(check_any(w, report)));
    SEC_TRY(sec_corpus_near(w, near));
    rc = sec_corpus_write(w, near, report);
fail:
    return rc;
}

int sec_corpus_build(const struct sec_corpus_options *o, struct sec_corpus_report *report)
{
    int rc;
    double started = sec_now();
    struct sec_place place = {.lock = -1};
    struct sec_near_report near = {0};
    struct sec_corpus_work w = {.o = o};
    memset(report, 0, sizeof *report);
    SEC_TRY(sec_ranks_agree(sec_rank() ? 0 : sec_place_open(o, &place)));
    w.dir = sec_path_join(o->out, ".build");
    rc = sec_ranks_agree(w.dir ? 0 : sec_fail(SEC_ENOMEM, "out of memory for %s", o->out));
    if (!rc)
        rc = run_stages(&w, &near, report);
    report->seconds = sec_now() - started;
fail:
    sec_progress_done();
    bool keep = rc && has_work(&w);
    if (keep && place.root)
        sec_info("%s keeps what is complete; the same command goes on from there", w.dir);
    if (place.root)
        sec_place_close(&place, keep);
    sec_corpus_work_free(&w);
    return rc;
}
