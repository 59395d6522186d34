#include "data/tokshard_manifest.h"

#include "base/error.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FORMAT[] = "secencoder-tokens";

static void put_hex(struct sec_jw *w, const char *key, uint64_t v)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, v);
    sec_jw_kstr(w, key, text);
}

static void put_u64(struct sec_jw *w, const char *key, uint64_t v)
{
    sec_jw_key(w, key);
    sec_jw_u64(w, v);
}

static void put_count(struct sec_jw *w, const char *key, const struct sec_tok_count *c)
{
    sec_jw_key(w, key);
    sec_jw_obj(w);
    put_u64(w, "docs", c->docs);
    put_u64(w, "tokens", c->tokens);
    put_u64(w, "bytes", c->bytes);
    sec_jw_obj_end(w);
}

double sec_tokmanifest_share(const struct sec_tokmanifest *m, size_t source)
{
    double all = (double)m->total[SEC_SPLIT_TRAIN].tokens;
    return all > 0 ? (double)m->sources[source].split[SEC_SPLIT_TRAIN].tokens / all : 0;
}

static void put_header(struct sec_jw *w, const struct sec_tokmanifest *m)
{
    sec_jw_obj(w);
    sec_jw_kstr(w, "format", FORMAT);
    put_u64(w, "version", SEC_TOK_FORMAT);
    sec_jw_kstr(w, "tokenizer", m->tokenizer);
    sec_jw_ki64(w, "vocab_size", m->vocab_size);
    put_hex(w, "corpus", m->corpus);
    put_u64(w, "seed", m->seed);
    put_u64(w, "tokens_per_shard", m->tokens_per_shard);
    sec_jw_kf64(w, "temperature", m->temperature);
    sec_jw_kf64(w, "source_cap", m->source_cap);
    put_u64(w, "shards", m->n_shards);
    sec_jw_key(w, "splits");
    sec_jw_obj(w);
    for (int s = 0; s < SEC_N_SPLITS; s++)
        put_count(w, sec_split_names[s], &m->total[s]);
    sec_jw_obj_end(w);
    sec_jw_key(w, "sources");
    sec_jw_arr(w);
    for (size_t i = 0; i < m->n_sources; i++) {
        const struct sec_tok_source *src = &m->sources[i];
        sec_jw_obj(w);
        sec_jw_kstr(w, "name", src->name);
        sec_jw_kf64(w, "factor", src->factor);
        sec_jw_kf64(w, "natural_share", src->natural_share);
        sec_jw_kf64(w, "share", sec_tokmanifest_share(m, i));
        for (int s = 0; s < SEC_N_SPLITS; s++)
            if (src->split[s].docs)
                put_count(w, sec_split_names[s], &src->split[s]);
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
    sec_jw_obj_end(w);
}

static void put_shard(struct sec_jw *w, const struct sec_tokshard_info *s)
{
    sec_jw_obj(w);
    sec_jw_kstr(w, "path", s->path);
    sec_jw_kstr(w, "split", sec_split_names[s->split]);
    put_u64(w, "docs", s->docs);
    put_u64(w, "tokens", s->tokens);
    put_u64(w, "bytes", s->bytes);
    put_u64(w, "bytes_packed", s->bytes_packed);
    put_hex(w, "content", s->content);
    sec_jw_obj_end(w);
}

int sec_tokmanifest_write(const char *dir, struct sec_tokmanifest *m)
{
    int rc = 0;
    struct sec_buf text = {0};
    char *path = sec_path_join(dir, "MANIFEST.jsonl");
    if (!path)
        return sec_fail(SEC_ENOMEM, "no memory for the path of the manifest");
    for (size_t i = 0; i <= m->n_shards; i++) {
        struct sec_jw w;
        sec_jw_init(&w, &text, false);
        if (i == 0)
            put_header(&w, m);
        else
            put_shard(&w, &m->shards[i - 1]);
        SEC_TRY(sec_jw_end(&w));
        SEC_TRY(sec_buf_addc(&text, '\n'));
    }
    SEC_TRY(sec_write_file(path, text.data, text.len));
    m->fingerprint = sec_hash64(text.data, text.len, 0);
fail:
    sec_buf_free(&text);
    free(path);
    return rc;
}

/* Numbers: cJSON holds doubles, exact to 2^53, far above any count here. */
static int get_u64(const cJSON *o, const char *key, const char *name, uint64_t *out)
{
    int64_t v;
    int rc = sec_json_i64(o, key, name, &v);
    if (!rc && v < 0)
        rc = sec_fail(SEC_EDATA, "%s: key '%s' is negative", name, key);
    *out = rc ? 0 : (uint64_t)v;
    return rc;
}

static int get_hex(const cJSON *o, const char *key, const char *name, uint64_t *out)
{
    const char *s;
    char *end;
    int rc = sec_json_str(o, key, name, &s);
    if (rc)
        return rc;
    *out = strtoull(s, &end, 16);
    return strlen(s) == 16 && !*end
               ? 0
               : sec_fail(SEC_EDATA, "%s: key '%s' is not 16 hexadecimal digits", name, key);
}

static int get_count(const cJSON *o, const char *key, const char *name, struct sec_tok_count *c)
{
    int rc = 0;
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!v)
        return 0;
    SEC_TRY(get_u64(v, "docs", name, &c->docs));
    SEC_TRY(get_u64(v, "tokens", name, &c->tokens));
    SEC_TRY(get_u64(v, "bytes", name, &c->bytes));
fail:
    return rc;
}

