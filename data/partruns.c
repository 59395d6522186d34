#include "data/partruns.h"

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/sort.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAST_BLOCK = 1 << 10, MOST_BLOCK = 256 << 10, FAN_IN = 64 };

/* A run: blocks of {u64 XXH3 of the records, records}, all but the last of per_block records. */
struct run {
    uint64_t offset, records;
};

struct cursor {
    uint64_t offset, left; /* of what is not in the block yet */
    uint64_t *block;       /* hash, records */
    size_t at, n;
};

struct sec_runs {
    char *name;
    int fd;
    uint64_t end; /* of the file */
    unsigned words;
    size_t per_block, fan_in;
    struct run *runs;
    size_t n_runs, cap_runs;
    uint64_t *out; /* block being written */
    size_t n_out;
    struct cursor *cursors;
    struct cursor **heap;
    size_t n_heap;
    bool fresh; /* the heap's top has been handed out */
};

static int open_unlinked(struct sec_runs *r)
{
    char *path = strdup(r->name);
    if (!path)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", r->name);
    r->fd = mkstemp(path);
    r->end = 0;
    int rc = r->fd < 0 ? sec_fail_errno(errno, "%s: cannot create", r->name) : 0;
    if (!rc)
        unlink(path);
    free(path);
    return rc;
}

int sec_runs_new(const char *dir, unsigned words, size_t memory, struct sec_runs **out)
{
    struct sec_runs *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", dir);
    r->fd = -1;
    r->words = words;
    size_t block = memory / FAN_IN;
    block = block < LEAST_BLOCK ? LEAST_BLOCK : block > MOST_BLOCK ? MOST_BLOCK : block;
    r->per_block = (block - sizeof(uint64_t)) / (words * sizeof(uint64_t));
    r->fan_in = memory / block < 2 ? 2 : memory / block;
    r->name = sec_path_join(dir, "runs.XXXXXX");
    r->out = malloc(block);
    r->cursors = calloc(r->fan_in, sizeof *r->cursors);
    r->heap = calloc(r->fan_in, sizeof *r->heap);
    int rc = 0;
    if (!r->name || !r->out || !r->cursors || !r->heap)
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory", dir);
    if (!rc)
        rc = open_unlinked(r);
    if (rc)
        sec_runs_free(r);
    else
        *out = r;
    return rc;
}

static int begin_run(struct sec_runs *r)
{
    if (r->n_runs == r->cap_runs) {
        size_t cap = r->cap_runs ? 2 * r->cap_runs : 64;
        void *grown = realloc(r->runs, cap * sizeof *r->runs);
        if (!grown)
            return sec_fail(SEC_ENOMEM, "%s: out of memory for %zu runs", r->name, cap);
        r->runs = grown;
        r->cap_runs = cap;
    }
    r->runs[r->n_runs++] = (struct run){.offset = r->end};
    return 0;
}

static int flush_block(struct sec_runs *r)
{
    size_t bytes = r->n_out * r->words * sizeof *r->out;
    if (!bytes)
        return 0;
    r->out[0] = sec_hash64(r->out + 1, bytes, r->n_out);
    if (sec_fault("spool"))
        return sec_fail_errno(errno, "%s: cannot write %zu bytes", r->name, bytes);
    int rc = sec_write_all(r->fd, r->out, sizeof *r->out + bytes, r->name);
    r->end += sizeof *r->out + bytes;
    r->n_out = 0;
    return rc;
}

static int put(struct sec_runs *r, const uint64_t *records, size_t n)
{
    struct run *run = &r->runs[r->n_runs - 1];
    run->records += n;
    while (n) {
        size_t k = r->per_block - r->n_out < n ? r->per_block - r->n_out : n;
        memcpy(r->out + 1 + r->n_out * r->words, records, k * r->words * sizeof *records);
        r->n_out += k;
        records += k * r->words;
        n -= k;
        if (r->n_out == r->per_block) {
            int rc = flush_block(r);
            if (rc)
                return rc;
        }
    }
    return 0;
}

int sec_runs_add(struct sec_runs *r, const uint64_t *sorted, size_t n)
{
    int rc = begin_run(r);
    if (!rc)
        rc = put(r, sorted, n);
    return rc ? rc : flush_block(r);
}

