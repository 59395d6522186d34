/* Pieces of at most 15 bytes as two machine words: compared and hashed without a loop. */
#ifndef SEC_DATA_BPE_PIECE_H
#define SEC_DATA_BPE_PIECE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SEC_PIECE_SHORT 15

/* The bytes, zero-filled, and the length in the last byte: equal keys are equal pieces, and no key
 * is zero. */
struct sec_piece_key {
    uint64_t lo, hi;
};

/* room: readable bytes at p, at least n. */
static inline struct sec_piece_key sec_piece_key(const uint8_t *p, size_t n, size_t room)
{
    struct sec_piece_key k = {0, 0};
    if (room >= 16) {
        memcpy(&k, p, 16);
        /* Shifts by 64 are undefined; 1 <= n <= 15 keeps both counts within 0..63. */
        uint64_t low = n >= 8 ? UINT64_MAX : ((uint64_t)1 << (8 * n)) - 1;
        uint64_t high = n > 8 ? ((uint64_t)1 << (8 * (n - 8))) - 1 : 0;
        k.lo &= low;
        k.hi &= high;
    } else {
        memcpy(&k, p, n);
    }
    k.hi |= (uint64_t)n << 56;
    return k;
}

static inline uint64_t sec_piece_hash(struct sec_piece_key k)
{
    __extension__ typedef unsigned __int128 u128;
    u128 m = (u128)(k.lo ^ 0x9E3779B97F4A7C15u) * (k.hi ^ 0xC2B2AE3D27D4EB4Fu);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#endif
