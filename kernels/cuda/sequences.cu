/* Tables of the sequences of a batch on the device: their borders, the tiles of attention, the
 * relative index. They are made on the host and copied when the batch is another one than the last,
 * which costs a comparison for every operation that needs them.
 *
 * Recorded passes. Kernels are given the addresses of the tables and numbers made from them; what a
 * recording holds must suit other batches too. So buffers grow by half at least, rel[0] stands in
 * the middle of its buffer whatever the span, and the number of tiles and of borders is rounded up
 * to three significant bits (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24 ...: less than a quarter more).
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

/* A table on the device and its copy here. */
struct Table {
    void *host, *device;
    size_t room; /* bytes */
};

struct sec_cuda_sequences_host {
    Table cu, rel, tiles;
    int32_t *order; /* sequences, longest first */
    bool cu_set, rel_set;
};

static void table_free(Table *t)
{
    cudaFree(t->device);
    free(t->host);
    *t = {};
}

void sec_cuda_sequences_free(struct sec_cuda *s)
{
    struct sec_cuda_sequences_host *host = s->sequences.host;
    if (!host)
        return;
    table_free(&host->cu);
    table_free(&host->rel);
    table_free(&host->tiles);
    free(host->order);
    free(host);
    s->sequences = {};
}

/* Room for `bytes` on both sides. A table that grows is empty. */
static int table_reserve(struct sec_backend *b, Table *t, size_t bytes)
{
    if (bytes <= t->room)
        return 0;
    size_t room = bytes + bytes / 2 + 256;
    room = (room + 255) & ~(size_t)255;
    table_free(t); /* waits for what uses it */
    sec_cuda_of(b)->generation++;
    t->host = calloc(1, room);
    if (!t->host)
        return sec_fail(SEC_ENOMEM, "cuda: no memory for a table of %zu bytes", room);
    int rc = b->alloc(b, room, &t->device);
    if (!rc)
        t->room = room;
    return rc;
}

/* n with three significant bits, not below it. */
static int64_t round_up(int64_t n)
{
    int64_t step = 1;
    while (n > 8 * step)
        step *= 2;
    return (n + step - 1) / step * step;
}

/* Longest first, of equal ones the first first. */
static int by_length(const void *x, const void *y, void *cu_seqlens)
{
    const int32_t *cu = (const int32_t *)cu_seqlens;
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    int32_t len_a = cu[a + 1] - cu[a], len_b = cu[b + 1] - cu[b];
    return len_a != len_b ? (len_a < len_b ? 1 : -1) : (a > b) - (a < b);
}

static int set_tiles(struct sec_backend *b, const int32_t *cu, int32_t n_seqs)
{
    struct sec_cuda_sequences *q = &sec_cuda_of(b)->sequences;
    struct sec_cuda_sequences_host *host = q->host;
    int64_t n = 0;
    for (int32_t s = 0; s < n_seqs; s++)
        n += sec_cuda_blocks(cu[s + 1] - cu[s], SEC_CUDA_TILE);
    int64_t blocks = n ? round_up(n) : 1;
    size_t bytes = (size_t)blocks * sizeof(sec_cuda_tile);
    int rc = table_reserve(b, &host->tiles, bytes);
    if (rc)
        return rc;
    for (int32_t s = 0; s < n_seqs; s++)
        host->order[s] = s;
    qsort_r(host->order, (size_t)n_seqs, sizeof *host->order, by_length, const_cast<int32_t *>(cu));
    sec_cuda_tile *tile = (sec_cuda_tile *)host->tiles.host;
    memset(tile, 0, bytes);
    for (int32_t i = 0; i < n_seqs; i++) {
        int32_t start = cu[host->order[i]], len = cu[host->order[i] + 1] - start;
        for (int32_t row = 0; row < len; row += SEC_CUDA_TILE)
            *tile++ = {start, len, row};
    }
    q->tiles = (const sec_cuda_tile *)host->tiles.device;
    q->tile_blocks = (int32_t)blocks;
    return b->upload(b, host->tiles.device, host->tiles.host, bytes);
}

