/* safetensors files. A header is believed only after every claim in it was checked against the
 * file's size: offsets, products of shapes, gaps, overlaps, duplicate names. */
#include "model/hf.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "kernels/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_HEADER = 100 << 20, CHUNK = 1 << 16 };

static size_t dtype_size(const char *t)
{
    static const struct {
        const char *name;
        size_t size;
    } known[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},  {"U32", 4},
                 {"U16", 2}, {"U8", 1},  {"BOOL", 1}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (!strcmp(known[i].name, t))
            return known[i].size;
    return 0;
}

static bool whole(const cJSON *v, uint64_t *out)
{
    if (!cJSON_IsNumber(v) || v->valuedouble < 0 || v->valuedouble > 0x1p53 ||
        v->valuedouble != floor(v->valuedouble))
        return false;
    *out = (uint64_t)v->valuedouble;
    return true;
}

/* One entry of the header; data_size is what the file holds. */
static int parse_tensor(const cJSON *e, const char *path, uint64_t data_size,
                        struct sec_st_tensor *t)
{
    const char *name = e->string ? e->string : "";
    if (strlen(name) >= sizeof t->name)
        return sec_fail(SEC_EDATA, "%s: tensor name of %zu bytes; at most %zu", path, strlen(name),
                        sizeof t->name - 1);
    snprintf(t->name, sizeof t->name, "%s", name);
    const char *dtype = sec_json_str_opt(e, "dtype", "");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(e, "shape"), *d;
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(e, "data_offsets");
    uint64_t bytes = dtype_size(dtype);
    if (!bytes)
        return sec_fail(SEC_EDATA, "%s: tensor %s: dtype '%.16s' is not known", path, name, dtype);
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > 4)
        return sec_fail(SEC_EDATA, "%s: tensor %s: shape is not a list of at most 4 sizes", path,
                        name);
    cJSON_ArrayForEach(d, shape)
    {
        uint64_t n;
        if (!whole(d, &n) || __builtin_mul_overflow(bytes, n, &bytes))
            return sec_fail(SEC_EDATA, "%s: tensor %s: impossible shape", path, name);
        t->shape[t->ndim++] = (int64_t)n;
    }
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !whole(cJSON_GetArrayItem(offsets, 0), &t->begin) ||
        !whole(cJSON_GetArrayItem(offsets, 1), &t->end) || t->begin > t->end)
        return sec_fail(SEC_EDATA, "%s: tensor %s: data_offsets are not two ascending numbers",
                        path, name);
    if (t->end > data_size)
        return sec_fail(SEC_EDATA,
                        "%s: truncated: tensor %s ends at data byte %llu, the file has %llu", path,
                        name, (unsigned long long)t->end, (unsigned long long)data_size);
    if (t->end - t->begin != bytes)
        return sec_fail(SEC_EDATA, "%s: tensor %s takes %llu bytes but its shape needs %llu", path,
                        name, (unsigned long long)(t->end - t->begin), (unsigned long long)bytes);
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const struct sec_st_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sec_st_tensor *)a)->name, ((const struct sec_st_tensor *)b)->name);
}

/* Tensors tile the data part exactly (the format's rule), and names are unique. Leaves them sorted
 * by name. */
static int check_layout(struct sec_safetensors *st, uint64_t data_size)
{
    uint64_t at = 0;
    if (st->n)
        qsort(st->v, (size_t)st->n, sizeof *st->v, by_begin);
    for (int i = 0; i < st->n; i++) {
        if (st->v[i].begin != at)
            return sec_fail(SEC_EDATA, "%s: tensor %s starts at data byte %llu, %s byte %llu",
                            st->path, st->v[i].name, (unsigned long long)st->v[i].begin,
                            st->v[i].begin < at ? "overlapping the one that ends at"
                                                : "leaving a gap after",
                            (unsigned long long)at);
        at = st->v[i].end;
    }
    if (at != data_size)
        return sec_fail(SEC_EDATA, "%s: %llu bytes after the last tensor", st->path,
                        (unsigned long long)(data_size - at));
    if (st->n)
        qsort(st->v, (size_t)st->n, sizeof *st->v, by_name);
    for (int i = 1; i < st->n; i++)
        if (!strcmp(st->v[i - 1].name, st->v[i].name))
            return sec_fail(SEC_EDATA, "%s: tensor %s appears twice", st->path, st->v[i].name);
    return 0;
}

