/* The stages of the records, and what is left of them. When they are complete their decisions are
 * in exact/ and cap/, and sealed in decided/000000.sum: the sources' caps and the tasks' first
 * lines. The hashes of the scan then go, and the decisions once the documents are complete. */
#include "data/corpus_records.h"

#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "data/sealed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* Are the decisions, or all that was to be made of them, there? As rank 0 sees it. */
static bool decided(const struct sec_corpus_work *w)
{
    bool records = true, documents = true;
    if (!sec_work_have(w, "decided", 0, "sum"))
        return false;
    for (size_t p = 0; p < w->n_parts && records; p++)
        records = (!w->o->exact || sec_work_have(w, "exact", p, "part")) &&
                  (!sec_capped(w->o) || sec_work_have(w, "cap", p, "part"));
    for (size_t t = 0; t < w->n_tasks && documents && !records; t++)
        documents = sec_documents_done(w, t);
    return records || documents;
}

/* caps[n_sources], line_base[n_tasks], one after the other. */
static int save(const struct sec_corpus_work *w)
{
    int rc;
    struct sec_buf text = {0};
    char *path = sec_work_path(w, "decided", 0, "sum");
    if (!path)
        return SEC_ENOMEM;
    SEC_TRY(sec_work_stage_dir(w, "decided"));
    for (size_t i = 0; i < w->in.n_sources; i++)
        SEC_TRY(sec_buf_add(&text, &w->in.sources[i].template_cap, sizeof(uint64_t)));
    SEC_TRY(sec_buf_add(&text, w->line_base, w->n_tasks * sizeof *w->line_base));
    rc = sec_sealed_write(path, text.data, text.len);
fail:
    sec_buf_free(&text);
    free(path);
    return rc;
}

static int load(struct sec_corpus_work *w)
{
    size_t words = w->in.n_sources + w->n_tasks;
    uint64_t *v = malloc(words * sizeof *v);
    char *path = sec_work_path(w, "decided", 0, "sum");
    int rc = !v     ? sec_fail(SEC_ENOMEM, "out of memory for %zu tasks", w->n_tasks)
             : path ? sec_sealed_read_into(path, v, words * sizeof *v)
                    : SEC_ENOMEM;
    for (size_t i = 0; i < w->in.n_sources && !rc; i++)
        w->in.sources[i].template_cap = v[i];
    for (size_t t = 0; t < w->n_tasks && !rc; t++)
        w->line_base[t] = v[w->in.n_sources + t];
    free(path);
    free(v);
    return rc;
}

static void remove_files(const struct sec_corpus_work *w, const char *stage, size_t n,
                         const char *suffix)
{
    for (size_t i = 0; i < n; i++) {
        char *path = sec_work_path(w, stage, i, suffix);
        if (path)
            unlink(path);
        free(path);
    }
}

/* The sums of the scan stay: the second pass compares. */
static void forget_scan(const struct sec_corpus_work *w)
{
    remove_files(w, "scan", w->n_tasks, "part");
    remove_files(w, "scan", w->n_tasks, "tmpl");
    remove_files(w, "exact", w->n_parts, "tmpl");
    remove_files(w, "templates", w->n_parts, "hist");
}

static void tell_caps(const struct sec_corpus_work *w)
{
    const struct sec_source *least = NULL;
    size_t n = 0;
    for (size_t i = 0; i < w->in.n_sources; i++) {
        const struct sec_source *s = &w->in.sources[i];
        n += s->template_cap > 0;
        if (s->template_cap && (!least || s->template_cap < least->template_cap))
            least = s;
    }
    if (!n)
        sec_info("--target-bytes: all %zu sources fit, no template is capped", w->in.n_sources);
    else
        sec_info("--target-bytes: templates are capped in %zu of %zu sources, most tightly in %s: "
                 "%" PRIu64 " records each",
                 n, w->in.n_sources, least->name, least->template_cap);
}

int sec_corpus_records(struct sec_corpus_work *w)
{
    int rc = 0;
    bool parts = false, cap = sec_capped(w->o);
    for (size_t t = 0; t < w->n_tasks; t++)
        parts = parts || w->tasks[t].begin;
    bool done = !sec_rank() && decided(w);
    SEC_TRY(sec_ranks_bcast(&done, sizeof done));
    if (done)
        return sec_ranks_agree(load(w));
    if (w->o->exact || cap || parts)
        SEC_TRY(sec_records_scan(w));
    if (w->o->exact)
        SEC_TRY(sec_records_exact(w));
    if (cap)
        SEC_TRY(sec_records_templates(w));
    SEC_TRY(sec_ranks_agree(sec_rank() ? 0 : save(w)));
    if (!sec_rank())
        forget_scan(w);
    if (w->o->target_bytes)
        tell_caps(w);
fail:
    return rc;
}

int sec_records_forget(const struct sec_corpus_work *w)
{
    int rc = 0;
    if (!sec_rank()) {
        rc = sec_work_remove_stage(w, "exact");
        if (!rc)
            rc = sec_work_remove_stage(w, "cap");
    }
    return sec_ranks_agree(rc);
}
