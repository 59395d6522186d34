#include "data/corpus_write.h"

#include "base/error.h"
#include "base/ranks.h"
#include "data/corpus_manifest.h"
#include "data/corpus_place.h"
#include "data/corpus_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Counts of records by source, and what comes from the tasks; the same on every rank. */
static void sum_counts(struct sec_corpus_work *w, const struct sec_shards *s,
                       struct sec_corpus_report *report)
{
    for (size_t i = 0; i < w->in.n_sources; i++)
        memset(&w->in.sources[i].counts, 0, sizeof w->in.sources[i].counts);
    report->bytes_in = report->damaged_files = 0;
    for (size_t t = 0; t < w->n_tasks; t++) {
        struct sec_corpus_counts *c = &w->in.sources[w->tasks[t].source].counts;
        sec_corpus_add_counts(c, &w->sums[t].counts);
        report->bytes_in += w->sums[t].bytes_in;
        report->damaged_files += w->sums[t].damaged_files;
        for (int r = 0; r < SEC_N_DOCUMENT_REASONS; r++) {
            uint64_t records = s->frames[t].head.gone[r].records;
            c->reasons[SEC_DROP_DOCUMENT + r] += records;
            c->reasons[SEC_KEPT] -= records;
        }
    }
}

static int put_file(const struct sec_corpus_work *w, const char *name, const struct sec_buf *text)
{
    int rc = SEC_ENOMEM;
    char *path;
    if (asprintf(&path, "%s/stage/%s", w->dir, name) < 0)
        return sec_fail(rc, "out of memory for %s", name);
    rc = sec_write_file(path, text->data, text->len);
    free(path);
    return rc;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A run that was killed may have left temporary files beside the shards. */
static int remove_strangers(const struct sec_corpus_work *w, const struct sec_shards *s)
{
    int rc;
    struct sec_list files = {0};
    char *root = sec_path_join(w->dir, "stage");
    char **known = malloc((s->n + 1) * sizeof *known);
    if (!root || !known) {
        rc = sec_fail(SEC_ENOMEM, "out of memory for %zu shards", s->n);
        goto fail;
    }
    for (size_t i = 0; i < s->n; i++)
        known[i] = s->info[i].path;
    qsort(known, s->n, sizeof *known, compare_paths);
    SEC_TRY(sec_walk(root, &files));
    for (size_t i = 0; i < files.n; i++) {
        char *relative = files.v[i] + strlen(root) + 1;
        if (!bsearch(&relative, known, s->n, sizeof *known, compare_paths) && unlink(files.v[i])) {
            rc = sec_fail(SEC_EFAIL, "cannot remove %s, which a stopped build left", files.v[i]);
            break;
        }
    }
fail:
    sec_list_free(&files);
    free(known);
    free(root);
    return rc;
}

/* One rank's: ledger, report, manifest; then the corpus takes its place. */
static int finish(struct sec_corpus_work *w, const struct sec_near_report *near,
                  struct sec_shards *s, struct sec_corpus_report *report)
{
    int rc;
    struct sec_buf text = {0};
    SEC_TRY(remove_strangers(w, s));
    if (s->n)
        qsort(s->info, s->n, sizeof *s->info, sec_shard_info_compare);
    sec_corpus_sum(&w->in, s->info, s->n, report);
    SEC_TRY(sec_corpus_check(w->o, &w->in, report));
    const char *pseudonyms = w->pseudo ? sec_pseudo_fingerprint(w->pseudo) : NULL;
    if (w->o->ledger)
        SEC_TRY(sec_corpus_ledger(w, s));
    SEC_TRY(sec_corpus_report_json(w, near, s, report, pseudonyms, &text));
    SEC_TRY(put_file(w, "report.json", &text));
    sec_buf_clear(&text);
    SEC_TRY(sec_corpus_manifest(w->o, &w->in, s->info, s->n, report, pseudonyms, &text));
    SEC_TRY(put_file(w, SEC_MANIFEST, &text));
    rc = sec_place_commit(w->o->out);
fail:
    sec_buf_free(&text);
    return rc;
}

int sec_corpus_write(struct sec_corpus_work *w, const struct sec_near_report *near,
                     struct sec_corpus_report *report)
{
    int rc;
    struct sec_shards shards = {0};
    SEC_TRY(sec_corpus_frames(w));
    SEC_TRY(sec_corpus_shards(w, &shards));
    sum_counts(w, &shards, report);
    report->largest_similarity = near->largest;
    rc = sec_rank() ? 0 : finish(w, near, &shards, report);
    SEC_TRY(sec_ranks_agree(rc));
    rc = sec_ranks_bcast(report, sizeof *report);
fail:
    sec_shards_free(w, &shards);
    return rc;
}
