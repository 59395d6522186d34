#include "data/corpus_out.h"

#include "base/error.h"
#include "data/corpus_manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEDGER "removed.jsonl.zst"

/* What a corpus consists of; the manifest last, it makes a corpus of the rest. */
static const char *const parts[] = {"train", "idts", "odts", LEDGER, SEC_MANIFEST};
enum { N_PARTS = sizeof parts / sizeof *parts };

/* "a/b" + prefix + name, malloc'd. */
static char *part_path(const char *dir, const char *prefix, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s%s", dir, prefix, name) < 0) {
        sec_fail(SEC_ENOMEM, "out of memory for %s/%s", dir, name);
        return NULL;
    }
    return path;
}

static bool have(const char *dir, const char *prefix, const char *name)
{
    char *path = part_path(dir, prefix, name);
    bool yes = path && sec_exists(path);
    free(path);
    return yes;
}

static int move_part(const char *from_dir, const char *from_prefix, const char *to_dir,
                     const char *to_prefix, const char *name)
{
    char *from = part_path(from_dir, from_prefix, name), *to = part_path(to_dir, to_prefix, name);
    int rc = !from || !to ? SEC_ENOMEM : sec_exists(from) ? sec_rename_durable(from, to) : 0;
    free(from);
    free(to);
    return rc;
}

/* Put the old corpus back after a commit that did not come to its end. */
static int roll_back(const char *root, const char *stage)
{
    int rc = 0;
    for (int i = 0; i < N_PARTS; i++) {
        if (!have(stage, "old-", parts[i]))
            continue;
        char *now = part_path(root, "", parts[i]);
        rc = now ? sec_remove_tree(now) : SEC_ENOMEM;
        free(now);
        if (!rc)
            rc = move_part(stage, "old-", root, "", parts[i]);
        if (rc)
            break;
    }
    return rc;
}

static bool is_part(const char *name)
{
    for (int i = 0; i < N_PARTS; i++)
        if (!strcmp(name, parts[i]))
            return true;
    return !strcmp(name, ".lock") || !strcmp(name, ".build");
}

/* Is the manifest that of a text corpus (and not, say, of token shards)? */
static bool is_corpus(const char *root)
{
    struct sec_buf text = {0};
    char *path = part_path(root, "", SEC_MANIFEST);
    bool yes = path && !sec_read_file(path, &text) && text.len &&
               memmem(text.data, text.len < 200 ? text.len : 200, SEC_CORPUS_FORMAT,
                      strlen(SEC_CORPUS_FORMAT));
    free(path);
    sec_buf_free(&text);
    sec_error_clear();
    return yes;
}

/* The root is empty, or --force was given and it holds nothing but a corpus. */
static int check_root(const char *root, bool force)
{
    struct sec_list names = {0};
    int rc = sec_list_dir(root, &names);
    bool any = false;
    for (size_t i = 0; !rc && i < names.n; i++) {
        if (!is_part(names.v[i]) && strcmp(names.v[i], "lost+found"))
            rc = sec_fail(SEC_EUSAGE,
                          "%s holds other files (%s): choose an empty or new folder for -o", root,
                          names.v[i]);
        any = any || names.v[i][0] != '.';
    }
    if (!rc && have(root, "", SEC_MANIFEST) && !is_corpus(root))
        rc = sec_fail(SEC_EUSAGE, "%s holds another data set, not a corpus: choose another folder",
                      root);
    else if (!rc && any && !force)
        rc = sec_fail(SEC_EUSAGE, "%s already holds a corpus: give --force to replace it", root);
    sec_list_free(&names);
    return rc;
}

int sec_output_open(const struct sec_corpus_options *o, struct sec_output *out)
{
    int rc = SEC_ENOMEM;
    char *lock = NULL;
    memset(out, 0, sizeof *out);
    out->lock = -1;
    out->shard_bytes = o->shard_bytes;
    out->root = strdup(o->out);
    out->stage = part_path(o->out, "", ".build");
    lock = part_path(o->out, "", ".lock");
    if (!out->root || !out->stage || !lock) {
        sec_fail(rc, "out of memory for %s", o->out);
        goto fail;
    }
    if (sec_exists(o->out) && !sec_is_dir(o->out)) {
        rc = sec_fail(SEC_EUSAGE, "-o %s is a file, a folder is needed", o->out);
        goto fail;
    }
    out->made_root = !sec_exists(o->out);
    SEC_TRY(sec_mkdir_p(o->out));
    SEC_TRY(sec_lock_file(lock, &out->lock));
    if (!have(out->root, "", SEC_MANIFEST))
        SEC_TRY(roll_back(out->root, out->stage));
    SEC_TRY(check_root(out->root, o->force));
    SEC_TRY(sec_remove_tree(out->stage));
    SEC_TRY(sec_mkdir_p(out->stage));
    if (o->ledger) {
        free(lock);
        lock = part_path(out->stage, "", LEDGER);
        rc = lock ? sec_packfile_open(lock, &out->ledger) : SEC_ENOMEM;
        if (!rc)
            sec_packfile_unsynced(out->ledger);
    }
fail:
    free(lock);
    if (rc)
        sec_output_close(out);
    return rc;
}

