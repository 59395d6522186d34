#include "data/tokshard.h"

#include "base/error.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/thread.h"
#include "data/tokshard_manifest.h"
#include "data/tokshard_spool.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPOOL_MEMORY (UINT64_C(1) << 30)
#define MAX_FACTOR   8.0

struct build {
    struct sec_tokenize_options o;
    struct sec_corpus corpus;
    struct sec_tokenizer *tok;
    char *partial; /* everything is made in here, then renamed */
    struct sec_tokmanifest m;

    /* One split at a time. */
    enum sec_split split;
    const struct sec_shard_info **shards; /* largest first: they bound the time */
    size_t n_shards;
    struct sec_spool *spool;
    struct sec_tokwriter *writer;
    atomic_uint_fast64_t bytes_done;
    uint64_t bytes_total;
};

/* ---- sources and how often their documents are taken ---- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t source_index(const struct build *b, const char *name)
{
    size_t lo = 0, hi = b->m.n_sources;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(b->m.sources[mid].name, name) <= 0)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static int list_sources(struct build *b)
{
    const size_t n = b->corpus.n_shards;
    const char **names = calloc(n + 1, sizeof *names);
    b->m.sources = calloc(n + 1, sizeof *b->m.sources);
    if (!names || !b->m.sources) {
        free(names);
        return sec_fail(SEC_ENOMEM, "no memory for the sources of %zu shards", n);
    }
    for (size_t i = 0; i < n; i++)
        names[i] = b->corpus.shards[i].source;
    qsort(names, n, sizeof *names, compare_text);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0)
            continue;
        struct sec_tok_source *s = &b->m.sources[b->m.n_sources];
        s->factor = 1;
        s->name = strdup(names[i]);
        if (!s->name)
            rc = sec_fail(SEC_ENOMEM, "no memory for the name of a source");
        else
            b->m.n_sources++;
    }
    free(names);
    if (!rc && b->m.n_sources > UINT16_MAX)
        rc = sec_fail(SEC_EDATA, "%s: %zu sources, at most 65535 fit", b->corpus.root,
                      b->m.n_sources);
    return rc;
}

/* Target share of source s ~ size_s^temperature, sizes in bytes of text; the factor is relative to
 * keeping the total, and at most MAX_FACTOR (the rest of such a source's share is left out). */
static int set_factors(struct build *b)
{
    double total = 0, powers = 0;
    double *size = calloc(b->m.n_sources, sizeof *size);
    if (!size)
        return sec_fail(SEC_ENOMEM, "no memory for %zu sources", b->m.n_sources);
    for (size_t i = 0; i < b->corpus.n_shards; i++)
        if (b->corpus.shards[i].split == SEC_SPLIT_TRAIN)
            size[source_index(b, b->corpus.shards[i].source)] +=
                (double)b->corpus.shards[i].bytes_raw;
    for (size_t i = 0; i < b->m.n_sources; i++) {
        total += size[i];
        powers += size[i] > 0 ? pow(size[i], b->o.temperature) : 0;
    }
    for (size_t i = 0; i < b->m.n_sources; i++)
        if (size[i] > 0 && b->o.temperature < 1) {
            double f = pow(size[i], b->o.temperature) / powers * total / size[i];
            b->m.sources[i].factor = f < MAX_FACTOR ? f : MAX_FACTOR;
        }
    free(size);
    return 0;
}

/* Whole copies, and one more by the document's own hash for the fraction. */
static unsigned copies_of(const struct build *b, size_t source, const sec_h128 *id)
{
    if (b->split != SEC_SPLIT_TRAIN)
        return 1;
    double f = b->m.sources[source].factor, whole = floor(f);
    double u = sec_u01(sec_rand64(b->o.seed, SEC_STREAM_SAMPLE, id->lo, (uint32_t)id->hi));
    return (unsigned)whole + (u < f - whole);
}

/* ---- text shards -> spool (many threads) ---- */

static uint64_t shuffle_key(const struct build *b, const sec_h128 *id, unsigned copy)
{
    return sec_rand64(b->o.seed, SEC_STREAM_SHUFFLE, id->lo,
                      (uint32_t)(id->hi ^ id->hi >> 32) + copy);
}

