/* secenc tokenizer stats: how well a vocabulary fits a text. */
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "data/tokenizer_stats.h"
#include "tools/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LONGEST 1000

struct opts {
    char *tokenizer;
    int64_t longest;
    bool json;
};

static const struct sec_opt options[] = {
    {"tokenizer", 't', SEC_T_STRING, false, offsetof(struct opts, tokenizer), NULL, 0, 0, NULL,
     "DIR", "folder made by `tokenizer train`, or a tokenizer.json"},
    {"longest", 0, SEC_T_INT, false, offsetof(struct opts, longest), "10", 0, MAX_LONGEST, NULL,
     "N", "list the N longest entries"},
    {"json", 'j', SEC_T_BOOL, false, offsetof(struct opts, json), NULL, 0, 0, NULL, NULL,
     "machine-readable"},
    {0}};

static const char *const class_names[] = {"special", "delimiter", "content"};

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

/* An entry as well-formed UTF-8 in a JSON string. */
static int quoted_entry(const struct sec_tokenizer *t, uint16_t id, struct sec_buf *out)
{
    size_t n;
    const uint8_t *p = sec_tokenizer_bytes(t, id, &n);
    struct sec_buf text = {0};
    int rc;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool ok;
        uint8_t utf8[4];
        i += sec_utf8_decode(p + i, n - i, &cp, &ok);
        SEC_TRY(sec_buf_add(&text, utf8, sec_utf8_encode(cp, utf8)));
    }
    rc = sec_json_quote(out, text.data, text.len);
fail:
    sec_buf_free(&text);
    return rc;
}

static int print_longest(const struct sec_tokenizer *t, size_t n, const char *between,
                         struct sec_buf *out)
{
    uint16_t ids[MAX_LONGEST];
    int rc = 0;
    n = sec_tokenizer_longest(t, ids, n);
    for (size_t i = 0; i < n; i++) {
        if (i)
            SEC_TRY(sec_buf_adds(out, between));
        SEC_TRY(quoted_entry(t, ids[i], out));
    }
fail:
    return rc;
}

static int print_json(const struct sec_tokenizer *t, const struct sec_tokenizer_stats *s,
                      const struct sec_entry_counts *e, size_t longest, struct sec_buf *out)
{
    int rc;
    SEC_TRY(sec_buf_printf(
        out,
        "{\"tokenizer\":\"%s\",\"vocab_size\":%d,\"lines\":%llu,\"bytes\":%llu,"
        "\"words\":%llu,\"tokens\":%llu,\"bytes_per_token\":%.4f,"
        "\"tokens_per_word\":%.4f,\"unused_entries\":%llu,\"classes\":{",
        sec_tokenizer_fingerprint(t), sec_tokenizer_vocab_size(t), (unsigned long long)s->lines,
        (unsigned long long)s->bytes, (unsigned long long)s->words, (unsigned long long)s->tokens,
        ratio(s->bytes, s->tokens), ratio(s->tokens, s->words), (unsigned long long)e->unused));
    for (int k = 0; k < 3; k++)
        SEC_TRY(sec_buf_printf(out, "%s\"%s\":{\"entries\":%llu,\"tokens\":%llu}", k ? "," : "",
                               class_names[k], (unsigned long long)e->by_class[k],
                               (unsigned long long)s->by_class[k]));
    SEC_TRY(sec_buf_adds(out, "},\"longest\":["));
    SEC_TRY(print_longest(t, longest, ",", out));
    SEC_TRY(sec_buf_adds(out, "]}\n"));
fail:
    return rc;
}

static int print_text(const struct sec_tokenizer *t, const struct sec_tokenizer_stats *s,
                      const struct sec_entry_counts *e, size_t longest, struct sec_buf *out)
{
    int rc, vocab = sec_tokenizer_vocab_size(t);
    SEC_TRY(sec_buf_printf(out, "tokenizer         %.16s, %d entries\n",
                           sec_tokenizer_fingerprint(t), vocab));
    SEC_TRY(sec_buf_printf(out, "text              %llu lines, %.3f MB, %llu tokens\n",
                           (unsigned long long)s->lines, (double)s->bytes / 1e6,
                           (unsigned long long)s->tokens));
    SEC_TRY(sec_buf_printf(out, "bytes per token   %.3f\ntokens per word   %.3f\n",
                           ratio(s->bytes, s->tokens), ratio(s->tokens, s->words)));
    SEC_TRY(sec_buf_printf(out, "unused entries    %llu of %d\n", (unsigned long long)e->unused,
                           vocab));
    for (int k = 0; k < 3; k++)
        SEC_TRY(sec_buf_printf(out, "%-17s %llu entries, %.1f %% of tokens\n", class_names[k],
                               (unsigned long long)e->by_class[k],
                               100 * ratio(s->by_class[k], s->tokens)));
    SEC_TRY(sec_buf_adds(out, "longest entries   "));
    SEC_TRY(print_longest(t, longest, "\n                  ", out));
    SEC_TRY(sec_buf_addc(out, '\n'));
fail:
    return rc;
}

static int measure(const struct sec_tokenizer *t, const char *path, struct sec_tokenizer_stats *s)
{
    int rc;
    char *line;
    size_t n;
    struct sec_lines *in = NULL;
    struct sec_encoder_ctx *c = sec_encoder_ctx_new(t);
    if (!c)
        return SEC_ENOMEM;
    SEC_TRY(sec_lines_open(path, &in));
    while ((rc = sec_lines_next(in, &line, &n)) == 0)
        SEC_TRY(sec_tokenizer_stats_add(c, t, line, n, s));
    if (rc == 1)
        rc = 0;
fail:
    sec_lines_close(in);
    sec_encoder_ctx_free(c);
    return rc;
}

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_tokenizer *t = NULL;
    struct sec_tokenizer_stats s = {0};
    struct sec_entry_counts e;
    struct sec_buf out = {0};
    int rc;
    if (!o->tokenizer || !*o->tokenizer)
        return sec_fail(SEC_EUSAGE,
                        "--tokenizer is missing: the folder that `tokenizer train` made");
    SEC_TRY(sec_tokenizer_load(o->tokenizer, &t));
    s.used = calloc((size_t)sec_tokenizer_vocab_size(t), sizeof *s.used);
    if (!s.used) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the counts of entries");
        goto fail;
    }
    for (int i = 0; i < (n ? n : 1); i++)
        SEC_TRY(measure(t, n ? args[i] : "-", &s));
    sec_tokenizer_entries(t, &s, &e);
    SEC_TRY(o->json ? print_json(t, &s, &e, (size_t)o->longest, &out)
                    : print_text(t, &s, &e, (size_t)o->longest, &out));
    if (fwrite(out.data, 1, out.len, stdout) != out.len)
        rc = sec_fail_errno(errno, "standard output: cannot write");
fail:
    sec_tokenizer_free(t);
    free(s.used);
    sec_buf_free(&out);
    return rc;
}

const struct sec_command sec_cmd_tokenizer_stats = {
    .name = "tokenizer stats",
    .synopsis = "[FILE...] -t DIR [--json]",
    .summary = "how well a vocabulary fits a text",
    .details = "Encodes every line and reports bytes per token, tokens per word (run of non-blank "
               "characters), the share of each class, and entries that the text never uses.",
    .opts = options,
    .values_size = sizeof(struct opts),
    .run = run,
};
