#include "data/partfile_format.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/sort.h"
#include "data/partruns.h"
#include "data/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STAGING = 256 << 10 };

struct index {
    const char *path;
    int fd;
    struct sec_part_header header;
    struct sec_part_footer footer;
    struct sec_part_fence *fences;
    size_t n_pages;
};

struct sec_part_stream {
    unsigned words;
    size_t part, memory;
    const char *scratch_dir; /* the caller's, used during open */
    uint64_t *records;
    size_t n, capacity, at;
    uint64_t total;
    unsigned char *staging;
    size_t staging_size;
    struct sec_runs *runs; /* NULL = all of it is in records */
};

static int damaged(const struct index *x, uint64_t at, const char *what)
{
    return sec_fail(SEC_EDATA, "%s: damaged: %s at byte %llu; run again to make it anew", x->path,
                    what, (unsigned long long)at);
}

static int read_ends(struct index *x)
{
    off_t size = lseek(x->fd, 0, SEEK_END);
    struct sec_part_header *h = &x->header;
    struct sec_part_footer *f = &x->footer;
    if (size < (off_t)(sizeof *h + sizeof *f))
        return sec_fail(SEC_EDATA, "%s: truncated: %lld bytes are less than a header and an index",
                        x->path, (long long)size);
    uint64_t footer_at = (uint64_t)size - sizeof *f;
    int rc = sec_pread_full(x->fd, h, sizeof *h, 0, x->path);
    if (!rc)
        rc = sec_pread_full(x->fd, f, sizeof *f, footer_at, x->path);
    if (rc)
        return rc;
    if (memcmp(h->magic, SEC_PART_MAGIC, 8) ||
        h->hash != sec_hash64(h, offsetof(struct sec_part_header, hash), 0) || h->words < 1 ||
        h->words > SEC_PART_MAX_WORDS)
        return damaged(x, 0, "header");
    if (memcmp(f->magic, SEC_PART_END_MAGIC, 8) ||
        f->hash != sec_hash64(f, offsetof(struct sec_part_footer, hash), 0))
        return damaged(x, footer_at, "no end of index (truncated?)");
    x->n_pages = (size_t)((f->n_blocks + SEC_PART_PAGE - 1) / SEC_PART_PAGE);
    if (f->pages_at + f->n_blocks * sizeof(struct sec_part_entry) +
            x->n_pages * sizeof *x->fences !=
        footer_at)
        return damaged(x, footer_at, "lengths that do not add up");
    return 0;
}

