/* Writes the token shards of one split (format: data/tokshard.h).
 *
 * Calling sequence: open -> add... -> close | abort. Until close returns 0 only files whose names
 * begin with a dot exist; close seals the last shard, verifies every shard by reading it back, and
 * gives all of them their final names (which carry the number of shards, known only then).
 *
 * One thread. The writer owns its buffers; a document's ids are copied. */
#ifndef SEC_DATA_TOKWRITER_H
#define SEC_DATA_TOKWRITER_H

#include "data/textshard.h"

#define SEC_TOK_FORMAT 1u /* version of the shard layout and of the manifest */

struct sec_tokwriter_options {
    const char *dir;
    enum sec_split split;
    const char *tokenizer_fingerprint;
    int vocab_size;
    uint64_t seed;
    uint64_t tokens_per_shard;  /* a document that would pass it starts the next shard; 0 = 256 M */
    const char *const *sources; /* names; must outlive the writer */
    uint16_t n_sources;
    int threads; /* for compression; 0 = default */
    /* Several writers share a split: number of the first shard of this one, and of all shards of
     * the split (0 = this writer makes them all). */
    size_t first, of;
};

struct sec_tokdoc {
    const uint16_t *ids;
    uint32_t n; /* at least 1 */
    uint16_t source;
    uint64_t hash;
    uint32_t bytes; /* of its text */
};

struct sec_tokshard_info {
    char *path; /* file name inside the data set; malloc'd */
    enum sec_split split;
    uint64_t docs, tokens, bytes, bytes_packed;
    uint64_t content; /* XXH3 of the document tables and of the chunks' hashes */
};

struct sec_tokwriter;
int sec_tokwriter_open(const struct sec_tokwriter_options *o, struct sec_tokwriter **out);
int sec_tokwriter_add(struct sec_tokwriter *w, const struct sec_tokdoc *doc);
/* Frees w in any case. *shards is malloc'd (NULL and 0 when no document was added). */
int sec_tokwriter_close(struct sec_tokwriter *w, struct sec_tokshard_info **shards, size_t *n);
void sec_tokwriter_abort(struct sec_tokwriter *w);

/* XXH3 over the hashes of one shard's tables, the same for writer and reader. */
struct sec_tok_tables {
    const void *doc_off, *doc_src, *doc_hash, *doc_bytes, *chunk_xxh3;
    uint64_t n_docs, n_chunks;
};
uint64_t sec_tok_content_hash(const struct sec_tok_tables *t);

#endif
