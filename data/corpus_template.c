/* The template cap: how many records each masked template of a source has, how many of them may
 * stay, and where those are. Of the n records of a template, k are kept, spread evenly: record i
 * (from 0) stays if floor((i + 1) k / n) and floor(i k / n) differ. */
#include "base/error.h"
#include "base/ranks.h"
#include "data/corpus_records.h"
#include "data/partfile.h"
#include "data/sealed.h"

#include <math.h>
#include <stdlib.h>

/* Sizes of templates are counted in bins an eighth of an octave wide. */
enum { BINS = 512, BINS_AN_OCTAVE = 8 };

struct bin {
    uint64_t source, bin, templates, records, bytes;
};

struct templates {
    struct sec_corpus_work *w;
    struct sec_list files;
};

/* A template of one partition: its segments in order. */
struct group {
    uint64_t key;
    struct {
        uint64_t segment, n;
    } * v;
    size_t n, cap;
    uint64_t records, bytes; /* bytes before repetitions went */
    uint64_t all;            /* records before repetitions went */
};

static int add_segment(struct group *g, uint64_t segment, uint64_t n, uint64_t bytes)
{
    if (!g->n || g->v[g->n - 1].segment != segment) {
        if (g->n == g->cap) {
            size_t cap = g->cap ? 2 * g->cap : 64;
            void *v = realloc(g->v, cap * sizeof *g->v);
            if (!v)
                return sec_fail(SEC_ENOMEM, "out of memory for a template in %zu places", cap);
            g->v = v;
            g->cap = cap;
        }
        g->v[g->n].segment = segment;
        g->v[g->n++].n = 0;
    }
    g->v[g->n - 1].n += n; /* -1 for a repetition wraps */
    g->records += n;
    g->bytes += bytes;
    g->all += bytes ? n : 0;
    return 0;
}

/* fn for every template of the partition, in order of its key. */
static int each_template(const struct templates *t, size_t part, const char *stage,
                         int (*fn)(void *ctx, const struct group *g), void *ctx)
{
    int rc = SEC_ENOMEM;
    const uint64_t *r;
    struct group g = {0};
    struct sec_part_stream *in = NULL;
    char *scratch = sec_path_join(t->w->dir, stage);
    if (!scratch)
        goto fail;
    SEC_TRY(sec_part_open(&t->files, part, 4, t->w->task_memory / 2, scratch, &in));
    while (!(rc = sec_part_next(in, &r))) {
        if (g.n && r[0] != g.key) {
            SEC_TRY(fn(ctx, &g));
            g.n = 0;
            g.records = g.bytes = g.all = 0;
        }
        g.key = r[0];
        SEC_TRY(add_segment(&g, r[1], r[2], r[3]));
    }
    rc = rc == 1 ? 0 : rc;
    if (!rc && g.n)
        rc = fn(ctx, &g);
fail:
    sec_part_close(in);
    free(g.v);
    free(scratch);
    return rc;
}

/* ---- caps out of a budget ---- */

struct histogram {
    const struct sec_corpus_work *w;
    struct bin *v; /* [sources * BINS] */
};

static int count_template(void *ctx, const struct group *g)
{
    struct histogram *h = ctx;
    size_t task = sec_key_task(g->v[0].segment);
    unsigned bin = g->records > 1 ? (unsigned)(log2((double)g->records) * BINS_AN_OCTAVE) : 0;
    struct bin *b = &h->v[(size_t)h->w->tasks[task].source * BINS + (bin < BINS ? bin : BINS - 1)];
    b->templates++;
    b->records += g->records;
    b->bytes += (uint64_t)((double)g->bytes * (double)g->records / (double)(g->all ? g->all : 1));
    return 0;
}

static int histogram_part(void *ctx, size_t part)
{
    const struct templates *t = ctx;
    int rc = SEC_ENOMEM;
    size_t n = t->w->in.n_sources * BINS;
    struct histogram h = {.w = t->w, .v = calloc(n, sizeof *h.v)};
    struct sec_buf out = {0};
    char *path = sec_work_path(t->w, "templates", part, "hist");
    if (!h.v || !path) {
        sec_fail(rc, "out of memory for sizes of templates");
        goto fail;
    }
    SEC_TRY(each_template(t, part, "templates", count_template, &h));
    for (size_t i = 0; i < n; i++) {
        h.v[i].source = i / BINS;
        h.v[i].bin = i % BINS;
        if (h.v[i].templates)
            SEC_TRY(sec_buf_add(&out, &h.v[i], sizeof h.v[i]));
    }
    rc = sec_sealed_write(path, out.data, out.len);
fail:
    free(h.v);
    free(path);
    sec_buf_free(&out);
    return rc;
}

static bool histogram_done(void *ctx, size_t part)
{
    const struct templates *t = ctx;
    return sec_work_have(t->w, "templates", part, "hist");
}

static int load_histogram(const struct sec_corpus_work *w, struct bin *all)
{
    int rc = 0;
    struct sec_buf in = {0};
    for (size_t p = 0; p < w->n_parts && !rc; p++) {
        char *path = sec_work_path(w, "templates", p, "hist");
        rc = path ? sec_sealed_read(path, &in) : SEC_ENOMEM;
        free(path);
        for (size_t at = 0; !rc && at + sizeof(struct bin) <= in.len; at += sizeof(struct bin)) {
            struct bin b;
            memcpy(&b, in.data + at, sizeof b);
            struct bin *to = &all[b.source * BINS + b.bin];
            to->templates += b.templates;
            to->records += b.records;
            to->bytes += b.bytes;
        }
    }
    sec_buf_free(&in);
    return rc;
}

