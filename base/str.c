#include "base/str.h"

#include "base/error.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HUMAN_SIZE = 32, NEAREST_MAX = 64 };

bool sec_starts(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

bool sec_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && !memcmp(s + n - m, suffix, m);
}

bool sec_glob(const char *pattern, const char *s)
{
    return !fnmatch(pattern, s, 0);
}

/* A non-negative decimal number at s: no sign, hexadecimal, inf or nan. NULL if there is none. */
static const char *parse_decimal(const char *s, double *value)
{
    if (!isdigit((unsigned char)s[0]) && !(s[0] == '.' && isdigit((unsigned char)s[1])))
        return NULL;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        return NULL;
    char *end;
    *value = strtod(s, &end);
    return isfinite(*value) ? end : NULL;
}

/* Power of the multiplier named by a suffix such as "k", "KiB", "B" or "" (the rest of the string),
 * or -1. */
static int size_power(const char *suffix, bool binary)
{
    while (*suffix == ' ')
        suffix++;
    if (!*suffix || (binary && !strcasecmp(suffix, "b")))
        return 0;
    if (!binary && !strcmp(suffix, "B"))
        return 3; /* billions, as in "10B tokens" */
    const char *letters = "kmgtp", *at = strchr(letters, tolower((unsigned char)*suffix));
    if (!at)
        return -1;
    const char *rest = suffix + 1;
    if (!*rest ||
        (binary && (!strcasecmp(rest, "b") || !strcasecmp(rest, "ib") || !strcasecmp(rest, "i"))))
        return (int)(at - letters) + 1;
    return -1;
}

static int parse_scaled(const char *s, bool binary, const char *what, uint64_t *out)
{
    double value;
    const char *end = parse_decimal(s, &value);
    int power = end ? size_power(end, binary) : -1;
    if (power < 0)
        return sec_fail(SEC_EUSAGE, "\"%s\" is not a %s; write e.g. %s", s, what,
                        binary ? "1500, 64M or 2G" : "1500, 20k or 2M");
    uint64_t unit = 1, exact;
    for (int i = 0; i < power; i++)
        unit *= binary ? 1024 : 1000;
    /* Whole numbers go through integers: a double has only 53 bits. */
    size_t digits = strspn(s, "0123456789");
    errno = 0;
    if (s + digits == end) {
        exact = strtoull(s, NULL, 10);
        if (errno || __builtin_mul_overflow(exact, unit, out))
            return sec_fail(SEC_EUSAGE, "\"%s\" is too large for a %s", s, what);
        return 0;
    }
    value *= (double)unit;
    if (value >= 0x1p63)
        return sec_fail(SEC_EUSAGE, "\"%s\" is too large for a %s", s, what);
    *out = (uint64_t)llround(value);
    /* Decimal fractions are seldom exact in binary: allow for the rounding of one product. */
    if (fabs(value - (double)*out) > 1e-9 * (value + 1))
        return sec_fail(SEC_EUSAGE, "\"%s\" is not a whole number (%g)", s, value);
    return 0;
}

int sec_parse_size(const char *s, uint64_t *out)
{
    return parse_scaled(s, true, "size", out);
}

int sec_parse_count(const char *s, uint64_t *out)
{
    return parse_scaled(s, false, "count", out);
}

int sec_parse_f64(const char *s, double *out)
{
    double value;
    const char *end = parse_decimal(s + (*s == '-' || *s == '+'), &value);
    if (!end || *end)
        return sec_fail(SEC_EUSAGE, "\"%s\" is not a number", s);
    *out = *s == '-' ? -value : value;
    return 0;
}

int sec_parse_i64(const char *s, int64_t *out)
{
    const char *digits = s + (*s == '-' || *s == '+');
    if (!*digits || digits[strspn(digits, "0123456789")])
        return sec_fail(SEC_EUSAGE, "\"%s\" is not a whole number", s);
    errno = 0;
    long long value = strtoll(s, NULL, 10);
    if (errno)
        return sec_fail(SEC_EUSAGE, "\"%s\" does not fit into 64 bits", s);
    *out = value;
    return 0;
}

