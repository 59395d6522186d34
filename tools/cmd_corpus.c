/* secenc corpus stats | sample */
#include "base/error.h"
#include "base/opt.h"
#include "data/corpus.h"
#include "tools/commands.h"

#include <stdio.h>

struct stats_opts {
    bool json;
};

static const struct sec_opt stats_options[] = {{"json", 'j', SEC_T_BOOL, false,
                                                offsetof(struct stats_opts, json), NULL, 0, 0, NULL,
                                                NULL, "machine-readable"},
                                               {0}};

static int print_buf(struct sec_buf *out)
{
    if (out->len)
        fwrite(out->data, 1, out->len, stdout);
    sec_buf_free(out);
    return 0;
}

static int run_stats(const void *opts, char **args, int n)
{
    struct sec_buf out = {0};
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "corpus stats takes one DIR, %d given", n);
    int rc = sec_corpus_stats(args[0], ((const struct stats_opts *)opts)->json, &out);
    if (!rc)
        return print_buf(&out);
    sec_buf_free(&out);
    return rc;
}

const struct sec_command sec_cmd_corpus_stats = {
    .name = "corpus stats",
    .synopsis = "DIR [--json]",
    .summary = "documents, records and bytes by split and source; what was removed",
    .opts = stats_options,
    .values_size = sizeof(struct stats_opts),
    .run = run_stats,
};

struct sample_opts {
    int64_t n, seed;
    int split;
    char *source;
};

static const struct sec_opt sample_options[] = {
    {"n", 'n', SEC_T_INT, false, offsetof(struct sample_opts, n), "10", 1, 1e7, NULL, "N",
     "how many documents"},
    {"split", 0, SEC_T_ENUM, false, offsetof(struct sample_opts, split), "any", 0, 0,
     "any|train|idts|odts", "SPLIT", "of this split only"},
    {"source", 0, SEC_T_STRING, false, offsetof(struct sample_opts, source), NULL, 0, 0, NULL,
     "GLOB", "of these sources only"},
    {"seed", 0, SEC_T_INT, false, offsetof(struct sample_opts, seed), "0", 0, 0, NULL, "N",
     "another seed, another sample"},
    {0}};

static int run_sample(const void *opts, char **args, int n)
{
    const struct sample_opts *s = opts;
    struct sec_buf out = {0};
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "corpus sample takes one DIR, %d given", n);
    int rc = sec_corpus_sample(args[0], (uint64_t)s->n, s->split - 1,
                               s->source && *s->source ? s->source : NULL, (uint64_t)s->seed, &out);
    if (!rc)
        return print_buf(&out);
    sec_buf_free(&out);
    return rc;
}

const struct sec_command sec_cmd_corpus_sample = {
    .name = "corpus sample",
    .synopsis = "DIR -n N [options]",
    .summary = "print random documents as JSON lines",
    .details =
        "Documents are drawn uniformly and without replacement; the same seed gives the same ones.",
    .opts = sample_options,
    .values_size = sizeof(struct sample_opts),
    .run = run_sample,
};
