/* secenc fill-mask: options to eval/fill_mask.h. */
#include "base/error.h"
#include "base/json.h"
#include "data/tokenizer_stats.h"
#include "eval/fill_mask.h"
#include "tools/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct opts {
    int64_t top_k, seq_len;
    char *device;
    int precision;
    bool json;
};

static const struct sec_opt options[] = {
    {"top-k", 'k', SEC_T_INT, false, offsetof(struct opts, top_k), "5", 1, 1000, NULL, "N",
     "guesses for each mask"},
    {"json", 0, SEC_T_BOOL, false, offsetof(struct opts, json), NULL, 0, 0, NULL, NULL,
     "one JSON object a text"},
    {"seq-len", 0, SEC_T_INT, false, offsetof(struct opts, seq_len), "0", 0, 65535, NULL, "N",
     "longest text in tokens; 0 = 512, or what the model takes if that is less"},
    SEC_OPT_DEVICE(struct opts, "auto"),
    {"precision", 0, SEC_T_ENUM, false, offsetof(struct opts, precision), "fp32", 0, 0, "fp32|bf16",
     NULL, "type of activations"},
    {0}};

static int put_json(const struct sec_fills *f, const char *text, size_t n, struct sec_buf *out)
{
    struct sec_jw w;
    struct sec_buf clean = {0};
    int rc = sec_utf8_append(&clean, text, n);
    sec_jw_init(&w, out, false);
    sec_jw_obj(&w);
    sec_jw_key(&w, "text");
    sec_jw_strn(&w, clean.data ? clean.data : "", clean.len);
    sec_jw_key(&w, "masks");
    sec_jw_arr(&w);
    for (int i = 0; i < f->n_masks * f->k; i++) {
        const struct sec_fill *v = &f->v[i];
        if (i % f->k == 0)
            sec_jw_arr(&w);
        sec_jw_obj(&w);
        sec_jw_kf64(&w, "score", v->probability);
        sec_jw_ki64(&w, "token", v->id);
        sec_jw_kstr(&w, "token_str", v->token);
        sec_jw_kstr(&w, "sequence", v->text);
        sec_jw_obj_end(&w);
        if (i % f->k == f->k - 1)
            sec_jw_arr_end(&w);
    }
    sec_jw_arr_end(&w);
    sec_jw_obj_end(&w);
    if (!rc)
        rc = sec_jw_end(&w);
    sec_buf_free(&clean);
    return rc ? rc : sec_buf_addc(out, '\n');
}

static int put_text(const struct sec_fills *f, struct sec_buf *out)
{
    int rc = 0;
    for (int i = 0; i < f->n_masks * f->k && !rc; i++) {
        const struct sec_fill *v = &f->v[i];
        if (f->n_masks > 1 && i % f->k == 0)
            rc = sec_buf_printf(out, "mask %d of %d\n", i / f->k + 1, f->n_masks);
        struct sec_buf token = {0};
        if (!rc)
            rc = sec_json_quote(&token, v->token, strlen(v->token));
        if (!rc)
            rc = sec_buf_printf(out, "%.6f  %-16s %s\n", v->probability, token.data, v->text);
        sec_buf_free(&token);
    }
    return rc;
}

static int one_text(struct sec_infer *m, const struct opts *o, const char *text, size_t n)
{
    struct sec_fills f;
    struct sec_buf out = {0};
    int rc = sec_fill_mask(m, text, n, (int)o->top_k, &f);
    if (rc)
        return rc;
    SEC_TRY(o->json ? put_json(&f, text, n, &out) : put_text(&f, &out));
    if (fwrite(out.data, 1, out.len, stdout) != out.len)
        rc = sec_fail_errno(errno, "standard output: cannot write");
fail:
    sec_fills_free(&f);
    sec_buf_free(&out);
    return rc;
}

static int every_line(struct sec_infer *m, const struct opts *o)
{
    struct sec_lines *in;
    char *line;
    size_t n;
    uint64_t number = 0;
    int rc = sec_lines_open("-", &in);
    if (rc)
        return rc;
    while ((rc = sec_lines_next(in, &line, &n)) == 0) {
        number++;
        rc = one_text(m, o, line, n);
        if (rc) {
            sec_fail_at(rc, "standard input, line %llu", (unsigned long long)number);
            goto fail;
        }
    }
    rc = number ? 0 : sec_fail(SEC_EUSAGE, "standard input is empty: give a text with [MASK]");
fail:
    sec_lines_close(in);
    return rc;
}

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_infer m;
    if (n != 2)
        return sec_fail(SEC_EUSAGE, "usage: secenc fill-mask MODEL \"text [MASK]\" (- = stdin)");
    struct sec_infer_options io = {.backend = o->device,
                                   .act = o->precision ? SEC_BF16 : SEC_F32,
                                   .heads = SEC_HEAD_MLM,
                                   .seq_len = o->seq_len,
                                   .batch_tokens = 1,
                                   .max_masked = 1};
    if (strcmp(args[1], "-") && !strstr(args[1], "[MASK]"))
        return sec_fail(SEC_EUSAGE,
                        "no [MASK] in the text: write [MASK] where a token is to be guessed");
    int rc = sec_infer_open(args[0], &io, &m);
    if (rc)
        return rc;
    rc = strcmp(args[1], "-") ? one_text(&m, o, args[1], strlen(args[1])) : every_line(&m, o);
    sec_infer_close(&m);
    return rc;
}

const struct sec_command sec_cmd_fill_mask = {
    .name = "fill-mask",
    .synopsis = "MODEL \"text [MASK] ...\" [options]",
    .summary = "guess the masked tokens of a text",
    .details = "MODEL is a run directory, a checkpoint or an exported folder. For each [MASK] the "
               "most probable tokens are printed: probability, token, filled text. Several masks "
               "are guessed apart from each other. The text - reads texts from standard input, one "
               "a line; a line without [MASK] ends it with exit code 2.\n\n"
               "The token of a word includes the space before it, that of a number does not: write "
               "'Failed[MASK] for root' and 'port [MASK]'.",
    .opts = options,
    .values_size = sizeof(struct opts),
    .run = run,
};
