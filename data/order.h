/* The order of samples: a pure function of (data set, seed, seq_len, epoch, index).
 *
 * The split is cut into windows of SEC_ORDER_WINDOW chunks. A sample is a document, or a piece of
 * at most seq_len - 2 tokens of one, and belongs to the window that holds its first token. Epoch e
 * visits the windows in the order of one keyed Feistel permutation and the samples of a window in
 * the order of another, so that no shuffled list is ever made or stored. Sample i of an epoch is
 * found by adding up the sizes of the epoch's first windows (once, when a loader starts; after that
 * it walks); inside a window the place is computed.
 *
 * Memory: 16 bytes a window (2 M tokens). Documents' offsets stay in the shards.
 * Threads: constant after sec_order_new(). */
#ifndef SEC_DATA_ORDER_H
#define SEC_DATA_ORDER_H

#include "data/tokshard.h"

#define SEC_ORDER_WINDOW 16u /* chunks */

/* A permutation of [0, n): 8-round Feistel network on the least even number of bits that hold n,
 * walked until the value falls below n (at most 4 steps on average). */
struct sec_perm {
    uint64_t n;
    unsigned half; /* bits of one side */
    uint32_t key[8];
};
void sec_perm_init(struct sec_perm *p, uint64_t n, uint64_t seed, uint64_t index, uint32_t sub);
uint64_t sec_perm_at(const struct sec_perm *p, uint64_t i);

struct sec_piece {
    uint64_t doc;
    uint32_t first; /* token of the piece inside the document */
    uint32_t at;  /* first token, from the window's first chunk's start (chunks laid end to end) */
    uint32_t len; /* tokens, without [CLS] and [SEP] */
};

struct sec_order;
int sec_order_new(const struct sec_tokens *t, uint64_t seed, int seq_len, struct sec_order **out);
void sec_order_free(struct sec_order *o);

uint64_t sec_order_total(const struct sec_order *o);   /* samples of an epoch */
uint64_t sec_order_windows(const struct sec_order *o); /* windows of an epoch */
uint32_t sec_order_window_size(const struct sec_order *o, uint64_t w);
uint32_t sec_order_largest(const struct sec_order *o); /* samples of the largest window */
uint32_t sec_order_span(const struct sec_order *o);    /* most chunks a window's samples touch */
void sec_order_epoch(const struct sec_order *o, uint64_t epoch, struct sec_perm *windows);
void sec_order_within(const struct sec_order *o, uint64_t epoch, uint64_t w,
                      struct sec_perm *samples);
/* Chunks that the samples of window w touch, from chunk w * SEC_ORDER_WINDOW on. */
uint32_t sec_order_chunks(const struct sec_order *o, uint64_t w);
/* The pieces of window w in the order of the stream; room for sec_order_window_size(). Reads the
 * shards' tables: SEC_EDATA if they are not what they were when the order was made. */
int sec_order_pieces(const struct sec_order *o, uint64_t w, struct sec_piece *out);
/* Sample i of an epoch. *rank = its window's place in the epoch, *index = its place in the window's
 * order. O(windows): the loader calls it once, when it starts. */
void sec_order_find(const struct sec_order *o, uint64_t epoch, uint64_t i, uint64_t *rank,
                    uint32_t *index);

#endif
