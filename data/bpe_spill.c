#include "data/bpe_spill.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/ranks.h"
#include "base/sort.h"
#include "base/str.h"
#include "data/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A file: PARTS blocks after each other, at offsets[] of the header. A block: this, then entries
 * {u64 count, u32 length, bytes}. */
enum { PARTS = 256, OUT = 1 << 20 };

struct block {
    uint64_t bytes, hash;
};

struct header {
    char magic[8];
    uint64_t offsets[PARTS]; /* of the blocks, in order of the file */
    uint64_t hash;
};
static const char MAGIC[8] = "SECBPE01";

void sec_bpe_spill_init(struct sec_bpe_spill *s, const char *dir)
{
    *s = (struct sec_bpe_spill){.dir = dir, .lock_fd = -1};
    pthread_mutex_init(&s->lock, NULL);
}

int sec_bpe_spill_begin(struct sec_bpe_spill *s)
{
    struct sec_list old = {0};
    char *lock = sec_path_join(s->dir, "lock");
    int rc = lock ? sec_mkdir_p(s->dir) : sec_fail(SEC_ENOMEM, "%s: no memory", s->dir);
    if (!rc)
        rc = sec_lock_file(lock, &s->lock_fd);
    if (!rc)
        rc = sec_list_dir(s->dir, &old); /* what a killed run left */
    for (size_t i = 0; i < old.n && !rc; i++) {
        char *path = strcmp(old.v[i], "lock") ? sec_path_join(s->dir, old.v[i]) : NULL;
        if (path)
            rc = sec_remove_tree(path);
        free(path);
    }
    s->begun = !rc;
    sec_list_free(&old);
    free(lock);
    return rc;
}

void sec_bpe_spill_end(struct sec_bpe_spill *s)
{
    if (s->lock_fd >= 0) {
        char *message = sec_error_take();
        sec_remove_tree(s->dir);
        sec_unlock_file(s->lock_fd);
        sec_error_put(0, message);
    }
    s->lock_fd = -1;
    pthread_mutex_destroy(&s->lock);
}

/* ---- writing ---- */

static size_t part_of(uint64_t hash)
{
    return hash >> 56;
}

static int put_entry(struct sec_buf *b, uint64_t count, const void *p, uint32_t n)
{
    int rc;
    SEC_TRY(sec_buf_add(b, &count, sizeof count));
    SEC_TRY(sec_buf_add(b, &n, sizeof n));
    SEC_TRY(sec_buf_add(b, p, n));
fail:
    return rc;
}

/* partition << 56 | slot (longs after shorts) of every piece, sorted. */
static uint64_t *tag_pieces(const struct sec_piece_counts *c, size_t *n)
{
    size_t shorts = (size_t)1 << c->short_bits;
    uint64_t *tags = malloc((c->n_shorts + c->n_longs + 1) * sizeof *tags);
    *n = 0;
    if (!tags) {
        sec_fail(SEC_ENOMEM, "no memory to write %zu pieces", c->n_shorts + c->n_longs);
        return NULL;
    }
    for (size_t i = 0; i < shorts; i++)
        if (c->shorts[i].key.hi)
            tags[(*n)++] = (uint64_t)part_of(sec_piece_hash(c->shorts[i].key)) << 56 | i;
    for (size_t i = 0; i >> c->long_bits == 0; i++)
        if (c->longs[i].p)
            tags[(*n)++] = (uint64_t)part_of(c->longs[i].hash) << 56 | (shorts + i);
    sec_sort_u64(tags, *n, 1);
    return tags;
}

/* Closes the block that begins at `at` of out with its head, which has its place there. */
static void seal_block(struct sec_buf *out, size_t at)
{
    struct block b = {.bytes = out->len - at - sizeof b};
    b.hash = sec_hash64(out->data + at + sizeof b, b.bytes, 0);
    memcpy(out->data + at, &b, sizeof b);
}

