#include "data/corpus_near_work.h"

#include "base/error.h"

#include <stdlib.h>

/* Similarity of a candidate, exact from the threshold on; counted. */
static int similarity(struct sec_set_cache *sets, double least, const uint64_t pair[2],
                      struct sec_near_sum *sum, double *j)
{
    int rc;
    const struct sec_shingle_set *a, *b;
    SEC_TRY(sec_set_cache_get(sets, pair[0], 0, &a));
    SEC_TRY(sec_set_cache_get(sets, pair[1], 1, &b));
    *j = sec_shingle_jaccard_least(a, b, least);
    sum->candidates++;
    sum->histogram[sec_similarity_bin(*j)]++;
fail:
    return rc;
}

/* Edges come sorted, a pair once for each band that it shares. */
static int verify_edges(const struct sec_near *n, struct sec_part_stream *in,
                        struct sec_part_writer *out, struct sec_near_sum *sum)
{
    int rc;
    const uint64_t *edge;
    uint64_t pair[2] = {0, 0};
    struct sec_set_cache *sets = NULL;
    double least = n->w->o->near.similarity;
    SEC_TRY(sec_set_cache_new(n->w, n->w->task_memory / 2, &sets));
    while (!(rc = sec_part_next(in, &edge))) {
        double j;
        if (sum->candidates && edge[0] == pair[0] && edge[1] == pair[1])
            continue;
        pair[0] = edge[0];
        pair[1] = edge[1];
        SEC_TRY(similarity(sets, least, pair, sum, &j));
        if (j < least)
            continue;
        sum->verified++;
        SEC_TRY(sec_part_add(out, 0, (uint64_t[]){pair[0], pair[1], sec_bits_of(j)}));
    }
    rc = rc == 1 ? 0 : rc;
fail:
    sec_set_cache_free(sets);
    return rc;
}

static int run(void *ctx, size_t group)
{
    struct sec_near *n = ctx;
    int rc;
    struct sec_near_sum sum = {0};
    struct sec_part_stream *in = NULL;
    struct sec_part_writer *out = NULL;
    char *scratch = NULL, *path = NULL, *sum_path = NULL;
    SEC_TRY(sec_near_path(n, "verified", group, "part", &path));
    SEC_TRY(sec_near_path(n, "verified", group, "sum", &sum_path));
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->edges, group, 2, n->w->task_memory / 4, scratch, &in));
    SEC_TRY(sec_part_create(path, 3, 1, n->w->task_memory / 8, &out));
    SEC_TRY(verify_edges(n, in, out, &sum));
    rc = sec_part_seal(out, NULL);
    out = NULL;
    if (!rc)
        rc = sec_sealed_write(sum_path, &sum, sizeof sum);
fail:
    sec_part_abort(out);
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
