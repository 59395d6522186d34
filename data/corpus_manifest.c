#include "data/corpus_manifest.h"

#include "base/error.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sec_shard_info_free(struct sec_shard_info *s)
{
    free(s->path);
    free(s->source);
    s->path = s->source = NULL;
}

int sec_shard_info_compare(const void *a, const void *b)
{
    const struct sec_shard_info *x = a, *y = b;
    if (x->split != y->split)
        return x->split < y->split ? -1 : 1;
    int c = strcmp(x->source, y->source);
    return c ? c : strcmp(x->path, y->path);
}

int sec_manifest_shard(struct sec_buf *out, const struct sec_shard_info *s)
{
    char xxh3[17];
    snprintf(xxh3, sizeof xxh3, "%016" PRIx64, s->xxh3);
    struct sec_jw w;
    sec_jw_init(&w, out, false);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "path", s->path);
    sec_jw_kstr(&w, "split", sec_split_names[s->split]);
    sec_jw_kstr(&w, "source", s->source);
    sec_jw_ki64(&w, "documents", (int64_t)s->documents);
    sec_jw_ki64(&w, "records", (int64_t)s->records);
    sec_jw_ki64(&w, "bytes_text", (int64_t)s->bytes_text);
    sec_jw_ki64(&w, "bytes_raw", (int64_t)s->bytes_raw);
    sec_jw_ki64(&w, "bytes_packed", (int64_t)s->bytes_packed);
    sec_jw_kstr(&w, "xxh3", xxh3);
    sec_jw_obj_end(&w);
    int rc = sec_jw_end(&w);
    return rc ? rc : sec_buf_addc(out, '\n');
}

static int read_header(const cJSON *obj, const char *where, struct sec_corpus *c)
{
    int rc;
    const char *format;
    int64_t version, seed;
    SEC_TRY(sec_json_str(obj, "format", where, &format));
    SEC_TRY(sec_json_i64(obj, "version", where, &version));
    if (strcmp(format, SEC_CORPUS_FORMAT) || version != SEC_CORPUS_VERSION)
        return sec_fail(SEC_EDATA,
                        "%s: format %s version %" PRId64 ", this program reads %s version %d",
                        where, format, version, SEC_CORPUS_FORMAT, SEC_CORPUS_VERSION);
    SEC_TRY(sec_json_i64(obj, "seed", where, &seed));
    c->seed = (uint64_t)seed;
fail:
    return rc;
}

static int count(const cJSON *obj, const char *key, const char *where, uint64_t *out)
{
    int64_t v = 0;
    int rc = sec_json_i64(obj, key, where, &v);
    if (!rc && v < 0)
        rc = sec_fail(SEC_EDATA, "%s: key '%s' is negative", where, key);
    *out = (uint64_t)v;
    return rc;
}

static int read_shard(const cJSON *obj, const char *where, struct sec_shard_info *s)
{
    int rc;
    const char *path, *split, *source, *xxh3;
    SEC_TRY(sec_json_str(obj, "path", where, &path));
    SEC_TRY(sec_json_str(obj, "split", where, &split));
    SEC_TRY(sec_json_str(obj, "source", where, &source));
    SEC_TRY(sec_json_str(obj, "xxh3", where, &xxh3));
    SEC_TRY(count(obj, "documents", where, &s->documents));
    SEC_TRY(count(obj, "records", where, &s->records));
    SEC_TRY(count(obj, "bytes_text", where, &s->bytes_text));
    SEC_TRY(count(obj, "bytes_raw", where, &s->bytes_raw));
    SEC_TRY(count(obj, "bytes_packed", where, &s->bytes_packed));
    s->xxh3 = strtoull(xxh3, NULL, 16);
    s->split = SEC_N_SPLITS;
    for (int i = 0; i < SEC_N_SPLITS; i++)
        if (!strcmp(split, sec_split_names[i]))
            s->split = (enum sec_split)i;
    if (s->split == SEC_N_SPLITS || path[0] == '/' || strstr(path, "..") || !*source)
        return sec_fail(SEC_EDATA, "%s: not a shard: split \"%s\", path \"%s\"", where, split,
                        path);
    s->path = strdup(path);
    s->source = strdup(source);
    if (!s->path || !s->source)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", where);
fail:
    return rc;
}

