#include "model/open.h"

#include "base/error.h"
#include "base/file.h"
#include "model/checkpoint.h"
#include "model/hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has(const char *dir, const char *name)
{
    char *path = sec_path_join(dir, name);
    bool is = path && sec_exists(path);
    free(path);
    return is;
}

static char *copy_text(const char *s)
{
    char *copy = strdup(s);
    if (!copy)
        sec_fail(SEC_ENOMEM, "%s: out of memory", s);
    return copy;
}

static int open_exported(const char *path, struct sec_opened *o)
{
    o->step = -1;
    int rc = sec_hf_load(path, &o->config, &o->heads, &o->params, &o->master);
    if (!rc)
        rc = sec_hf_tokenizer_sha256(path, o->tokenizer_fingerprint);
    if (rc)
        return rc;
    o->dir = copy_text(path);
    o->tokenizer_dir = copy_text(path);
    return o->dir && o->tokenizer_dir ? 0 : SEC_ENOMEM;
}

/* The tokenizer of a run lies in RUN/tokenizer, two levels above RUN/ckpt/step-N. */
static int open_checkpoint(const char *dir, struct sec_opened *o)
{
    struct sec_ckpt_info info = {0};
    int rc;
    SEC_TRY(sec_ckpt_read_info(dir, &info));
    o->config = info.config;
    o->heads = info.heads;
    o->step = info.step;
    snprintf(o->tokenizer_fingerprint, sizeof o->tokenizer_fingerprint, "%s",
             info.tokenizer_fingerprint);
    SEC_TRY(sec_params_build(&o->config, o->heads, info.num_labels, &o->params));
    o->master = calloc((size_t)o->params.total, sizeof *o->master);
    o->dir = copy_text(dir);
    o->tokenizer_dir = sec_path_join(dir, "../../tokenizer");
    if (!o->master || !o->dir || !o->tokenizer_dir) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory for %lld parameters", dir,
                      (long long)o->params.total);
        goto fail;
    }
    struct sec_ckpt_arena arena = {"param", o->master};
    rc = sec_ckpt_read(dir, &o->params, &arena, 1);
fail:
    sec_ckpt_info_free(&info);
    return rc;
}

static int open_run(const char *path, struct sec_opened *o)
{
    char *root = sec_path_join(path, "ckpt"), *dir = NULL;
    int rc = root ? sec_ckpt_find(root, &dir) : SEC_ENOMEM;
    if (!rc)
        rc = open_checkpoint(dir, o);
    free(root);
    free(dir);
    return rc;
}

int sec_model_open(const char *path, struct sec_opened *out)
{
    *out = (struct sec_opened){.step = -1};
    int rc;
    if (has(path, "ckpt"))
        rc = open_run(path, out);
    else if (has(path, "manifest.json"))
        rc = open_checkpoint(path, out);
    else if (has(path, "config.json"))
        rc = open_exported(path, out);
    else
        rc =
            sec_fail(sec_exists(path) ? SEC_EDATA : SEC_EFAIL,
                     "%s: %s; a model is an exported folder (config.json), a run directory (ckpt/) "
                     "or a checkpoint (manifest.json)",
                     path, sec_exists(path) ? "not a model" : "no such folder");
    if (rc)
        sec_opened_free(out);
    return rc;
}

void sec_opened_free(struct sec_opened *o)
{
    sec_params_free(&o->params);
    free(o->master);
    free(o->dir);
    free(o->tokenizer_dir);
    *o = (struct sec_opened){.step = -1};
}
