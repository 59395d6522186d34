/* config.json of Hugging Face's DeBERTa-v2, both ways. Reading is strict: a value that would make
 * the weights mean something else is refused by name; keys that do not change the mathematics are
 * ignored. */
#include "model/config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

static int refuse_text(const char *path, const char *key, const char *value, const char *want)
{
    return sec_fail(SEC_EDATA, "%s: %s is \"%s\"; this encoder supports only \"%s\"", path, key,
                    value, want);
}

/* A string key that must have one value; absent counts as dflt. */
static int want_str(const cJSON *o, const char *path, const char *key, const char *want,
                    const char *dflt)
{
    const char *v = sec_json_str_opt(o, key, dflt);
    return strcmp(v, want) ? refuse_text(path, key, v, want) : 0;
}

static int want_bool(const cJSON *o, const char *path, const char *key, bool want, bool dflt)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    bool is = v ? cJSON_IsTrue(v) : dflt;
    if (v && !cJSON_IsBool(v))
        return sec_fail(SEC_EDATA, "%s: key '%s' is not true or false", path, key);
    if (is != want)
        return sec_fail(SEC_EDATA, "%s: %s is %s%s; this encoder supports only %s", path, key,
                        is ? "true" : "false", v ? "" : " (the default)", want ? "true" : "false");
    return 0;
}

static int want_i64(const cJSON *o, const char *path, const char *key, int64_t want)
{
    int64_t v = want;
    int rc = cJSON_GetObjectItemCaseSensitive(o, key) ? sec_json_i64(o, key, path, &v) : 0;
    if (!rc && v != want)
        rc = sec_fail(SEC_EDATA, "%s: %s is %lld; this encoder supports only %lld", path, key,
                      (long long)v, (long long)want);
    return rc;
}

/* "p2c|c2p" or ["p2c", "c2p"]: both terms, in any order. */
static int want_both_positions(const cJSON *o, const char *path)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, "pos_att_type"), *e;
    int found = 0, other = 0;
    if (cJSON_IsString(v)) {
        char text[64];
        snprintf(text, sizeof text, "|%s|", v->valuestring);
        if (!strcmp(text, "|p2c|c2p|") || !strcmp(text, "|c2p|p2c|"))
            return 0;
        return refuse_text(path, "pos_att_type", v->valuestring, "p2c|c2p");
    }
    cJSON_ArrayForEach(e, v)
    {
        const char *s = cJSON_IsString(e) ? e->valuestring : "";
        if (!strcmp(s, "c2p"))
            found |= 1;
        else if (!strcmp(s, "p2c"))
            found |= 2;
        else
            other = 1;
    }
    if (!cJSON_IsArray(v) || found != 3 || other)
        return sec_fail(SEC_EDATA,
                        "%s: pos_att_type is not [\"p2c\", \"c2p\"], the only one supported here",
                        path);
    return 0;
}

static int check_supported(const cJSON *o, const char *path)
{
    int rc;
    SEC_TRY(want_str(o, path, "model_type", "deberta-v2", "(missing)"));
    SEC_TRY(want_str(o, path, "hidden_act", "gelu", "gelu"));
    SEC_TRY(want_str(o, path, "pooler_hidden_act", "gelu", "gelu"));
    SEC_TRY(want_str(o, path, "norm_rel_ebd", "layer_norm", "none"));
    SEC_TRY(want_bool(o, path, "relative_attention", true, false));
    SEC_TRY(want_bool(o, path, "share_att_key", true, false));
    SEC_TRY(want_bool(o, path, "position_biased_input", false, true));
    SEC_TRY(want_bool(o, path, "tie_word_embeddings", true, true));
    SEC_TRY(want_i64(o, path, "type_vocab_size", 0));
    SEC_TRY(want_i64(o, path, "conv_groups", 1));
    SEC_TRY(want_i64(o, path, "pad_token_id", 0));
    SEC_TRY(want_both_positions(o, path));
fail:
    return rc;
}

/* Sizes that Hugging Face keeps apart and this encoder does not. */
static int check_equal_sizes(const cJSON *o, const char *path, const struct sec_model_config *c)
{
    int rc;
    SEC_TRY(want_i64(o, path, "embedding_size", c->hidden_size));
    SEC_TRY(want_i64(o, path, "pooler_hidden_size", c->hidden_size));
    SEC_TRY(want_i64(o, path, "attention_head_size", c->hidden_size / c->num_attention_heads));
    if (c->conv_kernel_size)
        SEC_TRY(want_str(o, path, "conv_act", "gelu", "tanh"));
fail:
    return rc;
}

static int read_values(const cJSON *o, const char *path, struct sec_model_config *c)
{
    int rc;
    SEC_TRY(sec_json_i64(o, "vocab_size", path, &c->vocab_size));
    SEC_TRY(sec_json_i64(o, "hidden_size", path, &c->hidden_size));
    SEC_TRY(sec_json_i64(o, "num_hidden_layers", path, &c->num_hidden_layers));
    SEC_TRY(sec_json_i64(o, "num_attention_heads", path, &c->num_attention_heads));
    SEC_TRY(sec_json_i64(o, "intermediate_size", path, &c->intermediate_size));
    SEC_TRY(sec_json_i64(o, "position_buckets", path, &c->position_buckets));
    c->max_position_embeddings = sec_json_i64_opt(o, "max_position_embeddings", 512);
    c->max_relative_positions = sec_json_i64_opt(o, "max_relative_positions", -1);
    if (c->max_relative_positions < 1)
        c->max_relative_positions = c->max_position_embeddings;
    c->conv_kernel_size = sec_json_i64_opt(o, "conv_kernel_size", 0);
    c->layer_norm_eps = sec_json_f64_opt(o, "layer_norm_eps", 1e-7);
    c->initializer_range = sec_json_f64_opt(o, "initializer_range", 0.02);
    c->hidden_dropout_prob = sec_json_f64_opt(o, "hidden_dropout_prob", 0.1);
    c->attention_probs_dropout_prob = sec_json_f64_opt(o, "attention_probs_dropout_prob", 0.1);
    rc = sec_model_config_check(c);
    if (rc)
        rc = sec_fail_at(SEC_EDATA, "%s", path);
fail:
    return rc;
}

