/* secenc export: an exported folder from a run, a checkpoint or another export. */
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "eval/infer.h"
#include "model/hf.h"
#include "model/open.h"
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>

struct options {
    char *out;
    int to, dtype;
};

static const char *const dtypes[] = {"float32", "bfloat16"};

static const struct sec_opt options[] = {
    {"out", 'o', SEC_T_STRING, false, offsetof(struct options, out), NULL, 0, 0, NULL, "DIR",
     "folder to write"},
    {"to", 0, SEC_T_ENUM, false, offsetof(struct options, to), "hf", 0, 0, "hf", NULL,
     "hf: model.safetensors, config.json and tokenizer for Hugging Face transformers"},
    {"dtype", 0, SEC_T_ENUM, false, offsetof(struct options, dtype), "float32", 0, 0,
     "float32|bfloat16", NULL, "type of the weights"},
    {0}};

static int run(const void *opts, char **args, int n)
{
    const struct options *o = opts;
    struct sec_opened m;
    char count[32], sha[65];
    if (n != 1 || !o->out || !*o->out)
        return sec_fail(SEC_EUSAGE, "usage: secenc export MODEL -o DIR");
    int rc = sec_model_open(args[0], &m);
    if (rc)
        return rc;
    char *tokenizer = sec_path_join(m.tokenizer_dir, "tokenizer.json");
    bool found = tokenizer && sec_exists(tokenizer);
    char *from = realpath(m.dir, NULL), *to = realpath(o->out, NULL);
    if (from && to && !strcmp(from, to))
        rc = sec_fail(SEC_EUSAGE, "%s is the model itself: choose another folder", o->out);
    else
        rc = sec_model_tokenizer_sha256(args[0], m.tokenizer_dir, m.tokenizer_fingerprint, sha);
    if (!rc)
        rc = sec_hf_export(&m.config, &m.params, m.master, found ? m.tokenizer_dir : NULL, sha,
                           dtypes[o->dtype], o->out);
    if (!rc && !found)
        sec_warn("%s is missing: the export has no tokenizer", tokenizer);
    if (!rc)
        sec_info("%s: %s parameters in %s, from %s", o->out,
                 sec_human_count((double)m.params.n_trainable, count), dtypes[o->dtype], m.dir);
    free(from);
    free(to);
    free(tokenizer);
    sec_opened_free(&m);
    return rc;
}

const struct sec_command sec_cmd_export = {
    .name = "export",
    .synopsis = "MODEL -o DIR [options]",
    .summary = "write a model as a Hugging Face folder",
    .details =
        "MODEL is a run directory (its newest whole checkpoint), a checkpoint or an exported "
        "folder. The result loads with AutoModelForMaskedLM and AutoTokenizer, and with every "
        "secenc command.",
    .opts = options,
    .values_size = sizeof(struct options),
    .run = run,
};
