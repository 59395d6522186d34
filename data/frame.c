#include "data/frame.h"

#include "base/error.h"
#include "data/docjson.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Level 1 takes about a tenth of the build's time on logs; higher ones pack some 10 % better but
 * would be its slowest part. */
enum { ZSTD_LEVEL = 1 };

int sec_frame_reset(struct sec_frame *f, const char *source)
{
    if (!f->source || strcmp(f->source, source)) {
        char *copy = strdup(source);
        if (!copy)
            return sec_fail(SEC_ENOMEM, "out of memory for a source name");
        free(f->source);
        f->source = copy;
    }
    sec_buf_clear(&f->text);
    sec_buf_clear(&f->raw);
    sec_buf_clear(&f->packed);
    f->n_docs = 0;
    f->records = 0;
    return 0;
}

int sec_frame_add(struct sec_frame *f, const struct sec_doc *doc)
{
    if (f->n_docs == f->cap_docs) {
        size_t cap = f->cap_docs ? 2 * f->cap_docs : 256;
        struct sec_frame_doc *docs = realloc(f->docs, cap * sizeof *docs);
        if (!docs)
            return sec_fail(SEC_ENOMEM, "out of memory for %zu documents", cap);
        f->docs = docs;
        f->cap_docs = cap;
    }
    f->docs[f->n_docs++] =
        (struct sec_frame_doc){doc->id, f->text.len, doc->text_len, doc->records};
    f->records += doc->records;
    return sec_buf_add(&f->text, doc->text, doc->text_len);
}

int sec_frame_compress(struct sec_frame *f)
{
    if (!f->zstd) {
        f->zstd = ZSTD_createCCtx();
        if (!f->zstd)
            return sec_fail(SEC_ENOMEM, "out of memory for a zstd compressor");
        ZSTD_CCtx_setParameter(f->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
        ZSTD_CCtx_setParameter(f->zstd, ZSTD_c_checksumFlag, 1);
    }
    sec_buf_clear(&f->packed);
    size_t bound = ZSTD_compressBound(f->raw.len);
    int rc = sec_buf_reserve(&f->packed, bound + 1);
    if (rc)
        return rc;
    size_t n = ZSTD_compress2(f->zstd, f->packed.data, bound, f->raw.data, f->raw.len);
    if (ZSTD_isError(n))
        return sec_fail(SEC_EFAIL, "zstd: %s", ZSTD_getErrorName(n));
    f->packed.len = n;
    return 0;
}

int sec_frame_pack(struct sec_frame *f)
{
    sec_buf_clear(&f->raw);
    for (size_t i = 0; i < f->n_docs; i++) {
        const struct sec_frame_doc *d = &f->docs[i];
        struct sec_doc doc = {d->id, f->source, f->text.data + d->off, d->len, d->records};
        int rc = sec_docjson_encode(&f->raw, &doc);
        if (rc)
            return rc;
    }
    return sec_frame_compress(f);
}

void sec_frame_free(struct sec_frame *f)
{
    if (!f)
        return;
    sec_buf_free(&f->text);
    sec_buf_free(&f->raw);
    sec_buf_free(&f->packed);
    ZSTD_freeCCtx(f->zstd);
    free(f->docs);
    free(f->source);
    memset(f, 0, sizeof *f);
}
