#include "data/docjson.h"

#include "base/error.h"
#include "base/str.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

void sec_h128_hex(sec_h128 h, char out[32])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i] = digits[h.hi >> (60 - 4 * i) & 15];
        out[16 + i] = digits[h.lo >> (60 - 4 * i) & 15];
    }
}

static inline bool special(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* Copy to dst until a byte that JSON escapes; returns how many were copied. dst has 16 bytes more
 * room than src holds. */
static inline size_t copy_plain(char *dst, const char *src, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i last_control = _mm_set1_epi8(0x1F);
    for (; i + 16 <= n; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(src + i));
        __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v));
        int mask = _mm_movemask_epi8(bad);
        _mm_storeu_si128((__m128i *)(dst + i), v);
        if (mask)
            return i + (size_t)__builtin_ctz((unsigned)mask);
    }
#endif
    while (i < n && !special((unsigned char)src[i])) {
        dst[i] = src[i];
        i++;
    }
    return i;
}

int sec_docjson_quote(struct sec_buf *out, const char *s, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    /* The worst case is a control character: six bytes. */
    int rc = sec_buf_reserve(out, 6 * n + 32);
    if (rc)
        return rc;
    char *d = out->data + out->len;
    *d++ = '"';
    for (size_t i = 0; i < n;) {
        size_t k = copy_plain(d, s + i, n - i);
        d += k;
        i += k;
        if (i == n)
            break;
        unsigned char c = (unsigned char)s[i++];
        *d++ = '\\';
        if (c == '"' || c == '\\') {
            *d++ = (char)c;
        } else if (c == '\n' || c == '\t' || c == '\r') {
            *d++ = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        } else {
            memcpy(d, "u00", 3);
            d[3] = hex[c >> 4];
            d[4] = hex[c & 15];
            d += 5;
        }
    }
    *d++ = '"';
    *d = 0;
    out->len = (size_t)(d - out->data);
    return 0;
}

int sec_docjson_encode(struct sec_buf *out, const struct sec_doc *doc)
{
    int rc;
    char head[] = "{\"id\":\"00000000000000000000000000000000\",\"source\":";
    sec_h128_hex(doc->id, head + 7);
    SEC_TRY(sec_buf_add(out, head, sizeof head - 1));
    SEC_TRY(sec_docjson_quote(out, doc->source, strlen(doc->source)));
    SEC_TRY(sec_buf_add(out, ",\"text\":", 8));
    SEC_TRY(sec_docjson_quote(out, doc->text, doc->text_len));
    SEC_TRY(sec_buf_printf(out, ",\"ts\":null,\"meta\":{\"records\":%u}}\n", doc->records));
fail:
    return rc;
}

struct cursor {
    char *p, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
}

static bool take(struct cursor *c, char ch)
{
    skip_space(c);
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

static bool hex4(const char *p, const char *end, uint32_t *out)
{
    if (end - p < 4)
        return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* One escape after the backslash; writes at *dst and moves both. */
static bool unescape(struct cursor *c, char **dst)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->p == c->end)
        return false;
    char e = *c->p++;
    const char *at = e ? strchr(from, e) : NULL;
    if (at) {
        *(*dst)++ = to[at - from];
        return true;
    }
    uint32_t cp, low;
    if (e != 'u' || !hex4(c->p, c->end, &cp))
        return false;
    c->p += 4;
    if (cp >= 0xD800 && cp < 0xDC00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u' &&
        hex4(c->p + 2, c->end, &low) && low >= 0xDC00 && low < 0xE000) {
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        c->p += 6;
    } else if (cp >= 0xD800 && cp < 0xE000) {
        cp = 0xFFFD;
    }
    *dst += sec_utf8_encode(cp, (uint8_t *)*dst);
    return true;
}