static int open_index(const char *path, struct index *x)
{
    *x = (struct index){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (x->fd < 0)
        return sec_if_set_aside(sec_fail_errno(errno, "%s: cannot open", path), path);
    int rc = read_ends(x);
    if (rc)
        return rc;
    size_t bytes = x->n_pages * sizeof *x->fences;
    uint64_t at = x->footer.pages_at + x->footer.n_blocks * sizeof(struct sec_part_entry);
    x->fences = malloc(bytes + 1);
    if (!x->fences)
        return sec_fail(SEC_ENOMEM, "%s: cannot allocate %zu bytes", path, bytes);
    rc = sec_pread_full(x->fd, x->fences, bytes, at, path);
    if (!rc && x->footer.fences_hash != sec_hash64(x->fences, bytes, 0))
        rc = damaged(x, at, "index");
    return rc;
}

static void close_index(struct index *x)
{
    if (x->fd >= 0)
        close(x->fd);
    free(x->fences);
}

static int read_page(const struct index *x, size_t i, struct sec_part_entry *page)
{
    const struct sec_part_fence *f = &x->fences[i];
    uint64_t at = x->footer.pages_at + i * SEC_PART_PAGE * sizeof *page;
    if (f->entries > SEC_PART_PAGE)
        return damaged(x, at, "index");
    int rc = sec_pread_full(x->fd, page, f->entries * sizeof *page, at, x->path);
    if (!rc && f->hash != sec_hash64(page, f->entries * sizeof *page, i))
        rc = damaged(x, at, "index page");
    return rc;
}

static size_t block_bytes(const struct index *x, const struct sec_part_entry *e)
{
    return sizeof(struct sec_part_block) + (size_t)e->count * x->header.words * sizeof(uint64_t);
}

static int spill(struct sec_part_stream *s)
{
    int rc = 0;
    sec_sort_u64(s->records, s->n, s->words);
    if (!s->runs)
        rc = sec_runs_new(s->scratch_dir, s->words, s->memory, &s->runs);
    if (!rc)
        rc = sec_runs_add(s->runs, s->records, s->n);
    s->n = 0;
    return rc;
}

static int take_block(struct sec_part_stream *s, const struct index *x,
                      const struct sec_part_entry *e, const unsigned char *raw)
{
    struct sec_part_block block;
    size_t bytes = block_bytes(x, e) - sizeof block;
    memcpy(&block, raw, sizeof block);
    if (block.part != e->part || block.count != e->count ||
        block.hash != sec_hash64(raw + sizeof block, bytes, sec_part_seed(block.part, block.count)))
        return damaged(x, e->offset, "block");
    if (s->n + e->count > s->capacity) {
        int rc = spill(s);
        if (rc)
            return rc;
    }
    memcpy(s->records + s->n * s->words, raw + sizeof block, bytes);
    s->n += e->count;
    s->total += e->count;
    return 0;
}

/* Blocks of one flush of the writer lie next to each other: read as many at once as fit. */
static int load_blocks(struct sec_part_stream *s, const struct index *x,
                       const struct sec_part_entry *e, size_t n)
{
    for (size_t i = 0, end; i < n; i = end) {
        size_t bytes = 0;
        for (end = i; end < n; end++) {
            size_t more = block_bytes(x, &e[end]);
            if (more > sizeof(struct sec_part_block) + SEC_PART_BLOCK || !e[end].count)
                return damaged(x, e[end].offset, "block of impossible length");
            if (e[end].offset != e[i].offset + bytes || bytes + more > s->staging_size)
                break;
            bytes += more;
        }
        int rc = sec_pread_full(x->fd, s->staging, bytes, e[i].offset, x->path);
        for (size_t at = 0; i < end && !rc; at += block_bytes(x, &e[i]), i++)
            rc = take_block(s, x, &e[i], s->staging + at);
        if (rc)
            return rc;
    }
    return 0;
}

static int load_file(struct sec_part_stream *s, const char *path)
{
    struct index x;
    struct sec_part_entry page[SEC_PART_PAGE];
    size_t low = 0, high;
    int rc = open_index(path, &x);
    if (!rc && x.header.words != s->words)
        rc = sec_fail(SEC_EDATA, "%s: has records of %u words, expected %u", path, x.header.words,
                      s->words);
    if (!rc && s->part >= x.header.n_parts)
        rc = sec_fail(SEC_EDATA, "%s: has %llu partitions, none is %zu", path,
                      (unsigned long long)x.header.n_parts, s->part);
    high = rc ? 0 : x.n_pages;
    while (low < high) { /* the first page that begins with part or later */
        size_t middle = low + (high - low) / 2;
        if (x.fences[middle].first_part < s->part)
            low = middle + 1;
        else
            high = middle;
    }
    /* The page before it may end with part. */
    for (size_t i = low ? low - 1 : 0; !rc && i < x.n_pages && x.fences[i].first_part <= s->part;
         i++) {
        size_t from = 0, to;
        rc = read_page(&x, i, page);
        while (!rc && from < x.fences[i].entries && page[from].part < s->part)
            from++;
        for (to = from; !rc && to < x.fences[i].entries && page[to].part == s->part;)
            to++;
        if (!rc)
            rc = load_blocks(s, &x, page + from, to - from);
    }
    close_index(&x);
    return sec_set_aside_damaged(rc, path);
}

int sec_part_open(const struct sec_list *files, size_t part, unsigned words, size_t memory,
                  const char *scratch_dir, struct sec_part_stream **out)
{
    *out = NULL;
    struct sec_part_stream *s = calloc(1, sizeof *s);
    if (!s)
        return sec_fail(SEC_ENOMEM, "partition %zu: out of memory", part);
    if (memory < SEC_PART_LEAST_MEMORY)
        memory = SEC_PART_LEAST_MEMORY;
    s->words = words;
    s->part = part;
    s->memory = memory;
    s->scratch_dir = scratch_dir;
    s->staging_size = memory / 3 < MOST_STAGING ? memory / 3 : MOST_STAGING;
    s->capacity = (memory - s->staging_size) / (words * sizeof *s->records);
    s->staging = malloc(s->staging_size);
    s->records = malloc(s->capacity * words * sizeof *s->records); /* pages not used cost nothing */
    int rc = 0;
    if (!s->staging || !s->records)
        rc = sec_fail(SEC_ENOMEM, "partition %zu: cannot allocate %zu bytes", part, memory);
    for (size_t i = 0; i < files->n && !rc; i++)
        rc = load_file(s, files->v[i]);
    if (!rc && s->runs)
        rc = spill(s);
    else if (!rc)
        sec_sort_u64(s->records, s->n, words);
    free(s->staging);
    s->staging = NULL;
    if (!rc && s->runs) {
        free(s->records);
        s->records = NULL;
        rc = sec_runs_merge(s->runs);
    }
    if (rc)
        sec_part_close(s);
    else
        *out = s;
    return rc;
}

int sec_part_next(struct sec_part_stream *s, const uint64_t **record)
{
    if (s->runs)
        return sec_runs_next(s->runs, record);
    if (s->at == s->n)
        return 1;
    *record = s->records + s->at++ * s->words;
    return 0;
}

uint64_t sec_part_count(const struct sec_part_stream *s)
{
    return s->total;
}

void sec_part_close(struct sec_part_stream *s)
{
    if (!s)
        return;
    sec_runs_free(s->runs);
    free(s->records);
    free(s->staging);
    free(s);
}

int sec_part_counts(const char *path, size_t n_parts, uint64_t *counts)
{
    struct index x;
    struct sec_part_entry page[SEC_PART_PAGE];
    int rc = open_index(path, &x);
    if (!rc && x.header.n_parts != n_parts)
        rc = sec_fail(SEC_EDATA, "%s: has %llu partitions, expected %zu", path,
                      (unsigned long long)x.header.n_parts, n_parts);
    memset(counts, 0, n_parts * sizeof *counts);
    for (size_t i = 0; !rc && i < x.n_pages; i++) {
        rc = read_page(&x, i, page);
        for (size_t k = 0; !rc && k < x.fences[i].entries; k++) {
            if (page[k].part >= n_parts)
                rc = damaged(&x, x.footer.pages_at, "partition in the index");
            else
                counts[page[k].part] += page[k].count;
        }
    }
    close_index(&x);
    return sec_set_aside_damaged(rc, path);
}
