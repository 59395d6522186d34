#include "data/clean.h"

#include "base/str.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

const char *const sec_reason_names[SEC_N_REASONS] = {"kept",
                                                     "empty",
                                                     "control-characters",
                                                     "too-long",
                                                     "xml-wrapper",
                                                     "bad-json",
                                                     "no-field",
                                                     "exact",
                                                     "template-cap",
                                                     "document-duplicate",
                                                     "near-duplicate",
                                                     "test-collision"};
const char *const sec_change_names[SEC_N_CHANGES] = {
    "crlf", "trailing-blanks", "ansi", "nul", "bom", "utf-8"};

static inline bool plain_byte(unsigned char c)
{
    return (c >= 0x20 && c < 0x7F) || c == '\t';
}

/* Printable ASCII and tabs only: the common case, at memory speed. */
static bool plain(const char *p, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(0x20), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7F);
    __m128i bad = _mm_setzero_si128();
    for (size_t at = 0; n >= 16 && i < n; i += 16) {
        at = i + 16 <= n ? i : n - 16;
        __m128i v = _mm_loadu_si128((const __m128i *)(p + at));
        /* Signed: bytes from 0x80 on are below the space as well. */
        __m128i low = _mm_andnot_si128(_mm_cmpeq_epi8(v, tab), _mm_cmplt_epi8(v, space));
        bad = _mm_or_si128(bad, _mm_or_si128(low, _mm_cmpeq_epi8(v, del)));
    }
    if (_mm_movemask_epi8(bad))
        return false;
#endif
    for (; i < n; i++)
        if (!plain_byte((unsigned char)p[i]))
            return false;
    return true;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Length of the ANSI escape sequence at p[0] == ESC, 0 if it is none. A sequence cut off by the end
 * of the record counts. */
static size_t ansi_length(const char *p, size_t n)
{
    size_t i = 2;
    if (n < 2)
        return 1;
    unsigned char kind = (unsigned char)p[1];
    if (kind == '[') {
        while (i < n && p[i] >= 0x20 && p[i] <= 0x3F)
            i++;
        return i == n ? n : p[i] >= 0x40 && p[i] <= 0x7E ? i + 1 : 0;
    }
    if (kind == ']') { /* operating system command, ends with BEL or ESC \ */
        for (; i < n; i++) {
            if (p[i] == 0x07)
                return i + 1;
            if (p[i] == 0x1B && i + 1 < n && p[i + 1] == '\\')
                return i + 2;
        }
        return 0;
    }
    if (kind >= 0x20 && kind <= 0x2F) /* character sets: ESC ( B */
        return n > 2 && p[2] >= 0x30 && p[2] <= 0x7E ? 3 : 0;
    return kind >= 0x30 && kind <= 0x7E ? 2 : 0;
}

struct cleaner {
    const char *p;
    size_t n, i;
    char *out;
    size_t len;
    size_t line;           /* start of the current line in out */
    size_t chars, control; /* of out */
    bool changed[SEC_N_CHANGES];
};

static void trim(struct cleaner *c)
{
    while (c->len > c->line && blank(c->out[c->len - 1])) {
        c->len--;
        c->changed[SEC_CHANGE_BLANKS] = true;
    }
}

static void newline(struct cleaner *c, bool join)
{
    trim(c);
    c->i++;
    if (!c->len)
        return; /* a record does not start with empty lines */
    if (!join) {
        c->out[c->len++] = '\n';
        c->line = c->len;
        return;
    }
    while (c->i < c->n && (blank(c->p[c->i]) || c->p[c->i] == '\r' || c->p[c->i] == '\n'))
        c->i++;
    c->out[c->len++] = ' ';
}

static void multibyte(struct cleaner *c)
{
    uint32_t cp;
    bool ok;
    size_t k = sec_utf8_decode((const uint8_t *)c->p + c->i, c->n - c->i, &cp, &ok);
    if (!ok) {
        memcpy(c->out + c->len, "\xEF\xBF\xBD", 3);
        c->len += 3;
        c->chars++;
        c->changed[SEC_CHANGE_UTF8] = true;
    } else if (cp == 0xFEFF && !c->len) {
        c->changed[SEC_CHANGE_BOM] = true;
    } else {
        memcpy(c->out + c->len, c->p + c->i, k);
        c->len += k;
        c->chars++;
        c->control += cp < 0xA0; /* C1 */
    }
    c->i += k;
}

static void control(struct cleaner *c, char ch)
{
    size_t k;
    if (ch == 0) {
        c->changed[SEC_CHANGE_NUL] = true;
        c->i++;
    } else if (ch == '\r' && (c->i + 1 == c->n || c->p[c->i + 1] == '\n')) {
        c->changed[SEC_CHANGE_CRLF] = true;
        c->i++;
    } else if (ch == 0x1B && (k = ansi_length(c->p + c->i, c->n - c->i))) {
        c->changed[SEC_CHANGE_ANSI] = true;
        c->i += k;
    } else {
        c->out[c->len++] = ch;
        c->chars++;
        c->control++;
        c->i++;
    }
}

enum sec_reason sec_clean(const char *p, size_t n, bool join, char *side, const char **out,
                          size_t *out_len, uint64_t changes[SEC_N_CHANGES])
{
    struct cleaner c = {.p = p, .out = side};
    if (n && p[n - 1] == '\r') { /* here too, so that Windows files stay on the short way */
        n--;
        c.changed[SEC_CHANGE_CRLF] = true;
    }
    c.n = n;
    if (plain(p, n)) {
        while (n && blank(p[n - 1]))
            n--;
        *out = p;
        *out_len = n;
        if (!n)
            return SEC_DROP_EMPTY;
        changes[SEC_CHANGE_BLANKS] += n < c.n;
        changes[SEC_CHANGE_CRLF] += c.changed[SEC_CHANGE_CRLF];
        return SEC_KEPT;
    }
    while (c.i < n) {
        unsigned char ch = (unsigned char)p[c.i];
        if (plain_byte(ch)) {
            size_t start = c.i;
            while (c.i < n && plain_byte((unsigned char)p[c.i]))
                c.i++;
            memcpy(c.out + c.len, p + start, c.i - start);
            c.len += c.i - start;
            c.chars += c.i - start;
        } else if (ch == '\n') {
            newline(&c, join);
        } else if (ch < 0x80) {
            control(&c, (char)ch);
        } else {
            multibyte(&c);
        }
    }
    trim(&c);
    while (c.len && c.out[c.len - 1] == '\n') {
        c.len--;
        c.line = 0;
        trim(&c);
    }
    *out = side;
    *out_len = c.len;
    if (c.len == 0)
        return SEC_DROP_EMPTY;
    if (20 * c.control > c.chars)
        return SEC_DROP_CONTROL;
    for (int k = 0; k < SEC_N_CHANGES; k++)
        changes[k] += c.changed[k];
    return SEC_KEPT;
}
