#include "base/json.h"

#include "base/error.h"
#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sec_json_parse(const char *text, size_t len, const char *name, cJSON **out)
{
    const char *end = NULL;
    *out = cJSON_ParseWithLengthOpts(text, len, &end, false);
    size_t at = end ? (size_t)(end - text) : 0;
    if (*out) {
        while (at < len && strchr(" \t\r\n", text[at]) && text[at])
            at++;
        if (at == len)
            return 0;
        cJSON_Delete(*out);
        *out = NULL;
    }
    size_t line = 1;
    for (size_t i = 0; i < at && i < len; i++)
        line += text[i] == '\n';
    return sec_fail(SEC_EDATA, "%s:%zu: not valid JSON at byte %zu of %zu", name, line, at, len);
}

int sec_json_read(const char *path, cJSON **out)
{
    struct sec_buf text = {0};
    *out = NULL;
    int rc = sec_read_file(path, &text);
    if (!rc)
        rc = sec_json_parse(text.data ? text.data : "", text.len, path, out);
    sec_buf_free(&text);
    return rc;
}

static int member(const cJSON *obj, const char *key, const char *name, const cJSON **out)
{
    *out = cJSON_GetObjectItemCaseSensitive(obj, key);
    return *out ? 0 : sec_fail(SEC_EDATA, "%s: key '%s' is missing", name, key);
}

int sec_json_str(const cJSON *obj, const char *key, const char *name, const char **out)
{
    const cJSON *item;
    int rc = member(obj, key, name, &item);
    if (rc)
        return rc;
    if (!cJSON_IsString(item))
        return sec_fail(SEC_EDATA, "%s: key '%s' is not a string", name, key);
    *out = item->valuestring;
    return 0;
}

/* cJSON keeps numbers as doubles: beyond 2^53 an integer may not be what was written. */
static bool is_integer(double v)
{
    return v == floor(v) && fabs(v) <= 0x1p53;
}

int sec_json_i64(const cJSON *obj, const char *key, const char *name, int64_t *out)
{
    const cJSON *item;
    int rc = member(obj, key, name, &item);
    if (rc)
        return rc;
    if (!cJSON_IsNumber(item) || !is_integer(item->valuedouble))
        return sec_fail(SEC_EDATA, "%s: key '%s' is not a whole number", name, key);
    *out = (int64_t)item->valuedouble;
    return 0;
}

int sec_json_f64(const cJSON *obj, const char *key, const char *name, double *out)
{
    const cJSON *item;
    int rc = member(obj, key, name, &item);
    if (rc)
        return rc;
    if (!cJSON_IsNumber(item))
        return sec_fail(SEC_EDATA, "%s: key '%s' is not a number", name, key);
    *out = item->valuedouble;
    return 0;
}

int sec_json_bool(const cJSON *obj, const char *key, const char *name, bool *out)
{
    const cJSON *item;
    int rc = member(obj, key, name, &item);
    if (rc)
        return rc;
    if (!cJSON_IsBool(item))
        return sec_fail(SEC_EDATA, "%s: key '%s' is not true or false", name, key);
    *out = cJSON_IsTrue(item);
    return 0;
}

const char *sec_json_str_opt(const cJSON *obj, const char *key, const char *dflt)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, key);
    return cJSON_IsString(item) ? item->valuestring : dflt;
}

int64_t sec_json_i64_opt(const cJSON *obj, const char *key, int64_t dflt)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, key);
    return cJSON_IsNumber(item) && is_integer(item->valuedouble) ? (int64_t)item->valuedouble
                                                                 : dflt;
}

double sec_json_f64_opt(const cJSON *obj, const char *key, double dflt)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, key);
    return cJSON_IsNumber(item) ? item->valuedouble : dflt;
}

