/* Facts of runs, checkpoints and exported models. */
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "eval/inspect_internal.h"
#include "model/checkpoint.h"
#include "model/hf.h"

#include <stdlib.h>
#include <string.h>

static int model_facts(cJSON *o, const struct sec_model_config *c)
{
    const struct {
        const char *key;
        double v;
    } f[] = {{"vocab_size", (double)c->vocab_size},
             {"hidden_size", (double)c->hidden_size},
             {"num_hidden_layers", (double)c->num_hidden_layers},
             {"num_attention_heads", (double)c->num_attention_heads},
             {"intermediate_size", (double)c->intermediate_size},
             {"max_position_embeddings", (double)c->max_position_embeddings},
             {"max_relative_positions", (double)c->max_relative_positions},
             {"position_buckets", (double)c->position_buckets},
             {"conv_kernel_size", (double)c->conv_kernel_size}};
    cJSON *m;
    int rc = sec_fact_obj(o, "model", &m);
    for (size_t i = 0; i < sizeof f / sizeof f[0] && !rc; i++)
        rc = sec_fact_num(m, f[i].key, f[i].v);
    return rc;
}

int sec_inspect_checkpoint(const char *dir, cJSON *o)
{
    struct sec_ckpt_info info = {0};
    struct sec_params p = {0};
    int rc;
    SEC_TRY(sec_ckpt_read_info(dir, &info));
    SEC_TRY(sec_params_build(&info.config, info.heads, info.num_labels, &p));
    SEC_TRY(sec_fact_num(o, "step", (double)info.step));
    SEC_TRY(sec_fact_num(o, "parameters", (double)p.n_trainable));
    SEC_TRY(sec_fact_str(o, "heads",
                         info.heads == (SEC_HEAD_MLM | SEC_HEAD_CLASSIFY) ? "mlm, classifier"
                         : info.heads == SEC_HEAD_MLM                     ? "mlm"
                         : info.heads == SEC_HEAD_CLASSIFY                ? "classifier"
                                                                          : "none"));
    SEC_TRY(sec_fact_str(o, "optimizer_state", sec_ckpt_has(dir, "adam_m") ? "yes" : "no"));
    SEC_TRY(sec_fact_str(o, "tokenizer", info.tokenizer_fingerprint));
    SEC_TRY(model_facts(o, &info.config));
fail:
    sec_params_free(&p);
    sec_ckpt_info_free(&info);
    return rc;
}

static int tensors(const char *path, cJSON *o)
{
    struct sec_safetensors st;
    char dtypes[64] = "";
    double elements = 0;
    int rc = sec_st_open(path, &st);
    if (rc)
        return rc;
    for (int i = 0; i < st.n; i++) {
        double n = 1;
        for (int k = 0; k < st.v[i].ndim; k++)
            n *= (double)st.v[i].shape[k];
        elements += n;
        if (!strstr(dtypes, st.v[i].dtype) && strlen(dtypes) + 12 < sizeof dtypes) {
            strcat(dtypes, *dtypes ? ", " : "");
            strcat(dtypes, st.v[i].dtype);
        }
    }
    SEC_TRY(sec_fact_num(o, "tensors", st.n));
    SEC_TRY(sec_fact_num(o, "parameters", elements));
    SEC_TRY(sec_fact_str(o, "dtype", dtypes));
    SEC_TRY(sec_fact_num(o, "bytes", (double)sec_file_size(path)));
fail:
    sec_st_close(&st);
    return rc;
}

int sec_inspect_safetensors(const char *path, cJSON *o)
{
    return tensors(path, o);
}

