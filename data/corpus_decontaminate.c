#include "data/corpus_near_work.h"

#include "base/error.h"
#include "base/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bands of 4 rows: P(candidate) = 1 - (1 - J^4)^32. One more key is the hash of the masked records,
 * so that equal ones meet whatever the limit on tests in a bucket. */
enum { BANDS = 32, ROWS = 4, KEYS = BANDS + 1, TESTS = 4 };

/* The second word of a key's record: tests sort before training documents. */
#define TRAIN (UINT64_C(1) << 63)

struct verify_sum {
    uint64_t pairs, gone;
    double largest; /* of pairs that stay; 0 = none */
    uint64_t pair[2];
};

static int put_keys(const struct sec_near *n, struct sec_part_writer *out,
                    const uint8_t sketch[SEC_MINHASH_N], const struct sec_docrow *row,
                    uint64_t document)
{
    int rc = 0;
    uint64_t keys[KEYS];
    bool train = sec_corpus_split(n->w, sec_key_task(document), row->cluster) == SEC_SPLIT_TRAIN;
    sec_sketch_keys(sketch, BANDS, ROWS, keys);
    keys[BANDS] = sec_hash64(&row->cluster, sizeof row->cluster, BANDS);
    for (int k = 0; k < KEYS && !rc; k++) {
        size_t part = (size_t)((unsigned __int128)keys[k] * n->w->n_parts >> 64);
        rc = sec_part_add(out, part, (uint64_t[]){keys[k], document | (train ? TRAIN : 0)});
    }
    return rc;
}

/* sketches: where those go that the documents stage did not make; NULL = it did. */
static int document_keys(const struct sec_near *n, uint64_t document, struct sec_stores *stores,
                         struct sec_shingler *shingler, struct sec_part_writer *out,
                         struct sec_sketch_writer *sketches)
{
    int rc;
    struct sec_docrow row;
    const char *text;
    uint32_t signature[SEC_MINHASH_N];
    uint8_t sketch[SEC_MINHASH_N];
    SEC_TRY(sec_stores_get(stores, document, 0, &row, sketches ? &text : NULL));
    if (sketches) {
        SEC_TRY(sec_shingle(shingler, &n->w->o->near, text, row.len));
        sec_minhash_sign(shingler->hash, shingler->n, signature);
        SEC_TRY(sec_sketch_add(sketches, signature));
        sec_sketch_of(signature, sketch);
    } else {
        SEC_TRY(sec_stores_sketch(stores, document, sketch));
    }
    rc = put_keys(n, out, sketch, &row, document);
fail:
    return rc;
}

static int task_keys(const struct sec_near *n, size_t task, struct sec_stores *stores,
                     struct sec_shingler *shingler, struct sec_part_writer *out)
{
    int rc = 0;
    const struct sec_corpus_work *w = n->w;
    struct sec_sketch_writer *sketches = NULL;
    char *path = w->o->minhash ? NULL : sec_work_path(w, "bands", task, "sketch");
    if (path)
        SEC_TRY(sec_sketch_create(path, &sketches));
    for (uint64_t i = 0; i < w->sums[task].documents; i++) {
        uint64_t document = sec_doc_key(task, i);
        if (!sec_doc_gone(w, document))
            SEC_TRY(document_keys(n, document, stores, shingler, out, sketches));
        else if (sketches)
            SEC_TRY(sec_sketch_skip(sketches));
    }
    struct sec_sketch_writer *sealing = sketches;
    sketches = NULL;
    rc = sec_sketch_seal(sealing);
fail:
    sec_sketch_abort(sketches);
    free(path);
    return rc;
}

static int run_keys(void *ctx, size_t group)
{
    struct sec_near *n = ctx;
    int rc;
    char *path = NULL;
    struct sec_stores stores;
    struct sec_shingler shingler = {0};
    struct sec_part_writer *out = NULL;
    sec_stores_init(&stores, n->w);
    SEC_TRY(sec_near_path(n, "keys", group, "part", &path));
    SEC_TRY(sec_part_create(path, 2, n->w->n_parts, n->w->task_memory / 2, &out));
    for (size_t t = n->groups.first[group]; t < n->groups.first[group + 1]; t++)
        SEC_TRY(task_keys(n, t, &stores, &shingler, out));
    rc = sec_part_finish(&out);
fail:
    sec_part_abort(out);
    sec_stores_free(&stores);
    sec_shingler_free(&shingler);
    free(path);
    return rc;
}

