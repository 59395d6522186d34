#include "data/order.h"

#include "base/error.h"
#include "base/rng.h"
#include "data/tokshard_reader.h"

#include <stdlib.h>

enum { DOCS = 512 }; /* looked up at once */
#define WINDOW_TOKENS ((uint64_t)SEC_ORDER_WINDOW * SEC_TOK_CHUNK)

struct window {
    uint64_t first_doc; /* first document with a piece that starts here */
    uint32_t n;         /* samples */
    uint32_t chunks;    /* that they touch */
};

struct sec_order {
    const struct sec_tokens *tokens;
    uint64_t seed, total, n_windows;
    uint32_t piece_len, largest, span;
    struct window *windows;
};

void sec_perm_init(struct sec_perm *p, uint64_t n, uint64_t seed, uint64_t index, uint32_t sub)
{
    p->n = n;
    p->half = 1;
    while (p->half < 32 && n > UINT64_C(1) << (2 * p->half))
        p->half++;
    sec_rand4(seed, SEC_STREAM_ORDER, index, sub, p->key);
    sec_rand4(seed, SEC_STREAM_ORDER, index, sub + 1, p->key + 4);
}

static uint32_t round_function(uint32_t x, uint32_t key)
{
    x = (x ^ key) * 0x9E3779B1u;
    x = (x ^ x >> 15) * 0x85EBCA77u;
    return x ^ x >> 13;
}

uint64_t sec_perm_at(const struct sec_perm *p, uint64_t i)
{
    const uint32_t mask = (uint32_t)((UINT64_C(1) << p->half) - 1);
    do {
        uint32_t left = (uint32_t)(i >> p->half), right = (uint32_t)i & mask;
        for (int r = 0; r < 8; r++) {
            uint32_t next = left ^ (round_function(right, p->key[r]) & mask);
            left = right;
            right = next;
        }
        i = (uint64_t)left << p->half | right;
    } while (i >= p->n);
    return i;
}

/* Count a document of len tokens at position `at` in the windows its pieces start in. */
static void count_doc(struct sec_order *o, uint64_t doc, uint64_t at, uint32_t len)
{
    for (uint32_t first = 0; first < len; first += o->piece_len) {
        struct window *w = &o->windows[(at + first) / WINDOW_TOKENS];
        uint32_t n = len - first < o->piece_len ? len - first : o->piece_len;
        uint64_t last_chunk = (at + first + n - 1) / SEC_TOK_CHUNK;
        uint32_t chunks =
            (uint32_t)(last_chunk - (uint64_t)(w - o->windows) * SEC_ORDER_WINDOW + 1);
        if (!w->n)
            w->first_doc = doc;
        w->n++;
        w->chunks = chunks > w->chunks ? chunks : w->chunks;
        o->largest = w->n > o->largest ? w->n : o->largest;
        o->span = w->chunks > o->span ? w->chunks : o->span;
        o->total++;
        if (len - first <= o->piece_len)
            break; /* also keeps `first` from wrapping */
    }
}

int sec_order_new(const struct sec_tokens *t, uint64_t seed, int seq_len, struct sec_order **out)
{
    const struct sec_tokens_info *info = sec_tokens_info(t);
    struct sec_order *o = calloc(1, sizeof *o);
    if (!o)
        return sec_fail(SEC_ENOMEM, "no memory for the sample order");
    o->tokens = t;
    o->seed = seed;
    o->piece_len = (uint32_t)seq_len - 2;
    o->n_windows = (info->n_chunks + SEC_ORDER_WINDOW - 1) / SEC_ORDER_WINDOW;
    o->windows = calloc(o->n_windows, sizeof *o->windows);
    if (!o->windows) {
        free(o);
        return sec_fail(SEC_ENOMEM, "no memory for %llu windows of the sample order",
                        (unsigned long long)info->n_chunks / SEC_ORDER_WINDOW + 1);
    }
    struct sec_docpos pos[DOCS];
    for (uint64_t d = 0; d < info->n_docs; d += DOCS) {
        uint64_t n = info->n_docs - d < DOCS ? info->n_docs - d : DOCS;
        int rc = sec_tokens_docpos(t, d, n, pos);
        if (rc) {
            sec_order_free(o);
            return rc;
        }
        for (uint64_t i = 0; i < n; i++)
            count_doc(o, d + i, pos[i].at, pos[i].len);
    }
    *out = o;
    return 0;
}

