#include "tools/corpus_page.h"

#include "base/error.h"
#include "base/str.h"
#include "train/html.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 48, MAX_STAGES = 12 };

static const char style[] =
    "<style>.bar{display:inline-block;height:10px;border-radius:2px;background:var(--s0);"
    "vertical-align:middle;min-width:1px}.track{display:inline-block;width:260px}.pair{display:"
    "grid;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:12px;margin:0 0 18px}"
    ".pair figure{min-width:0}.pair pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:"
    "12px/1.45 ui-monospace,monospace}.note{color:var(--dim);font-size:13px;margin:6px 0 14px}"
    "</style>";

static double number(const cJSON *o, const char *key)
{
    return sec_json_f64_opt(o, key, 0);
}
static const cJSON *member(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* 1234567 -> 1,234,567 */
static const char *grouped(double v, char cell[CELL])
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", v), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            cell[at++] = ',';
        cell[at++] = digits[i];
    }
    cell[at] = 0;
    return cell;
}

static const char *share(double part, double whole, char cell[CELL])
{
    double percent = whole > 0 ? 100 * part / whole : 0;
    snprintf(cell, CELL, percent < 10 ? "%.2f %%" : "%.1f %%", percent);
    return cell;
}

static const char *bytes(double v, char cell[CELL])
{
    return sec_human_bytes(v, cell);
}

static int note(struct sec_buf *b, const char *text)
{
    int rc;
    SEC_TRY(sec_buf_adds(b, "<p class=\"note\">"));
    SEC_TRY(sec_html_text(b, text));
    SEC_TRY(sec_buf_adds(b, "</p>\n"));
fail:
    return rc;
}

/* Bytes of text of all splits. */
static double kept_bytes(const cJSON *report)
{
    double sum = 0;
    const cJSON *s;
    cJSON_ArrayForEach(s, member(report, "splits")) sum += number(s, "bytes");
    return sum;
}

/* ---- head ---- */

static int head(struct sec_buf *b, const cJSON *report)
{
    int rc;
    char cell[CELL];
    double read = number(report, "bytes_read"), kept = kept_bytes(report);
    const cJSON *tests = member(report, "decontamination");
    double largest = sec_json_f64_opt(tests, "largest_similarity", -1);
    SEC_TRY(sec_html_tiles_begin(b));
    SEC_TRY(sec_html_tile(b, "text read", bytes(read, cell)));
    SEC_TRY(sec_html_tile(b, "text kept", bytes(kept, cell)));
    SEC_TRY(sec_html_tile(b, "of the text is kept", share(kept, read, cell)));
    SEC_TRY(
        sec_html_tile(b, "records read", sec_human_count(number(report, "records_read"), cell)));
    SEC_TRY(
        sec_html_tile(b, "records kept", sec_human_count(number(report, "records_kept"), cell)));
    SEC_TRY(
        sec_html_tile(b, "sources", grouped(cJSON_GetArraySize(member(report, "sources")), cell)));
    SEC_TRY(sec_html_tile(b, "files", grouped(number(report, "files"), cell)));
    snprintf(cell, sizeof cell, largest < 0 ? "not sought" : "%.4f", largest);
    SEC_TRY(sec_html_tile(b, "largest train-test similarity", cell));
    SEC_TRY(sec_html_tiles_end(b));
    if (number(report, "damaged_files") > 0) {
        char text[96];
        snprintf(text, sizeof text, "%.0f files are damaged; what could be read of them is used.",
                 number(report, "damaged_files"));
        SEC_TRY(note(b, text));
    }
fail:
    return rc;
}

/* ---- stages ---- */

static int stage_row(struct sec_buf *b, const char *name, const cJSON *stage, double gone,
                     double left, double read)
{
    int rc;
    char cells[5][CELL] = {"", "", "", "", ""};
    if (stage) {
        grouped(gone, cells[0]);
        share(gone, read, cells[1]);
        if (member(stage, "documents"))
            grouped(number(stage, "documents"), cells[2]);
    }
    grouped(left, cells[3]);
    share(left, read, cells[4]);
    SEC_TRY(sec_buf_adds(b, "<tr><td>"));
    SEC_TRY(sec_html_text(b, name));
    for (int i = 0; i < 4; i++)
        SEC_TRY(sec_buf_printf(b, "</td><td class=\"n\">%s", cells[i]));
    SEC_TRY(sec_buf_printf(b,
                           "</td><td><span class=\"track\"><span class=\"bar\" style=\"width:"
                           "%.1f%%\"></span></span> %s</td></tr>\n",
                           read > 0 ? 100 * left / read : 0, cells[4]));
fail:
    return rc;
}