static int parse_header(struct sec_safetensors *st, const char *text, size_t len,
                        uint64_t data_size)
{
    cJSON *o = NULL;
    const cJSON *e;
    int rc;
    SEC_TRY(sec_json_parse(text, len, st->path, &o));
    if (!cJSON_IsObject(o)) {
        rc = sec_fail(SEC_EDATA, "%s: the header is not a JSON object", st->path);
        goto fail;
    }
    st->v = calloc((size_t)cJSON_GetArraySize(o) + 1, sizeof *st->v);
    if (!st->v) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory for its header", st->path);
        goto fail;
    }
    cJSON_ArrayForEach(e, o)
    {
        if (!strcmp(e->string ? e->string : "", "__metadata__"))
            continue;
        SEC_TRY(parse_tensor(e, st->path, data_size, &st->v[st->n]));
        st->n++;
    }
    rc = check_layout(st, data_size);
fail:
    cJSON_Delete(o);
    return rc;
}

int sec_st_open(const char *path, struct sec_safetensors *st)
{
    *st = (struct sec_safetensors){.fd = -1};
    char *text = NULL;
    uint8_t length[8];
    int rc;
    st->path = strdup(path);
    if (!st->path)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", path);
    st->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (st->fd < 0) {
        rc = sec_fail_errno(errno, "%s: cannot open", path);
        goto fail;
    }
    int64_t size = sec_file_size(path);
    SEC_TRY(sec_pread_full(st->fd, length, sizeof length, 0, path));
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | length[i];
    if (n < 2 || n > MAX_HEADER || n > (uint64_t)size - sizeof length) {
        rc = sec_fail(SEC_EDATA,
                      "%s: not a safetensors file: header of %llu bytes in a file of %lld", path,
                      (unsigned long long)n, (long long)size);
        goto fail;
    }
    text = malloc(n);
    if (!text) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory for a header of %llu bytes", path,
                      (unsigned long long)n);
        goto fail;
    }
    SEC_TRY(sec_pread_full(st->fd, text, n, sizeof length, path));
    st->data_start = sizeof length + n;
    SEC_TRY(parse_header(st, text, n, (uint64_t)size - st->data_start));
fail:
    free(text);
    if (rc)
        sec_st_close(st);
    return rc;
}

void sec_st_close(struct sec_safetensors *st)
{
    if (st->fd >= 0)
        close(st->fd);
    free(st->v);
    free(st->path);
    *st = (struct sec_safetensors){.fd = -1};
}

const struct sec_st_tensor *sec_st_find(const struct sec_safetensors *st, const char *name)
{
    struct sec_st_tensor key;
    if (strlen(name) >= sizeof key.name || !st->n)
        return NULL;
    snprintf(key.name, sizeof key.name, "%s", name);
    return bsearch(&key, st->v, (size_t)st->n, sizeof *st->v, by_name);
}

static float f16_to_f32(uint16_t h)
{
    uint32_t exp = h >> 10 & 31, frac = h & 1023;
    float sign = h & 0x8000 ? -1.0f : 1.0f;
    if (exp == 31)
        return frac ? NAN : sign * INFINITY;
    if (exp == 0)
        return sign * ldexpf((float)frac, -24);
    return sign * ldexpf((float)(frac | 1024), (int)exp - 25);
}