struct encoder {
    struct sec_encoder_ctx *ctx;
    uint16_t *ids;
    size_t len, cap;
};

static int encode_doc(struct build *b, struct encoder *e, size_t source, const struct sec_doc *doc)
{
    int rc = 0;
    unsigned copies = copies_of(b, source, &doc->id);
    if (!copies || !doc->text_len)
        return 0;
    e->len = 0;
    SEC_TRY(sec_encode(e->ctx, doc->text, doc->text_len, 0, &e->ids, &e->len, &e->cap));
    if (e->len > UINT32_MAX || doc->text_len > UINT32_MAX)
        return sec_fail(SEC_EDATA, "a document of %zu bytes is too long for a token shard",
                        doc->text_len);
    for (unsigned c = 0; c < copies; c++) {
        struct sec_spool_doc d = {.key = shuffle_key(b, &doc->id, c),
                                  .id = doc->id,
                                  .n = (uint32_t)e->len,
                                  .bytes = (uint32_t)doc->text_len,
                                  .source = (uint16_t)source,
                                  .copy = (uint16_t)c,
                                  .ids = e->ids};
        SEC_TRY(sec_spool_add(b->spool, &d));
    }
fail:
    return rc;
}

static int encode_shard(void *arg, size_t i)
{
    struct build *b = arg;
    const struct sec_shard_info *s = b->shards[i];
    struct encoder e = {0};
    struct sec_shard_reader *r = NULL;
    struct sec_doc doc;
    const size_t source = source_index(b, s->source);
    int rc = 0;
    char *path = sec_path_join(b->corpus.root, s->path);
    e.ctx = sec_encoder_ctx_new(b->tok);
    if (!path || !e.ctx) {
        rc = sec_fail(SEC_ENOMEM, "no memory to encode %s", s->path);
        goto fail;
    }
    SEC_TRY(sec_shard_reader_open(path, &r));
    while (!(rc = sec_shard_reader_next(r, &doc))) {
        SEC_TRY(encode_doc(b, &e, source, &doc));
        uint64_t done = atomic_fetch_add(&b->bytes_done, doc.text_len) + doc.text_len;
        if (sec_progress_due())
            sec_progress("tokenizing %s: %.0f of %.0f MB", sec_split_names[b->split],
                         (double)done / 1e6, (double)b->bytes_total / 1e6);
    }
    if (rc == 1)
        rc = 0;
fail:
    if (r)
        sec_shard_reader_close(r);
    sec_encoder_ctx_free(e.ctx);
    free(e.ids);
    free(path);
    return rc;
}

/* ---- spool -> token shards ---- */

static void count(struct sec_tok_count *c, const struct sec_spool_doc *d)
{
    c->docs++;
    c->tokens += d->n;
    c->bytes += d->bytes;
}

static int write_doc(void *arg, const struct sec_spool_doc *d)
{
    struct build *b = arg;
    if (!d->n)
        return 0; /* a document without tokens is no sample */
    struct sec_tokdoc doc = {d->ids, d->n, d->source, d->id.lo, d->bytes};
    count(&b->m.total[b->split], d);
    count(&b->m.sources[d->source].split[b->split], d);
    return sec_tokwriter_add(b->writer, &doc);
}

