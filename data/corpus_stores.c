#include "data/corpus_stores.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

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
}

static int open_store(struct sec_stores *s, size_t task, struct sec_docstore **out)
{
    int at = 0;
    s->clock++;
    for (int i = 0; i < SEC_OPEN_STORES; i++) {
        if (s->v[i].store && s->v[i].task == task) {
            s->v[i].used = s->clock;
            *out = s->v[i].store;
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
    int rc = sec_docstore_open(name, out);
    free(name);
    if (rc)
        return rc;
    s->v[at].store = *out;
    s->v[at].task = task;
    s->v[at].used = s->clock;
    return 0;
}

int sec_stores_get(struct sec_stores *s, uint64_t document, int r, struct sec_docrow *row,
                   const char **text)
{
    struct sec_docstore *store;
    struct sec_docrow unused;
    int rc = open_store(s, sec_key_task(document), &store);
    return rc ? rc
              : sec_docstore_get(store, &s->reader[r], sec_key_number(document),
                                 row ? row : &unused, text);
}

void sec_stores_free(struct sec_stores *s)
{
    for (int i = 0; i < SEC_OPEN_STORES; i++)
        if (s->v[i].store)
            close_place(s, i);
    for (int r = 0; r < SEC_STORE_READERS; r++)
        sec_docreader_free(&s->reader[r]);
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
    return &c->table[(document * UINT64_C(0x9E3779B97F4A7C15) >> 32) & c->mask];
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

static int add_entry(struct sec_set_cache *c, uint64_t document, int r, struct entry **out)
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
    struct entry **at = bucket(c, document);
    e->chain = *at;
    *at = e;
    make_newest(c, e);
    c->used += entry_bytes(e);
    c->n++;
    while (c->used > c->memory && c->n > LEAST_ENTRIES)
        drop_oldest(c);
    *out = e;
    return 0;
fail:
    free(e);
    return rc;
}

int sec_set_cache_get(struct sec_set_cache *c, uint64_t document, int r,
                      const struct sec_shingle_set **set)
{
    struct entry *e = *bucket(c, document);
    while (e && e->document != document)
        e = e->chain;
    if (e) {
        unlink_entry(c, e);
        make_newest(c, e);
    } else {
        int rc = add_entry(c, document, r, &e);
        if (rc)
            return rc;
    }
    *set = &e->set;
    return 0;
}

void sec_set_cache_free(struct sec_set_cache *c)
{
    if (!c)
        return;
    while (c->oldest)
        drop_oldest(c);
    sec_stores_free(&c->stores);
    sec_shingler_free(&c->shingler);
    free(c->table);
    free(c);
}
