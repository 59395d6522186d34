#include "data/tokshard_spool.h"

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_BUCKETS = 512 /* each may hold a file open */
};
#define BUCKET_BYTES (UINT64_C(128) << 20) /* aimed at: a bucket is sorted in memory */

/* In a bucket: this, then n ids, then zeros to a multiple of 8. */
struct record {
    uint64_t key;
    sec_h128 id;
    uint32_t n, bytes;
    uint16_t source, copy;
    uint32_t zero;
};

struct block {
    uint64_t len, xxh3;
};

struct bucket {
    pthread_mutex_t lock;
    struct sec_buf mem;
    char *path;
    int fd; /* -1 until it spills */
};

struct sec_spool {
    unsigned shift; /* bucket = key >> shift; 64 = one bucket */
    size_t n_buckets, spill_at;
    struct bucket *buckets;
};

int sec_spool_open(const char *dir, uint64_t expected, uint64_t memory, struct sec_spool **out)
{
    int rc = 0;
    unsigned bits = 0;
    struct sec_buf path = {0};
    while (expected >> bits > BUCKET_BYTES && 1u << bits < MAX_BUCKETS)
        bits++;
    struct sec_spool *s = calloc(1, sizeof *s);
    if (!s)
        return sec_fail(SEC_ENOMEM, "no memory for a spool");
    s->shift = 64 - bits;
    s->n_buckets = (size_t)1 << bits;
    s->spill_at = (size_t)(memory / s->n_buckets);
    s->buckets = calloc(s->n_buckets, sizeof *s->buckets);
    if (!s->buckets) {
        free(s);
        return sec_fail(SEC_ENOMEM, "no memory for %u spool buckets", 1u << bits);
    }
    for (size_t i = 0; i < s->n_buckets; i++) {
        s->buckets[i].fd = -1;
        pthread_mutex_init(&s->buckets[i].lock, NULL);
    }
    for (size_t i = 0; i < s->n_buckets; i++) {
        SEC_TRY(sec_buf_printf(&path, "%s/.spool-%03zu.tmp", dir, i));
        s->buckets[i].path = path.data;
        path = (struct sec_buf){0};
    }
    *out = s;
    return 0;
fail:
    sec_buf_free(&path);
    sec_spool_close(s);
    return rc;
}

static int spill(struct bucket *b)
{
    int rc = 0;
    struct block head = {b->mem.len, sec_hash64(b->mem.data, b->mem.len, 0)};
    if (b->fd < 0)
        b->fd = open(b->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (b->fd < 0)
        return sec_fail_errno(errno, "%s: cannot create", b->path);
    SEC_TRY(sec_write_all(b->fd, &head, sizeof head, b->path));
    SEC_TRY(sec_write_all(b->fd, b->mem.data, b->mem.len, b->path));
    sec_buf_clear(&b->mem);
fail:
    return rc;
}

int sec_spool_add(struct sec_spool *s, const struct sec_spool_doc *doc)
{
    static const char zeros[8];
    int rc = 0;
    struct record r = {doc->key, doc->id, doc->n, doc->bytes, doc->source, doc->copy, 0};
    struct bucket *b = &s->buckets[s->shift == 64 ? 0 : doc->key >> s->shift];
    size_t ids = (size_t)doc->n * sizeof *doc->ids;
    pthread_mutex_lock(&b->lock);
    SEC_TRY(sec_buf_add(&b->mem, &r, sizeof r));
    SEC_TRY(sec_buf_add(&b->mem, doc->ids, ids));
    SEC_TRY(sec_buf_add(&b->mem, zeros, -ids & 7));
    if (b->mem.len > s->spill_at)
        SEC_TRY(spill(b));
fail:
    pthread_mutex_unlock(&b->lock);
    return rc;
}

/* What was spilled, then what is still in memory. */
static int gather(struct bucket *b, struct sec_buf *all)
{
    int rc = 0;
    uint64_t at = 0;
    if (b->fd < 0) {
        *all = b->mem;
        b->mem = (struct sec_buf){0};
        return 0;
    }
    int64_t size = sec_file_size(b->path);
    while (size > 0 && at < (uint64_t)size) {
        struct block head;
        SEC_TRY(sec_pread_full(b->fd, &head, sizeof head, at, b->path));
        at += sizeof head;
        if (head.len > (uint64_t)size - at)
            return sec_fail(SEC_EDATA, "%s: block at byte %llu is cut", b->path,
                            (unsigned long long)at);
        SEC_TRY(sec_buf_reserve(all, head.len));
        SEC_TRY(sec_pread_full(b->fd, all->data + all->len, head.len, at, b->path));
        if (sec_hash64(all->data + all->len, head.len, 0) != head.xxh3)
            return sec_fail(SEC_EDATA, "%s: block at byte %llu changed on disk", b->path,
                            (unsigned long long)at);
        all->len += head.len;
        at += head.len;
    }
    SEC_TRY(sec_buf_add(all, b->mem.data, b->mem.len));
    sec_buf_free(&b->mem);
fail:
    return rc;
}

#define COMPARE(a, b)                                                                              \
    if ((a) != (b))                                                                                \
    return (a) < (b) ? -1 : 1

static int by_key(const void *pa, const void *pb)
{
    const struct record *a = *(const struct record *const *)pa;
    const struct record *b = *(const struct record *const *)pb;
    COMPARE(a->key, b->key);
    COMPARE(a->id.hi, b->id.hi);
    COMPARE(a->id.lo, b->id.lo);
    COMPARE(a->source, b->source);
    COMPARE(a->copy, b->copy);
    return 0;
}

static int each_of_bucket(struct bucket *b, int (*fn)(void *, const struct sec_spool_doc *),
                          void *ctx)
{
    int rc = 0;
    size_t n = 0, cap = 0;
    struct sec_buf all = {0};
    const struct record **list = NULL;
    SEC_TRY(gather(b, &all));
    for (size_t at = 0; at < all.len;) {
        const struct record *r = (const struct record *)(const void *)(all.data + at);
        if (n == cap) {
            cap = cap ? 2 * cap : 1024;
            const struct record **bigger = realloc(list, cap * sizeof *list);
            if (!bigger) {
                rc = sec_fail(SEC_ENOMEM, "no memory to sort %zu documents", n);
                goto fail;
            }
            list = bigger;
        }
        list[n++] = r;
        at += sizeof *r + (((size_t)r->n * sizeof(uint16_t) + 7) & ~(size_t)7);
    }
    if (n)
        qsort(list, n, sizeof *list, by_key);
    for (size_t i = 0; i < n; i++) {
        const struct record *r = list[i];
        struct sec_spool_doc doc = {r->key,
                                    r->id,
                                    r->n,
                                    r->bytes,
                                    r->source,
                                    r->copy,
                                    (const uint16_t *)(const void *)(r + 1)};
        SEC_TRY(fn(ctx, &doc));
    }
fail:
    free(list);
    sec_buf_free(&all);
    return rc;
}

int sec_spool_each(struct sec_spool *s, int (*fn)(void *, const struct sec_spool_doc *), void *ctx)
{
    int rc = 0;
    for (size_t i = 0; i < s->n_buckets && !rc; i++)
        rc = each_of_bucket(&s->buckets[i], fn, ctx);
    return rc;
}

void sec_spool_close(struct sec_spool *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_buckets; i++) {
        struct bucket *b = &s->buckets[i];
        if (b->fd >= 0) {
            close(b->fd);
            unlink(b->path);
        }
        free(b->path);
        sec_buf_free(&b->mem);
        pthread_mutex_destroy(&b->lock);
    }
    free(s->buckets);
    free(s);
}