static int write_shards(struct build *b)
{
    int rc = 0;
    struct sec_tokshard_info *made = NULL;
    size_t n_made = 0;
    const char **names = calloc(b->m.n_sources, sizeof *names);
    if (!names)
        return sec_fail(SEC_ENOMEM, "no memory for %zu source names", b->m.n_sources);
    for (size_t i = 0; i < b->m.n_sources; i++)
        names[i] = b->m.sources[i].name;
    struct sec_tokwriter_options wo = {.dir = b->partial,
                                       .split = b->split,
                                       .tokenizer_fingerprint = b->m.tokenizer,
                                       .vocab_size = b->m.vocab_size,
                                       .seed = b->o.seed,
                                       .tokens_per_shard = b->o.tokens_per_shard,
                                       .sources = names,
                                       .n_sources = (uint16_t)b->m.n_sources,
                                       .threads = b->o.threads};
    SEC_TRY(sec_tokwriter_open(&wo, &b->writer));
    SEC_TRY(sec_spool_each(b->spool, write_doc, b));
    struct sec_tokwriter *w = b->writer;
    b->writer = NULL;
    SEC_TRY(sec_tokwriter_close(w, &made, &n_made));
    struct sec_tokshard_info *all =
        realloc(b->m.shards, (b->m.n_shards + n_made + 1) * sizeof *all);
    if (!all) {
        for (size_t i = 0; i < n_made; i++)
            free(made[i].path);
        rc = sec_fail(SEC_ENOMEM, "no memory for the list of shards");
        goto fail;
    }
    b->m.shards = all;
    if (n_made)
        memcpy(all + b->m.n_shards, made, n_made * sizeof *all);
    b->m.n_shards += n_made;
fail:
    sec_tokwriter_abort(b->writer);
    b->writer = NULL;
    free(made);
    free(names);
    return rc;
}

static int larger_first(const void *pa, const void *pb)
{
    const struct sec_shard_info *a = *(const struct sec_shard_info *const *)pa;
    const struct sec_shard_info *b = *(const struct sec_shard_info *const *)pb;
    return a->bytes_raw != b->bytes_raw ? (a->bytes_raw < b->bytes_raw ? 1 : -1)
                                        : strcmp(a->path, b->path);
}

static int tokenize_split(struct build *b, enum sec_split split)
{
    int rc = 0;
    uint64_t expected = 0;
    b->split = split;
    b->n_shards = 0;
    b->bytes_total = 0;
    atomic_store(&b->bytes_done, 0);
    for (size_t i = 0; i < b->corpus.n_shards; i++) {
        const struct sec_shard_info *s = &b->corpus.shards[i];
        if (s->split != split)
            continue;
        b->shards[b->n_shards++] = s;
        b->bytes_total += s->bytes_raw;
        double f = split == SEC_SPLIT_TRAIN ? b->m.sources[source_index(b, s->source)].factor : 1;
        expected += (uint64_t)((double)s->bytes_raw * f); /* about 2 bytes of ids per 3 of text */
    }
    if (!b->n_shards)
        return 0;
    qsort(b->shards, b->n_shards, sizeof *b->shards, larger_first);
    SEC_TRY(sec_spool_open(b->partial, expected, SPOOL_MEMORY, &b->spool));
    SEC_TRY(sec_parallel_for(b->n_shards, b->o.threads, encode_shard, b));
    sec_progress_done();
    SEC_TRY(write_shards(b));
fail:
    sec_spool_close(b->spool);
    b->spool = NULL;
    return rc;
}

/* ---- the data set as a whole ---- */

/* An existing data set is replaced only when told so, and nothing else ever. */
static int check_target(const char *out_dir, bool force)
{
    struct sec_list list = {0};
    struct sec_tokmanifest m;
    if (!sec_exists(out_dir))
        return 0;
    if (!sec_is_dir(out_dir))
        return sec_fail(SEC_EUSAGE, "%s: exists and is no directory", out_dir);
    int rc = sec_list_dir(out_dir, &list);
    size_t n = list.n;
    sec_list_free(&list);
    if (rc || !n)
        return rc;
    rc = sec_tokmanifest_read(out_dir, &m);
    if (rc)
        return sec_fail(SEC_EUSAGE,
                        "%s: holds %zu files and is no token data set; choose another "
                        "directory",
                        out_dir, n);
    sec_tokmanifest_free(&m);
    return force ? 0
                 : sec_fail(SEC_EUSAGE, "%s: already holds a token data set; --force replaces it",
                            out_dir);
}

/* partial -> out_dir. A data set that was there is moved aside first and comes back if that fails.
 */
