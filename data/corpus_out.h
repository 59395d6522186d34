/* The end of a build: packed frames -> staged shards -> the corpus in place. One thread.
 *
 * Everything is written below ROOT/.build. Commit moves an old corpus into .build, the new one out
 * of it, the manifest last; a failure on the way moves the old one back, and so does the next build
 * after a crash. Sequence: open -> write... -> finish -> commit | abort. */
#ifndef SEC_DATA_CORPUS_OUT_H
#define SEC_DATA_CORPUS_OUT_H

#include "data/corpus_docs.h"
#include "data/packfile.h"

struct sec_output {
    char *root, *stage;
    bool made_root;
    int lock;
    uint64_t shard_bytes;
    struct sec_shard_writer *writers[SEC_N_SPLITS];
    char *source[SEC_N_SPLITS]; /* of the open or last shard */
    int number[SEC_N_SPLITS];
    struct sec_packfile *ledger;
    struct sec_shard_info *shards;
    size_t n_shards, cap_shards;
};

/* SEC_EUSAGE when root holds anything that must not be replaced. */
int sec_output_open(const struct sec_corpus_options *o, struct sec_output *out);
int sec_output_write(struct sec_output *out, const struct sec_job *job); /* in corpus order */
int sec_output_finish(struct sec_output *out); /* shards sealed and sorted */
int sec_output_commit(struct sec_output *out, const struct sec_buf *manifest);
void sec_output_close(struct sec_output *out); /* without commit: nothing of it stays */

#endif
