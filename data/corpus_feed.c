#include "data/corpus_feed.h"

#include "base/error.h"
#include "data/jsonfield.h"
#include "data/pseudonym.h"
#include "data/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Small enough that a block and its records stay in a core's cache. */
enum { BLOCK = 1 << 19, HEAD = 1 << 16, KEEP = 16 };

struct sec_feed {
    const struct sec_inputs *in;
    const struct sec_corpus_options *o;
    const struct sec_task *task;
    size_t next, input;
    struct sec_reader *reader; /* of a packed file, else fd */
    int fd;
    uint64_t file_at; /* fd: bytes read from the file */
    uint64_t at;      /* offset in the task's text of what is read next */
    uint64_t end;     /* fd: offset in the task's text where no record starts any more */
    uint64_t counted; /* offset up to which text was counted */
    bool partial;     /* at the line that began before the task */
    uint64_t hash;
    enum sec_format format;
    bool detected;
    bool skipping;        /* inside a record that is too long, or that began before the task */
    struct sec_buf carry; /* start of a record that goes on in the next block */
    uint64_t lines;       /* lines thrown away since the last block */
};

int sec_feed_new(const struct sec_inputs *in, const struct sec_corpus_options *o,
                 const struct sec_task *task, struct sec_feed **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return sec_fail(SEC_ENOMEM, "out of memory for reading");
    **out = (struct sec_feed){.in = in, .o = o, .task = task, .next = task->first_input, .fd = -1};
    return 0;
}

