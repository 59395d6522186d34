/* secenc tokenizer train|encode|decode: options to data/tokenizer*.h. */
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/ranks.h"
#include "base/str.h"
#include "base/thread.h"
#include "data/docjson.h"
#include "data/pretok.h"
#include "data/tokenizer_corpus.h"
#include "data/tokenizer_stats.h"
#include "tools/commands.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_AT ((size_t)1 << 20)

static int put_out(struct sec_buf *b)
{
    if (b->len && fwrite(b->data, 1, b->len, stdout) != b->len)
        return sec_fail_errno(errno, "standard output: cannot write");
    sec_buf_clear(b);
    return 0;
}

/* The one optional input of encode and decode. */
static int one_input(char **args, int n, const char **path)
{
    if (n > 1)
        return sec_fail(SEC_EUSAGE, "one input at a time, but got %d; use cat", n);
    *path = n ? args[0] : "-";
    return 0;
}

static int load(const char *path, struct sec_tokenizer **t)
{
    if (!path || !*path)
        return sec_fail(SEC_EUSAGE,
                        "--tokenizer is missing: the folder that `tokenizer train` made");
    return sec_tokenizer_load(path, t);
}

/* ---- train ---- */

struct train_opts {
    char *out;
    int64_t vocab_size, min_frequency;
    int pattern;
    uint64_t memory;
};

static const struct sec_opt train_options[] = {
    {"out", 'o', SEC_T_STRING, false, offsetof(struct train_opts, out), NULL, 0, 0, NULL, "DIR",
     "folder for tokenizer.json and what goes with it"},
    {"vocab-size", 'v', SEC_T_INT, false, offsetof(struct train_opts, vocab_size), "29952", 261,
     65535, NULL, "N", "entries: 5 special tokens, 256 bytes, the rest merges"},
    {"min-frequency", 0, SEC_T_INT, false, offsetof(struct train_opts, min_frequency), "0", 0, 9e15,
     NULL, "N", "merge only pairs seen at least N times"},
    {"pattern", 'p', SEC_T_ENUM, false, offsetof(struct train_opts, pattern), "log", 0, 0,
     "log|gpt2|cl100k", NULL, "how text is cut into pieces before pairs are merged"},
    {"memory", 0, SEC_T_SIZE, false, offsetof(struct train_opts, memory), "4G", 16777216, 1e15,
     NULL, "SIZE", "memory of each rank for counting; more distinct pieces go to files"},
    {0}};

static int run_train(const void *opts, char **args, int n)
{
    const struct train_opts *o = opts;
    struct sec_tokenizer *t = NULL;
    struct sec_bpe_summary sum;
    char *scratch = NULL;
    int rc;
    if (!n || !*o->out)
        return sec_fail(SEC_EUSAGE, "usage: secenc tokenizer train IN... -o DIR");
    struct sec_bpe_options bpe = {.vocab_size = (int)o->vocab_size,
                                  .min_frequency = (uint64_t)o->min_frequency,
                                  .pretok = (enum sec_pretok)o->pattern,
                                  .threads = sec_threads(),
                                  .memory = o->memory};
    bpe.scratch = scratch = sec_path_join(o->out, ".counting");
    if (!scratch)
        return sec_fail(SEC_ENOMEM, "%s: no memory for a path", o->out);
    SEC_TRY(sec_bpe_train_inputs(args, n, &bpe, &t, &sum));
    if (sec_rank() > 0)
        goto fail;
    SEC_TRY(sec_tokenizer_save(t, o->out));
    int size = sec_tokenizer_vocab_size(t);
    sec_info(
        "%s: %d entries, %d merges, pattern %s; %.1f MB of text, %llu distinct pieces; counted "
        "in %.1f s (%.0f MB/s, %d threads), merged in %.1f s",
        o->out, size, size - 261, sec_pretok_names[o->pattern], (double)sum.bytes / 1e6,
        (unsigned long long)sum.pieces, sum.count_seconds,
        (double)sum.bytes / 1e6 / (sum.count_seconds > 0 ? sum.count_seconds : 1), sec_threads(),
        sum.merge_seconds);
    if (size < o->vocab_size)
        sec_warn("the text has too few pairs for %lld entries; the vocabulary stays at %d",
                 (long long)o->vocab_size, size);
fail:
    sec_tokenizer_free(t);
    free(scratch);
    return rc;
}

const struct sec_command sec_cmd_tokenizer_train = {
    .name = "tokenizer train",
    .synopsis = "IN... -o DIR [options]",
    .summary = "learn a byte-level BPE vocabulary",
    .details =
        "IN is a corpus made by `corpus build` (its train split is used), a text file (plain, "
        ".gz, .zst) or a folder of text files. The result is a folder that Hugging Face "
        "tokenizers and transformers load, with identical ids. It does not depend on the "
        "number of threads or the order of the inputs. mpirun -n R shares the counting between R "
        "processes, with the same result; what was learned is in one process's memory, about 100 "
        "bytes a distinct piece.",
    .opts = train_options,
    .values_size = sizeof(struct train_opts),
    .run = run_train,
};