/* The funnel: what each stage took, and what was left after it. */
static int stages(struct sec_buf *b, const cJSON *report)
{
    static const char *const head_row[] = {"stage",     "records removed", "of those read",
                                           "documents", "records left",    ""};
    int rc;
    double read = number(report, "records_read"), left = read;
    const cJSON *s;
    SEC_TRY(sec_html_section(b, "What was removed, stage by stage"));
    SEC_TRY(sec_html_table_begin(b, head_row, 6));
    SEC_TRY(stage_row(b, "read", NULL, 0, left, read));
    cJSON_ArrayForEach(s, member(report, "removed"))
    {
        double gone = number(s, "records");
        left -= gone;
        SEC_TRY(stage_row(b, sec_json_str_opt(s, "stage", ""), s, gone, left, read));
    }
    SEC_TRY(sec_html_table_end(b));
fail:
    return rc;
}

static int splits(struct sec_buf *b, const cJSON *report)
{
    static const char *const head_row[] = {"split", "sources", "documents", "records",
                                           "text",  "of all",  "packed"};
    int rc;
    char cells[6][CELL];
    double all = kept_bytes(report);
    const cJSON *s;
    SEC_TRY(sec_html_section(b, "Splits"));
    SEC_TRY(sec_html_table_begin(b, head_row, 7));
    cJSON_ArrayForEach(s, member(report, "splits"))
    {
        const char *row[] = {s->string,
                             grouped(number(s, "sources"), cells[0]),
                             grouped(number(s, "documents"), cells[1]),
                             grouped(number(s, "records"), cells[2]),
                             bytes(number(s, "bytes"), cells[3]),
                             share(number(s, "bytes"), all, cells[4]),
                             bytes(number(s, "bytes_packed"), cells[5])};
        SEC_TRY(sec_html_row(b, row, 7));
    }
    SEC_TRY(sec_html_table_end(b));
    SEC_TRY(note(b, "train is for training; idts are held-out documents of known sources, odts "
                    "whole sources that training never sees."));
fail:
    return rc;
}

/* ---- sources ---- */

static int by_bytes(const void *a, const void *b)
{
    double x = number(*(const cJSON *const *)a, "bytes_read"),
           y = number(*(const cJSON *const *)b, "bytes_read");
    return x > y ? -1 : x < y;
}

static double removed_by(const cJSON *source, const char *stage)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, member(source, "removed")) if (!strcmp(sec_json_str_opt(s, "stage", ""),
                                                                 stage)) return number(s,
                                                                                       "records");
    return 0;
}

static int source_row(struct sec_buf *b, const cJSON *source, const char *const *stage, int n,
                      bool caps)
{
    char cells[MAX_STAGES + 6][CELL];
    const char *row[MAX_STAGES + 7];
    int at = 0;
    double read = number(source, "records_read"), kept = number(source, "records_kept");
    char name[160];
    snprintf(name, sizeof name, "%s%s", sec_json_str_opt(source, "name", "?"),
             cJSON_IsTrue(member(source, "odts")) ? " (odts)" : "");
    row[at] = name;
    row[at + 1] = bytes(number(source, "bytes_read"), cells[at]);
    row[at + 2] = grouped(read, cells[at + 1]);
    row[at + 3] = grouped(kept, cells[at + 2]);
    row[at + 4] = share(kept, read, cells[at + 3]);
    at += 5;
    if (caps) {
        double k = number(source, "template_cap");
        row[at] = k > 0 ? grouped(k, cells[at - 1]) : "all";
        at++;
    }
    for (int i = 0; i < n; i++, at++) {
        double gone = removed_by(source, stage[i]);
        row[at] = gone > 0 ? grouped(gone, cells[at - 1]) : "";
    }
    return sec_html_row(b, row, at);
}

static int sources(struct sec_buf *b, const cJSON *report)
{
    static const char *const fixed[] = {"source", "text read", "records", "kept", "share kept"};
    const cJSON *list = member(report, "sources"), *s, **sorted = NULL;
    const char *header[MAX_STAGES + 7], *stage[MAX_STAGES];
    int rc, n = cJSON_GetArraySize(list), n_stages = 0, columns = 5, at = 0;
    bool caps = false;
    memcpy(header, fixed, sizeof fixed);
    cJSON_ArrayForEach(s, list) caps |= member(s, "template_cap") != NULL;
    if (caps)
        header[columns++] = "cap k";
    cJSON_ArrayForEach(s, member(report, "removed")) if (n_stages < MAX_STAGES) header[columns++] =
        stage[n_stages++] = sec_json_str_opt(s, "stage", "");
    SEC_TRY(sec_html_section(b, "Sources"));
    sorted = calloc((size_t)n + 1, sizeof *sorted);
    if (!sorted)
        return sec_fail(SEC_ENOMEM, "no memory for a table of %d sources", n);
    cJSON_ArrayForEach(s, list) sorted[at++] = s;
    qsort(sorted, (size_t)n, sizeof *sorted, by_bytes);
    SEC_TRY(sec_html_table_begin(b, header, columns));
    for (int i = 0; i < n; i++)
        SEC_TRY(source_row(b, sorted[i], stage, n_stages, caps));
    SEC_TRY(sec_html_table_end(b));
    SEC_TRY(note(b, "Largest first. Columns on the right: records removed by each stage."));
fail:
    free(sorted);
    return rc;
}

