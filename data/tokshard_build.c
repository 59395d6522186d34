/* A token data set as a whole: its sources, its working folder, and how it gets in place. */
#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "base/thread.h"
#include "data/sealed.h"
#include "data/tokshard_mix.h"
#include "data/tokshard_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MEMORY (UINT64_C(2) << 30)
#define DEFAULT_SHARD  (UINT64_C(256) << 20)

/* ---- sources ---- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t sec_tokwork_source(const struct sec_tokwork *w, const char *name)
{
    size_t lo = 0, hi = w->m.n_sources;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(w->m.sources[mid].name, name) <= 0)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static int list_sources(struct sec_tokwork *w)
{
    const size_t n = w->corpus.n_shards;
    const char **names = calloc(n + 1, sizeof *names);
    w->m.sources = calloc(n + 1, sizeof *w->m.sources);
    if (!names || !w->m.sources) {
        free(names);
        return sec_fail(SEC_ENOMEM, "no memory for the sources of %zu shards", n);
    }
    for (size_t i = 0; i < n; i++)
        names[i] = w->corpus.shards[i].source;
    qsort(names, n, sizeof *names, compare_text);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0)
            continue;
        struct sec_tok_source *s = &w->m.sources[w->m.n_sources];
        s->factor = 1;
        s->name = strdup(names[i]);
        if (!s->name)
            rc = sec_fail(SEC_ENOMEM, "no memory for the name of a source");
        else
            w->m.n_sources++;
    }
    free(names);
    if (!rc && w->m.n_sources > UINT16_MAX)
        rc = sec_fail(SEC_EDATA, "%s: %zu sources, at most 65535 fit", w->corpus.root,
                      w->m.n_sources);
    return rc;
}

/* Factors by temperature, of sizes in bytes of JSON lines; a cap lowers them once tokens are
 * counted.
 */
static int set_factors(struct sec_tokwork *w)
{
    size_t n = w->m.n_sources;
    double *size = calloc(2 * n, sizeof *size), *factor = size + n;
    if (!size)
        return sec_fail(SEC_ENOMEM, "no memory for %zu sources", n);
    for (size_t i = 0; i < w->corpus.n_shards; i++)
        if (w->corpus.shards[i].split == SEC_SPLIT_TRAIN)
            size[sec_tokwork_source(w, w->corpus.shards[i].source)] +=
                (double)w->corpus.shards[i].bytes_raw;
    sec_mix_temperature(size, n, w->o.temperature, factor);
    for (size_t i = 0; i < n; i++)
        w->m.sources[i].factor = factor[i];
    free(size);
    return 0;
}

static int open_inputs(struct sec_tokwork *w, const char *corpus, const char *tokenizer)
{
    int rc = 0;
    SEC_TRY(sec_corpus_open(corpus, &w->corpus));
    SEC_TRY(sec_tokenizer_load(tokenizer, &w->tok));
    w->m.vocab_size = sec_tokenizer_vocab_size(w->tok);
    if (w->m.vocab_size > UINT16_MAX + 1)
        return sec_fail(SEC_ECONFIG,
                        "%s: vocabulary of %d; token shards hold ids of 16 bits (65536)", tokenizer,
                        w->m.vocab_size);
    snprintf(w->m.tokenizer, sizeof w->m.tokenizer, "%s", sec_tokenizer_fingerprint(w->tok));
    w->m.corpus = w->corpus.fingerprint;
    w->m.seed = w->o.seed;
    w->m.tokens_per_shard = w->o.tokens_per_shard;
    w->m.temperature = w->o.temperature;
    w->m.source_cap = w->o.source_cap;
    SEC_TRY(list_sources(w));
    w->shards = calloc(w->corpus.n_shards + 1, sizeof *w->shards);
    w->cost = calloc(w->corpus.n_shards + 1, sizeof *w->cost);
    w->names = calloc(w->m.n_sources + 1, sizeof *w->names);
    w->factors = calloc(w->m.n_sources + 1, sizeof *w->factors);
    if (!w->shards || !w->cost || !w->names || !w->factors)
        return sec_fail(SEC_ENOMEM, "no memory for %zu shards", w->corpus.n_shards);
    for (size_t i = 0; i < w->m.n_sources; i++)
        w->names[i] = w->m.sources[i].name;
    SEC_TRY(set_factors(w));
fail:
    return rc;
}

/* ---- the working folder: OUT.partial/.work ---- */

/* What a working folder was begun for. Another memory or number of threads may go on with it: the
 * numbers of buckets are kept here. */
struct identity {
    uint64_t options; /* XXH3 of all that the result depends on */
    uint64_t n_buckets[SEC_N_SPLITS];
};

static uint64_t options_hash(const struct sec_tokwork *w)
{
    struct {
        uint64_t corpus, seed, tokens_per_shard, format;
        double temperature, source_cap;
        char tokenizer[72];
    } all = {
        w->corpus.fingerprint, w->o.seed, w->o.tokens_per_shard, SEC_TOK_FORMAT, w->o.temperature,
        w->o.source_cap,       ""};
    memcpy(all.tokenizer, w->m.tokenizer, sizeof w->m.tokenizer);
    return sec_hash64(&all, sizeof all, 0);
}

static struct identity new_identity(const struct sec_tokwork *w)
{
    struct identity id = {.options = options_hash(w)};
    for (int s = 0; s < SEC_N_SPLITS; s++) {
        double bytes = 0; /* of records: ids are rarely more than the JSON they come from */
        for (size_t i = 0; i < w->corpus.n_shards; i++) {
            const struct sec_shard_info *shard = &w->corpus.shards[i];
            if (shard->split == (enum sec_split)s)
                bytes += (double)shard->bytes_raw *
                         (s == SEC_SPLIT_TRAIN
                              ? w->m.sources[sec_tokwork_source(w, shard->source)].factor
                              : 1);
        }
        id.n_buckets[s] = sec_tokwork_buckets(w, (uint64_t)bytes);
    }
    return id;
}

