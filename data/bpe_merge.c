#include "base/error.h"
#include "data/bpe_model.h"

#include <stdlib.h>
#include <string.h>

/* Up to this many bytes a scan for the best pair beats the heap. */
#define SHORT_PIECE 48
#define DEAD        0xFFFF /* never an id: the vocabulary has at most 65,535 entries */
#define NO_NODE     UINT32_MAX

void sec_bpe_scratch_free(struct sec_bpe_scratch *s)
{
    free(s->ids);
    free(s->next);
    free(s->prev);
    free(s->heap);
    *s = (struct sec_bpe_scratch){0};
}

/* value[i] is the merge of ids i and i + 1. The smallest value is the lowest rank; strict
 * comparison makes it the leftmost one. */
static size_t merge_short(const struct sec_tokenizer *t, uint16_t *ids, size_t n)
{
    uint32_t value[SHORT_PIECE];
    for (size_t i = 0; i + 1 < n; i++)
        value[i] = sec_bpe_lookup(t, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (value[i] < value[best])
                best = i;
        if (value[best] == SEC_BPE_NONE)
            break;
        ids[best] = (uint16_t)value[best];
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(value + best + 1, value + best + 2, (n - best - 2) * sizeof *value);
            value[best] = sec_bpe_lookup(t, ids[best], ids[best + 1]);
        }
        if (best > 0)
            value[best - 1] = sec_bpe_lookup(t, ids[best - 1], ids[best]);
    }
    return n;
}

/* Binary min-heap of rank << 32 | position. */
static void sift_down(uint64_t *h, size_t n, size_t i)
{
    uint64_t v = h[i];
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && h[c + 1] < h[c])
            c++;
        if (v <= h[c])
            break;
        h[i] = h[c];
    }
    h[i] = v;
}

static int heap_push(struct sec_bpe_scratch *s, size_t *n, uint64_t v)
{
    if (*n == s->heap_cap) {
        size_t cap = s->heap_cap + s->heap_cap / 2 + 64;
        uint64_t *h = realloc(s->heap, cap * sizeof *h);
        if (!h)
            return sec_fail(SEC_ENOMEM, "tokenizer: no memory for a piece's %zu merges", cap);
        s->heap = h;
        s->heap_cap = cap;
    }
    size_t i = (*n)++;
    for (; i > 0 && s->heap[(i - 1) / 2] > v; i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = v;
    return 0;
}

static int push_pair(const struct sec_tokenizer *t, struct sec_bpe_scratch *s, size_t *n,
                     uint32_t left, uint32_t right)
{
    uint32_t v = sec_bpe_lookup(t, s->ids[left], s->ids[right]);
    return v == SEC_BPE_NONE ? 0 : heap_push(s, n, (uint64_t)(v >> 16) << 32 | left);
}

static int scratch_reserve(struct sec_bpe_scratch *s, size_t n)
{
    if (n <= s->cap)
        return 0;
    sec_bpe_scratch_free(s);
    s->ids = malloc(n * sizeof *s->ids);
    s->next = malloc(n * sizeof *s->next);
    s->prev = malloc(n * sizeof *s->prev);
    if (!s->ids || !s->next || !s->prev) {
        sec_bpe_scratch_free(s);
        return sec_fail(SEC_ENOMEM, "tokenizer: no memory for a piece of %zu bytes", n);
    }
    s->cap = n;
    return 0;
}

/* Linked symbols and a heap of candidate merges; an entry whose pair has changed since is stale. */
static int merge_long(const struct sec_tokenizer *t, struct sec_bpe_scratch *s, size_t n,
                      uint16_t *out, size_t *n_out)
{
    int rc;
    size_t heap_n = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->prev[i] = i ? i - 1 : NO_NODE;
        s->next[i] = i + 1 < n ? i + 1 : NO_NODE;
    }
    for (uint32_t i = 0; i + 1 < n; i++)
        SEC_TRY(push_pair(t, s, &heap_n, i, i + 1));
    while (heap_n) {
        uint32_t rank = (uint32_t)(s->heap[0] >> 32), i = (uint32_t)s->heap[0];
        s->heap[0] = s->heap[--heap_n];
        if (heap_n)
            sift_down(s->heap, heap_n, 0);
        uint32_t j = s->next[i];
        if (s->ids[i] == DEAD || j == NO_NODE)
            continue;
        uint32_t v = sec_bpe_lookup(t, s->ids[i], s->ids[j]);
        if (v == SEC_BPE_NONE || v >> 16 != rank)
            continue;
        s->ids[i] = (uint16_t)v;
        s->ids[j] = DEAD;
        uint32_t after = s->next[i] = s->next[j];
        if (s->prev[i] != NO_NODE)
            SEC_TRY(push_pair(t, s, &heap_n, s->prev[i], i));
        if (after != NO_NODE) {
            s->prev[after] = i;
            SEC_TRY(push_pair(t, s, &heap_n, i, after));
        }
    }
    *n_out = 0;
    for (uint32_t i = 0; i != NO_NODE; i = s->next[i])
        out[(*n_out)++] = s->ids[i];
    rc = 0;
fail:
    return rc;
}

int sec_bpe_merge_piece(const struct sec_tokenizer *t, struct sec_bpe_scratch *s, const uint8_t *p,
                        size_t n, uint16_t *out, size_t *n_out)
{
    if (n <= SHORT_PIECE) {
        for (size_t i = 0; i < n; i++)
            out[i] = t->byte_id[p[i]];
        *n_out = merge_short(t, out, n);
        return 0;
    }
    int rc = scratch_reserve(s, n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        s->ids[i] = t->byte_id[p[i]];
    return merge_long(t, s, n, out, n_out);
}
