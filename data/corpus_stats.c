#include "base/error.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/str.h"
#include "data/corpus.h"
#include "data/docjson.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shards of one split and source, which are neighbours in the manifest's order. */
struct group {
    enum sec_split split;
    const char *source; /* NULL = the whole split */
    uint64_t documents, records, bytes_text, bytes_packed;
    size_t shards;
};

static void add_shard(struct group *g, const struct sec_shard_info *s)
{
    g->documents += s->documents;
    g->records += s->records;
    g->bytes_text += s->bytes_text;
    g->bytes_packed += s->bytes_packed;
    g->shards++;
}

/* Groups with their splits' totals in front; *out is malloc'd. */
static int make_groups(const struct sec_corpus *c, struct group **out, size_t *n)
{
    struct group *v = calloc(2 * c->n_shards, sizeof *v), *total = NULL, *g = NULL;
    *out = v;
    *n = 0;
    if (!v)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu shards", c->n_shards);
    for (size_t i = 0; i < c->n_shards; i++) {
        const struct sec_shard_info *s = &c->shards[i];
        if (!total || total->split != s->split) {
            total = &v[(*n)++];
            total->split = s->split;
            g = NULL;
        }
        if (!g || strcmp(g->source, s->source)) {
            g = &v[(*n)++];
            g->split = s->split;
            g->source = s->source;
        }
        add_shard(total, s);
        add_shard(g, s);
    }
    return 0;
}

#define LARGEST "largest_train_test_similarity"

/* report.json, NULL when there is none. */
static int read_report(const char *root, cJSON **out)
{
    char *path = sec_path_join(root, "report.json");
    if (!path)
        return sec_fail(SEC_ENOMEM, "out of memory for %s", root);
    int rc = sec_exists(path) ? sec_json_read(path, out) : 0;
    free(path);
    return rc;
}

static int read_header(const char *root, cJSON **out)
{
    int rc;
    struct sec_buf text = {0};
    char *path = sec_path_join(root, SEC_MANIFEST), *nl;
    if (!path)
        return sec_fail(SEC_ENOMEM, "out of memory for %s", root);
    SEC_TRY(sec_read_file(path, &text));
    nl = memchr(text.data, '\n', text.len);
    rc = sec_json_parse(text.data, nl ? (size_t)(nl - text.data) : text.len, path, out);
fail:
    sec_buf_free(&text);
    free(path);
    return rc;
}

/* What was removed by stage, in whole documents where the stage knows them. */
static int print_stages(struct sec_buf *out, const cJSON *stages)
{
    int rc = 0;
    const cJSON *e;
    cJSON_ArrayForEach(e, stages)
    {
        char bytes[32];
        const cJSON *documents = cJSON_GetObjectItemCaseSensitive(e, "documents");
        SEC_TRY(sec_buf_printf(out, "removed  %12" PRId64 " %s", sec_json_i64_opt(e, "records", 0),
                               sec_json_str_opt(e, "stage", "?")));
        if (documents)
            SEC_TRY(sec_buf_printf(out, ": %.0f documents, %s", documents->valuedouble,
                                   sec_human_bytes(sec_json_f64_opt(e, "bytes", 0), bytes)));
        SEC_TRY(sec_buf_addc(out, '\n'));
    }
fail:
    return rc;
}

static int print_header(struct sec_buf *out, const cJSON *h, const cJSON *report)
{
    int rc;
    char bytes[32];
    const cJSON *stages = cJSON_GetObjectItemCaseSensitive(report, "removed"),
                *largest = cJSON_GetObjectItemCaseSensitive(h, LARGEST);
    SEC_TRY(sec_buf_printf(out, "read     %12" PRId64 " records, %s\n",
                           sec_json_i64_opt(h, "records_read", 0),
                           sec_human_bytes(sec_json_f64_opt(h, "bytes_read", 0), bytes)));
    SEC_TRY(sec_buf_printf(out, "kept     %12" PRId64 " records\n",
                           sec_json_i64_opt(h, "records_kept", 0)));
    const cJSON *e;
    SEC_TRY(print_stages(out, stages));
    if (!stages)
        cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(h, "removed"))
            SEC_TRY(sec_buf_printf(out, "removed  %12.0f %s\n", e->valuedouble, e->string));
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(h, "changed"))
        SEC_TRY(sec_buf_printf(out, "cleaned  %12.0f %s\n", e->valuedouble, e->string));
    if (largest)
        SEC_TRY(sec_buf_printf(out,
                               "largest  %12.4f similarity of a training and a test document\n",
                               largest->valuedouble));