/* ---- near-duplicates ---- */

static int document(struct sec_buf *b, const char *what, const cJSON *d)
{
    int rc;
    char where[CELL];
    snprintf(where, sizeof where, ", line %.0f, %.0f record%s", number(d, "line"),
             number(d, "records"), number(d, "records") == 1 ? "" : "s");
    SEC_TRY(sec_buf_printf(b, "<figure><figcaption>%s: ", what));
    SEC_TRY(sec_html_text(b, sec_json_str_opt(d, "source", "?")));
    SEC_TRY(sec_buf_adds(b, "</figcaption><p class=\"note\">"));
    SEC_TRY(sec_html_text(b, sec_json_str_opt(d, "file", "?")));
    SEC_TRY(sec_html_text(b, where));
    SEC_TRY(sec_buf_adds(b, "</p><pre>"));
    SEC_TRY(sec_html_text(b, sec_json_str_opt(d, "text", "")));
    SEC_TRY(sec_buf_adds(b, "</pre></figure>\n"));
fail:
    return rc;
}

static int pair(struct sec_buf *b, const char *what, const cJSON *x, const char *of, const cJSON *y)
{
    int rc;
    SEC_TRY(sec_buf_adds(b, "<div class=\"pair\">"));
    SEC_TRY(document(b, what, x));
    SEC_TRY(document(b, of, y));
    SEC_TRY(sec_buf_adds(b, "</div>\n"));
fail:
    return rc;
}

/* Bars of equal width over [0, 1]; above the threshold in the first colour. */
static int histogram(struct sec_buf *b, const cJSON *bins, double threshold)
{
    enum { WIDTH = 620, HEIGHT = 210, LEFT = 64, TOP = 12, PLOT = 160 };
    int rc, n = cJSON_GetArraySize(bins), i = 0;
    double most = 1, width = (WIDTH - LEFT - 16.0) / (n ? n : 1);
    char cell[CELL];
    const cJSON *v;
    cJSON_ArrayForEach(v, bins) most = v->valuedouble > most ? v->valuedouble : most;
    SEC_TRY(sec_buf_printf(
        b,
        "<figure style=\"max-width:760px\"><figcaption>Similarity of the "
        "candidate pairs; estimates below the threshold</figcaption><svg viewBox=\"0 0 %d "
        "%d\" role=\"img\">",
        WIDTH, HEIGHT));
    for (int k = 0; k <= 2; k++) {
        double y = TOP + PLOT - k * PLOT / 2.0;
        SEC_TRY(sec_buf_printf(b,
                               "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                               "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
                               LEFT, WIDTH - 16, y, y, LEFT - 6, y + 4,
                               sec_human_count(most * k / 2, cell)));
    }
    cJSON_ArrayForEach(v, bins)
    {
        double h = PLOT * v->valuedouble / most, lo = (double)i / n;
        SEC_TRY(sec_buf_printf(b,
                               "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\""
                               "var(--s%d)\"><title>%.2f to %.2f: %s pairs</title></rect>",
                               LEFT + i * width + 1, TOP + PLOT - h, width - 2, h,
                               lo + 1e-9 >= threshold ? 0 : 5, lo, (double)(i + 1) / n,
                               grouped(v->valuedouble, cell)));
        i++;
    }
    for (int k = 0; k <= 10; k += 2)
        SEC_TRY(sec_buf_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>",
                               LEFT + k * (WIDTH - LEFT - 16.0) / 10, TOP + PLOT + 18, k / 10.0));
    SEC_TRY(sec_buf_printf(b,
                           "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">Jaccard similarity; "
                           "removed from %.2f on</text></svg></figure>\n",
                           (WIDTH + LEFT) / 2, HEIGHT - 2, threshold));
fail:
    return rc;
}