static int set_borders(struct sec_backend *b, const int32_t *cu, int32_t n_seqs)
{
    struct sec_cuda_sequences *q = &sec_cuda_of(b)->sequences;
    struct sec_cuda_sequences_host *host = q->host;
    size_t bytes = (size_t)(n_seqs + 1) * sizeof *cu;
    if (host->cu_set && n_seqs == q->n_seqs && !memcmp(host->cu.host, cu, bytes))
        return 0;
    host->cu_set = false;
    int32_t slots = (int32_t)round_up(n_seqs);
    size_t all = (size_t)(slots + 1) * sizeof *cu;
    int rc = table_reserve(b, &host->cu, all);
    if (rc)
        return rc;
    void *order = realloc(host->order, all);
    if (!order)
        return sec_fail(SEC_ENOMEM, "cuda: no memory to sort %d sequences", n_seqs);
    host->order = (int32_t *)order;
    int32_t *copy = (int32_t *)host->cu.host;
    memcpy(copy, cu, bytes);
    for (int32_t s = n_seqs + 1; s <= slots; s++)
        copy[s] = cu[n_seqs];
    rc = b->upload(b, host->cu.device, copy, all);
    if (!rc)
        rc = set_tiles(b, copy, n_seqs);
    if (rc)
        return rc;
    q->cu = (const int32_t *)host->cu.device;
    q->n_seqs = n_seqs;
    q->cu_slots = slots;
    host->cu_set = true;
    return 0;
}

static uint16_t *middle(void *table, size_t bytes)
{
    return (uint16_t *)table + bytes / sizeof(uint16_t) / 2;
}

/* The widest |delta| up to which the index goes up by one from delta to delta. */
static int32_t linear_part(const uint16_t *at_zero, int32_t span)
{
    for (int32_t d = 1; d < span; d++)
        if (at_zero[d] != at_zero[0] + d || at_zero[-d] != at_zero[0] - d)
            return d - 1;
    return span - 1;
}

static int set_relative(struct sec_backend *b, const uint16_t *rel, int32_t span)
{
    struct sec_cuda *s = sec_cuda_of(b);
    struct sec_cuda_sequences *q = &s->sequences;
    struct sec_cuda_sequences_host *host = q->host;
    size_t bytes = (size_t)(2 * span - 1) * sizeof *rel;
    if (host->rel_set && span == q->rel_span &&
        !memcmp(middle(host->rel.host, host->rel.room) - (span - 1), rel, bytes))
        return 0;
    host->rel_set = false;
    int rc = table_reserve(b, &host->rel, bytes);
    if (rc)
        return rc;
    uint16_t *copy = middle(host->rel.host, host->rel.room);
    uint16_t *device = middle(host->rel.device, host->rel.room);
    memcpy(copy - (span - 1), rel, bytes);
    rc = b->upload(b, device - (span - 1), copy - (span - 1), bytes);
    if (rc)
        return rc;
    int32_t linear = linear_part(copy, span);
    if (linear != q->linear)
        s->generation++; /* an argument of kernels */
    q->linear = linear;
    q->rel = device;
    q->rel_span = span;
    host->rel_set = true;
    return 0;
}

int sec_cuda_set_sequences(struct sec_backend *b, const int32_t *cu_seqlens, int32_t n_seqs,
                           const uint16_t *rel_idx, int32_t rel_span)
{
    struct sec_cuda_sequences *q = &sec_cuda_of(b)->sequences;
    if (!q->host)
        q->host = (struct sec_cuda_sequences_host *)calloc(1, sizeof *q->host);
    if (!q->host)
        return sec_fail(SEC_ENOMEM, "cuda: no memory for the tables of sequences");
    int rc = set_borders(b, cu_seqlens, n_seqs);
    return rc || !rel_idx ? rc : set_relative(b, rel_idx, rel_span);
}
