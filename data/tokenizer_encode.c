/* Encoding: pieces from data/pretok.h, their ids from a cache or from data/bpe_merge.c. */
#include "base/error.h"
#include "base/hash.h"
#include "data/bpe_model.h"
#include "data/bpe_piece.h"
#include "data/pretok.h"

#include <stdlib.h>

#define BATCH         512
#define AHEAD         64 /* pieces whose cache sets are fetched together */
#define SHORT_IDS     7
#define SHORT_BUCKETS 16384u
#define LONG_BYTES    256
#define LONG_IDS      126 /* 512 bytes an entry */
#define LONG_ENTRIES  4096u

/* ids[SHORT_IDS] holds their number, so that one copy of constant size moves everything. */
struct short_entry {
    struct sec_piece_key key;
    uint16_t ids[SHORT_IDS + 1];
};
/* Two-way set: the newer piece first. A zero key is an empty entry. */
struct short_bucket {
    struct short_entry way[2];
};

struct long_entry {
    uint8_t bytes[LONG_BYTES];
    uint16_t ids[LONG_IDS];
    uint16_t len, n;
};

struct sec_encoder_ctx {
    const struct sec_tokenizer *t;
    struct short_bucket *shorts;
    struct long_entry *longs;
    struct sec_bpe_scratch scratch;
    uint32_t ends[BATCH];
    struct sec_piece_key ahead_key[AHEAD];
    struct short_bucket *ahead_set[AHEAD];
};

/* Growing list of ids owned by the caller of sec_encode(). */
struct sink {
    uint16_t **ids;
    size_t *len, *cap;
};

struct sec_encoder_ctx *sec_encoder_ctx_new(const struct sec_tokenizer *t)
{
    struct sec_encoder_ctx *c = calloc(1, sizeof *c);
    if (c) {
        c->t = t;
        c->shorts = sec_alloc_aligned(SHORT_BUCKETS * sizeof *c->shorts);
        c->longs = sec_alloc_aligned(LONG_ENTRIES * sizeof *c->longs);
    }
    if (!c || !c->shorts || !c->longs) {
        sec_encoder_ctx_free(c);
        sec_fail(SEC_ENOMEM, "tokenizer: no memory for an encoder's cache");
        return NULL;
    }
    memset(c->shorts, 0, SHORT_BUCKETS * sizeof *c->shorts);
    memset(c->longs, 0, LONG_ENTRIES * sizeof *c->longs);
    return c;
}

void sec_encoder_ctx_free(struct sec_encoder_ctx *c)
{
    if (!c)
        return;
    sec_free_aligned(c->shorts);
    sec_free_aligned(c->longs);
    sec_bpe_scratch_free(&c->scratch);
    free(c);
}

static int sink_reserve(struct sink *s, size_t extra)
{
    if (*s->cap - *s->len >= extra)
        return 0;
    size_t cap = *s->len + *s->len / 2 + extra;
    uint16_t *v = realloc(*s->ids, cap * sizeof *v);
    if (!v)
        return sec_fail(SEC_ENOMEM, "tokenizer: no memory for %zu ids", cap);
    *s->ids = v;
    *s->cap = cap;
    return 0;
}

/* A piece that the short cache cannot hold. out has room for n ids; returns their number or an
 * error, as the functions below do. */
static int64_t encode_long(struct sec_encoder_ctx *c, const uint8_t *p, size_t n, uint16_t *out)
{
    struct long_entry *e = NULL;
    if (n <= LONG_BYTES) {
        e = &c->longs[sec_hash64(p, n, 0) % LONG_ENTRIES];
        if (e->len == n && memcmp(e->bytes, p, n) == 0) {
            memcpy(out, e->ids, e->n * sizeof *out);
            return e->n;
        }
    }
    size_t got;
    int rc = sec_bpe_merge_piece(c->t, &c->scratch, p, n, out, &got);
    if (rc)
        return rc;
    if (e && got <= LONG_IDS) {
        memcpy(e->bytes, p, n);
        memcpy(e->ids, out, got * sizeof *out);
        e->len = (uint16_t)n;
        e->n = (uint16_t)got;
    }
    return (int64_t)got;
}

/* Everything but a hit in the short cache; kept out of the hot loop, whose variables then stay in
 * registers. */
static __attribute__((noinline)) int64_t encode_miss(struct sec_encoder_ctx *c,
                                                     struct short_bucket *b,
                                                     struct sec_piece_key key, const uint8_t *p,
                                                     size_t n, uint16_t *out)
{
    int64_t got = encode_long(c, p, n, out);
    if (got > 0 && got <= SHORT_IDS && n <= SEC_PIECE_SHORT) {
        b->way[1] = b->way[0];
        b->way[0].key = key;
        b->way[0].ids[SHORT_IDS] = (uint16_t)got;
        memcpy(b->way[0].ids, out, (size_t)got * sizeof *out);
    }
    return got;
}

/* Keys and sets of the next pieces, found ahead of their use: this loop has no branch that depends
 * on the text, so the memory accesses of many pieces overlap. Nobody uses a long piece's key. */
static void look_ahead(struct sec_encoder_ctx *c, const uint8_t *p, size_t n, size_t start,
                       size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        size_t len = c->ends[i] - start;
        len = len < SEC_PIECE_SHORT ? len : SEC_PIECE_SHORT;
        struct sec_piece_key key = sec_piece_key(p + start, len, n - start);
        struct short_bucket *b = &c->shorts[sec_piece_hash(key) % SHORT_BUCKETS];
        __builtin_prefetch(b);
        c->ahead_key[i - first] = key;
        c->ahead_set[i - first] = b;
        start = c->ends[i];
    }
}

