/* The files of a tokenizer folder: tokenizer.json in the form that Hugging Face `tokenizers`
 * writes, what transformers wants beside it, and the classes of the entries. */
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "data/bpe_model.h"
#include "data/pretok.h"

#include <stdlib.h>
#include <string.h>

#define MODEL_MAX_LENGTH 48000

static void special_ref(struct sec_jw *w, const char *kind, const char *id, int type)
{
    sec_jw_obj(w);
    sec_jw_key(w, kind);
    sec_jw_obj(w);
    sec_jw_kstr(w, "id", id);
    sec_jw_ki64(w, "type_id", type);
    sec_jw_obj_end(w);
    sec_jw_obj_end(w);
}

/* [CLS] A [SEP], and [CLS] A [SEP] B [SEP] for pairs. */
static void post_processor(struct sec_jw *w)
{
    sec_jw_obj(w);
    sec_jw_kstr(w, "type", "TemplateProcessing");
    for (int pair = 0; pair < 2; pair++) {
        sec_jw_key(w, pair ? "pair" : "single");
        sec_jw_arr(w);
        special_ref(w, "SpecialToken", "[CLS]", 0);
        special_ref(w, "Sequence", "A", 0);
        special_ref(w, "SpecialToken", "[SEP]", 0);
        if (pair) {
            special_ref(w, "Sequence", "B", 1);
            special_ref(w, "SpecialToken", "[SEP]", 1);
        }
        sec_jw_arr_end(w);
    }
    sec_jw_key(w, "special_tokens");
    sec_jw_obj(w);
    for (int id = SEC_TOK_CLS; id <= SEC_TOK_SEP; id++) {
        sec_jw_key(w, sec_special_names[id]);
        sec_jw_obj(w);
        sec_jw_kstr(w, "id", sec_special_names[id]);
        sec_jw_key(w, "ids");
        sec_jw_arr(w);
        sec_jw_i64(w, id);
        sec_jw_arr_end(w);
        sec_jw_key(w, "tokens");
        sec_jw_arr(w);
        sec_jw_str(w, sec_special_names[id]);
        sec_jw_arr_end(w);
        sec_jw_obj_end(w);
    }
    sec_jw_obj_end(w);
    sec_jw_obj_end(w);
}

static void added_tokens(struct sec_jw *w)
{
    sec_jw_arr(w);
    for (int id = 0; id < SEC_TOK_SPECIALS; id++) {
        sec_jw_obj(w);
        sec_jw_ki64(w, "id", id);
        sec_jw_kstr(w, "content", sec_special_names[id]);
        sec_jw_kbool(w, "single_word", false);
        sec_jw_kbool(w, "lstrip", false);
        sec_jw_kbool(w, "rstrip", false);
        sec_jw_kbool(w, "normalized", false);
        sec_jw_kbool(w, "special", true);
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
}

static void byte_level(struct sec_jw *w, bool add_prefix_space, bool use_regex)
{
    sec_jw_obj(w);
    sec_jw_kstr(w, "type", "ByteLevel");
    sec_jw_kbool(w, "add_prefix_space", add_prefix_space);
    sec_jw_kbool(w, "trim_offsets", true);
    sec_jw_kbool(w, "use_regex", use_regex);
    sec_jw_obj_end(w);
}

static void pre_tokenizer(struct sec_jw *w, enum sec_pretok kind)
{
    sec_jw_obj(w);
    sec_jw_kstr(w, "type", "Sequence");
    sec_jw_key(w, "pretokenizers");
    sec_jw_arr(w);
    sec_jw_obj(w);
    sec_jw_kstr(w, "type", "Split");
    sec_jw_key(w, "pattern");
    sec_jw_obj(w);
    sec_jw_kstr(w, "Regex", sec_pretok_patterns[kind]);
    sec_jw_obj_end(w);
    sec_jw_kstr(w, "behavior", "Isolated");
    sec_jw_kbool(w, "invert", false);
    sec_jw_obj_end(w);
    byte_level(w, false, false);
    sec_jw_arr_end(w);
    sec_jw_obj_end(w);
}

/* Everything before the model; leaves the top object open. */
static int json_head(const struct sec_tokenizer *t, struct sec_buf *out)
{
    struct sec_jw w;
    sec_jw_init(&w, out, true);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "version", "1.0");
    sec_jw_key(&w, "truncation");
    sec_jw_null(&w);
    sec_jw_key(&w, "padding");
    sec_jw_null(&w);
    sec_jw_key(&w, "added_tokens");
    added_tokens(&w);
    sec_jw_key(&w, "normalizer");
    sec_jw_null(&w);
    sec_jw_key(&w, "pre_tokenizer");
    pre_tokenizer(&w, t->pretok);
    sec_jw_key(&w, "post_processor");
    post_processor(&w);
    sec_jw_key(&w, "decoder");
    byte_level(&w, true, true); /* what decoders.ByteLevel() writes; only the type matters */
    return w.err;
}

