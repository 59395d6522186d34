/* secenc eval: options to eval/mlm_suite.h. */
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "eval/mlm_suite.h"
#include "tools/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    int suite, precision;
    char *data, *split, *json, *report, *dump, *device;
    int64_t seeds, seq_len, batch_tokens, docs;
    bool whole_field;
};

static const struct sec_opt options[] = {
    {"suite", 0, SEC_T_ENUM, false, offsetof(struct opts, suite), "mlm", 0, 0, "mlm", NULL,
     "mlm: prediction of masked tokens"},
    {"data", 'd', SEC_T_STRING, false, offsetof(struct opts, data), NULL, 0, 0, NULL, "DIR",
     "token data set made by `corpus tokenize`"},
    {"split", 0, SEC_T_STRING, false, offsetof(struct opts, split), NULL, 0, 0, NULL, "LIST",
     "splits, with commas (default: those of idts,odts that hold documents)"},
    {"seeds", 0, SEC_T_INT, false, offsetof(struct opts, seeds), "5", 1, 1000, NULL, "N",
     "masks are drawn with the seeds 1 to N"},
    {"docs", 0, SEC_T_INT, false, offsetof(struct opts, docs), "0", 0, 9e15, NULL, "N",
     "documents of each split (they are shuffled); 0 = all"},
    {"seq-len", 0, SEC_T_INT, false, offsetof(struct opts, seq_len), "0", 0, 65535, NULL, "N",
     "longest sequence in tokens; 0 = 512, or what the model takes if that is less"},
    {"batch-tokens", 0, SEC_T_INT, false, offsetof(struct opts, batch_tokens), "8192", 3, 16777216,
     NULL, "N", "tokens at once; changes memory and speed, no result"},
    {"whole-field", 0, SEC_T_BOOL, false, offsetof(struct opts, whole_field), NULL, 0, 0, NULL,
     NULL, "mask whole fields (an address, a path) instead of single tokens"},
    {"json", 0, SEC_T_STRING, false, offsetof(struct opts, json), NULL, 0, 0, NULL, "FILE",
     "write every result as a JSON line; RUN/eval-*.jsonl is shown by `secenc report`"},
    {"report", 0, SEC_T_STRING, false, offsetof(struct opts, report), NULL, 0, 0, NULL, "FILE",
     "write tables and charts as one HTML page"},
    {"dump", 0, SEC_T_STRING, false, offsetof(struct opts, dump), NULL, 0, 0, NULL, "FILE",
     "write masked positions, labels, losses and ranks of every sequence as JSON lines"},
    SEC_OPT_DEVICE(struct opts, "auto"),
    {"precision", 0, SEC_T_ENUM, false, offsetof(struct opts, precision), "fp32", 0, 0, "fp32|bf16",
     NULL, "type of activations"},
    {0}};

static int write_all(const struct opts *o, const char *model, const struct sec_results *r)
{
    int rc = 0;
    char title[512];
    if (!*o->json || strcmp(o->json, "-"))
        SEC_TRY(sec_mlm_print(r, stdout));
    if (*o->json)
        SEC_TRY(sec_results_write(r, o->json));
    snprintf(title, sizeof title, "%s (weights %.12s) on %s", model, r->model_sha, r->data);
    if (*o->report)
        SEC_TRY(sec_mlm_report(r, title, o->report));
fail:
    return rc;
}

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_results r = {0};
    char took[32];
    if (n != 1 || !*o->data)
        return sec_fail(SEC_EUSAGE, "usage: secenc eval MODEL --suite mlm --data DIR");
    const struct sec_mlm_suite_options so = {.model = args[0],
                                             .data = o->data,
                                             .splits = o->split,
                                             .seeds = (int)o->seeds,
                                             .seq_len = o->seq_len,
                                             .batch_tokens = o->batch_tokens,
                                             .docs = (uint64_t)o->docs,
                                             .whole_field = o->whole_field,
                                             .backend = o->device,
                                             .act = o->precision ? SEC_BF16 : SEC_F32,
                                             .dump = o->dump};
    double start = sec_now();
    int rc = sec_mlm_suite(&so, &r);
    if (!rc)
        rc = write_all(o, args[0], &r);
    if (!rc)
        sec_info("evaluated in %s", sec_human_seconds(sec_now() - start, took));
    sec_results_free(&r);
    return rc;
}

const struct sec_command sec_cmd_eval = {
    .name = "eval",
    .synopsis = "MODEL --suite mlm --data DIR [options]",
    .summary = "measure a model on the test splits, beside simple baselines",
    .details =
        "MODEL is a run directory, a checkpoint or an exported folder. 15 % of content tokens "
        "are replaced by [MASK]; IDTS (held-out documents of known sources) and ODTS (whole "
        "sources never seen) are reported apart, as means and standard deviations over seeds "
        "with 95 % bootstrap intervals over documents. A loss exists at masked tokens only; "
        "bits per byte = their nats / ln 2 / the bytes of their text, which compares models of "
        "different tokenizers. Baselines, on the same positions: copy previous line (the token "
        "at the same column of the nearest earlier line of the sequence whose first three "
        "tokens agree where both are visible, else the unigram's guess), unigram (training "
        "frequencies of content tokens, add-one smoothing; its guess is the most frequent), "
        "untrained (every token alike). Classes: a field is a run without white space, quotes, "
        "brackets and = , ; and is a timestamp, ip, path, number, hex, word or other by its "
        "shape. Frequency decile 1 holds the most frequent tokens that make up the first tenth "
        "of the training content tokens, and so on.",
    .opts = options,
    .values_size = sizeof(struct opts),
    .run = run,
};
