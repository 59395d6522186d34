#include "data/indexed_dataset.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "data/tokshard_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DOCS = 4096 }; /* looked up and written at once */

static int write_tokens(const struct sec_tokens *t, struct sec_atomic *bin)
{
    int rc = 0;
    const uint64_t n_chunks = sec_tokens_info(t)->n_chunks;
    struct sec_tokctx *ctx = sec_tokctx_new();
    uint16_t *ids = malloc(SEC_TOK_CHUNK * sizeof *ids);
    if (!ctx || !ids) {
        rc = sec_fail(SEC_ENOMEM, "no memory for a chunk of tokens");
        goto fail;
    }
    for (uint64_t c = 0; c < n_chunks; c++) {
        uint32_t n;
        SEC_TRY(sec_tokens_chunk_ctx(t, ctx, c, ids, &n));
        SEC_TRY(sec_atomic_write(bin, ids, n * sizeof *ids));
        sec_progress("%s: chunk %llu of %llu", bin->path, (unsigned long long)c + 1,
                     (unsigned long long)n_chunks);
    }
    sec_progress_done();
fail:
    sec_tokctx_free(ctx);
    free(ids);
    return rc;
}

enum column { LENGTHS, OFFSETS };

/* One of the index's columns over all documents. */
static int write_column(const struct sec_tokens *t, enum column column, struct sec_atomic *idx)
{
    int rc = 0;
    const uint64_t n_docs = sec_tokens_info(t)->n_docs;
    struct sec_docpos *pos = malloc(DOCS * sizeof *pos);
    int32_t *lengths = malloc(DOCS * sizeof *lengths);
    int64_t *offsets = malloc(DOCS * sizeof *offsets), offset = 0;
    if (!pos || !lengths || !offsets) {
        rc = sec_fail(SEC_ENOMEM, "no memory for %d documents of an index", DOCS);
        goto fail;
    }
    for (uint64_t d = 0; d < n_docs; d += DOCS) {
        size_t n = n_docs - d < DOCS ? (size_t)(n_docs - d) : DOCS;
        SEC_TRY(sec_tokens_docpos(t, d, n, pos));
        for (size_t i = 0; i < n; i++) {
            if (pos[i].len > INT32_MAX) {
                rc = sec_fail(SEC_EDATA, "%s: document %llu has %u tokens, the format holds %d",
                              sec_tokens_info(t)->dir, (unsigned long long)(d + i), pos[i].len,
                              INT32_MAX);
                goto fail;
            }
            lengths[i] = (int32_t)pos[i].len;
            offsets[i] = offset;
            offset += (int64_t)pos[i].len * (int64_t)sizeof(uint16_t);
        }
        SEC_TRY(column == LENGTHS ? sec_atomic_write(idx, lengths, n * sizeof *lengths)
                                  : sec_atomic_write(idx, offsets, n * sizeof *offsets));
    }
fail:
    free(pos);
    free(lengths);
    free(offsets);
    return rc;
}

/* 0, 1, ..., n_docs: each document is one sequence. */
static int write_documents(uint64_t n_docs, struct sec_atomic *idx)
{
    int64_t first[DOCS];
    for (uint64_t d = 0; d <= n_docs; d += DOCS) {
        size_t n = n_docs + 1 - d < DOCS ? (size_t)(n_docs + 1 - d) : DOCS;
        for (size_t i = 0; i < n; i++)
            first[i] = (int64_t)(d + i);
        int rc = sec_atomic_write(idx, first, n * sizeof *first);
        if (rc)
            return rc;
    }
    return 0;
}

static int write_index(const struct sec_tokens *t, struct sec_atomic *idx)
{
    int rc;
    const uint64_t n_docs = sec_tokens_info(t)->n_docs, version = 1, n_ends = n_docs + 1;
    const uint8_t uint16_type = 8;
    SEC_TRY(sec_atomic_write(idx, "MMIDIDX\0", 9)); /* with the literal's own NUL */
    SEC_TRY(sec_atomic_write(idx, &version, sizeof version));
    SEC_TRY(sec_atomic_write(idx, &uint16_type, sizeof uint16_type));
    SEC_TRY(sec_atomic_write(idx, &n_docs, sizeof n_docs));
    SEC_TRY(sec_atomic_write(idx, &n_ends, sizeof n_ends));
    SEC_TRY(write_column(t, LENGTHS, idx));
    SEC_TRY(write_column(t, OFFSETS, idx));
    SEC_TRY(write_documents(n_docs, idx));
fail:
    return rc;
}

/* An old index must not point into new tokens, so it goes first. */
static int make_room(const char *bin, const char *idx, bool replace)
{
    const char *there = sec_exists(idx) ? idx : sec_exists(bin) ? bin : NULL;
    if (there && !replace)
        return sec_fail(SEC_EUSAGE, "%s is there already; --force replaces it", there);
    if (unlink(idx) && errno != ENOENT)
        return sec_fail_errno(errno, "%s: cannot replace", idx);
    return 0;
}

static int write_file(const char *path, const struct sec_tokens *t,
                      int (*write)(const struct sec_tokens *, struct sec_atomic *))
{
    struct sec_atomic a;
    int rc = sec_atomic_open(&a, path);
    if (rc)
        return rc;
    rc = write(t, &a);
    if (rc) {
        sec_atomic_abort(&a);
        return rc;
    }
    return sec_atomic_commit(&a);
}

int sec_indexed_dataset_write(const struct sec_tokens *t, const char *prefix, bool replace)
{
    int rc;
    struct sec_buf bin = {0}, idx = {0};
    SEC_TRY(sec_buf_printf(&bin, "%s.bin", prefix));
    SEC_TRY(sec_buf_printf(&idx, "%s.idx", prefix));
    SEC_TRY(make_room(bin.data, idx.data, replace));
    SEC_TRY(write_file(bin.data, t, write_tokens));
    SEC_TRY(write_file(idx.data, t, write_index));
fail:
    sec_buf_free(&bin);
    sec_buf_free(&idx);
    return rc;
}
