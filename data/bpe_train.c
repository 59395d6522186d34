#include "data/bpe_train.h"

#include "base/error.h"
#include "base/log.h"
#include "data/pretok.h"

#include <stdlib.h>

#define N_IDS 65536u

/* A candidate merge: the pair, its count when it was queued, and the words that hold it. A pair is
 * queued once, in the merge that makes its younger half: later merges only make pairs of still
 * younger entries. By the same token no two merges spell the same bytes: a stretch of text whose
 * borders no merge crossed has been merged as if it stood alone. */
struct candidate {
    uint64_t count;
    const uint32_t *words;
    uint32_t pair; /* left << 16 | right */
    uint32_t n_words;
};

/* A distinct piece of at least two bytes: sym[start .. start + len) and how often it occurs. */
struct word {
    uint64_t count;
    size_t start;
    uint32_t len;
};

/* Changes of one kind of neighbour pair during one merge, by the neighbour's id. */
struct changes {
    int64_t *delta;      /* [N_IDS] */
    uint32_t *n_words;   /* [N_IDS] words recorded (new pairs only) */
    uint32_t *last_word; /* [N_IDS] the last of them */
    uint32_t **list;     /* [N_IDS] where the next of them goes */
    uint16_t *touched;
    uint32_t n_touched;
};

enum { GONE_BEFORE, GONE_AFTER, NEW_BEFORE, NEW_AFTER, N_CHANGES };

struct record {
    uint32_t word;
    uint16_t neighbour;
    uint16_t after; /* NEW_AFTER, else NEW_BEFORE */
};

struct learner {
    const struct sec_bpe_options *o;
    uint16_t *sym; /* ids of all words, one word after the other */
    struct word *words;
    uint32_t n_words;
    /* pair -> count, linear probing, at most half full; key 0 (two pads) is free */
    uint32_t *pair_key;
    int64_t *pair_count;
    size_t n_pairs, pair_mask;
    struct candidate *heap;
    size_t heap_n, heap_cap;
    struct changes ch[N_CHANGES];
    struct record *records;
    size_t n_records, records_cap;
    struct sec_arena positions;
    uint32_t *pool;
    size_t pool_left;
    /* the result */
    struct sec_buf bytes;
    uint32_t *off;
    uint32_t n_entries;
    struct sec_bpe_merge *merges;
    uint32_t n_merges;
};

static int no_memory(void)
{
    return sec_fail(SEC_ENOMEM, "tokenizer training: out of memory; train on a sample, or raise "
                                "the memory limit");
}

/* --- pair counts --- */

static size_t pair_slot(const struct learner *l, uint32_t pair)
{
    size_t i = (size_t)((pair * 0x9E3779B97F4A7C15u) >> 24) & l->pair_mask;
    while (l->pair_key[i] && l->pair_key[i] != pair)
        i = (i + 1) & l->pair_mask;
    return i;
}

static int pair_grow(struct learner *l)
{
    size_t old_n = l->pair_mask + 1, n = l->pair_key ? old_n * 2 : 1 << 17;
    uint32_t *old_key = l->pair_key;
    int64_t *old_count = l->pair_count;
    uint32_t *key = calloc(n, sizeof *key);
    int64_t *count = malloc(n * sizeof *count);
    if (!key || !count) {
        free(key);
        free(count);
        return no_memory();
    }
    l->pair_key = key;
    l->pair_count = count;
    l->pair_mask = n - 1;
    for (size_t i = 0; old_key && i < old_n; i++) {
        if (old_key[i]) {
            size_t j = pair_slot(l, old_key[i]);
            key[j] = old_key[i];
            count[j] = old_count[i];
        }
    }
    free(old_key);
    free(old_count);
    return 0;
}

static int pair_add(struct learner *l, uint32_t pair, int64_t delta)
{
    size_t i = pair_slot(l, pair);
    if (l->pair_key[i]) {
        l->pair_count[i] += delta;
        return 0;
    }
    l->pair_key[i] = pair;
    l->pair_count[i] = delta;
    return ++l->n_pairs * 2 > l->pair_mask ? pair_grow(l) : 0;
}

/* --- candidates: a 4-ary max-heap --- */