/* ---- encode ---- */

struct encode_opts {
    char *tokenizer;
    bool binary, json, specials;
};

static const struct sec_opt encode_options[] = {
    {"tokenizer", 't', SEC_T_STRING, false, offsetof(struct encode_opts, tokenizer), NULL, 0, 0,
     NULL, "DIR", "folder made by `tokenizer train`, or a tokenizer.json"},
    {"binary", 'b', SEC_T_BOOL, false, offsetof(struct encode_opts, binary), NULL, 0, 0, NULL, NULL,
     "write u32 count and u16 ids, little-endian, instead of text"},
    {"json", 'j', SEC_T_BOOL, false, offsetof(struct encode_opts, json), NULL, 0, 0, NULL, NULL,
     "input lines are JSON strings or documents; output lines are JSON arrays"},
    {"specials", 's', SEC_T_BOOL, false, offsetof(struct encode_opts, specials), NULL, 0, 0, NULL,
     NULL, "\"[MASK]\" and the like in the text become the special tokens"},
    {0}};

/* "text" in place of a line that holds it as JSON: a string, or a document of a text shard. */
static int json_text(char **line, size_t *n, struct sec_buf *tmp)
{
    int rc;
    struct sec_doc doc;
    sec_buf_clear(tmp);
    bool string = *n && (*line)[0] == '"';
    if (string) /* the reader of documents knows strings; give it one */
        SEC_TRY(sec_buf_adds(tmp, "{\"id\":\"00000000000000000000000000000000\",\"source\":\"\","
                                  "\"text\":"));
    SEC_TRY(sec_buf_add(tmp, *line, *n));
    SEC_TRY(sec_buf_adds(tmp, string ? "}" : ""));
    SEC_TRY(sec_docjson_decode(tmp->data, tmp->len, &doc));
    *line = (char *)doc.text;
    *n = doc.text_len;
fail:
    return rc;
}

static int put_number(struct sec_buf *out, unsigned v)
{
    char digits[8];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + v % 10);
    while (v /= 10);
    return sec_buf_add(out, digits + i, sizeof digits - i);
}

static int put_ids(const struct encode_opts *o, const uint16_t *ids, size_t len,
                   struct sec_buf *out)
{
    int rc;
    if (o->binary) {
        for (int shift = 0; shift < 32; shift += 8)
            SEC_TRY(sec_buf_addc(out, (char)(len >> shift)));
        for (size_t i = 0; i < len; i++) {
            char le[2] = {(char)ids[i], (char)(ids[i] >> 8)};
            SEC_TRY(sec_buf_add(out, le, 2));
        }
        return 0;
    }
    SEC_TRY(sec_buf_adds(out, o->json ? "[" : ""));
    for (size_t i = 0; i < len; i++) {
        if (i)
            SEC_TRY(sec_buf_addc(out, o->json ? ',' : ' '));
        SEC_TRY(put_number(out, ids[i]));
    }
    SEC_TRY(sec_buf_adds(out, o->json ? "]\n" : "\n"));
fail:
    return rc;
}

static int encode_lines(const struct encode_opts *o, struct sec_lines *in,
                        struct sec_encoder_ctx *c, const char *path)
{
    int rc;
    char *line;
    size_t n, len, cap = 0;
    uint16_t *ids = NULL;
    struct sec_buf out = {0}, tmp = {0};
    uint64_t number = 0;
    while ((rc = sec_lines_next(in, &line, &n)) == 0) {
        number++;
        if (o->json && (rc = json_text(&line, &n, &tmp))) {
            sec_fail_at(rc, "%s: line %llu", path, (unsigned long long)number);
            goto fail;
        }
        len = 0;
        SEC_TRY(sec_encode(c, line, n, o->specials ? SEC_ENCODE_SPECIALS : 0, &ids, &len, &cap));
        SEC_TRY(put_ids(o, ids, len, &out));
        if (out.len >= FLUSH_AT)
            SEC_TRY(put_out(&out));
    }
    if (rc == 1)
        rc = put_out(&out);
fail:
    free(ids);
    sec_buf_free(&out);
    sec_buf_free(&tmp);
    return rc;
}

static int run_encode(const void *opts, char **args, int n)
{
    const struct encode_opts *o = opts;
    struct sec_tokenizer *t = NULL;
    struct sec_encoder_ctx *c = NULL;
    struct sec_lines *in = NULL;
    const char *path = "-";
    int rc;
    SEC_TRY(one_input(args, n, &path));
    SEC_TRY(load(o->tokenizer, &t));
    c = sec_encoder_ctx_new(t);
    if (!c) {
        rc = SEC_ENOMEM;
        goto fail;
    }
    SEC_TRY(sec_lines_open(path, &in));
    rc = encode_lines(o, in, c, path);
fail:
    sec_lines_close(in);
    sec_encoder_ctx_free(c);
    sec_tokenizer_free(t);
    return rc;
}

