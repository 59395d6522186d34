/* Reading, verifying and thinning out checkpoints. */
#include "model/ckpt_internal.h"

#include "base/error.h"
#include "base/file.h"
#include "base/h5.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_self(struct sec_buf *text, const char *path)
{
    uint32_t stored, now;
    char hex[9] = {0};
    char *digits = text->data ? strrchr(text->data, ':') : NULL;
    size_t tail = strlen("\t\"00000000\"\n}\n") + 1;
    digits = digits && (size_t)(text->data + text->len - digits) == tail ? digits + 3 : NULL;
    if (!digits || sscanf(digits, "%8x", &stored) != 1)
        return sec_fail(SEC_EDATA, "%s: truncated or not a checkpoint manifest", path);
    memcpy(hex, digits, 8);
    memcpy(digits, "00000000", 8);
    now = sec_ckpt_self_digits(text->data, text->len) ? sec_crc32c(0, text->data, text->len) : 0;
    if (now != stored)
        return sec_fail(SEC_EDATA, "%s: damaged: CRC32C %08x, recorded %s", path, now, hex);
    return 0;
}

static int read_manifest(const char *dir, cJSON **out)
{
    struct sec_buf text = {0};
    const char *format;
    int64_t version;
    *out = NULL;
    char *path = sec_path_join(dir, CKPT_MANIFEST);
    int rc = path ? sec_read_file(path, &text) : SEC_ENOMEM;
    if (rc)
        goto fail;
    SEC_TRY(check_self(&text, path));
    SEC_TRY(sec_json_parse(text.data, text.len, path, out));
    SEC_TRY(sec_json_str(*out, "format", path, &format));
    SEC_TRY(sec_json_i64(*out, "version", path, &version));
    if (strcmp(format, CKPT_FORMAT) || version != CKPT_VERSION)
        rc = sec_fail(SEC_EDATA, "%s: format %.40s version %lld; this program reads %s version %d",
                      path, format, (long long)version, CKPT_FORMAT, CKPT_VERSION);
fail:
    if (rc) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    sec_buf_free(&text);
    free(path);
    return rc;
}

static int check_sizes(const char *dir, const cJSON *manifest)
{
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(manifest, "files"), *e;
    int rc = 0;
    cJSON_ArrayForEach(e, files)
    {
        const char *name;
        int64_t bytes;
        SEC_TRY(sec_json_str(e, "name", dir, &name));
        SEC_TRY(sec_json_i64(e, "bytes", dir, &bytes));
        char *path = sec_path_join(dir, name);
        int64_t have = path ? sec_file_size(path) : -1;
        free(path);
        if (have != bytes)
            return have < 0 ? sec_fail(SEC_EDATA, "%s/%s: missing", dir, name)
                            : sec_fail(SEC_EDATA, "%s/%s: has %lld bytes, expected %lld", dir, name,
                                       (long long)have, (long long)bytes);
    }
fail:
    return rc;
}

/* Manifest and sizes, not the tensors. */
static int open_dir(const char *dir, cJSON **manifest)
{
    int rc = read_manifest(dir, manifest);
    if (!rc && (rc = check_sizes(dir, *manifest))) {
        cJSON_Delete(*manifest);
        *manifest = NULL;
    }
    return rc;
}

int sec_ckpt_read_info(const char *dir, struct sec_ckpt_info *info)
{
    cJSON *m = NULL;
    const char *print;
    int64_t heads, labels;
    *info = (struct sec_ckpt_info){0};
    int rc;
    SEC_TRY(open_dir(dir, &m));
    SEC_TRY(sec_json_i64(m, "step", dir, &info->step));
    SEC_TRY(sec_json_i64(m, "heads", dir, &heads));
    SEC_TRY(sec_json_i64(m, "num_labels", dir, &labels));
    SEC_TRY(sec_json_str(m, "tokenizer_fingerprint", dir, &print));
    if (heads < 0 || heads > (SEC_HEAD_MLM | SEC_HEAD_CLASSIFY) || labels < 0 || labels > 65535) {
        rc = sec_fail(SEC_EDATA, "%s: impossible heads %lld with %lld labels", dir,
                      (long long)heads, (long long)labels);
        goto fail;
    }
    info->heads = (unsigned)heads;
    info->num_labels = (int)labels;
    snprintf(info->tokenizer_fingerprint, sizeof info->tokenizer_fingerprint, "%s", print);
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(m, "model");
    for (const struct sec_ckpt_field *f = sec_ckpt_fields; f->name; f++) {
        void *v = (char *)&info->config + f->offset;
        SEC_TRY(f->is_int ? sec_json_i64(model, f->name, dir, v)
                          : sec_json_f64(model, f->name, dir, v));
    }
    SEC_TRY(sec_model_config_check(&info->config));
    info->state = cJSON_DetachItemFromObjectCaseSensitive(m, "state");
    info->dir = strdup(dir);
    if (!info->dir)
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory", dir);
fail:
    cJSON_Delete(m);
    if (rc)
        sec_ckpt_info_free(info);
    return rc;
}

