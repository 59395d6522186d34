/* The results of eval/mlm_suite.h for people. Both forms are made from the same rows of cells. */
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "data/textshard.h"
#include "eval/baseline.h"
#include "eval/mlm_suite.h"
#include "eval/mlm_tally.h"
#include "train/html.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CELLS = 7, CELL = 64 };

/* Where rows go: text, or a page. */
struct sink {
    FILE *text;
    struct sec_buf *page;
    const struct sec_results *r;
    const char *task, *split;
    int n; /* cells of a row */
};

static int begin_table(struct sink *s, const char *title, const char *const *head, int n)
{
    s->n = n;
    if (s->page) {
        char section[2 * CELL];
        bool group = islower((unsigned char)*title);
        snprintf(section, sizeof section, "%.80s%s%.20s", title, group ? ", " : "",
                 group ? s->split : "");
        int rc = sec_html_section(s->page, section);
        return rc ? rc : sec_html_table_begin(s->page, head, n);
    }
    fprintf(s->text, "\n%-24s", title);
    for (int i = 1; i < n; i++)
        fprintf(s->text, " %17s", head[i]);
    fputc('\n', s->text);
    return 0;
}

static int row(struct sink *s, char cells[MAX_CELLS][CELL])
{
    const char *p[MAX_CELLS];
    for (int i = 0; i < s->n; i++)
        p[i] = s->page && !strcmp(cells[i], "-") ? "" : cells[i];
    if (s->page)
        return sec_html_row(s->page, p, s->n);
    fprintf(s->text, "  %-22s", p[0]);
    for (int i = 1; i < s->n; i++) {
        /* a cell may hold the two bytes of ± */
        int wide = 17 + (strstr(p[i], "±") != NULL);
        fprintf(s->text, " %*s", wide, p[i]);
    }
    fputc('\n', s->text);
    return 0;
}

static int end_table(struct sink *s)
{
    return s->page ? sec_html_table_end(s->page) : 0;
}

static const struct sec_result *find(const struct sink *s, const char *group, const char *metric)
{
    char name[64];
    snprintf(name, sizeof name, "%.40s%.20s", group, metric);
    return sec_results_find(s->r, s->task, s->split, name);
}

/* value ± sd, or "-". */
static void cell(char out[CELL], const struct sec_result *r, int decimals)
{
    if (!r || !isfinite(r->value))
        snprintf(out, CELL, "-");
    else if (isfinite(r->sd))
        snprintf(out, CELL, "%.*f ± %.*f", decimals, r->value, decimals, r->sd);
    else if (r->value > 0 && r->value < 5e-4) /* 1 / V */
        snprintf(out, CELL, "%.1e", r->value);
    else
        snprintf(out, CELL, "%.*f", decimals, r->value);
}

static void value_cell(char out[CELL], const struct sec_result *r)
{
    if (!r || !isfinite(r->value))
        snprintf(out, CELL, "-");
    else
        snprintf(out, CELL, "%.4f", r->value);
}

static int summary(struct sink *s)
{
    static const char *const head[] = {"", "loss", "perplexity", "top-1", "top-5", "bits per byte"};
    static const char *const keys[] = {"", "loss", "perplexity", "top1", "top5", "bits_per_byte"};
    static const struct {
        const char *name, *group;
    } rows[] = {{"model", ""},
                {"copy previous line", "copy/"},
                {"unigram", "unigram/"},
                {"untrained", "untrained/"}};
    char title[128], cells[MAX_CELLS][CELL];
    const struct sec_result *docs = find(s, "", "documents"), *loss = find(s, "", "loss");
    snprintf(title, sizeof title, "%s%s", s->split, strcmp(s->task, "mlm") ? ", whole fields" : "");
    for (char *p = title; *p && *p != ','; p++)
        *p = (char)toupper((unsigned char)*p);
    int rc = 0;
    SEC_TRY(begin_table(s, title, head, 6));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(cells[0], CELL, "%s", rows[i].name);
        for (int k = 1; k < 6; k++)
            cell(cells[k], find(s, rows[i].group, keys[k]), k == 2 ? 3 : 4);
        SEC_TRY(row(s, cells));
        if (i)
            continue;
        snprintf(cells[0], CELL, "  95 %% interval");
        for (int k = 1; k < 6; k++) {
            const struct sec_result *r = find(s, "", keys[k]);
            if (r && isfinite(r->ci[0]))
                snprintf(cells[k], CELL, "%.*f-%.*f", k == 2 ? 3 : 4, r->ci[0], k == 2 ? 3 : 4,
                         r->ci[1]);
            else
                snprintf(cells[k], CELL, "-");
        }
        SEC_TRY(row(s, cells));
    }
    SEC_TRY(end_table(s));
    if (s->text && docs && loss)
        fprintf(s->text, "  %.0f documents, %.0f masked tokens over all seeds\n", docs->value,
                loss->n);
fail:
    return rc;
}

