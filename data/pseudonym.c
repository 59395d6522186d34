#include "data/pseudonym.h"

#include "base/error.h"
#include "data/pseudonym_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const sec_pseudo_names[SEC_N_PSEUDO] = {"ipv4",  "ipv6", "mac",    "user",   "host",
                                                    "email", "sid",  "secret", "pattern"};

/* ---- key ---- */

enum { KEY_MIN = 32, KEY_MAX = 4096 };

#define HOW_TO_KEY "make one with: (umask 077; head -c 32 /dev/urandom > KEYFILE)"

static int check_mode(const char *path, int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return sec_fail_errno(errno, "%s: cannot inspect", path);
    if (S_ISDIR(st.st_mode))
        return sec_fail(SEC_ECONFIG, "%s: a folder, not a key file; " HOW_TO_KEY, path);
    if (S_ISREG(st.st_mode) && st.st_mode & 077)
        return sec_fail(SEC_ECONFIG,
                        "%s: others can read this key (mode %03o); run: chmod 600 '%s'", path,
                        (unsigned)(st.st_mode & 0777), path);
    return 0;
}

/* 64 hex digits, with or without a newline, are 32 bytes; anything else is itself. */
static size_t decode_hex(uint8_t *key, size_t n)
{
    size_t digits = 0;
    while (digits < n && ch_is((char)key[digits], CH_HEX))
        digits++;
    bool ending = digits == n || (digits + 1 == n && key[digits] == '\n') ||
                  (digits + 2 == n && key[digits] == '\r' && key[digits + 1] == '\n');
    if (digits != 64 || !ending)
        return n;
    for (size_t i = 0; i < 32; i++) {
        char pair[3] = {(char)key[2 * i], (char)key[2 * i + 1], 0};
        key[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return 32;
}

static int read_key(const char *path, uint8_t key[KEY_MAX], size_t *n)
{
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sec_fail(SEC_ECONFIG, "%s: cannot open the key file: %s; " HOW_TO_KEY, path,
                        strerror(errno));
    SEC_TRY(check_mode(path, fd));
    SEC_TRY(sec_read_full(fd, key, KEY_MAX, n, path));
    size_t got = *n;
    *n = decode_hex(key, got);
    if (*n < KEY_MIN)
        rc = sec_fail(
            SEC_ECONFIG,
            "%s: a key needs %d bytes or 64 hex digits, this one has %zu bytes; " HOW_TO_KEY, path,
            KEY_MIN, got);
    else if (*n == KEY_MAX)
        rc = sec_fail(SEC_ECONFIG, "%s: longer than %d bytes, which is no key; " HOW_TO_KEY, path,
                      KEY_MAX - 1);
fail:
    close(fd);
    return rc;
}

/* Keys for different uses come from the user's by HMAC with a label, so that none tells another. */
static int derive(const uint8_t *key, size_t n, const char *label, const void *more, size_t n_more,
                  uint8_t out[32])
{
    struct sec_buf text = {0};
    unsigned len = 32;
    int rc;
    SEC_TRY(sec_buf_printf(&text, "secencoder pseudonyms 1: %s", label));
    SEC_TRY(sec_buf_add(&text, more, n_more));
    if (!HMAC(EVP_sha256(), key, (int)n, (const uint8_t *)text.data, text.len, out, &len))
        rc = sec_fail(SEC_ENOMEM, "HMAC-SHA-256 of libcrypto failed");
fail:
    sec_buf_free(&text);
    return rc;
}

int sec_pseudo_open(const struct sec_pseudo_options *o, struct sec_pseudo **out)
{
    int rc;
    uint8_t key[KEY_MAX], digest[32];
    size_t n = 0;
    struct sec_buf text = {0};
    struct sec_pseudo *p = calloc(1, sizeof *p);
    if (!p)
        return sec_fail(SEC_ENOMEM, "no memory for pseudonyms");
    p->keep_oui = o->keep_oui;
    SEC_TRY(read_key(o->key_file, key, &n));
    SEC_TRY(derive(key, n, "cryptopan", "", 0, p->pan_key));
    SEC_TRY(derive(key, n, "token", "", 0, p->token_key));
    SEC_TRY(word_table_new(&p->words));
    SEC_TRY(sec_buf_printf(&text, "%d", p->keep_oui));
    if (o->patterns_file && *o->patterns_file)
        SEC_TRY(pattern_set_read(o->patterns_file, &p->patterns, &text));
    SEC_TRY(derive(key, n, "fingerprint", text.data, text.len, digest));
    for (int i = 0; i < 8; i++)
        snprintf(p->fingerprint + 2 * i, 3, "%02x", digest[i]);
    *out = p;
fail:
    OPENSSL_cleanse(key, sizeof key);
    sec_buf_free(&text);
    if (rc)
        sec_pseudo_close(p);
    return rc;
}

void sec_pseudo_close(struct sec_pseudo *p)
{
    if (!p)
        return;
    word_table_free(p->words);
    pattern_set_free(p->patterns);
    OPENSSL_cleanse(p, sizeof *p);
    free(p);
}

const char *sec_pseudo_fingerprint(const struct sec_pseudo *p)
{
    return p->fingerprint;
}

/* ---- contexts ---- */

struct sec_pseudo_ctx *sec_pseudo_ctx_new(const struct sec_pseudo *p)
{
    struct sec_pseudo_ctx *c = calloc(1, sizeof *c);
    if (!c) {
        sec_fail(SEC_ENOMEM, "no memory for pseudonyms");
        return NULL;
    }
    c->p = p;
    c->pan = sec_cryptopan_new(p->pan_key);
    if (!c->pan || token_open(c))
        goto fail;
    if (p->patterns && !(c->patterns = pattern_ctx_new(p->patterns)))
        goto fail;
    return c;
fail:
    sec_pseudo_ctx_free(c);
    return NULL;
}

void sec_pseudo_ctx_free(struct sec_pseudo_ctx *c)
{
    if (!c)
        return;
    sec_cryptopan_free(c->pan);
    pattern_ctx_free(c->patterns);
    token_close(c);
    free(c->text);
    free(c->spans);
    free(c->merged);
    free(c->words);
    free(c);
}

void sec_pseudo_counts(const struct sec_pseudo_ctx *c, uint64_t counts[SEC_N_PSEUDO])
{
    memcpy(counts, c->counts, sizeof c->counts);
}

/* ---- records ---- */

static int grow(void **v, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap)
        return 0;
    size_t more = want + want / 2 + 64;
    void *p = realloc(*v, more * size);
    if (!p)
        return sec_fail(SEC_ENOMEM, "no memory for a record's %zu parts", more);
    *v = p;
    *cap = more;
    return 0;
}

int span_add(struct sec_pseudo_ctx *c, uint32_t start, uint32_t end, enum span_how how, int class)
{
    int rc = grow((void **)&c->spans, &c->cap_spans, c->n_spans + 1, sizeof *c->spans);
    if (rc)
        return rc;
    if (c->n_spans && c->spans[c->n_spans - 1].end > start)
        c->unsorted = true;
    c->spans[c->n_spans++] = (struct span){start, end, (uint8_t)how, (uint8_t) class};
    return 0;
}

/* Names shorter than three characters would meet too many other words. */
void name_add(struct sec_pseudo_ctx *c, uint32_t start, uint32_t end, enum span_how how, int class)
{
    uint32_t first = start;
    if (end - start < 3 || c->n_names == MAX_NAMES)
        return;
    while (first < end && ch_is(c->text[first], CH_WORD))
        first++;
    if (first == start)
        return;
    uint32_t hash = (uint32_t)word_hash(c->text + start, first - start);
    for (int i = 0; i < c->n_names; i++)
        if (c->names[i].hash == hash && c->names[i].len == end - start)
            return;
    c->names[c->n_names++] = (struct name){start, end - start, hash, (uint8_t)how, (uint8_t) class};
    c->name_bloom |= UINT64_C(1) << (hash & 63);
}

/* A pattern's span wins over others, then the one that starts first, then the longer. */
static int by_place(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->end > y->end ? -1 : x->end < y->end;
}

static int by_right(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int px = x->how == HOW_PATTERN, py = y->how == HOW_PATTERN;
    return px != py ? py - px : by_place(a, b);
}

/* The patterns' spans are apart from each other after this, and the others apart from them. */
static void settle(struct span *v, size_t *n)
{
    size_t patterns = 0, kept = 0, at = 0;
    qsort(v, *n, sizeof *v, by_right);
    for (size_t i = 0; i < *n && v[i].how == HOW_PATTERN; i++)
        if (!patterns || v[i].start >= v[patterns - 1].end)
            v[patterns++] = v[i];
    size_t i = patterns;
    while (i < *n && v[i].how == HOW_PATTERN)
        i++;
    kept = patterns;
    for (uint32_t end = 0; i < *n; i++) {
        while (at < patterns && v[at].end <= v[i].start)
            at++;
        if (v[i].start < end || (at < patterns && v[at].start < v[i].end))
            continue;
        end = v[i].end;
        v[kept++] = v[i];
    }
    qsort(v, kept, sizeof *v, by_place);
    *n = kept;
}

static bool is_name(const struct sec_pseudo_ctx *c, const struct name *name, uint32_t at)
{
    uint32_t end = at + name->len;
    if (end > c->end || ch_is(c->text[end], CH_WORD) ||
        (c->text[end] == '-' && ch_is(c->text[end + 1], CH_WORD)) ||
        (c->text[at - 1] == '-' && ch_is(c->text[at - 2], CH_WORD)))
        return false;
    for (uint32_t i = 0; i < name->len; i++)
        if (ch_lower(c->text[at + i]) != ch_lower(c->text[name->start + i]))
            return false;
    return true;
}

/* Words that are names found elsewhere in the record join the spans, in order, in c->merged. */
static int sweep(struct sec_pseudo_ctx *c, size_t *n)
{
    size_t at = 0, words = 0;
    int rc = grow((void **)&c->merged, &c->cap_merged, c->n_spans + c->n_words, sizeof *c->merged);
    if (rc)
        return rc;
    for (size_t i = 0; i < c->n_words; i++) {
        const struct word *w = &c->words[i];
        if (!(c->name_bloom >> (w->hash & 63) & 1))
            continue;
        for (int k = 0; k < c->n_names; k++) {
            const struct name *name = &c->names[k];
            if (name->hash != w->hash || !is_name(c, name, w->start))
                continue;
            while (at < c->n_spans && c->spans[at].end <= w->start)
                c->merged[words++] = c->spans[at++];
            uint32_t end = w->start + name->len;
            if ((at < c->n_spans && c->spans[at].start < end) ||
                (words && c->merged[words - 1].end > w->start))
                continue;
            c->merged[words++] = (struct span){w->start, end, name->how, name->class};
            break;
        }
    }
    while (at < c->n_spans)
        c->merged[words++] = c->spans[at++];
    *n = words;
    return 0;
}

static int take_copy(struct sec_pseudo_ctx *c, const char *text, size_t n)
{
    if (n > UINT32_MAX / 4)
        return sec_fail(SEC_EDATA, "a record of %zu bytes is too long for pseudonyms", n);
    int rc = grow((void **)&c->text, &c->text_cap, n + 2 * PAD, 1);
    if (rc)
        return rc;
    memset(c->text, 0, PAD);
    memcpy(c->text + PAD, text, n);
    memset(c->text + PAD + n, 0, PAD);
    c->end = (uint32_t)n + PAD;
    c->n_spans = c->n_words = 0;
    c->n_names = 0;
    c->name_bloom = 0;
    c->unsorted = false;
    return 0;
}

int sec_pseudo_record(struct sec_pseudo_ctx *c, const char *text, size_t n, struct sec_buf *out,
                      bool *changed)
{
    int rc;
    if (changed)
        *changed = false;
    c->n_results = 0;
    if (!n)
        return 0;
    SEC_TRY(take_copy(c, text, n));
    SEC_TRY(grow((void **)&c->words, &c->cap_words, n / 2 + 1, sizeof *c->words));
    SEC_TRY(pseudo_scan(c));
    if (c->patterns)
        SEC_TRY(pattern_spans(c));
    if (c->unsorted)
        settle(c->spans, &c->n_spans);
    c->result = c->spans;
    c->n_results = c->n_spans;
    if (c->n_names) {
        SEC_TRY(sweep(c, &c->n_results));
        c->result = c->merged;
    }
    if (changed)
        *changed = c->n_results > 0;
    rc = emit_record(c, c->result, c->n_results, out);
fail:
    return rc;
}
