#include "data/partfile_format.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OUT = 64 << 10 };

struct sec_part_writer {
    struct sec_atomic file;
    unsigned words;
    size_t n_parts;
    /* Records waiting, and {part << 32 | number of the record}: sorting these is a stable sort of
     * the records by partition. */
    uint64_t *records, *tags;
    size_t n, capacity;
    struct sec_part_entry *entries;
    size_t n_entries, cap_entries;
    uint64_t written; /* records in blocks */
    uint64_t at;      /* file offset including out[] */
    size_t out_len;
    unsigned char out[OUT];
};

static int flush_out(struct sec_part_writer *w)
{
    int rc = w->out_len ? sec_atomic_write(&w->file, w->out, w->out_len) : 0;
    w->out_len = 0;
    return rc;
}

static int put(struct sec_part_writer *w, const void *p, size_t n)
{
    const unsigned char *from = p;
    w->at += n;
    while (n) {
        size_t k = OUT - w->out_len < n ? OUT - w->out_len : n;
        memcpy(w->out + w->out_len, from, k);
        w->out_len += k;
        from += k;
        n -= k;
        if (w->out_len == OUT) {
            int rc = flush_out(w);
            if (rc)
                return rc;
        }
    }
    return 0;
}

int sec_part_create(const char *path, unsigned words, size_t n_parts, size_t memory,
                    struct sec_part_writer **out)
{
    *out = NULL;
    if (words < 1 || words > SEC_PART_MAX_WORDS || !n_parts || n_parts > SEC_PART_MAX_PARTS)
        return sec_fail(SEC_EUSAGE, "%s: a part file cannot have %u words and %zu partitions", path,
                        words, n_parts);
    struct sec_part_writer *w = calloc(1, sizeof *w);
    if (!w)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", path);
    w->file.fd = -1;
    w->words = words;
    w->n_parts = n_parts;
    if (memory < SEC_PART_LEAST_MEMORY)
        memory = SEC_PART_LEAST_MEMORY;
    w->capacity = memory / (sizeof *w->records * words + sizeof *w->tags);
    if (w->capacity > UINT32_MAX)
        w->capacity = UINT32_MAX;
    struct sec_part_header header = {.magic = SEC_PART_MAGIC, .words = words, .n_parts = n_parts};
    header.hash = sec_hash64(&header, offsetof(struct sec_part_header, hash), 0);
    w->records = malloc(w->capacity * words * sizeof *w->records);
    w->tags = malloc(w->capacity * sizeof *w->tags);
    int rc = 0;
    if (!w->records || !w->tags)
        rc = sec_fail(SEC_ENOMEM, "%s: cannot allocate %zu bytes", path, memory);
    if (!rc)
        rc = sec_atomic_open(&w->file, path);
    if (!rc)
        rc = put(w, &header, sizeof header);
    if (rc)
        sec_part_abort(w);
    else
        *out = w;
    return rc;
}

static int add_entry(struct sec_part_writer *w, uint32_t part, uint32_t count)
{
    if (w->n_entries == w->cap_entries) {
        size_t cap = w->cap_entries ? 2 * w->cap_entries : 64;
        void *grown = realloc(w->entries, cap * sizeof *w->entries);
        if (!grown)
            return sec_fail(SEC_ENOMEM, "%s: cannot allocate an index of %zu blocks", w->file.path,
                            cap);
        w->entries = grown;
        w->cap_entries = cap;
    }
    w->entries[w->n_entries++] = (struct sec_part_entry){w->at, part, count};
    return 0;
}

/* The records of tags[0..count), all of one partition. */
static int put_block(struct sec_part_writer *w, const uint64_t *tags, size_t count)
{
    uint64_t payload[SEC_PART_BLOCK / sizeof(uint64_t)];
    size_t bytes = w->words * sizeof *payload;
    for (size_t i = 0; i < count; i++)
        memcpy(payload + i * w->words, w->records + (uint32_t)tags[i] * (size_t)w->words, bytes);
    struct sec_part_block block = {.part = (uint32_t)(tags[0] >> 32), .count = (uint32_t)count};
    block.hash = sec_hash64(payload, count * bytes, sec_part_seed(block.part, block.count));
    if (sec_fault("spool"))
        return sec_fail_errno(errno, "%s: cannot write %zu bytes", w->file.path, count * bytes);
    int rc = add_entry(w, block.part, block.count);
    if (!rc)
        rc = put(w, &block, sizeof block);
    if (!rc)
        rc = put(w, payload, count * bytes);
    w->written += count;
    return rc;
}

