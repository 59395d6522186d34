/* secenc corpus tokenize: text corpus + tokenizer -> token shards. */
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/ranks.h"
#include "base/str.h"
#include "data/tokshard.h"
#include "data/tokshard_manifest.h"

#include <stdio.h>
#include <stdlib.h>

struct options {
    char *tokenizer, *out;
    int64_t seed, tokens_per_shard;
    double temperature, source_cap;
    uint64_t memory;
    bool force, json;
};

static const struct sec_opt options[] = {
    {.name = "tokenizer",
     .type = SEC_T_STRING,
     .offset = offsetof(struct options, tokenizer),
     .metavar = "TOK",
     .help = "tokenizer.json, or the directory it is in (required)"},
    {.name = "out",
     .letter = 'o',
     .type = SEC_T_STRING,
     .offset = offsetof(struct options, out),
     .metavar = "DIR",
     .help = "directory of the data set to make (required)"},
    {.name = "seed",
     .type = SEC_T_INT,
     .offset = offsetof(struct options, seed),
     .dflt = "1",
     .max = 9007199254740992.0,
     .metavar = "N",
     .help = "of the shuffle and of the drawing by source"},
    {.name = "temperature",
     .type = SEC_T_FLOAT,
     .offset = offsetof(struct options, temperature),
     .dflt = "1",
     .min = 0.01,
     .max = 1,
     .metavar = "T",
     .help = "share of a source in train ~ size^T; 1 = as it is, 0.5 evens sources out"},
    {.name = "source-cap",
     .type = SEC_T_FLOAT,
     .offset = offsetof(struct options, source_cap),
     .dflt = "1",
     .min = 0.0001,
     .max = 1,
     .metavar = "SHARE",
     .help = "most of the training tokens that one source may make; 1 = no cap"},
    {.name = "memory",
     .type = SEC_T_SIZE,
     .offset = offsetof(struct options, memory),
     .dflt = "2G",
     .min = 67108864,
     .max = 1e15,
     .metavar = "SIZE",
     .help = "memory of each rank to stay within"},
    {.name = "tokens-per-shard",
     .type = SEC_T_INT,
     .offset = offsetof(struct options, tokens_per_shard),
     .dflt = "268435456",
     .min = 1,
     .max = 1e15,
     .metavar = "N",
     .help = "tokens after which the next shard begins"},
    {.name = "force",
     .type = SEC_T_BOOL,
     .offset = offsetof(struct options, force),
     .help = "replace an existing data set"},
    {.name = "json",
     .letter = 'j',
     .type = SEC_T_BOOL,
     .offset = offsetof(struct options, json),
     .help = "print the summary as JSON"},
    {0},
};

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

/* The sources that make most of the training tokens, largest first; m->n_sources indices. */
static const struct sec_tokmanifest *sorted_manifest;
static int by_natural_share(const void *pa, const void *pb)
{
    const struct sec_tok_source *s = sorted_manifest->sources;
    size_t a = *(const size_t *)pa, b = *(const size_t *)pb;
    if (s[a].natural_share != s[b].natural_share)
        return s[a].natural_share < s[b].natural_share ? 1 : -1;
    return (a > b) - (a < b);
}

static void print_sources(const struct sec_tokmanifest *m)
{
    size_t *order = malloc(m->n_sources * sizeof *order);
    if (!order || (m->temperature == 1 && m->source_cap == 1)) {
        free(order);
        return;
    }
    for (size_t i = 0; i < m->n_sources; i++)
        order[i] = i;
    sorted_manifest = m;
    qsort(order, m->n_sources, sizeof *order, by_natural_share);
    printf("\n%-40s %12s %12s %10s\n", "source", "share before", "share after", "factor");
    for (size_t i = 0; i < m->n_sources && i < 10; i++) {
        const struct sec_tok_source *s = &m->sources[order[i]];
        printf("%-40s %11.2f%% %11.2f%% %10.4f\n", s->name, 100 * s->natural_share,
               100 * sec_tokmanifest_share(m, order[i]), s->factor);
    }
    free(order);
}

