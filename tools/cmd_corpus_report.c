/* secenc corpus report: what a build removed, as a page or as it is in report.json. */
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "tools/commands.h"
#include "tools/corpus_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    char *output;
    bool json;
};

static const struct sec_opt opts[] = {{"output", 'o', SEC_T_STRING, false,
                                       offsetof(struct opts, output), NULL, 0, 0, NULL, "FILE",
                                       "where to write the page (default DIR/report.html)"},
                                      {"json", 'j', SEC_T_BOOL, false, offsetof(struct opts, json),
                                       NULL, 0, 0, NULL, NULL, "print report.json instead"},
                                      {0}};

static int write_page(const cJSON *report, const char *dir, const char *output)
{
    struct sec_buf page = {0};
    char *path = *output ? sec_xstrdup(output) : sec_path_join(dir, "report.html");
    int rc;
    SEC_TRY(corpus_page(report, dir, &page));
    SEC_TRY(sec_write_file(path, page.data, page.len));
    puts(path);
fail:
    sec_buf_free(&page);
    free(path);
    return rc;
}

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_buf text = {0};
    cJSON *report = NULL;
    const char *format;
    int rc;
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "corpus report takes one corpus, not %d", n);
    char *path = sec_path_join(args[0], "report.json");
    if (!sec_exists(path)) {
        rc = sec_fail(SEC_EDATA, "%s: no report.json, so no corpus that `corpus build` completed",
                      args[0]);
        goto fail;
    }
    SEC_TRY(sec_read_file(path, &text));
    SEC_TRY(sec_json_parse(text.data ? text.data : "", text.len, path, &report));
    SEC_TRY(sec_json_str(report, "format", path, &format));
    if (strcmp(format, "secencoder-corpus-report")) {
        rc = sec_fail(SEC_EDATA, "%s: format is '%s', expected secencoder-corpus-report", path,
                      format);
        goto fail;
    }
    if (o->json)
        fwrite(text.data, 1, text.len, stdout);
    else
        rc = write_page(report, args[0], o->output);
fail:
    cJSON_Delete(report);
    sec_buf_free(&text);
    free(path);
    return rc;
}

const struct sec_command sec_cmd_corpus_report = {
    .name = "corpus report",
    .synopsis = "DIR [-o FILE]",
    .summary = "write what a build removed and kept as one HTML page",
    .details = "DIR is a corpus made by `corpus build`. The page shows each stage's removals, "
               "the splits, every source, similarities and examples of near-duplicates. It needs "
               "no network and no scripts. Examples show text of the corpus: treat the page as "
               "the corpus itself.",
    .opts = opts,
    .values_size = sizeof(struct opts),
    .run = run,
};