/* A string value, unescaped in place. Its closing quote becomes the terminating 0. */
static bool take_string(struct cursor *c, char **s, size_t *len)
{
    if (!take(c, '"'))
        return false;
    char *dst = c->p, *start = c->p;
    for (;;) {
        /* In place: dst <= src, and copy_plain's 16-byte stores would overrun unread input. */
        char *p = c->p;
        char *quote = memchr(p, '"', (size_t)(c->end - p));
        if (!quote)
            return false;
        char *slash = memchr(p, '\\', (size_t)(quote - p));
        char *stop = slash ? slash : quote;
        if (dst != p)
            memmove(dst, p, (size_t)(stop - p));
        dst += stop - p;
        c->p = stop + 1;
        if (!slash)
            break;
        if (!unescape(c, &dst))
            return false;
    }
    *s = start;
    *len = (size_t)(dst - start);
    *dst = 0;
    return true;
}

/* Any value that is not wanted. */
static bool skip_value(struct cursor *c)
{
    int depth = 0;
    do {
        skip_space(c);
        if (c->p == c->end)
            return false;
        char ch = *c->p, *s;
        size_t n;
        if (ch == '"') {
            if (!take_string(c, &s, &n))
                return false;
        } else {
            depth += (ch == '{' || ch == '[') - (ch == '}' || ch == ']');
            if (depth < 0)
                return false;
            c->p++;
        }
        skip_space(c);
    } while (c->p < c->end && (depth > 0 || (*c->p != ',' && *c->p != '}')));
    return depth == 0;
}

static bool parse_id(const char *s, size_t n, sec_h128 *id)
{
    uint32_t part[8];
    if (n != 32)
        return false;
    for (int i = 0; i < 8; i++)
        if (!hex4(s + 4 * i, s + n, &part[i]))
            return false;
    id->hi = (uint64_t)part[0] << 48 | (uint64_t)part[1] << 32 | part[2] << 16 | part[3];
    id->lo = (uint64_t)part[4] << 48 | (uint64_t)part[5] << 32 | part[6] << 16 | part[7];
    return true;
}

/* {"records":N} as the writer makes it; anything else is skipped. */
static bool take_meta(struct cursor *c, uint32_t *records)
{
    static const char key[] = "{\"records\":";
    if ((size_t)(c->end - c->p) > sizeof key && !memcmp(c->p, key, sizeof key - 1)) {
        *records = 0;
        for (const char *p = c->p + sizeof key - 1; p < c->end && *p >= '0' && *p <= '9'; p++)
            *records = *records * 10 + (uint32_t)(*p - '0');
    }
    return skip_value(c);
}

int sec_docjson_decode(char *line, size_t n, struct sec_doc *doc)
{
    struct cursor c = {line, line + n};
    bool id = false, source = false, text = false;
    memset(doc, 0, sizeof *doc);
    if (!take(&c, '{'))
        return sec_fail(SEC_EDATA, "not a JSON object");
    do {
        char *key, *s = NULL;
        size_t key_len, len = 0;
        if (!take_string(&c, &key, &key_len) || !take(&c, ':'))
            return sec_fail(SEC_EDATA, "character %td: broken JSON", c.p - line);
        skip_space(&c);
        bool ok = true;
        if (!strcmp(key, "id")) {
            ok = id = take_string(&c, &s, &len) && parse_id(s, len, &doc->id);
        } else if (!strcmp(key, "source")) {
            ok = source = take_string(&c, &s, &len);
            doc->source = s;
        } else if (!strcmp(key, "text")) {
            ok = text = take_string(&c, &s, &len);
            doc->text = s;
            doc->text_len = len;
        } else if (!strcmp(key, "meta")) {
            ok = take_meta(&c, &doc->records);
        } else {
            ok = skip_value(&c);
        }
        if (!ok)
            return sec_fail(SEC_EDATA, "character %td: bad value of \"%s\"", c.p - line, key);
    } while (take(&c, ','));
    if (!take(&c, '}') || !id || !source || !text)
        return sec_fail(SEC_EDATA, "not a document: \"id\", \"source\" and \"text\" are needed");
    return 0;
}
