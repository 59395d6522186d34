/* secenc corpus export: token shards -> the file format of another program. */
#include "base/error.h"
#include "base/log.h"
#include "base/opt.h"
#include "data/indexed_dataset.h"

struct options {
    int to, split;
    char *out;
    bool force;
};

#define AT(f) offsetof(struct options, f)
static const struct sec_opt options[] = {
    {"to", 0, SEC_T_ENUM, false, AT(to), "megatron", 0, 0, "megatron", "FORMAT",
     "megatron = PREFIX.bin and PREFIX.idx, as Megatron-LM and its relatives read them"},
    {"out", 'o', SEC_T_STRING, false, AT(out), NULL, 0, 0, NULL, "PREFIX",
     "files to make, without the ending (required)"},
    {"split", 0, SEC_T_ENUM, false, AT(split), "train", 0, 0, "train|idts|odts", "SPLIT",
     "which split"},
    {"force", 0, SEC_T_BOOL, false, AT(force), NULL, 0, 0, NULL, NULL, "replace existing files"},
    {0},
};

static int run(const void *values, char **args, int n)
{
    const struct options *v = values;
    struct sec_tokens *t;
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "give one directory of token shards, not %d", n);
    if (!*v->out)
        return sec_fail(SEC_EUSAGE, "-o PREFIX is required");
    int rc = sec_tokens_open(args[0], (enum sec_split)v->split, &t);
    if (rc)
        return rc;
    const struct sec_tokens_info *info = sec_tokens_info(t);
    rc = sec_indexed_dataset_write(t, v->out, v->force);
    if (!rc)
        sec_info("%s.bin, %s.idx: %llu documents, %llu tokens of 16 bits, vocabulary %d", v->out,
                 v->out, (unsigned long long)info->n_docs, (unsigned long long)info->n_tokens,
                 info->vocab_size);
    sec_tokens_close(t);
    return rc;
}

const struct sec_command sec_cmd_corpus_export = {
    .name = "corpus export",
    .synopsis = "DATA -o PREFIX [options]",
    .summary = "write token shards in the format of another trainer",
    .details =
        "DATA is what secenc corpus tokenize made. Documents keep their (shuffled) order and "
        "hold their tokens only: [CLS], [SEP] and masks are the trainer's business. Give it "
        "the tokenizer.json of DATA.",
    .opts = options,
    .values_size = sizeof(struct options),
    .run = run,
};
