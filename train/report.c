#include "train/report.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "train/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns of metrics.jsonl, kind "train". */
enum {
    STEP,
    LOSS,
    ACC,
    LR,
    NORM,
    RATE,
    MS_STEP,
    MS_DATA,
    MS_COMPUTE,
    MS_OPT,
    MFU,
    TOKENS,
    ELAPSED,
    PEAK,
    N_COLUMNS
};
static const char *const column_keys[N_COLUMNS] = {
    "step",    "loss",       "mlm_acc",      "lr",  "grad_norm", "tok_s",   "ms_step",
    "ms_data", "ms_compute", "ms_optimizer", "mfu", "tokens",    "elapsed", "peak_rss"};

enum { MAX_SPLITS = 2 };
static const char *const splits[MAX_SPLITS] = {"idts", "odts"};

struct column {
    double *v;
    size_t n, cap;
};

struct run {
    struct column train[N_COLUMNS];
    struct column eval_step[MAX_SPLITS], eval_loss[MAX_SPLITS], eval_acc[MAX_SPLITS];
    struct column restarts;
    int restarts_n, saves, failed_saves, skipped, damaged;
};

static int push(struct column *c, double v)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 256;
        double *p = realloc(c->v, cap * sizeof *p);
        if (!p)
            return sec_fail(SEC_ENOMEM, "no memory for %zu points of a report", cap);
        c->v = p;
        c->cap = cap;
    }
    c->v[c->n++] = v;
    return 0;
}

static int add_metric(struct run *r, const cJSON *o)
{
    const char *kind = sec_json_str_opt(o, "kind", "");
    int rc = 0;
    if (!strcmp(kind, "train"))
        for (int i = 0; i < N_COLUMNS && !rc; i++)
            rc = push(&r->train[i], sec_json_f64_opt(o, column_keys[i], NAN));
    for (int s = 0; s < MAX_SPLITS && !strcmp(kind, "eval") && !rc; s++)
        if (!strcmp(sec_json_str_opt(o, "split", ""), splits[s])) {
            SEC_TRY(push(&r->eval_step[s], sec_json_f64_opt(o, "step", NAN)));
            SEC_TRY(push(&r->eval_loss[s], sec_json_f64_opt(o, "loss", NAN)));
            SEC_TRY(push(&r->eval_acc[s], sec_json_f64_opt(o, "accuracy", NAN)));
        }
fail:
    return rc;
}

static int add_event(struct run *r, const cJSON *o)
{
    const char *e = sec_json_str_opt(o, "event", "");
    r->saves += !strcmp(e, "checkpoint");
    r->failed_saves += !strcmp(e, "save-failed");
    r->skipped += !strcmp(e, "skipped");
    r->damaged += !strcmp(e, "substituted");
    if (strcmp(e, "resume"))
        return 0;
    r->restarts_n++;
    return push(&r->restarts, sec_json_f64_opt(o, "step", NAN));
}

/* Every line of a JSON-lines file; a last line that a kill cut short is passed over. */
static int each_line(const char *path, int (*fn)(struct run *, const cJSON *), struct run *r)
{
    struct sec_buf b = {0};
    int rc = 0;
    if (!sec_exists(path))
        return 0;
    SEC_TRY(sec_read_file(path, &b));
    for (char *p = b.data, *end; p && (end = strchr(p, '\n')); p = end + 1) {
        cJSON *o = cJSON_ParseWithLength(p, (size_t)(end - p));
        rc = o ? fn(r, o) : 0;
        cJSON_Delete(o);
        if (rc)
            goto fail;
    }
fail:
    sec_buf_free(&b);
    return rc;
}

static struct sec_series series(const char *name, const struct column *x, const struct column *y,
                                bool points)
{
    return (struct sec_series){.name = name, .x = x->v, .y = y->v, .n = y->n, .points = points};
}

static int draw(struct sec_buf *b, const struct run *r, const char *title, const char *unit,
                const struct sec_series *s, int n, bool from_zero)
{
    struct sec_chart c = {.title = title,
                          .x_label = "step",
                          .y_label = unit,
                          .series = s,
                          .n_series = n,
                          .marks = r->restarts.v,
                          .n_marks = r->restarts.n,
                          .from_zero = from_zero};
    return sec_html_chart(b, &c);
}

/* Training curve plus those test splits that were evaluated. */
static int with_splits(const struct run *r, struct sec_series *s, struct sec_series train,
                       const struct column *eval)
{
    int n = 0;
    s[n++] = train;
    for (int i = 0; i < MAX_SPLITS; i++)
        if (eval[i].n)
            s[n++] = series(i ? "ODTS" : "IDTS", &r->eval_step[i], &eval[i], true);
    return n;
}