void sec_order_free(struct sec_order *o)
{
    if (!o)
        return;
    free(o->windows);
    free(o);
}

uint64_t sec_order_total(const struct sec_order *o)
{
    return o->total;
}

uint64_t sec_order_windows(const struct sec_order *o)
{
    return o->n_windows;
}

uint32_t sec_order_window_size(const struct sec_order *o, uint64_t w)
{
    return o->windows[w].n;
}

uint32_t sec_order_largest(const struct sec_order *o)
{
    return o->largest;
}

uint32_t sec_order_span(const struct sec_order *o)
{
    return o->span;
}

void sec_order_epoch(const struct sec_order *o, uint64_t epoch, struct sec_perm *windows)
{
    sec_perm_init(windows, o->n_windows, o->seed, epoch << 32, 0);
}

void sec_order_within(const struct sec_order *o, uint64_t epoch, uint64_t w,
                      struct sec_perm *samples)
{
    sec_perm_init(samples, o->windows[w].n, o->seed, epoch << 32 | w, 2);
}

uint32_t sec_order_chunks(const struct sec_order *o, uint64_t w)
{
    return o->windows[w].chunks;
}

/* The pieces of one document that start in the window, to out[n..]; returns their new number, or -1
 * if they do not lie where they were counted. */
static int64_t doc_pieces(const struct sec_order *o, uint64_t w, uint64_t doc,
                          const struct sec_docpos *pos, struct sec_piece *out, int64_t n)
{
    const struct window *win = &o->windows[w];
    const uint64_t start = w * WINDOW_TOKENS, end = start + WINDOW_TOKENS;
    uint32_t first = 0;
    if (pos->at < start) /* pieces before the window */
        first = (uint32_t)((start - pos->at + o->piece_len - 1) / o->piece_len) * o->piece_len;
    while (first < pos->len && pos->at + first < end) {
        uint32_t left = pos->len - first, k = left < o->piece_len ? left : o->piece_len;
        uint64_t at = pos->at + first - start;
        if (n == win->n || at + k > (uint64_t)win->chunks * SEC_TOK_CHUNK)
            return -1;
        out[n++] = (struct sec_piece){doc, first, (uint32_t)at, k};
        if (left <= o->piece_len)
            break;
        first += o->piece_len;
    }
    return n;
}

int sec_order_pieces(const struct sec_order *o, uint64_t w, struct sec_piece *out)
{
    const struct window *win = &o->windows[w];
    const uint64_t n_docs = sec_tokens_info(o->tokens)->n_docs;
    struct sec_docpos pos[DOCS];
    int64_t n = 0;
    for (uint64_t d = win->first_doc; n >= 0 && n < win->n && d < n_docs;) {
        uint64_t k = n_docs - d, left = (uint64_t)(win->n - n); /* each has a piece here */
        k = k < left ? k : left;
        k = k < DOCS ? k : DOCS;
        int rc = sec_tokens_docpos(o->tokens, d, k, pos);
        if (rc)
            return rc;
        for (uint64_t i = 0; i < k && n >= 0; i++)
            n = doc_pieces(o, w, d + i, &pos[i], out, n);
        d += k;
    }
    if (n != win->n)
        return sec_fail(SEC_EDATA,
                        "%s: the documents of chunks %llu to %llu are not those of the start; the "
                        "data set was changed while in use",
                        sec_tokens_info(o->tokens)->dir, (unsigned long long)w * SEC_ORDER_WINDOW,
                        (unsigned long long)(w + 1) * SEC_ORDER_WINDOW - 1);
    return 0;
}

void sec_order_find(const struct sec_order *o, uint64_t epoch, uint64_t i, uint64_t *rank,
                    uint32_t *index)
{
    struct sec_perm p;
    sec_order_epoch(o, epoch, &p);
    for (uint64_t r = 0; r < o->n_windows; r++) {
        uint32_t n = o->windows[sec_perm_at(&p, r)].n;
        if (i < n) {
            *rank = r;
            *index = (uint32_t)i;
            return;
        }
        i -= n;
    }
    *rank = o->n_windows;
    *index = 0;
}
