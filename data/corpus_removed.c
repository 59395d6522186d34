#include "data/corpus_removed.h"

#include "base/error.h"
#include "data/docjson.h"
#include "data/frame.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct sec_removed {
    const struct sec_corpus_work *w;
    struct sec_atomic file;
    struct sec_frame frame;
    struct sec_buf place; /* ","source":...,"file":...,"line": of input */
    size_t input;
};

int sec_removed_open(const struct sec_corpus_work *w, size_t task, struct sec_removed **out)
{
    int rc = SEC_ENOMEM;
    char *path = sec_work_path(w, "removed", task, "zst");
    struct sec_removed *r = calloc(1, sizeof *r);
    if (!path || !r) {
        sec_fail(rc, "out of memory for the ledger");
        goto fail;
    }
    r->w = w;
    r->input = SIZE_MAX;
    r->file.fd = -1;
    SEC_TRY(sec_frame_reset(&r->frame, ""));
    SEC_TRY(sec_atomic_open(&r->file, path));
    *out = r;
    r = NULL;
fail:
    sec_removed_abort(r);
    free(path);
    return rc;
}

static int flush(struct sec_removed *r)
{
    int rc = 0;
    if (!r->frame.raw.len)
        return 0;
    SEC_TRY(sec_frame_compress(&r->frame));
    SEC_TRY(sec_atomic_write(&r->file, r->frame.packed.data, r->frame.packed.len));
    rc = sec_frame_reset(&r->frame, "");
fail:
    return rc;
}

static int make_place(struct sec_removed *r, size_t input)
{
    int rc;
    const struct sec_input *in = &r->w->in.v[input];
    const char *source = r->w->in.sources[in->source].name;
    r->input = input;
    sec_buf_clear(&r->place);
    SEC_TRY(sec_buf_adds(&r->place, "\",\"source\":"));
    SEC_TRY(sec_docjson_quote(&r->place, source, strlen(source)));
    SEC_TRY(sec_buf_adds(&r->place, ",\"file\":"));
    SEC_TRY(sec_docjson_quote(&r->place, in->path, strlen(in->path)));
    SEC_TRY(sec_buf_adds(&r->place, ",\"line\":"));
fail:
    return rc;
}

/* ,"keeper":"16 hex" */
static void put_keeper(struct sec_buf *out, uint64_t keeper)
{
    static const char head[] = ",\"keeper\":\"";
    memcpy(out->data + out->len, head, sizeof head - 1);
    char *p = out->data + out->len + sizeof head - 1;
    for (int i = 0; i < 16; i++)
        p[i] = "0123456789abcdef"[keeper >> (60 - 4 * i) & 15];
    p[16] = '"';
    out->len += sizeof head - 1 + 17;
}

int sec_removed_record(struct sec_removed *r, enum sec_reason reason, size_t input, uint64_t line,
                       const uint64_t *keeper)
{
    int rc = 0;
    struct sec_buf *out = &r->frame.raw;
    char number[24], *n = number + sizeof number;
    if (input != r->input)
        SEC_TRY(make_place(r, input));
    do
        *--n = (char)('0' + line % 10);
    while (line /= 10);
    SEC_TRY(sec_buf_adds(out, "{\"reason\":\""));
    SEC_TRY(sec_buf_adds(out, sec_reason_names[reason]));
    SEC_TRY(sec_buf_add(out, r->place.data, r->place.len));
    SEC_TRY(sec_buf_add(out, n, (size_t)(number + sizeof number - n)));
    SEC_TRY(sec_buf_reserve(out, 40));
    if (keeper)
        put_keeper(out, *keeper);
    SEC_TRY(sec_buf_add(out, "}\n", 2));
    if (out->len >= SEC_FRAME_TEXT)
        rc = flush(r);
fail:
    return rc;
}

int sec_removed_seal(struct sec_removed *r)
{
    int rc = flush(r);
    if (!rc)
        rc = sec_atomic_commit_unsynced(&r->file);
    sec_removed_abort(r);
    return rc;
}

void sec_removed_abort(struct sec_removed *r)
{
    if (!r)
        return;
    sec_atomic_abort(&r->file);
    sec_frame_free(&r->frame);
    sec_buf_free(&r->place);
    free(r);
}