static inline bool same_key(const struct short_entry *e, struct sec_piece_key k)
{
    return !((e->key.lo ^ k.lo) | (e->key.hi ^ k.hi));
}

/* One batch of pieces, c->ends[0..k), of p[0..n). The sink has room for a full entry beyond the
 * worst case of an id a byte. */
static int encode_pieces(struct sec_encoder_ctx *c, const uint8_t *p, size_t n, size_t k,
                         struct sink *s)
{
    uint16_t *out = *s->ids + *s->len;
    size_t start = 0;
    for (size_t i = 0; i < k; i++) {
        if (i % AHEAD == 0)
            look_ahead(c, p, n, start, i, i + AHEAD < k ? i + AHEAD : k);
        size_t len = c->ends[i] - start;
        struct sec_piece_key key = c->ahead_key[i % AHEAD];
        struct short_bucket *b = c->ahead_set[i % AHEAD];
        const struct short_entry *e = &b->way[!same_key(&b->way[0], key)];
        if (len <= SEC_PIECE_SHORT && same_key(e, key)) {
            memcpy(out, e->ids, sizeof e->ids); /* of constant size, whatever their number */
            out += e->ids[SHORT_IDS];
        } else {
            int64_t got = encode_miss(c, b, key, p + start, len, out);
            if (got < 0)
                return (int)got;
            out += got;
        }
        start = c->ends[i];
    }
    *s->len = (size_t)(out - *s->ids);
    return 0;
}

static int encode_text(struct sec_encoder_ctx *c, const uint8_t *p, size_t n, struct sink *s)
{
    int rc;
    while (n) {
        size_t k = sec_pretok_batch(c->t->pretok, p, n, c->ends, BATCH);
        size_t used = c->ends[k - 1];
        SEC_TRY(sink_reserve(s, used + SHORT_IDS + 1));
        SEC_TRY(encode_pieces(c, p, n, k, s));
        p += used;
        n -= used;
    }
    rc = 0;
fail:
    return rc;
}

/* Id of the special token whose name begins p[0..n), or -1. */
static int special_at(const uint8_t *p, size_t n, size_t *len)
{
    for (int i = 0; i < SEC_TOK_SPECIALS; i++) {
        *len = strlen(sec_special_names[i]);
        if (n >= *len && memcmp(p, sec_special_names[i], *len) == 0)
            return i;
    }
    return -1;
}

static int encode_with_specials(struct sec_encoder_ctx *c, const uint8_t *p, size_t n,
                                struct sink *s)
{
    int rc;
    size_t start = 0, len = 0;
    for (size_t i = 0; i < n;) {
        const uint8_t *hit = memchr(p + i, '[', n - i);
        if (!hit)
            break;
        i = (size_t)(hit - p);
        int id = special_at(hit, n - i, &len);
        if (id < 0) {
            i++;
            continue;
        }
        SEC_TRY(encode_text(c, p + start, i - start, s));
        SEC_TRY(sink_reserve(s, 1));
        (*s->ids)[(*s->len)++] = (uint16_t)id;
        i += len;
        start = i;
    }
    rc = encode_text(c, p + start, n - start, s);
fail:
    return rc;
}

int sec_encode(struct sec_encoder_ctx *c, const char *text, size_t n, unsigned flags,
               uint16_t **out, size_t *len, size_t *cap)
{
    struct sink s = {out, len, cap};
    const uint8_t *p = (const uint8_t *)text;
    if (n > UINT32_MAX)
        return sec_fail(SEC_EDATA, "tokenizer: a text of %zu bytes; one call takes at most 4 GiB",
                        n);
    return flags & SEC_ENCODE_SPECIALS ? encode_with_specials(c, p, n, &s)
                                       : encode_text(c, p, n, &s);
}

int sec_encode_offsets(struct sec_encoder_ctx *c, const char *text, size_t n, unsigned flags,
                       uint16_t **out, uint32_t **offsets, size_t *len, size_t *cap)
{
    size_t before = *len, old_cap = *cap;
    int rc = sec_encode(c, text, n, flags, out, len, cap);
    if (rc)
        return rc;
    if (*cap != old_cap || !*offsets) {
        uint32_t *v = realloc(*offsets, (*cap ? *cap : 1) * sizeof *v);
        if (!v) {
            *len = before;
            return sec_fail(SEC_ENOMEM, "tokenizer: no memory for %zu offsets", *cap);
        }
        *offsets = v;
    }
    /* Entries spell out the text without gaps, so lengths add up to offsets. */
    uint32_t at = 0;
    for (size_t i = before; i < *len; i++) {
        uint16_t id = (*out)[i];
        (*offsets)[i] = at;
        at += c->t->off[id + 1] - c->t->off[id];
    }
    return 0;
}

int sec_decode(const struct sec_tokenizer *t, const uint16_t *ids, size_t n, bool skip_specials,
               struct sec_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= t->vocab_size)
            return sec_fail(SEC_EDATA,
                            "id %u at position %zu is outside the vocabulary of %d entries", ids[i],
                            i, t->vocab_size);
        if (skip_specials && ids[i] < SEC_TOK_SPECIALS)
            continue;
        size_t len;
        const uint8_t *p = sec_tokenizer_bytes(t, ids[i], &len);
        int rc = sec_buf_add(out, p, len);
        if (rc)
            return rc;
    }
    return 0;
}
