#include "data/corpus_near.h"

#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "data/corpus_near_work.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sec_near_path(const struct sec_near *n, const char *sub, size_t i, const char *suffix,
                  char **out)
{
    char stage[80];
    snprintf(stage, sizeof stage, "%s%s%s", n->dir, *sub ? "/" : "", sub);
    *out = sec_work_path(n->w, stage, i, suffix);
    return *out ? 0 : SEC_ENOMEM;
}

int sec_near_files(const struct sec_near *n, const char *sub, size_t count, const char *suffix,
                   struct sec_list *out)
{
    char stage[80];
    snprintf(stage, sizeof stage, "%s/%s", n->dir, sub);
    return sec_work_files(n->w, stage, count, suffix, out);
}

int sec_near_dir(const struct sec_near *n, const char *sub)
{
    char stage[80];
    snprintf(stage, sizeof stage, "%s/%s", n->dir, sub);
    return sec_ranks_agree(sec_work_stage_dir(n->w, stage));
}

int sec_near_scratch(const struct sec_near *n, char **out)
{
    *out = sec_path_join(n->w->dir, n->dir);
    return *out ? 0 : sec_fail(SEC_ENOMEM, "out of memory for %s", n->dir);
}

bool sec_near_have(const struct sec_near *n, const char *sub, size_t i, const char *suffix)
{
    char stage[80];
    snprintf(stage, sizeof stage, "%s%s%s", n->dir, *sub ? "/" : "", sub);
    return sec_work_have(n->w, stage, i, suffix);
}

int sec_near_stage(struct sec_near *n, const char *name, size_t count, const uint64_t *cost,
                   bool (*done)(void *, size_t), int (*run)(void *, size_t))
{
    struct sec_stage s = {name, count, cost, n->w->threads, n->w->o->stop, done, run, n};
    return sec_stage_run(&s);
}

bool sec_near_round_done(const struct sec_near *n)
{
    return sec_near_have(n, "", 0, "sum") && sec_near_have(n, "", 0, "bits") &&
           sec_near_have(n, "", 0, "part");
}

static int load_round(struct sec_near *n, struct sec_round_sum *sum)
{
    int rc;
    char *path = NULL;
    uint64_t *bits = malloc((2 * n->bit_words + 1) * sizeof *bits);
    if (!bits)
        return sec_fail(SEC_ENOMEM, "out of memory for the documents' bits");
    SEC_TRY(sec_near_path(n, "", 0, "sum", &path));
    SEC_TRY(sec_sealed_read_into(path, sum, sizeof *sum));
    free(path);
    path = NULL;
    SEC_TRY(sec_near_path(n, "", 0, "bits", &path));
    SEC_TRY(sec_sealed_read_into(path, bits, 2 * n->bit_words * sizeof *bits));
    free(path);
    path = NULL;
    SEC_TRY(sec_near_path(n, "", 0, "part", &path));
    SEC_TRY(sec_list_add(&n->gone, path));
    memcpy(n->former, n->w->gone, n->bit_words * sizeof *bits);
    memcpy(n->again, bits + n->bit_words, n->bit_words * sizeof *bits);
    for (size_t i = 0; i < n->bit_words; i++)
        n->w->gone[i] |= bits[i];
fail:
    free(path);
    free(bits);
    return rc;
}

/* Rank 0 removes a folder below .build/near.dir. */
static int remove_dir(const struct sec_near *n, const char *sub)
{
    char stage[80];
    snprintf(stage, sizeof stage, "%s%s%s", n->dir, *sub ? "/" : "", sub);
    return sec_rank() ? 0 : sec_work_remove_stage(n->w, stage);
}

static int one_round(struct sec_near *n, struct sec_round_sum *sum)
{
    int rc;
    snprintf(n->dir, sizeof n->dir, "near/%s%u", n->scope == SEC_SCOPE_SOURCE ? "source" : "all",
             n->round);
    bool done = sec_near_round_done(n);
    SEC_TRY(sec_ranks_bcast(&done, sizeof done)); /* as rank 0 sees it */
    if (!done) {
        SEC_TRY(sec_near_edges(n));
        SEC_TRY(sec_near_verify(n));
        SEC_TRY(sec_near_resolve(n));
    }
    SEC_TRY(sec_ranks_agree(load_round(n, sum)));
    rc = remove_dir(n, "edges");
    if (!rc)
        rc = remove_dir(n, "verified");
    rc = sec_ranks_agree(rc);
fail:
    return rc;
}

static void report_round(struct sec_near *n, const struct sec_round_sum *sum,
                         struct sec_near_report *report)
{
    report->candidates[n->scope] += sum->pairs.candidates;
    report->verified[n->scope] += sum->pairs.verified;
    for (int i = 0; i < SEC_SIMILARITY_BINS; i++)
        report->histogram[i] += sum->pairs.histogram[i];
    if (sum->pairs.candidates)
        report->rounds[n->scope]++;
    for (int i = 0; i < SEC_EXAMPLES; i++)
        if (sum->examples[i].similarity > 0 && report->examples[i].similarity <= 0)
            report->examples[i] = sum->examples[i];
}