/* Removes all of a folder but one entry. */
static int empty_but(const char *dir, const char *kept)
{
    struct sec_list list = {0};
    int rc = sec_list_dir(dir, &list);
    for (size_t i = 0; i < list.n && !rc; i++) {
        char *path = strcmp(list.v[i], kept) ? sec_path_join(dir, list.v[i]) : NULL;
        if (path)
            rc = sec_remove_tree(path);
        free(path);
    }
    sec_list_free(&list);
    return rc;
}

/* Rank 0: takes the folder, and keeps what is in it if it was made for the same result. */
static int claim(struct sec_tokwork *w, struct identity *id)
{
    int rc;
    struct identity old;
    char *lock = sec_path_join(w->work, "lock"), *path = sec_path_join(w->work, "identity");
    if (!lock || !path) {
        rc = sec_fail(SEC_ENOMEM, "%s: no memory for a path", w->work);
        goto fail;
    }
    SEC_TRY(sec_mkdir_p(w->work));
    SEC_TRY(sec_lock_file(lock, &w->lock));
    *id = new_identity(w);
    if (sec_exists(path) && !sec_sealed_read_into(path, &old, sizeof old) &&
        old.options == id->options) {
        *id = old;
        sec_info("%s: going on with what is there", w->partial);
        goto fail;
    }
    SEC_TRY(empty_but(w->partial, sec_basename(w->work)));
    SEC_TRY(empty_but(w->work, "lock"));
    rc = sec_sealed_write(path, id, sizeof *id);
fail:
    free(lock);
    free(path);
    return rc;
}

static int begin(struct sec_tokwork *w)
{
    struct identity id = {0};
    int rc = sec_ranks_agree(sec_rank() == 0 ? claim(w, &id) : 0);
    if (!rc)
        rc = sec_ranks_bcast(&id, sizeof id);
    memcpy(w->n_buckets, id.n_buckets, sizeof w->n_buckets);
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

/* Rank 0: everything but the shards, and the way to the final name. */
static int finish(struct sec_tokwork *w, const char *out_dir)
{
    int rc = 0;
    if (!w->m.total[SEC_SPLIT_TRAIN].docs) {
        sec_remove_tree(w->partial);
        return sec_fail(SEC_EDATA, "%s: no training document; build the corpus with more input",
                        w->corpus.root);
    }
    SEC_TRY(sec_tokenizer_save(w->tok, w->partial));
    SEC_TRY(sec_tokmanifest_write(w->partial, &w->m));
    SEC_TRY(sec_remove_tree(w->work));
    SEC_TRY(put_in_place(w->partial, out_dir));
fail:
    return rc;
}

static int check_options(const struct sec_tokenize_options *o)
{
    if (!(o->temperature > 0 && o->temperature <= 1))
        return sec_fail(SEC_EUSAGE, "temperature %g is not above 0 and at most 1", o->temperature);
    if (!(o->source_cap > 0 && o->source_cap <= 1))
        return sec_fail(SEC_EUSAGE, "a source's cap of %g is not above 0 and at most 1",
                        o->source_cap);
    return 0;
}

static int make(struct sec_tokwork *w, const char *corpus, const char *tokenizer, const char *dir)
{
    int rc = check_options(&w->o);
    if (!rc && sec_rank() == 0)
        rc = check_target(dir, w->o.force);
    if (!rc)
        rc = open_inputs(w, corpus, tokenizer);
    SEC_TRY(sec_ranks_agree(rc));
    SEC_TRY(begin(w));
    for (int s = 0; s < SEC_N_SPLITS; s++)
        SEC_TRY(sec_tokenize_split(w, (enum sec_split)s));
    rc = sec_ranks_agree(sec_rank() == 0 ? finish(w, dir) : 0);
fail:
    return rc;
}

int sec_corpus_tokenize(const char *corpus, const char *tokenizer, const char *out_dir,
                        const struct sec_tokenize_options *o)
{
    int rc = 0;
    struct sec_tokwork w = {.o = *o, .lock = -1};
    struct sec_buf partial = {0}, work = {0};
    size_t n = strlen(out_dir);
    while (n > 1 && out_dir[n - 1] == '/')
        n--;
    char *dir = strndup(out_dir, n);
    if (!dir) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the path of the data set");
        goto fail;
    }
    w.threads = o->threads > 0 ? o->threads : sec_threads();
    w.o.tokens_per_shard = o->tokens_per_shard ? o->tokens_per_shard : DEFAULT_SHARD;
    w.o.memory = o->memory ? o->memory : DEFAULT_MEMORY;
    w.o.source_cap = o->source_cap > 0 ? o->source_cap : 1;
    SEC_TRY(sec_buf_printf(&partial, "%s.partial", dir));
    SEC_TRY(sec_buf_printf(&work, "%s/.work", partial.data));
    w.partial = partial.data;
    w.work = work.data;
    rc = make(&w, corpus, tokenizer, dir);
fail:
    sec_unlock_file(w.lock);
    sec_tokmanifest_free(&w.m);
    sec_tokenizer_free(w.tok);
    sec_corpus_close(&w.corpus);
    sec_list_free(&w.encoded);
    sec_buf_free(&partial);
    sec_buf_free(&work);
    free(w.shards);
    free(w.cost);
    free(w.names);
    free(w.factors);
    free(w.cuts);
    free(dir);
    return rc;
}
