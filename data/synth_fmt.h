/* Fast text for generated logs: random numbers, decimal, hex, addresses and time stamps written
 * straight into a buffer that has room for a whole line (SYNTH_LINE_MAX). PUT(l, ...) writes its
 * arguments one after another, each by its type. Nothing here allocates or fails. */
#ifndef SEC_DATA_SYNTH_FMT_H
#define SEC_DATA_SYNTH_FMT_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SYNTH_LINE_MAX 16384

/* xoshiro256++ (Blackman and Vigna, 2019), seeded from two Philox blocks of (seed, index, sub): the
 * counter generator keeps slices independent of threads, this one is fast inside a slice. */
struct synth_rng {
    uint64_t s[4];
};

static inline struct synth_rng synth_rng_make(uint64_t seed, uint64_t index, uint32_t sub)
{
    struct synth_rng r;
    uint32_t a[4], b[4];
    sec_rand4(seed, SEC_STREAM_SYNTH, index, 2 * sub, a);
    sec_rand4(seed, SEC_STREAM_SYNTH, index, 2 * sub + 1, b);
    memcpy(&r.s[0], a, sizeof a);
    memcpy(&r.s[2], b, sizeof b);
    r.s[0] |= 1; /* the all-zero state is a fixed point */
    return r;
}

static inline uint64_t synth_rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t synth_next(struct synth_rng *r)
{
    uint64_t *s = r->s, result = synth_rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = synth_rotl(s[3], 45);
    return result;
}

/* Uniform in [0,n), in [lo,hi], and true with a chance of per_mille in a thousand. */
static inline uint32_t synth_below(struct synth_rng *r, uint32_t n)
{
    return sec_below((uint32_t)(synth_next(r) >> 32), n);
}
static inline uint32_t synth_range(struct synth_rng *r, uint32_t lo, uint32_t hi)
{
    return lo + synth_below(r, hi - lo + 1);
}
static inline bool synth_chance(struct synth_rng *r, uint32_t per_mille)
{
    return synth_below(r, 1000) < per_mille;
}

/* Index in [0,n) with a heavy head: density falls as x^-2/3, so that the first eighth of a list
 * gets half of the draws. */
static inline uint32_t synth_skewed(struct synth_rng *r, uint32_t n)
{
    double u = sec_u01(synth_next(r));
    return (uint32_t)(u * u * u * n);
}

/* Size with a long tail: lo << 0..octaves, then uniform within the octave. */
static inline uint32_t synth_tailed(struct synth_rng *r, uint32_t lo, uint32_t octaves)
{
    uint32_t base = lo << synth_skewed(r, octaves + 1);
    return base + synth_below(r, base);
}

struct synth_str {
    const char *p;
    uint32_t n;
};
struct synth_ip {
    uint32_t v; /* a.b.c.d = a << 24 | ... */
};
struct synth_hex {
    uint64_t v;
    int width; /* zero-padded; 0 = as short as possible */
    bool upper;
};
struct synth_pad {
    uint32_t v;
    int width; /* zero-padded decimal */
};

/* The date texts of one day, made once; a slice never crosses midnight. */
struct synth_date {
    char iso[11], clf[12], bind[12], syslog[7];
    int64_t epoch; /* seconds of midnight UTC */
};
enum synth_style {
    SYNTH_SYSLOG,   /* Mar  3 09:14:07 */
    SYNTH_ISO_S,    /* 2025-03-03T09:14:07Z */
    SYNTH_ISO_MS,   /* 2025-03-03T09:14:07.123Z */
    SYNTH_ISO_US,   /* 2025-03-03T09:14:07.123456Z */
    SYNTH_ISO_7,    /* 2025-03-03T09:14:07.1234560Z */
    SYNTH_ISO_7_TZ, /* 2025-03-03T09:14:07.1234560+00:00 */
    SYNTH_SPACE_S,  /* 2025-03-03 09:14:07 */
    SYNTH_SPACE_MS, /* 2025-03-03 09:14:07.123 */
    SYNTH_CLF,      /* 03/Mar/2025:09:14:07 +0000 */
    SYNTH_BIND,     /* 03-Mar-2025 09:14:07.123 */
    SYNTH_EPOCH_MS, /* 1740993247.123 */
    SYNTH_EPOCH_US  /* 1740993247.123456 */
};
struct synth_time {
    const struct synth_date *date;
    int64_t us; /* microseconds of the day */
    enum synth_style style;
};