const struct sec_command sec_cmd_tokenizer_encode = {
    .name = "tokenizer encode",
    .synopsis = "[FILE] -t DIR [options]",
    .summary = "text lines to ids",
    .details = "One output line an input line, without [CLS] and [SEP].",
    .opts = encode_options,
    .values_size = sizeof(struct encode_opts),
    .run = run_encode,
};

/* ---- decode ---- */

struct decode_opts {
    char *tokenizer;
    bool json, skip_specials;
};

static const struct sec_opt decode_options[] = {
    {"tokenizer", 't', SEC_T_STRING, false, offsetof(struct decode_opts, tokenizer), NULL, 0, 0,
     NULL, "DIR", "folder made by `tokenizer train`, or a tokenizer.json"},
    {"json", 'j', SEC_T_BOOL, false, offsetof(struct decode_opts, json), NULL, 0, 0, NULL, NULL,
     "output lines are JSON strings; bytes that are no UTF-8 become U+FFFD"},
    {"skip-specials", 's', SEC_T_BOOL, false, offsetof(struct decode_opts, skip_specials), NULL, 0,
     0, NULL, NULL, "leave out [CLS], [SEP] and the like"},
    {0}};

/* Numbers between spaces, commas and brackets. */
static int parse_ids(const char *p, size_t n, uint16_t **ids, size_t *len, size_t *cap)
{
    *len = 0;
    for (size_t i = 0; i < n;) {
        if (strchr(" ,[]\t\r", p[i]) && p[i]) {
            i++;
            continue;
        }
        unsigned v = 0;
        size_t start = i;
        while (i < n && isdigit((unsigned char)p[i]) && v <= UINT16_MAX)
            v = v * 10 + (unsigned)(p[i++] - '0');
        if (i == start || v > UINT16_MAX)
            return sec_fail(SEC_EDATA, "character %zu: not an id", start + 1);
        if (*len == *cap) {
            size_t more = *cap * 2 + 64;
            uint16_t *v2 = realloc(*ids, more * sizeof *v2);
            if (!v2)
                return sec_fail(SEC_ENOMEM, "no memory for %zu ids", more);
            *ids = v2;
            *cap = more;
        }
        (*ids)[(*len)++] = (uint16_t)v;
    }
    return 0;
}

/* Well-formed UTF-8 out of any bytes, as a JSON string. */
static int put_json_text(const struct sec_buf *text, struct sec_buf *tmp, struct sec_buf *out)
{
    int rc;
    sec_buf_clear(tmp);
    for (size_t i = 0; i < text->len;) {
        uint32_t cp;
        bool ok;
        uint8_t utf8[4];
        i += sec_utf8_decode((const uint8_t *)text->data + i, text->len - i, &cp, &ok);
        SEC_TRY(sec_buf_add(tmp, utf8, sec_utf8_encode(cp, utf8)));
    }
    SEC_TRY(sec_json_quote(out, tmp->data ? tmp->data : "", tmp->len));
fail:
    return rc;
}

static int decode_lines(const struct decode_opts *o, struct sec_lines *in,
                        const struct sec_tokenizer *t, const char *path)
{
    int rc;
    char *line;
    size_t n, len = 0, cap = 0;
    uint16_t *ids = NULL;
    uint64_t number = 0;
    struct sec_buf out = {0}, text = {0}, tmp = {0};
    while ((rc = sec_lines_next(in, &line, &n)) == 0) {
        number++;
        sec_buf_clear(&text);
        rc = parse_ids(line, n, &ids, &len, &cap);
        if (!rc)
            rc = sec_decode(t, ids, len, o->skip_specials, &text);
        if (rc) {
            sec_fail_at(rc, "%s: line %llu", path, (unsigned long long)number);
            goto fail;
        }
        SEC_TRY(o->json ? put_json_text(&text, &tmp, &out)
                        : sec_buf_add(&out, text.data, text.len));
        SEC_TRY(sec_buf_addc(&out, '\n'));
        if (out.len >= FLUSH_AT)
            SEC_TRY(put_out(&out));
    }
    if (rc == 1)
        rc = put_out(&out);
fail:
    free(ids);
    sec_buf_free(&out);
    sec_buf_free(&text);
    sec_buf_free(&tmp);
    return rc;
}

static int run_decode(const void *opts, char **args, int n)
{
    const struct decode_opts *o = opts;
    struct sec_tokenizer *t = NULL;
    struct sec_lines *in = NULL;
    const char *path = "-";
    int rc;
    SEC_TRY(one_input(args, n, &path));
    SEC_TRY(load(o->tokenizer, &t));
    SEC_TRY(sec_lines_open(path, &in));
    rc = decode_lines(o, in, t, path);
fail:
    sec_lines_close(in);
    sec_tokenizer_free(t);
    return rc;
}

const struct sec_command sec_cmd_tokenizer_decode = {
    .name = "tokenizer decode",
    .synopsis = "[FILE] -t DIR [options]",
    .summary = "lines of ids to text",
    .details = "Input lines are ids between spaces, or JSON arrays, as `tokenizer encode` writes "
               "them. The text comes back byte for byte.",
    .opts = decode_options,
    .values_size = sizeof(struct decode_opts),
    .run = run_decode,
};
