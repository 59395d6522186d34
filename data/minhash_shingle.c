/* Shingles of masked text, and sets of them. */
#include "data/minhash.h"

#include "base/error.h"
#include "base/hash.h"
#include "data/template.h"

#include <stdlib.h>
#include <string.h>

/* Entries of the table that removes repeated shingles: small enough for the first-level cache. */
enum { SEEN_MIN = 256, SEEN_MAX = 4096 };

/* Two multiplications with a fold between: one would leave the hash linear in the characters, and
 * runs of linear values have biased minima under linear functions. */
static inline uint32_t mix(uint64_t x)
{
    x *= UINT64_C(0x9E3779B97F4A7C15);
    x ^= x >> 32;
    x *= UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(x >> 32);
}

static int make_room(struct sec_shingler *s, size_t n)
{
    if (n > s->cap) {
        size_t cap = n + n / 2;
        uint32_t *hash = realloc(s->hash, cap * sizeof *hash);
        if (!hash)
            return sec_fail(SEC_ENOMEM, "out of memory for %zu shingles", cap);
        s->hash = hash;
        s->cap = cap;
    }
    size_t seen = SEEN_MIN;
    while (seen < n && seen < SEEN_MAX)
        seen *= 2;
    if (!s->seen) {
        s->seen = malloc(SEEN_MAX * sizeof *s->seen);
        if (!s->seen)
            return sec_fail(SEC_ENOMEM, "out of memory for a table of shingles");
    }
    s->seen_cap = seen;
    memset(s->seen, 0, seen * sizeof *s->seen);
    s->seen[0] = 1; /* belongs to entry 1: else a first hash of 0 would count as seen */
    s->n = 0;
    return 0;
}

/* Appends h unless it is the last one of its entry; no branch, as nobody can predict it. */
static inline size_t append(uint32_t *hash, size_t n, uint32_t *seen, size_t mask, uint32_t h)
{
    size_t i = h & mask;
    hash[n] = h;
    n += seen[i] != h;
    seen[i] = h;
    return n;
}

static inline uint64_t load8(const char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Windows of up to 8 characters are the low bytes of a word (little-endian). */
static void short_windows(struct sec_shingler *s, unsigned length, const char *p, size_t n)
{
    uint64_t keep = length == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * length) - 1;
    size_t mask = s->seen_cap - 1, out = 0, whole = n >= 8 ? n - 7 : 0;
    uint32_t *hash = s->hash, *seen = s->seen;
    for (size_t i = 0; i < whole; i++)
        out = append(hash, out, seen, mask, mix(load8(p + i) & keep));
    char tail[16] = {0};
    size_t from = n < 7 ? 0 : n - 7;
    memcpy(tail, p + from, n - from);
    for (size_t i = whole; i + length <= n; i++)
        out = append(hash, out, seen, mask, mix(load8(tail + (i - from)) & keep));
    s->n = out;
}

static void long_windows(struct sec_shingler *s, unsigned length, const char *p, size_t n)
{
    for (size_t i = 0; i + length <= n; i++)
        s->n = append(s->hash, s->n, s->seen, s->seen_cap - 1, mix(sec_hash64(p + i, length, 0)));
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void word_windows(struct sec_shingler *s, unsigned length, const char *p, size_t n)
{
    uint64_t window[64]; /* hashes of the last words, the oldest first */
    unsigned have = 0;
    bool any = false;
    for (size_t i = 0; i < n;) {
        if (is_blank(p[i])) {
            i++;
            continue;
        }
        size_t from = i;
        while (i < n && !is_blank(p[i]))
            i++;
        if (have == length)
            memmove(window, window + 1, --have * sizeof *window);
        window[have++] = sec_hash64(p + from, i - from, 0);
        if (have < length)
            continue;
        any = true;
        s->n = append(s->hash, s->n, s->seen, s->seen_cap - 1,
                      mix(sec_hash64(window, have * sizeof *window, length)));
    }
    if (!any)
        s->hash[s->n++] = mix(sec_hash64(window, have * sizeof *window, length));
}

int sec_shingle_masked(struct sec_shingler *s, const struct sec_minhash_options *o,
                       const char *masked, size_t n)
{
    int rc = make_room(s, n + 1);
    if (rc)
        return rc;
    if (o->words)
        word_windows(s, o->length, masked, n);
    else if (n < o->length)
        s->hash[s->n++] = mix(sec_hash64(masked, n, o->length));
    else if (o->length <= 8)
        short_windows(s, o->length, masked, n);
    else
        long_windows(s, o->length, masked, n);
    return 0;
}

int sec_shingle(struct sec_shingler *s, const struct sec_minhash_options *o, const char *text,
                size_t n)
{
    sec_buf_clear(&s->masked);
    int rc = sec_buf_reserve(&s->masked, n + 1);
    if (rc)
        return rc;
    s->masked.len = sec_template_mask(text, n, s->masked.data);
    return sec_shingle_masked(s, o, s->masked.data, s->masked.len);
}

void sec_shingler_free(struct sec_shingler *s)
{
    sec_buf_free(&s->masked);
    free(s->hash);
    free(s->seen);
    memset(s, 0, sizeof *s);
}
