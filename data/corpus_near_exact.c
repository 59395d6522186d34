#include "data/corpus_near_work.h"

#include "base/error.h"
#include "base/ranks.h"

#include <stdlib.h>

/* One partition of ids: of each group of equal ones all but the first go. */
static int run_part(void *ctx, size_t part)
{
    struct sec_near *n = ctx;
    int rc;
    char *scratch = NULL, *path = NULL;
    struct sec_part_stream *in = NULL;
    struct sec_part_writer *out = NULL;
    const uint64_t *r;
    uint64_t lo = 0, hi = 0, keeper = UINT64_MAX;
    SEC_TRY(sec_near_path(n, "parts", part, "part", &path));
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->edges, part, 3, n->w->task_memory / 2, scratch, &in));
    SEC_TRY(sec_part_create(path, SEC_GONE_WORDS, n->groups.n, n->w->task_memory / 4, &out));
    while (!(rc = sec_part_next(in, &r))) {
        if (keeper != UINT64_MAX && r[0] == lo && r[1] == hi) {
            SEC_TRY(sec_part_add(out, sec_near_group(n, r[2]),
                                 (uint64_t[]){r[2], SEC_DROP_DOCUMENT, keeper, sec_bits_of(1)}));
            continue;
        }
        lo = r[0];
        hi = r[1];
        keeper = r[2];
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

static bool part_done(void *ctx, size_t part)
{
    return sec_near_have(ctx, "parts", part, "part");
}

/* The documents of a group are consecutive in the map. */
static uint64_t group_base(const struct sec_near *n, size_t group)
{
    return n->w->doc_base[n->groups.first[group]];
}

static size_t group_words(const struct sec_near *n, size_t group)
{
    return (size_t)((group_base(n, group + 1) - group_base(n, group) + 63) / 64);
}

/* What goes of one group, as bits, for every rank to load. */
static int run_bits(void *ctx, size_t group)
{
    struct sec_near *n = ctx;
    int rc;
    char *scratch = NULL, *path = NULL;
    struct sec_part_stream *in = NULL;
    const uint64_t *r;
    size_t words = group_words(n, group);
    uint64_t *bits = calloc(words + 1, sizeof *bits);
    if (!bits)
        return sec_fail(SEC_ENOMEM, "out of memory for the documents' bits");
    SEC_TRY(sec_near_path(n, "bits", group, "bits", &path));
    SEC_TRY(sec_near_scratch(n, &scratch));
    SEC_TRY(sec_part_open(&n->edges, group, SEC_GONE_WORDS, n->w->task_memory / 2, scratch, &in));
    while (!(rc = sec_part_next(in, &r)))
        sec_set_bit(bits, sec_doc_dense(n->w, r[SEC_GONE_DOCUMENT]) - group_base(n, group));
    if (rc == 1)
        rc = sec_sealed_write(path, bits, words * sizeof *bits);
fail:
    sec_part_close(in);
    free(bits);
    free(path);
    free(scratch);
    return rc;
}

static bool bits_done(void *ctx, size_t group)
{
    return sec_near_have(ctx, "bits", group, "bits");
}

static int load_bits(struct sec_near *n)
{
    int rc = 0;
    struct sec_buf bits = {0};
    for (size_t g = 0; g < n->groups.n; g++) {
        char *path = NULL;
        size_t words = group_words(n, g);
        sec_buf_clear(&bits);
        SEC_TRY(sec_buf_reserve(&bits, words * sizeof(uint64_t) + 1));
        SEC_TRY(sec_near_path(n, "bits", g, "bits", &path));
        rc = sec_sealed_read_into(path, bits.data, words * sizeof(uint64_t));
        free(path);
        if (rc)
            break;
        for (uint64_t i = group_base(n, g); i < group_base(n, g + 1); i++)
            if (sec_bit((const uint64_t *)(void *)bits.data, i - group_base(n, g)))
                sec_set_bit(n->w->gone, i);
    }
fail:
    sec_buf_free(&bits);
    return rc;
}

int sec_near_exact(struct sec_near *n)
{
    int rc;
    SEC_TRY(sec_near_dir(n, "parts"));
    SEC_TRY(sec_near_dir(n, "bits"));
    sec_list_free(&n->edges);
    SEC_TRY(sec_ranks_agree(sec_work_files(n->w, "ids", n->w->n_tasks, "part", &n->edges)));
    SEC_TRY(sec_near_stage(n, "near-exact", n->w->n_parts, NULL, part_done, run_part));
    sec_list_free(&n->edges);
    rc = sec_near_files(n, "parts", n->w->n_parts, "part", &n->edges);
    for (size_t i = 0; !rc && i < n->edges.n; i++)
        rc = sec_list_add(&n->gone, n->edges.v[i]);
    SEC_TRY(sec_ranks_agree(rc));
    SEC_TRY(sec_near_stage(n, "near-exact-bits", n->groups.n, NULL, bits_done, run_bits));
    rc = sec_ranks_agree(load_bits(n));
fail:
    return rc;
}