static int flush(struct sec_atomic *a, struct sec_buf *out)
{
    if (sec_fault("spool"))
        return sec_fail_errno(errno, "%s: cannot write %zu bytes", a->path, out->len);
    int rc = sec_atomic_write(a, out->data, out->len);
    sec_buf_clear(out);
    return rc;
}

/* All of a map as one file. */
static int write_counts(const char *path, const struct sec_piece_counts *c)
{
    const uint64_t slot_mask = (UINT64_C(1) << 56) - 1, shorts = UINT64_C(1) << c->short_bits;
    const struct block empty = {0};
    struct sec_atomic a = {.fd = -1};
    struct sec_buf out = {0};
    struct header h = {0};
    size_t n, at = 0;
    int rc;
    uint64_t *tags = tag_pieces(c, &n);
    if (!tags)
        return SEC_ENOMEM;
    memcpy(h.magic, MAGIC, sizeof h.magic);
    SEC_TRY(sec_atomic_open(&a, path));
    SEC_TRY(sec_atomic_write(&a, &h, sizeof h)); /* again, when the offsets are known */
    for (uint64_t part = 0; part < PARTS; part++) {
        size_t start = out.len;
        h.offsets[part] = a.written + start;
        SEC_TRY(sec_buf_add(&out, &empty, sizeof empty));
        for (; at < n && tags[at] >> 56 == part; at++) {
            uint64_t slot = tags[at] & slot_mask;
            const struct sec_short_count *s = &c->shorts[slot < shorts ? slot : 0];
            const struct sec_long_count *l = &c->longs[slot < shorts ? 0 : slot - shorts];
            SEC_TRY(slot < shorts ? put_entry(&out, s->count, &s->key, (uint32_t)(s->key.hi >> 56))
                                  : put_entry(&out, l->count, l->p, l->n));
        }
        seal_block(&out, start);
        if (out.len > OUT || part + 1 == PARTS)
            SEC_TRY(flush(&a, &out));
    }
    h.hash = sec_hash64(&h, offsetof(struct header, hash), 0);
    if (lseek(a.fd, 0, SEEK_SET) < 0) {
        rc = sec_fail_errno(errno, "%s: cannot seek", path);
        goto fail;
    }
    SEC_TRY(sec_atomic_write(&a, &h, sizeof h));
    rc = sec_atomic_commit_unsynced(&a);
fail:
    sec_atomic_abort(&a);
    sec_buf_free(&out);
    free(tags);
    return rc;
}

int sec_bpe_spill_write(struct sec_bpe_spill *s, struct sec_piece_counts *c)
{
    char *path = NULL;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    if (!s->begun && sec_world() == 1)
        rc = sec_bpe_spill_begin(s);
    unsigned serial = s->serial++;
    pthread_mutex_unlock(&s->lock);
    if (!rc && asprintf(&path, "%s/counts-%04d-%06u", s->dir, sec_rank(), serial) < 0)
        rc = sec_fail(SEC_ENOMEM, "%s: no memory", s->dir);
    if (!rc)
        rc = write_counts(path, c);
    if (!rc)
        sec_piece_counts_reset(c);
    free(path);
    return rc;
}

/* ---- merging ---- */

struct merge {
    struct sec_bpe_spill *s;
    struct sec_list files;
};

static int damaged(const char *path, uint64_t at, const char *what)
{
    return sec_fail(SEC_EDATA, "%s: damaged: %s at byte %llu; run again to count anew", path, what,
                    (unsigned long long)at);
}

