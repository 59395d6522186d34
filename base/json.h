/* JSON: reading of small files through cJSON with messages that name file and key; writing into a
 * sec_buf. Large line-oriented JSON (logs) is data/'s business, not this header's. */
#ifndef SEC_BASE_JSON_H
#define SEC_BASE_JSON_H

#include "base/mem.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

int sec_json_parse(const char *text, size_t len, const char *name, cJSON **out);
int sec_json_read(const char *path, cJSON **out);

/* Typed members: SEC_EDATA with "name: key 'k' is missing / is not a string". Strings stay owned by
 * the tree. The _opt forms give the default when the key is absent. */
int sec_json_str(const cJSON *obj, const char *key, const char *name, const char **out);
int sec_json_i64(const cJSON *obj, const char *key, const char *name, int64_t *out);
int sec_json_f64(const cJSON *obj, const char *key, const char *name, double *out);
int sec_json_bool(const cJSON *obj, const char *key, const char *name, bool *out);
const char *sec_json_str_opt(const cJSON *obj, const char *key, const char *dflt);
int64_t sec_json_i64_opt(const cJSON *obj, const char *key, int64_t dflt);
double sec_json_f64_opt(const cJSON *obj, const char *key, double dflt);

/* Writer: commas and nesting are kept by the struct; errors stick and are returned by _end. */
struct sec_jw {
    struct sec_buf *out;
    int depth;
    unsigned char first[32]; /* per level: nothing written yet */
    bool pretty;
    bool after_key;
    int err;
};
void sec_jw_init(struct sec_jw *w, struct sec_buf *out, bool pretty);
void sec_jw_obj(struct sec_jw *w);     /* { */
void sec_jw_obj_end(struct sec_jw *w); /* } */
void sec_jw_arr(struct sec_jw *w);
void sec_jw_arr_end(struct sec_jw *w);
void sec_jw_key(struct sec_jw *w, const char *key);
void sec_jw_str(struct sec_jw *w, const char *s);
void sec_jw_strn(struct sec_jw *w, const char *s, size_t n); /* valid UTF-8 */
void sec_jw_i64(struct sec_jw *w, int64_t v);
void sec_jw_u64(struct sec_jw *w, uint64_t v);
void sec_jw_f64(struct sec_jw *w, double v); /* shortest form that reads back; non-finite -> null */
void sec_jw_bool(struct sec_jw *w, bool v);
void sec_jw_null(struct sec_jw *w);
/* key + value in one call */
void sec_jw_kstr(struct sec_jw *w, const char *key, const char *s);
void sec_jw_ki64(struct sec_jw *w, const char *key, int64_t v);
void sec_jw_kf64(struct sec_jw *w, const char *key, double v);
void sec_jw_kbool(struct sec_jw *w, const char *key, bool v);
int sec_jw_end(struct sec_jw *w); /* 0, or the first error */
/* As _end; then the text goes to standard output with one newline behind it, and its buffer is
 * freed, also on failure. A failed write shows in ferror(stdout), which main() looks at. */
int sec_jw_print(struct sec_jw *w);

/* Append s as a quoted JSON string (escapes: \" \\ and controls; everything else as it is). */
int sec_json_quote(struct sec_buf *out, const char *s, size_t n);

#endif
