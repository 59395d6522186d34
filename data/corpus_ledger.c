#include "data/corpus_shards.h"

#include "base/error.h"
#include "data/packfile.h"
#include "data/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { READ_AT_ONCE = 1 << 20 };

/* The records' part of a task's ledger: frames as they lie, verified by unpacking. */
struct reader {
    const struct sec_corpus_work *w;
    size_t task;
    char *path;
    int fd;
    uint64_t at; /* of the first byte in the buffer */
    bool end;
    struct sec_buf packed, raw;
    struct sec_packfile *out;
};

static int damaged(const struct reader *r, const char *what)
{
    /* The task's documents are made anew with it. */
    char *sum = sec_work_path(r->w, "docs", r->task, "sum");
    if (sum)
        sec_set_aside(sum);
    free(sum);
    sec_set_aside(r->path);
    return sec_fail(SEC_EDATA,
                    "%s is damaged in the frame at byte %" PRIu64
                    " (%s); run the same command again, it is made anew",
                    r->path, r->at, what);
}

static int read_more(struct reader *r)
{
    size_t got;
    int rc = sec_buf_reserve(&r->packed, READ_AT_ONCE);
    if (!rc)
        rc = sec_read_full(r->fd, r->packed.data + r->packed.len, READ_AT_ONCE, &got, r->path);
    if (rc)
        return rc;
    r->packed.len += got;
    r->end = got < READ_AT_ONCE;
    return 0;
}

static int copy_frame(struct reader *r, size_t n)
{
    unsigned long long raw = ZSTD_getFrameContentSize(r->packed.data, n);
    if (raw > UINT32_MAX)
        return damaged(r, "no size");
    int rc;
    sec_buf_clear(&r->raw);
    SEC_TRY(sec_buf_reserve(&r->raw, (size_t)raw + 1));
    size_t got = ZSTD_decompress(r->raw.data, (size_t)raw, r->packed.data, n);
    if (ZSTD_isError(got) || got != raw)
        return damaged(r, ZSTD_isError(got) ? ZSTD_getErrorName(got) : "wrong size");
    rc = raw ? sec_packfile_add(r->out, r->packed.data, n, (size_t)raw) : 0;
    memmove(r->packed.data, r->packed.data + n, r->packed.len - n);
    r->packed.len -= n;
    r->at += n;
fail:
    return rc;
}

static int copy_task(struct reader *r)
{
    int rc = 0;
    r->at = 0;
    r->end = false;
    sec_buf_clear(&r->packed);
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return sec_fail_errno(errno, "cannot open %s", r->path);
    for (;;) {
        size_t n = r->packed.len ? ZSTD_findFrameCompressedSize(r->packed.data, r->packed.len) : 0;
        if (r->packed.len && !ZSTD_isError(n)) {
            SEC_TRY(copy_frame(r, n));
        } else if (!r->end) {
            SEC_TRY(read_more(r));
        } else {
            rc = r->packed.len ? damaged(r, "cut off") : 0;
            break;
        }
    }
fail:
    close(r->fd);
    return rc;
}

static int copy_documents(const struct sec_corpus_work *w, size_t task, const struct sec_frames *f,
                          struct sec_packfile *out, struct sec_buf *packed)
{
    int rc = 0;
    for (uint64_t i = 0; i < f->head.n; i++) {
        if (f->v[i].kind != SEC_FRAMES_LEDGER)
            continue;
        SEC_TRY(sec_frames_read(w, task, &f->v[i], packed));
        SEC_TRY(sec_packfile_add(out, packed->data, packed->len, f->v[i].raw));
    }
fail:
    return rc;
}

int sec_corpus_ledger(struct sec_corpus_work *w, const struct sec_shards *s)
{
    int rc = SEC_ENOMEM;
    uint64_t bytes, xxh3;
    struct reader r = {.w = w};
    char *path = sec_path_join(w->dir, "stage/removed.jsonl.zst");
    if (!path) {
        sec_fail(rc, "out of memory for the ledger");
        goto fail;
    }
    SEC_TRY(sec_packfile_open(path, &r.out));
    for (r.task = 0; r.task < w->n_tasks; r.task++) {
        free(r.path);
        r.path = sec_work_path(w, "removed", r.task, "zst");
        if (!r.path) {
            rc = SEC_ENOMEM;
            goto fail;
        }
        SEC_TRY(copy_task(&r));
        SEC_TRY(copy_documents(w, r.task, &s->frames[r.task], r.out, &r.packed));
    }
    rc = sec_packfile_close(r.out, &bytes, &xxh3);
    r.out = NULL;
fail:
    sec_packfile_abort(r.out);
    sec_buf_free(&r.packed);
    sec_buf_free(&r.raw);
    free(r.path);
    free(path);
    return rc;
}