static void print_table(const struct sec_tokmanifest *m, const char *dir, double seconds)
{
    char size[32];
    uint64_t bytes = 0;
    printf("%-6s %10s %14s %12s %14s %12s\n", "split", "documents", "tokens", "bytes",
           "bytes/token", "tokens/doc");
    for (int s = 0; s < SEC_N_SPLITS; s++) {
        const struct sec_tok_count *c = &m->total[s];
        printf("%-6s %10llu %14llu %12s %14.3f %12.1f\n", sec_split_names[s],
               (unsigned long long)c->docs, (unsigned long long)c->tokens,
               sec_human_bytes((double)c->bytes, size), ratio(c->bytes, c->tokens),
               ratio(c->tokens, c->docs));
        bytes += c->bytes;
    }
    print_sources(m);
    sec_info("%s: %zu shards, fingerprint %016llx, %.1f s, %.0f MB/s", dir, m->n_shards,
             (unsigned long long)m->fingerprint, seconds, (double)bytes / 1e6 / seconds);
}

static int print_json(const struct sec_tokmanifest *m, double seconds)
{
    struct sec_buf out = {0};
    struct sec_jw w;
    char text[32];
    sec_jw_init(&w, &out, true);
    sec_jw_obj(&w);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)m->fingerprint);
    sec_jw_kstr(&w, "fingerprint", text);
    sec_jw_kstr(&w, "tokenizer", m->tokenizer);
    sec_jw_ki64(&w, "shards", (int64_t)m->n_shards);
    sec_jw_ki64(&w, "sources", (int64_t)m->n_sources);
    sec_jw_kf64(&w, "seconds", seconds);
    sec_jw_key(&w, "splits");
    sec_jw_obj(&w);
    for (int s = 0; s < SEC_N_SPLITS; s++) {
        const struct sec_tok_count *c = &m->total[s];
        sec_jw_key(&w, sec_split_names[s]);
        sec_jw_obj(&w);
        sec_jw_ki64(&w, "docs", (int64_t)c->docs);
        sec_jw_ki64(&w, "tokens", (int64_t)c->tokens);
        sec_jw_ki64(&w, "bytes", (int64_t)c->bytes);
        sec_jw_kf64(&w, "bytes_per_token", ratio(c->bytes, c->tokens));
        sec_jw_obj_end(&w);
    }
    sec_jw_obj_end(&w);
    sec_jw_obj_end(&w);
    return sec_jw_print(&w);
}

static int run(const void *values, char **args, int n)
{
    const struct options *v = values;
    struct sec_tokmanifest m = {0};
    const struct sec_tokenize_options o = {.seed = (uint64_t)v->seed,
                                           .tokens_per_shard = (uint64_t)v->tokens_per_shard,
                                           .temperature = v->temperature,
                                           .source_cap = v->source_cap,
                                           .memory = v->memory,
                                           .force = v->force};
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "give one corpus directory, not %d", n);
    if (!v->tokenizer || !*v->tokenizer || !v->out || !*v->out)
        return sec_fail(SEC_EUSAGE, "--tokenizer TOK and -o DIR are required");
    double start = sec_now();
    int rc = sec_corpus_tokenize(args[0], v->tokenizer, v->out, &o);
    if (!rc && sec_rank() == 0)
        rc = sec_tokmanifest_read(v->out, &m);
    if (rc || sec_rank() > 0)
        return rc;
    if (v->json)
        rc = print_json(&m, sec_now() - start);
    else
        print_table(&m, v->out, sec_now() - start);
    sec_tokmanifest_free(&m);
    return rc;
}

const struct sec_command sec_cmd_corpus_tokenize = {
    .name = "corpus tokenize",
    .synopsis = "CORPUS --tokenizer TOK -o DIR [options]",
    .summary = "turn a text corpus into token shards for training",
    .details =
        "Documents are shuffled over the whole split: a pure function of the seed and the\n"
        "document, whatever the threads, memory or shards. The tokenizer's files are copied\n"
        "beside the shards. The data set appears under DIR when it is complete; until then\n"
        "it is DIR.partial, and the same command goes on there after a failure or a kill.\n"
        "mpirun -n R shares the work between R processes; the files are the same.\n"
        "\n"
        "With --temperature below 1 training documents of small sources are repeated (at most\n"
        "8 times) and of large ones left out, chosen by hash; the factors are in\n"
        "MANIFEST.jsonl. With --source-cap training documents of sources above that share of\n"
        "the tokens are left out, by hash, until none is above it. The table then shows the\n"
        "shares. The test splits are never resampled.",
    .opts = options,
    .values_size = sizeof(struct options),
    .run = run,
};