static int run_edges(void *ctx, size_t part)
{
    struct sec_near *n = ctx;
    int rc;
    char *path = NULL, *scratch = NULL;
    const uint64_t *r;
    uint64_t key = 0, tests[TESTS];
    int n_tests = 0;
    struct sec_part_stream *in = NULL;
    struct sec_part_writer *out = NULL;
    SEC_TRY(sec_near_path(n, "edges", part, "part", &path));
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->edges, part, 2, n->w->task_memory / 2, scratch, &in));
    SEC_TRY(sec_part_create(path, 2, n->groups.n, n->w->task_memory / 4, &out));
    while (!(rc = sec_part_next(in, &r))) {
        if (r[0] != key)
            n_tests = 0;
        key = r[0];
        uint64_t document = r[1] & ~TRAIN;
        if (!(r[1] & TRAIN)) {
            if (n_tests < TESTS)
                tests[n_tests++] = document;
            continue;
        }
        for (int t = 0; t < n_tests; t++)
            SEC_TRY(
                sec_part_add(out, sec_near_group(n, document), (uint64_t[]){document, tests[t]}));
    }
    if (rc != 1)
        goto fail;
    rc = sec_part_finish(&out);
fail:
    sec_part_abort(out);
    sec_part_close(in);
    free(path);
    free(scratch);
    return rc;
}

/* One training document at a time, with the most similar of its tests. */
struct verify {
    const struct sec_near *n;
    struct sec_set_cache *sets;
    struct sec_part_writer *out;
    struct verify_sum sum;
    uint64_t document, test; /* test: the most similar so far */
    double best;             /* -1 = none */
};

static int settle(struct verify *v)
{
    if (v->best < 0)
        return 0;
    if (v->best >= v->n->w->o->decontaminate) {
        v->sum.gone++;
        return sec_part_add(
            v->out, 0,
            (uint64_t[]){v->document, SEC_DROP_COLLISION, v->test, sec_bits_of(v->best)});
    }
    if (v->best > v->sum.largest) {
        v->sum.largest = v->best;
        v->sum.pair[0] = v->document;
        v->sum.pair[1] = v->test;
    }
    return 0;
}

static int take_edge(struct verify *v, const uint64_t *edge)
{
    int rc = 0;
    double j;
    const struct sec_shingle_set *a, *b;
    if (edge[0] != v->document) {
        SEC_TRY(settle(v));
        v->document = edge[0];
        v->test = UINT64_MAX;
        v->best = -1;
    }
    v->sum.pairs++;
    /* Only what is above the best so far and the largest that stays is of interest. */
    double least = v->best > v->sum.largest ? v->best : v->sum.largest;
    SEC_TRY(sec_stores_estimate(sec_set_cache_stores(v->sets), edge[0], edge[1], &j));
    if (j < sec_sketch_threshold(least))
        return 0;
    SEC_TRY(sec_set_cache_get(v->sets, edge[0], 0, &a));
    SEC_TRY(sec_set_cache_get(v->sets, edge[1], 1, &b));
    j = sec_shingle_jaccard_least(a, b, least);
    if (j > v->best) {
        v->best = j;
        v->test = edge[1];
    }
fail:
    return rc;
}

static int verify_edges(struct verify *v, struct sec_part_stream *in)
{
    int rc;
    const uint64_t *r;
    uint64_t last[2] = {UINT64_MAX, UINT64_MAX};
    while (!(rc = sec_part_next(in, &r))) {
        if (r[0] == last[0] && r[1] == last[1])
            continue; /* they share several bands */
        last[0] = r[0];
        last[1] = r[1];
        SEC_TRY(take_edge(v, last));
    }
    rc = rc == 1 ? settle(v) : rc;
fail:
    return rc;
}

static int run_verify(void *ctx, size_t group)
{
    struct sec_near *n = ctx;
    int rc;
    char *path = NULL, *sum_path = NULL, *scratch = NULL;
    struct sec_part_stream *in = NULL;
    struct verify v = {.n = n, .document = UINT64_MAX, .best = -1};
    SEC_TRY(sec_near_path(n, "gone", group, "part", &path));
    SEC_TRY(sec_near_path(n, "gone", group, "sum", &sum_path));
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->edges, group, 2, n->w->task_memory / 4, scratch, &in));
    SEC_TRY(sec_set_cache_new(n->w, n->w->task_memory / 2, &v.sets));
    SEC_TRY(sec_part_create(path, SEC_GONE_WORDS, 1, n->w->task_memory / 8, &v.out));
    SEC_TRY(verify_edges(&v, in));
    rc = sec_part_finish(&v.out);
    if (!rc)
        rc = sec_sealed_write(sum_path, &v.sum, sizeof v.sum);
