/* secenc import: a Hugging Face DeBERTa-v2 folder into our exported form. */
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "eval/infer.h"
#include "model/hf.h"
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>

struct options {
    char *out;
};

static const struct sec_opt options[] = {{"out", 'o', SEC_T_STRING, false,
                                          offsetof(struct options, out), NULL, 0, 0, NULL, "MODEL",
                                          "folder to write"},
                                         {0}};

static int run(const void *opts, char **args, int n)
{
    const struct options *o = opts;
    struct sec_model_config c;
    struct sec_params p = {0};
    unsigned heads;
    float *master = NULL;
    char count[32], recorded[65], sha[65];
    if (n != 1 || !o->out || !*o->out)
        return sec_fail(SEC_EUSAGE, "usage: secenc import HFDIR -o MODEL");
    char *tokenizer = sec_path_join(args[0], "tokenizer.json");
    char *from = realpath(args[0], NULL), *to = realpath(o->out, NULL);
    bool found = tokenizer && sec_exists(tokenizer);
    int rc = from && to && !strcmp(from, to)
                 ? sec_fail(SEC_EUSAGE, "%s is the input itself: choose another folder", o->out)
                 : sec_hf_load(args[0], &c, &heads, &p, &master);
    if (!rc)
        rc = sec_hf_tokenizer_sha256(args[0], recorded);
    if (!rc)
        rc = sec_model_tokenizer_sha256(args[0], args[0], recorded, sha);
    if (!rc)
        rc = sec_hf_export(&c, &p, master, found ? args[0] : NULL, sha, "float32", o->out);
    if (!rc && !found)
        sec_warn("%s has no tokenizer.json: text commands need one beside the model", args[0]);
    if (!rc)
        sec_info("%s: %s parameters, %lld layers of %lld, vocabulary %lld%s%s", o->out,
                 sec_human_count((double)p.n_trainable, count), (long long)c.num_hidden_layers,
                 (long long)c.hidden_size, (long long)c.vocab_size,
                 heads & SEC_HEAD_MLM ? ", masked-language-model head" : "",
                 heads & SEC_HEAD_CLASSIFY ? ", classifier" : "");
    free(master);
    sec_params_free(&p);
    free(tokenizer);
    free(from);
    free(to);
    return rc;
}

const struct sec_command sec_cmd_import = {
    .name = "import",
    .synopsis = "HFDIR -o MODEL",
    .summary = "read a Hugging Face DeBERTa-v2 folder",
    .details = "HFDIR holds config.json and model.safetensors (or its shards and index). What this "
               "encoder does not do (absolute positions, token types, other activations, ...) is "
               "refused by key and value.",
    .opts = options,
    .values_size = sizeof(struct options),
    .run = run,
};
