#include "train/html.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{--bg:#fff;--fg:#1b2430;--dim:#5d6b7c;--line:#dfe5ec;--card:#f6f8fa;--s0:#1f6feb;"
    "--s1:#d1570a;--s2:#1a7f37;--s3:#8250df;--s4:#bf3989;--s5:#6e7781}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0f141b;--fg:#e3e9f0;--dim:#94a3b5;"
    "--line:#2a3441;--card:#171e27;--s0:#58a6ff;--s1:#ffa657;--s2:#56d364;--s3:#bc8cff;"
    "--s4:#ff7bb8;--s5:#a5b1bf}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:28px 20px 60px;"
    "background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}"
    "h1{font-size:26px;margin:0}h2{font-size:18px;margin:34px 0 12px;border-bottom:1px solid "
    "var(--line);padding-bottom:6px}.sub{color:var(--dim);margin:4px 0 18px;overflow-wrap:anywhere}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:10px}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}"
    ".tile b{display:block;font-size:20px;font-variant-numeric:tabular-nums}.tile span{color:"
    "var(--dim);font-size:13px}.charts{display:grid;gap:16px;grid-template-columns:"
    "repeat(auto-fit,minmax(min(100%,500px),1fr))}figure{margin:0;background:var(--card);border:"
    "1px solid var(--line);border-radius:8px;padding:12px}figcaption{font-weight:600;margin:0 0 "
    "4px}"
    "svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font:12px system-ui,"
    "sans-serif}.grid{stroke:var(--line)}.axis{stroke:var(--dim)}.mark{stroke:var(--s4);"
    "stroke-dasharray:4 3}.legend{font-size:13px;color:var(--dim)}.legend i{display:inline-block;"
    "width:14px;height:3px;vertical-align:middle;margin:0 5px 0 12px;border-radius:2px}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}th,td{"
    "text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th{color:var(--dim);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:"
    "tabular-nums}.kv{width:auto}.kv td:first-child{color:var(--dim);padding-right:32px}";

int sec_html_text(struct sec_buf *b, const char *s)
{
    int rc = 0;
    for (; *s && !rc; s++)
        switch (*s) {
        case '&':
            rc = sec_buf_adds(b, "&amp;");
            break;
        case '<':
            rc = sec_buf_adds(b, "&lt;");
            break;
        case '>':
            rc = sec_buf_adds(b, "&gt;");
            break;
        case '"':
            rc = sec_buf_adds(b, "&quot;");
            break;
        default:
            rc = sec_buf_addc(b, *s);
        }
    return rc;
}

/* <tag ...>escaped text</tag> */
static int element(struct sec_buf *b, const char *open, const char *text, const char *close)
{
    int rc;
    SEC_TRY(sec_buf_adds(b, open));
    SEC_TRY(sec_html_text(b, text));
    SEC_TRY(sec_buf_adds(b, close));
fail:
    return rc;
}

int sec_html_begin(struct sec_buf *b, const char *title, const char *subtitle)
{
    int rc;
    SEC_TRY(sec_buf_adds(b, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
                            "name=\"viewport\" content=\"width=device-width,initial-scale=1\">"));
    SEC_TRY(element(b, "<title>", title, "</title><style>"));
    SEC_TRY(sec_buf_adds(b, style));
    SEC_TRY(element(b, "</style></head><body><h1>", title, "</h1>"));
    SEC_TRY(element(b, "<p class=\"sub\">", subtitle, "</p><section>"));
fail:
    return rc;
}

int sec_html_end(struct sec_buf *b)
{
    return sec_buf_adds(b, "</section></body></html>\n");
}

int sec_html_section(struct sec_buf *b, const char *title)
{
    return element(b, "</section><section><h2>", title, "</h2>\n");
}

int sec_html_tiles_begin(struct sec_buf *b)
{
    return sec_buf_adds(b, "<div class=\"tiles\">");
}

int sec_html_tile(struct sec_buf *b, const char *label, const char *value)
{
    int rc = element(b, "<div class=\"tile\"><b>", value, "</b>");
    return rc ? rc : element(b, "<span>", label, "</span></div>");
}

int sec_html_tiles_end(struct sec_buf *b)
{
    return sec_buf_adds(b, "</div>\n");
}

static const char *cell_class(const char *s)
{
    if (*s == '-' || *s == '+')
        s++;
    return *s >= '0' && *s <= '9' ? " class=\"n\">" : ">";
}

int sec_html_table_begin(struct sec_buf *b, const char *const *head, int n)
{
    int rc;
    SEC_TRY(sec_buf_adds(b, n > 2 ? "<div class=\"scroll\"><table><tr>"
                                  : "<div class=\"scroll\"><table class=\"kv\"><tr>"));
    for (int i = 0; i < n; i++)
        SEC_TRY(element(b, i && n > 2 ? "<th class=\"n\">" : "<th>", head[i], "</th>"));
    SEC_TRY(sec_buf_adds(b, "</tr>\n"));
fail:
    return rc;
}

int sec_html_row(struct sec_buf *b, const char *const *cells, int n)
{
    int rc;
    SEC_TRY(sec_buf_adds(b, "<tr>"));
    for (int i = 0; i < n; i++) {
        SEC_TRY(sec_buf_adds(b, "<td"));
        SEC_TRY(element(b, i && n > 2 ? cell_class(cells[i]) : ">", cells[i], "</td>"));
    }
    SEC_TRY(sec_buf_adds(b, "</tr>\n"));
fail:
    return rc;
}

int sec_html_table_end(struct sec_buf *b)
{
    return sec_buf_adds(b, "</table></div>\n");
}

int sec_html_charts_begin(struct sec_buf *b)
{
    return sec_buf_adds(b, "<div class=\"charts\">");
}

int sec_html_charts_end(struct sec_buf *b)
{
    return sec_buf_adds(b, "</div>\n");
}