static int add_entries(const char *path, uint64_t at, const struct sec_buf *b,
                       struct sec_piece_counts *into)
{
    for (size_t i = 0; i < b->len;) {
        uint64_t count;
        uint32_t n = 0;
        if (b->len - i < sizeof count + sizeof n)
            return damaged(path, at, "entry");
        memcpy(&count, b->data + i, sizeof count);
        memcpy(&n, b->data + i + sizeof count, sizeof n);
        i += sizeof count + sizeof n;
        if (n > b->len - i || !n)
            return damaged(path, at, "entry");
        int rc = sec_piece_counts_put(into, (const uint8_t *)b->data + i, n, b->len - i, count);
        if (rc)
            return rc;
        i += n;
    }
    return 0;
}

static int read_part(const char *path, size_t part, struct sec_piece_counts *into)
{
    struct header h;
    struct block b;
    struct sec_buf entries = {0};
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sec_fail_errno(errno, "%s: cannot open", path);
    SEC_TRY(sec_pread_full(fd, &h, sizeof h, 0, path));
    if (memcmp(h.magic, MAGIC, sizeof h.magic) ||
        h.hash != sec_hash64(&h, offsetof(struct header, hash), 0)) {
        rc = damaged(path, 0, "header");
        goto fail;
    }
    uint64_t at = h.offsets[part], size = (uint64_t)lseek(fd, 0, SEEK_END);
    SEC_TRY(sec_pread_full(fd, &b, sizeof b, at, path));
    if (b.bytes > size - at - sizeof b) {
        rc = damaged(path, at, "block");
        goto fail;
    }
    SEC_TRY(sec_buf_reserve(&entries, b.bytes));
    SEC_TRY(sec_pread_full(fd, entries.data, b.bytes, at + sizeof b, path));
    entries.len = b.bytes;
    rc = sec_hash64(entries.data, entries.len, 0) == b.hash ? add_entries(path, at, &entries, into)
                                                            : damaged(path, at, "block");
fail:
    close(fd);
    sec_buf_free(&entries);
    return rc;
}

static char *merged_name(const struct sec_bpe_spill *s, size_t part)
{
    char *path;
    if (asprintf(&path, "%s/merged-%03zu", s->dir, part) >= 0)
        return path;
    sec_fail(SEC_ENOMEM, "%s: no memory", s->dir);
    return NULL;
}

static int merge_part(void *arg, size_t part)
{
    const struct merge *m = arg;
    struct sec_piece_counts c;
    char *path = merged_name(m->s, part);
    int rc = path ? sec_piece_counts_init(&c) : SEC_ENOMEM;
    if (rc) {
        free(path);
        return rc;
    }
    for (size_t i = 0; i < m->files.n && !rc; i++)
        rc = read_part(m->files.v[i], part, &c);
    if (!rc)
        rc = write_counts(path, &c);
    sec_piece_counts_free(&c);
    free(path);
    return rc;
}

static int list_files(struct merge *m)
{
    struct sec_list found = {0};
    int rc = sec_list_dir(m->s->dir, &found);
    for (size_t i = 0; i < found.n && !rc; i++) {
        if (!sec_starts(found.v[i], "counts-") || strstr(found.v[i], ".tmp"))
            continue;
        char *path = sec_path_join(m->s->dir, found.v[i]);
        rc =
            path ? sec_list_add(&m->files, path) : sec_fail(SEC_ENOMEM, "%s: no memory", m->s->dir);
        free(path);
    }
    sec_list_free(&found);
    return rc;
}

int sec_bpe_spill_merge(struct sec_bpe_spill *s, int threads, struct sec_piece_counts *into)
{
    struct merge m = {.s = s};
    struct sec_stage stage = {
        .name = "merge", .n = PARTS, .threads = threads, .run = merge_part, .ctx = &m};
    int rc = sec_ranks_agree(list_files(&m));
    if (!rc)
        rc = sec_stage_run(&stage);
    for (size_t part = 0; part < PARTS && !rc && sec_rank() == 0; part++) {
        char *path = merged_name(s, part);
        rc = path ? read_part(path, part, into) : SEC_ENOMEM;
        free(path);
    }
    sec_list_free(&m.files);
    return sec_ranks_agree(rc);
}
