/* Spool files between the stages of `corpus tokenize`: tokenized documents on their way into the
 * order of a 64-bit key, within bounded memory and across ranks.
 *
 *   encoded   one a text shard, made by sec_spool_create..seal: blocks of documents by bucket (the
 *             key's top bits), and a table that finds a bucket's blocks with three small reads
 *   sorted    one a bucket, made by sec_spool_sort: its documents of all encoded files in ascending
 *             (key, id, source, copy); and beside it the lengths, a sealed file (data/sealed.h) of
 *             struct sec_spool_length in the same order
 *
 * The order depends on the documents only, not on buckets, memory, threads or ranks. Files appear
 * under their names when complete. Nothing is flushed to disk: every block carries an XXH3 and a
 * file that lost its end in a power failure is found out like any other damage, as SEC_EDATA naming
 * file and byte; it is then renamed to NAME.damaged and made anew by the next run.
 *
 * One thread a writer or reader. Fault point "spool" at every block. */
#ifndef SEC_DATA_TOKSHARD_SPOOL_H
#define SEC_DATA_TOKSHARD_SPOOL_H

#include "base/file.h"
#include "base/hash.h"

#include <stdint.h>

enum { SEC_SPOOL_MAX_BUCKETS = 1 << 16 };

struct sec_spool_doc {
    uint64_t key;
    sec_h128 id;
    uint32_t n, bytes; /* tokens, and bytes of text */
    uint16_t source;
    uint16_t copy;
    const uint16_t *ids;
};

struct sec_spool_writer;
/* n_buckets: a power of two; memory: bytes kept before blocks are written. */
int sec_spool_create(const char *path, size_t n_buckets, size_t memory,
                     struct sec_spool_writer **out);
int sec_spool_add(struct sec_spool_writer *w, const struct sec_spool_doc *doc);
int sec_spool_seal(struct sec_spool_writer *w, uint64_t tokens); /* frees w in any case */
void sec_spool_abort(struct sec_spool_writer *w);
/* What sec_spool_seal() was told about this file. */
int sec_spool_tokens(const char *path, uint64_t *tokens);

struct sec_spool_length {
    uint32_t n, bytes;
    uint32_t source;
};
/* Documents for which keep(ctx, doc) is false are left out. */
int sec_spool_sort(const struct sec_list *encoded, size_t bucket, const char *sorted,
                   const char *lengths, bool (*keep)(void *ctx, const struct sec_spool_doc *doc),
                   void *ctx);

struct sec_spool_reader;
int sec_spool_open(const char *sorted, struct sec_spool_reader **out);
int sec_spool_skip(struct sec_spool_reader *r, uint64_t docs);
/* 1 = end. doc->ids is valid until the next call. */
int sec_spool_next(struct sec_spool_reader *r, struct sec_spool_doc *doc);
void sec_spool_close(struct sec_spool_reader *r);

#endif
