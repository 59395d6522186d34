/* MANIFEST.jsonl of a token data set: one header line, then one line a shard. It is written last;
 * its XXH3 is the data set's fingerprint, so it holds nothing that differs between two equal
 * builds.
 *
 * Ownership: read fills a struct that sec_tokmanifest_free() empties. Failure: SEC_EDATA naming
 * file and line. */
#ifndef SEC_DATA_TOKSHARD_MANIFEST_H
#define SEC_DATA_TOKSHARD_MANIFEST_H

#include "data/tokwriter.h"

struct sec_tok_count {
    uint64_t docs, tokens, bytes;
};

struct sec_tok_source {
    char *name;
    double factor;        /* how often a training document is taken, on average */
    double natural_share; /* of the training tokens, were every document taken once */
    struct sec_tok_count split[SEC_N_SPLITS];
};

struct sec_tokmanifest {
    char tokenizer[65];
    int vocab_size;
    uint64_t corpus, seed, tokens_per_shard;
    double temperature, source_cap; /* 1 = none */
    struct sec_tok_count total[SEC_N_SPLITS];
    struct sec_tok_source *sources;
    size_t n_sources;
    struct sec_tokshard_info *shards; /* in order of split, then number */
    size_t n_shards;
    uint64_t fingerprint; /* set by read and write */
};

int sec_tokmanifest_write(const char *dir, struct sec_tokmanifest *m);
int sec_tokmanifest_read(const char *dir, struct sec_tokmanifest *m);
/* Share of the training tokens that a source makes. */
double sec_tokmanifest_share(const struct sec_tokmanifest *m, size_t source);
void sec_tokmanifest_free(struct sec_tokmanifest *m);

#endif
