/* The writer of encoded files, and what all readers of spool files share. */
#include "data/tokshard_spool_format.h"

#include "base/error.h"
#include "base/sort.h"
#include "data/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A tag is bucket << OFFSET_BITS | offset of the record in mem, in units of 8 bytes: sorting tags
 * sorts records by bucket and keeps their order within it. */
enum { OFFSET_BITS = 44 };

struct sec_spool_writer {
    struct sec_atomic file;
    size_t n_buckets, memory;
    unsigned shift; /* bucket = key >> shift; 64 = one bucket */
    struct sec_buf mem, block;
    uint64_t *tags;
    size_t n_tags, cap_tags;
    struct spool_entry *entries;
    size_t n_entries, cap_entries;
};

/* ---- shared by readers ---- */

int spool_damaged(const char *path, uint64_t at, const char *what)
{
    return sec_fail(SEC_EDATA, "%s: damaged: %s at byte %llu; run again to make it anew", path,
                    what, (unsigned long long)at);
}

int spool_open_file(const char *path, int *fd, uint64_t *size, struct spool_header *h)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return sec_if_set_aside(sec_fail_errno(errno, "%s: cannot open", path), path);
    *size = (uint64_t)lseek(*fd, 0, SEEK_END);
    int rc = sec_pread_full(*fd, h, sizeof *h, 0, path);
    if (!rc && (memcmp(h->magic, SPOOL_MAGIC, 8) || h->check != SPOOL_CHECK(h)))
        rc = spool_damaged(path, 0, "header");
    return rc;
}

int spool_read_head(int fd, const char *path, uint64_t at, uint64_t size, struct spool_block *b)
{
    int rc = sec_pread_full(fd, b, sizeof *b, at, path);
    if (!rc &&
        (b->check != SPOOL_CHECK(b) || at + sizeof *b > size || b->bytes > size - at - sizeof *b))
        rc = spool_damaged(path, at, "head of a block");
    return rc;
}

int spool_read_block(int fd, const char *path, uint64_t *at, uint64_t size, struct spool_block *b,
                     struct sec_buf *out)
{
    int rc = spool_read_head(fd, path, *at, size, b);
    if (!rc)
        rc = sec_buf_reserve(out, b->bytes);
    if (!rc)
        rc = sec_pread_full(fd, out->data + out->len, b->bytes, *at + sizeof *b, path);
    if (!rc && b->hash != sec_hash64(out->data + out->len, b->bytes, 0))
        rc = spool_damaged(path, *at, "block");
    if (!rc)
        rc = spool_check_records(path, *at, b, out->data + out->len);
    if (rc)
        return rc;
    out->len += b->bytes;
    *at += sizeof *b + b->bytes;
    return 0;
}

int spool_check_records(const char *path, uint64_t at, const struct spool_block *b, const char *p)
{
    uint64_t used = 0;
    uint32_t docs = 0;
    while (docs < b->docs && b->bytes - used >= sizeof(struct spool_record)) {
        struct spool_record r;
        memcpy(&r, p + used, sizeof r);
        if (spool_record_bytes(r.n) > b->bytes - used)
            break;
        used += spool_record_bytes(r.n);
        docs++;
    }
    return docs == b->docs && used == b->bytes ? 0 : spool_damaged(path, at, "documents");
}

/* ---- writer ---- */

int sec_spool_create(const char *path, size_t n_buckets, size_t memory,
                     struct sec_spool_writer **out)
{
    struct sec_spool_writer *w = calloc(1, sizeof *w);
    struct spool_header h = {.magic = SPOOL_MAGIC, .n_buckets = n_buckets};
    *out = NULL;
    if (!w)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", path);
    h.check = SPOOL_CHECK(&h);
    w->n_buckets = n_buckets;
    w->shift = 64 - (unsigned)__builtin_ctzll(n_buckets);
    w->memory = memory;
    int rc = sec_atomic_open(&w->file, path);
    if (!rc)
        rc = sec_atomic_write(&w->file, &h, sizeof h);
    if (rc)
        sec_spool_abort(w);
    else
        *out = w;
    return rc;
}

/* Room for one more element of `size` bytes in *v. */
static int grow(void *v, size_t n, size_t *cap, size_t size, const char *path)
{
    void **p = v;
    if (n < *cap)
        return 0;
    size_t bigger = *cap ? 2 * *cap : 1024;
    void *grown = realloc(*p, bigger * size);
    if (!grown)
        return sec_fail(SEC_ENOMEM, "%s: out of memory for %zu documents", path, bigger);
    *p = grown;
    *cap = bigger;
    return 0;
}

