#include "data/dedup.h"

#include "base/error.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing, linear probing; an all-zero key marks an empty place. counts is NULL in sets. */
struct table {
    sec_h128 *keys;
    struct tally {
        uint64_t n, seen;
    } * tallies;
    size_t mask, used;
};

struct sec_dedup {
    struct sec_dedup_options o;
    bool counting;
    uint64_t source_key;
    const char *source;
    struct table records, templates, documents, test_clusters;
    uint64_t bytes; /* of all tables */
};

enum { FIRST_SIZE = 1 << 12 };

static sec_h128 place_key(sec_h128 h)
{
    h.hi |= !(h.lo | h.hi);
    return h;
}

static size_t entry_size(bool tallied)
{
    return sizeof(sec_h128) + (tallied ? sizeof(struct tally) : 0);
}

static void table_free(struct sec_dedup *d, struct table *t)
{
    if (t->keys)
        d->bytes -= (t->mask + 1) * entry_size(t->tallies != NULL);
    sec_free_aligned(t->keys);
    sec_free_aligned(t->tallies);
    *t = (struct table){0};
}

static size_t find(const struct table *t, sec_h128 key)
{
    size_t i = key.lo & t->mask;
    while ((t->keys[i].lo | t->keys[i].hi) && (t->keys[i].lo != key.lo || t->keys[i].hi != key.hi))
        i = (i + 1) & t->mask;
    return i;
}

static int table_grow(struct sec_dedup *d, struct table *t, bool tallied)
{
    size_t size = t->keys ? 2 * (t->mask + 1) : FIRST_SIZE;
    uint64_t need = d->bytes + size * entry_size(tallied);
    if (need > d->o.memory)
        return sec_fail(SEC_ENOMEM,
                        "deduplication of %s needs %" PRIu64 " MiB for %zu entries, %" PRIu64
                        " MiB are allowed: raise --memory, or split the source",
                        d->source ? d->source : "the input", need >> 20, t->used,
                        d->o.memory >> 20);
    struct table bigger = {.mask = size - 1, .used = t->used};
    /* Random access: huge pages save most of the address look-ups. */
    bigger.keys = sec_alloc_aligned(size * sizeof *bigger.keys);
    bigger.tallies =
        tallied && bigger.keys ? sec_alloc_aligned(size * sizeof *bigger.tallies) : NULL;
    if (!bigger.keys || (tallied && !bigger.tallies)) {
        sec_free_aligned(bigger.keys);
        return SEC_ENOMEM;
    }
    memset(bigger.keys, 0, size * sizeof *bigger.keys);
    if (tallied)
        memset(bigger.tallies, 0, size * sizeof *bigger.tallies);
    for (size_t i = 0; t->keys && i <= t->mask; i++) {
        if (!(t->keys[i].lo | t->keys[i].hi))
            continue;
        size_t at = find(&bigger, t->keys[i]);
        bigger.keys[at] = t->keys[i];
        if (tallied)
            bigger.tallies[at] = t->tallies[i];
    }
    table_free(d, t);
    *t = bigger;
    d->bytes += size * entry_size(tallied);
    return 0;
}

/* Put the key in; *fresh tells whether it was not there; *at is its place. */
static int insert(struct sec_dedup *d, struct table *t, sec_h128 key, bool tallied, size_t *at,
                  bool *fresh)
{
    if (!t->keys || 10 * t->used > 7 * t->mask) {
        int rc = table_grow(d, t, tallied);
        if (rc)
            return rc;
    }
    key = place_key(key);
    *at = find(t, key);
    *fresh = !(t->keys[*at].lo | t->keys[*at].hi);
    if (*fresh) {
        t->keys[*at] = key;
        t->used++;
    }
    return 0;
}

static bool contains(const struct table *t, sec_h128 key)
{
    if (!t->keys)
        return false;
    size_t at = find(t, place_key(key));
    return t->keys[at].lo | t->keys[at].hi;
}

int sec_dedup_new(const struct sec_dedup_options *o, struct sec_dedup **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return sec_fail(SEC_ENOMEM, "out of memory for deduplication");
    (*out)->o = *o;
    return 0;
}

void sec_dedup_free(struct sec_dedup *d)
{
    if (!d)
        return;
    table_free(d, &d->records);
    table_free(d, &d->templates);
    table_free(d, &d->documents);
    table_free(d, &d->test_clusters);
    free(d);
}

int sec_dedup_passes(const struct sec_dedup *d)
{
    return d->o.template_cap ? 2 : 1;
}

void sec_dedup_begin(struct sec_dedup *d, int pass)
{
    d->counting = pass + 1 < sec_dedup_passes(d);
    table_free(d, &d->records);
}

int sec_dedup_source(struct sec_dedup *d, int source, const char *name)
{
    d->source_key = sec_hash64(&source, sizeof source, 0);
    d->source = name;
    table_free(d, &d->records);
    return d->o.exact ? table_grow(d, &d->records, false) : 0;
}

static sec_h128 template_key(const struct sec_dedup *d, sec_h128 masked)
{
    return (sec_h128){masked.lo ^ d->source_key, masked.hi};
}

void sec_dedup_prefetch(const struct sec_dedup *d, sec_h128 record, sec_h128 masked)
{
    if (d->records.keys)
        __builtin_prefetch(&d->records.keys[record.lo & d->records.mask]);
    if (d->o.template_cap && d->templates.keys) {
        size_t at = template_key(d, masked).lo & d->templates.mask;
        __builtin_prefetch(&d->templates.keys[at]);
        __builtin_prefetch(&d->templates.tallies[at]);
    }
}

int sec_dedup_record(struct sec_dedup *d, sec_h128 record, sec_h128 masked, enum sec_reason *reason)
{
    int rc;
    size_t at;
    bool fresh;
    *reason = SEC_KEPT;
    if (d->o.exact) {
        SEC_TRY(insert(d, &d->records, record, false, &at, &fresh));
        if (!fresh) {
            *reason = SEC_DROP_EXACT;
            return 0;
        }
    }
    if (!d->o.template_cap)
        return 0;
    SEC_TRY(insert(d, &d->templates, template_key(d, masked), true, &at, &fresh));
    struct tally *t = &d->templates.tallies[at];
    if (d->counting) {
        t->n++;
        return 0;
    }
    uint64_t k = d->o.template_cap, i = t->seen++;
    if (t->n > k && (unsigned __int128)(i + 1) * k / t->n == (unsigned __int128)i * k / t->n)
        *reason = SEC_DROP_TEMPLATE;
fail:
    return rc;
}

int sec_dedup_document(struct sec_dedup *d, sec_h128 id, sec_h128 cluster, bool odts, bool train,
                       enum sec_reason *reason)
{
    int rc;
    size_t at;
    bool fresh;
    *reason = SEC_KEPT;
    if (train && contains(&d->test_clusters, cluster)) {
        *reason = SEC_DROP_COLLISION;
        return 0;
    }
    if (d->o.exact) {
        SEC_TRY(insert(d, &d->documents, id, false, &at, &fresh));
        if (!fresh) {
            *reason = SEC_DROP_DOCUMENT;
            return 0;
        }
    }
    return odts ? insert(d, &d->test_clusters, cluster, false, &at, &fresh) : 0;
fail:
    return rc;
}