static int charts(struct sec_buf *b, const struct run *r)
{
    const struct column *t = r->train;
    struct sec_series s[6];
    int rc, n;
    SEC_TRY(sec_html_charts_begin(b));
    n = with_splits(r, s, series("training", &t[STEP], &t[LOSS], false), r->eval_loss);
    SEC_TRY(draw(b, r, "Loss", "nats a masked token", s, n, false));
    n = with_splits(r, s, series("training", &t[STEP], &t[ACC], false), r->eval_acc);
    SEC_TRY(draw(b, r, "Masked accuracy", "share right", s, n, true));
    s[0] = series("learning rate", &t[STEP], &t[LR], false);
    SEC_TRY(draw(b, r, "Learning rate", "", s, 1, true));
    s[0] = series("before clipping", &t[STEP], &t[NORM], false);
    SEC_TRY(draw(b, r, "Gradient norm", "L2", s, 1, true));
    s[0] = series("tokens/s", &t[STEP], &t[RATE], false);
    SEC_TRY(draw(b, r, "Throughput", "tokens/s", s, 1, true));
    s[0] = series("whole step", &t[STEP], &t[MS_STEP], false);
    s[1] = series("forward and backward", &t[STEP], &t[MS_COMPUTE], false);
    s[2] = series("optimizer", &t[STEP], &t[MS_OPT], false);
    s[3] = series("waiting for data", &t[STEP], &t[MS_DATA], false);
    SEC_TRY(draw(b, r, "Time of a step", "ms", s, 4, true));
    SEC_TRY(sec_html_charts_end(b));
fail:
    return rc;
}

static double last(const struct column *c)
{
    return c->n ? c->v[c->n - 1] : NAN;
}

static double sum(const struct column *c)
{
    double s = 0;
    for (size_t i = 0; i < c->n; i++)
        s += isfinite(c->v[i]) ? c->v[i] : 0;
    return s;
}

static int tile(struct sec_buf *b, const char *label, const char *fmt, double v)
{
    char s[64] = "–";
    if (isfinite(v))
        snprintf(s, sizeof s, fmt, v);
    return sec_html_tile(b, label, s);
}

static int tiles(struct sec_buf *b, const struct run *r)
{
    const struct column *t = r->train;
    char s[32];
    int rc;
    SEC_TRY(sec_html_tiles_begin(b));
    SEC_TRY(tile(b, "steps", "%.0f", last(&t[STEP])));
    SEC_TRY(tile(b, "training loss", "%.4f", last(&t[LOSS])));
    for (int i = 0; i < MAX_SPLITS; i++)
        if (r->eval_acc[i].n)
            SEC_TRY(tile(b, i ? "ODTS masked accuracy" : "IDTS masked accuracy", "%.4f",
                         last(&r->eval_acc[i])));
    if (t[TOKENS].n) {
        SEC_TRY(sec_html_tile(b, "tokens seen", sec_human_count(last(&t[TOKENS]), s)));
        SEC_TRY(sec_html_tile(b, "time", sec_human_seconds(last(&t[ELAPSED]), s)));
        SEC_TRY(sec_html_tile(b, "peak memory", sec_human_bytes(last(&t[PEAK]), s)));
    }
    SEC_TRY(tile(b, "waiting for data", "%.3g %%", 100 * sum(&t[MS_DATA]) / sum(&t[MS_STEP])));
    SEC_TRY(tile(b, "restarts", "%.0f", r->restarts_n));
    SEC_TRY(tile(b, "checkpoints saved", "%.0f", r->saves));
    if (r->failed_saves)
        SEC_TRY(tile(b, "saves failed", "%.0f", r->failed_saves));
    if (r->skipped)
        SEC_TRY(tile(b, "steps skipped", "%.0f", r->skipped));
    if (r->damaged)
        SEC_TRY(tile(b, "damaged data windows", "%.0f", r->damaged));
    SEC_TRY(sec_html_tiles_end(b));
fail:
    return rc;
}

static int eval_table(struct sec_buf *b, const struct run *r)
{
    static const char *const head[] = {"split", "step", "loss", "perplexity", "masked accuracy"};
    char c[4][32];
    int rc = 0;
    if (!r->eval_step[0].n && !r->eval_step[1].n)
        return 0;
    SEC_TRY(sec_html_section(b, "Evaluations during training"));
    SEC_TRY(sec_html_table_begin(b, head, 5));
    for (int i = 0; i < MAX_SPLITS; i++)
        for (size_t k = 0; k < r->eval_step[i].n; k++) {
            const char *cells[] = {i ? "ODTS" : "IDTS", c[0], c[1], c[2], c[3]};
            snprintf(c[0], 32, "%.0f", r->eval_step[i].v[k]);
            snprintf(c[1], 32, "%.4f", r->eval_loss[i].v[k]);
            snprintf(c[2], 32, "%.3f", exp(r->eval_loss[i].v[k]));
            snprintf(c[3], 32, "%.4f", r->eval_acc[i].v[k]);
            SEC_TRY(sec_html_row(b, cells, 5));
        }
    SEC_TRY(sec_html_table_end(b));
fail:
    return rc;
}

/* eval-*.jsonl of the run: one row a result that is a mean over seeds; those by group ("class/ip")
 * are left to the evaluation's own page. */
