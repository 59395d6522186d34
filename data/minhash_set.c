/* Sets of shingles and their exact similarity. A look-up is one cache line and no guess of the
 * branch predictor: with one slot a step, mispredicted branches take most of the time. */
#include "data/minhash.h"

#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKET = 16, LANES = 4 };
typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

/* Is h in the bucket? */
static inline bool bucket_has(const uint32_t *bucket, uint32_t h)
{
    lanes v[BUCKET / LANES], key = {h, h, h, h};
    memcpy(v, bucket, sizeof v);
    lanes any =
        (lanes)(v[0] == key) | (lanes)(v[1] == key) | (lanes)(v[2] == key) | (lanes)(v[3] == key);
    uint64_t half[2];
    memcpy(half, &any, sizeof half);
    return (half[0] | half[1]) != 0;
}

static inline uint32_t home(const struct sec_shingle_set *s, uint32_t h)
{
    return h & s->mask & ~(uint32_t)(BUCKET - 1);
}

static inline bool set_has(const struct sec_shingle_set *s, uint32_t h)
{
    uint32_t at = home(s, h);
    bool has = bucket_has(s->slot + at, h);
    while (__builtin_expect(s->slot[at + BUCKET - 1] && !has, 0)) {
        at = (at + BUCKET) & s->mask;
        has = bucket_has(s->slot + at, h);
    }
    return has;
}

/* Slots of the bucket in use; they are its first ones. */
static inline uint32_t bucket_used(const uint32_t *bucket)
{
    lanes v[BUCKET / LANES];
    memcpy(v, bucket, sizeof v);
    lanes used = (lanes)(v[0] != 0) + (lanes)(v[1] != 0) + (lanes)(v[2] != 0) + (lanes)(v[3] != 0);
    return 0 - (used[0] + used[1] + used[2] + used[3]);
}

static void add(struct sec_shingle_set *s, uint32_t h)
{
    uint32_t at = home(s, h);
    while (!bucket_has(s->slot + at, h)) {
        uint32_t k = bucket_used(s->slot + at);
        if (k < BUCKET) {
            s->slot[at + k] = h;
            s->n++;
            return;
        }
        at = (at + BUCKET) & s->mask;
    }
}

int sec_shingle_set_make(const uint32_t *shingles, size_t n, struct sec_shingle_set *out)
{
    size_t slots = 2 * BUCKET; /* never full */
    memset(out, 0, sizeof *out);
    while (slots < 2 * n)
        slots *= 2;
    if (slots > UINT32_MAX)
        return sec_fail(SEC_EDATA, "a document with %zu shingles; at most 2^30", n);
    out->slot = calloc(slots, sizeof *out->slot);
    if (!out->slot)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu shingles", n);
    out->mask = (uint32_t)(slots - 1);
    for (size_t k = 0; k < n; k++)
        add(out, shingles[k] ? shingles[k] : 1);
    return 0;
}

size_t sec_shingle_set_bytes(const struct sec_shingle_set *s)
{
    return s->slot ? ((size_t)s->mask + 1) * sizeof *s->slot : 0;
}

void sec_shingle_set_free(struct sec_shingle_set *s)
{
    free(s->slot);
    memset(s, 0, sizeof *s);
}

static double ratio(uint64_t both, uint64_t all)
{
    return (double)both / (double)(all - both);
}

/* Elements of the smaller set that may be missing from the larger one while J is at least `least`:
 * -1 = it cannot be. all: both sets' sizes. */
static int64_t may_miss(uint64_t smaller, uint64_t all, double least)
{
    uint64_t need = (uint64_t)(least * (double)all / (1 + least));
    while (need && ratio(need - 1, all) >= least)
        need--;
    while (need <= smaller && ratio(need, all) < least)
        need++;
    return (int64_t)smaller - (int64_t)need;
}

double sec_shingle_jaccard_least(const struct sec_shingle_set *a, const struct sec_shingle_set *b,
                                 double least)
{
    if (!a->n && !b->n)
        return 1;
    if (!a->n || !b->n)
        return 0;
    if (a->n > b->n) {
        const struct sec_shingle_set *t = a;
        a = b;
        b = t;
    }
    uint64_t both = 0, seen = 0, all = (uint64_t)a->n + b->n;
    int64_t left = may_miss(a->n, all, least);
    for (size_t at = 0; at <= a->mask; at += BUCKET) {
        for (size_t k = at; k < at + BUCKET && a->slot[k]; k++, seen++)
            both += set_has(b, a->slot[k]);
        if (left < (int64_t)(seen - both)) {
            double j = ratio((uint64_t)((double)both / (double)seen * a->n), all);
            return j < least ? j : nextafter(least, 0);
        }
    }
    return ratio(both, all);
}

double sec_shingle_jaccard(const struct sec_shingle_set *a, const struct sec_shingle_set *b)
{
    return sec_shingle_jaccard_least(a, b, 0);
}