static bool better(const struct candidate *a, const struct candidate *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    return a->pair < b->pair;
}

static void heap_down(struct learner *l, size_t i)
{
    struct candidate v = l->heap[i];
    for (;;) {
        size_t first = 4 * i + 1, best = first;
        if (first >= l->heap_n)
            break;
        for (size_t c = first + 1; c < first + 4 && c < l->heap_n; c++)
            if (better(&l->heap[c], &l->heap[best]))
                best = c;
        if (!better(&l->heap[best], &v))
            break;
        l->heap[i] = l->heap[best];
        i = best;
    }
    l->heap[i] = v;
}

static int heap_push(struct learner *l, struct candidate v)
{
    if (l->heap_n == l->heap_cap) {
        size_t cap = l->heap_cap * 2 + 4096;
        struct candidate *h = realloc(l->heap, cap * sizeof *h);
        if (!h)
            return no_memory();
        l->heap = h;
        l->heap_cap = cap;
    }
    size_t i = l->heap_n++;
    for (; i > 0 && better(&v, &l->heap[(i - 1) / 4]); i = (i - 1) / 4)
        l->heap[i] = l->heap[(i - 1) / 4];
    l->heap[i] = v;
    return 0;
}

static void heap_pop(struct learner *l)
{
    l->heap[0] = l->heap[--l->heap_n];
    if (l->heap_n)
        heap_down(l, 0);
}

/* Lists of words are made once and never grow: a bump pool, freed at the end. */
static uint32_t *take_positions(struct learner *l, size_t n)
{
    if (n > l->pool_left) {
        size_t block = n > 1 << 18 ? n : 1 << 18;
        l->pool = sec_arena_alloc(&l->positions, block * sizeof *l->pool);
        l->pool_left = l->pool ? block : 0;
        if (!l->pool)
            return NULL;
    }
    uint32_t *p = l->pool;
    l->pool += n;
    l->pool_left -= n;
    return p;
}

/* --- entries --- */

/* The bytes appended at the end of l->bytes become an entry. */
static void settle_entry(struct learner *l)
{
    l->off[++l->n_entries] = (uint32_t)l->bytes.len;
}

static int join_entries(struct learner *l, uint32_t a, uint32_t b)
{
    size_t na = l->off[a + 1] - l->off[a], nb = l->off[b + 1] - l->off[b];
    if (l->bytes.len + na + nb > SEC_BPE_MAX_BYTES)
        return sec_fail(SEC_EDATA,
                        "tokenizer training: the entries would take more than %u MiB; the corpus "
                        "repeats pieces of huge length, clean it first",
                        SEC_BPE_MAX_BYTES >> 20);
    int rc = sec_buf_reserve(&l->bytes, na + nb + 1); /* before taking addresses into it */
    if (rc)
        return rc;
    memcpy(l->bytes.data + l->bytes.len, l->bytes.data + l->off[a], na);
    memcpy(l->bytes.data + l->bytes.len + na, l->bytes.data + l->off[b], nb);
    l->bytes.len += na + nb;
    settle_entry(l);
    return 0;
}

static int init_entries(struct learner *l)
{
    int rc;
    size_t cap = (size_t)l->o->vocab_size;
    l->off = malloc((cap + 1) * sizeof *l->off);
    l->merges = malloc(cap * sizeof *l->merges);
    if (!l->off || !l->merges)
        return no_memory();
    l->off[0] = 0;
    for (int i = 0; i < SEC_TOK_SPECIALS; i++) {
        SEC_TRY(sec_buf_adds(&l->bytes, sec_special_names[i]));
        settle_entry(l);
    }
    uint8_t order[256];
    sec_byte_order(order);
    for (int i = 0; i < 256; i++) {
        SEC_TRY(sec_buf_addc(&l->bytes, (char)order[i]));
        settle_entry(l);
    }
    rc = 0;
fail:
    return rc;
}

/* --- words --- */

static void put_word(struct learner *l, size_t *at, const uint8_t *p, size_t n, uint64_t count,
                     const uint16_t byte_id[256])
{
    if (n < 2)
        return; /* nothing to merge */
    l->words[l->n_words++] = (struct word){count, *at, (uint32_t)n};
    for (size_t i = 0; i < n; i++)
        l->sym[(*at)++] = byte_id[p[i]];
}