/* One table of groups: names[i] is the row's name, keys[i] its prefix in the metrics. */
static int group_table(struct sink *s, const char *title, char (*names)[CELL], char (*keys)[CELL],
                       int n)
{
    const char *const head[] = {"",      "share",      "loss",         "top-1",
                                "top-5", "copy top-1", "unigram top-1"};
    static const char *const metrics[] = {"loss", "top1", "top5", "copy/top1", "unigram/top1"};
    char cells[MAX_CELLS][CELL];
    const struct sec_result *all = find(s, "", "loss");
    int rc;
    SEC_TRY(begin_table(s, title, head, MAX_CELLS));
    for (int i = 0; i < n; i++) {
        const struct sec_result *r = find(s, keys[i], "loss");
        if (!r)
            continue;
        snprintf(cells[0], CELL, "%.40s", names[i]);
        snprintf(cells[1], CELL, "%.1f %%", 100 * r->n / all->n);
        for (int k = 0; k < 5; k++)
            value_cell(cells[k + 2], find(s, keys[i], metrics[k]));
        SEC_TRY(row(s, cells));
    }
    SEC_TRY(end_table(s));
fail:
    return rc;
}

static int group_tables(struct sink *s)
{
    char names[SEC_N_LENGTHS][CELL], keys[SEC_N_LENGTHS][CELL];
    int rc;
    for (int i = 0; i < SEC_N_FIELDS; i++) {
        snprintf(names[i], CELL, "%s", sec_field_names[i]);
        snprintf(keys[i], CELL, "class/%s/", sec_field_names[i]);
    }
    SEC_TRY(group_table(s, "by class of field", names, keys, SEC_N_FIELDS));
    for (int i = 0; i < SEC_N_DECILES; i++) {
        snprintf(names[i], CELL, i ? i == 9 ? "10 (rarest)" : "%d" : "%d (most frequent)", i + 1);
        snprintf(keys[i], CELL, "decile/%d/", i + 1);
    }
    SEC_TRY(group_table(s, "by training frequency", names, keys, SEC_N_DECILES));
    for (int i = 0; i < SEC_N_LENGTHS; i++) {
        snprintf(names[i], CELL, "up to %d tokens", SEC_SHORTEST_BUCKET << i);
        snprintf(keys[i], CELL, "length/%d/", SEC_SHORTEST_BUCKET << i);
    }
    SEC_TRY(group_table(s, "by length", names, keys, SEC_N_LENGTHS));
fail:
    return rc;
}

/* Calls fn for every (task, split) that has results. */
static int each_split(struct sink *s, int (*fn)(struct sink *))
{
    static const char *const tasks[] = {"mlm", "mlm-whole-field"};
    int rc = 0;
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < SEC_N_SPLITS && !rc; i++) {
            s->task = tasks[t];
            s->split = sec_split_names[i];
            if (find(s, "", "loss"))
                rc = fn(s);
        }
    return rc;
}

static int summary_and_groups(struct sink *s)
{
    int rc = summary(s);
    return rc ? rc : group_tables(s);
}

int sec_mlm_print(const struct sec_results *r, FILE *to)
{
    struct sink s = {.text = to, .r = r};
    return each_split(&s, summary_and_groups);
}

static int tiles(struct sink *s)
{
    static const struct {
        const char *metric, *label;
    } shown[] = {{"top1", "masked accuracy"}, {"perplexity", "perplexity"}};
    char label[CELL], value[CELL];
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(label, sizeof label, "%s %s", s->split, shown[i].label);
        for (char *p = label; *p && *p != ' '; p++)
            *p = (char)toupper((unsigned char)*p);
        value_cell(value, find(s, "", shown[i].metric));
        SEC_TRY(sec_html_tile(s->page, label, value));
    }
fail:
    return rc;
}

static int decile_chart(struct sink *s)
{
    static const char *const names[] = {"model", "copy previous line", "unigram"};
    static const char *const metrics[] = {"top1", "copy/top1", "unigram/top1"};
    double x[SEC_N_DECILES], y[3][SEC_N_DECILES];
    struct sec_series series[3];
    char title[CELL];
    size_t n = 0;
    for (int d = 0; d < SEC_N_DECILES; d++) {
        char key[32];
        snprintf(key, sizeof key, "decile/%d/", d + 1);
        if (!find(s, key, "top1"))
            continue;
        x[n] = d + 1;
        for (int k = 0; k < 3; k++)
            y[k][n] = find(s, key, metrics[k])->value;
        n++;
    }
    for (int k = 0; k < 3; k++)
        series[k] =
            (struct sec_series){.name = names[k], .x = x, .y = y[k], .n = n, .points = true};
    snprintf(title, sizeof title, "Accuracy by training frequency, %s", s->split);
    struct sec_chart c = {.title = title,
                          .x_label = "decile (1 = most frequent tokens)",
                          .y_label = "top-1",
                          .series = series,
                          .n_series = 3,
                          .from_zero = true};
    return sec_html_chart(s->page, &c);
}

int sec_mlm_report(const struct sec_results *r, const char *title, const char *path)
{
    struct sec_buf page = {0};
    struct sink s = {.page = &page, .r = r};
    int rc;
    SEC_TRY(sec_html_begin(&page, "Masked-token evaluation", title));
    SEC_TRY(sec_html_tiles_begin(&page));
    SEC_TRY(each_split(&s, tiles));
    SEC_TRY(sec_html_tiles_end(&page));
    SEC_TRY(each_split(&s, summary));
    SEC_TRY(sec_html_section(&page, "Frequent and rare tokens"));
    SEC_TRY(sec_html_charts_begin(&page));
    SEC_TRY(each_split(&s, decile_chart));
    SEC_TRY(sec_html_charts_end(&page));
    SEC_TRY(each_split(&s, group_tables));
    SEC_TRY(sec_html_end(&page));
    rc = sec_write_file(path, page.data, page.len);
fail:
    sec_buf_free(&page);
    return rc;
}
