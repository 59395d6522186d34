#include "data/corpus_stores.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sec_stores_init(struct sec_stores *s, const struct sec_corpus_work *w)
{
    memset(s, 0, sizeof *s);
    s->w = w;
    for (int r = 0; r < SEC_STORE_READERS; r++)
        s->reader[r].frame = UINT64_MAX;
}

static void close_place(struct sec_stores *s, int i)
{
    /* Another store may come to lie at the same address. */
    for (int r = 0; r < SEC_STORE_READERS; r++)
        if (s->reader[r].store == s->v[i].store) {
            s->reader[r].store = NULL;
            s->reader[r].frame = UINT64_MAX;
        }
    sec_docstore_close(s->v[i].store);
    s->v[i].store = NULL;
    if (s->v[i].sketches >= 0)
        close(s->v[i].sketches);
    free(s->v[i].path);
    s->v[i].path = NULL;
}

static int open_store(struct sec_stores *s, size_t task, int *place)
{
    struct sec_docstore *store;
    int at = 0;
    s->clock++;
    for (int i = 0; i < SEC_OPEN_STORES; i++) {
        if (s->v[i].store && s->v[i].task == task) {
            s->v[i].used = s->clock;
            *place = i;
            return 0;
        }
        if (!s->v[i].store || (s->v[at].store && s->v[i].used < s->v[at].used))
            at = i;
    }
    if (s->v[at].store)
        close_place(s, at);
    char *name = sec_work_path(s->w, "docs", task, "");
    if (!name)
        return SEC_ENOMEM;
    int rc = sec_docstore_open(name, &store);
    free(name);
    if (rc)
        return rc;
    *place = at;
    s->v[at].store = store;
    s->v[at].sketches = -1;
    s->v[at].task = task;
    s->v[at].used = s->clock;
    return 0;
}

int sec_stores_get(struct sec_stores *s, uint64_t document, int r, struct sec_docrow *row,
                   const char **text)
{
    int at;
    struct sec_docrow unused;
    int rc = open_store(s, sec_key_task(document), &at);
    return rc ? rc
              : sec_docstore_get(s->v[at].store, &s->reader[r], sec_key_number(document),
                                 row ? row : &unused, text);
}

int sec_stores_sketch(struct sec_stores *s, uint64_t document, uint8_t sketch[SEC_MINHASH_N])
{
    int at;
    size_t task = sec_key_task(document);
    int rc = open_store(s, task, &at);
    if (rc)
        return rc;
    if (s->v[at].sketches < 0) {
        if (!s->v[at].path)
            s->v[at].path = sec_work_path(s->w, "bands", task, "sketch");
        if (!s->v[at].path)
            return SEC_ENOMEM;
        s->v[at].sketches = open(s->v[at].path, O_RDONLY | O_CLOEXEC);
        if (s->v[at].sketches < 0)
            return sec_fail_errno(errno, "cannot open %s", s->v[at].path);
    }
    return sec_sketch_read(s->v[at].sketches, s->v[at].path, sec_key_number(document), sketch);
}

static uint64_t spread(uint64_t document)
{
    return document * UINT64_C(0x9E3779B97F4A7C15) >> 32;
}

static int make_kept(struct sec_stores *s)
{
    s->sketches = malloc(SEC_KEPT_SKETCHES * sizeof *s->sketches);
    if (!s->sketches)
        return sec_fail(SEC_ENOMEM, "out of memory for sketches");
    for (size_t i = 0; i < SEC_KEPT_SKETCHES; i++)
        s->sketches[i].document = UINT64_MAX;
    return 0;
}

/* The document's place among the kept ones, filled. */
static int get_sketch(struct sec_stores *s, uint64_t document, const struct sec_kept_sketch **out)
{
    struct sec_kept_sketch *k = &s->sketches[spread(document) % SEC_KEPT_SKETCHES];
    *out = k;
    if (k->document == document)
        return 0;
    k->document = UINT64_MAX;
    int rc = sec_stores_sketch(s, document, k->v);
    if (!rc)
        k->document = document;
    return rc;
}

int sec_stores_estimate(struct sec_stores *s, uint64_t a, uint64_t b, double *similarity)
{
    int rc = 0;
    const struct sec_kept_sketch *x, *y;
    struct sec_kept_sketch copy;
    if (!s->sketches)
        SEC_TRY(make_kept(s));
    SEC_TRY(get_sketch(s, a, &x));
    copy = *x; /* b may have the same place */
    SEC_TRY(get_sketch(s, b, &y));
    *similarity = sec_sketch_similarity(copy.v, y->v);
fail:
    return rc;
}

