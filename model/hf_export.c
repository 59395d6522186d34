/* Writing an exported folder. Every file is durable on its own; config.json comes last, and readers
 * look for it first, so a folder cut short is not taken for a model. */
#include "model/hf.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int copy_file(const char *from_dir, const char *name, const char *to_dir)
{
    struct sec_buf text = {0};
    char *from = sec_path_join(from_dir, name), *to = sec_path_join(to_dir, name);
    int rc = from && to ? 0 : SEC_ENOMEM;
    if (!rc)
        rc = sec_read_file(from, &text);
    if (!rc)
        rc = sec_write_file(to, text.data ? text.data : "", text.len);
    sec_buf_free(&text);
    free(from);
    free(to);
    return rc;
}

/* tokenizer.json must be there; what stands beside it is copied when present. */
int sec_hf_copy_tokenizer(const char *from_dir, const char *to_dir)
{
    static const char *const beside[] = {"tokenizer_config.json", "special_tokens_map.json",
                                         "token_classes.json"};
    int rc = copy_file(from_dir, "tokenizer.json", to_dir);
    for (size_t i = 0; !rc && i < sizeof beside / sizeof beside[0]; i++) {
        char *path = sec_path_join(from_dir, beside[i]);
        if (!path)
            return SEC_ENOMEM;
        if (sec_exists(path))
            rc = copy_file(from_dir, beside[i], to_dir);
        free(path);
    }
    return rc;
}

/* An older model in this folder must not be readable while its files are replaced one by one. */
static int withdraw_config(const char *path)
{
    if (sec_exists(path) && unlink(path))
        return sec_fail_errno(errno, "%s: cannot replace", path);
    return 0;
}

int sec_hf_export(const struct sec_model_config *c, const struct sec_params *p, const float *master,
                  const char *tokenizer_dir, const char *tokenizer_sha256, const char *torch_dtype,
                  const char *dir)
{
    const char *architecture = p->cls_w >= 0    ? "DebertaV2ForSequenceClassification"
                               : p->head_w >= 0 ? "DebertaV2ForMaskedLM"
                                                : "DebertaV2Model";
    bool bf16 = !strcmp(torch_dtype, "bfloat16");
    struct sec_buf text = {0};
    char *weights = sec_path_join(dir, "model.safetensors");
    char *config = sec_path_join(dir, "config.json");
    int rc = weights && config ? 0 : SEC_ENOMEM;
    if (rc)
        goto fail;
    if (!bf16 && strcmp(torch_dtype, "float32")) {
        rc = sec_fail(SEC_EUSAGE, "data type '%s' is not float32 or bfloat16", torch_dtype);
        goto fail;
    }
    SEC_TRY(sec_mkdir_p(dir));
    SEC_TRY(withdraw_config(config));
    SEC_TRY(sec_st_write(weights, p, master, bf16));
    if (tokenizer_dir)
        SEC_TRY(sec_hf_copy_tokenizer(tokenizer_dir, dir));
    SEC_TRY(sec_model_config_hf_text(c, architecture, torch_dtype, p->num_labels, tokenizer_sha256,
                                     &text));
    rc = sec_write_file(config, text.data, text.len);
fail:
    sec_buf_free(&text);
    free(weights);
    free(config);
    return rc;
}
