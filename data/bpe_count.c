#include "data/bpe_count.h"

#include "base/error.h"
#include "base/hash.h"

#include <stdlib.h>

#define POOL_BLOCK ((size_t)1 << 20)
#define GROUP      64 /* pieces hashed and prefetched together: hides the map's cache misses */

int sec_piece_counts_init(struct sec_piece_counts *c)
{
    *c = (struct sec_piece_counts){.short_bits = 14, .long_bits = 10};
    sec_arena_init(&c->arena, POOL_BLOCK);
    c->shorts = calloc((size_t)1 << c->short_bits, sizeof *c->shorts);
    c->longs = calloc((size_t)1 << c->long_bits, sizeof *c->longs);
    if (c->shorts && c->longs)
        return 0;
    sec_piece_counts_free(c);
    return sec_fail(SEC_ENOMEM, "tokenizer training: no memory for counting");
}

void sec_piece_counts_free(struct sec_piece_counts *c)
{
    free(c->shorts);
    free(c->longs);
    sec_arena_free(&c->arena);
    *c = (struct sec_piece_counts){0};
}

void sec_piece_counts_reset(struct sec_piece_counts *c)
{
    memset(c->shorts, 0, sizeof *c->shorts << c->short_bits);
    memset(c->longs, 0, sizeof *c->longs << c->long_bits);
    sec_arena_reset(&c->arena);
    c->n_shorts = c->n_longs = c->pool_left = 0;
    c->full = false;
}

static size_t bytes_held(const struct sec_piece_counts *c)
{
    return (sizeof *c->shorts << c->short_bits) + (sizeof *c->longs << c->long_bits) +
           c->arena.used;
}

/* A table grows at half its slots; where that would pass the limit, only at three quarters. While
 * it grows the old and the new one are there. */
static bool must_grow(struct sec_piece_counts *c, size_t n, unsigned bits, size_t slot)
{
    if (!(n * 2 >> bits))
        return false;
    if (!c->limit || bytes_held(c) + (2 * slot << bits) <= c->limit)
        return true;
    c->full = true;
    return n * 4 / 3 >> bits;
}

/* Slot of the key, or the empty slot where it belongs. */
static struct sec_short_count *find_short(struct sec_short_count *slots, unsigned bits,
                                          struct sec_piece_key k, uint64_t hash)
{
    size_t mask = ((size_t)1 << bits) - 1, i = hash & mask;
    while ((slots[i].key.lo != k.lo || slots[i].key.hi != k.hi) && slots[i].key.hi)
        i = (i + 1) & mask;
    return &slots[i];
}

static int grow_shorts(struct sec_piece_counts *c)
{
    unsigned bits = c->short_bits + 1;
    struct sec_short_count *v = calloc((size_t)1 << bits, sizeof *v);
    if (!v)
        return sec_fail(SEC_ENOMEM, "tokenizer training: no memory for %zu distinct pieces",
                        c->n_shorts * 2);
    for (size_t i = 0; i >> c->short_bits == 0; i++) {
        struct sec_short_count *e = &c->shorts[i];
        if (e->key.hi)
            *find_short(v, bits, e->key, sec_piece_hash(e->key)) = *e;
    }
    free(c->shorts);
    c->shorts = v;
    c->short_bits = bits;
    return 0;
}

static inline int add_short(struct sec_piece_counts *c, struct sec_piece_key k, uint64_t hash,
                            uint64_t count)
{
    struct sec_short_count *e = find_short(c->shorts, c->short_bits, k, hash);
    if (e->key.hi) {
        e->count += count;
        return 0;
    }
    *e = (struct sec_short_count){k, count};
    c->n_shorts++;
    return must_grow(c, c->n_shorts, c->short_bits, sizeof *e) ? grow_shorts(c) : 0;
}

static struct sec_long_count *find_long(struct sec_long_count *slots, unsigned bits,
                                        const uint8_t *p, size_t n, uint64_t hash)
{
    size_t mask = ((size_t)1 << bits) - 1, i = hash & mask;
    while (slots[i].p &&
           (slots[i].hash != hash || slots[i].n != n || memcmp(slots[i].p, p, n) != 0))
        i = (i + 1) & mask;
    return &slots[i];
}