void sec_stores_free(struct sec_stores *s)
{
    for (int i = 0; i < SEC_OPEN_STORES; i++)
        if (s->v[i].store)
            close_place(s, i);
    for (int r = 0; r < SEC_STORE_READERS; r++)
        sec_docreader_free(&s->reader[r]);
    free(s->sketches);
}

/* Sets in a chained hash table, and in a list by last use. */
struct entry {
    uint64_t document;
    struct sec_shingle_set set;
    struct entry *chain, *newer, *older;
};

struct sec_set_cache {
    struct sec_stores stores;
    struct sec_shingler shingler;
    struct entry **table;
    size_t mask, n, used, memory;
    struct entry *newest, *oldest;
    struct entry *current; /* of the document in turn: it is not asked for again, so it takes no
                              room of others; NULL = none */
};

enum { LEAST_ENTRIES = 2, BYTES_A_SLOT = 4096 };

int sec_set_cache_new(const struct sec_corpus_work *w, size_t memory, struct sec_set_cache **out)
{
    struct sec_set_cache *c = calloc(1, sizeof *c);
    *out = c;
    if (!c)
        return sec_fail(SEC_ENOMEM, "out of memory for shingle sets");
    size_t slots = 64;
    while (slots < memory / BYTES_A_SLOT)
        slots *= 2;
    sec_stores_init(&c->stores, w);
    c->memory = memory;
    c->mask = slots - 1;
    c->table = calloc(slots, sizeof *c->table);
    if (c->table)
        return 0;
    free(c);
    *out = NULL;
    return sec_fail(SEC_ENOMEM, "out of memory for shingle sets");
}

static struct entry **bucket(struct sec_set_cache *c, uint64_t document)
{
    return &c->table[spread(document) & c->mask];
}

static void unlink_entry(struct sec_set_cache *c, struct entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void make_newest(struct sec_set_cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static size_t entry_bytes(const struct entry *e)
{
    return sizeof *e + sec_shingle_set_bytes(&e->set);
}

static void drop_oldest(struct sec_set_cache *c)
{
    struct entry *e = c->oldest, **at = bucket(c, e->document);
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlink_entry(c, e);
    c->used -= entry_bytes(e);
    c->n--;
    sec_shingle_set_free(&e->set);
    free(e);
}

static void delete_entry(struct entry *e)
{
    if (e)
        sec_shingle_set_free(&e->set);
    free(e);
}

static int make_entry(struct sec_set_cache *c, uint64_t document, int r, struct entry **out)
{
    int rc;
    const char *text;
    struct sec_docrow row;
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return sec_fail(SEC_ENOMEM, "out of memory for a shingle set");
    SEC_TRY(sec_stores_get(&c->stores, document, r, &row, &text));
    SEC_TRY(sec_shingle(&c->shingler, &c->stores.w->o->near, text, row.len));
    SEC_TRY(sec_shingle_set_make(c->shingler.hash, c->shingler.n, &e->set));
    e->document = document;
    *out = e;
    return 0;
fail:
    free(e);
    return rc;
}

static void add_entry(struct sec_set_cache *c, struct entry *e)
{
    struct entry **at = bucket(c, e->document);
    e->chain = *at;
    *at = e;
    make_newest(c, e);
    c->used += entry_bytes(e);
    c->n++;
    while (c->used > c->memory && c->n > LEAST_ENTRIES)
        drop_oldest(c);
}

static int get_current(struct sec_set_cache *c, uint64_t document, struct entry **out)
{
    int rc = 0;
    if (!c->current || c->current->document != document) {
        delete_entry(c->current);
        c->current = NULL;
        rc = make_entry(c, document, 0, &c->current);
    }
    *out = c->current;
    return rc;
}

int sec_set_cache_get(struct sec_set_cache *c, uint64_t document, int r,
                      const struct sec_shingle_set **set)
{
    int rc = 0;
    struct entry *e = *bucket(c, document);
    while (e && e->document != document)
        e = e->chain;
    if (e) {
        unlink_entry(c, e);
        make_newest(c, e);
    } else if (r == 0) {
        SEC_TRY(get_current(c, document, &e));
    } else {
        SEC_TRY(make_entry(c, document, r, &e));
        add_entry(c, e);
    }
    *set = &e->set;
fail:
    return rc;
}

struct sec_stores *sec_set_cache_stores(struct sec_set_cache *c)
{
    return &c->stores;
}

void sec_set_cache_free(struct sec_set_cache *c)
{
    if (!c)
        return;
    while (c->oldest)
        drop_oldest(c);
    delete_entry(c->current);
    sec_stores_free(&c->stores);
    sec_shingler_free(&c->shingler);
    free(c->table);
    free(c);
}
