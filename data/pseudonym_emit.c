/* Spans of a record written as pseudonyms. */
#include "base/error.h"
#include "data/pseudonym_internal.h"

#include <arpa/inet.h>
#include <strings.h>

/* Dotted quad without printf. */
static int put_ipv4(struct sec_buf *out, uint32_t v)
{
    char text[16];
    size_t n = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t octet = v >> shift & 255;
        if (octet >= 100)
            text[n++] = (char)('0' + octet / 100);
        if (octet >= 10)
            text[n++] = (char)('0' + octet / 10 % 10);
        text[n++] = (char)('0' + octet % 10);
        if (shift)
            text[n++] = '.';
    }
    return sec_buf_add(out, text, n);
}

static int emit_ipv4(struct sec_pseudo_ctx *c, const char *p, struct sec_buf *out)
{
    uint32_t address, mapped;
    ipv4_at(p, &address);
    int rc = sec_cryptopan_ipv4(c->pan, address, &mapped);
    return rc ? rc : put_ipv4(out, mapped);
}

/* In the shortest form, upper case where the address was; ::ffff:a.b.c.d goes the way of a.b.c.d.
 */
static int emit_ipv6(struct sec_pseudo_ctx *c, const char *p, size_t n, struct sec_buf *out)
{
    static const uint8_t v4_mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    char text[INET6_ADDRSTRLEN];
    uint8_t address[16], mapped[16];
    int rc;
    memcpy(text, p, n);
    text[n] = 0;
    inet_pton(AF_INET6, text, address); /* the scanner has done it before */
    if (!memcmp(address, v4_mapped, 12)) {
        uint32_t v4 = (uint32_t)address[12] << 24 | (uint32_t)address[13] << 16 |
                      (uint32_t)address[14] << 8 | address[15];
        memcpy(mapped, address, 12);
        SEC_TRY(sec_cryptopan_ipv4(c->pan, v4, &v4));
        for (int i = 0; i < 4; i++)
            mapped[12 + i] = (uint8_t)(v4 >> (24 - 8 * i));
    } else {
        SEC_TRY(sec_cryptopan_ipv6(c->pan, address, mapped));
    }
    bool upper = false;
    for (size_t i = 0; i < n; i++)
        upper |= p[i] >= 'A' && p[i] <= 'F';
    inet_ntop(AF_INET6, mapped, text, sizeof text);
    for (char *t = text; upper && *t; t++)
        if (*t >= 'a' && *t <= 'f')
            *t = (char)(*t & ~0x20);
    rc = sec_buf_adds(out, text);
fail:
    return rc;
}

static int hex_value(char ch)
{
    return ch <= '9' ? ch - '0' : (ch | 0x20) - 'a' + 10;
}

/* The separators stay; so do the bits for groups and for local administration. */
static int emit_mac(struct sec_pseudo_ctx *c, const char *p, size_t n, struct sec_buf *out)
{
    uint8_t bytes[8] = {0}, stream[32];
    size_t digits = 0, kept = c->p->keep_oui ? 3 : 0;
    bool upper = false;
    for (size_t i = 0; i < n; i++)
        if (ch_is(p[i], CH_HEX)) {
            bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 | hex_value(p[i]));
            digits++;
            upper |= p[i] >= 'A' && p[i] <= 'F';
        }
    int rc = token_block(c, MAP_MAC, 0, (const char *)bytes, digits / 2, stream);
    if (rc)
        return rc;
    stream[0] = (uint8_t)((stream[0] & ~3) | (bytes[0] & 3));
    memcpy(stream, bytes, kept);
    digits = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        char ch = p[i];
        if (ch_is(ch, CH_HEX)) {
            uint8_t byte = stream[digits / 2];
            int nibble = digits % 2 ? byte & 15 : byte >> 4;
            ch = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[nibble];
            digits++;
        }
        rc = sec_buf_addc(out, ch);
    }
    return rc;
}

static int emit_token(struct sec_pseudo_ctx *c, int map, const char *p, size_t n,
                      struct sec_buf *out)
{
    int rc = sec_buf_reserve(out, n + 1);
    if (!rc)
        rc = token_write(c, map, p, n, out->data + out->len);
    if (rc)
        return rc;
    out->len += n;
    out->data[out->len] = 0;
    return 0;
}

static int emit_host(struct sec_pseudo_ctx *c, const char *p, size_t n, struct sec_buf *out)
{
    int rc = 0;
    for (size_t at = 0; at < n && !rc;) {
        const char *dot = memchr(p + at, '.', n - at);
        size_t label = dot ? (size_t)(dot - p) - at : n - at;
        if (label == 3 && !strncasecmp(p + at, "www", 3)) /* says nothing about whose it is */
            rc = sec_buf_add(out, p + at, label);
        else
            rc = emit_token(c, MAP_HOST, p + at, label, out);
        at += label;
        if (dot && !rc) {
            rc = sec_buf_addc(out, '.');
            at++;
        }
    }
    return rc;
}

/* Numbers of a SID are 32 bits and have no leading zero: the first of ten digits is 1, 2 or 3. */
static int emit_sid(struct sec_pseudo_ctx *c, const char *p, size_t n, struct sec_buf *out)
{
    size_t start = out->len;
    int rc = emit_token(c, MAP_SID, p, n, out);
    if (rc)
        return rc;
    for (size_t at = 0; at < n;) {
        size_t end = at;
        while (end < n && p[end] != '-')
            end++;
        char *first = &out->data[start + at];
        if (end > at)
            *first = (char)('1' + (*first - '0') % (end - at >= 10 ? 3 : 9));
        at = end + 1;
    }
    return 0;
}

static int emit_span(struct sec_pseudo_ctx *c, const struct span *s, struct sec_buf *out)
{
    const char *p = c->text + s->start;
    size_t n = s->end - s->start;
    switch ((enum span_how)s->how) {
    case HOW_USER:
        return emit_token(c, MAP_USER, p, n, out);
    case HOW_HOST:
        return emit_host(c, p, n, out);
    case HOW_IPV4:
        return emit_ipv4(c, p, out);
    case HOW_IPV6:
        return emit_ipv6(c, p, n, out);
    case HOW_MAC:
        return emit_mac(c, p, n, out);
    case HOW_SID:
        return emit_sid(c, p, n, out);
    case HOW_SECRET:
        return sec_buf_adds(out, "<secret>");
    case HOW_PATTERN:
        return emit_token(c, MAP_PATTERN, p, n, out);
    }
    return 0;
}

int emit_record(struct sec_pseudo_ctx *c, const struct span *spans, size_t n, struct sec_buf *out)
{
    int rc;
    uint32_t done = PAD;
    SEC_TRY(sec_buf_reserve(out, c->end + 16 * n));
    for (size_t i = 0; i < n; i++) {
        SEC_TRY(sec_buf_add(out, c->text + done, spans[i].start - done));
        SEC_TRY(emit_span(c, &spans[i], out));
        done = spans[i].end;
        if (spans[i].class < SEC_N_PSEUDO)
            c->counts[spans[i].class]++;
    }
    SEC_TRY(sec_buf_add(out, c->text + done, c->end - done));
fail:
    return rc;
}
