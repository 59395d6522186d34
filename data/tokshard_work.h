/* State of one `corpus tokenize`, shared by tokshard_build.c (the data set as a whole) and
 * tokshard_stages.c (one split). Main thread, except where a stage's task runs. */
#ifndef SEC_DATA_TOKSHARD_WORK_H
#define SEC_DATA_TOKSHARD_WORK_H

#include "data/tokshard.h"
#include "data/tokshard_manifest.h"

#include <stdatomic.h>

/* One token shard to be: docs documents from document `skip` of a bucket on, over as many buckets
 * as it takes. */
struct sec_tok_cut {
    uint64_t bucket, skip, docs;
};

struct sec_tokwork {
    struct sec_tokenize_options o;
    int threads;
    struct sec_corpus corpus;
    struct sec_tokenizer *tok;
    char *partial; /* the data set is made in here, then renamed */
    char *work;    /* spool files, plans: a folder in partial that is gone when all is complete */
    int lock;
    struct sec_tokmanifest m; /* sources: on all ranks; shards: on rank 0 */
    const char **names;       /* of the sources */
    uint64_t n_buckets[SEC_N_SPLITS];

    /* One split at a time. */
    enum sec_split split;
    const struct sec_shard_info **shards; /* a task each, in the corpus's order */
    uint64_t *cost;
    size_t n_shards;
    struct sec_list encoded;
    struct sec_tok_cut *cuts;
    size_t n_cuts;
    double *factors; /* final, of each source */
    atomic_uint_fast64_t bytes_done;
    uint64_t bytes_total;
};

/* Collective. Adds the split's shards to w->m (on rank 0) and its counts. */
int sec_tokenize_split(struct sec_tokwork *w, enum sec_split split);

enum { SEC_TOKWORK_NAME = 4096 };
/* WORK/SPLIT-KIND-NUMBER */
const char *sec_tokwork_name(const struct sec_tokwork *w, const char *kind, size_t number,
                             char buf[SEC_TOKWORK_NAME]);
size_t sec_tokwork_source(const struct sec_tokwork *w, const char *name);
/* Buckets of a split of about `bytes` of ids: as many as keep one within a task's memory. */
uint64_t sec_tokwork_buckets(const struct sec_tokwork *w, uint64_t bytes);

/* The plan of the split: cuts and counts, from the lengths; sealed as SPLIT-plan, and in out. */
int sec_tokplan_make(struct sec_tokwork *w, struct sec_buf *out);
int sec_tokplan_cuts(struct sec_tokwork *w, const struct sec_buf *plan); /* sets w->n_cuts only */
int sec_tokplan_use(struct sec_tokwork *w, const struct sec_buf *plan);

#endif
