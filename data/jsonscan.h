/* Where the structure of one JSON record is: the places of { } [ ] : , outside strings, of the
 * opening quotes, and of the first bytes of numbers and literals (and of whatever else stands
 * outside strings), in order. Strings are checked on the way: escapes, control characters, the
 * closing quote. What is outside them is the reader's to check.
 *
 * A record is scanned in chunks as its places are asked for, so a scan has one size. The forms for
 * the instruction sets give the same. Nothing is read behind line[n). One thread a scan. */
#ifndef SEC_DATA_JSONSCAN_H
#define SEC_DATA_JSONSCAN_H

#include "base/cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEC_JSONSCAN_CHUNK = 4096, SEC_JSONSCAN_SLACK = 16 };

struct sec_jsonscan;
typedef void sec_jsonscan_more(struct sec_jsonscan *s); /* the next chunk's places; at < n */

struct sec_jsonscan {
    sec_jsonscan_more *more;
    const uint8_t *line;
    uint32_t n, at;        /* at: bytes scanned */
    uint32_t i, count;     /* of place[] */
    uint64_t in_string;    /* all ones: the bytes up to `at` end inside a string */
    uint64_t after_scalar; /* 1: they end inside a number or literal */
    uint64_t escaping;     /* 1: they end with a backslash that escapes the next byte */
    uint64_t bad;          /* not 0: a string is malformed */
    bool escapes;          /* a backslash was seen */
    uint32_t place[SEC_JSONSCAN_CHUNK + SEC_JSONSCAN_SLACK];
};

sec_jsonscan_more sec_jsonscan_more_portable, sec_jsonscan_more_avx2, sec_jsonscan_more_avx512;

static inline sec_jsonscan_more *sec_jsonscan_for(enum sec_isa isa)
{
    return isa >= SEC_ISA_AVX512 ? sec_jsonscan_more_avx512
           : isa == SEC_ISA_AVX2 ? sec_jsonscan_more_avx2
                                 : sec_jsonscan_more_portable;
}

static inline void sec_jsonscan_start(struct sec_jsonscan *s, sec_jsonscan_more *more,
                                      const char *line, uint32_t n)
{
    s->more = more;
    s->line = (const uint8_t *)line;
    s->n = n;
    s->at = s->i = s->count = 0;
    s->in_string = s->after_scalar = s->escaping = s->bad = 0;
    s->escapes = false;
}

/* From the first place again, at the end of a scan. */
static inline void sec_jsonscan_again(struct sec_jsonscan *s)
{
    if (s->n <= SEC_JSONSCAN_CHUNK)
        s->i = 0;
    else
        sec_jsonscan_start(s, s->more, (const char *)s->line, s->n);
}

/* The next place, n at the end. */
static inline uint32_t sec_jsonscan_next(struct sec_jsonscan *s)
{
    while (__builtin_expect(s->i == s->count, 0)) {
        if (s->at == s->n)
            return s->n;
        s->more(s);
    }
    return s->place[s->i++];
}

/* At the end: were all strings well-formed? */
static inline bool sec_jsonscan_strings_ok(const struct sec_jsonscan *s)
{
    return !s->bad && !s->in_string;
}

#endif