static int keep_info(struct sec_output *out, struct sec_shard_info *info)
{
    if (out->n_shards == out->cap_shards) {
        size_t cap = out->cap_shards ? 2 * out->cap_shards : 64;
        struct sec_shard_info *v = realloc(out->shards, cap * sizeof *v);
        if (!v) {
            sec_shard_info_free(info);
            return sec_fail(SEC_ENOMEM, "out of memory for %zu shards", cap);
        }
        out->shards = v;
        out->cap_shards = cap;
    }
    out->shards[out->n_shards++] = *info;
    return 0;
}

static int close_shard(struct sec_output *out, int split)
{
    struct sec_shard_info info;
    if (!out->writers[split])
        return 0;
    int rc = sec_shard_writer_close(out->writers[split], &info);
    out->writers[split] = NULL;
    return rc ? rc : keep_info(out, &info);
}

static int next_shard(struct sec_output *out, int split, const char *source)
{
    int rc = 0;
    bool same = out->source[split] && !strcmp(out->source[split], source);
    SEC_TRY(close_shard(out, split));
    out->number[split] = same ? out->number[split] + 1 : 0;
    if (!same) {
        free(out->source[split]);
        out->source[split] = strdup(source);
        if (!out->source[split])
            return sec_fail(SEC_ENOMEM, "out of memory for a shard of %s", source);
    }
    rc = sec_shard_writer_open(out->stage, (enum sec_split)split, source, out->number[split],
                               &out->writers[split]);
    if (!rc)
        sec_shard_writer_unsynced(out->writers[split]);
fail:
    return rc;
}

int sec_output_write(struct sec_output *out, const struct sec_job *job)
{
    const struct sec_frame *f = job->frame;
    if (job->kind == SEC_JOB_LEDGER)
        return sec_packfile_add(out->ledger, f->packed.data, f->packed.len, f->raw.len);
    struct sec_shard_writer *w = out->writers[job->kind];
    if (!w || strcmp(out->source[job->kind], f->source) ||
        sec_shard_writer_bytes(w) + f->raw.len > out->shard_bytes) {
        int rc = next_shard(out, job->kind, f->source);
        if (rc)
            return rc;
    }
    return sec_shard_writer_add_frame(out->writers[job->kind], f);
}

int sec_output_finish(struct sec_output *out)
{
    int rc = 0;
    for (int k = 0; k < SEC_N_SPLITS; k++)
        SEC_TRY(close_shard(out, k));
    if (out->ledger) {
        uint64_t bytes, xxh3;
        rc = sec_packfile_close(out->ledger, &bytes, &xxh3);
        out->ledger = NULL;
        if (rc)
            return rc;
    }
    SEC_TRY(sec_fsync_tree(out->stage));
    if (out->n_shards)
        qsort(out->shards, out->n_shards, sizeof *out->shards, sec_shard_info_compare);
fail:
    return rc;
}

int sec_output_commit(struct sec_output *out, const struct sec_buf *manifest)
{
    int rc;
    bool replaces = have(out->root, "", SEC_MANIFEST);
    char *path = part_path(out->stage, "", SEC_MANIFEST);
    if (!path)
        return SEC_ENOMEM;
    rc = sec_write_file(path, manifest->data, manifest->len);
    free(path);
    if (rc)
        return rc;
    SEC_TRY(move_part(out->root, "", out->stage, "old-", SEC_MANIFEST));
    for (int i = 0; i < N_PARTS; i++) {
        SEC_TRY(move_part(out->root, "", out->stage, "old-", parts[i]));
        SEC_TRY(move_part(out->stage, "", out->root, "", parts[i]));
    }
    out->made_root = false;
fail:
    if (rc && replaces) {
        char *message = sec_error_take();
        roll_back(out->root, out->stage);
        sec_error_put(rc, message);
    }
    return rc;
}

void sec_output_close(struct sec_output *out)
{
    char *message = sec_error_take(); /* cleaning up must not hide why */
    for (int k = 0; k < SEC_N_SPLITS; k++) {
        sec_shard_writer_abort(out->writers[k]);
        free(out->source[k]);
    }
    sec_packfile_abort(out->ledger);
    for (size_t i = 0; i < out->n_shards; i++)
        sec_shard_info_free(&out->shards[i]);
    free(out->shards);
    if (out->lock >= 0) { /* else the folder is another build's */
        sec_remove_tree(out->stage);
        if (out->made_root)
            sec_remove_tree(out->root);
        sec_unlock_file(out->lock);
    }
    sec_error_clear();
    if (message)
        sec_error_put(SEC_EFAIL, message);
    free(out->root);
    free(out->stage);
    memset(out, 0, sizeof *out);
    out->lock = -1;
}
