/* The user's regular expressions. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/error.h"
#include "base/str.h"
#include "data/pseudonym_internal.h"

#include <pcre2.h>
#include <stdlib.h>

enum { MATCH_LIMIT = 1000000 };

struct pattern {
    pcre2_code *code;
    size_t line;
};
struct pattern_set {
    struct pattern *v;
    size_t n, cap;
    char *path;
};
struct pattern_ctx {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static int add(struct pattern_set *s, const char *p, size_t n, size_t line)
{
    int error;
    PCRE2_SIZE at;
    PCRE2_UCHAR why[256];
    if (s->n == s->cap) {
        size_t cap = 2 * s->cap + 8;
        struct pattern *v = realloc(s->v, cap * sizeof *v);
        if (!v)
            return sec_fail(SEC_ENOMEM, "%s: no memory for %zu patterns", s->path, cap);
        s->v = v;
        s->cap = cap;
    }
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)p, n, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &error, &at, NULL);
    if (!code) {
        pcre2_get_error_message(error, why, sizeof why);
        return sec_fail(SEC_ECONFIG, "%s: line %zu, character %zu: %s", s->path, line, at + 1,
                        (const char *)why);
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it matching is slower, not different */
    s->v[s->n++] = (struct pattern){code, line};
    return 0;
}

int pattern_set_read(const char *path, struct pattern_set **out, struct sec_buf *text)
{
    int rc;
    struct pattern_set *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path))) {
        rc = sec_fail(SEC_ENOMEM, "%s: no memory", path);
        goto fail;
    }
    size_t before = text->len;
    SEC_TRY(sec_read_file(path, text));
    for (size_t line = 0, at = before; at < text->len;) {
        const char *p = text->data + at, *end = memchr(p, '\n', text->len - at);
        size_t n = end ? (size_t)(end - p) : text->len - at;
        at += n + 1;
        line++;
        if (n && p[n - 1] == '\r')
            n--;
        if (n && p[0] != '#')
            SEC_TRY(add(s, p, n, line));
    }
    if (!s->n) {
        rc = sec_fail(SEC_ECONFIG, "%s: holds no pattern; write one regular expression a line",
                      path);
        goto fail;
    }
    *out = s;
    return 0;
fail:
    pattern_set_free(s);
    return rc;
}

void pattern_set_free(struct pattern_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        pcre2_code_free(s->v[i].code);
    free(s->v);
    free(s->path);
    free(s);
}

struct pattern_ctx *pattern_ctx_new(const struct pattern_set *s)
{
    struct pattern_ctx *x = calloc(1, sizeof *x);
    if (x) {
        x->data = pcre2_match_data_create(2, NULL);
        x->limits = pcre2_match_context_create(NULL);
    }
    if (!x || !x->data || !x->limits) {
        pattern_ctx_free(x);
        sec_fail(SEC_ENOMEM, "%s: no memory for matching", s->path);
        return NULL;
    }
    pcre2_set_match_limit(x->limits, MATCH_LIMIT);
    return x;
}

void pattern_ctx_free(struct pattern_ctx *x)
{
    if (!x)
        return;
    pcre2_match_data_free(x->data);
    pcre2_match_context_free(x->limits);
    free(x);
}

/* A span of the record, or SEC_ECONFIG when the pattern gives up: a value must not slip through. */
static int match_all(struct sec_pseudo_ctx *c, const struct pattern *p)
{
    struct pattern_ctx *x = c->patterns;
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(x->data);
    const char *text = c->text + PAD;
    size_t n = c->end - PAD;
    for (size_t at = 0; at <= n;) {
        int got = pcre2_match(p->code, (PCRE2_SPTR)text, n, at, 0, x->data, x->limits);
        if (got == PCRE2_ERROR_NOMATCH)
            return 0;
        if (got < 0)
            return sec_fail(
                SEC_ECONFIG,
                "%s: line %zu: this pattern needs more than %d steps on a record of %zu "
                "bytes; write it with fewer ways to match",
                c->p->patterns->path, p->line, MATCH_LIMIT, n);
        bool group = got != 1 && v[2] != PCRE2_UNSET && v[3] > v[2];
        size_t start = v[group ? 2 : 0], end = v[group ? 3 : 1];
        if (end > start) {
            int rc = span_add(c, (uint32_t)start + PAD, (uint32_t)end + PAD, HOW_PATTERN,
                              SEC_PSEUDO_PATTERN);
            if (rc)
                return rc;
        }
        at = v[1] > at ? v[1] : at + 1;
        while (at < n && ((uint8_t)text[at] & 0xC0) == 0x80)
            at++; /* an offset inside a character is an error */
    }
    return 0;
}

int pattern_spans(struct sec_pseudo_ctx *c)
{
    int rc = 0;
    for (size_t i = 0; i < c->p->patterns->n && !rc; i++)
        rc = match_all(c, &c->p->patterns->v[i]);
    return rc;
}