fail:
    return rc;
}

static int print_table(struct sec_buf *out, const struct group *v, size_t n, uint64_t all)
{
    int rc;
    SEC_TRY(sec_buf_printf(out, "\n%-6s %-32s %10s %12s %12s %12s %7s\n", "split", "source",
                           "documents", "records", "text", "packed", "share"));
    for (size_t i = 0; i < n; i++) {
        char text[32], packed[32];
        SEC_TRY(sec_buf_printf(out, "%-6s %-32s %10" PRIu64 " %12" PRIu64 " %12s %12s %6.2f%%\n",
                               sec_split_names[v[i].split], v[i].source ? v[i].source : "(all)",
                               v[i].documents, v[i].records,
                               sec_human_bytes((double)v[i].bytes_text, text),
                               sec_human_bytes((double)v[i].bytes_packed, packed),
                               100.0 * (double)v[i].bytes_text / (double)(all ? all : 1)));
    }
fail:
    return rc;
}

static void put_group(struct sec_jw *w, const struct group *g)
{
    sec_jw_obj(w);
    sec_jw_kstr(w, "split", sec_split_names[g->split]);
    if (g->source)
        sec_jw_kstr(w, "source", g->source);
    sec_jw_ki64(w, "documents", (int64_t)g->documents);
    sec_jw_ki64(w, "records", (int64_t)g->records);
    sec_jw_ki64(w, "bytes_text", (int64_t)g->bytes_text);
    sec_jw_ki64(w, "bytes_packed", (int64_t)g->bytes_packed);
    sec_jw_ki64(w, "shards", (int64_t)g->shards);
    sec_jw_obj_end(w);
}

static void put_object(struct sec_jw *w, const cJSON *header, const char *key)
{
    const cJSON *e;
    sec_jw_key(w, key);
    sec_jw_obj(w);
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(header, key))
        sec_jw_ki64(w, e->string, (int64_t)e->valuedouble);
    sec_jw_obj_end(w);
}

static int print_json(struct sec_buf *out, const struct sec_corpus *c, const cJSON *header,
                      const struct group *v, size_t n)
{
    static const char *const numbers[] = {"files", "damaged_files", "records_read", "bytes_read",
                                          "records_kept"};
    char fingerprint[17];
    struct sec_jw w;
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, c->fingerprint);
    sec_jw_init(&w, out, true);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "fingerprint", fingerprint);
    sec_jw_ki64(&w, "seed", (int64_t)c->seed);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sec_jw_ki64(&w, numbers[i], sec_json_i64_opt(header, numbers[i], 0));
    put_object(&w, header, "removed");
    put_object(&w, header, "changed");
    if (cJSON_GetObjectItemCaseSensitive(header, LARGEST))
        sec_jw_kf64(&w, LARGEST, sec_json_f64_opt(header, LARGEST, 0));
    for (int totals = 1; totals >= 0; totals--) {
        sec_jw_key(&w, totals ? "splits" : "sources");
        sec_jw_arr(&w);
        for (size_t i = 0; i < n; i++)
            if ((v[i].source == NULL) == totals)
                put_group(&w, &v[i]);
        sec_jw_arr_end(&w);
    }
    sec_jw_obj_end(&w);
    int rc = sec_jw_end(&w);
    return rc ? rc : sec_buf_addc(out, '\n');
}