int sec_inspect_exported(const char *dir, cJSON *o)
{
    struct sec_model_config c;
    cJSON *json = NULL;
    char *config = sec_path_join(dir, "config.json");
    char *weights = sec_path_join(dir, "model.safetensors");
    char *tokenizer = sec_path_join(dir, "tokenizer.json");
    int rc;
    if (!config || !weights || !tokenizer) {
        rc = sec_fail(SEC_ENOMEM, "no memory for paths in %s", dir);
        goto fail;
    }
    SEC_TRY(sec_json_read(config, &json));
    const cJSON *architecture =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "architectures"), 0);
    if (cJSON_IsString(architecture))
        SEC_TRY(sec_fact_str(o, "architecture", architecture->valuestring));
    SEC_TRY(sec_fact_str(o, "tokenizer", sec_exists(tokenizer) ? "yes" : "no"));
    if (sec_exists(weights))
        SEC_TRY(tensors(weights, o));
    SEC_TRY(sec_model_config_read_hf(config, &c));
    SEC_TRY(model_facts(o, &c));
fail:
    cJSON_Delete(json);
    free(config);
    free(weights);
    free(tokenizer);
    return rc;
}

/* The last line of RUN/metrics.jsonl of a kind and split, as "<name>": {...}. */
static int last_metrics(const char *dir, cJSON *o)
{
    static const char *const keys[] = {"step",   "loss",  "mlm_acc", "accuracy",
                                       "tokens", "tok_s", "elapsed"};
    struct sec_buf text = {0};
    cJSON *last[3] = {NULL};
    static const char *const names[3] = {"training", "evaluation_idts", "evaluation_odts"};
    char *path = sec_path_join(dir, "metrics.jsonl");
    int rc = 0;
    if (!path || !sec_exists(path))
        goto fail;
    SEC_TRY(sec_read_file(path, &text));
    for (char *p = text.data, *end; p && (end = strchr(p, '\n')); p = end + 1) {
        cJSON *line = cJSON_ParseWithLength(p, (size_t)(end - p));
        const char *kind = line ? sec_json_str_opt(line, "kind", "") : "";
        const char *split = line ? sec_json_str_opt(line, "split", "") : "";
        int at = !strcmp(kind, "train")   ? 0
                 : strcmp(kind, "eval")   ? -1
                 : !strcmp(split, "idts") ? 1
                 : !strcmp(split, "odts") ? 2
                                          : -1;
        if (at >= 0) {
            cJSON_Delete(last[at]);
            last[at] = line;
        } else {
            cJSON_Delete(line);
        }
    }
    for (int i = 0; i < 3; i++) {
        cJSON *m;
        if (!last[i])
            continue;
        SEC_TRY(sec_fact_obj(o, names[i], &m));
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            const cJSON *v = cJSON_GetObjectItemCaseSensitive(last[i], keys[k]);
            if (cJSON_IsNumber(v))
                SEC_TRY(sec_fact_num(m, keys[k], v->valuedouble));
        }
    }
fail:
    for (int i = 0; i < 3; i++)
        cJSON_Delete(last[i]);
    sec_buf_free(&text);
    free(path);
    return rc;
}

int sec_inspect_run(const char *dir, cJSON *o)
{
    char *root = sec_path_join(dir, "ckpt"), *newest = NULL;
    struct sec_list names = {0};
    cJSON *list, *row;
    int rc;
    if (!root) {
        rc = SEC_ENOMEM;
        goto fail;
    }
    SEC_TRY(last_metrics(dir, o));
    SEC_TRY(sec_fact_arr(o, "checkpoints", &list));
    if (sec_is_dir(root))
        SEC_TRY(sec_list_dir(root, &names));
    for (size_t i = 0; i < names.n; i++)
        if (sec_glob("step-*", names.v[i]) && !strstr(names.v[i], ".tmp")) {
            SEC_TRY(sec_fact_row(list, &row));
            SEC_TRY(sec_fact_str(row, "name", names.v[i]));
        }
    if (cJSON_GetArraySize(list)) {
        SEC_TRY(sec_ckpt_find(root, &newest));
        SEC_TRY(sec_inspect_checkpoint(newest, o));
    }
fail:
    sec_list_free(&names);
    free(root);
    free(newest);
    return rc;
}
