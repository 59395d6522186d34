/* secenc pseudonymize: lines in, lines out, by data/pseudonym.h. */
#include "base/error.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/str.h"
#include "base/thread.h"
#include "data/pseudonym.h"
#include "data/reader.h"
#include "tools/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK ((size_t)1 << 22)

struct pseudonymize_opts {
    char *out, *patterns;
    bool keep_oui;
};

static const struct sec_opt options[] = {
    {"output", 'o', SEC_T_STRING, false, offsetof(struct pseudonymize_opts, out), NULL, 0, 0, NULL,
     "FILE", "where to write; standard output without it"},
    {"patterns", 'p', SEC_T_STRING, false, offsetof(struct pseudonymize_opts, patterns), NULL, 0, 0,
     NULL, "FILE", "regular expressions, one a line: group 1 or the whole match is replaced too"},
    {"keep-oui", 0, SEC_T_BOOL, false, offsetof(struct pseudonymize_opts, keep_oui), NULL, 0, 0,
     NULL, NULL, "leave the vendor's half of MAC addresses"},
    {0}};

/* Whole lines of a block, cut into one piece a thread. */
struct piece {
    struct sec_pseudo_ctx *ctx;
    const char *text;
    size_t n;
    struct sec_buf out;
};
struct work {
    struct piece *piece;
    int pieces;
    struct sec_buf in;
    struct sec_atomic file;
    bool to_file;
    uint64_t bytes;
};

static int run_piece(void *ctx, size_t i)
{
    struct piece *p = &((struct work *)ctx)->piece[i];
    int rc;
    sec_buf_clear(&p->out);
    for (size_t at = 0; at < p->n;) {
        const char *line = p->text + at, *end = memchr(line, '\n', p->n - at);
        size_t n = end ? (size_t)(end - line) : p->n - at;
        SEC_TRY(sec_pseudo_record(p->ctx, line, n, &p->out, NULL));
        if (end)
            SEC_TRY(sec_buf_addc(&p->out, '\n'));
        at += n + 1;
    }
    return 0;
fail:
    return rc;
}

/* in.data[0..n) is whole lines. */
static int run_block(struct work *w, size_t n)
{
    int rc;
    size_t at = 0;
    for (int i = 0; i < w->pieces; i++) {
        size_t end = i + 1 == w->pieces ? n : n / (size_t)w->pieces * (size_t)(i + 1);
        const char *nl = end > at && end < n ? memchr(w->in.data + end, '\n', n - end) : NULL;
        end = end <= at ? at : nl ? (size_t)(nl - w->in.data) + 1 : n;
        w->piece[i].text = w->in.data + at;
        w->piece[i].n = end - at;
        at = end;
    }
    SEC_TRY(sec_parallel_for((size_t)w->pieces, w->pieces, run_piece, w));
    for (int i = 0; i < w->pieces; i++) {
        const struct sec_buf *out = &w->piece[i].out;
        rc = w->to_file ? sec_atomic_write(&w->file, out->data, out->len)
                        : sec_write_all(STDOUT_FILENO, out->data, out->len, "standard output");
        if (rc)
            goto fail;
    }
    w->bytes += n;
fail:
    return rc;
}

static int filter(struct work *w, const char *path)
{
    struct sec_reader *r = NULL;
    size_t got;
    int rc;
    SEC_TRY(sec_reader_open(path, &r));
    do {
        SEC_TRY(sec_buf_reserve(&w->in, BLOCK));
        SEC_TRY(sec_reader_read(r, w->in.data + w->in.len, BLOCK, &got));
        w->in.len += got;
        size_t whole = w->in.len;
        if (got == BLOCK) {
            const char *last = memrchr(w->in.data, '\n', w->in.len);
            whole = last ? (size_t)(last - w->in.data) + 1 : 0;
        }
        if (whole)
            SEC_TRY(run_block(w, whole));
        memmove(w->in.data, w->in.data + whole, w->in.len - whole);
        w->in.len -= whole;
    } while (got == BLOCK);
    if (sec_reader_damage(r))
        sec_warn("%s: %s; what comes before is used", path, sec_reader_damage(r));
fail:
    sec_reader_close(r);
    return rc;
}

