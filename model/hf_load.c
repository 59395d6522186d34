/* Reading a Hugging Face DeBERTa-v2 folder into the parameter arena. */
#include "model/hf.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARDS = 1024 };

struct folder {
    const char *dir;
    struct sec_safetensors *shard;
    int n;
};

static void close_folder(struct folder *f)
{
    for (int i = 0; i < f->n; i++)
        sec_st_close(&f->shard[i]);
    free(f->shard);
}

static int open_shard(struct folder *f, const char *name)
{
    if (strchr(name, '/') || !sec_ends(name, ".safetensors"))
        return sec_fail(SEC_EDATA,
                        "%s: model.safetensors.index.json names '%.100s', not a file here", f->dir,
                        name);
    for (int i = 0; i < f->n; i++)
        if (!strcmp(sec_basename(f->shard[i].path), name))
            return 0;
    if (f->n == MAX_SHARDS)
        return sec_fail(SEC_EDATA, "%s: more than %d shards", f->dir, MAX_SHARDS);
    struct sec_safetensors *grown = realloc(f->shard, (size_t)(f->n + 1) * sizeof *f->shard);
    char *path = sec_path_join(f->dir, name);
    if (grown)
        f->shard = grown;
    int rc = grown && path ? sec_st_open(path, &f->shard[f->n])
                           : sec_fail(SEC_ENOMEM, "%s: out of memory", f->dir);
    if (!rc)
        f->n++;
    free(path);
    return rc;
}

static int open_sharded(struct folder *f, const char *index)
{
    cJSON *o = NULL;
    const cJSON *e;
    int rc;
    SEC_TRY(sec_json_read(index, &o));
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(o, "weight_map");
    if (!cJSON_IsObject(map)) {
        rc = sec_fail(SEC_EDATA, "%s: key 'weight_map' is missing", index);
        goto fail;
    }
    cJSON_ArrayForEach(e, map)
    {
        if (!cJSON_IsString(e)) {
            rc = sec_fail(SEC_EDATA, "%s: weight_map is not a map of names to files", index);
            goto fail;
        }
        SEC_TRY(open_shard(f, e->valuestring));
    }
fail:
    cJSON_Delete(o);
    return rc;
}

static int open_folder(struct folder *f)
{
    char *one = sec_path_join(f->dir, "model.safetensors");
    char *index = sec_path_join(f->dir, "model.safetensors.index.json");
    char *pickle = sec_path_join(f->dir, "pytorch_model.bin");
    int rc;
    if (!one || !index || !pickle)
        rc = SEC_ENOMEM;
    else if (sec_exists(one))
        rc = open_shard(f, "model.safetensors");
    else if (sec_exists(index))
        rc = open_sharded(f, index);
    else if (sec_exists(pickle))
        rc = sec_fail(SEC_EDATA,
                      "%s: holds pytorch_model.bin only, a Python pickle, which is not read here; "
                      "save it with transformers' save_pretrained(safe_serialization=True)",
                      f->dir);
    else
        rc = sec_fail(SEC_EDATA, "%s: no model.safetensors here", f->dir);
    free(one);
    free(index);
    free(pickle);
    return rc;
}

/* Other names under which a tensor may stand; false when there is no such variant. */
static bool variant(const char *name, int which, char *out, size_t size)
{
    static const char *const head[][2] = {{"cls.predictions.transform.", "lm_predictions.lm_head."},
                                          {"cls.predictions.bias", "lm_predictions.lm_head.bias"}};
    if (which == 0)
        return snprintf(out, size, "%s", name) > 0;
    if (which == 1 && sec_starts(name, "deberta."))
        return snprintf(out, size, "%s", name + strlen("deberta.")) > 0;
    if (which == 2 && !strcmp(name, head[1][0]))
        return snprintf(out, size, "cls.predictions.decoder.bias") > 0;
    for (int i = 0; which == 3 && i < 2; i++)
        if (sec_starts(name, head[i][0]))
            return snprintf(out, size, "%s%s", head[i][1], name + strlen(head[i][0])) > 0;
    return false;
}

static const struct sec_st_tensor *find(const struct folder *f, const char *name,
                                        const struct sec_safetensors **in)
{
    char other[128];
    for (int which = 0; which < 4; which++) {
        if (!variant(name, which, other, sizeof other))
            continue;
        for (int i = 0; i < f->n; i++) {
            const struct sec_st_tensor *t = sec_st_find(&f->shard[i], other);
            *in = &f->shard[i];
            if (t)
                return t;
        }
    }
    return NULL;
}