int sec_json_quote(struct sec_buf *out, const char *s, size_t n)
{
    static const char letters[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    int rc = sec_buf_addc(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        rc = sec_buf_add(out, s + from, i - from);
        from = i + 1;
        if (rc)
            break;
        if (c >= 0x20)
            rc = sec_buf_printf(out, "\\%c", c);
        else if (letters[c])
            rc = sec_buf_printf(out, "\\%c", letters[c]);
        else
            rc = sec_buf_printf(out, "\\u%04x", c);
    }
    if (!rc)
        rc = sec_buf_add(out, s + from, n - from);
    return rc ? rc : sec_buf_addc(out, '"');
}

enum { MAX_DEPTH = sizeof((struct sec_jw *)0)->first };

void sec_jw_init(struct sec_jw *w, struct sec_buf *out, bool pretty)
{
    *w = (struct sec_jw){.out = out, .pretty = pretty, .first = {1}};
}

static void put(struct sec_jw *w, const char *text)
{
    if (!w->err)
        w->err = sec_buf_adds(w->out, text);
}

static void new_line(struct sec_jw *w)
{
    if (!w->pretty)
        return;
    put(w, "\n");
    for (int i = 0; i < w->depth; i++)
        put(w, "  ");
}

/* What goes between the last thing written and the next value or key. */
static void separate(struct sec_jw *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (!w->first[w->depth])
        put(w, ",");
    w->first[w->depth] = 0;
    if (w->depth)
        new_line(w);
}

static void open_level(struct sec_jw *w, const char *bracket)
{
    separate(w);
    put(w, bracket);
    if (w->depth + 1 >= MAX_DEPTH) {
        if (!w->err)
            w->err = sec_fail(SEC_EFAIL, "JSON output is nested deeper than %d", MAX_DEPTH - 1);
        return;
    }
    w->first[++w->depth] = 1;
}

static void close_level(struct sec_jw *w, const char *bracket)
{
    if (w->err || !w->depth)
        return;
    bool empty = w->first[w->depth--];
    if (!empty)
        new_line(w);
    put(w, bracket);
}

void sec_jw_obj(struct sec_jw *w)
{
    open_level(w, "{");
}

void sec_jw_obj_end(struct sec_jw *w)
{
    close_level(w, "}");
}

void sec_jw_arr(struct sec_jw *w)
{
    open_level(w, "[");
}

void sec_jw_arr_end(struct sec_jw *w)
{
    close_level(w, "]");
}

void sec_jw_key(struct sec_jw *w, const char *key)
{
    sec_jw_str(w, key);
    put(w, w->pretty ? ": " : ":");
    w->after_key = true;
}

void sec_jw_str(struct sec_jw *w, const char *s)
{
    if (s)
        sec_jw_strn(w, s, strlen(s));
    else
        sec_jw_null(w);
}

void sec_jw_strn(struct sec_jw *w, const char *s, size_t n)
{
    separate(w);
    if (!w->err)
        w->err = sec_json_quote(w->out, s, n);
}

static void put_token(struct sec_jw *w, const char *text)
{
    separate(w);
    put(w, text);
}

void sec_jw_i64(struct sec_jw *w, int64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    put_token(w, text);
}

void sec_jw_u64(struct sec_jw *w, uint64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    put_token(w, text);
}

void sec_jw_f64(struct sec_jw *w, double v)
{
    char text[32];
    if (!isfinite(v)) {
        sec_jw_null(w);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    put_token(w, text);
}

void sec_jw_bool(struct sec_jw *w, bool v)
{
    put_token(w, v ? "true" : "false");
}

void sec_jw_null(struct sec_jw *w)
{
    put_token(w, "null");
}

void sec_jw_kstr(struct sec_jw *w, const char *key, const char *s)
{
    sec_jw_key(w, key);
    sec_jw_str(w, s);
}

void sec_jw_ki64(struct sec_jw *w, const char *key, int64_t v)
{
    sec_jw_key(w, key);
    sec_jw_i64(w, v);
}

void sec_jw_kf64(struct sec_jw *w, const char *key, double v)
{
    sec_jw_key(w, key);
    sec_jw_f64(w, v);
}

void sec_jw_kbool(struct sec_jw *w, const char *key, bool v)
{
    sec_jw_key(w, key);
    sec_jw_bool(w, v);
}

int sec_jw_end(struct sec_jw *w)
{
    if (!w->err && w->depth)
        w->err = sec_fail(SEC_EFAIL, "JSON output ended with %d levels open", w->depth);
    if (w->pretty)
        put(w, "\n");
    return w->err;
}

int sec_jw_print(struct sec_jw *w)
{
    int rc = sec_jw_end(w);
    if (!rc) {
        fputs(w->out->data, stdout);
        if (!w->pretty)
            putchar('\n');
    }
    sec_buf_free(w->out);
    return rc;
}