static int rounds(struct sec_near *n, int scope, struct sec_near_report *report)
{
    int rc;
    struct sec_round_sum sum;
    n->scope = scope;
    for (n->round = 0;; n->round++) {
        SEC_TRY(one_round(n, &sum));
        report_round(n, &sum, report);
        if (!sum.gone)
            break; /* no bucket has another first document */
    }
fail:
    return rc;
}

static int near_duplicates(struct sec_near *n, struct sec_near_report *report)
{
    int rc = sec_work_files(n->w, "bands", n->w->n_tasks, "part", &n->bands);
    SEC_TRY(sec_ranks_agree(rc));
    SEC_TRY(rounds(n, SEC_SCOPE_SOURCE, report));
    if (n->w->in.n_sources > 1)
        SEC_TRY(rounds(n, SEC_SCOPE_ALL, report));
    for (int i = 0; i < SEC_EXAMPLES; i++) /* close the gaps */
        if (report->examples[i].similarity > 0)
            report->examples[report->n_examples++] = report->examples[i];
fail:
    return rc;
}

/* gone/GROUP.part out of what every decision left for the group. The decisions' documents are
 * different ones; those of decontamination come in a file of the group's own. */
static int merge_gone(size_t first_task, struct sec_part_stream *in, struct sec_part_stream *tests,
                      struct sec_part_writer *out)
{
    int rc, end[2];
    const uint64_t *r[2] = {NULL, NULL};
    end[0] = sec_part_next(in, &r[0]);
    end[1] = tests ? sec_part_next(tests, &r[1]) : 1;
    for (;;) {
        rc = end[0] < 0 ? end[0] : end[1] < 0 ? end[1] : 0;
        if (rc || (end[0] && end[1]))
            return rc;
        int k = end[0] || (!end[1] && r[1][0] < r[0][0]);
        SEC_TRY(sec_part_add(out, sec_key_task(r[k][SEC_GONE_DOCUMENT]) - first_task, r[k]));
        end[k] = sec_part_next(k ? tests : in, &r[k]);
    }
fail:
    return rc;
}

static int run_gone(void *ctx, size_t group)
{
    struct sec_near *n = ctx;
    int rc;
    char *path = NULL, *scratch = NULL, *tests_path = NULL;
    size_t first = n->groups.first[group], tasks = n->groups.first[group + 1] - first;
    struct sec_list tests_file = {0};
    struct sec_part_stream *in = NULL, *tests = NULL;
    struct sec_part_writer *out = NULL;
    path = sec_work_path(n->w, "gone", group, "part");
    if (!path)
        return SEC_ENOMEM;
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->gone, group, SEC_GONE_WORDS, n->w->task_memory / 2, scratch, &in));
    if (n->decontaminated) {
        SEC_TRY(sec_near_path(n, "gone", group, "part", &tests_path));
        SEC_TRY(sec_list_add(&tests_file, tests_path));
        SEC_TRY(
            sec_part_open(&tests_file, 0, SEC_GONE_WORDS, n->w->task_memory / 8, scratch, &tests));
    }
    SEC_TRY(sec_part_create(path, SEC_GONE_WORDS, tasks, n->w->task_memory / 8, &out));
    SEC_TRY(merge_gone(first, in, tests, out));
    rc = sec_part_finish(&out);
fail:
    sec_part_abort(out);
    sec_part_close(in);
    sec_part_close(tests);
    sec_list_free(&tests_file);
    free(path);
    free(scratch);
    free(tests_path);
    return rc;
}

static bool gone_done(void *ctx, size_t group)
{
    const struct sec_near *n = ctx;
    return sec_work_have(n->w, "gone", group, "part");
}

/* The end of it: every group's gone file, then the report and the bits, which say that all is done.
 */
static int finish(struct sec_near *n, const struct sec_near_report *report)
{
    int rc;
    char *sum = sec_work_path(n->w, "gone", 0, "sum"),
         *bits = sec_work_path(n->w, "gone", 0, "bits");
    SEC_TRY(sec_ranks_agree(!sum || !bits ? SEC_ENOMEM : sec_work_stage_dir(n->w, "gone")));
    SEC_TRY(sec_near_stage(n, "gone", n->groups.n, NULL, gone_done, run_gone));
    if (!sec_rank()) {
        rc = sec_sealed_write(bits, n->w->gone, n->bit_words * sizeof *n->w->gone);
        if (!rc)
            rc = sec_sealed_write(sum, report, sizeof *report);
    }
    SEC_TRY(sec_ranks_agree(rc));
    snprintf(n->dir, sizeof n->dir, "near");
    rc = sec_ranks_agree(remove_dir(n, ""));
fail:
    free(sum);
    free(bits);
    return rc;
}