/* The next block of a run; at == n afterwards means its end. */
static int fill(struct sec_runs *r, int fd, struct cursor *c)
{
    c->at = 0;
    c->n = c->left < r->per_block ? (size_t)c->left : r->per_block;
    size_t bytes = c->n * r->words * sizeof *c->block;
    if (!bytes)
        return 0;
    int rc = sec_pread_full(fd, c->block, sizeof *c->block + bytes, c->offset, r->name);
    if (!rc && c->block[0] != sec_hash64(c->block + 1, bytes, c->n))
        rc = sec_fail(SEC_EDATA, "%s: damaged block at byte %llu; run again to make it anew",
                      r->name, (unsigned long long)c->offset);
    c->offset += sizeof *c->block + bytes;
    c->left -= c->n;
    return rc;
}

static const uint64_t *top(const struct sec_runs *r, const struct cursor *c)
{
    return c->block + 1 + c->at * r->words;
}

static void sift_down(struct sec_runs *r, size_t i)
{
    struct cursor *moving = r->heap[i];
    for (size_t child; (child = 2 * i + 1) < r->n_heap; i = child) {
        if (child + 1 < r->n_heap &&
            sec_compare_u64(top(r, r->heap[child + 1]), top(r, r->heap[child]), r->words) < 0)
            child++;
        if (sec_compare_u64(top(r, moving), top(r, r->heap[child]), r->words) <= 0)
            break;
        r->heap[i] = r->heap[child];
    }
    r->heap[i] = moving;
}

static int start_merge(struct sec_runs *r, int fd, const struct run *runs, size_t n)
{
    int rc = 0;
    r->n_heap = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        struct cursor *c = &r->cursors[i];
        if (!c->block)
            c->block = malloc((1 + r->per_block * r->words) * sizeof *c->block);
        if (!c->block)
            return sec_fail(SEC_ENOMEM, "%s: out of memory for %zu runs", r->name, n);
        c->offset = runs[i].offset;
        c->left = runs[i].records;
        rc = fill(r, fd, c);
        if (c->n)
            r->heap[r->n_heap++] = c;
    }
    for (size_t i = r->n_heap / 2; i-- && !rc;)
        sift_down(r, i);
    return rc;
}

static int advance(struct sec_runs *r, int fd)
{
    struct cursor *c = r->heap[0];
    int rc = 0;
    if (++c->at == c->n)
        rc = fill(r, fd, c);
    if (c->at == c->n)
        r->heap[0] = r->heap[--r->n_heap];
    if (!rc && r->n_heap)
        sift_down(r, 0);
    return rc;
}

/* One level: groups of fan_in runs become one run each, in a new file. */
static int merge_level(struct sec_runs *r)
{
    struct run *old = r->runs;
    size_t n_old = r->n_runs;
    int fd = r->fd, rc;
    r->runs = NULL;
    r->n_runs = r->cap_runs = 0;
    rc = open_unlinked(r);
    for (size_t i = 0; i < n_old && !rc; i += r->fan_in) {
        rc = start_merge(r, fd, old + i, n_old - i < r->fan_in ? n_old - i : r->fan_in);
        if (!rc)
            rc = begin_run(r);
        while (!rc && r->n_heap) {
            rc = put(r, top(r, r->heap[0]), 1);
            if (!rc)
                rc = advance(r, fd);
        }
        if (!rc)
            rc = flush_block(r);
    }
    close(fd);
    free(old);
    return rc;
}

int sec_runs_merge(struct sec_runs *r)
{
    int rc = 0;
    while (r->n_runs > r->fan_in && !rc)
        rc = merge_level(r);
    r->fresh = false;
    return rc ? rc : start_merge(r, r->fd, r->runs, r->n_runs);
}

int sec_runs_next(struct sec_runs *r, const uint64_t **record)
{
    if (r->fresh) {
        int rc = advance(r, r->fd);
        if (rc)
            return rc;
    }
    r->fresh = r->n_heap > 0;
    if (!r->n_heap)
        return 1;
    *record = top(r, r->heap[0]);
    return 0;
}

void sec_runs_free(struct sec_runs *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    for (size_t i = 0; r->cursors && i < r->fan_in; i++)
        free(r->cursors[i].block);
    free(r->cursors);
    free(r->heap);
    free(r->runs);
    free(r->out);
    free(r->name);
    free(r);
}
