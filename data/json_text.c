#include "base/str.h"
#include "data/jsonfield_impl.h"

#include <string.h>

static uint32_t hex4(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return v;
}

/* The character of \uXXXX at p, and of the second half that may follow it; moves p behind it. */
static uint32_t unicode_escape(const uint8_t **p, const uint8_t *end)
{
    uint32_t v = hex4(*p + 2);
    *p += 6;
    if (v < 0xD800 || v > 0xDFFF)
        return v;
    if (v > 0xDBFF || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return 0xFFFD;
    uint32_t low = hex4(*p + 2);
    if (low < 0xDC00 || low > 0xDFFF)
        return 0xFFFD;
    *p += 6;
    return 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
}

static uint32_t escape(const uint8_t **p, const uint8_t *end)
{
    uint8_t c = (*p)[1];
    if (c == 'u')
        return unicode_escape(p, end);
    *p += 2;
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default: /* a quote, a slash or a backslash */
        return c;
    }
}

int sec_json_unescape(struct sec_buf *out, const uint8_t *raw, size_t n, bool one_line)
{
    const uint8_t *p = raw, *end = raw + n;
    const uint8_t *after_cr = NULL;       /* the place behind an escaped CR */
    int rc = sec_buf_reserve(out, n + 1); /* no escape is shorter than what it stands for */
    if (rc)
        return rc;
    uint8_t *to = (uint8_t *)out->data + out->len;
    while (p < end) {
        const uint8_t *stop = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((stop ? stop : end) - p);
        memcpy(to, p, run);
        to += run;
        p += run;
        if (p == end)
            break;
        const uint8_t *at = p;
        uint32_t cp = escape(&p, end);
        if (one_line && cp == '\n' && at == after_cr)
            continue;
        if (one_line && cp == '\r')
            after_cr = p;
        if (one_line && (cp == '\n' || cp == '\r'))
            cp = ' ';
        if (cp >= 0x80)
            to += sec_utf8_encode(cp, to);
        else if (cp)
            *to++ = (uint8_t)cp;
    }
    *to = 0;
    out->len = (size_t)((char *)to - out->data);
    return 0;
}
