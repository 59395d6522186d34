/* Near-duplicates and decontamination against the definition in corpus_near.h, recomputed in memory
 * the plain way: every round over every bucket, similarities from the very substrings. */
#include "base/error.h"
#include "base/rng.h"
#include "data/corpus_near.h"
#include "data/docstore.h"
#include "data/partfile.h"
#include "data/sketch.h"
#include "data/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TASKS = 6, SOURCES = 3, PER_TASK = 120, N = TASKS * PER_TASK, PARTS = 3, FAMILIES = 90 };

struct document {
    uint64_t key, cluster;
    struct sec_buf text;
    sec_h128 id;
    uint64_t *gram; /* distinct windows of 5 bytes of the masked text, ascending */
    size_t grams;
    uint64_t bands[16], tests[32];
    uint32_t signature[SEC_MINHASH_N];
    int source;
    enum sec_split split;
    uint64_t reason; /* of the reference; 0 = stays */
    size_t keeper;
    double similarity;
};
static struct document docs[N];
static char dir[] = "/tmp/secenc-near-XXXXXX";
static struct sec_corpus_options options;

static void make_text(size_t i, struct sec_buf *out)
{
    struct sec_rng g = sec_rng_make(11, SEC_STREAM_SAMPLE, i << 20);
    uint32_t family = sec_rng_below(&g, FAMILIES), changed = sec_rng_below(&g, 14);
    struct sec_rng words = sec_rng_make(12, SEC_STREAM_SAMPLE, (uint64_t)family << 20);
    uint32_t n = 30 + sec_rng_below(&words, 40);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t word = sec_rng_below(&words, 4000);
        if (sec_rng_below(&g, 100) < changed)
            word = sec_rng_below(&g, 4000);
        sec_buf_printf(out, "%s%c%c%c%c id=%u",
                       k % 7 ? " "
                       : k   ? "\n"
                             : "",
                       'g' + word % 17, 'h' + word / 17 % 16, 'i' + word / 272 % 15,
                       'g' + word % 13, sec_rng_below(&g, 1000));
    }
    if (changed == 3) { /* the family's text itself, the same each time */
        sec_buf_clear(out);
        sec_buf_printf(out, "family %c%c starts\nand ends with nothing else at all",
                       'g' + family % 9, 'g' + family / 9);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void make_grams(struct document *d)
{
    char *masked = malloc(d->text.len + 1);
    size_t n = 0;
    for (char *p = d->text.data, *nl; p; p = nl ? nl + 1 : NULL) {
        nl = strchr(p, '\n');
        n += sec_template_mask(p, nl ? (size_t)(nl - p) : strlen(p), masked + n);
        if (nl)
            masked[n++] = '\n';
    }
    d->cluster = sec_hash64(masked, n, 0);
    d->gram = calloc(n, sizeof *d->gram);
    for (size_t i = 0; i + 5 <= n; i++)
        memcpy(&d->gram[i], masked + i, 5);
    qsort(d->gram, n - 4, sizeof *d->gram, by_value);
    for (size_t i = 0; i + 5 <= n; i++)
        if (!d->grams || d->gram[i] != d->gram[d->grams - 1])
            d->gram[d->grams++] = d->gram[i];
    free(masked);
}

static double jaccard(const struct document *a, const struct document *b)
{
    size_t i = 0, j = 0, both = 0;
    while (i < a->grams && j < b->grams) {
        uint64_t x = a->gram[i], y = b->gram[j];
        both += x == y;
        i += x <= y;
        j += y <= x;
    }
    return (double)both / (double)(a->grams + b->grams - both);
}

static void make_documents(void)
{
    struct sec_shingler shingler = {0};
    for (size_t i = 0; i < N; i++) {
        struct document *d = &docs[i];
        d->key = sec_doc_key(i / PER_TASK, i % PER_TASK);
        d->source = (int)(i / PER_TASK * SOURCES / TASKS);
        make_text(i, &d->text);
        d->id = sec_hash128(d->text.data, d->text.len);
        make_grams(d);
        assert_int_equal(sec_shingle(&shingler, &options.near, d->text.data, d->text.len), 0);
        sec_minhash_sign(shingler.hash, shingler.n, d->signature);
        sec_minhash_keys(d->signature, 16, 8, d->bands);
        for (int b = 0; b < 32; b++) /* low bytes of four minima each */
            for (int k = 0; k < 4; k++)
                d->tests[b] = d->tests[b] << 8 | (uint8_t)d->signature[4 * b + k];
        d->split = sec_split_of_cluster(&options.split, d->source == 0, d->cluster);
    }
    sec_shingler_free(&shingler);
}

/* What the stage of documents leaves. */
static void write_task(const struct sec_corpus_work *w, size_t task)
{
    struct sec_docwriter *store;
    struct sec_part_writer *ids, *bands;
    struct sec_sketch_writer *sketches;
    char *docs_path = sec_work_path(w, "docs", task, ""),
         *ids_path = sec_work_path(w, "ids", task, "part"),
         *bands_path = sec_work_path(w, "bands", task, "part"),
         *sketch_path = sec_work_path(w, "bands", task, "sketch");
    assert_int_equal(sec_docwriter_open(docs_path, &store), 0);
    assert_int_equal(sec_part_create(ids_path, 3, PARTS, 1 << 16, &ids), 0);
    assert_int_equal(sec_part_create(bands_path, 2, PARTS, 1 << 16, &bands), 0);
    assert_int_equal(sec_sketch_create(sketch_path, &sketches), 0);
    for (size_t i = task * PER_TASK; i < (task + 1) * PER_TASK; i++) {
        const struct document *d = &docs[i];
        struct sec_docrow row = {.id = d->id, .cluster = d->cluster, .line = 1, .records = 1};
        assert_int_equal(sec_docwriter_add(store, &row, d->text.data, d->text.len), 0);
        uint64_t id[] = {d->id.lo, d->id.hi, d->key};
        assert_int_equal(sec_part_add(ids, d->id.lo % PARTS, id), 0);
        assert_int_equal(sec_sketch_add(sketches, d->signature), 0);
        for (int b = 0; b < 16; b++)
            assert_int_equal(
                sec_part_add(bands, d->bands[b] % PARTS, (uint64_t[]){d->bands[b], d->key}), 0);
    }
    assert_int_equal(sec_docwriter_seal(store, NULL), 0);
    assert_int_equal(sec_part_seal(ids, NULL), 0);
    assert_int_equal(sec_part_seal(bands, NULL), 0);
    assert_int_equal(sec_sketch_seal(sketches), 0);
    free(docs_path);
    free(ids_path);
    free(bands_path);
    free(sketch_path);
}

/* The reference. */
static double estimate(const struct document *a, const struct document *b)
{
    double same = 0;
    for (int i = 0; i < SEC_MINHASH_N; i++)
        same += a->signature[i] % 256 == b->signature[i] % 256;
    return (same / 128 - 1. / 256) * 256 / 255;
}

/* The two most similar candidates that are verified, by descending estimate. */
static size_t verify(size_t d, const unsigned char *edge, size_t found[2])
{
    size_t n = 0;
    double p = options.near.similarity, q = p + (1 - p) / 256;
    double least = p - 3.5 * sqrt(q * (1 - q) / 128) * 256 / 255;
    static unsigned char tried[N];
    memset(tried, 0, sizeof tried);
    for (;;) {
        size_t next = N;
        for (size_t m = 0; m < d; m++)
            if (edge[m] && !tried[m] && estimate(&docs[d], &docs[m]) >= least &&
                (next == N || estimate(&docs[d], &docs[m]) > estimate(&docs[d], &docs[next])))
                next = m;
        if (next == N || n == 2)
            return n;
        tried[next] = 1;
        if (jaccard(&docs[d], &docs[next]) >= p)
            found[n++] = next;
    }
}

static size_t reference_round(int scope)
{
    static unsigned char edge[N][N];
    size_t gone = 0;
    memset(edge, 0, sizeof edge);
    for (size_t d = 0; d < N; d++)
        for (int b = 0; b < 16 && !docs[d].reason; b++)
            for (size_t m = 0; m < d; m++) /* the first of the bucket that stands */
                if (!docs[m].reason && docs[m].bands[b] == docs[d].bands[b] &&
                    (scope || docs[m].source == docs[d].source)) {
                    edge[d][m] = 1;
                    break;
                }
    for (size_t d = 0; d < N; d++) {
        size_t found[2], n = verify(d, edge[d], found);
        double best = 0;
        for (size_t k = 0; k < n; k++) {
            size_t m = found[k];
            double j = docs[m].reason ? 0 : jaccard(&docs[d], &docs[m]);
            if (j < best || !j || (j == best && m > docs[d].keeper))
                continue;
            best = j;
            docs[d].keeper = m;
        }
        if (best > 0) {
            docs[d].reason = SEC_DROP_NEAR;
            docs[d].similarity = best;
            gone++;
        }
    }
    return gone;
}

static double reference(void)
{
    double largest = 0;
    for (size_t d = 0; d < N; d++)
        for (size_t m = 0; m < d && !docs[d].reason; m++)
            if (!docs[m].reason && docs[m].id.lo == docs[d].id.lo &&
                docs[m].id.hi == docs[d].id.hi) {
                docs[d].reason = SEC_DROP_DOCUMENT;
                docs[d].keeper = m;
                docs[d].similarity = 1;
            }
    for (int scope = 0; scope < 2; scope++)
        while (reference_round(scope)) {
        }
    for (size_t d = 0; d < N; d++) {
        double best = 0;
        if (docs[d].reason || docs[d].split != SEC_SPLIT_TRAIN)
            continue;
        for (size_t t = 0; t < N; t++) {
            if (docs[t].reason || docs[t].split == SEC_SPLIT_TRAIN)
                continue;
            double j = jaccard(&docs[d], &docs[t]);
            if (j > best) {
                best = j;
                docs[d].keeper = t;
            }
        }
        if (best >= options.decontaminate) {
            docs[d].reason = SEC_DROP_COLLISION;
            docs[d].similarity = best;
        } else if (best > largest) {
            largest = best;
        }
    }
    return largest;
}

static void open_work(struct sec_corpus_work *w)
{
    static struct sec_task tasks[TASKS];
    static struct sec_source sources[SOURCES];
    static struct sec_task_sum sums[TASKS];
    static uint64_t base[TASKS + 1], gone[N / 64 + 1];
    memset(w, 0, sizeof *w);
    w->o = &options;
    w->in.sources = sources;
    w->in.n_sources = SOURCES;
    sources[0].odts = true;
    w->tasks = tasks;
    w->n_tasks = TASKS;
    w->n_parts = PARTS;
    w->dir = dir;
    w->sums = sums;
    w->doc_base = base;
    w->gone = gone;
    for (int t = 0; t < TASKS; t++) {
        tasks[t].source = t * SOURCES / TASKS;
        sums[t].documents = PER_TASK;
        base[t + 1] = base[t] + PER_TASK;
    }
}

static void check_gone(const struct sec_corpus_work *w)
{
    size_t seen = 0, expected = 0, reasons[SEC_N_REASONS] = {0};
    for (size_t i = 0; i < N; i++)
        expected += docs[i].reason != 0;
    for (size_t t = 0; t < TASKS; t++) {
        struct sec_part_stream *s;
        struct sec_list file = {0};
        const uint64_t *r;
        char *path = sec_work_path(w, "gone", 0, "part"); /* so few are one group */
        sec_list_add(&file, path);
        assert_int_equal(sec_part_open(&file, t, 4, 1 << 20, dir, &s), 0);
        int rc;
        while (!(rc = sec_part_next(s, &r))) {
            size_t i = sec_key_task(r[0]) * PER_TASK + sec_key_number(r[0]);
            const struct document *d = &docs[i], *k = &docs[d->keeper];
            double j;
            memcpy(&j, &r[3], sizeof j);
            assert_int_equal(sec_key_task(r[0]), t);
            assert_int_equal(r[1], d->reason);
            assert_int_equal(r[2], k->key);
            assert_float_equal(j, d->similarity, 1e-9);
            assert_true(sec_doc_gone(w, r[0]));
            /* A keeper may go later itself, but no test document does for a training one. */
            if (r[1] == SEC_DROP_COLLISION)
                assert_false(sec_doc_gone(w, r[2]));
            reasons[r[1]]++;
            seen++;
        }
        assert_int_equal(rc, 1);
        sec_part_close(s);
        sec_list_free(&file);
        free(path);
    }
    assert_int_equal(seen, expected);
    assert_true(reasons[SEC_DROP_DOCUMENT] && reasons[SEC_DROP_NEAR] &&
                reasons[SEC_DROP_COLLISION]);
    printf("%zu exact, %zu near, %zu collisions of %d\n", reasons[SEC_DROP_DOCUMENT],
           reasons[SEC_DROP_NEAR], reasons[SEC_DROP_COLLISION], N);
}

static void remove_results(void)
{
    char path[100];
    snprintf(path, sizeof path, "%s/gone", dir);
    assert_int_equal(sec_remove_tree(path), 0);
}

static void test_reference(void **state)
{
    static const struct {
        int threads;
        size_t memory;
    } ways[] = {{1, 64 << 20}, {3, 64 << 20}, {2, 256 << 10}};
    struct sec_corpus_work w;
    struct sec_near_report report, first;
    (void)state;
    make_documents();
    open_work(&w);
    for (size_t t = 0; t < TASKS; t++)
        write_task(&w, t);
    double largest = reference();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        w.threads = ways[i].threads;
        w.task_memory = ways[i].memory;
        if (sec_corpus_near(&w, &report))
            fail_msg("%s", sec_error());
        check_gone(&w);
        assert_float_equal(report.largest, largest, 1e-9);
        if (i)
            assert_memory_equal(&report, &first, sizeof report);
        first = report;
        /* Again: nothing is to be done, and the answer is the same. */
        memset(w.gone, 0, N / 8);
        assert_int_equal(sec_corpus_near(&w, &report), 0);
        assert_memory_equal(&report, &first, sizeof report);
        check_gone(&w);
        remove_results();
    }
    printf("rounds %u and %u, largest left %.4f\n", report.rounds[0], report.rounds[1],
           report.largest);
}

static int setup(void **state)
{
    (void)state;
    static const char *const stages[] = {"docs", "ids", "bands"};
    struct sec_corpus_work w;
    options = (struct sec_corpus_options){.exact = true,
                                          .minhash = true,
                                          .decontaminate = 0.7,
                                          .near = {5, false, 16, 8, 0.8},
                                          .split = {.idts = 0.2, .seed = 3}};
    if (!mkdtemp(dir))
        return -1;
    open_work(&w);
    for (int i = 0; i < 3; i++)
        if (sec_work_stage_dir(&w, stages[i]))
            return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N; i++) {
        sec_buf_free(&docs[i].text);
        free(docs[i].gram);
    }
    return sec_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference)};
    return cmocka_run_group_tests_name("corpus_near", tests, setup, teardown);
}