static int init_words(struct learner *l, const struct sec_piece_counts *c)
{
    size_t n = c->n_shorts + c->n_longs, total = 0, at = 0;
    if (n >= UINT32_MAX - 1)
        return sec_fail(SEC_EDATA,
                        "tokenizer training: %zu distinct pieces; at most 2^32 are "
                        "supported, train on a sample",
                        n);
    for (size_t i = 0; i >> c->short_bits == 0; i++)
        total += c->shorts[i].key.hi >> 56;
    for (size_t i = 0; i >> c->long_bits == 0; i++)
        total += c->longs[i].n;
    l->sym = malloc((total + 1) * sizeof *l->sym);
    l->words = malloc((n + 1) * sizeof *l->words);
    if (!l->sym || !l->words)
        return no_memory();
    uint8_t order[256];
    uint16_t byte_id[256];
    sec_byte_order(order);
    for (int i = 0; i < 256; i++)
        byte_id[order[i]] = (uint16_t)(SEC_TOK_SPECIALS + i);
    for (size_t i = 0; i >> c->short_bits == 0; i++) {
        const struct sec_short_count *e = &c->shorts[i];
        put_word(l, &at, (const uint8_t *)&e->key, e->key.hi >> 56, e->count, byte_id);
    }
    for (size_t i = 0; i >> c->long_bits == 0; i++)
        put_word(l, &at, c->longs[i].p, c->longs[i].n, c->longs[i].count, byte_id);
    return 0;
}

/* Visit the byte pairs of all words; a word is listed once a pair. Called twice: to count, then
 * (with lists) to fill. index = left << 8 | right, both counted from the first byte's id. */
static void scan_pairs(const struct learner *l, int64_t *count, uint32_t *n_words, uint32_t **lists,
                       uint32_t *last)
{
    memset(last, 0, N_IDS * sizeof *last);
    for (uint32_t w = 0; w < l->n_words; w++) {
        const uint16_t *s = l->sym + l->words[w].start;
        for (uint32_t i = 0; i + 1 < l->words[w].len; i++) {
            uint32_t k = (uint32_t)(s[i] - SEC_TOK_SPECIALS) << 8 | (s[i + 1] - SEC_TOK_SPECIALS);
            if (!lists)
                count[k] += (int64_t)l->words[w].count;
            if (last[k] == w + 1)
                continue;
            last[k] = w + 1;
            if (lists)
                *lists[k]++ = w;
            else
                n_words[k]++;
        }
    }
}

static int init_pairs(struct learner *l)
{
    int rc = 0;
    int64_t *count = calloc(N_IDS, sizeof *count);
    uint32_t *n = calloc(N_IDS, sizeof *n), *last = malloc(N_IDS * sizeof *last);
    uint32_t **lists = calloc(N_IDS, sizeof *lists);
    if (!count || !n || !last || !lists) {
        rc = no_memory();
        goto fail;
    }
    scan_pairs(l, count, n, NULL, last);
    for (uint32_t k = 0; k < N_IDS; k++) {
        if (!n[k])
            continue;
        lists[k] = take_positions(l, n[k]);
        if (!lists[k]) {
            rc = no_memory();
            goto fail;
        }
        uint32_t pair = ((k >> 8) + SEC_TOK_SPECIALS) << 16 | ((k & 255) + SEC_TOK_SPECIALS);
        struct candidate c = {(uint64_t)count[k], lists[k], pair, n[k]};
        SEC_TRY(pair_add(l, pair, count[k]));
        SEC_TRY(heap_push(l, c));
    }
    scan_pairs(l, NULL, NULL, lists, last);
fail:
    free(count);
    free(n);
    free(last);
    free(lists);
    return rc;
}