static void close_file(struct sec_feed *f)
{
    sec_reader_close(f->reader);
    f->reader = NULL;
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

void sec_feed_free(struct sec_feed *f)
{
    if (!f)
        return;
    close_file(f);
    sec_buf_free(&f->carry);
    free(f);
}

uint64_t sec_feed_hash(const struct sec_feed *f)
{
    return f->hash;
}

bool sec_plain_text(const char *head, size_t n)
{
    static const struct {
        size_t at, n;
        const char *bytes;
    } other[] = {{0, 2, "\x1f\x8b"},      {0, 4, "\x28\xb5\x2f\xfd"}, {1, 3, "\x2a\x4d\x18"},
                 {0, 2, "\xff\xfe"},      {0, 2, "\xfe\xff"},         {0, 3, "BZh"},
                 {0, 6, "\xfd\x37zXZ\0"}, {0, 4, "PK\3\4"},           {0, 4, "\x04\x22\x4d\x18"}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (n >= other[i].at + other[i].n &&
            !memcmp(head + other[i].at, other[i].bytes, other[i].n))
            return false;
    return true;
}

static int read_text(struct sec_feed *f, void *p, size_t n, size_t *got)
{
    const struct sec_input *in = &f->in->v[f->input];
    if (f->reader)
        return sec_reader_read(f->reader, p, n, got);
    size_t want = in->size - f->file_at < n ? (size_t)(in->size - f->file_at) : n;
    int rc = sec_read_full(f->fd, p, want, got, in->path);
    f->file_at += *got;
    if (!rc && *got < want)
        rc = sec_fail(SEC_EFAIL,
                      "%s shrank while it was being read: %llu bytes of %llu; run again when it "
                      "stands still",
                      in->path, (unsigned long long)f->file_at, (unsigned long long)in->size);
    return rc;
}

/* The task's part of a plain file: from the byte before it, so that a line which starts with the
 * part is told from one that goes on there. */
static int open_plain(struct sec_feed *f)
{
    const struct sec_task *t = f->task;
    f->file_at = t->begin ? t->begin - 1 : 0;
    f->end = t->end == UINT64_MAX ? UINT64_MAX : t->end - t->begin;
    if (!t->begin)
        return 0;
    f->skipping = f->partial = true;
    f->at = UINT64_MAX; /* the byte before the part: the next one is 0 */
    if (lseek(f->fd, (off_t)f->file_at, SEEK_SET) < 0)
        return sec_fail_errno(errno, "cannot read input %s", f->in->v[f->input].path);
    return 0;
}

static int open_next(struct sec_feed *f)
{
    char head[8];
    size_t got;
    if (f->next == f->task->first_input + f->task->n_inputs)
        return 1;
    f->input = f->next++;
    f->detected = f->skipping = false;
    f->end = UINT64_MAX;
    f->lines = 0;
    sec_buf_clear(&f->carry);
    const struct sec_input *in = &f->in->v[f->input];
    f->fd = open(in->open, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0)
        return sec_fail_errno(errno, "cannot read input %s", in->path);
    int rc = sec_read_full(f->fd, head, sizeof head, &got, in->path);
    if (rc)
        return rc;
    if (sec_plain_text(head, got) && lseek(f->fd, 0, SEEK_SET) == 0)
        return open_plain(f);
    close_file(f);
    return sec_reader_open(in->open, &f->reader);
}

static uint64_t count_lines(const char *p, size_t n)
{
    uint64_t lines = 0;
    const char *end = p + n;
    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        lines++;
        p++;
    }
    return lines;
}

/* Drop the first n bytes of the block's buffer. */
static void throw_away(struct sec_feed *f, struct sec_block *b, size_t n)
{
    f->lines += count_lines(b->raw.data, n);
    f->hash = sec_hash64(b->raw.data, n, f->hash);
    b->offset += n;
    memmove(b->raw.data, b->raw.data + n, b->raw.len - n);
    b->raw.len -= n;
}

/* Leave a record that is too long behind, as far as it has been read. */
static void skip(struct sec_feed *f, struct sec_block *b, bool eof)
{
    size_t end = sec_records_resync(f->format, b->raw.data, b->raw.len);
    if (end) {
        throw_away(f, b, end);
        f->skipping = false;
        if (f->partial) {
            f->partial = false;
            f->counted = b->offset;
            f->lines = 0;
        }
    } else {
        /* An end mark may lie across two reads. */
        throw_away(f, b, eof || b->raw.len < KEEP ? b->raw.len : b->raw.len - KEEP);
    }
}

/* Records that start in another task's part are left out; true: nothing more of this file. */
static bool end_of_part(const struct sec_feed *f, struct sec_block *b)
{
    if (f->end == UINT64_MAX || b->offset + 1 + b->n <= f->end) /* + 1: it may be -1 */
        return false;
    if (b->offset >= f->end) {
        b->n = 0;
        return true;
    }
    size_t last = (size_t)(f->end - b->offset) - 1; /* of the part */
    const char *nl = b->n > last ? memchr(b->raw.data + last, '\n', b->n - last) : NULL;
    if (nl)
        b->n = (size_t)(nl + 1 - b->raw.data);
    return true;
}

static int finish(struct sec_feed *f, struct sec_block *b, bool eof)
{
    const char *damage = f->reader ? sec_reader_damage(f->reader) : NULL;
    bool whole = f->task->end == UINT64_MAX && !f->task->begin;
    int rc = 0;
    sec_buf_clear(&f->carry);
    if (!eof && b->raw.len > b->n)
        rc = sec_buf_add(&f->carry, b->raw.data + b->n, b->raw.len - b->n);
    f->hash = sec_hash64(b->raw.data, b->n, f->hash);
    f->at = b->offset + b->n;
    b->input = f->input;
    b->format = f->format;
    b->first_line = f->lines;
    f->lines = 0;
    b->last = eof;
    b->damage[0] = 0;
    if (eof) {
        b->bytes_in = f->reader ? sec_reader_bytes_in(f->reader)
                      : whole   ? f->in->v[f->input].size
                                : f->task->cost;
        snprintf(b->damage, sizeof b->damage, "%s", damage ? damage : "");
        close_file(f);
    }
    return rc;
}

static void detect(struct sec_feed *f, const struct sec_block *b)
{
    const char *name = sec_basename(f->in->v[f->input].path);
    f->detected = true;
    f->format = f->task->begin ? f->task->format
                               : sec_format_detect(f->o->format, name, b->raw.data,
                                                   b->raw.len < HEAD ? b->raw.len : HEAD);
}

/* Fill the block until it holds a whole record, or the file ends. */
static int fill(struct sec_feed *f, struct sec_block *b, bool *eof)
{
    int rc;
    for (;;) {
        size_t got, want = BLOCK - (b->raw.len < BLOCK ? b->raw.len : 0);
        SEC_TRY(sec_buf_reserve(&b->raw, want + 1));
        SEC_TRY(read_text(f, b->raw.data + b->raw.len, want, &got));
        b->raw.len += got;
        *eof = got < want;
        if (!f->detected)
            detect(f, b);
        if (f->skipping)
            skip(f, b, *eof);
        b->n = 0;
        if (!f->skipping)
            b->n = *eof ? b->raw.len : sec_records_cut(f->format, b->raw.data, b->raw.len);
        if (end_of_part(f, b))
            *eof = true;
        if (*eof || b->n)
            return 0;
        if (!f->skipping && b->raw.len > f->o->max_record) {
            b->too_long++;
            f->skipping = true;
            skip(f, b, *eof);
        }
    }
fail:
    return rc;
}

int sec_feed_next(struct sec_feed *f, struct sec_block *b)
{
    int rc;
    bool eof = false;
    if (!f->reader && f->fd < 0) {
        rc = open_next(f);
        if (rc)
            return rc;
    }
    sec_buf_clear(&b->raw);
    b->too_long = 0;
    b->offset = f->at;
    SEC_TRY(sec_buf_reserve(&b->raw, BLOCK + f->carry.len + 1));
    if (f->carry.len)
        SEC_TRY(sec_buf_add(&b->raw, f->carry.data, f->carry.len));
    SEC_TRY(fill(f, b, &eof));
    rc = finish(f, b, eof);
    b->bytes = f->partial ? 0 : f->at - f->counted;
    f->counted = f->at;
fail:
    return rc;
}

static bool all_blank(const struct sec_span *s)
{
    size_t i = 0;
    while (i < s->len && memchr(" \t\r\n", s->p[i], 4))
        i++;
    return i == s->len;
}

static int add_record(struct sec_block *b, const struct sec_record *r)
{
    if (b->n_records == b->cap_records) {
        size_t cap = b->cap_records ? 2 * b->cap_records : 8192;
        struct sec_record *v = realloc(b->records, cap * sizeof *v);
        if (!v)
            return sec_fail(SEC_ENOMEM, "out of memory for %zu records", cap);
        b->records = v;
        b->cap_records = cap;
    }
    b->records[b->n_records++] = *r;
    return 0;
}

/* One field of a JSON record, or its pairs, into b->field. */
static int take_json(struct sec_block *b, const struct sec_filter *f, struct sec_record *r,
                     struct sec_span *span)
{
    sec_buf_clear(&b->field);
    int got = sec_jsonfield_get(f->json, span->p, span->len, &b->field);
    if (got < 0)
        return got;
    if (got == SEC_JSON_ABSENT)
        r->reason = SEC_DROP_FIELD;
    else if (got == SEC_JSON_MALFORMED)
        r->reason = SEC_DROP_JSON;
    span->p = b->field.data ? b->field.data : "";
    span->len = b->field.len;
    return 0;
}

/* The clean text goes to b->side, or stays where it is; while records are made, r->p of one in
 * b->side is its offset there, since the buffer may move. */
static int make_text(struct sec_block *b, const struct sec_filter *f, struct sec_record *r,
                     const struct sec_span *span, bool *aside)
{
    int rc;
    size_t start = b->side.len, len;
    const char *p;
    SEC_TRY(sec_buf_reserve(&b->side, 3 * span->len + 1));
    char *side = b->side.data + start;
    r->reason =
        sec_clean(span->p, span->len, b->format == SEC_FORMAT_XML, side, &p, &len, b->changes);
    if (r->reason != SEC_KEPT)
        return 0;
    *aside = p == side || (f->json && b->format == SEC_FORMAT_JSONL);
    if (p != side && *aside)
        memcpy(side, p, len);
    if (*aside)
        b->side.len += len;
    if (f->pseudo) {
        bool changed;
        size_t at = b->side.len;
        SEC_TRY(sec_buf_reserve(&b->side, 2 * len + 64)); /* so that p stays while it is read */
        if (*aside)
            p = b->side.data + start;
        SEC_TRY(sec_pseudo_record(f->pseudo, p, len, &b->side, &changed));
        if (changed) {
            start = at;
            len = b->side.len - at;
            *aside = true;
        } else {
            b->side.len = at;
        }
    }
    r->len = (uint32_t)len;
    r->p = *aside ? (const char *)(uintptr_t)start : p;
    if (f->hash)
        r->hash = sec_hash128(*aside ? b->side.data + start : p, len);
fail:
    return rc;
}

int sec_block_process(struct sec_block *b, const struct sec_filter *f)
{
    int rc = 0;
    struct sec_span span;
    struct sec_record_iter it = {.format = b->format, .p = b->raw.data, .end = b->raw.data + b->n};
    b->n_records = 0;
    memset(b->changes, 0, sizeof b->changes);
    sec_buf_clear(&b->side);
    while (sec_records_next(&it, &span)) {
        struct sec_record r = {.line = span.line, .at = (uint32_t)(span.p - b->raw.data)};
        bool aside = false;
        if (span.wrapper && all_blank(&span))
            continue;
        if (span.wrapper)
            r.reason = SEC_DROP_WRAPPER;
        else if (span.len > f->o->max_record)
            r.reason = SEC_DROP_LONG;
        else if (f->json && b->format == SEC_FORMAT_JSONL && span.len)
            SEC_TRY(take_json(b, f, &r, &span));
        if (r.reason == SEC_KEPT)
            SEC_TRY(make_text(b, f, &r, &span, &aside));
        r.aside = aside;
        SEC_TRY(add_record(b, &r));
    }
    for (size_t i = 0; i < b->n_records; i++)
        if (b->records[i].aside)
            b->records[i].p = b->side.data + (uintptr_t)b->records[i].p;
    b->lines = it.line;
fail:
    return rc;
}

void sec_block_free(struct sec_block *b)
{
    sec_buf_free(&b->raw);
    sec_buf_free(&b->side);
    sec_buf_free(&b->field);
    free(b->records);
    memset(b, 0, sizeof *b);
}