static int check_shape(const struct sec_safetensors *st, const struct sec_st_tensor *t,
                       const struct sec_param *p)
{
    char want[80], got[80];
    int64_t s[2][4] = {{1, 1, 1, 1}, {1, 1, 1, 1}};
    bool same = t->ndim == p->ndim;
    for (int d = 0; d < t->ndim; d++)
        s[0][d] = t->shape[d];
    for (int d = 0; d < p->ndim; d++) {
        s[1][d] = p->shape[d];
        same &= s[0][d] == s[1][d];
    }
    if (same)
        return 0;
    char *text[2] = {got, want};
    for (int i = 0; i < 2; i++)
        snprintf(text[i], sizeof want, "%lld x %lld x %lld", (long long)s[i][0], (long long)s[i][1],
                 (long long)s[i][2]);
    return sec_fail(SEC_EDATA, "%s: tensor %s is %s but config.json needs %s", st->path, t->name,
                    got, want);
}

/* master NULL: only check that everything is there in its shape, before memory is taken for it. */
static int read_tensors(const struct folder *f, const struct sec_params *p, float *master)
{
    for (int i = 0; i < p->n; i++) {
        const struct sec_safetensors *st;
        const struct sec_st_tensor *t = find(f, p->v[i].name, &st);
        if (!t)
            return sec_fail(SEC_EDATA, "%s: tensor %s is missing", f->dir, p->v[i].name);
        int rc = check_shape(st, t, &p->v[i]);
        if (!rc && master)
            rc = sec_st_read_f32(st, t, master + p->v[i].offset);
        if (rc)
            return rc;
    }
    return 0;
}

/* Which heads the files hold, and the classifier's number of labels. */
static unsigned find_heads(const struct folder *f, int *num_labels)
{
    const struct sec_safetensors *st;
    unsigned heads = 0;
    *num_labels = 0;
    if (find(f, "cls.predictions.transform.dense.weight", &st))
        heads |= SEC_HEAD_MLM;
    const struct sec_st_tensor *t = find(f, "classifier.weight", &st);
    if (t && t->ndim == 2 && t->shape[0] > 0 && t->shape[0] < 65536) {
        heads |= SEC_HEAD_CLASSIFY;
        *num_labels = (int)t->shape[0];
    }
    return heads;
}

int sec_hf_tokenizer_sha256(const char *dir, char out[65])
{
    cJSON *o = NULL;
    const char *sha = "";
    int rc = 0;
    *out = 0;
    char *path = sec_path_join(dir, "config.json");
    if (!path)
        return SEC_ENOMEM;
    SEC_TRY(sec_json_read(path, &o));
    if (cJSON_GetObjectItemCaseSensitive(o, SEC_HF_TOKENIZER_KEY))
        SEC_TRY(sec_json_str(o, SEC_HF_TOKENIZER_KEY, path, &sha));
    if (*sha && (strlen(sha) != 64 || strspn(sha, "0123456789abcdef") != 64)) {
        rc = sec_fail(SEC_EDATA, "%s: %s is not a SHA-256 in lower-case hexadecimal", path,
                      SEC_HF_TOKENIZER_KEY);
        goto fail;
    }
    snprintf(out, 65, "%s", sha);
fail:
    cJSON_Delete(o);
    free(path);
    return rc;
}

int sec_hf_load(const char *dir, struct sec_model_config *c, unsigned *heads,
                struct sec_params *params, float **master)
{
    struct folder f = {.dir = dir};
    int num_labels = 0, rc;
    *params = (struct sec_params){0};
    *master = NULL;
    char *config = sec_path_join(dir, "config.json");
    if (!config)
        return SEC_ENOMEM;
    SEC_TRY(sec_model_config_read_hf(config, c));
    SEC_TRY(open_folder(&f));
    *heads = find_heads(&f, &num_labels);
    SEC_TRY(sec_params_build(c, *heads, num_labels, params));
    SEC_TRY(read_tensors(&f, params, NULL));
    *master = calloc((size_t)params->total, sizeof **master);
    if (!*master) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory for %lld parameters", dir,
                      (long long)params->total);
        goto fail;
    }
    rc = read_tensors(&f, params, *master);
fail:
    if (rc) {
        free(*master);
        *master = NULL;
        sec_params_free(params);
    }
    close_folder(&f);
    free(config);
    return rc;
}