void sec_ckpt_info_free(struct sec_ckpt_info *info)
{
    free(info->dir);
    cJSON_Delete(info->state);
    info->dir = NULL;
    info->state = NULL;
}

/* One dataset, its count and CRC checked; *data is malloc'd. */
static int read_tensor(hid_t file, const char *path, const cJSON *e, const char *dir, float **data,
                       int64_t *count)
{
    const char *arena, *name, *crc;
    char dataset[256], now[16];
    void *p = NULL;
    size_t n;
    int rc;
    *data = NULL;
    SEC_TRY(sec_json_str(e, "arena", dir, &arena));
    SEC_TRY(sec_json_str(e, "name", dir, &name));
    SEC_TRY(sec_json_str(e, "crc32c", dir, &crc));
    SEC_TRY(sec_json_i64(e, "count", dir, count));
    snprintf(dataset, sizeof dataset, "%s/%s", arena, name);
    SEC_TRY(sec_h5_get_array(file, dataset, H5T_NATIVE_FLOAT, sizeof(float), &p, &n, path));
    snprintf(now, sizeof now, "%08x", sec_crc32c(0, p, n * sizeof(float)));
    if ((int64_t)n != *count || strcmp(now, crc)) {
        rc = sec_fail(SEC_EDATA, "%s: tensor %s is damaged: CRC32C %s, recorded %.8s", path,
                      dataset, now, crc);
        free(p);
        goto fail;
    }
    *data = p;
fail:
    return rc;
}

static const struct sec_ckpt_arena *wanted(const cJSON *e, const struct sec_ckpt_arena *arenas,
                                           int n_arenas)
{
    const char *name = sec_json_str_opt(e, "arena", "");
    for (int i = 0; i < n_arenas; i++)
        if (!strcmp(arenas[i].name, name))
            return &arenas[i];
    return NULL;
}

/* All tensors if params is NULL (verification only), else those of the arenas. */
static int read_all(const char *dir, const struct sec_params *params,
                    const struct sec_ckpt_arena *arenas, int n_arenas)
{
    cJSON *m = NULL;
    const cJSON *e;
    char *path = sec_path_join(dir, CKPT_FILE);
    hid_t file = H5I_INVALID_HID;
    int64_t found = 0;
    int rc = path ? 0 : SEC_ENOMEM;
    if (rc)
        goto fail;
    SEC_TRY(sec_h5_init());
    SEC_TRY(open_dir(dir, &m));
    SEC_TRY(sec_h5_open(path, &file));
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(m, "tensors"))
    {
        const struct sec_ckpt_arena *a = params ? wanted(e, arenas, n_arenas) : NULL;
        const struct sec_param *p =
            a ? sec_params_find(params, sec_json_str_opt(e, "name", "")) : NULL;
        float *data;
        int64_t count;
        if (params && !p)
            continue;
        SEC_TRY(read_tensor(file, path, e, dir, &data, &count));
        if (p && count == p->count)
            memcpy(a->data + p->offset, data, (size_t)count * sizeof *data);
        free(data);
        if (p && count != p->count) {
            rc = sec_fail(SEC_EDATA, "%s: tensor %s has %lld values, this model needs %lld", path,
                          p->name, (long long)count, (long long)p->count);
            goto fail;
        }
        found++;
    }
    if (params && found != (int64_t)params->n * n_arenas)
        rc = sec_fail(SEC_EDATA, "%s: holds %lld of the %lld tensors this model needs", path,
                      (long long)found, (long long)params->n * n_arenas);