static int put_in_place(const char *partial, const char *out_dir)
{
    int rc = 0;
    struct sec_buf old = {0};
    const bool replace = sec_exists(out_dir);
    SEC_TRY(sec_buf_printf(&old, "%s.old", out_dir));
    SEC_TRY(sec_fsync_path(partial));
    if (replace) {
        SEC_TRY(sec_remove_tree(old.data));
        SEC_TRY(sec_rename_durable(out_dir, old.data));
    }
    rc = sec_rename_durable(partial, out_dir);
    if (rc && replace && !sec_exists(out_dir)) {
        char *message = sec_error_take();
        sec_rename_durable(old.data, out_dir);
        sec_error_put(rc, message);
    }
    if (!rc)
        rc = sec_remove_tree(old.data);
fail:
    sec_buf_free(&old);
    return rc;
}

static int open_inputs(struct build *b, const char *corpus, const char *tokenizer)
{
    int rc = 0;
    SEC_TRY(sec_corpus_open(corpus, &b->corpus));
    SEC_TRY(sec_tokenizer_load(tokenizer, &b->tok));
    b->m.vocab_size = sec_tokenizer_vocab_size(b->tok);
    if (b->m.vocab_size > UINT16_MAX + 1)
        return sec_fail(SEC_ECONFIG,
                        "%s: vocabulary of %d; token shards hold ids of 16 bits (65536)", tokenizer,
                        b->m.vocab_size);
    snprintf(b->m.tokenizer, sizeof b->m.tokenizer, "%s", sec_tokenizer_fingerprint(b->tok));
    b->m.corpus = b->corpus.fingerprint;
    b->m.seed = b->o.seed;
    b->m.tokens_per_shard = b->o.tokens_per_shard;
    b->m.temperature = b->o.temperature;
    b->shards = calloc(b->corpus.n_shards + 1, sizeof *b->shards);
    if (!b->shards)
        return sec_fail(SEC_ENOMEM, "no memory for %zu shards", b->corpus.n_shards);
    SEC_TRY(list_sources(b));
    SEC_TRY(set_factors(b));
fail:
    return rc;
}

static int build_in_partial(struct build *b)
{
    int rc = 0;
    SEC_TRY(sec_remove_tree(b->partial)); /* of a killed run */
    SEC_TRY(sec_mkdir_p(b->partial));
    for (int s = 0; s < SEC_N_SPLITS; s++)
        SEC_TRY(tokenize_split(b, (enum sec_split)s));
    if (!b->m.total[SEC_SPLIT_TRAIN].docs) {
        rc = sec_fail(SEC_EDATA, "%s: no training document; build the corpus with more input",
                      b->corpus.root);
        goto fail;
    }
    SEC_TRY(sec_tokenizer_save(b->tok, b->partial));
    SEC_TRY(sec_tokmanifest_write(b->partial, &b->m));
fail:
    return rc;
}

int sec_corpus_tokenize(const char *corpus, const char *tokenizer, const char *out_dir,
                        const struct sec_tokenize_options *o)
{
    int rc = 0;
    struct build b = {.o = *o};
    struct sec_buf partial = {0};
    char *dir = strdup(out_dir);
    size_t n = strlen(out_dir);
    if (!dir)
        return sec_fail(SEC_ENOMEM, "no memory for the path of the data set");
    while (n > 1 && dir[n - 1] == '/')
        dir[--n] = 0;
    if (!b.o.tokens_per_shard)
        b.o.tokens_per_shard = UINT64_C(256) << 20;
    if (!(o->temperature > 0 && o->temperature <= 1)) {
        rc = sec_fail(SEC_EUSAGE, "temperature %g is not above 0 and at most 1", o->temperature);
        goto fail;
    }
    SEC_TRY(check_target(dir, o->force));
    SEC_TRY(open_inputs(&b, corpus, tokenizer));
    SEC_TRY(sec_buf_printf(&partial, "%s.partial", dir));
    b.partial = partial.data;
    rc = build_in_partial(&b);
    if (!rc)
        rc = put_in_place(partial.data, dir);
    if (rc) {
        char *message = sec_error_take();
        sec_remove_tree(partial.data);
        sec_error_put(rc, message);
    }
fail:
    sec_tokmanifest_free(&b.m);
    sec_tokenizer_free(b.tok);
    sec_corpus_close(&b.corpus);
    sec_buf_free(&partial);
    free(b.shards);
    free(dir);
    return rc;
}