static int init_changes(struct learner *l)
{
    for (int k = 0; k < N_CHANGES; k++) {
        struct changes *c = &l->ch[k];
        c->delta = calloc(N_IDS, sizeof *c->delta);
        c->n_words = calloc(N_IDS, sizeof *c->n_words);
        c->last_word = calloc(N_IDS, sizeof *c->last_word);
        c->list = calloc(N_IDS, sizeof *c->list);
        c->touched = malloc(N_IDS * sizeof *c->touched);
        if (!c->delta || !c->n_words || !c->last_word || !c->list || !c->touched)
            return no_memory();
    }
    return 0;
}

/* --- one merge --- */

static inline void change(struct changes *c, uint16_t neighbour, uint64_t count)
{
    if (!c->delta[neighbour])
        c->touched[c->n_touched++] = neighbour;
    c->delta[neighbour] += (int64_t)count;
}

static int record(struct learner *l, int kind, uint16_t neighbour, uint32_t w)
{
    struct changes *c = &l->ch[kind];
    change(c, neighbour, l->words[w].count);
    if (c->n_words[neighbour] && c->last_word[neighbour] == w)
        return 0;
    c->n_words[neighbour]++;
    c->last_word[neighbour] = w;
    if (l->n_records == l->records_cap) {
        size_t cap = l->records_cap * 2 + 4096;
        struct record *r = realloc(l->records, cap * sizeof *r);
        if (!r)
            return no_memory();
        l->records = r;
        l->records_cap = cap;
    }
    l->records[l->n_records++] = (struct record){w, neighbour, kind == NEW_AFTER};
    return 0;
}

/* Merge a b -> id in word w, left to right, in place; note which neighbour pairs go and come. */
static int merge_word(struct learner *l, uint32_t w, uint16_t a, uint16_t b, uint16_t id)
{
    uint16_t *s = l->sym + l->words[w].start;
    uint32_t n = l->words[w].len, out = 0;
    uint64_t count = l->words[w].count;
    int rc;
    for (uint32_t i = 0; i < n;) {
        if (s[i] != a || i + 1 >= n || s[i + 1] != b) {
            s[out++] = s[i++];
            continue;
        }
        i += 2;
        if (out) {
            uint16_t before = s[out - 1];
            change(&l->ch[GONE_BEFORE], before, count);
            SEC_TRY(record(l, before == id ? NEW_AFTER : NEW_BEFORE, before, w));
        }
        s[out++] = id;
        if (i < n) {
            change(&l->ch[GONE_AFTER], s[i], count);
            SEC_TRY(record(l, NEW_AFTER, s[i], w));
        }
    }
    l->words[w].len = out;
    rc = 0;
fail:
    return rc;
}

static uint32_t changed_pair(int kind, uint16_t neighbour, const struct sec_bpe_merge *m)
{
    switch (kind) {
    case GONE_BEFORE:
        return (uint32_t)neighbour << 16 | m->a;
    case GONE_AFTER:
        return (uint32_t)m->b << 16 | neighbour;
    case NEW_BEFORE:
        return (uint32_t)neighbour << 16 | m->id;
    default:
        return (uint32_t)m->id << 16 | neighbour;
    }
}

static int book_changes(struct learner *l, const struct sec_bpe_merge *m)
{
    for (int k = 0; k < N_CHANGES; k++) {
        struct changes *c = &l->ch[k];
        for (uint32_t i = 0; i < c->n_touched; i++) {
            int64_t d = c->delta[c->touched[i]];
            int rc = pair_add(l, changed_pair(k, c->touched[i], m), k <= GONE_AFTER ? -d : d);
            if (rc)
                return rc;
        }
    }
    return 0;
}

/* Queue every pair that came into being somewhere, with the words where it did. */
static int queue_new_pairs(struct learner *l, const struct sec_bpe_merge *m)
{
    for (int k = NEW_BEFORE; k <= NEW_AFTER; k++) {
        struct changes *c = &l->ch[k];
        for (uint32_t i = 0; i < c->n_touched; i++) {
            uint16_t x = c->touched[i];
            uint32_t pair = changed_pair(k, x, m), n = c->n_words[x];
            int64_t count = l->pair_count[pair_slot(l, pair)];
            uint32_t *list = c->list[x] = take_positions(l, n);
            struct candidate v = {(uint64_t)count, list, pair, n};
            if (!list)
                return no_memory();
            if (count <= 0)
                continue;
            int rc = heap_push(l, v);
            if (rc)
                return rc;
        }
    }
    for (size_t i = 0; i < l->n_records; i++) {
        struct record r = l->records[i];
        *l->ch[r.after ? NEW_AFTER : NEW_BEFORE].list[r.neighbour]++ = r.word;
    }
    return 0;
}

