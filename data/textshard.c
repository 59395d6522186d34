#include "data/textshard.h"

#include "base/error.h"
#include "data/frame.h"
#include "data/packfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const sec_split_names[SEC_N_SPLITS] = {"train", "idts", "odts"};

struct sec_shard_writer {
    struct sec_packfile *file;
    struct sec_frame frame; /* of documents added one by one */
    struct sec_shard_info info;
};

static void release(struct sec_shard_writer *w)
{
    sec_frame_free(&w->frame);
    free(w->info.path);
    free(w->info.source);
    free(w);
}

int sec_shard_writer_open(const char *root, enum sec_split split, const char *source, int number,
                          struct sec_shard_writer **out)
{
    int rc = SEC_ENOMEM;
    char *dir = NULL, *path = NULL;
    *out = NULL;
    struct sec_shard_writer *w = calloc(1, sizeof *w);
    if (!w)
        return sec_fail(SEC_ENOMEM, "out of memory for a shard of %s", source);
    w->info.split = split;
    w->info.source = strdup(source);
    if (asprintf(&w->info.path, "%s/%s/%06d.jsonl.zst", sec_split_names[split], source, number) < 0)
        w->info.path = NULL;
    if (!w->info.source || !w->info.path || asprintf(&path, "%s/%s", root, w->info.path) < 0) {
        sec_fail(SEC_ENOMEM, "out of memory for a shard of %s", source);
        goto fail;
    }
    dir = strdup(path);
    if (!dir) {
        sec_fail(SEC_ENOMEM, "out of memory for %s", path);
        goto fail;
    }
    *strrchr(dir, '/') = 0;
    SEC_TRY(sec_mkdir_p(dir));
    SEC_TRY(sec_frame_reset(&w->frame, source));
    SEC_TRY(sec_packfile_open(path, &w->file));
    *out = w;
    w = NULL;
fail:
    if (w)
        release(w);
    free(dir);
    free(path);
    return rc;
}

void sec_shard_writer_unsynced(struct sec_shard_writer *w)
{
    sec_packfile_unsynced(w->file);
}

static int put_packed(struct sec_shard_writer *w, const struct sec_buf *packed,
                      const struct sec_shard_info *contents)
{
    w->info.documents += contents->documents;
    w->info.records += contents->records;
    w->info.bytes_text += contents->bytes_text;
    return sec_packfile_add(w->file, packed->data, packed->len, contents->bytes_raw);
}

static int put_frame(struct sec_shard_writer *w, const struct sec_frame *f)
{
    struct sec_shard_info contents = {.documents = f->n_docs,
                                      .records = f->records,
                                      .bytes_text = f->text.len,
                                      .bytes_raw = f->raw.len};
    return put_packed(w, &f->packed, &contents);
}

static int flush(struct sec_shard_writer *w)
{
    int rc;
    if (!w->frame.n_docs)
        return 0;
    SEC_TRY(sec_frame_pack(&w->frame));
    SEC_TRY(put_frame(w, &w->frame));
    SEC_TRY(sec_frame_reset(&w->frame, w->info.source));
fail:
    return rc;
}

int sec_shard_writer_add(struct sec_shard_writer *w, const struct sec_doc *doc)
{
    int rc = sec_frame_add(&w->frame, doc);
    return rc || !sec_frame_full(&w->frame) ? rc : flush(w);
}

int sec_shard_writer_add_frame(struct sec_shard_writer *w, const struct sec_frame *f)
{
    int rc = flush(w);
    return rc ? rc : put_frame(w, f);
}

int sec_shard_writer_add_packed(struct sec_shard_writer *w, const struct sec_buf *packed,
                                const struct sec_shard_info *contents)
{
    int rc = flush(w);
    return rc ? rc : put_packed(w, packed, contents);
}

uint64_t sec_shard_writer_bytes(const struct sec_shard_writer *w)
{
    return sec_packfile_raw(w->file) + w->frame.text.len;
}

int sec_shard_writer_close(struct sec_shard_writer *w, struct sec_shard_info *info)
{
    int rc = flush(w);
    if (rc) {
        sec_shard_writer_abort(w);
        return rc;
    }
    w->info.bytes_raw = sec_packfile_raw(w->file);
    rc = sec_packfile_close(w->file, &w->info.bytes_packed, &w->info.xxh3);
    if (!rc) {
        *info = w->info;
        w->info.path = w->info.source = NULL;
    }
    release(w);
    return rc;
}

void sec_shard_writer_abort(struct sec_shard_writer *w)
{
    if (!w)
        return;
    sec_packfile_abort(w->file);
    release(w);
}