static int open_work(struct work *w, const struct sec_pseudo *p, const char *out)
{
    w->pieces = sec_threads();
    w->piece = calloc((size_t)w->pieces, sizeof *w->piece);
    if (!w->piece)
        return sec_fail(SEC_ENOMEM, "no memory for %d threads", w->pieces);
    for (int i = 0; i < w->pieces; i++)
        if (!(w->piece[i].ctx = sec_pseudo_ctx_new(p)))
            return SEC_ENOMEM;
    if (!out || !*out || !strcmp(out, "-"))
        return 0;
    int rc = sec_atomic_open(&w->file, out);
    w->to_file = !rc;
    return rc;
}

static void close_work(struct work *w)
{
    for (int i = 0; w->piece && i < w->pieces; i++) {
        sec_pseudo_ctx_free(w->piece[i].ctx);
        sec_buf_free(&w->piece[i].out);
    }
    free(w->piece);
    sec_buf_free(&w->in);
    if (w->to_file)
        sec_atomic_abort(&w->file);
}

static void say_counts(const struct work *w)
{
    char line[512];
    size_t n = 0;
    for (int k = 0; k < SEC_N_PSEUDO; k++) {
        uint64_t sum = 0, counts[SEC_N_PSEUDO];
        for (int i = 0; i < w->pieces; i++) {
            sec_pseudo_counts(w->piece[i].ctx, counts);
            sum += counts[k];
        }
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%s %llu", k ? ", " : "",
                              sec_pseudo_names[k], (unsigned long long)sum);
    }
    sec_info("replaced in %.1f MB: %s", (double)w->bytes / 1e6, line);
}

static int run(const void *opts, char **args, int n)
{
    const struct pseudonymize_opts *o = opts;
    struct sec_pseudo *p = NULL;
    struct work w = {0};
    int rc;
    if (!n)
        return sec_fail(SEC_EUSAGE, "usage: secenc pseudonymize KEYFILE [IN...] [-o FILE]");
    SEC_TRY(sec_pseudo_open(&(struct sec_pseudo_options){.key_file = args[0],
                                                         .patterns_file = o->patterns,
                                                         .keep_oui = o->keep_oui},
                            &p));
    SEC_TRY(open_work(&w, p, o->out));
    for (int i = 1; i < n; i++)
        SEC_TRY(filter(&w, args[i]));
    if (n == 1)
        SEC_TRY(filter(&w, "-"));
    if (w.to_file)
        SEC_TRY(sec_atomic_commit(&w.file));
    say_counts(&w);
fail:
    close_work(&w);
    sec_pseudo_close(p);
    return rc;
}

const struct sec_command sec_cmd_pseudonymize = {
    .name = "pseudonymize",
    .synopsis = "KEYFILE [IN...] [-o FILE] [options]",
    .summary = "replace addresses, names and secrets in lines by keyed pseudonyms",
    .details =
        "One line out a line in; what was replaced is counted by class on stderr. The same key "
        "gives the same pseudonym for a value everywhere: IPv4 and IPv6 by Crypto-PAn, which "
        "keeps common prefixes; users, hosts, e-mail, SIDs and MACs by HMAC-SHA-256 to a token "
        "of the same shape; secrets become <secret>. This is pseudonymisation, not anonymity: "
        "structure, times and rare wordings stay, and who has the key can test a guess.\n"
        "\n"
        "Make a key, and keep it: (umask 077; head -c 32 /dev/urandom > KEYFILE)\n"
        "\n"
        "Left as they are: loopback, multicast, netmasks and 0/8; well-known accounts (root, "
        "SYSTEM, www-data and the like) and SIDs; numeric user ids; the public suffix of host "
        "names and well-known public services (microsoft.com, amazonaws.com); four numbers after "
        "the word version or a product's name.",
    .opts = options,
    .values_size = sizeof(struct pseudonymize_opts),
    .run = run,
};