static int flush_records(struct sec_part_writer *w)
{
    size_t most = SEC_PART_BLOCK / (w->words * sizeof(uint64_t));
    int rc = 0;
    sec_sort_u64(w->tags, w->n, 1);
    for (size_t i = 0, end; i < w->n && !rc; i = end) {
        for (end = i + 1; end < w->n && end - i < most && w->tags[end] >> 32 == w->tags[i] >> 32;)
            end++;
        rc = put_block(w, w->tags + i, end - i);
    }
    w->n = 0;
    return rc;
}

int sec_part_add(struct sec_part_writer *w, size_t part, const uint64_t *record)
{
    if (part >= w->n_parts)
        return sec_fail(SEC_EUSAGE, "%s: there is no partition %zu of %zu", w->file.path, part,
                        w->n_parts);
    if (w->n == w->capacity) {
        int rc = flush_records(w);
        if (rc)
            return rc;
    }
    memcpy(w->records + w->n * w->words, record, w->words * sizeof *record);
    w->tags[w->n] = (uint64_t)part << 32 | w->n;
    w->n++;
    return 0;
}

static int by_part(const void *pa, const void *pb)
{
    const struct sec_part_entry *a = pa, *b = pb;
    if (a->part != b->part)
        return a->part < b->part ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static int put_index(struct sec_part_writer *w)
{
    size_t n_pages = (w->n_entries + SEC_PART_PAGE - 1) / SEC_PART_PAGE;
    struct sec_part_footer footer = {.pages_at = w->at,
                                     .n_blocks = w->n_entries,
                                     .n_records = w->written,
                                     .magic = SEC_PART_END_MAGIC};
    struct sec_part_fence *fences = calloc(n_pages + 1, sizeof *fences);
    if (!fences)
        return sec_fail(SEC_ENOMEM, "%s: cannot allocate %zu fences", w->file.path, n_pages);
    if (w->n_entries)
        qsort(w->entries, w->n_entries, sizeof *w->entries, by_part);
    int rc = 0;
    for (size_t i = 0; i < n_pages && !rc; i++) {
        const struct sec_part_entry *page = w->entries + i * SEC_PART_PAGE;
        size_t n = w->n_entries - i * SEC_PART_PAGE;
        n = n < SEC_PART_PAGE ? n : SEC_PART_PAGE;
        fences[i].hash = sec_hash64(page, n * sizeof *page, i);
        fences[i].first_part = page->part;
        fences[i].entries = (uint32_t)n;
        rc = put(w, page, n * sizeof *page);
    }
    footer.fences_hash = sec_hash64(fences, n_pages * sizeof *fences, 0);
    footer.hash = sec_hash64(&footer, offsetof(struct sec_part_footer, hash), 0);
    if (!rc)
        rc = put(w, fences, n_pages * sizeof *fences);
    if (!rc)
        rc = put(w, &footer, sizeof footer);
    free(fences);
    return rc;
}

int sec_part_seal(struct sec_part_writer *w, uint64_t *records)
{
    int rc = flush_records(w);
    if (!rc)
        rc = put_index(w);
    if (!rc)
        rc = flush_out(w);
    if (records)
        *records = w->written;
    if (!rc)
        rc = sec_atomic_commit_unsynced(&w->file);
    sec_part_abort(w);
    return rc;
}

int sec_part_finish(struct sec_part_writer **w)
{
    struct sec_part_writer *sealing = *w;
    *w = NULL;
    return sealing ? sec_part_seal(sealing, NULL) : 0;
}

void sec_part_abort(struct sec_part_writer *w)
{
    if (!w)
        return;
    sec_atomic_abort(&w->file);
    free(w->records);
    free(w->tags);
    free(w->entries);
    free(w);
}
