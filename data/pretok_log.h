/* Fast path of the pattern "log": 64 bytes at a time as bit masks. The including file defines
 * sec_classify64(); it is compiled once for each instruction set.
 *
 * Matching has no look-behind, so a block that begins at a piece start is cut independently of what
 * stands before it; one character of look-ahead is needed, so the last start of a block begins the
 * next one. */
#ifndef SEC_DATA_PRETOK_LOG_H
#define SEC_DATA_PRETOK_LOG_H

#include "data/pretok.h"

#include <string.h>

/* One bit a byte, bit 0 first. space: U+0020; blank: white space but CR and LF; high: not ASCII. */
struct sec_masks {
    uint64_t letter, digit, space, blank, cr, lf, high;
};

static inline void sec_classify64(const uint8_t *p, struct sec_masks *m);

/* Bit i: a piece starts at byte i. Right for all bits but the last one, which lacks its look-ahead.
 */
static inline uint64_t sec_log_starts(const struct sec_masks *m)
{
    uint64_t other = ~(m->letter | m->digit | m->blank | m->cr | m->lf);
    uint64_t joined = (m->space & ((m->letter | other) >> 1)) << 1; /* " x": starts at the space */
    uint64_t starts = m->letter & ~(m->letter << 1) & ~joined;
    starts |= other & ~(other << 1) & ~joined;
    starts |= m->cr | (m->lf & ~(m->cr << 1));
    starts |=
        m->blank & (~(m->blank << 1) | ~(m->blank >> 1)); /* all but the last, then the last */
    uint64_t three = m->digit & (m->digit << 1) & (m->digit << 2);
    for (uint64_t s = m->digit & ~(m->digit << 1); s; s = (s << 3) & three)
        starts |= s;
    return starts;
}

/* Append base + i for every set bit i. Writes in groups of 8: out needs room for 64 numbers. */
static inline size_t sec_put_bits(uint64_t bits, uint32_t base, uint32_t *out)
{
    size_t n = (size_t)__builtin_popcountll(bits);
    for (size_t i = 0; i < n; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            out[i + k] = base + (bits ? (uint32_t)__builtin_ctzll(bits) : 0);
            bits &= bits - 1;
        }
    }
    return n;
}

/* As sec_pretok_batch() for SEC_PRETOK_LOG. */
static inline size_t sec_log_batch(const uint8_t *p, size_t n, uint32_t *ends, size_t cap)
{
    size_t count = 0, pos = 0;
    while (pos < n && count + 65 <= cap) {
        struct sec_masks m;
        size_t left = n - pos, window = 63;
        if (left >= 64) {
            sec_classify64(p + pos, &m);
        } else {
            uint8_t tail[64] = {0};
            memcpy(tail, p + pos, left);
            sec_classify64(tail, &m);
            window = left;
        }
        /* A start just before a non-ASCII character needs that character's class. */
        size_t high = m.high ? (size_t)__builtin_ctzll(m.high) : 64;
        if (high <= window)
            window = high ? high - 1 : 0;
        uint64_t starts = sec_log_starts(&m) & (((uint64_t)1 << window) - 1) & ~(uint64_t)1;
        size_t got = sec_put_bits(starts, (uint32_t)pos, ends + count);
        count += got;
        if (left < 64 && high == 64) {
            ends[count++] = (uint32_t)n;
            return count;
        }
        if (got)
            pos = ends[count - 1];
        /* Non-ASCII ahead, or a piece as long as the block: match it by hand. */
        if (!got || high < 64) {
            pos += sec_pretok_piece(SEC_PRETOK_LOG, p + pos, n - pos);
            ends[count++] = (uint32_t)pos;
        }
    }
    return count;
}

#endif
