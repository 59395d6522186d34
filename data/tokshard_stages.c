/* One split: text shards -> encoded files -> sorted buckets -> plan -> token shards. Every arrow is
 * a stage (data/stage.h): its tasks leave files, and what is there is not made again. */
#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "data/sealed.h"
#include "data/stage.h"
#include "data/tokshard_mix.h"
#include "data/tokshard_spool.h"
#include "data/tokshard_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIX_BINS = (int)SEC_MIX_MAX_FACTOR * SEC_MIX_BINS, NAME = SEC_TOKWORK_NAME };
static const uint64_t MIB = 1 << 20;

/* ---- names and memory ---- */

static bool all_exist(const struct sec_tokwork *w, const char *kind, size_t n)
{
    char name[NAME];
    for (size_t i = 0; i < n; i++)
        if (!sec_exists(sec_tokwork_name(w, kind, i, name)))
            return false;
    return true;
}

static void remove_all(const struct sec_tokwork *w, const char *kind, size_t n)
{
    char name[NAME];
    for (size_t i = 0; i < n; i++)
        unlink(sec_tokwork_name(w, kind, i, name));
}

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* A task's share of the memory, once an encoder's cache and a shard reader have taken theirs. */
static uint64_t task_memory(const struct sec_tokwork *w)
{
    return w->o.memory / (2 * (uint64_t)w->threads);
}

uint64_t sec_tokwork_buckets(const struct sec_tokwork *w, uint64_t bytes)
{
    uint64_t most = clamp(task_memory(w) / 2, MIB, 128 * MIB), n = 1;
    while (bytes / n > most && n < SEC_SPOOL_MAX_BUCKETS)
        n *= 2;
    return n;
}

/* ---- text shards -> encoded files ---- */

struct encoder {
    struct sec_tokwork *w;
    size_t source;
    struct sec_encoder_ctx *ctx;
    struct sec_spool_writer *out;
    uint16_t *ids;
    size_t len, cap;
    uint64_t tokens;
    uint64_t *by_position; /* tokens by copy + draw, for the cap; else NULL */
};

static uint64_t shuffle_key(uint64_t seed, const sec_h128 *id, unsigned copy)
{
    return sec_rand64(seed, SEC_STREAM_SHUFFLE, id->lo, (uint32_t)(id->hi ^ id->hi >> 32) + copy);
}

static int encode_doc(struct encoder *e, const struct sec_doc *doc)
{
    int rc = 0;
    const struct sec_tokwork *w = e->w;
    bool train = w->split == SEC_SPLIT_TRAIN;
    double factor = train ? w->m.sources[e->source].factor : 1;
    double draw = train ? sec_mix_draw(w->o.seed, &doc->id) : 0;
    e->len = 0;
    if (!doc->text_len || draw >= factor)
        return 0;
    SEC_TRY(sec_encode(e->ctx, doc->text, doc->text_len, 0, &e->ids, &e->len, &e->cap));
    if (e->len > UINT32_MAX || doc->text_len > UINT32_MAX)
        return sec_fail(SEC_EDATA, "a document of %zu bytes is too long for a token shard",
                        doc->text_len);
    if (!e->len)
        return 0; /* a document without tokens is no sample */
    for (unsigned c = 0; c + draw < factor; c++) {
        struct sec_spool_doc d = {.key = shuffle_key(w->o.seed, &doc->id, c),
                                  .id = doc->id,
                                  .n = (uint32_t)e->len,
                                  .bytes = (uint32_t)doc->text_len,
                                  .source = (uint16_t)e->source,
                                  .copy = (uint16_t)c,
                                  .ids = e->ids};
        SEC_TRY(sec_spool_add(e->out, &d));
        e->tokens += e->len;
        if (e->by_position)
            e->by_position[(size_t)((c + draw) * SEC_MIX_BINS)] += e->len;
    }
fail:
    return rc;
}

static bool capped(const struct sec_tokwork *w)
{
    return w->split == SEC_SPLIT_TRAIN && w->m.source_cap < 1;
}

static int encode_text(struct encoder *e, const char *path)
{
    struct sec_tokwork *w = e->w;
    struct sec_shard_reader *r = NULL;
    struct sec_doc doc;
    int rc = sec_shard_reader_open(path, &r);
    while (!rc && !(rc = sec_shard_reader_next(r, &doc))) {
        rc = encode_doc(e, &doc);
        uint64_t done = atomic_fetch_add(&w->bytes_done, doc.text_len) + doc.text_len;
        if (!rc && sec_progress_due())
            sec_progress("tokenizing %s: %.0f of %.0f MB", sec_split_names[w->split],
                         (double)done / 1e6, (double)w->bytes_total / (double)sec_world() / 1e6);
    }
    sec_shard_reader_close(r);
    return rc == 1 ? 0 : rc;
}