static void forget_changes(struct learner *l)
{
    for (int k = 0; k < N_CHANGES; k++) {
        struct changes *c = &l->ch[k];
        for (uint32_t i = 0; i < c->n_touched; i++) {
            c->delta[c->touched[i]] = 0;
            c->n_words[c->touched[i]] = 0;
        }
        c->n_touched = 0;
    }
    l->n_records = 0;
}

static int do_merge(struct learner *l, const struct candidate *c)
{
    int rc;
    struct sec_bpe_merge *m = &l->merges[l->n_merges++];
    m->a = (uint16_t)(c->pair >> 16);
    m->b = (uint16_t)c->pair;
    m->id = (uint16_t)l->n_entries;
    SEC_TRY(join_entries(l, m->a, m->b));
    for (uint32_t i = 0; i < c->n_words; i++) {
        /* Words lie anywhere in memory: fetch their records, then their symbols, ahead of use. */
        if (i + 16 < c->n_words)
            __builtin_prefetch(&l->words[c->words[i + 16]]);
        if (i + 8 < c->n_words)
            __builtin_prefetch(l->sym + l->words[c->words[i + 8]].start, 1);
        SEC_TRY(merge_word(l, c->words[i], m->a, m->b, m->id));
    }
    SEC_TRY(book_changes(l, m));
    SEC_TRY(queue_new_pairs(l, m));
    forget_changes(l);
fail:
    return rc;
}

static int learn(struct learner *l)
{
    double start = sec_now();
    uint64_t least = l->o->min_frequency > 1 ? l->o->min_frequency : 1;
    while (l->n_entries < (uint32_t)l->o->vocab_size && l->heap_n) {
        struct candidate top = l->heap[0];
        uint64_t now = (uint64_t)l->pair_count[pair_slot(l, top.pair)];
        if (top.count != now) {
            l->heap[0].count = now; /* stale: back to its place */
            heap_down(l, 0);
            continue;
        }
        if (top.count < least)
            break;
        heap_pop(l);
        int rc = do_merge(l, &top);
        if (rc)
            return rc;
        if (l->n_entries % 64 == 0 && sec_now() - start > 1)
            sec_progress("merges: %u of %d entries, best count %llu", l->n_entries,
                         l->o->vocab_size, (unsigned long long)top.count);
    }
    sec_progress_done();
    return 0;
}

static void learner_free(struct learner *l)
{
    for (int k = 0; k < N_CHANGES; k++) {
        free(l->ch[k].delta);
        free(l->ch[k].n_words);
        free(l->ch[k].last_word);
        free(l->ch[k].list);
        free(l->ch[k].touched);
    }
    free(l->sym);
    free(l->words);
    free(l->pair_key);
    free(l->pair_count);
    free(l->heap);
    free(l->records);
    sec_arena_free(&l->positions);
    sec_buf_free(&l->bytes);
    free(l->off);
    free(l->merges);
}

int sec_bpe_learn(const struct sec_piece_counts *counts, const struct sec_bpe_options *o,
                  struct sec_tokenizer **out)
{
    int rc;
    struct learner l = {.o = o};
    sec_arena_init(&l.positions, 1 << 20);
    SEC_TRY(init_entries(&l));
    SEC_TRY(init_words(&l, counts));
    SEC_TRY(pair_grow(&l));
    SEC_TRY(init_pairs(&l));
    SEC_TRY(init_changes(&l));
    SEC_TRY(learn(&l));
    rc = sec_tokenizer_build((int)l.n_entries, o->pretok, (uint8_t *)l.bytes.data, l.off, l.merges,
                             l.n_merges, "tokenizer training", out);
    l.bytes = (struct sec_buf){0}; /* handed over */
    l.off = NULL;
    l.merges = NULL;
fail:
    learner_free(&l);
    return rc;
}