/* An entry as a JSON string of byte symbols. */
static int quote_entry(const struct sec_tokenizer *t, uint16_t id, char symbols[256][3],
                       struct sec_buf *tmp, struct sec_buf *out)
{
    size_t n;
    const uint8_t *p = sec_tokenizer_bytes(t, id, &n);
    if (id < SEC_TOK_SPECIALS)
        return sec_json_quote(out, (const char *)p, n);
    int rc = 0;
    sec_buf_clear(tmp);
    for (size_t i = 0; i < n && !rc; i++)
        rc = sec_buf_adds(tmp, symbols[p[i]]);
    return rc ? rc : sec_json_quote(out, tmp->data, tmp->len);
}

/* One entry a line: with 30,000 of them the file stays readable and diffs stay small. */
int sec_tokenizer_json(const struct sec_tokenizer *t, struct sec_buf *out)
{
    int rc;
    char symbols[256][3] = {{0}};
    struct sec_buf tmp = {0};
    for (unsigned b = 0; b < 256; b++)
        sec_utf8_encode(sec_byte_symbol((uint8_t)b), (uint8_t *)symbols[b]);
    SEC_TRY(json_head(t, out));
    SEC_TRY(sec_buf_adds(out, ",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                              "    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n"
                              "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                              "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
                              "    \"vocab\": {\n"));
    for (int id = 0; id < t->vocab_size; id++) {
        SEC_TRY(sec_buf_adds(out, "      "));
        SEC_TRY(quote_entry(t, (uint16_t)id, symbols, &tmp, out));
        SEC_TRY(sec_buf_printf(out, ": %d%s\n", id, id + 1 < t->vocab_size ? "," : ""));
    }
    SEC_TRY(sec_buf_adds(out, "    },\n    \"merges\": [\n"));
    for (uint32_t r = 0; r < t->n_merges; r++) {
        SEC_TRY(sec_buf_adds(out, "      ["));
        SEC_TRY(quote_entry(t, t->merges[r].a, symbols, &tmp, out));
        SEC_TRY(sec_buf_adds(out, ", "));
        SEC_TRY(quote_entry(t, t->merges[r].b, symbols, &tmp, out));
        SEC_TRY(sec_buf_adds(out, r + 1 < t->n_merges ? "],\n" : "]\n"));
    }
    SEC_TRY(sec_buf_adds(out, "    ]\n  }\n}\n"));
fail:
    sec_buf_free(&tmp);
    return rc;
}

static void special_map(struct sec_jw *w)
{
    static const char *const role[] = {"pad_token", "cls_token", "sep_token", "unk_token",
                                       "mask_token"};
    for (int id = 0; id < SEC_TOK_SPECIALS; id++)
        sec_jw_kstr(w, role[id], sec_special_names[id]);
}

static int config_json(struct sec_buf *out)
{
    struct sec_jw w;
    sec_jw_init(&w, out, true);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    sec_jw_ki64(&w, "model_max_length", MODEL_MAX_LENGTH);
    sec_jw_kbool(&w, "clean_up_tokenization_spaces", false);
    sec_jw_key(&w, "model_input_names");
    sec_jw_arr(&w);
    sec_jw_str(&w, "input_ids");
    sec_jw_str(&w, "attention_mask");
    sec_jw_arr_end(&w);
    special_map(&w);
    sec_jw_obj_end(&w);
    return sec_jw_end(&w);
}

static int special_map_json(struct sec_buf *out)
{
    struct sec_jw w;
    sec_jw_init(&w, out, true);
    sec_jw_obj(&w);
    special_map(&w);
    sec_jw_obj_end(&w);
    return sec_jw_end(&w);
}