/* Text that stays of a source with a cap of k records a template. */
static double kept_bytes(const struct bin *v, double k)
{
    double sum = 0;
    for (int i = 0; i < BINS; i++) {
        if (!v[i].templates)
            continue;
        double mean = (double)v[i].records / (double)v[i].templates;
        sum += (double)v[i].bytes * (mean > k ? k / mean : 1);
    }
    return sum;
}

/* The largest k whose text fits the budget; at least 1. 0 = everything fits. */
static uint64_t solve_cap(const struct bin *v, double budget)
{
    double lo = 1, hi = 1;
    while (kept_bytes(v, hi) <= budget) {
        if (hi > 0x1p62)
            return 0;
        hi *= 2;
    }
    while (hi - lo > 0.5) {
        double mid = (lo + hi) / 2;
        if (kept_bytes(v, mid) <= budget)
            lo = mid;
        else
            hi = mid;
    }
    return (uint64_t)lo;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The level with sum over sources of min(size, level) = target; infinite when all fits. */
static double water_level(const double *size, size_t n, double target, double *scratch)
{
    memcpy(scratch, size, n * sizeof *size);
    qsort(scratch, n, sizeof *scratch, ascending);
    for (size_t i = 0; i < n; i++) {
        if (scratch[i] * (double)(n - i) > target)
            return target / (double)(n - i);
        target -= scratch[i];
    }
    return INFINITY;
}

static int solve_caps(struct sec_corpus_work *w)
{
    int rc = SEC_ENOMEM;
    size_t n = w->in.n_sources;
    struct bin *all = calloc(n * BINS, sizeof *all);
    double *size = calloc(2 * n, sizeof *size);
    if (!all || !size) {
        sec_fail(rc, "out of memory for the sizes of %zu sources", n);
        goto fail;
    }
    SEC_TRY(load_histogram(w, all));
    for (size_t s = 0; s < n; s++)
        size[s] = kept_bytes(&all[s * BINS], INFINITY);
    double level = water_level(size, n, (double)w->o->target_bytes, size + n);
    for (size_t s = 0; s < n; s++)
        w->in.sources[s].template_cap = size[s] > level ? solve_cap(&all[s * BINS], level) : 0;
fail:
    free(all);
    free(size);
    return rc;
}

/* ---- places of the records that stay ---- */

struct capping {
    const struct sec_corpus_work *w;
    struct sec_part_writer *out;
};

static int cap_template(void *ctx, const struct group *g)
{
    struct capping *c = ctx;
    int rc = 0;
    size_t task = sec_key_task(g->v[0].segment);
    uint64_t k = c->w->in.sources[c->w->tasks[task].source].template_cap, first = 0;
    if (!k || g->records <= k)
        return 0;
    for (size_t i = 0; i < g->n && !rc; i++) {
        if (g->v[i].n)
            rc = sec_part_add(c->out, sec_key_task(g->v[i].segment),
                              (uint64_t[]){g->v[i].segment, g->key, first, g->records, k});
        first += g->v[i].n;
    }
    return rc;
}

static int cap_part(void *ctx, size_t part)
{
    const struct templates *t = ctx;
    int rc = SEC_ENOMEM;
    struct capping c = {.w = t->w};
    char *path = sec_work_path(t->w, "cap", part, "part");
    if (!path)
        goto fail;
    SEC_TRY(sec_part_create(path, 5, t->w->n_tasks, t->w->task_memory / 4, &c.out));
    SEC_TRY(each_template(t, part, "cap", cap_template, &c));
    rc = sec_part_finish(&c.out);
fail:
    sec_part_abort(c.out);
    free(path);
    return rc;
}

static bool cap_done(void *ctx, size_t part)
{
    const struct templates *t = ctx;
    return sec_work_have(t->w, "cap", part, "part");
}

int sec_records_templates(struct sec_corpus_work *w)
{
    int rc;
    struct templates t = {.w = w};
    struct sec_stage s = {.name = "templates",
                          .n = w->n_parts,
                          .threads = w->threads,
                          .stop = w->o->stop,
                          .done = histogram_done,
                          .run = histogram_part,
                          .ctx = &t};
    rc = sec_work_files(w, "scan", w->n_tasks, "tmpl", &t.files);
    if (!rc && w->o->exact)
        rc = sec_work_files(w, "exact", w->n_parts, "tmpl", &t.files);
    if (!rc && w->o->target_bytes)
        rc = sec_work_stage_dir(w, "templates");
    if (!rc)
        rc = sec_work_stage_dir(w, "cap");
    SEC_TRY(sec_ranks_agree(rc));
    for (size_t i = 0; i < w->in.n_sources; i++)
        w->in.sources[i].template_cap = w->o->template_cap;
    if (w->o->target_bytes) {
        SEC_TRY(sec_stage_run(&s));
        SEC_TRY(sec_ranks_agree(solve_caps(w)));
    }
    s.name = "cap";
    s.done = cap_done;
    s.run = cap_part;
    rc = sec_stage_run(&s);
fail:
    sec_list_free(&t.files);
    return rc;
}