fail:
    if (file >= 0)
        sec_h5_close(file, path);
    cJSON_Delete(m);
    free(path);
    return rc;
}

int sec_ckpt_read(const char *dir, const struct sec_params *params,
                  const struct sec_ckpt_arena *arenas, int n_arenas)
{
    return read_all(dir, params, arenas, n_arenas);
}

bool sec_ckpt_has(const char *dir, const char *arena)
{
    cJSON *m = NULL;
    const cJSON *e;
    struct sec_ckpt_arena a = {.name = arena};
    bool found = false;
    if (!read_manifest(dir, &m))
        cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(m, "tensors")) found |=
            wanted(e, &a, 1) != NULL;
    cJSON_Delete(m);
    return found;
}

int sec_ckpt_verify(const char *dir)
{
    return read_all(dir, NULL, NULL, 0);
}

/* The step of "step-N", or -1. */
static int64_t step_of(const char *name)
{
    char again[64];
    long long n = -1;
    if (sscanf(name, "step-%lld", &n) != 1 || n < 0)
        return -1;
    snprintf(again, sizeof again, "step-%lld", n);
    return strcmp(again, name) ? -1 : n;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = step_of(*(char *const *)a), y = step_of(*(char *const *)b);
    return x > y ? -1 : x < y;
}

static int list_newest_first(const char *root, struct sec_list *l)
{
    int rc = sec_list_dir(root, l);
    if (!rc && l->n)
        qsort(l->v, l->n, sizeof *l->v, newest_first);
    return rc;
}

int sec_ckpt_find(const char *ckpt_root, char **dir)
{
    struct sec_list l = {0};
    size_t damaged = 0;
    *dir = NULL;
    int rc = list_newest_first(ckpt_root, &l);
    for (size_t i = 0; !rc && !*dir && i < l.n; i++) {
        if (step_of(l.v[i]) < 0)
            continue;
        char *path = sec_path_join(ckpt_root, l.v[i]);
        rc = path ? 0 : SEC_ENOMEM;
        int bad = rc ? rc : sec_ckpt_verify(path);
        if (bad == SEC_ENOMEM)
            rc = bad;
        if (!bad) {
            *dir = path;
            break;
        }
        if (!rc) {
            sec_warn("%s passed over: %s", path, sec_error());
            damaged++;
        }
        free(path);
    }
    if (!rc && !*dir)
        rc = damaged
                 ? sec_fail(SEC_EDATA, "%s: no whole checkpoint (%zu damaged)", ckpt_root, damaged)
                 : sec_fail(SEC_EDATA, "%s: no checkpoint yet", ckpt_root);
    sec_list_free(&l);
    return rc;
}

static bool looks_whole(const char *dir)
{
    cJSON *m = NULL;
    int rc = open_dir(dir, &m);
    cJSON_Delete(m);
    return !rc;
}

/* Older than `keep` whole ones goes, damaged ones included; left-overs of killed saves go too,
 * since the run directory is locked by this process. */
int sec_ckpt_retain(const char *ckpt_root, int keep, const int64_t *pinned, int n_pinned)
{
    struct sec_list l = {0};
    int whole = 0, rc = list_newest_first(ckpt_root, &l);
    if (keep < 1)
        keep = 1;
    for (size_t i = 0; !rc && i < l.n; i++) {
        int64_t step = step_of(l.v[i]);
        bool stale = step < 0 && sec_starts(l.v[i], "step-") && strstr(l.v[i], ".tmp-");
        if (step < 0 && !stale)
            continue;
        char *path = sec_path_join(ckpt_root, l.v[i]);
        bool drop = stale || whole >= keep;
        for (int j = 0; j < n_pinned && !stale; j++)
            drop &= pinned[j] != step;
        if (!path)
            rc = SEC_ENOMEM;
        else if (drop)
            rc = sec_remove_tree(path);
        else if (looks_whole(path))
            whole++;
        free(path);
    }
    sec_list_free(&l);
    return rc;
}
