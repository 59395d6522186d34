/* A block of 64 bytes at a time, bit i for byte i. The file that includes this first defines
 *
 *   void classify(const uint8_t *p, unsigned n, struct block *b)   bytes from n on count as blanks
 *   unsigned put_places(uint32_t *out, uint64_t bits, uint32_t base)
 *                     base + each set bit, and anything in the SLACK entries behind; their number
 *
 * Method: G. Langdale, D. Lemire, "Parsing gigabytes of JSON per second", VLDB Journal 28 (2019),
 * section 3.1 (runs of backslashes by carries of additions, strings by prefix exclusive-or). */
#ifndef SEC_DATA_JSONSCAN_IMPL_H
#define SEC_DATA_JSONSCAN_IMPL_H

#include "data/jsonscan.h"

struct block {
    uint64_t quote, backslash, control; /* control: below 0x20 */
    uint64_t blank, op;                 /* op: { } [ ] : , */
};

static inline void classify(const uint8_t *p, unsigned n, struct block *b);
static inline unsigned put_places(uint32_t *out, uint64_t bits, uint32_t base);

/* Bit i = exclusive or of the bits up to i. */
static inline uint64_t prefix_xor(uint64_t x)
{
    for (int k = 1; k < 64; k *= 2)
        x ^= x << k;
    return x;
}

/* The bytes behind backslash runs of odd length: they are escaped, and so is none but backslashes
 * beside them. A run's first bit is added to the run; the carry arrives behind its end. */
static inline uint64_t escaped_bytes(struct sec_jsonscan *s, uint64_t backslash)
{
    const uint64_t even = 0x5555555555555555ull;
    uint64_t first = s->escaping, run = backslash & ~first, start = run & ~(run << 1);
    uint64_t even_end = run + (start & even), odd_end;
    s->escaping = __builtin_add_overflow(run, start & ~even, &odd_end);
    return (even_end & ~run & ~even) | (odd_end & ~run & even) | first;
}

static inline bool four_hex(const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        if ((unsigned)(p[i] - '0') >= 10 && (unsigned)((p[i] | 0x20) - 'a') >= 6)
            return false;
    return true;
}

static inline uint64_t bad_escapes(const struct sec_jsonscan *s, uint64_t escaped)
{
    for (; escaped; escaped &= escaped - 1) {
        uint64_t at = s->at + (uint64_t)__builtin_ctzll(escaped);
        uint8_t c = at < s->n ? s->line[at] : 0;
        switch (c) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
            break;
        case 'u':
            if (s->n - at > 4 && four_hex(s->line + at + 1))
                break;
            return 1;
        default:
            return 1;
        }
    }
    return 0;
}

static inline void scan_chunk(struct sec_jsonscan *s)
{
    uint32_t left = s->n - s->at;
    uint32_t stop = left > SEC_JSONSCAN_CHUNK ? s->at + SEC_JSONSCAN_CHUNK : s->n;
    s->i = s->count = 0;
    while (s->at < stop) {
        struct block b;
        unsigned n = stop - s->at < 64 ? stop - s->at : 64;
        uint64_t escaped = 0;
        classify(s->line + s->at, n, &b);
        if (b.backslash | s->escaping) {
            s->escapes = true;
            escaped = escaped_bytes(s, b.backslash);
        }
        uint64_t quote = b.quote & ~escaped;
        uint64_t inside = prefix_xor(quote) ^ s->in_string; /* with the opening quote */
        s->in_string = (uint64_t)((int64_t)inside >> 63);
        uint64_t scalar = ~(b.op | b.blank | inside | quote);
        uint64_t first = scalar & ~(scalar << 1 | s->after_scalar);
        s->after_scalar = scalar >> 63;
        s->bad |= (b.control & inside) | (b.backslash & ~inside);
        if (escaped)
            s->bad |= bad_escapes(s, escaped);
        s->count +=
            put_places(s->place + s->count, (b.op & ~inside) | first | (quote & inside), s->at);
        s->at += n;
    }
}

#endif