static int encode_shard(void *arg, size_t i)
{
    struct sec_tokwork *w = arg;
    const struct sec_shard_info *s = w->shards[i];
    struct encoder e = {.w = w, .source = sec_tokwork_source(w, s->source)};
    char name[NAME], *path = sec_path_join(w->corpus.root, s->path);
    int rc;
    e.ctx = sec_encoder_ctx_new(w->tok);
    if (capped(w))
        e.by_position = calloc(MIX_BINS, sizeof *e.by_position);
    if (!path || !e.ctx || (capped(w) && !e.by_position)) {
        rc = sec_fail(SEC_ENOMEM, "no memory to encode %s", s->path);
        goto fail;
    }
    SEC_TRY(sec_spool_create(w->encoded.v[i], w->n_buckets[w->split],
                             clamp(task_memory(w), MIB, 256 * MIB), &e.out));
    SEC_TRY(encode_text(&e, path));
    if (e.by_position)
        SEC_TRY(sec_sealed_write(sec_tokwork_name(w, "mix", i, name), e.by_position,
                                 MIX_BINS * sizeof *e.by_position));
    rc = sec_spool_seal(e.out, e.tokens);
    e.out = NULL;
fail:
    sec_spool_abort(e.out);
    sec_encoder_ctx_free(e.ctx);
    free(e.by_position);
    free(e.ids);
    free(path);
    return rc;
}

static bool encoded(void *arg, size_t i)
{
    struct sec_tokwork *w = arg;
    char name[NAME];
    return sec_exists(w->encoded.v[i]) &&
           (!capped(w) || sec_exists(sec_tokwork_name(w, "mix", i, name)));
}

/* ---- shares of the sources, from the tokens that were counted ---- */

/* weight[i] = tokens of source i with its factor so far. */
static int weigh(const struct sec_tokwork *w, double *weight)
{
    for (size_t i = 0; i < w->n_shards; i++) {
        uint64_t tokens;
        int rc = sec_spool_tokens(w->encoded.v[i], &tokens);
        if (rc)
            return rc;
        weight[sec_tokwork_source(w, w->shards[i]->source)] += (double)tokens;
    }
    return 0;
}

static int solve_factor(const struct sec_tokwork *w, size_t source, double target, double *factor)
{
    uint64_t *sum = calloc(2 * MIX_BINS, sizeof *sum), *one = sum + MIX_BINS;
    char name[NAME];
    int rc = sum ? 0 : sec_fail(SEC_ENOMEM, "no memory for the mix of sources");
    for (size_t i = 0; i < w->n_shards && !rc; i++) {
        if (sec_tokwork_source(w, w->shards[i]->source) != source)
            continue;
        rc = sec_sealed_read_into(sec_tokwork_name(w, "mix", i, name), one, MIX_BINS * sizeof *one);
        for (size_t k = 0; k < MIX_BINS && !rc; k++)
            sum[k] += one[k];
    }
    if (!rc)
        *factor = sec_mix_factor(sum, MIX_BINS, target);
    free(sum);
    return rc;
}

/* Final factors, and what the shares would be without temperature and cap. */
static int mix(struct sec_tokwork *w)
{
    size_t n = w->m.n_sources;
    double *weight = calloc(2 * n, sizeof *weight), *lowered = weight + n, natural = 0;
    int rc;
    if (!weight)
        return sec_fail(SEC_ENOMEM, "no memory for %zu sources", n);
    SEC_TRY(weigh(w, weight));
    memcpy(lowered, weight, n * sizeof *lowered);
    if (capped(w))
        SEC_TRY(sec_mix_cap(lowered, n, w->m.source_cap));
    for (size_t i = 0; i < n; i++) {
        w->factors[i] = w->m.sources[i].factor;
        natural += weight[i] / w->factors[i];
        if (lowered[i] < weight[i])
            SEC_TRY(solve_factor(w, i, lowered[i], &w->factors[i]));
    }
    for (size_t i = 0; i < n && natural > 0; i++)
        w->m.sources[i].natural_share = weight[i] / w->m.sources[i].factor / natural;
fail:
    free(weight);
    return rc;
}

/* ---- encoded files -> sorted buckets ---- */

static bool keep(void *arg, const struct sec_spool_doc *d)
{
    const struct sec_tokwork *w = arg;
    return d->copy + sec_mix_draw(w->o.seed, &d->id) < w->factors[d->source];
}

static int sort_bucket(void *arg, size_t i)
{
    struct sec_tokwork *w = arg;
    char sorted[NAME], lengths[NAME];
    return sec_spool_sort(&w->encoded, i, sec_tokwork_name(w, "sorted", i, sorted),
                          sec_tokwork_name(w, "lengths", i, lengths), capped(w) ? keep : NULL, w);
}