struct synth_line {
    char *p;
};

extern const char synth_digits2[201]; /* "00" .. "99" */

static inline void synth_put_bytes(struct synth_line *l, const void *p, size_t n)
{
    memcpy(l->p, p, n);
    l->p += n;
}
static inline __attribute__((always_inline)) void synth_put_cstr(struct synth_line *l,
                                                                 const char *s)
{
    synth_put_bytes(l, s, strlen(s));
}
static inline void synth_put_str(struct synth_line *l, struct synth_str s)
{
    synth_put_bytes(l, s.p, s.n);
}
static inline void synth_put_dec(struct synth_line *l, uint64_t v)
{
    char tmp[20];
    int i = 20;
    while (v >= 100) {
        i -= 2;
        memcpy(tmp + i, synth_digits2 + 2 * (v % 100), 2);
        v /= 100;
    }
    if (v >= 10) {
        i -= 2;
        memcpy(tmp + i, synth_digits2 + 2 * v, 2);
    } else {
        tmp[--i] = (char)('0' + v);
    }
    synth_put_bytes(l, tmp + i, (size_t)(20 - i));
}
static inline void synth_put_pad(struct synth_line *l, struct synth_pad n)
{
    for (int i = n.width - 1; i >= 0; i--) {
        l->p[i] = (char)('0' + n.v % 10);
        n.v /= 10;
    }
    l->p += n.width;
}
static inline void synth_put_hex(struct synth_line *l, struct synth_hex h)
{
    const char *digit = h.upper ? "0123456789ABCDEF" : "0123456789abcdef";
    int width = h.width;
    if (!width)
        width = h.v ? (63 - __builtin_clzll(h.v)) / 4 + 1 : 1;
    for (int i = width - 1; i >= 0; i--) {
        l->p[i] = digit[h.v & 15];
        h.v >>= 4;
    }
    l->p += width;
}
static inline void synth_put_octet(struct synth_line *l, uint32_t v)
{
    if (v >= 100) {
        *l->p++ = (char)('0' + v / 100);
        v %= 100;
        synth_put_bytes(l, synth_digits2 + 2 * v, 2);
    } else if (v >= 10) {
        synth_put_bytes(l, synth_digits2 + 2 * v, 2);
    } else {
        *l->p++ = (char)('0' + v);
    }
}
static inline void synth_put_ip(struct synth_line *l, struct synth_ip ip)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        synth_put_octet(l, ip.v >> shift & 255);
        if (shift)
            *l->p++ = '.';
    }
}

static inline void synth_put_clock(struct synth_line *l, uint32_t second_of_day)
{
    memcpy(l->p, synth_digits2 + 2 * (second_of_day / 3600), 2);
    l->p[2] = ':';
    memcpy(l->p + 3, synth_digits2 + 2 * (second_of_day / 60 % 60), 2);
    l->p[5] = ':';
    memcpy(l->p + 6, synth_digits2 + 2 * (second_of_day % 60), 2);
    l->p += 8;
}

