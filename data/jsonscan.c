#include "data/jsonscan.h"

#include "data/jsonscan_impl.h"

#include <string.h>

enum { QUOTE = 1, BACKSLASH = 2, CONTROL = 4, BLANK = 8, OP = 16 };

static const uint8_t class_of[256] = {
    [0 ... 8] = CONTROL,
    ['\t'] = CONTROL | BLANK,
    ['\n'] = CONTROL | BLANK,
    [0x0B ... 0x0C] = CONTROL,
    ['\r'] = CONTROL | BLANK,
    [0x0E ... 0x1F] = CONTROL,
    [' '] = BLANK,
    ['"'] = QUOTE,
    ['\\'] = BACKSLASH,
    ['{'] = OP,
    ['}'] = OP,
    ['['] = OP,
    [']'] = OP,
    [':'] = OP,
    [','] = OP,
};

/* Bit 0 of each of eight bytes, gathered: byte i's lands in bit 56 + i of the product. */
static inline uint64_t gather(uint64_t eight, int bit)
{
    return (eight >> bit & 0x0101010101010101ull) * 0x0102040810204080ull >> 56;
}

static inline void classify(const uint8_t *p, unsigned n, struct block *b)
{
    uint8_t padded[64];
    if (n < 64) {
        memset(padded, ' ', sizeof padded);
        memcpy(padded, p, n);
        p = padded;
    }
    *b = (struct block){0};
    for (int i = 0; i < 64; i += 8) {
        uint64_t eight = 0;
        for (int k = 0; k < 8; k++)
            eight |= (uint64_t)class_of[p[i + k]] << 8 * k;
        b->quote |= gather(eight, 0) << i;
        b->backslash |= gather(eight, 1) << i;
        b->control |= gather(eight, 2) << i;
        b->blank |= gather(eight, 3) << i;
        b->op |= gather(eight, 4) << i;
    }
}

static inline unsigned put_places(uint32_t *out, uint64_t bits, uint32_t base)
{
    unsigned n = 0;
    for (; bits; bits &= bits - 1)
        out[n++] = base + (uint32_t)__builtin_ctzll(bits);
    return n;
}

void sec_jsonscan_more_portable(struct sec_jsonscan *s)
{
    scan_chunk(s);
}