int sec_parse_seconds(const char *s, double *out)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    double total = 0, value;
    const char *p = s;
    do { /* "1h30m" is a sum */
        p = parse_decimal(p, &value);
        if (!p)
            break;
        if (!*p) { /* no unit: seconds */
            *out = total + value;
            return 0;
        }
        size_t i = 0;
        while (i < 5 && !sec_starts(p, units[i].unit))
            i++;
        if (i == 5)
            break;
        p += strlen(units[i].unit);
        total += value * units[i].seconds;
        if (!*p) {
            *out = total;
            return 0;
        }
    } while (true);
    return sec_fail(SEC_EUSAGE, "\"%s\" is not a time; write e.g. 90, 15m, 2h or 1d", s);
}

static char *human(double v, double step, const char *const units[5], char *buf)
{
    int i = 0;
    for (; i < 4 && fabs(v) >= step * 0.99995; i++)
        v /= step;
    snprintf(buf, HUMAN_SIZE, i ? "%.1f%s" : "%.0f%s", v, units[i]);
    return buf;
}

char *sec_human_bytes(double bytes, char *buf)
{
    static const char *const units[5] = {" B", " KiB", " MiB", " GiB", " TiB"};
    return human(bytes, 1024, units, buf);
}

char *sec_human_count(double n, char *buf)
{
    static const char *const units[5] = {"", "k", "M", "B", "T"};
    return human(n, 1000, units, buf);
}

char *sec_human_seconds(double s, char *buf)
{
    if (!(s >= 0 && s < 1e9)) {
        snprintf(buf, HUMAN_SIZE, "unknown");
        return buf;
    }
    long t = lround(s);
    if (s < 59.95)
        snprintf(buf, HUMAN_SIZE, "%.1fs", s);
    else if (t < 3600)
        snprintf(buf, HUMAN_SIZE, "%ldm%02lds", t / 60, t % 60);
    else if (t < 86400)
        snprintf(buf, HUMAN_SIZE, "%ldh%02ldm", t / 3600, t / 60 % 60);
    else
        snprintf(buf, HUMAN_SIZE, "%ldd%02ldh", t / 86400, t / 3600 % 24);
    return buf;
}

static unsigned min2(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edit distance with transpositions of neighbours (optimal string alignment). */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned rows[3][NEAREST_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned cost = a[i - 1] != b[j - 1];
            row[j] = min2(last[j - 1] + cost, min2(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min2(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

const char *sec_nearest(const char *s, const char *const *candidates, size_t n)
{
    size_t len = strlen(s);
    if (!len || len > NEAREST_MAX)
        return NULL;
    unsigned best = (unsigned)(len < 4 ? 1 : len / 3) + 1;
    const char *found = NULL, *prefixed = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(candidates[i]);
        if (m > NEAREST_MAX)
            continue;
        unsigned d = edit_distance(s, len, candidates[i], m);
        if (d < best) {
            best = d;
            found = candidates[i];
        }
        if (!prefixed && len >= 3 && sec_starts(candidates[i], s))
            prefixed = candidates[i];
    }
    return found ? found : prefixed;
}

/* The lead byte fixes the length and the range of the second byte (Unicode 15, table 3-7); the
 * sequence is ill-formed from the first byte out of range on, which is not consumed. */
size_t sec_utf8_decode(const uint8_t *p, size_t n, uint32_t *cp, bool *ok)
{
    uint8_t lead = p[0], low = 0x80, high = 0xBF;
    size_t need;
    uint32_t value;
    if (lead < 0x80) {
        *cp = lead;
        *ok = true;
        return 1;
    }
    *cp = 0xFFFD;
    *ok = false;
    if (lead < 0xC2 || lead > 0xF4)
        return 1;
    if (lead < 0xE0) {
        need = 1;
        value = lead & 0x1Fu;
    } else if (lead < 0xF0) {
        need = 2;
        value = lead & 0x0Fu;
        low = lead == 0xE0 ? 0xA0 : 0x80;
        high = lead == 0xED ? 0x9F : 0xBF;
    } else {
        need = 3;
        value = lead & 0x07u;
        low = lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xF4 ? 0x8F : 0xBF;
    }
    for (size_t i = 1; i <= need; i++) {
        if (i >= n || p[i] < low || p[i] > high)
            return i;
        value = value << 6 | (p[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *cp = value;
    *ok = true;
    return need + 1;
}

size_t sec_utf8_encode(uint32_t cp, uint8_t out[4])
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        cp = 0xFFFD;
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (uint8_t)(0x80 | (cp & 0x3F));
    out[0] = (uint8_t)((0xF00 >> n) | cp);
    return n;
}
