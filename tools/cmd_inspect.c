/* secenc inspect: what a file or folder is. */
#include "base/error.h"
#include "eval/inspect.h"
#include "tools/commands.h"

#include <stdio.h>

struct opts {
    bool json;
};

static const struct sec_opt options[] = {{"json", 0, SEC_T_BOOL, false, offsetof(struct opts, json),
                                          NULL, 0, 0, NULL, NULL, "print a JSON object"},
                                         {0}};

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_buf text = {0};
    cJSON *facts;
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "usage: secenc inspect FILE|DIR [--json]");
    int rc = sec_inspect(args[0], &facts);
    if (rc)
        return rc;
    if (o->json) {
        char *printed = cJSON_Print(facts);
        rc = printed ? sec_buf_printf(&text, "%s\n", printed)
                     : sec_fail(SEC_ENOMEM, "no memory for the facts");
        cJSON_free(printed);
    } else {
        rc = sec_inspect_text(facts, &text);
    }
    if (!rc)
        fputs(text.data, stdout);
    cJSON_Delete(facts);
    sec_buf_free(&text);
    return rc;
}

const struct sec_command sec_cmd_inspect = {
    .name = "inspect",
    .synopsis = "FILE|DIR [--json]",
    .summary = "tell what a file or folder is, and its figures",
    .details = "Recognises a corpus, a text shard, a token data set, a token shard, a tokenizer, a "
               "run, a checkpoint, an exported model and a safetensors file.",
    .opts = options,
    .values_size = sizeof(struct opts),
    .run = run,
};
