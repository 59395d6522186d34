#include "data/corpus_feed.h"

#include "base/error.h"
#include "data/reader.h"
#include "data/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small enough that a block and its records stay in a core's cache. */
enum { BLOCK = 1 << 19, HEAD = 1 << 16, KEEP = 16 };

struct sec_feed {
    const struct sec_inputs *in;
    const struct sec_corpus_options *o;
    size_t next;
    int input;
    struct sec_reader *reader;
    enum sec_format format;
    bool detected;
    bool skipping;        /* inside a record that is too long */
    struct sec_buf carry; /* start of a record that goes on in the next block */
    uint64_t lines;       /* lines thrown away since the last block */
};

int sec_feed_new(const struct sec_inputs *in, const struct sec_corpus_options *o,
                 struct sec_feed **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return sec_fail(SEC_ENOMEM, "out of memory for reading");
    (*out)->in = in;
    (*out)->o = o;
    return 0;
}

void sec_feed_free(struct sec_feed *f)
{
    if (!f)
        return;
    sec_reader_close(f->reader);
    sec_buf_free(&f->carry);
    free(f);
}

static int open_next(struct sec_feed *f)
{
    if (f->next == f->in->n)
        return 1;
    f->input = (int)f->next++;
    f->detected = f->skipping = false;
    f->lines = 0;
    sec_buf_clear(&f->carry);
    return sec_reader_open(f->in->v[f->input].open, &f->reader);
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
    } else {
        /* An end mark may lie across two reads. */
        throw_away(f, b, eof || b->raw.len < KEEP ? b->raw.len : b->raw.len - KEEP);
    }
}

static int finish(struct sec_feed *f, struct sec_block *b, bool eof)
{
    const char *damage = sec_reader_damage(f->reader);
    int rc = 0;
    sec_buf_clear(&f->carry);
    if (b->raw.len > b->n)
        rc = sec_buf_add(&f->carry, b->raw.data + b->n, b->raw.len - b->n);
    b->input = f->input;
    b->format = f->format;
    b->first_line = f->lines;
    f->lines = 0;
    b->last = eof;
    b->damage[0] = 0;
    if (eof) {
        b->bytes_in = sec_reader_bytes_in(f->reader);
        snprintf(b->damage, sizeof b->damage, "%s", damage ? damage : "");
        sec_reader_close(f->reader);
        f->reader = NULL;
    }
    return rc;
}

int sec_feed_next(struct sec_feed *f, struct sec_block *b)
{
    int rc;
    bool eof = false;
    if (!f->reader) {
        rc = open_next(f);
        if (rc)
            return rc;
    }
    sec_buf_clear(&b->raw);
    b->too_long = 0;
    b->bytes = 0;
    SEC_TRY(sec_buf_reserve(&b->raw, BLOCK + f->carry.len + 1));
    if (f->carry.len)
        SEC_TRY(sec_buf_add(&b->raw, f->carry.data, f->carry.len));
    for (;;) {
        size_t got, want = BLOCK - (b->raw.len < BLOCK ? b->raw.len : 0);
        SEC_TRY(sec_buf_reserve(&b->raw, want + 1));
        SEC_TRY(sec_reader_read(f->reader, b->raw.data + b->raw.len, want, &got));
        b->raw.len += got;
        b->bytes += got;
        eof = got < want;
        if (!f->detected) {
            f->detected = true;
            f->format = sec_format_detect(f->o->format, sec_basename(f->in->v[f->input].path),
                                          b->raw.data, b->raw.len < HEAD ? b->raw.len : HEAD);
        }
        if (f->skipping)
            skip(f, b, eof);
        b->n = 0;
        if (!f->skipping)
            b->n = eof ? b->raw.len : sec_records_cut(f->format, b->raw.data, b->raw.len);
        if (eof || b->n)
            break;
        if (!f->skipping && b->raw.len > f->o->max_record) {
            b->too_long++;
            f->skipping = true;
            skip(f, b, eof);
        }
    }
    rc = finish(f, b, eof);
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

int sec_block_process(struct sec_block *b, const struct sec_corpus_options *o, bool exact,
                      bool masked)
{
    int rc = 0;
    struct sec_span span;
    struct sec_record_iter it = {.format = b->format, .p = b->raw.data, .end = b->raw.data + b->n};
    b->n_records = 0;
    memset(b->changes, 0, sizeof b->changes);
    sec_buf_clear(&b->side);
    SEC_TRY(sec_buf_reserve(&b->side, 3 * b->n + 1));
    SEC_TRY(sec_buf_reserve(&b->scratch, b->n + 1));
    while (sec_records_next(&it, &span)) {
        struct sec_record r = {.line = span.line};
        size_t len = 0;
        if (span.wrapper && all_blank(&span))
            continue;
        char *side = b->side.data + b->side.len;
        if (span.wrapper)
            r.reason = SEC_DROP_WRAPPER;
        else if (span.len > o->max_record)
            r.reason = SEC_DROP_LONG;
        else
            r.reason = sec_clean(span.p, span.len, b->format == SEC_FORMAT_XML, side, &r.p, &len,
                                 b->changes);
        r.len = (uint32_t)len;
        if (r.reason == SEC_KEPT) {
            if (r.p == side)
                b->side.len += len;
            if (exact)
                r.hash = sec_hash128(r.p, len);
            if (masked)
                r.masked = sec_template_hash(r.p, len, b->scratch.data);
        }
        SEC_TRY(add_record(b, &r));
    }
    b->lines = it.line;
fail:
    return rc;
}

void sec_block_free(struct sec_block *b)
{
    sec_buf_free(&b->raw);
    sec_buf_free(&b->side);
    sec_buf_free(&b->scratch);
    free(b->records);
    memset(b, 0, sizeof *b);
}
