/* Encoded files -> one sorted file a bucket, and the reader of these. */
#include "base/error.h"
#include "data/sealed.h"
#include "data/tokshard_spool_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- encoded files ---- */

static int open_encoded(const char *path, int *fd, uint64_t *size, struct spool_footer *f,
                        size_t *n_buckets)
{
    struct spool_header h;
    int rc = spool_open_file(path, fd, size, &h);
    if (!rc && *size < sizeof h + sizeof *f)
        rc = spool_damaged(path, *size, "no end");
    if (!rc)
        rc = sec_pread_full(*fd, f, sizeof *f, *size - sizeof *f, path);
    if (!rc && (memcmp(f->magic, SPOOL_END_MAGIC, 8) || f->check != SPOOL_CHECK(f) ||
                f->entries_at + f->n_entries * sizeof(struct spool_entry) +
                        h.n_buckets * sizeof(struct spool_row) + sizeof *f !=
                    *size))
        rc = spool_damaged(path, *size - sizeof *f, "end");
    *n_buckets = (size_t)h.n_buckets;
    return rc;
}

int sec_spool_tokens(const char *path, uint64_t *tokens)
{
    int fd;
    uint64_t size;
    size_t n_buckets;
    struct spool_footer f = {0};
    int rc = open_encoded(path, &fd, &size, &f, &n_buckets);
    if (fd >= 0)
        close(fd);
    *tokens = f.tokens;
    return sec_set_aside_damaged(rc, path);
}

static int read_entries(int fd, const char *path, const struct spool_footer *f, size_t bucket,
                        struct spool_entry **entries, size_t *n)
{
    struct spool_row row;
    uint64_t at = f->entries_at + f->n_entries * sizeof **entries + bucket * sizeof row;
    int rc = sec_pread_full(fd, &row, sizeof row, at, path);
    if (!rc && (row.check != SPOOL_CHECK(&row) || (uint64_t)row.first + row.n > f->n_entries))
        rc = spool_damaged(path, at, "table of buckets");
    if (rc)
        return rc;
    *n = row.n;
    *entries = malloc((row.n + 1) * sizeof **entries);
    if (!*entries)
        return sec_fail(SEC_ENOMEM, "%s: out of memory for %u blocks", path, row.n);
    at = f->entries_at + row.first * sizeof **entries;
    rc = sec_pread_full(fd, *entries, row.n * sizeof **entries, at, path);
    if (!rc && row.hash != sec_hash64(*entries, row.n * sizeof **entries, bucket))
        rc = spool_damaged(path, at, "table of blocks");
    return rc;
}

/* Appends the documents of one bucket of one file to all. */
static int load(const char *path, size_t bucket, struct sec_buf *all)
{
    int fd, rc;
    uint64_t size;
    size_t n_buckets, n = 0;
    struct spool_footer f;
    struct spool_entry *entries = NULL;
    SEC_TRY(open_encoded(path, &fd, &size, &f, &n_buckets));
    if (bucket >= n_buckets) {
        rc = sec_fail(SEC_EDATA, "%s: has %zu buckets, none is %zu", path, n_buckets, bucket);
        goto fail;
    }
    SEC_TRY(read_entries(fd, path, &f, bucket, &entries, &n));
    for (size_t i = 0; i < n; i++) {
        struct spool_block b;
        uint64_t at = entries[i].offset;
        SEC_TRY(spool_read_block(fd, path, &at, f.entries_at, &b, all));
        if (b.bucket != bucket || b.docs != entries[i].docs) {
            rc = spool_damaged(path, entries[i].offset, "block of another bucket");
            goto fail;
        }
    }
fail:
    if (fd >= 0)
        close(fd);
    free(entries);
    return sec_set_aside_damaged(rc, path);
}

/* ---- sorting ---- */

#define COMPARE(a, b)                                                                              \
    if ((a) != (b))                                                                                \
    return (a) < (b) ? -1 : 1

static int by_key(const void *pa, const void *pb)
{
    const struct spool_record *a = *(const struct spool_record *const *)pa;
    const struct spool_record *b = *(const struct spool_record *const *)pb;
    COMPARE(a->key, b->key);
    COMPARE(a->id.hi, b->id.hi);
    COMPARE(a->id.lo, b->id.lo);
    COMPARE(a->source, b->source);
    COMPARE(a->copy, b->copy);
    return 0;
}

static struct sec_spool_doc doc_of(const struct spool_record *r)
{
    return (struct sec_spool_doc){
        r->key, r->id, r->n, r->bytes, r->source, r->copy, (const uint16_t *)(const void *)(r + 1)};
}

/* The records of all that are kept, sorted; *list is malloc'd. */
static int sort_records(const struct sec_buf *all,
                        bool (*keep)(void *, const struct sec_spool_doc *), void *ctx,
                        const struct spool_record ***list, size_t *n)
{
    size_t docs = 0, at;
    for (at = 0; at < all->len; docs++)
        at += spool_record_bytes(((const struct spool_record *)(const void *)(all->data + at))->n);
    *n = 0;
    *list = malloc((docs + 1) * sizeof **list);
    if (!*list)
        return sec_fail(SEC_ENOMEM, "out of memory to sort %zu documents", docs);
    for (at = 0; at < all->len;) {
        const struct spool_record *r = (const struct spool_record *)(const void *)(all->data + at);
        struct sec_spool_doc doc = doc_of(r);
        if (!keep || keep(ctx, &doc))
            (*list)[(*n)++] = r;
        at += spool_record_bytes(r->n);
    }
    if (*n)
        qsort(*list, *n, sizeof **list, by_key);
    return 0;
}

