/* Which frames make which shard, and the stage that makes them. The plan follows from the tables of
 * frames, so every rank has the same. */
#ifndef SEC_DATA_CORPUS_SHARDS_H
#define SEC_DATA_CORPUS_SHARDS_H

#include "data/corpus_frames.h"

struct sec_shard_plan {
    enum sec_split split;
    int source, number;
    size_t task;            /* of the first frame */
    uint64_t frame, frames; /* index of the first in its task; how many of the split */
    uint64_t raw;
};

struct sec_shards {
    struct sec_frames *frames; /* [n_tasks] */
    struct sec_shard_plan *plan;
    struct sec_shard_info *info; /* [n], filled by the stage */
    size_t n, cap;
};

/* Collective. Leaves .build/stage/SPLIT/SOURCE/NNNNNN.jsonl.zst, and the infos on every rank. */
int sec_corpus_shards(struct sec_corpus_work *w, struct sec_shards *out);
void sec_shards_free(const struct sec_corpus_work *w, struct sec_shards *s);

/* Rank 0: stage/removed.jsonl.zst of all tasks' ledgers. */
int sec_corpus_ledger(struct sec_corpus_work *w, const struct sec_shards *s);

#endif