fail:
    sec_part_abort(v.out);
    sec_set_cache_free(v.sets);
    sec_part_close(in);
    free(path);
    free(sum_path);
    free(scratch);
    return rc;
}

static bool keys_done(void *ctx, size_t group)
{
    const struct sec_near *n = ctx;
    bool done = sec_near_have(n, "keys", group, "part");
    for (size_t t = n->groups.first[group]; done && t < n->groups.first[group + 1]; t++)
        done = sec_work_have(n->w, "bands", t, "sketch");
    return done;
}
static bool edges_done(void *ctx, size_t part)
{
    return sec_near_have(ctx, "edges", part, "part");
}
static bool verify_done(void *ctx, size_t group)
{
    return sec_near_have(ctx, "gone", group, "part") && sec_near_have(ctx, "gone", group, "sum");
}

static int set_bits(struct sec_near *n, size_t group, const char *scratch)
{
    int rc;
    char *path = NULL;
    const uint64_t *r;
    struct sec_list file = {0};
    struct sec_part_stream *in = NULL;
    SEC_TRY(sec_near_path(n, "gone", group, "part", &path));
    SEC_TRY(sec_list_add(&file, path));
    SEC_TRY(sec_part_open(&file, 0, SEC_GONE_WORDS, n->w->task_memory / 2, scratch, &in));
    while (!(rc = sec_part_next(in, &r)))
        sec_set_bit(n->w->gone, sec_doc_dense(n->w, r[SEC_GONE_DOCUMENT]));
    rc = rc == 1 ? 0 : rc;
fail:
    sec_part_close(in);
    sec_list_free(&file);
    free(path);
    return rc;
}

static int load_results(struct sec_near *n, struct sec_near_report *report)
{
    int rc;
    char *scratch = NULL;
    SEC_TRY(sec_near_scratch(n, &scratch));
    report->largest = 0;
    for (size_t g = 0; g < n->groups.n; g++) {
        char *path = NULL;
        struct verify_sum sum;
        SEC_TRY(sec_near_path(n, "gone", g, "sum", &path));
        rc = sec_sealed_read_into(path, &sum, sizeof sum);
        free(path);
        if (rc)
            goto fail;
        if (sum.largest > report->largest) {
            report->largest = sum.largest;
            memcpy(report->largest_pair, sum.pair, sizeof sum.pair);
        }
        if (sum.gone)
            SEC_TRY(set_bits(n, g, scratch));
    }
fail:
    free(scratch);
    return rc;
}

static bool any_tests(const struct sec_corpus_work *w)
{
    bool any = w->o->split.idts > 0;
    for (size_t i = 0; i < w->in.n_sources; i++)
        any = any || w->in.sources[i].odts;
    return any;
}

int sec_decontaminate(struct sec_near *n, struct sec_near_report *report)
{
    int rc;
    const struct sec_corpus_work *w = n->w;
    if (!any_tests(w))
        return 0;
    snprintf(n->dir, sizeof n->dir, "near/tests");
    SEC_TRY(sec_near_dir(n, "keys"));
    SEC_TRY(sec_near_dir(n, "edges"));
    SEC_TRY(sec_near_dir(n, "gone"));
    SEC_TRY(sec_near_stage(n, "tests-keys", n->groups.n, n->weights, keys_done, run_keys));
    sec_list_free(&n->edges);
    SEC_TRY(sec_ranks_agree(sec_near_files(n, "keys", n->groups.n, "part", &n->edges)));
    SEC_TRY(sec_near_stage(n, "tests-edges", w->n_parts, NULL, edges_done, run_edges));
    sec_list_free(&n->edges);
    SEC_TRY(sec_ranks_agree(sec_near_files(n, "edges", w->n_parts, "part", &n->edges)));
    SEC_TRY(sec_near_stage(n, "tests-verify", n->groups.n, n->weights, verify_done, run_verify));
    SEC_TRY(sec_ranks_agree(load_results(n, report)));
    n->decontaminated = true;
fail:
    return rc;
}
