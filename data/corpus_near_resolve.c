#include "data/corpus_near_work.h"

#include "base/error.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* The decision of one round over all documents in order, so that what a document is compared with
 * has been decided about. */
struct resolve {
    struct sec_near *n;
    uint64_t *now;   /* documents that go in this round */
    uint64_t *again; /* documents whose verified candidates all went: to be tried again */
    struct sec_part_writer *out;
    struct sec_round_sum sum;
    uint64_t document, keeper; /* at hand; keeper: the most similar one that stays */
    double best;               /* < 0 = no keeper */
    bool any;                  /* document is there */
};

static int settle(struct resolve *r)
{
    const struct sec_corpus_work *w = r->n->w;
    if (r->any && r->best < 0)
        sec_set_bit(r->again, sec_doc_dense(w, r->document));
    if (r->best < 0)
        return 0;
    sec_set_bit(r->now, sec_doc_dense(w, r->document));
    r->sum.gone++;
    double least = w->o->near.similarity, share = (r->best - least) / (least < 1 ? 1 - least : 1);
    int bin = (int)(share * SEC_EXAMPLES);
    struct sec_near_example *e = &r->sum.examples[bin < SEC_EXAMPLES ? bin : SEC_EXAMPLES - 1];
    if (e->similarity <= 0)
        *e = (struct sec_near_example){r->best, r->document, r->keeper};
    return sec_part_add(r->out, sec_near_group(r->n, r->document),
                        (uint64_t[]){r->document, SEC_DROP_NEAR, r->keeper, sec_bits_of(r->best)});
}

static int take_verified(struct resolve *r, const uint64_t *v)
{
    int rc = 0;
    if (v[0] != r->document) {
        SEC_TRY(settle(r));
        r->document = v[0];
        r->any = true;
        r->best = -1;
    }
    double j = sec_of_bits(v[2]);
    /* Ascending in the second word: of equals the smallest document stays keeper. */
    if (j > r->best && !sec_bit(r->now, sec_doc_dense(r->n->w, v[1]))) {
        r->best = j;
        r->keeper = v[1];
    }
fail:
    return rc;
}

static void add_pairs(struct sec_near_sum *into, const struct sec_near_sum *s)
{
    into->candidates += s->candidates;
    into->verified += s->verified;
    for (int i = 0; i < SEC_SIMILARITY_BINS; i++)
        into->histogram[i] += s->histogram[i];
}

static int take_group(struct resolve *r, size_t group, const char *scratch)
{
    int rc;
    const uint64_t *v;
    char *path = NULL;
    struct sec_near_sum sum;
    struct sec_part_stream *in = NULL;
    struct sec_list file = {0};
    SEC_TRY(sec_near_path(r->n, "verified", group, "sum", &path));
    SEC_TRY(sec_sealed_read_into(path, &sum, sizeof sum));
    add_pairs(&r->sum.pairs, &sum);
    if (!sum.verified)
        goto fail;
    free(path);
    path = NULL;
    SEC_TRY(sec_near_path(r->n, "verified", group, "part", &path));
    SEC_TRY(sec_list_add(&file, path));
    SEC_TRY(sec_part_open(&file, 0, 3, r->n->w->task_memory / 4, scratch, &in));
    while (!(rc = sec_part_next(in, &v)))
        SEC_TRY(take_verified(r, v));
    rc = rc == 1 ? 0 : rc;
fail:
    sec_part_close(in);
    sec_list_free(&file);
    free(path);
    return rc;
}

static int write_results(struct resolve *r)
{
    int rc;
    char *path = NULL;
    rc = sec_part_finish(&r->out);
    if (rc)
        return rc;
    SEC_TRY(sec_near_path(r->n, "", 0, "bits", &path));
    SEC_TRY(sec_sealed_write(path, r->now, 2 * r->n->bit_words * sizeof *r->now));
    free(path);
    path = NULL;
    SEC_TRY(sec_near_path(r->n, "", 0, "sum", &path));
    rc = sec_sealed_write(path, &r->sum, sizeof r->sum);
fail:
    free(path);
    return rc;
}

static int run(void *ctx, size_t unused)
{
    struct sec_near *n = ctx;
    (void)unused;
    int rc;
    char *path = NULL, *scratch = NULL;
    struct resolve r = {.n = n, .best = -1, .document = UINT64_MAX};
    r.now = calloc(2 * n->bit_words + 1, sizeof *r.now);
    r.again = r.now ? r.now + n->bit_words : NULL;
    if (!r.now)
        return sec_fail(SEC_ENOMEM, "out of memory for the documents' bits");
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_near_path(n, "", 0, "part", &path));
    SEC_TRY(sec_part_create(path, SEC_GONE_WORDS, n->groups.n, n->w->task_memory / 4, &r.out));
    for (size_t g = 0; g < n->groups.n; g++)
        SEC_TRY(take_group(&r, g, scratch));
    SEC_TRY(settle(&r));
    rc = write_results(&r);
fail:
    sec_part_abort(r.out);
    free(r.now);
    free(path);
    free(scratch);
    return rc;
}

static bool done(void *ctx, size_t unused)
{
    (void)unused;
    return sec_near_round_done(ctx);
}

int sec_near_resolve(struct sec_near *n)
{
    return sec_near_stage(n, "near-resolve", 1, NULL, done, run);
}
