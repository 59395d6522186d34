/* The reader of a document store. */
#include "data/docstore.h"

#include "base/error.h"
#include "base/file.h"
#include "data/docstore_file.h"
#include "data/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/* First read of a frame: most are shorter, so that one call is enough. */
enum { FIRST_READ = 6 << 10 };

struct sec_docstore {
    char *docs, *rows; /* paths */
    int docs_fd, rows_fd;
    uint64_t count, docs_bytes, opening;
};

void sec_docstore_close(struct sec_docstore *s)
{
    if (!s)
        return;
    if (s->docs_fd >= 0)
        close(s->docs_fd);
    if (s->rows_fd >= 0)
        close(s->rows_fd);
    free(s->docs);
    free(s->rows);
    free(s);
}

uint64_t sec_docstore_count(const struct sec_docstore *s)
{
    return s->count;
}

/* Rows first: without them the store counts as not made. */
static int damaged(const struct sec_docstore *s, const char *path, uint64_t byte, const char *what)
{
    sec_set_aside(s->rows);
    sec_set_aside(s->docs);
    return sec_fail(SEC_EDATA,
                    "%s: byte %llu: %s; set aside as %s.damaged, run the command again to make it "
                    "anew",
                    path, (unsigned long long)byte, what, path);
}

/* pread in full, where an early end is damage. */
static int read_at(const struct sec_docstore *s, bool rows, void *p, size_t n, uint64_t off)
{
    const char *path = rows ? s->rows : s->docs;
    int rc = sec_pread_full(rows ? s->rows_fd : s->docs_fd, p, n, off, path);
    return rc == SEC_EDATA ? damaged(s, path, off, "the file ends too early") : rc;
}

static int check_store(struct sec_docstore *s)
{
    struct sec_doc_trailer t;
    struct stat rows, docs;
    if (fstat(s->rows_fd, &rows) || fstat(s->docs_fd, &docs))
        return sec_fail_errno(errno, "%s: cannot ask for its size", s->rows);
    uint64_t size = (uint64_t)rows.st_size;
    if (size < sizeof t || (size - sizeof t) % sizeof(struct sec_docrow))
        return damaged(s, s->rows, size, "the file is cut");
    int rc = read_at(s, true, &t, sizeof t, size - sizeof t);
    if (rc)
        return rc;
    if (t.magic != SEC_DOC_MAGIC || t.check != sec_doc_trailer_check(&t) ||
        t.count != (size - sizeof t) / sizeof(struct sec_docrow))
        return damaged(s, s->rows, size - sizeof t, "damaged trailer");
    s->count = t.count;
    s->docs_bytes = t.docs_bytes;
    if (t.docs_bytes != (uint64_t)docs.st_size)
        return damaged(s, s->docs, (uint64_t)docs.st_size,
                       "the file has another length than its rows say");
    return rc;
}

int sec_docstore_open(const char *name, struct sec_docstore **out)
{
    static atomic_ullong openings;
    int rc = 0;
    *out = NULL;
    struct sec_docstore *s = calloc(1, sizeof *s);
    if (!s)
        return sec_fail(SEC_ENOMEM, "%s: out of memory for a document store", name);
    s->docs_fd = s->rows_fd = -1;
    s->opening = atomic_fetch_add(&openings, 1) + 1;
    if (asprintf(&s->docs, "%s.docs", name) < 0)
        s->docs = NULL;
    if (asprintf(&s->rows, "%s.rows", name) < 0)
        s->rows = NULL;
    if (!s->docs || !s->rows) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory for its name", name);
        goto fail;
    }
    s->rows_fd = open(s->rows, O_RDONLY | O_CLOEXEC);
    if (s->rows_fd < 0) {
        rc = sec_fail_errno(errno, "%s: cannot open", s->rows);
        goto fail;
    }
    s->docs_fd = open(s->docs, O_RDONLY | O_CLOEXEC);
    if (s->docs_fd < 0) {
        rc = errno == ENOENT ? damaged(s, s->docs, 0, "the file is missing")
                             : sec_fail_errno(errno, "%s: cannot open", s->docs);
        goto fail;
    }
    SEC_TRY(check_store(s));
    *out = s;
    return 0;
fail:
    sec_docstore_close(s);
    return rc;
}

