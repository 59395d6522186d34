/* Windows of the sample order, decoded ahead by threads: one in use, the others of `slots` ahead of
 * it. Slots and buffers are allocated when opened; nothing is allocated after that. No read happens
 * under the lock, so that one that hangs holds up nothing but its own window.
 *
 * One consumer. A chunk that cannot be read is tried three times; then its window carries the
 * failure (or, with `substitute`, the bit of the chunk) to the consumer, in order. */
#ifndef SEC_DATA_LOADER_WINDOW_H
#define SEC_DATA_LOADER_WINDOW_H

#include "data/order.h"

struct sec_window {
    uint64_t epoch, rank, w;        /* the rank-th window of the epoch is window w */
    uint32_t n;                     /* samples, never 0 */
    uint32_t bad;                   /* bit c: chunk c could not be read */
    const char *damage;             /* bad: what was wrong with the first such chunk */
    const struct sec_piece *pieces; /* [n] in the epoch's order */
    const uint16_t *tokens;         /* chunks laid end to end */
};

struct sec_windows;
/* Starts at the rank-th window of an epoch; slots >= 2. */
int sec_windows_open(const struct sec_tokens *t, const struct sec_order *o, int slots, int threads,
                     bool substitute, uint64_t epoch, uint64_t rank, struct sec_windows **out);
/* The next window; it stays valid until the next call. Returns 1 after sec_windows_stop(). */
int sec_windows_next(struct sec_windows *ws, const struct sec_window **out);
void sec_windows_stop(struct sec_windows *ws); /* any thread; wakes the consumer */
void sec_windows_close(struct sec_windows *ws);

#endif
