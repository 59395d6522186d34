#include "base/error.h"
#include "base/log.h"
#include "data/reader.h"
#include "data/tokenizer_stats.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)1 << 20)

struct sec_lines {
    struct sec_reader *reader;
    const char *path;
    struct sec_buf buf; /* buf.data[at .. buf.len): text not yet given */
    size_t at;
    bool ended;
};

int sec_lines_open(const char *path, struct sec_lines **out)
{
    struct sec_lines *l = calloc(1, sizeof *l);
    if (!l)
        return sec_fail(SEC_ENOMEM, "%s: no memory", path);
    l->path = path;
    int rc = sec_reader_open(path, &l->reader);
    if (rc) {
        free(l);
        return rc;
    }
    *out = l;
    return 0;
}

static int more(struct sec_lines *l)
{
    size_t got;
    if (l->at)
        memmove(l->buf.data, l->buf.data + l->at, l->buf.len - l->at);
    l->buf.len -= l->at;
    l->at = 0;
    int rc = sec_buf_reserve(&l->buf, BLOCK);
    if (!rc)
        rc = sec_reader_read(l->reader, l->buf.data + l->buf.len, BLOCK, &got);
    if (rc)
        return rc;
    l->buf.len += got;
    l->ended = got < BLOCK;
    if (l->ended && sec_reader_damage(l->reader))
        sec_warn("%s: %s; what comes before is used", l->path, sec_reader_damage(l->reader));
    return 0;
}

int sec_lines_next(struct sec_lines *l, char **line, size_t *n)
{
    size_t scanned = 0;
    if (!l->buf.data) {
        int rc = more(l);
        if (rc)
            return rc;
    }
    for (;;) {
        char *start = l->buf.data + l->at;
        size_t left = l->buf.len - l->at;
        char *nl = left > scanned ? memchr(start + scanned, '\n', left - scanned) : NULL;
        if (nl || (l->ended && left)) {
            *line = start;
            *n = nl ? (size_t)(nl - start) : left;
            l->at += *n + (nl != NULL);
            return 0;
        }
        if (l->ended)
            return 1;
        scanned = left;
        int rc = more(l);
        if (rc)
            return rc;
    }
}

void sec_lines_close(struct sec_lines *l)
{
    if (!l)
        return;
    sec_reader_close(l->reader);
    sec_buf_free(&l->buf);
    free(l);
}