static bool sorted(void *arg, size_t i)
{
    const struct sec_tokwork *w = arg;
    char a[NAME], b[NAME];
    return sec_exists(sec_tokwork_name(w, "sorted", i, a)) &&
           sec_exists(sec_tokwork_name(w, "lengths", i, b));
}

/* Rank 0's buffer to all. */
static int share(struct sec_buf *b)
{
    uint64_t n = b->len;
    int rc = sec_ranks_bcast(&n, sizeof n);
    if (!rc && sec_rank() > 0)
        rc = sec_buf_reserve(b, n);
    rc = sec_ranks_agree(rc);
    if (!rc)
        rc = sec_ranks_bcast(b->data, n);
    b->len = n;
    return rc;
}

/* ---- sorted buckets -> token shards ---- */

static int next_doc(const struct sec_tokwork *w, uint64_t *bucket, struct sec_spool_reader **in,
                    struct sec_spool_doc *doc)
{
    char name[NAME];
    int rc = 0;
    while (!(rc = sec_spool_next(*in, doc)) || rc == 1) {
        if (!rc)
            return 0;
        sec_spool_close(*in);
        *in = NULL;
        if (++*bucket == w->n_buckets[w->split])
            return sec_fail(SEC_EDATA, "%s: documents are missing; remove the folder", w->work);
        rc = sec_spool_open(sec_tokwork_name(w, "sorted", *bucket, name), in);
        if (rc)
            return rc;
    }
    return rc;
}

/* What the manifest says of the shard; the path stays behind. */
static int seal_info(const struct sec_tokwork *w, size_t i, struct sec_tokshard_info info)
{
    char name[NAME];
    info.path = NULL;
    return sec_sealed_write(sec_tokwork_name(w, "made", i, name), &info, sizeof info);
}

static int write_shard(void *arg, size_t i)
{
    struct sec_tokwork *w = arg;
    const struct sec_tok_cut *cut = &w->cuts[i];
    uint64_t bucket = cut->bucket;
    char name[NAME];
    struct sec_spool_reader *in = NULL;
    struct sec_spool_doc d;
    struct sec_tokwriter *out = NULL;
    struct sec_tokshard_info *made = NULL;
    size_t n_made = 0;
    int rc;
    struct sec_tokwriter_options wo = {.dir = w->partial,
                                       .split = w->split,
                                       .tokenizer_fingerprint = w->m.tokenizer,
                                       .vocab_size = w->m.vocab_size,
                                       .seed = w->o.seed,
                                       .tokens_per_shard = UINT64_MAX,
                                       .sources = w->names,
                                       .n_sources = (uint16_t)w->m.n_sources,
                                       .threads = w->threads,
                                       .first = i,
                                       .of = w->n_cuts};
    SEC_TRY(sec_tokwriter_open(&wo, &out));
    SEC_TRY(sec_spool_open(sec_tokwork_name(w, "sorted", bucket, name), &in));
    SEC_TRY(sec_spool_skip(in, cut->skip));
    for (uint64_t k = 0; k < cut->docs; k++) {
        SEC_TRY(next_doc(w, &bucket, &in, &d));
        struct sec_tokdoc doc = {d.ids, d.n, d.source, d.id.lo, d.bytes};
        SEC_TRY(sec_tokwriter_add(out, &doc));
        if (sec_progress_due())
            sec_progress("writing %s: shard %zu of %zu, %.0f %%", sec_split_names[w->split], i + 1,
                         w->n_cuts, 100 * (double)k / (double)cut->docs);
    }
    struct sec_tokwriter *closing = out;
    out = NULL;
    SEC_TRY(sec_tokwriter_close(closing, &made, &n_made));
    rc = seal_info(w, i, made[0]);
fail:
    sec_tokwriter_abort(out);
    sec_spool_close(in);
    for (size_t k = 0; k < n_made; k++)
        free(made[k].path);
    free(made);
    return rc;
}

static bool shard_name(const struct sec_tokwork *w, size_t i, char *buf, size_t n)
{
    return snprintf(buf, n, "%s-%05zu-of-%05zu.h5", sec_split_names[w->split], i, w->n_cuts) > 0;
}

static bool made(void *arg, size_t i)
{
    const struct sec_tokwork *w = arg;
    char name[NAME], shard[64], path[NAME];
    shard_name(w, i, shard, sizeof shard);
    snprintf(path, sizeof path, "%s/%s", w->partial, shard);
    return sec_exists(sec_tokwork_name(w, "made", i, name)) && sec_exists(path);
}