/* An earlier run came to its end here. */
static int load_finished(struct sec_near *n, struct sec_near_report *report, bool *done)
{
    int rc;
    char *sum = sec_work_path(n->w, "gone", 0, "sum"),
         *bits = sec_work_path(n->w, "gone", 0, "bits");
    bool yes = sum && bits && sec_work_have(n->w, "gone", 0, "sum") &&
               sec_work_have(n->w, "gone", 0, "bits");
    for (size_t g = 0; yes && g < n->groups.n; g++)
        yes = gone_done(n, g);
    *done = yes;
    SEC_TRY(sec_ranks_bcast(done, sizeof *done)); /* as rank 0 sees it */
    if (!*done)
        goto fail;
    rc = sec_sealed_read_into(sum, report, sizeof *report);
    if (!rc)
        rc = sec_sealed_read_into(bits, n->w->gone, n->bit_words * sizeof *n->w->gone);
    rc = sec_ranks_agree(rc);
fail:
    free(sum);
    free(bits);
    return rc;
}

static int decide(struct sec_near *n, struct sec_near_report *report)
{
    int rc;
    const struct sec_corpus_options *o = n->w->o;
    memset(n->w->gone, 0, n->bit_words * sizeof *n->w->gone);
    snprintf(n->dir, sizeof n->dir, "near/exact");
    SEC_TRY(sec_near_dir(n, ""));
    if (o->exact)
        SEC_TRY(sec_near_exact(n));
    if (o->minhash)
        SEC_TRY(near_duplicates(n, report));
    if (o->decontaminate > 0)
        SEC_TRY(sec_decontaminate(n, report));
    rc = finish(n, report);
fail:
    return rc;
}

/* Bytes of documents a group: a thousandth of all, within limits. */
enum { GROUPS = 1024 };
#define GROUP_LEAST (UINT64_C(8) << 20)
#define GROUP_MOST  (UINT64_C(64) << 20)

int sec_groups_make(const struct sec_corpus_work *w, struct sec_groups *out)
{
    uint64_t all = 0, here = 0;
    out->n = 0;
    out->first = malloc((w->n_tasks + 1) * sizeof *out->first);
    out->of = malloc((w->n_tasks + 1) * sizeof *out->of);
    if (!out->first || !out->of)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu tasks", w->n_tasks);
    for (size_t t = 0; t < w->n_tasks; t++)
        all += w->sums[t].bytes_documents;
    uint64_t full = all / GROUPS < GROUP_LEAST ? GROUP_LEAST : all / GROUPS;
    full = full > GROUP_MOST ? GROUP_MOST : full;
    for (size_t t = 0; t < w->n_tasks; t++) {
        if (!t || here >= full) {
            out->first[out->n++] = t;
            here = 0;
        }
        out->of[t] = out->n - 1;
        here += w->sums[t].bytes_documents;
    }
    out->first[out->n] = w->n_tasks;
    return 0;
}

void sec_groups_free(struct sec_groups *g)
{
    free(g->first);
    free(g->of);
    memset(g, 0, sizeof *g);
}

int sec_corpus_near(struct sec_corpus_work *w, struct sec_near_report *report)
{
    int rc;
    bool done = false;
    struct sec_near n = {.w = w};
    memset(report, 0, sizeof *report);
    report->largest = -1;
    n.bit_words = (size_t)((w->doc_base[w->n_tasks] + 63) / 64);
    n.former = calloc(n.bit_words + 1, sizeof *n.former);
    n.again = calloc(n.bit_words + 1, sizeof *n.again);
    n.weights = calloc(w->n_tasks + 1, sizeof *n.weights);
    rc = n.former && n.again && n.weights
             ? 0
             : sec_fail(SEC_ENOMEM, "out of memory for the documents' bits");
    if (!rc)
        rc = sec_groups_make(w, &n.groups);
    SEC_TRY(sec_ranks_agree(rc));
    for (size_t t = 0; t < w->n_tasks; t++)
        n.weights[n.groups.of[t]] += w->sums[t].bytes_documents;
    SEC_TRY(load_finished(&n, report, &done));
    if (!done)
        rc = decide(&n, report);
fail:
    sec_list_free(&n.bands);
    sec_list_free(&n.edges);
    sec_list_free(&n.gone);
    sec_groups_free(&n.groups);
    free(n.former);
    free(n.again);
    free(n.weights);
    return rc;
}

enum sec_split sec_corpus_split(const struct sec_corpus_work *w, size_t task, uint64_t cluster)
{
    return sec_split_of_cluster(&w->o->split, w->in.sources[w->tasks[task].source].odts, cluster);
}