int sec_st_read_f32(const struct sec_safetensors *st, const struct sec_st_tensor *t, float *out)
{
    uint64_t off = st->data_start + t->begin, bytes = t->end - t->begin;
    if (!strcmp(t->dtype, "F32"))
        return sec_pread_full(st->fd, out, bytes, off, st->path);
    bool bf16 = !strcmp(t->dtype, "BF16");
    if (!bf16 && strcmp(t->dtype, "F16"))
        return sec_fail(SEC_EDATA, "%s: tensor %s is %s; only F32, F16 and BF16 are read", st->path,
                        t->name, t->dtype);
    uint16_t part[4096];
    for (uint64_t i = 0; i < bytes / 2; i += 4096) {
        size_t n = bytes / 2 - i < 4096 ? (size_t)(bytes / 2 - i) : 4096;
        int rc = sec_pread_full(st->fd, part, n * 2, off + 2 * i, st->path);
        if (rc)
            return rc;
        for (size_t j = 0; j < n; j++)
            out[i + j] = bf16 ? sec_bf16_to_f32(part[j]) : f16_to_f32(part[j]);
    }
    return 0;
}

static int write_header(struct sec_atomic *a, const struct sec_params *p, bool bf16)
{
    struct sec_buf text = {0};
    struct sec_jw w;
    uint64_t at = 0, size = bf16 ? 2 : 4;
    int rc;
    sec_jw_init(&w, &text, false);
    sec_jw_obj(&w);
    sec_jw_key(&w, "__metadata__");
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "format", "pt");
    sec_jw_obj_end(&w);
    for (int i = 0; i < p->n; i++) {
        const struct sec_param *v = &p->v[i];
        sec_jw_key(&w, v->name);
        sec_jw_obj(&w);
        sec_jw_kstr(&w, "dtype", bf16 ? "BF16" : "F32");
        sec_jw_key(&w, "shape");
        sec_jw_arr(&w);
        for (int d = 0; d < v->ndim; d++)
            sec_jw_i64(&w, v->shape[d]);
        sec_jw_arr_end(&w);
        sec_jw_key(&w, "data_offsets");
        sec_jw_arr(&w);
        sec_jw_u64(&w, at);
        at += (uint64_t)v->count * size;
        sec_jw_u64(&w, at);
        sec_jw_arr_end(&w);
        sec_jw_obj_end(&w);
    }
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    while (text.len % 8)
        SEC_TRY(sec_buf_addc(&text, ' '));
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)text.len >> 8 * i);
    SEC_TRY(sec_atomic_write(a, length, sizeof length));
    rc = sec_atomic_write(a, text.data, text.len);
fail:
    sec_buf_free(&text);
    return rc;
}

static int write_values(struct sec_atomic *a, const float *x, int64_t n, bool bf16)
{
    if (!bf16)
        return sec_atomic_write(a, x, (size_t)n * sizeof *x);
    uint16_t part[CHUNK / 2];
    for (int64_t i = 0; i < n; i += CHUNK / 2) {
        int64_t count = n - i < CHUNK / 2 ? n - i : CHUNK / 2;
        for (int64_t j = 0; j < count; j++)
            part[j] = sec_f32_to_bf16(x[i + j]);
        int rc = sec_atomic_write(a, part, (size_t)count * sizeof *part);
        if (rc)
            return rc;
    }
    return 0;
}

int sec_st_write(const char *path, const struct sec_params *p, const float *master, bool bf16)
{
    struct sec_atomic a;
    int rc = sec_atomic_open(&a, path);
    if (rc)
        return rc;
    SEC_TRY(write_header(&a, p, bf16));
    for (int i = 0; i < p->n; i++) {
        const struct sec_param *v = &p->v[i];
        const float *x = master + v->offset;
        int64_t row = v->offset == p->rel ? v->shape[1] : 0;
        if (row) /* row 0 := row 1 */
            SEC_TRY(write_values(&a, x + row, row, bf16));
        SEC_TRY(write_values(&a, x + row, v->count - row, bf16));
    }
    return sec_atomic_commit(&a);
fail:
    sec_atomic_abort(&a);
    return rc;
}