/* Rank 0: the split's shards into the manifest. */
static int collect(struct sec_tokwork *w)
{
    struct sec_tokmanifest *m = &w->m;
    void *all = realloc(m->shards, (m->n_shards + w->n_cuts + 1) * sizeof *m->shards);
    char name[NAME], shard[64];
    if (!all)
        return sec_fail(SEC_ENOMEM, "no memory for the list of shards");
    m->shards = all;
    for (size_t i = 0; i < w->n_cuts; i++) {
        struct sec_tokshard_info *s = &m->shards[m->n_shards];
        int rc = sec_sealed_read_into(sec_tokwork_name(w, "made", i, name), s, sizeof *s);
        if (rc)
            return rc;
        shard_name(w, i, shard, sizeof shard);
        s->path = strdup(shard);
        if (!s->path)
            return sec_fail(SEC_ENOMEM, "no memory for the name of a shard");
        m->n_shards++;
    }
    return 0;
}

/* ---- the split ---- */

static int list_shards(struct sec_tokwork *w)
{
    char name[NAME];
    w->n_shards = 0;
    w->bytes_total = 0;
    atomic_store(&w->bytes_done, 0);
    sec_list_free(&w->encoded);
    for (size_t i = 0; i < w->corpus.n_shards; i++) {
        const struct sec_shard_info *s = &w->corpus.shards[i];
        if (s->split != w->split)
            continue;
        w->cost[w->n_shards] = s->bytes_raw;
        w->bytes_total += s->bytes_text;
        int rc = sec_list_add(&w->encoded, sec_tokwork_name(w, "encoded", w->n_shards, name));
        if (rc)
            return rc;
        w->shards[w->n_shards++] = s;
    }
    return 0;
}

/* Rank 0 looks for a plan whose files are all there; *b is empty if there is none. */
static int find_plan(struct sec_tokwork *w, struct sec_buf *b)
{
    char name[NAME];
    size_t n = (size_t)w->n_buckets[w->split];
    sec_buf_clear(b);
    if (sec_rank() > 0 || !sec_exists(sec_tokwork_name(w, "plan", 0, name)))
        return 0;
    int rc = sec_sealed_read(name, b);
    if (!rc)
        rc = sec_tokplan_cuts(w, b);
    if (rc || all_exist(w, "made", w->n_cuts) ||
        (all_exist(w, "sorted", n) && all_exist(w, "lengths", n)))
        return rc;
    unlink(name); /* a spool file was damaged and set aside: sort again */
    sec_buf_clear(b);
    return 0;
}

static int plan(struct sec_tokwork *w, struct sec_buf *b)
{
    int rc;
    struct sec_stage encode = {.name = "encode",
                               .n = w->n_shards,
                               .cost = w->cost,
                               .threads = w->threads,
                               .done = encoded,
                               .run = encode_shard,
                               .ctx = w};
    struct sec_stage sort = {.name = "sort",
                             .n = (size_t)w->n_buckets[w->split],
                             .threads = w->threads,
                             .done = sorted,
                             .run = sort_bucket,
                             .ctx = w};
    SEC_TRY(sec_stage_run(&encode));
    rc = w->split == SEC_SPLIT_TRAIN ? mix(w) : 0;
    SEC_TRY(sec_ranks_agree(rc));
    SEC_TRY(sec_stage_run(&sort));
    rc = sec_rank() == 0 ? sec_tokplan_make(w, b) : 0;
    SEC_TRY(sec_ranks_agree(rc));
    if (sec_rank() == 0) {
        remove_all(w, "encoded", w->n_shards);
        remove_all(w, "mix", w->n_shards);
    }
fail:
    return rc;
}

int sec_tokenize_split(struct sec_tokwork *w, enum sec_split split)
{
    int rc;
    struct sec_buf b = {0};
    w->split = split;
    SEC_TRY(list_shards(w));
    if (!w->n_shards)
        goto fail;
    rc = sec_ranks_agree(find_plan(w, &b));
    uint64_t have_plan = b.len;
    if (!rc)
        rc = sec_ranks_bcast(&have_plan, sizeof have_plan);
    if (!rc && !have_plan)
        rc = plan(w, &b);
    if (!rc)
        rc = share(&b);
    if (!rc)
        rc = sec_ranks_agree(sec_tokplan_use(w, &b));
    if (rc)
        goto fail;
    struct sec_stage write = {.name = "write",
                              .n = w->n_cuts,
                              .threads = 1, /* HDF5; the writer packs with all threads */
                              .done = made,
                              .run = write_shard,
                              .ctx = w};
    SEC_TRY(sec_stage_run(&write));
    rc = sec_rank() == 0 ? collect(w) : 0;
    SEC_TRY(sec_ranks_agree(rc));
    if (sec_rank() == 0) {
        remove_all(w, "sorted", (size_t)w->n_buckets[split]);
        remove_all(w, "lengths", (size_t)w->n_buckets[split]);
    }
fail:
    sec_progress_done();
    sec_buf_free(&b);
    return rc;
}