int sec_model_config_read_hf(const char *path, struct sec_model_config *c)
{
    cJSON *o = NULL;
    *c = (struct sec_model_config){0};
    int rc;
    SEC_TRY(sec_json_read(path, &o));
    if (!cJSON_IsObject(o)) {
        rc = sec_fail(SEC_EDATA, "%s: is not a JSON object", path);
        goto fail;
    }
    SEC_TRY(check_supported(o, path));
    SEC_TRY(read_values(o, path, c));
    SEC_TRY(check_equal_sizes(o, path, c));
fail:
    cJSON_Delete(o);
    return rc;
}

/* Every label map is LABEL_i; task code that knows real names writes its own. */
static void write_labels(struct sec_jw *w, int n)
{
    char id[16], label[32];
    sec_jw_key(w, "id2label");
    sec_jw_obj(w);
    for (int i = 0; i < n; i++) {
        snprintf(id, sizeof id, "%d", i);
        snprintf(label, sizeof label, "LABEL_%d", i);
        sec_jw_kstr(w, id, label);
    }
    sec_jw_obj_end(w);
    sec_jw_key(w, "label2id");
    sec_jw_obj(w);
    for (int i = 0; i < n; i++) {
        snprintf(label, sizeof label, "LABEL_%d", i);
        sec_jw_ki64(w, label, i);
    }
    sec_jw_obj_end(w);
}

static void write_shape(struct sec_jw *w, const struct sec_model_config *c)
{
    sec_jw_ki64(w, "vocab_size", c->vocab_size);
    sec_jw_ki64(w, "hidden_size", c->hidden_size);
    sec_jw_ki64(w, "num_hidden_layers", c->num_hidden_layers);
    sec_jw_ki64(w, "num_attention_heads", c->num_attention_heads);
    sec_jw_ki64(w, "attention_head_size", c->hidden_size / c->num_attention_heads);
    sec_jw_ki64(w, "intermediate_size", c->intermediate_size);
    sec_jw_kstr(w, "hidden_act", "gelu");
    sec_jw_kf64(w, "hidden_dropout_prob", c->hidden_dropout_prob);
    sec_jw_kf64(w, "attention_probs_dropout_prob", c->attention_probs_dropout_prob);
    sec_jw_ki64(w, "max_position_embeddings", c->max_position_embeddings);
    sec_jw_ki64(w, "max_relative_positions", c->max_relative_positions);
    sec_jw_ki64(w, "type_vocab_size", 0);
    sec_jw_kf64(w, "initializer_range", c->initializer_range);
    sec_jw_kf64(w, "layer_norm_eps", c->layer_norm_eps);
    sec_jw_kbool(w, "relative_attention", true);
    sec_jw_ki64(w, "position_buckets", c->position_buckets);
    sec_jw_kstr(w, "norm_rel_ebd", "layer_norm");
    sec_jw_kbool(w, "share_att_key", true);
    sec_jw_key(w, "pos_att_type");
    sec_jw_arr(w);
    sec_jw_str(w, "p2c");
    sec_jw_str(w, "c2p");
    sec_jw_arr_end(w);
    sec_jw_kbool(w, "position_biased_input", false);
    sec_jw_ki64(w, "pad_token_id", 0);
    sec_jw_ki64(w, "conv_kernel_size", c->conv_kernel_size);
    sec_jw_kstr(w, "conv_act", "gelu");
    sec_jw_kf64(w, "pooler_dropout", 0);
    sec_jw_kstr(w, "pooler_hidden_act", "gelu");
    sec_jw_ki64(w, "pooler_hidden_size", c->hidden_size);
}

int sec_model_config_hf_text(const struct sec_model_config *c, const char *architecture,
                             const char *torch_dtype, int num_labels, const char *tokenizer_sha256,
                             struct sec_buf *out)
{
    struct sec_jw w;
    sec_jw_init(&w, out, true);
    sec_jw_obj(&w);
    sec_jw_key(&w, "architectures");
    sec_jw_arr(&w);
    sec_jw_str(&w, architecture);
    sec_jw_arr_end(&w);
    sec_jw_kstr(&w, "model_type", "deberta-v2");
    sec_jw_kbool(&w, "legacy", true);
    sec_jw_kbool(&w, "tie_word_embeddings", true);
    write_shape(&w, c);
    if (num_labels > 0)
        write_labels(&w, num_labels);
    sec_jw_kstr(&w, "torch_dtype", torch_dtype);
    if (tokenizer_sha256 && *tokenizer_sha256)
        sec_jw_kstr(&w, SEC_HF_TOKENIZER_KEY, tokenizer_sha256);
    sec_jw_obj_end(&w);
    int rc = sec_jw_end(&w);
    return rc ? rc : sec_buf_addc(out, '\n');
}

int sec_model_config_write_hf(const struct sec_model_config *c, const char *architecture,
                              const char *torch_dtype, const char *path)
{
    struct sec_buf text = {0};
    int rc = sec_model_config_hf_text(c, architecture, torch_dtype, 0, NULL, &text);
    if (!rc)
        rc = sec_write_file(path, text.data, text.len);
    sec_buf_free(&text);
    return rc;
}
