#include "data/template.h"

#include <stdbool.h>
#include <string.h>

enum { HEX_MIN = 8, BASE64_MIN = 40 };

/* Character classes; a word is a run of letters and digits. */
enum { DIGIT = 1, HEX_LETTER = 2, UPPER = 4, LOWER = 8, WORD = DIGIT | UPPER | LOWER, BASE64 = 16 };

static const unsigned char class_of[256] = {
    ['0' ... '9'] = DIGIT | BASE64,
    ['A' ... 'F'] = HEX_LETTER | UPPER | BASE64,
    ['G' ... 'Z'] = UPPER | BASE64,
    ['a' ... 'f'] = HEX_LETTER | LOWER | BASE64,
    ['g' ... 'z'] = LOWER | BASE64,
    ['+'] = BASE64,
    ['/'] = BASE64,
};

static inline unsigned class_at(const char *p)
{
    return class_of[(unsigned char)*p];
}

/* The matchers below return the end of the match, or NULL; p may be NULL or end. */

static const char *digits(const char *p, const char *end, int min, int max)
{
    int n = 0;
    if (!p)
        return NULL;
    while (p < end && n < max && class_at(p) & DIGIT) {
        p++;
        n++;
    }
    return n >= min && !(p < end && class_at(p) & DIGIT) ? p : NULL;
}

static const char *one(const char *p, const char *end, char c)
{
    return p && p < end && *p == c ? p + 1 : NULL;
}

/* hh:mm:ss[.fraction or ,fraction][Z or +hh:mm or +hhmm] */
static const char *clock_time(const char *p, const char *end)
{
    for (int i = 0; i < 3; i++) {
        if (i && !(p = one(p, end, ':')))
            return NULL;
        if (!(p = digits(p, end, i ? 2 : 1, 2)))
            return NULL;
    }
    const char *q;
    if (p + 1 < end && (*p == '.' || *p == ',') && (q = digits(p + 1, end, 1, 9)))
        p = q;
    if (p < end && *p == 'Z')
        return p + 1;
    const char *zone = p < end && *p == ' ' ? p + 1 : p;
    if (zone + 4 < end && (*zone == '+' || *zone == '-')) {
        if ((q = digits(zone + 1, end, 4, 4)))
            return q;
        if ((q = digits(one(digits(zone + 1, end, 2, 2), end, ':'), end, 2, 2)))
            return q;
    }
    return p;
}

/* A date may be followed by 'T', ' ', ':' or '-' and a time of day. */
static const char *with_time(const char *p, const char *end)
{
    if (p && p + 1 < end && (*p == 'T' || *p == ' ' || *p == ':' || *p == '-')) {
        const char *q = clock_time(p + 1, end);
        if (q)
            return q;
    }
    return p;
}

/* One of the names of three letters at p. */
static const char *name3(const char *p, const char *end, const char *names)
{
    if (end - p < 3 || !(class_at(p) & UPPER))
        return NULL;
    for (const char *m = names; *m; m += 3)
        if (!memcmp(p, m, 3))
            return p + 3;
    return NULL;
}

static const char *month(const char *p, const char *end)
{
    return name3(p, end, "JanFebMarAprMayJunJulAugSepOctNovDec");
}

/* Jan  2 03:04:05, perhaps with a year after it */
static const char *month_day(const char *p, const char *end)
{
    const char *q = one(month(p, end), end, ' ');
    q = q && q < end && *q == ' ' ? q + 1 : q;
    q = one(digits(q, end, 1, 2), end, ' ');
    q = q ? clock_time(q, end) : NULL;
    if (!q || end - q < 5 || (memcmp(q, " 19", 3) != 0 && memcmp(q, " 20", 3) != 0))
        return q;
    const char *year = digits(q + 1, end, 4, 4);
    return !year || (year < end && (class_at(year) & WORD || *year == '-' || *year == '/')) ? q
                                                                                            : year;
}

/* 2024-01-31, 2024/01/31, 31/Jan/2024, 31 Jan 2024, 01/31/2024, each with or without a time; or a
 * time alone. */
static const char *date_or_time(const char *p, const char *end, size_t run)
{
    const char *q = NULL, sep = p + run < end ? p[run] : 0;
    if (sep == ':')
        return clock_time(p, end);
    if (sep != '-' && sep != '/' && sep != '.' && sep != ' ')
        return NULL;
    const char *next = p + run + 1;
    if (run == 4 && sep != ' ') {
        q = one(digits(next, end, 2, 2), end, sep);
        return with_time(digits(q, end, 2, 2), end);
    }
    if (run > 2)
        return NULL;
    q = month(next, end);
    if (!q && sep != ' ')
        q = digits(next, end, 1, 2);
    return with_time(digits(one(q, end, sep), end, 4, 4), end);
}

/* Sun Jan  2 03:04:05 2005, Sun, 02 Jan 2005 03:04:05: a weekday belongs to its date. */
static const char *weekday_date(const char *p, const char *end)
{
    const char *q = name3(p, end, "MonTueWedThuFriSatSun");
    if (q && q < end && *q == ',')
        q++;
    q = one(q, end, ' ');
    if (!q)
        return NULL;
    size_t run = 0;
    while (q + run < end && class_at(q + run) & DIGIT)
        run++;
    return run ? date_or_time(q, end, run) : month_day(q, end);
}

static const char *ipv4(const char *p, const char *end)
{
    for (int i = 0; i < 4; i++) {
        if (i && !(p = one(p, end, '.')))
            return NULL;
        if (!(p = digits(p, end, 1, 3)))
            return NULL;
    }
    return p < end && *p == '.' && p + 1 < end && class_at(p + 1) & DIGIT ? NULL : p;
}

