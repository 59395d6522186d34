/* Sorts tokenized documents by a 64-bit key within bounded memory: buckets by the key's top bits,
 * in memory while they fit, else in spool files (blocks with an XXH3 each); then each bucket is
 * sorted and read in turn. The order depends on the records only, not on buckets, memory or
 * threads.
 *
 * add may be called from many threads, the rest from one. Ownership: the spool owns its files and
 * removes them. Failure: SEC_EFAIL naming the spool file (disk full), SEC_EDATA for a damaged one.
 */
#ifndef SEC_DATA_TOKSHARD_SPOOL_H
#define SEC_DATA_TOKSHARD_SPOOL_H

#include "base/hash.h"

#include <stdint.h>

struct sec_spool_doc {
    uint64_t key;
    sec_h128 id;
    uint32_t n, bytes; /* tokens, and bytes of text */
    uint16_t source;
    uint16_t copy;
    const uint16_t *ids;
};

struct sec_spool;
/* expected = bytes of records foreseen (a guess is enough); memory = bytes kept before spilling. */
int sec_spool_open(const char *dir, uint64_t expected, uint64_t memory, struct sec_spool **out);
int sec_spool_add(struct sec_spool *s, const struct sec_spool_doc *doc);
/* Every document in ascending (key, id, source, copy). */
int sec_spool_each(struct sec_spool *s, int (*fn)(void *ctx, const struct sec_spool_doc *doc),
                   void *ctx);
void sec_spool_close(struct sec_spool *s);

#endif