static int put_block(struct sec_spool_writer *w, uint32_t bucket, uint32_t docs)
{
    struct spool_block b = spool_block_of(bucket, docs, w->block.data, w->block.len);
    int rc = grow(&w->entries, w->n_entries, &w->cap_entries, sizeof *w->entries, w->file.path);
    if (rc)
        return rc;
    w->entries[w->n_entries++] = (struct spool_entry){w->file.written, w->block.len, bucket, docs};
    if (sec_fault("spool"))
        return sec_fail_errno(errno, "%s: cannot write %zu bytes", w->file.path, w->block.len);
    rc = sec_atomic_write(&w->file, &b, sizeof b);
    if (!rc)
        rc = sec_atomic_write(&w->file, w->block.data, w->block.len);
    sec_buf_clear(&w->block);
    return rc;
}

static int flush(struct sec_spool_writer *w)
{
    int rc = 0;
    uint32_t docs = 0;
    sec_sort_u64(w->tags, w->n_tags, 1);
    for (size_t i = 0; i < w->n_tags && !rc; i++) {
        const char *p = w->mem.data + 8 * (w->tags[i] & ((UINT64_C(1) << OFFSET_BITS) - 1));
        uint32_t bucket = (uint32_t)(w->tags[i] >> OFFSET_BITS);
        rc = sec_buf_add(&w->block, p,
                         spool_record_bytes(((const struct spool_record *)(const void *)p)->n));
        docs++;
        if (!rc && (i + 1 == w->n_tags || w->tags[i + 1] >> OFFSET_BITS != bucket ||
                    w->block.len >= SPOOL_BLOCK)) {
            rc = put_block(w, bucket, docs);
            docs = 0;
        }
    }
    w->n_tags = 0;
    sec_buf_clear(&w->mem);
    return rc;
}

int sec_spool_add(struct sec_spool_writer *w, const struct sec_spool_doc *doc)
{
    static const char zeros[8];
    struct spool_record r = {doc->key, doc->id, doc->n, doc->bytes, doc->source, doc->copy, 0};
    uint64_t bucket = w->shift == 64 ? 0 : doc->key >> w->shift;
    size_t ids = (size_t)doc->n * sizeof *doc->ids;
    int rc;
    SEC_TRY(grow(&w->tags, w->n_tags, &w->cap_tags, sizeof *w->tags, w->file.path));
    w->tags[w->n_tags++] = bucket << OFFSET_BITS | w->mem.len / 8;
    SEC_TRY(sec_buf_add(&w->mem, &r, sizeof r));
    SEC_TRY(sec_buf_add(&w->mem, doc->ids, ids));
    SEC_TRY(sec_buf_add(&w->mem, zeros, -ids & 7));
    if (w->mem.len + w->n_tags * sizeof *w->tags > w->memory)
        rc = flush(w);
fail:
    return rc;
}

static int by_bucket(const void *pa, const void *pb)
{
    const struct spool_entry *a = pa, *b = pb;
    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

int sec_spool_seal(struct sec_spool_writer *w, uint64_t tokens)
{
    struct spool_footer f = {.tokens = tokens, .magic = SPOOL_END_MAGIC};
    struct spool_row *rows = NULL;
    int rc;
    SEC_TRY(flush(w));
    rows = calloc(w->n_buckets, sizeof *rows);
    if (!rows) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory for %zu buckets", w->file.path, w->n_buckets);
        goto fail;
    }
    if (w->n_entries)
        qsort(w->entries, w->n_entries, sizeof *w->entries, by_bucket);
    for (size_t b = 0, at = 0; b < w->n_buckets; b++) {
        rows[b].first = (uint32_t)at;
        while (at < w->n_entries && w->entries[at].bucket == b)
            at++;
        rows[b].n = (uint32_t)at - rows[b].first;
        rows[b].hash = sec_hash64(w->entries + rows[b].first, rows[b].n * sizeof *w->entries, b);
        rows[b].check = SPOOL_CHECK(&rows[b]);
    }
    f.entries_at = w->file.written;
    f.n_entries = w->n_entries;
    f.check = SPOOL_CHECK(&f);
    if (w->n_entries)
        SEC_TRY(sec_atomic_write(&w->file, w->entries, w->n_entries * sizeof *w->entries));
    SEC_TRY(sec_atomic_write(&w->file, rows, w->n_buckets * sizeof *rows));
    SEC_TRY(sec_atomic_write(&w->file, &f, sizeof f));
    rc = sec_atomic_commit_unsynced(&w->file);
fail:
    free(rows);
    sec_spool_abort(w);
    return rc;
}

void sec_spool_abort(struct sec_spool_writer *w)
{
    if (!w)
        return;
    sec_atomic_abort(&w->file);
    sec_buf_free(&w->mem);
    sec_buf_free(&w->block);
    free(w->tags);
    free(w->entries);
    free(w);
}