static int get_sources(const cJSON *o, const char *name, struct sec_tokmanifest *m)
{
    int rc = 0;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "sources"), *e;
    int n = cJSON_GetArraySize(list);
    if (n < 1 || n > UINT16_MAX)
        return sec_fail(SEC_EDATA, "%s: 'sources' lists %d, not 1 to 65535", name, n);
    m->sources = calloc((size_t)n, sizeof *m->sources);
    if (!m->sources)
        return sec_fail(SEC_ENOMEM, "no memory for %d sources", n);
    cJSON_ArrayForEach(e, list)
    {
        struct sec_tok_source *src = &m->sources[m->n_sources];
        const char *s;
        SEC_TRY(sec_json_str(e, "name", name, &s));
        SEC_TRY(sec_json_f64(e, "factor", name, &src->factor));
        src->natural_share = sec_json_f64_opt(e, "natural_share", 0);
        for (int k = 0; k < SEC_N_SPLITS; k++)
            SEC_TRY(get_count(e, sec_split_names[k], name, &src->split[k]));
        src->name = strdup(s);
        if (!src->name)
            return sec_fail(SEC_ENOMEM, "no memory for %d sources", n);
        m->n_sources++;
    }
fail:
    return rc;
}

static int get_header(const cJSON *o, const char *name, struct sec_tokmanifest *m)
{
    int rc = 0;
    uint64_t version, vocab, n_shards;
    const char *s = sec_json_str_opt(o, "format", "");
    if (strcmp(s, FORMAT) != 0)
        return sec_fail(SEC_EDATA,
                        "%s: not a token data set; make one with 'secenc corpus tokenize'", name);
    SEC_TRY(get_u64(o, "version", name, &version));
    if (version != SEC_TOK_FORMAT)
        return sec_fail(SEC_EDATA, "%s: data set format %llu, this program reads %u", name,
                        (unsigned long long)version, SEC_TOK_FORMAT);
    SEC_TRY(sec_json_str(o, "tokenizer", name, &s));
    if (strlen(s) >= sizeof m->tokenizer)
        return sec_fail(SEC_EDATA, "%s: 'tokenizer' is not a SHA-256", name);
    strcpy(m->tokenizer, s);
    SEC_TRY(get_u64(o, "vocab_size", name, &vocab));
    if (vocab < 1 || vocab > UINT16_MAX + 1)
        return sec_fail(SEC_EDATA, "%s: vocabulary of %llu, not 1 to 65536", name,
                        (unsigned long long)vocab);
    m->vocab_size = (int)vocab;
    SEC_TRY(get_hex(o, "corpus", name, &m->corpus));
    SEC_TRY(get_u64(o, "seed", name, &m->seed));
    SEC_TRY(get_u64(o, "tokens_per_shard", name, &m->tokens_per_shard));
    SEC_TRY(sec_json_f64(o, "temperature", name, &m->temperature));
    m->source_cap = sec_json_f64_opt(o, "source_cap", 1);
    SEC_TRY(get_u64(o, "shards", name, &n_shards));
    const cJSON *splits = cJSON_GetObjectItemCaseSensitive(o, "splits");
    for (int k = 0; k < SEC_N_SPLITS; k++)
        SEC_TRY(get_count(splits, sec_split_names[k], name, &m->total[k]));
    SEC_TRY(get_sources(o, name, m));
    m->shards = calloc(n_shards < 1000000 ? n_shards + 1 : 1, sizeof *m->shards);
    if (!m->shards || n_shards >= 1000000)
        return sec_fail(SEC_EDATA, "%s: %llu shards", name, (unsigned long long)n_shards);
    m->n_shards = n_shards;
fail:
    return rc;
}