/* The packed frame at byte off with its head -> r->packed. */
static int read_frame(const struct sec_docstore *s, struct sec_docreader *r, uint64_t off,
                      struct sec_doc_head *head)
{
    uint64_t left = off < s->docs_bytes ? s->docs_bytes - off : 0;
    size_t n = left < FIRST_READ ? (size_t)left : FIRST_READ;
    if (n < sizeof *head)
        return damaged(s, s->docs, off, "no frame here");
    sec_buf_clear(&r->packed);
    int rc = sec_buf_reserve(&r->packed, n);
    if (!rc)
        rc = read_at(s, false, r->packed.data, n, off);
    if (rc)
        return rc;
    memcpy(head, r->packed.data, sizeof *head);
    size_t all = sizeof *head + head->packed;
    if (head->magic != SEC_DOC_HEAD_MAGIC || head->size != sizeof *head - 8 || all > left)
        return damaged(s, s->docs, off, "damaged head of a frame");
    if (all > n) {
        r->packed.len = n;
        rc = sec_buf_reserve(&r->packed, all - n);
        if (!rc)
            rc = read_at(s, false, r->packed.data + n, all - n, off + n);
        if (rc)
            return rc;
    }
    if (sec_doc_frame_check(head, r->packed.data + sizeof *head) != head->check)
        return damaged(s, s->docs, off, "damaged frame");
    return 0;
}

static int decode_frame(struct sec_docstore *s, struct sec_docreader *r, uint64_t off)
{
    struct sec_doc_head head;
    r->store = NULL;
    if (!r->zstd && !(r->zstd = ZSTD_createDCtx()))
        return sec_fail(SEC_ENOMEM, "%s: out of memory for a zstd decoder", s->docs);
    int rc = read_frame(s, r, off, &head);
    if (rc)
        return rc;
    sec_buf_clear(&r->text);
    rc = sec_buf_reserve(&r->text, head.text);
    if (rc)
        return rc;
    size_t n = ZSTD_decompressDCtx(r->zstd, r->text.data, head.text, r->packed.data + sizeof head,
                                   head.packed);
    if (n != head.text)
        return damaged(s, s->docs, off, "damaged frame");
    r->text.len = n;
    r->store = s;
    r->opening = s->opening;
    r->frame = off;
    return 0;
}

/* Rows are read some at a time: most are asked for in order. */
static int get_row(const struct sec_docstore *s, struct sec_docreader *r, uint64_t i,
                   struct sec_docrow *row)
{
    enum { AT_ONCE = sizeof r->rows / sizeof *r->rows };
    uint64_t first = i / AT_ONCE * AT_ONCE;
    if (r->rows_of != s->opening || r->rows_first != first) {
        size_t n = s->count - first < AT_ONCE ? (size_t)(s->count - first) : AT_ONCE;
        r->rows_of = 0;
        int rc = read_at(s, true, r->rows, n * sizeof *r->rows, first * sizeof *r->rows);
        if (rc)
            return rc;
        r->rows_of = s->opening;
        r->rows_first = first;
    }
    *row = r->rows[i - first];
    if (sec_doc_row_check(row, i) != row->check)
        return damaged(s, s->rows, i * sizeof *row, "damaged row");
    return 0;
}

int sec_docstore_get(struct sec_docstore *s, struct sec_docreader *r, uint64_t i,
                     struct sec_docrow *row, const char **text)
{
    if (i >= s->count)
        return sec_fail(SEC_EDATA, "%s: no document %llu of %llu", s->rows, (unsigned long long)i,
                        (unsigned long long)s->count);
    struct sec_docrow own;
    if (!row)
        row = &own;
    int rc = get_row(s, r, i, row);
    if (rc || !text)
        return rc;
    if (!row->len) {
        *text = "";
        return 0;
    }
    if (r->store != s || r->opening != s->opening || r->frame != row->frame) {
        rc = decode_frame(s, r, row->frame);
        if (rc)
            return rc;
    }
    if ((uint64_t)row->at + row->len > r->text.len)
        return damaged(s, s->rows, i * sizeof *row, "the row points beyond its frame");
    *text = r->text.data + row->at;
    return 0;
}

void sec_docreader_free(struct sec_docreader *r)
{
    ZSTD_freeDCtx(r->zstd);
    sec_buf_free(&r->packed);
    sec_buf_free(&r->text);
    memset(r, 0, sizeof *r);
}