int sec_corpus_stats(const char *root, bool json, struct sec_buf *out)
{
    int rc;
    struct sec_corpus c = {0};
    struct group *groups = NULL;
    size_t n;
    uint64_t all = 0;
    cJSON *header = NULL, *report = NULL;
    SEC_TRY(sec_corpus_open(root, &c));
    SEC_TRY(read_header(root, &header));
    SEC_TRY(read_report(root, &report));
    SEC_TRY(make_groups(&c, &groups, &n));
    for (size_t i = 0; i < c.n_shards; i++)
        all += c.shards[i].bytes_text;
    if (json) {
        rc = print_json(out, &c, header, groups, n);
    } else {
        SEC_TRY(print_header(out, header, report));
        rc = print_table(out, groups, n, all);
    }
fail:
    cJSON_Delete(header);
    cJSON_Delete(report);
    free(groups);
    sec_corpus_close(&c);
    return rc;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* n distinct numbers below total, ascending: Floyd's method, with a sorted list as the set. */
static int choose(uint64_t n, uint64_t total, uint64_t seed, uint64_t **out)
{
    uint64_t *v = malloc((n ? n : 1) * sizeof *v);
    size_t len = 0;
    *out = v;
    if (!v)
        return sec_fail(SEC_ENOMEM, "out of memory for %" PRIu64 " documents", n);
    for (uint64_t j = total - n; j < total; j++) {
        uint64_t r = sec_rand64(seed, SEC_STREAM_SAMPLE, j, 0);
        uint64_t pick = (uint64_t)((unsigned __int128)r * (j + 1) >> 64);
        /* j is above everything chosen so far. */
        if (bsearch(&pick, v, len, sizeof *v, compare_u64))
            pick = j;
        size_t at = len++;
        for (; at && v[at - 1] > pick; at--)
            v[at] = v[at - 1];
        v[at] = pick;
    }
    return 0;
}

static bool wanted(const struct sec_shard_info *s, int split, const char *source)
{
    return (split < 0 || (int)s->split == split) && (!source || sec_glob(source, s->source));
}

/* Documents of one shard whose numbers (from first) are in the sorted list v[*at..n). */
static int take_documents(const char *root, const struct sec_shard_info *s, uint64_t first,
                          const uint64_t *v, uint64_t n, uint64_t *at, struct sec_buf *out)
{
    int rc = 0;
    struct sec_shard_reader *r = NULL;
    struct sec_doc doc;
    if (*at == n || v[*at] >= first + s->documents)
        return 0;
    char *path = sec_path_join(root, s->path);
    if (!path)
        return sec_fail(SEC_ENOMEM, "out of memory for %s", s->path);
    SEC_TRY(sec_shard_reader_open(path, &r));
    for (uint64_t i = first; *at < n && v[*at] < first + s->documents; i++) {
        SEC_TRY(sec_shard_reader_next(r, &doc));
        if (i == v[*at]) {
            SEC_TRY(sec_docjson_encode(out, &doc));
            (*at)++;
        }
    }
fail:
    if (rc == 1)
        rc = sec_fail(SEC_EDATA, "%s holds fewer documents than the manifest says", path);
    sec_shard_reader_close(r);
    free(path);
    return rc;
}

int sec_corpus_sample(const char *root, uint64_t n, int split, const char *source, uint64_t seed,
                      struct sec_buf *out)
{
    int rc;
    struct sec_corpus c = {0};
    uint64_t total = 0, first = 0, at = 0, *v = NULL;
    SEC_TRY(sec_corpus_open(root, &c));
    for (size_t i = 0; i < c.n_shards; i++)
        if (wanted(&c.shards[i], split, source))
            total += c.shards[i].documents;
    if (!total) {
        rc = sec_fail(SEC_EDATA, "corpus %s has no document of split %s, source %s", root,
                      split < 0 ? "(any)" : sec_split_names[split], source ? source : "(any)");
        goto fail;
    }
    n = n < total ? n : total;
    SEC_TRY(choose(n, total, seed, &v));
    for (size_t i = 0; i < c.n_shards; i++) {
        if (!wanted(&c.shards[i], split, source))
            continue;
        SEC_TRY(take_documents(root, &c.shards[i], first, v, n, &at, out));
        first += c.shards[i].documents;
    }
fail:
    free(v);
    sec_corpus_close(&c);
    return rc;
}