static int grow_longs(struct sec_piece_counts *c)
{
    unsigned bits = c->long_bits + 1;
    struct sec_long_count *v = calloc((size_t)1 << bits, sizeof *v);
    if (!v)
        return sec_fail(SEC_ENOMEM, "tokenizer training: no memory for %zu distinct long pieces",
                        c->n_longs * 2);
    size_t mask = ((size_t)1 << bits) - 1;
    for (size_t i = 0; i >> c->long_bits == 0; i++) {
        if (!c->longs[i].p)
            continue;
        size_t j = c->longs[i].hash & mask;
        while (v[j].p)
            j = (j + 1) & mask;
        v[j] = c->longs[i];
    }
    free(c->longs);
    c->longs = v;
    c->long_bits = bits;
    return 0;
}

static uint8_t *pool_take(struct sec_piece_counts *c, size_t n)
{
    if (n > POOL_BLOCK / 8)
        return sec_arena_alloc(&c->arena, n);
    if (n > c->pool_left) {
        c->pool = sec_arena_alloc(&c->arena, POOL_BLOCK);
        c->pool_left = c->pool ? POOL_BLOCK : 0;
        if (!c->pool)
            return NULL;
    }
    uint8_t *p = c->pool;
    c->pool += n;
    c->pool_left -= n;
    return p;
}

static int add_long(struct sec_piece_counts *c, const uint8_t *p, size_t n, uint64_t count)
{
    uint64_t hash = sec_hash64(p, n, 0);
    struct sec_long_count *e = find_long(c->longs, c->long_bits, p, n, hash);
    if (e->p) {
        e->count += count;
        return 0;
    }
    uint8_t *copy = pool_take(c, n);
    if (!copy)
        return sec_fail(SEC_ENOMEM, "tokenizer training: no memory for a piece of %zu bytes", n);
    memcpy(copy, p, n);
    *e = (struct sec_long_count){.p = copy, .hash = hash, .count = count, .n = (uint32_t)n};
    c->n_longs++;
    c->full |= c->limit && bytes_held(c) > c->limit;
    return must_grow(c, c->n_longs, c->long_bits, sizeof *e) ? grow_longs(c) : 0;
}

int sec_piece_counts_add(struct sec_piece_counts *c, const uint8_t *p, size_t n,
                         const uint32_t *ends, size_t k)
{
    struct sec_piece_key keys[GROUP];
    uint64_t hashes[GROUP];
    int rc = 0;
    size_t start = 0;
    for (size_t i = 0; i < k && !rc;) {
        size_t m = 0, mask = ((size_t)1 << c->short_bits) - 1;
        for (; i < k && m < GROUP && !rc; i++) {
            size_t len = ends[i] - start;
            if (len <= SEC_PIECE_SHORT) {
                keys[m] = sec_piece_key(p + start, len, n - start);
                hashes[m] = sec_piece_hash(keys[m]);
                __builtin_prefetch(&c->shorts[hashes[m] & mask]);
                m++;
            } else {
                rc = add_long(c, p + start, len, 1);
            }
            start = ends[i];
        }
        for (size_t j = 0; j < m && !rc; j++)
            rc = add_short(c, keys[j], hashes[j], 1);
    }
    return rc;
}

int sec_piece_counts_put(struct sec_piece_counts *c, const uint8_t *p, size_t n, size_t room,
                         uint64_t count)
{
    if (n > SEC_PIECE_SHORT)
        return add_long(c, p, n, count);
    struct sec_piece_key k = sec_piece_key(p, n, room);
    return add_short(c, k, sec_piece_hash(k), count);
}

int sec_piece_counts_merge(struct sec_piece_counts *into, const struct sec_piece_counts *from)
{
    int rc = 0;
    for (size_t i = 0; i >> from->short_bits == 0 && !rc; i++) {
        const struct sec_short_count *e = &from->shorts[i];
        if (e->key.hi)
            rc = add_short(into, e->key, sec_piece_hash(e->key), e->count);
    }
    for (size_t i = 0; i >> from->long_bits == 0 && !rc; i++)
        if (from->longs[i].p)
            rc = add_long(into, from->longs[i].p, from->longs[i].n, from->longs[i].count);
    return rc;
}