static int classes_json(const struct sec_tokenizer *t, struct sec_buf *out)
{
    struct sec_jw w;
    sec_jw_init(&w, out, false);
    sec_jw_obj(&w);
    sec_jw_ki64(&w, "format", 1);
    sec_jw_kstr(&w, "tokenizer", t->fingerprint);
    sec_jw_ki64(&w, "vocab_size", t->vocab_size);
    static const char *const names[] = {"special", "delimiter"}; /* all other entries: content */
    for (int k = SEC_CLASS_SPECIAL; k <= SEC_CLASS_DELIMITER; k++) {
        sec_jw_key(&w, names[k]);
        sec_jw_arr(&w);
        for (int id = 0; id < t->vocab_size; id++)
            if (t->classes[id] == k)
                sec_jw_i64(&w, id);
        sec_jw_arr_end(&w);
    }
    sec_jw_obj_end(&w);
    return sec_jw_end(&w);
}

static int class_list(struct sec_tokenizer *t, const cJSON *root, const char *key,
                      enum sec_token_class k, const char *name)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, key);
    if (!cJSON_IsArray(list))
        return sec_fail(SEC_EDATA, "%s: key '%s' is missing or not an array", name, key);
    for (const cJSON *e = list->child; e; e = e->next) {
        if (!cJSON_IsNumber(e) || e->valuedouble != e->valueint || e->valueint < 0 ||
            e->valueint >= t->vocab_size)
            return sec_fail(SEC_EDATA, "%s: '%s' holds something that is no id in 0..%d", name, key,
                            t->vocab_size - 1);
        t->classes[e->valueint] = (uint8_t)k;
    }
    return 0;
}

static int load_classes(struct sec_tokenizer *t, const char *name)
{
    int rc;
    cJSON *root = NULL;
    const char *owner;
    SEC_TRY(sec_json_read(name, &root));
    SEC_TRY(sec_json_str(root, "tokenizer", name, &owner));
    if (strcmp(owner, t->fingerprint) != 0) {
        rc = sec_fail(SEC_EDATA,
                      "%s: made for tokenizer %.12s, the tokenizer.json beside it is %.12s; delete "
                      "it or restore the right pair",
                      name, owner, t->fingerprint);
        goto fail;
    }
    memset(t->classes, SEC_CLASS_CONTENT, (size_t)t->vocab_size);
    SEC_TRY(class_list(t, root, "special", SEC_CLASS_SPECIAL, name));
    SEC_TRY(class_list(t, root, "delimiter", SEC_CLASS_DELIMITER, name));
fail:
    cJSON_Delete(root);
    return rc;
}

int sec_tokenizer_load(const char *path, struct sec_tokenizer **out)
{
    int rc;
    struct sec_buf text = {0};
    struct sec_tokenizer *t = NULL;
    char *file = NULL, *dir = NULL, *classes = NULL;
    if (sec_is_dir(path)) {
        dir = sec_xstrdup(path);
        file = sec_path_join(path, "tokenizer.json");
    } else {
        const char *slash = strrchr(path, '/');
        dir = sec_xstrdup(slash ? path : ".");
        if (slash)
            dir[slash - path ? slash - path : 1] = 0;
        file = sec_xstrdup(path);
    }
    classes = dir ? sec_path_join(dir, "token_classes.json") : NULL;
    if (!file || !classes) {
        rc = sec_fail(SEC_ENOMEM, "%s: no memory", path);
        goto fail;
    }
    SEC_TRY(sec_read_file(file, &text));
    SEC_TRY(sec_tokenizer_parse(text.data ? text.data : "", text.len, file, &t));
    if (sec_exists(classes))
        SEC_TRY(load_classes(t, classes));
    *out = t;
    t = NULL;
fail:
    sec_tokenizer_free(t);
    sec_buf_free(&text);
    free(file);
    free(dir);
    free(classes);
    return rc;
}

static int save_one(const char *dir, const char *name, struct sec_buf *text)
{
    char *path = sec_path_join(dir, name);
    int rc = path ? sec_write_file(path, text->data, text->len)
                  : sec_fail(SEC_ENOMEM, "%s: no memory", dir);
    free(path);
    sec_buf_clear(text);
    return rc;
}

int sec_tokenizer_save(const struct sec_tokenizer *t, const char *dir)
{
    int rc;
    struct sec_buf b = {0};
    SEC_TRY(sec_mkdir_p(dir));
    SEC_TRY(sec_tokenizer_json(t, &b));
    SEC_TRY(save_one(dir, "tokenizer.json", &b));
    SEC_TRY(config_json(&b));
    SEC_TRY(save_one(dir, "tokenizer_config.json", &b));
    SEC_TRY(special_map_json(&b));
    SEC_TRY(save_one(dir, "special_tokens_map.json", &b));
    SEC_TRY(classes_json(t, &b));
    SEC_TRY(save_one(dir, "token_classes.json", &b));
fail:
    sec_buf_free(&b);
    return rc;
}