static int get_shard(const cJSON *o, const char *name, struct sec_tokshard_info *s)
{
    int rc = 0, k = 0;
    const char *path, *split;
    SEC_TRY(sec_json_str(o, "path", name, &path));
    SEC_TRY(sec_json_str(o, "split", name, &split));
    while (k < SEC_N_SPLITS && strcmp(split, sec_split_names[k]) != 0)
        k++;
    if (k == SEC_N_SPLITS || strchr(path, '/'))
        return sec_fail(SEC_EDATA, "%s: shard '%s' of split '%s'", name, path, split);
    s->split = (enum sec_split)k;
    SEC_TRY(get_u64(o, "docs", name, &s->docs));
    SEC_TRY(get_u64(o, "tokens", name, &s->tokens));
    SEC_TRY(get_u64(o, "bytes", name, &s->bytes));
    SEC_TRY(get_u64(o, "bytes_packed", name, &s->bytes_packed));
    SEC_TRY(get_hex(o, "content", name, &s->content));
    if (!s->docs || s->tokens < s->docs)
        return sec_fail(SEC_EDATA, "%s: shard '%s' has %llu documents and %llu tokens", name, path,
                        (unsigned long long)s->docs, (unsigned long long)s->tokens);
    s->path = strdup(path);
    if (!s->path)
        return sec_fail(SEC_ENOMEM, "no memory for a shard's name");
fail:
    return rc;
}

int sec_tokmanifest_read(const char *dir, struct sec_tokmanifest *m)
{
    int rc = 0;
    struct sec_buf text = {0}, name = {0};
    size_t line = 0, at = 0;
    *m = (struct sec_tokmanifest){0};
    char *path = sec_path_join(dir, "MANIFEST.jsonl");
    if (!path)
        return sec_fail(SEC_ENOMEM, "no memory for the path of the manifest");
    if (!sec_exists(path)) {
        rc = sec_fail(SEC_EDATA,
                      "%s is no token data set: it has no MANIFEST.jsonl (make one with `secenc "
                      "corpus tokenize`)",
                      dir);
        goto fail;
    }
    SEC_TRY(sec_read_file(path, &text));
    m->fingerprint = sec_hash64(text.data, text.len, 0);
    do {
        const char *p = text.len ? text.data + at : "";
        const char *end = text.len ? memchr(p, '\n', text.len - at) : NULL;
        size_t n = end ? (size_t)(end - p) : text.len - at;
        cJSON *o = NULL;
        sec_buf_clear(&name);
        SEC_TRY(sec_buf_printf(&name, "%s:%zu", path, line + 1));
        rc = sec_json_parse(p, n, name.data, &o);
        if (rc) {
            sec_fail(rc, "%s: cut off or damaged; tokenize the corpus again", name.data);
            goto fail;
        }
        rc = line == 0 ? get_header(o, name.data, m)
             : line <= m->n_shards
                 ? get_shard(o, name.data, &m->shards[line - 1])
                 : sec_fail(SEC_EDATA, "%s: more than %zu shards", name.data, m->n_shards);
        cJSON_Delete(o);
        if (rc)
            goto fail;
        line++;
        at += n + 1;
    } while (at < text.len);
    if (line != m->n_shards + 1)
        rc = sec_fail(SEC_EDATA, "%s: %zu of %zu shards; the file was cut", path, line - 1,
                      m->n_shards);
fail:
    if (rc)
        sec_tokmanifest_free(m);
    sec_buf_free(&text);
    sec_buf_free(&name);
    free(path);
    return rc;
}

void sec_tokmanifest_free(struct sec_tokmanifest *m)
{
    for (size_t i = 0; i < m->n_sources; i++)
        free(m->sources[i].name);
    for (size_t i = 0; m->shards && i < m->n_shards; i++)
        free(m->shards[i].path);
    free(m->sources);
    free(m->shards);
    *m = (struct sec_tokmanifest){0};
}
