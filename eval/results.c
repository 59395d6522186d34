#include "eval/results.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/version.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sec_results_add(struct sec_results *r, const struct sec_result *v)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 256;
        struct sec_result *more = realloc(r->v, cap * sizeof *more);
        if (!more)
            return sec_fail(SEC_ENOMEM, "no memory for %zu results", cap);
        r->v = more;
        r->cap = cap;
    }
    r->v[r->n++] = *v;
    return 0;
}

const struct sec_result *sec_results_find(const struct sec_results *r, const char *task,
                                          const char *split, const char *metric)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->v[i].seed == SEC_NO_SEED && !strcmp(r->v[i].task, task) &&
            !strcmp(r->v[i].split, split) && !strcmp(r->v[i].metric, metric))
            return &r->v[i];
    return NULL;
}

static void put(struct sec_jw *w, const struct sec_results *r, const struct sec_result *v)
{
    sec_jw_obj(w);
    sec_jw_kstr(w, "task", v->task);
    sec_jw_kstr(w, "data", r->data);
    sec_jw_kstr(w, "split", v->split);
    sec_jw_key(w, "seed");
    if (v->seed == SEC_NO_SEED)
        sec_jw_null(w);
    else
        sec_jw_i64(w, v->seed);
    sec_jw_kstr(w, "metric", v->metric);
    sec_jw_kf64(w, "value", v->value);
    sec_jw_kf64(w, "sd", v->sd);
    sec_jw_key(w, "ci95");
    if (isfinite(v->ci[0]) && isfinite(v->ci[1])) {
        sec_jw_arr(w);
        sec_jw_f64(w, v->ci[0]);
        sec_jw_f64(w, v->ci[1]);
        sec_jw_arr_end(w);
    } else {
        sec_jw_null(w);
    }
    sec_jw_kf64(w, "n", v->n);
    sec_jw_kstr(w, "model_sha", r->model_sha);
    sec_jw_kstr(w, "version", SEC_VERSION);
    sec_jw_obj_end(w);
}

int sec_results_write(const struct sec_results *r, const char *path)
{
    struct sec_buf text = {0};
    int rc = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct sec_jw w;
        sec_jw_init(&w, &text, false);
        put(&w, r, &r->v[i]);
        SEC_TRY(sec_jw_end(&w));
        SEC_TRY(sec_buf_addc(&text, '\n'));
    }
    if (strcmp(path, "-"))
        rc = sec_write_file(path, text.data, text.len);
    else if (fwrite(text.data, 1, text.len, stdout) != text.len)
        rc = sec_fail_errno(errno, "standard output: cannot write");
fail:
    sec_buf_free(&text);
    return rc;
}

void sec_results_free(struct sec_results *r)
{
    free(r->v);
    free(r->data);
    *r = (struct sec_results){0};
}
