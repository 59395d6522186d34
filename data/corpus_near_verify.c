#include "data/corpus_near_work.h"

#include "base/error.h"

#include <stdlib.h>

/* A document's candidates of the round: at most one a band. */
struct candidate {
    uint64_t document;
    double estimate;
};
struct verify {
    const struct sec_near *n;
    struct sec_set_cache *sets;
    struct sec_part_writer *out;
    struct sec_near_sum sum;
    uint64_t document;
    struct candidate v[SEC_MINHASH_N];
    size_t n_v;
};

/* Two that are verified are enough: the document goes if one of them stays, and is tried again in
 * the next round if none does. */
enum { ENOUGH = 2 };

static int most_similar_first(const void *pa, const void *pb)
{
    const struct candidate *a = pa, *b = pb;
    if (a->estimate != b->estimate)
        return a->estimate > b->estimate ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

static int compare(struct verify *v, uint64_t other, double least, double *j)
{
    int rc;
    const struct sec_shingle_set *a, *b;
    SEC_TRY(sec_set_cache_get(v->sets, v->document, 0, &a));
    SEC_TRY(sec_set_cache_get(v->sets, other, 1, &b));
    *j = sec_shingle_jaccard_least(a, b, least);
fail:
    return rc;
}

/* The candidates of the document at hand, by descending estimate. */
static int settle(struct verify *v)
{
    int rc = 0;
    double least = v->n->w->o->near.similarity, threshold = sec_sketch_threshold(least);
    unsigned found = 0;
    for (size_t i = 0; i < v->n_v; i++)
        SEC_TRY(sec_stores_estimate(sec_set_cache_stores(v->sets), v->document, v->v[i].document,
                                    &v->v[i].estimate));
    qsort(v->v, v->n_v, sizeof *v->v, most_similar_first);
    for (size_t i = 0; i < v->n_v; i++) {
        double j = v->v[i].estimate;
        if (j >= threshold && found < ENOUGH) {
            SEC_TRY(compare(v, v->v[i].document, least, &j));
            if (j >= least) {
                found++;
                v->sum.verified++;
                SEC_TRY(sec_part_add(v->out, 0,
                                     (uint64_t[]){v->document, v->v[i].document, sec_bits_of(j)}));
            }
        }
        v->sum.candidates++;
        v->sum.histogram[sec_similarity_bin(j > 0 ? j : 0)]++;
    }
    v->n_v = 0;
fail:
    return rc;
}

/* Edges come sorted, a pair once for each band that it shares. */
static int verify_edges(struct verify *v, struct sec_part_stream *in)
{
    int rc;
    const uint64_t *edge;
    while (!(rc = sec_part_next(in, &edge))) {
        if (v->n_v && edge[0] != v->document)
            SEC_TRY(settle(v));
        v->document = edge[0];
        if (!v->n_v || v->v[v->n_v - 1].document != edge[1])
            v->v[v->n_v++].document = edge[1];
    }
    rc = rc == 1 ? settle(v) : rc;
fail:
    return rc;
}

static int run(void *ctx, size_t group)
{
    struct sec_near *n = ctx;
    int rc;
    struct verify v = {.n = n};
    struct sec_part_stream *in = NULL;
    char *scratch = NULL, *path = NULL, *sum_path = NULL;
    SEC_TRY(sec_near_path(n, "verified", group, "part", &path));
    SEC_TRY(sec_near_path(n, "verified", group, "sum", &sum_path));
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->edges, group, 2, n->w->task_memory / 4, scratch, &in));
    SEC_TRY(sec_part_create(path, 3, 1, n->w->task_memory / 8, &v.out));
    SEC_TRY(sec_set_cache_new(n->w, n->w->task_memory / 2, &v.sets));
    SEC_TRY(verify_edges(&v, in));
    rc = sec_part_finish(&v.out);
    if (!rc)
        rc = sec_sealed_write(sum_path, &v.sum, sizeof v.sum);
fail:
    sec_set_cache_free(v.sets);
    sec_part_abort(v.out);
    sec_part_close(in);
    free(path);
    free(sum_path);
    free(scratch);
    return rc;
}

static bool done(void *ctx, size_t group)
{
    return sec_near_have(ctx, "verified", group, "part") &&
           sec_near_have(ctx, "verified", group, "sum");
}

int sec_near_verify(struct sec_near *n)
{
    int rc;
    SEC_TRY(sec_near_dir(n, "verified"));
    sec_list_free(&n->edges);
    SEC_TRY(sec_near_files(n, "edges", n->w->n_parts, "part", &n->edges));
    rc = sec_near_stage(n, "near-verify", n->groups.n, n->weights, done, run);
fail:
    return rc;
}
