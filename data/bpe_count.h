/* Counts of distinct pieces: the first half of training. One map a thread; no sharing. Failure:
 * SEC_ENOMEM, and the map stays usable. */
#ifndef SEC_DATA_BPE_COUNT_H
#define SEC_DATA_BPE_COUNT_H

#include "base/mem.h"
#include "data/bpe_piece.h"

#include <stdbool.h>

struct sec_short_count {
    struct sec_piece_key key; /* zero: empty */
    uint64_t count;
};

struct sec_long_count {
    const uint8_t *p; /* in the arena; NULL: empty */
    uint64_t hash, count;
    uint32_t n;
};

struct sec_piece_counts {
    struct sec_short_count *shorts; /* 1 << short_bits slots, linear probing, at most half full */
    struct sec_long_count *longs;   /* likewise, for pieces of 16 bytes and more */
    unsigned short_bits, long_bits;
    size_t n_shorts, n_longs;
    struct sec_arena arena;
    uint8_t *pool; /* free part of the arena's last block */
    size_t pool_left;
    size_t limit; /* bytes; 0 = none */
    bool full;    /* would pass the limit by growing: empty it (spill and reset) soon */
};

int sec_piece_counts_init(struct sec_piece_counts *c);
void sec_piece_counts_free(struct sec_piece_counts *c);
void sec_piece_counts_reset(struct sec_piece_counts *c); /* empty again; memory and limit stay */

/* Count pieces [start of p, ends[0]), [ends[0], ends[1]) ... of p[0..n). */
int sec_piece_counts_add(struct sec_piece_counts *c, const uint8_t *p, size_t n,
                         const uint32_t *ends, size_t k);
/* One piece, `count` times; room: readable bytes at p, at least n. */
int sec_piece_counts_put(struct sec_piece_counts *c, const uint8_t *p, size_t n, size_t room,
                         uint64_t count);
int sec_piece_counts_merge(struct sec_piece_counts *into, const struct sec_piece_counts *from);

#endif
