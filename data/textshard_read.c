#include "base/error.h"
#include "data/docjson.h"
#include "data/textshard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { INPUT = 1 << 17, STEP = 1 << 17 };

struct sec_shard_reader {
    char *path;
    int fd;
    ZSTD_DCtx *zstd;
    char *in;
    ZSTD_inBuffer input;
    uint64_t file_pos; /* of the end of the input buffer */
    size_t hint;       /* last answer of the decoder: 0 = between frames */
    bool held;         /* the decoder may still hold output of the input it has taken */
    bool eof;
    struct sec_buf
        text; /* decoded bytes; [start, len) not yet handed out, [start, scanned) no \n */
    size_t start, scanned;
    uint64_t line;
};

int sec_shard_reader_open(const char *path, struct sec_shard_reader **out)
{
    *out = NULL;
    struct sec_shard_reader *r = calloc(1, sizeof *r);
    if (!r)
        return sec_fail(SEC_ENOMEM, "out of memory for %s", path);
    r->fd = -1;
    r->path = strdup(path);
    r->in = malloc(INPUT);
    r->zstd = ZSTD_createDCtx();
    if (!r->path || !r->in || !r->zstd) {
        sec_shard_reader_close(r);
        return sec_fail(SEC_ENOMEM, "out of memory for %s", path);
    }
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        int err = errno;
        sec_shard_reader_close(r);
        return sec_fail_errno(err, "cannot open shard %s", path);
    }
    r->input.src = r->in;
    *out = r;
    return 0;
}

void sec_shard_reader_close(struct sec_shard_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    ZSTD_freeDCtx(r->zstd);
    sec_buf_free(&r->text);
    free(r->in);
    free(r->path);
    free(r);
}

/* Decode some more bytes to the end of text; sets eof at the end of a whole file. */
static int fill(struct sec_shard_reader *r)
{
    int rc;
    if (r->start) { /* keep the buffer as long as one line and one step */
        memmove(r->text.data, r->text.data + r->start, r->text.len - r->start);
        r->text.len -= r->start;
        r->scanned -= r->start;
        r->start = 0;
    }
    SEC_TRY(sec_buf_reserve(&r->text, STEP + 1));
    if (r->input.pos == r->input.size && !(r->held && r->hint)) {
        size_t got;
        SEC_TRY(sec_read_full(r->fd, r->in, INPUT, &got, r->path));
        r->file_pos += got;
        r->input.size = got;
        r->input.pos = 0;
        if (!got) {
            r->eof = true;
            if (r->hint)
                return sec_fail(
                    SEC_EDATA,
                    "%s: byte %llu: the shard ends inside a frame; build the corpus again", r->path,
                    (unsigned long long)r->file_pos);
            return 0;
        }
    }
    ZSTD_outBuffer o = {r->text.data + r->text.len, STEP, 0};
    r->hint = ZSTD_decompressStream(r->zstd, &o, &r->input);
    if (ZSTD_isError(r->hint))
        return sec_fail(SEC_EDATA, "%s: byte %llu: damaged frame (%s); build the corpus again",
                        r->path, (unsigned long long)(r->file_pos - r->input.size + r->input.pos),
                        ZSTD_getErrorName(r->hint));
    r->text.len += o.pos;
    r->held = o.pos == o.size;
fail:
    return rc;
}

int sec_shard_reader_next(struct sec_shard_reader *r, struct sec_doc *doc)
{
    int rc;
    char *nl;
    while (!(nl = r->text.len > r->scanned
                      ? memchr(r->text.data + r->scanned, '\n', r->text.len - r->scanned)
                      : NULL)) {
        r->scanned = r->text.len;
        if (r->eof) {
            if (r->start == r->text.len)
                return 1;
            return sec_fail(SEC_EDATA, "%s: line %llu has no end; build the corpus again", r->path,
                            (unsigned long long)r->line + 1);
        }
        SEC_TRY(fill(r));
    }
    char *line = r->text.data + r->start;
    r->line++;
    r->start = r->scanned = (size_t)(nl - r->text.data) + 1;
    rc = sec_docjson_decode(line, (size_t)(nl - line), doc);
    if (rc)
        sec_fail_at(rc, "%s: line %llu", r->path, (unsigned long long)r->line);
fail:
    return rc;
}