static inline __attribute__((always_inline)) void synth_put_time(struct synth_line *l,
                                                                 struct synth_time t)
{
    uint32_t second = (uint32_t)(t.us / 1000000), frac = (uint32_t)(t.us % 1000000);
    const struct synth_date *d = t.date;
    switch (t.style) {
    case SYNTH_SYSLOG:
        synth_put_bytes(l, d->syslog, 6);
        *l->p++ = ' ';
        synth_put_clock(l, second);
        return;
    case SYNTH_CLF:
        synth_put_bytes(l, d->clf, 11);
        *l->p++ = ':';
        synth_put_clock(l, second);
        synth_put_cstr(l, " +0000");
        return;
    case SYNTH_EPOCH_MS:
    case SYNTH_EPOCH_US:
        synth_put_dec(l, (uint64_t)d->epoch + second);
        break;
    case SYNTH_BIND:
        synth_put_bytes(l, d->bind, 11);
        *l->p++ = ' ';
        synth_put_clock(l, second);
        break;
    default:
        synth_put_bytes(l, d->iso, 10);
        *l->p++ = t.style == SYNTH_SPACE_S || t.style == SYNTH_SPACE_MS ? ' ' : 'T';
        synth_put_clock(l, second);
    }
    if (t.style == SYNTH_ISO_S || t.style == SYNTH_SPACE_S) {
        if (t.style == SYNTH_ISO_S)
            *l->p++ = 'Z';
        return;
    }
    *l->p++ = '.';
    if (t.style == SYNTH_ISO_MS || t.style == SYNTH_SPACE_MS || t.style == SYNTH_BIND ||
        t.style == SYNTH_EPOCH_MS)
        synth_put_pad(l, (struct synth_pad){frac / 1000, 3});
    else
        synth_put_pad(l, (struct synth_pad){frac, 6});
    if (t.style == SYNTH_ISO_7 || t.style == SYNTH_ISO_7_TZ)
        *l->p++ = (char)('0' + frac % 7);
    if (t.style == SYNTH_ISO_MS || t.style == SYNTH_ISO_US || t.style == SYNTH_ISO_7)
        *l->p++ = 'Z';
    else if (t.style == SYNTH_ISO_7_TZ)
        synth_put_cstr(l, "+00:00");
}

#define SYNTH_PUT_ONE(l, x)                                                                        \
    _Generic((x),                                                                                  \
        char *: synth_put_cstr,                                                                    \
        const char *: synth_put_cstr,                                                              \
        struct synth_str: synth_put_str,                                                           \
        struct synth_ip: synth_put_ip,                                                             \
        struct synth_hex: synth_put_hex,                                                           \
        struct synth_pad: synth_put_pad,                                                           \
        struct synth_time: synth_put_time,                                                         \
        default: synth_put_dec)(l, x)

/* PUT(l, a, b, ...): the usual deferred expansion, good for 256 arguments. */
#define SYNTH_PARENS       ()
#define SYNTH_EXPAND(...)  SYNTH_EXPAND4(SYNTH_EXPAND4(SYNTH_EXPAND4(SYNTH_EXPAND4(__VA_ARGS__))))
#define SYNTH_EXPAND4(...) SYNTH_EXPAND3(SYNTH_EXPAND3(SYNTH_EXPAND3(SYNTH_EXPAND3(__VA_ARGS__))))
#define SYNTH_EXPAND3(...) SYNTH_EXPAND2(SYNTH_EXPAND2(SYNTH_EXPAND2(SYNTH_EXPAND2(__VA_ARGS__))))
#define SYNTH_EXPAND2(...) SYNTH_EXPAND1(SYNTH_EXPAND1(SYNTH_EXPAND1(SYNTH_EXPAND1(__VA_ARGS__))))
#define SYNTH_EXPAND1(...) __VA_ARGS__
#define SYNTH_PUT_AGAIN()  SYNTH_PUT_NEXT
#define SYNTH_PUT_NEXT(l, x, ...)                                                                  \
    SYNTH_PUT_ONE(l, x);                                                                           \
    __VA_OPT__(SYNTH_PUT_AGAIN SYNTH_PARENS(l, __VA_ARGS__))
#define PUT(l, ...)                                                                                \
    do {                                                                                           \
        SYNTH_EXPAND(SYNTH_PUT_NEXT(l, __VA_ARGS__))                                               \
    } while (0)

#define HEX(v)          ((struct synth_hex){(v), 0, false})
#define HEXW(v, width)  ((struct synth_hex){(v), (width), false})
#define HEXUP(v, width) ((struct synth_hex){(v), (width), true})
#define PAD(v, width)   ((struct synth_pad){(v), (width)})

/* Random text: lower-case hex digits, base-62 characters, capital letters and digits, and a UUID.
 */
void synth_put_rand_hex(struct synth_line *l, struct synth_rng *r, int digits);
void synth_put_rand_base62(struct synth_line *l, struct synth_rng *r, int n);
void synth_put_rand_upper(struct synth_line *l, struct synth_rng *r, int n);
void synth_put_uuid(struct synth_line *l, struct synth_rng *r);

#endif