static int result_rows(struct sec_buf *b, const char *path)
{
    struct sec_buf text = {0};
    char value[32];
    int rc;
    SEC_TRY(sec_read_file(path, &text));
    for (char *p = text.data, *end; p && (end = strchr(p, '\n')); p = end + 1) {
        cJSON *o = cJSON_ParseWithLength(p, (size_t)(end - p));
        const cJSON *seed = cJSON_GetObjectItem(o, "seed");
        if (o && !cJSON_IsNumber(seed) && !strchr(sec_json_str_opt(o, "metric", ""), '/')) {
            const char *cells[] = {sec_json_str_opt(o, "task", ""),
                                   sec_json_str_opt(o, "split", ""),
                                   sec_json_str_opt(o, "metric", ""), value};
            snprintf(value, sizeof value, "%.4f", sec_json_f64_opt(o, "value", NAN));
            rc = sec_html_row(b, cells, 4);
        }
        cJSON_Delete(o);
        if (rc)
            goto fail;
    }
fail:
    sec_buf_free(&text);
    return rc;
}

static int results(struct sec_buf *b, const char *run_dir)
{
    static const char *const head[] = {"task", "split", "metric", "value"};
    struct sec_list names = {0};
    bool open = false;
    int rc;
    SEC_TRY(sec_list_dir(run_dir, &names));
    for (size_t i = 0; i < names.n; i++) {
        if (!sec_glob("eval-*.jsonl", names.v[i]))
            continue;
        if (!open) {
            SEC_TRY(sec_html_section(b, "Evaluation (means over seeds)"));
            SEC_TRY(sec_html_table_begin(b, head, 4));
        }
        open = true;
        char *path = sec_path_join(run_dir, names.v[i]);
        rc = result_rows(b, path);
        free(path);
        if (rc)
            goto fail;
    }
    if (open)
        SEC_TRY(sec_html_table_end(b));
fail:
    sec_list_free(&names);
    return rc;
}

/* A small text file of the run as a table of "key: value" lines (config.yaml, env.json). */
static int file_table(struct sec_buf *b, const char *run_dir, const char *name, const char *title)
{
    static const char *const head[] = {"key", "value"};
    struct sec_buf text = {0};
    char *path = sec_path_join(run_dir, name), *save = NULL, group[64] = "";
    int rc = 0;
    if (!sec_exists(path))
        goto fail;
    SEC_TRY(sec_read_file(path, &text));
    SEC_TRY(sec_html_section(b, title));
    SEC_TRY(sec_html_table_begin(b, head, 2));
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strchr(line, ':'), key[160];
        if (!colon)
            continue;
        *colon = 0;
        char *value = colon + 1 + strspn(colon + 1, " ");
        char *k = line + strspn(line, " \t\"");
        k[strcspn(k, "\"")] = 0;
        size_t len = strlen(value);
        if (len && value[len - 1] == ',')
            value[len - 1] = 0;
        if (!*value) { /* a mapping of the YAML: prefix of what follows */
            snprintf(group, sizeof group, "%s.", k);
            continue;
        }
        snprintf(key, sizeof key, "%s%s", line[0] == ' ' && title[0] == 'C' ? group : "", k);
        const char *cells[] = {key, value};
        SEC_TRY(sec_html_row(b, cells, 2));
    }
    SEC_TRY(sec_html_table_end(b));
fail:
    sec_buf_free(&text);
    free(path);
    return rc;
}

static void run_free(struct run *r)
{
    for (int i = 0; i < N_COLUMNS; i++)
        free(r->train[i].v);
    for (int i = 0; i < MAX_SPLITS; i++) {
        free(r->eval_step[i].v);
        free(r->eval_loss[i].v);
        free(r->eval_acc[i].v);
    }
    free(r->restarts.v);
}

int sec_report_write(const char *run_dir, const char *out_path)
{
    struct run r = {0};
    struct sec_buf b = {0};
    char *metrics = sec_path_join(run_dir, "metrics.jsonl");
    char *events = sec_path_join(run_dir, "events.jsonl");
    int rc;
    if (!sec_exists(metrics)) {
        rc = sec_fail(SEC_EDATA, "%s is not a run directory: it has no metrics.jsonl", run_dir);
        goto fail;
    }
    SEC_TRY(each_line(metrics, add_metric, &r));
    SEC_TRY(each_line(events, add_event, &r));
    SEC_TRY(sec_html_begin(&b, "Pretraining run", run_dir));
    SEC_TRY(tiles(&b, &r));
    SEC_TRY(sec_html_section(&b, "Curves"));
    SEC_TRY(charts(&b, &r));
    SEC_TRY(eval_table(&b, &r));
    SEC_TRY(results(&b, run_dir));
    SEC_TRY(file_table(&b, run_dir, "config.yaml", "Configuration"));
    SEC_TRY(file_table(&b, run_dir, "env.json", "Environment"));
    SEC_TRY(sec_html_end(&b));
    SEC_TRY(sec_write_file(out_path, b.data, b.len));
fail:
    run_free(&r);
    sec_buf_free(&b);
    free(metrics);
    free(events);
    return rc;
}