static size_t hex_run(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && class_at(q) & (DIGIT | HEX_LETTER))
        q++;
    return (size_t)(q - p);
}

/* IPv6 or MAC: at least five colons, or "::", between groups of at most four hex digits. */
static const char *colon_groups(const char *p, const char *end)
{
    int colons = 0;
    bool gap = false;
    const char *q = p;
    for (;;) {
        size_t run = hex_run(q, end);
        if (run > 4)
            return NULL;
        q += run;
        if (q + 1 >= end || *q != ':')
            break;
        if (q[1] == ':') {
            if (gap)
                return NULL;
            gap = true;
            q++;
        } else if (!(class_at(q + 1) & (DIGIT | HEX_LETTER))) {
            break;
        }
        colons++;
        q++;
    }
    if (q < end && class_at(q) & WORD)
        return NULL;
    return colons >= 5 || (gap && colons >= 1) ? q : NULL;
}

static const char *uuid(const char *p, const char *end)
{
    static const size_t groups[] = {8, 4, 4, 4, 12};
    for (int i = 0; i < 5; i++) {
        if (i && !(p = one(p, end, '-')))
            return NULL;
        if (hex_run(p, end) != groups[i])
            return NULL;
        p += groups[i];
    }
    return p < end && class_at(p) & WORD ? NULL : p;
}

/* A word that holds digits and letters: hex as a whole, else its digits are taken out. */
static char *mixed_word(const char *p, const char *end, char *out)
{
    size_t n = (size_t)(end - p);
    bool prefixed = n > 2 && p[0] == '0' && (p[1] | 0x20) == 'x';
    if ((n >= HEX_MIN && hex_run(p, end) == n) || (prefixed && hex_run(p + 2, end) == n - 2)) {
        *out++ = SEC_MARK_HEX;
        return out;
    }
    while (p < end) {
        if (class_at(p) & DIGIT) {
            *out++ = SEC_MARK_NUMBER;
            while (p < end && class_at(p) & DIGIT)
                p++;
        } else {
            *out++ = *p++;
        }
    }
    return out;
}

/* Long base64 from p: all three kinds of characters, else it is a path or a plain long word. */
static const char *base64(const char *p, const char *end)
{
    unsigned seen = 0;
    const char *q = p;
    while (q < end && class_at(q) & BASE64)
        seen |= class_at(q++);
    if (q - p < BASE64_MIN || (seen & WORD) != WORD)
        return NULL;
    for (int pad = 0; pad < 2 && q < end && *q == '='; pad++)
        q++;
    return q;
}

/* A value at p whose first word is [p, word_end); *mark tells its class. inner: a dot comes before
 * it, so it is no address of its own. */
static const char *value(const char *p, const char *word_end, const char *end, unsigned all,
                         bool inner, char *mark)
{
    size_t run = (size_t)(word_end - p);
    char next = word_end < end ? *word_end : 0;
    const char *q = NULL;
    if (next == '-' && run == 8 && (q = uuid(p, end))) {
        *mark = SEC_MARK_UUID;
        return q;
    }
    if (next == ':' && run <= 4 && (q = colon_groups(p, end))) {
        *mark = SEC_MARK_IP;
        return q;
    }
    if (all & (UPPER | LOWER)) {
        *mark = SEC_MARK_TIME;
        if (run == 3 && ((q = month_day(p, end)) || (q = weekday_date(p, end))))
            return q;
        *mark = SEC_MARK_BASE64;
        return run >= BASE64_MIN / 2 ? base64(p, end) : NULL;
    }
    if (next == '.' && !inner && (q = ipv4(p, end))) {
        *mark = SEC_MARK_IP;
        return q;
    }
    *mark = SEC_MARK_TIME;
    if ((q = date_or_time(p, end, run)))
        return q;
    *mark = SEC_MARK_NUMBER;
    return word_end;
}

size_t sec_template_mask(const char *p, size_t n, char *out)
{
    const char *start = p, *end = p + n;
    char *o = out, mark;
    while (p < end) {
        if (!(class_at(p) & WORD)) {
            *o++ = *p++;
            continue;
        }
        const char *word = p;
        unsigned all = 0;
        while (p < end && class_at(p) & WORD)
            all |= class_at(p++);
        bool digit = all & DIGIT;
        /* Most words are plain letters: only those that may begin a value go on. */
        bool candidate = digit || p - word >= BASE64_MIN / 2 ||
                         (p - word == 3 && p < end && (*p == ' ' || *p == ',')) ||
                         (p - word <= 4 && p < end && *p == ':') ||
                         (p - word == 8 && p < end && *p == '-');
        const char *q =
            candidate ? value(word, p, end, all, word > start && word[-1] == '.', &mark) : NULL;
        if (q) {
            /* A sign belongs to its number, a dash between words does not. */
            if (mark == SEC_MARK_NUMBER && word > start && word[-1] == '-' &&
                (word - 1 == start || !(class_at(word - 2) & WORD)))
                o--;
            *o++ = mark;
            p = q;
        } else if (digit) {
            o = mixed_word(word, p, o);
        } else {
            memcpy(o, word, (size_t)(p - word));
            o += p - word;
        }
    }
    return (size_t)(o - out);
}

sec_h128 sec_template_hash(const char *p, size_t n, char *scratch)
{
    return sec_hash128(scratch, sec_template_mask(p, n, scratch));
}
