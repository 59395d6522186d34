/* The writer of a document store. */
#include "data/docstore.h"

#include "base/error.h"
#include "base/file.h"
#include "data/docstore_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1, ROWS_BUFFER = 1 << 16 };

struct sec_docwriter {
    struct sec_atomic docs, rows;
    struct sec_buf text, packed, row_bytes;
    ZSTD_CCtx *zstd;
    uint64_t count, checks;
};

void sec_docwriter_abort(struct sec_docwriter *w)
{
    if (!w)
        return;
    sec_atomic_abort(&w->docs);
    sec_atomic_abort(&w->rows);
    sec_buf_free(&w->text);
    sec_buf_free(&w->packed);
    sec_buf_free(&w->row_bytes);
    ZSTD_freeCCtx(w->zstd);
    free(w);
}

static int open_file(struct sec_atomic *a, const char *name, const char *suffix)
{
    char *path;
    if (asprintf(&path, "%s%s", name, suffix) < 0)
        return sec_fail(SEC_ENOMEM, "%s: out of memory for its name", name);
    int rc = sec_atomic_open(a, path);
    free(path);
    return rc;
}

int sec_docwriter_open(const char *name, struct sec_docwriter **out)
{
    int rc = 0;
    *out = NULL;
    struct sec_docwriter *w = calloc(1, sizeof *w);
    if (!w)
        return sec_fail(SEC_ENOMEM, "%s: out of memory for a document store", name);
    w->docs.fd = w->rows.fd = -1;
    w->zstd = ZSTD_createCCtx();
    if (!w->zstd) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory for a zstd compressor", name);
        goto fail;
    }
    ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
    SEC_TRY(open_file(&w->docs, name, ".docs"));
    SEC_TRY(open_file(&w->rows, name, ".rows"));
    *out = w;
    return 0;
fail:
    sec_docwriter_abort(w);
    return rc;
}

static int write_frame(struct sec_docwriter *w)
{
    if (!w->text.len)
        return 0;
    struct sec_doc_head head = {.magic = SEC_DOC_HEAD_MAGIC, .size = sizeof head - 8};
    size_t bound = ZSTD_compressBound(w->text.len);
    sec_buf_clear(&w->packed);
    int rc = sec_buf_reserve(&w->packed, sizeof head + bound);
    if (rc)
        return rc;
    char *frame = w->packed.data + sizeof head;
    size_t n = ZSTD_compress2(w->zstd, frame, bound, w->text.data, w->text.len);
    if (ZSTD_isError(n))
        return sec_fail(SEC_EFAIL, "%s: zstd: %s", w->docs.path, ZSTD_getErrorName(n));
    if (n > UINT32_MAX)
        return sec_fail(SEC_EDATA, "%s: a document of %zu bytes; at most 4 GiB", w->docs.path,
                        w->text.len);
    head.packed = (uint32_t)n;
    head.text = (uint32_t)w->text.len;
    head.check = sec_doc_frame_check(&head, frame);
    memcpy(w->packed.data, &head, sizeof head);
    sec_buf_clear(&w->text);
    return sec_atomic_write(&w->docs, w->packed.data, sizeof head + n);
}

static int write_rows(struct sec_docwriter *w)
{
    int rc = sec_atomic_write(&w->rows, w->row_bytes.data, w->row_bytes.len);
    sec_buf_clear(&w->row_bytes);
    return rc;
}

int sec_docwriter_add(struct sec_docwriter *w, const struct sec_docrow *row, const char *text,
                      size_t len)
{
    int rc = 0;
    if (len > UINT32_MAX)
        return sec_fail(SEC_EDATA, "%s: a document of %zu bytes; at most 4 GiB", w->docs.path, len);
    if (w->text.len && w->text.len + len > SEC_DOC_FRAME_TEXT)
        SEC_TRY(write_frame(w));
    struct sec_docrow full = *row;
    full.frame = w->docs.written;
    full.at = (uint32_t)w->text.len;
    full.len = (uint32_t)len;
    full.zero = 0;
    full.check = sec_doc_row_check(&full, w->count);
    SEC_TRY(sec_buf_add(&w->text, text, len));
    SEC_TRY(sec_buf_add(&w->row_bytes, &full, sizeof full));
    w->checks = sec_doc_chain(w->checks, full.check);
    w->count++;
    if (w->row_bytes.len >= ROWS_BUFFER)
        SEC_TRY(write_rows(w));
fail:
    return rc;
}

int sec_docwriter_seal(struct sec_docwriter *w, uint64_t *documents)
{
    int rc = 0;
    SEC_TRY(write_frame(w));
    struct sec_doc_trailer t = {w->count,
                                sec_hash64(&w->docs.written, sizeof w->docs.written, w->checks),
                                w->docs.written, SEC_DOC_MAGIC};
    SEC_TRY(sec_buf_add(&w->row_bytes, &t, sizeof t));
    SEC_TRY(write_rows(w));
    SEC_TRY(sec_atomic_commit(&w->docs));
    SEC_TRY(sec_atomic_commit(&w->rows));
    if (documents)
        *documents = w->count;
fail:
    sec_docwriter_abort(w);
    return rc;
}
