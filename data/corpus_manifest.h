/* MANIFEST.jsonl of a text corpus: one header line (format, seed, options and counts of the build),
 * then one line a shard. Reading is sec_corpus_open() of textshard.h; the writer is the builder's.
 */
#ifndef SEC_DATA_CORPUS_MANIFEST_H
#define SEC_DATA_CORPUS_MANIFEST_H

#include "data/textshard.h"

#define SEC_CORPUS_FORMAT "secencoder-corpus"
enum { SEC_CORPUS_VERSION = 1 };

/* One shard's line. */
int sec_manifest_shard(struct sec_buf *out, const struct sec_shard_info *s);
void sec_shard_info_free(struct sec_shard_info *s);
/* Order of shards: split, source, path. */
int sec_shard_info_compare(const void *a, const void *b);

#endif