/* The shard is there in its full length; its content is verified when it is read. */
static int check_shard(const struct sec_corpus *c, const struct sec_shard_info *s)
{
    char *path = sec_path_join(c->root, s->path);
    if (!path)
        return sec_fail(SEC_ENOMEM, "out of memory for %s", s->path);
    int64_t size = sec_file_size(path);
    int rc = 0;
    if (size < 0)
        rc = sec_fail(SEC_EDATA, "shard %s is missing; build the corpus again", path);
    else if ((uint64_t)size != s->bytes_packed)
        rc = sec_fail(SEC_EDATA,
                      "shard %s has %" PRId64 " bytes, the manifest says %" PRIu64
                      "; build the corpus again",
                      path, size, s->bytes_packed);
    free(path);
    return rc;
}

static int read_line(struct sec_corpus *c, const char *line, size_t n, const char *where,
                     bool first)
{
    cJSON *obj = NULL;
    int rc;
    SEC_TRY(sec_json_parse(line, n, where, &obj));
    if (first) {
        rc = read_header(obj, where, c);
        goto fail;
    }
    struct sec_shard_info *shards = realloc(c->shards, (c->n_shards + 1) * sizeof *shards);
    if (!shards) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory", where);
        goto fail;
    }
    c->shards = shards;
    memset(&shards[c->n_shards++], 0, sizeof *shards);
    rc = read_shard(obj, where, &shards[c->n_shards - 1]);
fail:
    cJSON_Delete(obj);
    return rc;
}

int sec_corpus_open(const char *root, struct sec_corpus *c)
{
    int rc = SEC_ENOMEM;
    struct sec_buf text = {0};
    memset(c, 0, sizeof *c);
    char *path = sec_path_join(root, SEC_MANIFEST);
    c->root = strdup(root);
    if (!path || !c->root) {
        sec_fail(rc, "out of memory for %s", root);
        goto fail;
    }
    if (!sec_exists(path)) {
        rc = sec_fail(SEC_EDATA,
                      "%s is not a corpus: it has no %s (make one with `secenc corpus build`)",
                      root, SEC_MANIFEST);
        goto fail;
    }
    SEC_TRY(sec_read_file(path, &text));
    c->fingerprint = sec_hash64(text.data, text.len, 0);
    unsigned long number = 0;
    for (size_t at = 0; at < text.len;) {
        char where[4200];
        const char *line = text.data + at, *nl = memchr(line, '\n', text.len - at);
        snprintf(where, sizeof where, "%s line %lu", path, ++number);
        if (!nl) {
            rc = sec_fail(SEC_EDATA, "%s is cut off; build the corpus again", where);
            goto fail;
        }
        SEC_TRY(read_line(c, line, (size_t)(nl - line), where, number == 1));
        at += (size_t)(nl - line) + 1;
    }
    if (!c->n_shards) {
        rc = sec_fail(SEC_EDATA, "corpus %s is empty: its %s lists no shard", root, SEC_MANIFEST);
        goto fail;
    }
    for (size_t i = 0; i < c->n_shards; i++)
        SEC_TRY(check_shard(c, &c->shards[i]));
    qsort(c->shards, c->n_shards, sizeof *c->shards, sec_shard_info_compare);
fail:
    free(path);
    sec_buf_free(&text);
    if (rc)
        sec_corpus_close(c);
    return rc;
}

void sec_corpus_close(struct sec_corpus *c)
{
    for (size_t i = 0; i < c->n_shards; i++)
        sec_shard_info_free(&c->shards[i]);
    free(c->shards);
    free(c->root);
    memset(c, 0, sizeof *c);
}