static int near(struct sec_buf *b, const cJSON *report)
{
    static const char *const head_row[] = {"search", "candidate pairs", "similar pairs", "rounds"};
    static const char *const scopes[][2] = {{"within_sources", "within sources"},
                                            {"over_all", "over all sources"}};
    const cJSON *n = member(report, "near_duplicates"), *e;
    double threshold =
        sec_json_f64_opt(member(member(report, "options"), "minhash"), "similarity", 0.8);
    int rc = 0;
    char cells[3][CELL];
    if (!n)
        return 0;
    SEC_TRY(sec_html_section(b, "Near-duplicates"));
    SEC_TRY(sec_html_table_begin(b, head_row, 4));
    for (int i = 0; i < 2; i++) {
        const cJSON *s = member(n, scopes[i][0]);
        const char *row[] = {scopes[i][1], grouped(number(s, "candidates"), cells[0]),
                             grouped(number(s, "verified"), cells[1]),
                             grouped(number(s, "rounds"), cells[2])};
        SEC_TRY(sec_html_row(b, row, 4));
    }
    SEC_TRY(sec_html_table_end(b));
    SEC_TRY(sec_buf_adds(b, "<p></p>"));
    SEC_TRY(histogram(b, member(n, "similarity_histogram"), threshold));
    if (cJSON_GetArraySize(member(n, "examples")))
        SEC_TRY(sec_html_section(b, "Examples of what was removed, and why"));
    cJSON_ArrayForEach(e, member(n, "examples"))
    {
        snprintf(cells[0], CELL, "Similarity %.3f", number(e, "similarity"));
        SEC_TRY(note(b, cells[0]));
        SEC_TRY(pair(b, "removed", member(e, "removed"), "kept", member(e, "keeper")));
    }
fail:
    return rc;
}

static int tests(struct sec_buf *b, const cJSON *report)
{
    const cJSON *t = member(report, "decontamination");
    int rc = 0;
    if (!t)
        return 0;
    SEC_TRY(sec_html_section(b, "Training and test documents"));
    if (member(t, "train")) {
        char text[128];
        snprintf(text, sizeof text, "The most similar pair that is left has a similarity of %.3f.",
                 number(t, "largest_similarity"));
        SEC_TRY(note(b, text));
        SEC_TRY(pair(b, "train", member(t, "train"), "test", member(t, "test")));
    } else {
        SEC_TRY(note(b, "No training document is similar to a test document."));
    }
fail:
    return rc;
}

/* ---- the rest ---- */

static int pseudonyms(struct sec_buf *b, const cJSON *report)
{
    static const char *const head_row[] = {"class", "replaced"};
    const cJSON *p = member(report, "pseudonyms"), *v;
    char cell[CELL];
    int rc = 0;
    if (!p)
        return 0;
    SEC_TRY(sec_html_section(b, "Pseudonyms"));
    SEC_TRY(sec_html_table_begin(b, head_row, 2));
    cJSON_ArrayForEach(v, p)
    {
        const char *row[] = {v->string, grouped(v->valuedouble, cell)};
        SEC_TRY(sec_html_row(b, row, 2));
    }
    SEC_TRY(sec_html_table_end(b));
fail:
    return rc;
}

static int options(struct sec_buf *b, const cJSON *report)
{
    static const char *const head_row[] = {"option", "value"};
    const cJSON *v;
    char *text = NULL;
    int rc;
    SEC_TRY(sec_html_section(b, "Options"));
    SEC_TRY(sec_html_table_begin(b, head_row, 2));
    cJSON_ArrayForEach(v, member(report, "options"))
    {
        text = cJSON_IsString(v) ? strdup(v->valuestring) : cJSON_PrintUnformatted(v);
        if (!text)
            return sec_fail(SEC_ENOMEM, "no memory for the table of options");
        const char *row[] = {v->string, text};
        SEC_TRY(sec_html_row(b, row, 2));
        free(text);
        text = NULL;
    }
    SEC_TRY(sec_html_table_end(b));
fail:
    free(text);
    return rc;
}

int corpus_page(const cJSON *report, const char *name, struct sec_buf *page)
{
    int rc;
    SEC_TRY(sec_html_begin(page, "Corpus report", name));
    SEC_TRY(sec_buf_adds(page, style));
    SEC_TRY(head(page, report));
    SEC_TRY(stages(page, report));
    SEC_TRY(splits(page, report));
    SEC_TRY(sources(page, report));
    SEC_TRY(near(page, report));
    SEC_TRY(tests(page, report));
    SEC_TRY(pseudonyms(page, report));
    SEC_TRY(options(page, report));
    rc = sec_html_end(page);
fail:
    return rc;
}