static int write_sorted(const char *path, size_t bucket, const struct spool_record **list, size_t n)
{
    struct sec_atomic file = {.fd = -1};
    struct sec_buf block = {0};
    struct spool_header h = {.magic = SPOOL_MAGIC, .n_buckets = 1};
    uint32_t docs = 0;
    int rc;
    h.check = SPOOL_CHECK(&h);
    SEC_TRY(sec_atomic_open(&file, path));
    SEC_TRY(sec_atomic_write(&file, &h, sizeof h));
    for (size_t i = 0; i < n; i++) {
        SEC_TRY(sec_buf_add(&block, list[i], spool_record_bytes(list[i]->n)));
        docs++;
        if (block.len < SPOOL_BLOCK && i + 1 < n)
            continue;
        struct spool_block b = spool_block_of((uint32_t)bucket, docs, block.data, block.len);
        if (sec_fault("spool")) {
            rc = sec_fail_errno(errno, "%s: cannot write %zu bytes", path, block.len);
            goto fail;
        }
        SEC_TRY(sec_atomic_write(&file, &b, sizeof b));
        SEC_TRY(sec_atomic_write(&file, block.data, block.len));
        sec_buf_clear(&block);
        docs = 0;
    }
    rc = sec_atomic_commit_unsynced(&file);
fail:
    sec_atomic_abort(&file);
    sec_buf_free(&block);
    return rc;
}

static int write_lengths(const char *path, const struct spool_record **list, size_t n)
{
    struct sec_spool_length *v = malloc((n + 1) * sizeof *v);
    if (!v)
        return sec_fail(SEC_ENOMEM, "%s: out of memory for %zu documents", path, n);
    for (size_t i = 0; i < n; i++)
        v[i] = (struct sec_spool_length){list[i]->n, list[i]->bytes, list[i]->source};
    int rc = sec_sealed_write(path, v, n * sizeof *v);
    free(v);
    return rc;
}

int sec_spool_sort(const struct sec_list *encoded, size_t bucket, const char *sorted,
                   const char *lengths, bool (*keep)(void *, const struct sec_spool_doc *),
                   void *ctx)
{
    struct sec_buf all = {0};
    const struct spool_record **list = NULL;
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < encoded->n; i++)
        SEC_TRY(load(encoded->v[i], bucket, &all));
    SEC_TRY(sort_records(&all, keep, ctx, &list, &n));
    SEC_TRY(write_sorted(sorted, bucket, list, n));
    rc = write_lengths(lengths, list, n);
fail:
    free(list);
    sec_buf_free(&all);
    return rc;
}

/* ---- sorted files ---- */

struct sec_spool_reader {
    char *path;
    int fd;
    uint64_t size, at;
    struct sec_buf block;
    size_t pos; /* of the next document in block */
};

int sec_spool_open(const char *sorted, struct sec_spool_reader **out)
{
    struct spool_header h;
    struct sec_spool_reader *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r || !(r->path = strdup(sorted))) {
        free(r);
        return sec_fail(SEC_ENOMEM, "%s: out of memory", sorted);
    }
    int rc = spool_open_file(sorted, &r->fd, &r->size, &h);
    r->at = sizeof h;
    if (rc)
        sec_spool_close(r);
    else
        *out = r;
    return sec_set_aside_damaged(rc, sorted);
}

static int next_block(struct sec_spool_reader *r)
{
    struct spool_block b;
    if (r->at == r->size)
        return 1;
    sec_buf_clear(&r->block);
    r->pos = 0;
    return sec_set_aside_damaged(spool_read_block(r->fd, r->path, &r->at, r->size, &b, &r->block),
                                 r->path);
}

int sec_spool_next(struct sec_spool_reader *r, struct sec_spool_doc *doc)
{
    while (r->pos == r->block.len) {
        int rc = next_block(r);
        if (rc)
            return rc;
    }
    const struct spool_record *record =
        (const struct spool_record *)(const void *)(r->block.data + r->pos);
    *doc = doc_of(record);
    r->pos += spool_record_bytes(record->n);
    return 0;
}

int sec_spool_skip(struct sec_spool_reader *r, uint64_t docs)
{
    struct spool_block b;
    struct sec_spool_doc doc;
    int rc = 0;
    while (docs && r->pos == r->block.len && r->at < r->size) {
        rc = spool_read_head(r->fd, r->path, r->at, r->size, &b);
        if (rc)
            return sec_set_aside_damaged(rc, r->path);
        if (b.docs > docs)
            break;
        docs -= b.docs;
        r->at += sizeof b + b.bytes;
    }
    while (docs-- && !rc)
        rc = sec_spool_next(r, &doc);
    return rc;
}

void sec_spool_close(struct sec_spool_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    sec_buf_free(&r->block);
    free(r->path);
    free(r);
}
