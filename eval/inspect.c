#include "eval/inspect.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "eval/inspect_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checked(const void *p)
{
    return p ? 0 : sec_fail(SEC_ENOMEM, "no memory for the facts");
}

int sec_fact_str(cJSON *o, const char *key, const char *v)
{
    return checked(cJSON_AddStringToObject(o, key, v));
}

int sec_fact_num(cJSON *o, const char *key, double v)
{
    return checked(cJSON_AddNumberToObject(o, key, v));
}

int sec_fact_hex(cJSON *o, const char *key, uint64_t v)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, v);
    return sec_fact_str(o, key, text);
}

int sec_fact_obj(cJSON *o, const char *key, cJSON **child)
{
    return checked(*child = cJSON_AddObjectToObject(o, key));
}

int sec_fact_arr(cJSON *o, const char *key, cJSON **child)
{
    return checked(*child = cJSON_AddArrayToObject(o, key));
}

int sec_fact_row(cJSON *array, cJSON **row)
{
    *row = cJSON_CreateObject();
    return checked(*row && cJSON_AddItemToArray(array, *row) ? *row : NULL);
}

static bool has(const char *dir, const char *name)
{
    char *path = sec_path_join(dir, name);
    bool is = path && sec_exists(path);
    free(path);
    return is;
}

/* The value of "format" in the first line of DIR/MANIFEST.jsonl; malloc'd. */
static int manifest_format(const char *dir, char **out)
{
    struct sec_buf text = {0};
    cJSON *header = NULL;
    const char *format;
    char *path = sec_path_join(dir, "MANIFEST.jsonl");
    int rc = path ? sec_read_file(path, &text) : SEC_ENOMEM;
    if (rc)
        goto fail;
    SEC_TRY(sec_json_parse(text.data ? text.data : "", text.data ? strcspn(text.data, "\n") : 0,
                           path, &header));
    SEC_TRY(sec_json_str(header, "format", path, &format));
    rc = checked(*out = strdup(format));
fail:
    cJSON_Delete(header);
    sec_buf_free(&text);
    free(path);
    return rc;
}

struct kind {
    const char *name; /* NULL: the function says */
    int (*facts)(const char *path, cJSON *o);
};

static const struct kind corpus = {"corpus", sec_inspect_corpus};
static const struct kind tokens = {"token data set", sec_inspect_tokens};
static const struct kind text_shard = {"text shard", sec_inspect_text_shard};
static const struct kind h5 = {NULL, sec_inspect_h5};
static const struct kind tokenizer = {"tokenizer", sec_inspect_tokenizer};
static const struct kind run = {"run", sec_inspect_run};
static const struct kind checkpoint = {"checkpoint", sec_inspect_checkpoint};
static const struct kind exported = {"exported model", sec_inspect_exported};
static const struct kind safetensors = {"safetensors file", sec_inspect_safetensors};

static int unknown(const char *path, const char *what)
{
    return sec_fail(SEC_EDATA,
                    "%s: %s is not one that secenc makes or reads: a corpus, text shard "
                    "(.jsonl.zst), token data set, token shard (.h5), tokenizer, run, checkpoint, "
                    "exported model or .safetensors file",
                    path, what);
}

static int recognise_dir(const char *path, const struct kind **out)
{
    char *format = NULL;
    int rc = 0;
    *out = NULL;
    if (has(path, "MANIFEST.jsonl")) {
        SEC_TRY(manifest_format(path, &format));
        *out = !strcmp(format, "secencoder-corpus")   ? &corpus
               : !strcmp(format, "secencoder-tokens") ? &tokens
                                                      : NULL;
    } else if (has(path, "ckpt") || (has(path, "metrics.jsonl") && has(path, "config.yaml"))) {
        *out = &run;
    } else if (has(path, "manifest.json")) {
        *out = &checkpoint;
    } else if (has(path, "config.json")) {
        *out = &exported;
    } else if (has(path, "tokenizer.json")) {
        *out = &tokenizer;
    }
    if (!*out)
        rc = unknown(path, "this folder");
fail:
    free(format);
    return rc;
}

