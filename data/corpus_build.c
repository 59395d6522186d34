#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "data/corpus_place.h"
#include "data/corpus_write.h"

#include <stdlib.h>
#include <string.h>

/* Is there anything that a later run can go on with? */
static bool has_work(const struct sec_corpus_work *w)
{
    char *path = w->dir ? sec_path_join(w->dir, "plan.txt") : NULL;
    bool yes = path && sec_exists(path);
    free(path);
    return yes;
}

/* One stage after the other; every rank comes to the same end. */
static int run_stages(struct sec_corpus_work *w, struct sec_near_report *near,
                      struct sec_corpus_report *report)
{
    int rc;
    SEC_TRY(sec_corpus_plan(w));
    SEC_TRY(sec_corpus_records(w));
    SEC_TRY(sec_corpus_documents(w));
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
    if (place.root)
        sec_place_close(&place, rc && has_work(&w));
    sec_corpus_work_free(&w);
    return rc;
}
