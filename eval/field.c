#include "eval/field.h"

#include <ctype.h>
#include <string.h>

const char *const sec_field_names[SEC_N_FIELDS] = {"word", "number",    "hex",  "ip",
                                                   "path", "timestamp", "other"};

bool sec_field_border(unsigned char c)
{
    return c <= ' ' || c == 0x7F || strchr("=,;\"'()[]{}<>|", c) != NULL;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static size_t digits(const char *p, size_t n, size_t at)
{
    size_t i = at;
    while (i < n && digit(p[i]))
        i++;
    return i - at;
}

/* Does p begin with the shape? 0 = a digit, a = a letter, / = - or /, else the byte itself. */
static bool shaped(const char *p, size_t n, const char *shape)
{
    size_t len = strlen(shape);
    for (size_t i = 0; i < len; i++) {
        if (i >= n)
            return false;
        char s = shape[i];
        bool fits = s == '0'   ? digit(p[i])
                    : s == 'a' ? letter(p[i])
                    : s == '/' ? p[i] == '-' || p[i] == '/'
                               : p[i] == s;
        if (!fits)
            return false;
    }
    return true;
}

static bool is_timestamp(const char *p, size_t n)
{
    if (shaped(p, n, "0000/00/00") || shaped(p, n, "00/aaa/0000"))
        return true;
    size_t len = shaped(p, n, "00:00:00") ? 8 : shaped(p, n, "0:00:00") ? 7 : 0;
    if (len)
        return len == n || p[len] != ':'; /* else a MAC address */
    return n == 5 && shaped(p, n, "00:00");
}

/* One to three digits, four times, with dots; then nothing, :port or /prefix. */
static bool is_ipv4(const char *p, size_t n)
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        size_t d = digits(p, n, at);
        if (d < 1 || d > 3)
            return false;
        at += d;
        if (i < 3 && (at >= n || p[at++] != '.'))
            return false;
    }
    if (at == n)
        return true;
    if (p[at] != ':' && p[at] != '/')
        return false;
    size_t d = digits(p, n, at + 1);
    return d && at + 1 + d == n;
}

/* Up to eight groups of up to four hex digits between colons: all eight, or fewer with one "::". */
static bool is_ipv6(const char *p, size_t n)
{
    const char *slash = memchr(p, '/', n);
    if (slash) {
        size_t prefix = (size_t)(slash - p) + 1;
        if (prefix == n || digits(p, n, prefix) != n - prefix)
            return false;
        n = prefix - 1;
    }
    size_t colons = 0, group = 0, doubles = 0, hex = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == ':') {
            doubles += i > 0 && p[i - 1] == ':';
            colons++;
            group = 0;
        } else if (isxdigit((unsigned char)p[i])) {
            hex++;
            if (++group > 4)
                return false;
        } else {
            return false;
        }
    }
    return hex && doubles <= 1 && (doubles ? colons >= 2 && colons <= 8 : colons == 7);
}

static bool is_path(const char *p, size_t n)
{
    if (p[0] == '/' || p[0] == '~' || memchr(p, '\\', n))
        return true;
    if (n >= 2 && p[0] == '.' && (p[1] == '/' || (n >= 3 && p[1] == '.' && p[2] == '/')))
        return true;
    if (n >= 3 && letter(p[0]) && p[1] == ':' && p[2] == '/')
        return true;
    for (size_t i = 0; i + 3 <= n; i++)
        if (!memcmp(p + i, "://", 3))
            return true;
    return false;
}

static bool is_number(const char *p, size_t n)
{
    size_t at = p[0] == '+' || p[0] == '-';
    if (n > at && p[n - 1] == '%')
        n--;
    for (;;) {
        size_t d = digits(p, n, at);
        if (!d)
            return false;
        at += d;
        if (at == n)
            return true;
        if (p[at++] != '.')
            return false;
    }
}

static bool is_hex(const char *p, size_t n)
{
    bool prefixed = n > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
    size_t n_digits = 0, n_letters = 0;
    for (size_t i = prefixed ? 2 : 0; i < n; i++) {
        if (digit(p[i]))
            n_digits++;
        else if (isxdigit((unsigned char)p[i]))
            n_letters++;
        else if (prefixed || i == 0 || i == n - 1 || (p[i] != '-' && p[i] != ':') ||
                 !isxdigit((unsigned char)p[i - 1]))
            return false;
    }
    return prefixed || (n_digits + n_letters >= 6 && n_digits && n_letters);
}

static bool is_word(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!letter(p[i]) && (i == 0 || !strchr("-_.@", p[i])))
            return false;
    return true;
}

enum sec_field_class sec_field_classify(const char *p, size_t n)
{
    while (n && strchr(".:!?", p[n - 1]))
        n--;
    if (!n)
        return SEC_FIELD_OTHER;
    if (is_timestamp(p, n))
        return SEC_FIELD_TIMESTAMP;
    if (is_ipv4(p, n) || is_ipv6(p, n))
        return SEC_FIELD_IP;
    if (is_path(p, n))
        return SEC_FIELD_PATH;
    if (is_number(p, n))
        return SEC_FIELD_NUMBER;
    if (is_hex(p, n))
        return SEC_FIELD_HEX;
    return is_word(p, n) ? SEC_FIELD_WORD : SEC_FIELD_OTHER;
}
