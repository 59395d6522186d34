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

/* Bytes that belong to a piece of n bytes. */
static const struct sec_piece_key sec_piece_masks[16] = {
    {0, 0},
    {0xFF, 0},
    {0xFFFF, 0},
    {0xFFFFFF, 0},
    {0xFFFFFFFF, 0},
    {0xFFFFFFFFFF, 0},
    {0xFFFFFFFFFFFF, 0},
    {0xFFFFFFFFFFFFFF, 0},
    {UINT64_MAX, 0},
    {UINT64_MAX, 0xFF},
    {UINT64_MAX, 0xFFFF},
    {UINT64_MAX, 0xFFFFFF},
    {UINT64_MAX, 0xFFFFFFFF},
    {UINT64_MAX, 0xFFFFFFFFFF},
    {UINT64_MAX, 0xFFFFFFFFFFFF},
    {UINT64_MAX, 0xFFFFFFFFFFFFFF},
};

/* n <= 15; room: readable bytes at p, at least n. Two loads of 8 rather than one of 16: the words
 * go straight to registers. */
static inline struct sec_piece_key sec_piece_key(const uint8_t *p, size_t n, size_t room)
{
    uint8_t last[16] = {0};
    uint64_t lo, hi;
    if (__builtin_expect(room < 16, 0))
        p = memcpy(last, p, n);
    memcpy(&lo, p, 8);
    memcpy(&hi, p + 8, 8);
    return (struct sec_piece_key){lo & sec_piece_masks[n].lo,
                                  (hi & sec_piece_masks[n].hi) | (uint64_t)n << 56};
}

static inline uint64_t sec_piece_hash(struct sec_piece_key k)
{
    __extension__ typedef unsigned __int128 u128;
    u128 m = (u128)(k.lo ^ 0x9E3779B97F4A7C15u) * (k.hi ^ 0xC2B2AE3D27D4EB4Fu);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#endif