static int recognise_file(const char *path, const struct kind **out)
{
    char head[8] = {0};
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f)
        fclose(f);
    else
        return sec_fail(SEC_EFAIL, "%s: cannot open", path);
    *out = n == 8 && !memcmp(head, "\x89HDF\r\n\x1a\n", 8)                            ? &h5
           : n >= 4 && !memcmp(head, "\x28\xb5\x2f\xfd", 4) && strstr(path, ".jsonl") ? &text_shard
           : sec_ends(path, ".safetensors")                                           ? &safetensors
           : n && head[0] == '{' && sec_ends(path, ".json")                           ? &tokenizer
                                                                                      : NULL;
    return *out ? 0 : unknown(path, "this file");
}

int sec_inspect(const char *path, cJSON **out)
{
    const struct kind *kind;
    cJSON *o = NULL;
    int rc;
    *out = NULL;
    if (!sec_exists(path))
        return sec_fail(SEC_EFAIL, "%s: no such file or folder", path);
    SEC_TRY(sec_is_dir(path) ? recognise_dir(path, &kind) : recognise_file(path, &kind));
    SEC_TRY(checked(o = cJSON_CreateObject()));
    if (kind->name)
        SEC_TRY(sec_fact_str(o, "kind", kind->name));
    SEC_TRY(kind->facts(path, o));
    SEC_TRY(sec_fact_str(o, "path", path));
    *out = o;
    return 0;
fail:
    cJSON_Delete(o);
    return rc;
}

static int put_scalar(const cJSON *v, struct sec_buf *out)
{
    if (cJSON_IsString(v))
        return sec_buf_adds(out, v->valuestring);
    if (cJSON_IsBool(v))
        return sec_buf_adds(out, cJSON_IsTrue(v) ? "yes" : "no");
    if (!cJSON_IsNumber(v))
        return sec_buf_adds(out, "-");
    if (v->valuedouble == floor(v->valuedouble) && fabs(v->valuedouble) < 9e15)
        return sec_buf_printf(out, "%.0f", v->valuedouble);
    return sec_buf_printf(out, "%.6g", v->valuedouble);
}

/* A row of an array on one line: the first value, then the others with their keys. */
static int put_row(const cJSON *row, struct sec_buf *out)
{
    const cJSON *v;
    int rc = sec_buf_adds(out, "   ");
    cJSON_ArrayForEach(v, row)
    {
        if (!rc)
            rc = sec_buf_printf(out, v == row->child ? " " : "  %s ", v->string);
        if (!rc)
            rc = put_scalar(v, out);
    }
    return rc ? rc : sec_buf_addc(out, '\n');
}

static int put_object(const cJSON *o, const char *indent, struct sec_buf *out)
{
    const cJSON *v, *row;
    int rc = 0;
    cJSON_ArrayForEach(v, o)
    {
        SEC_TRY(sec_buf_printf(out, "%s%-*s", indent, (int)(28 - strlen(indent)), v->string));
        if (cJSON_IsObject(v)) {
            SEC_TRY(sec_buf_addc(out, '\n'));
            SEC_TRY(put_object(v, "    ", out));
        } else if (cJSON_IsArray(v)) {
            SEC_TRY(sec_buf_printf(out, "%d\n", cJSON_GetArraySize(v)));
            cJSON_ArrayForEach(row, v) SEC_TRY(put_row(row, out));
        } else {
            SEC_TRY(sec_buf_addc(out, ' '));
            SEC_TRY(put_scalar(v, out));
            SEC_TRY(sec_buf_addc(out, '\n'));
        }
    }
fail:
    return rc;
}

int sec_inspect_text(const cJSON *facts, struct sec_buf *out)
{
    return put_object(facts, "", out);
}
