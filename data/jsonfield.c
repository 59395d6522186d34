#include "data/jsonfield.h"

#include "base/error.h"
#include "base/str.h"
#include "data/jsonfield_impl.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PATHS = 64 };

struct segment {
    const char *name;
    size_t len;
};

struct path {
    char *text; /* the names, one after the other */
    struct segment *seg;
    unsigned n;
};

struct sec_jsonfield {
    enum sec_json_take take;
    sec_jsonscan_more *more;
    unsigned n_paths;
    struct path path[MAX_PATHS];
};

/* Sets of paths are bits. A container's `through` are the paths whose first names led to it. */
struct walk {
    const struct sec_jsonfield *j;
    const uint8_t *line;
    uint32_t n;
    unsigned depth;
    uint64_t through[SEC_JSON_DEPTH + 1];
    uint64_t whole[SEC_JSON_DEPTH + 1];   /* the paths whose value the container is */
    uint32_t element[SEC_JSON_DEPTH + 1]; /* of an array, counted from 0 */
    uint8_t closing[SEC_JSON_DEPTH + 1];
    uint64_t mine, into; /* paths that end with, and that go on in, the value to come */
    uint64_t found;
    struct {
        uint32_t start, end;
    } value[MAX_PATHS];
    struct sec_jsonscan scan;
};

/* What may follow a number or literal. */
static inline bool ends_scalar(const uint8_t *p, const uint8_t *end)
{
    return p == end || *p == ',' || *p == '}' || *p == ']' || *p == ' ' || *p == '\t' ||
           *p == '\n' || *p == '\r';
}

/* Eight bytes at a time: the high bit of a byte is set where it is no digit. */
static inline const uint8_t *digits(const uint8_t *p, const uint8_t *end)
{
    const uint64_t high = 0x8080808080808080ull;
    while (end - p >= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        v ^= 0x3030303030303030ull;
        v = (((v & ~high) + 0x7676767676767676ull) | v) & high;
        if (v)
            return p + (__builtin_ctzll(v) >> 3);
        p += 8;
    }
    while (p < end && (unsigned)(*p - '0') < 10)
        p++;
    return p;
}

static const uint8_t *number(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *from;
    p += *p == '-';
    if (p < end && *p == '0') {
        p++;
    } else {
        p = digits(from = p, end);
        if (p == from)
            return NULL;
    }
    if (p < end && *p == '.') {
        p = digits(from = p + 1, end);
        if (p == from)
            return NULL;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '-' || *p == '+');
        p = digits(from = p, end);
        if (p == from)
            return NULL;
    }
    return p;
}

/* Behind the number or literal at p, NULL if it is none. */
static const uint8_t *scalar(const uint8_t *p, const uint8_t *end)
{
    size_t n = (size_t)(end - p);
    if (n >= 4 && (!memcmp(p, "true", 4) || !memcmp(p, "null", 4)))
        p += 4;
    else if (n >= 5 && !memcmp(p, "false", 5))
        p += 5;
    else
        p = number(p, end);
    return p && ends_scalar(p, end) ? p : NULL;
}

static bool key_is(const struct walk *w, const struct segment *s, const uint8_t *key, size_t n)
{
    if (n == s->len)
        return !memcmp(key, s->name, n) && (!w->scan.escapes || !memchr(key, '\\', n));
    if (n < s->len || !w->scan.escapes || !memchr(key, '\\', n)) /* escapes are longer */
        return false;
    struct sec_buf plain = {0};
    bool same = !sec_json_unescape(&plain, key, n, false) && plain.len == s->len &&
                !memcmp(plain.data, s->name, s->len);
    sec_buf_free(&plain);
    return same;
}

/* The value to come is at the name key[0..n) of the current container. Whatever an equal name gave
 * before is void. */
static void match(struct walk *w, const uint8_t *key, size_t n)
{
    for (uint64_t rest = w->through[w->depth]; rest; rest &= rest - 1) {
        const struct path *p = &w->j->path[__builtin_ctzll(rest)];
        uint64_t bit = rest & -rest;
        if (!key_is(w, &p->seg[w->depth - 1], key, n))
            continue;
        w->found &= ~bit;
        if (p->n == w->depth)
            w->mine |= bit;
        else
            w->into |= bit;
    }
}

static void match_element(struct walk *w)
{
    char digit[12];
    unsigned at = sizeof digit;
    uint32_t v = w->element[w->depth];
    do
        digit[--at] = (char)('0' + v % 10);
    while (v /= 10);
    match(w, (const uint8_t *)digit + at, sizeof digit - at);
}

static void take(struct walk *w, uint64_t paths, uint32_t start, uint32_t end)
{
    w->found |= paths;
    for (; paths; paths &= paths - 1) {
        unsigned p = (unsigned)__builtin_ctzll(paths);
        w->value[p].start = start;
        w->value[p].end = end;
    }
}

static inline uint8_t byte_at(const struct walk *w, uint32_t at)
{
    return at < w->n ? w->line[at] : 0;
}

static inline bool open_container(struct walk *w, uint32_t at, uint8_t kind)
{
    if (w->depth == SEC_JSON_DEPTH)
        return false;
    unsigned d = ++w->depth;
    w->closing[d] = (uint8_t)(kind + 2); /* '{' + 2 == '}', '[' + 2 == ']' */
    w->through[d] = w->into;
    w->whole[d] = w->mine;
    w->element[d] = 0;
    if (w->mine)
        for (uint64_t rest = w->mine; rest; rest &= rest - 1)
            w->value[__builtin_ctzll(rest)].start = at;
    return true;
}

static inline void close_container(struct walk *w, uint32_t at)
{
    uint64_t whole = w->whole[w->depth--];
    w->found |= whole;
    for (; whole; whole &= whole - 1)
        w->value[__builtin_ctzll(whole)].end = at + 1;
}

/* A key and its colon. Returns the place of the value, n if this is no key. */
static inline uint32_t read_key(struct walk *w, uint32_t at)
{
    if (byte_at(w, at) != '"')
        return w->n;
    uint32_t colon = sec_jsonscan_next(&w->scan);
    if (byte_at(w, colon) != ':')
        return w->n;
    if (w->through[w->depth] && !w->scan.bad) { /* its escapes can be trusted */
        uint32_t end = sec_json_string_end(w->line, colon);
        match(w, w->line + at + 1, end - at - 1);
    }
    return sec_jsonscan_next(&w->scan);
}

/* The place of a member's value: behind its key, or where the element stands. */
static inline uint32_t member(struct walk *w, uint32_t at)
{
    w->mine = w->into = 0;
    if (w->closing[w->depth] == '}')
        return read_key(w, at);
    if (w->through[w->depth])
        match_element(w);
    w->element[w->depth]++;
    return at;
}

/* The whole grammar; strings are the scanner's. */
static bool walk(struct walk *w)
{
    struct sec_jsonscan *s = &w->scan;
    uint32_t at = sec_jsonscan_next(s), next;
    for (;;) {
        uint8_t c = byte_at(w, at);
        if (c == '"') {
            next = sec_jsonscan_next(s);
            if (w->mine)
                take(w, w->mine, at, sec_json_string_end(w->line, next) + 1);
        } else if (c == '{' || c == '[') {
            if (!open_container(w, at, c))
                return false;
            next = sec_jsonscan_next(s);
            if (byte_at(w, next) != c + 2) {
                at = member(w, next);
                continue;
            }
        } else {
            const uint8_t *end = at < w->n ? scalar(w->line + at, w->line + w->n) : NULL;
            if (!end)
                return false;
            next = sec_jsonscan_next(s);
            if (w->mine)
                take(w, w->mine, at, (uint32_t)(end - w->line));
        }
        for (;; next = sec_jsonscan_next(s)) {
            if (!w->depth)
                return next == w->n && sec_jsonscan_strings_ok(s);
            if (byte_at(w, next) != w->closing[w->depth])
                break;
            close_container(w, next);
        }
        if (byte_at(w, next) != ',')
            return false;
        at = member(w, sec_jsonscan_next(s));
    }
}

static int give(const struct walk *w, struct sec_buf *out)
{
    unsigned p = (unsigned)__builtin_ctzll(w->found); /* the first one named */
    const uint8_t *v = w->line + w->value[p].start;
    size_t n = w->value[p].end - w->value[p].start;
    if (*v != '"')
        return sec_buf_add(out, v, n);
    if (!w->scan.escapes)
        return sec_buf_add(out, v + 1, n - 2);
    return sec_json_unescape(out, v + 1, n - 2, true);
}

int sec_jsonfield_get(const struct sec_jsonfield *j, const char *line, size_t n,
                      struct sec_buf *out)
{
    struct walk w;
    if (j->take == SEC_JSON_AS_IS) {
        int rc = sec_buf_add(out, line, n);
        return rc ? rc : SEC_JSON_OK;
    }
    if (n >= 3 && !memcmp(line, "\xEF\xBB\xBF", 3)) { /* a byte order mark */
        line += 3;
        n -= 3;
    }
    if (n >= UINT32_MAX)
        return SEC_JSON_MALFORMED;
    w.j = j;
    w.line = (const uint8_t *)line;
    w.n = (uint32_t)n;
    w.depth = 0;
    w.mine = w.found = 0;
    w.into = j->n_paths ? ~0ull >> (64 - j->n_paths) : 0;
    sec_jsonscan_start(&w.scan, j->more, line, w.n);
    if (!walk(&w))
        return SEC_JSON_MALFORMED;
    if (j->take == SEC_JSON_FIELD && !w.found)
        return SEC_JSON_ABSENT;
    int rc = j->take == SEC_JSON_FIELD ? give(&w, out) : sec_json_pairs(&w.scan, out);
    return rc ? rc : SEC_JSON_OK;
}

static int bad_path(const char *text, const char *why)
{
    return sec_fail(SEC_EUSAGE,
                    "JSON field '%s' %s; write it like event.original, a dot inside a "
                    "key as \\.",
                    text, why);
}

/* "a.b\.c" -> "a", "b.c" */
static int parse_path(const char *text, struct path *p)
{
    size_t n = strlen(text);
    p->text = malloc(n + 1);
    p->seg = calloc(n + 1, sizeof *p->seg);
    if (!p->text || !p->seg)
        return sec_fail(SEC_ENOMEM, "out of memory for the JSON field '%s'", text);
    char *to = p->text, *name = to;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && text[i] != '.') {
            if (text[i] == '\\' && (text[i + 1] == '.' || text[i + 1] == '\\'))
                i++;
            *to++ = text[i];
            continue;
        }
        if (to == name)
            return bad_path(text, n ? "has an empty name" : "is empty");
        p->seg[p->n++] = (struct segment){name, (size_t)(to - name)};
        name = to;
    }
    return p->n > SEC_JSON_DEPTH ? bad_path(text, "has more than 64 names") : 0;
}

int sec_jsonfield_open(enum sec_json_take take_what, const struct sec_list *paths,
                       struct sec_jsonfield **out)
{
    int rc = 0;
    size_t n = paths ? paths->n : 0;
    *out = NULL;
    if (take_what == SEC_JSON_FIELD && !n)
        return sec_fail(SEC_EUSAGE,
                        "which field of a JSON record? name at least one, like message");
    if (n > MAX_PATHS)
        return sec_fail(SEC_EUSAGE, "%zu JSON fields are named; at most %d can be", n, MAX_PATHS);
    struct sec_jsonfield *j = calloc(1, sizeof *j);
    if (!j)
        return sec_fail(SEC_ENOMEM, "out of memory for JSON fields");
    j->take = take_what;
    j->more = sec_jsonscan_for(sec_cpu_isa());
    while (take_what == SEC_JSON_FIELD && j->n_paths < n && !rc) {
        rc = parse_path(paths->v[j->n_paths], &j->path[j->n_paths]);
        j->n_paths++;
    }
    if (rc)
        sec_jsonfield_close(j);
    else
        *out = j;
    return rc;
}

void sec_jsonfield_close(struct sec_jsonfield *j)
{
    if (!j)
        return;
    for (unsigned p = 0; p < j->n_paths; p++) {
        free(j->path[p].text);
        free(j->path[p].seg);
    }
    free(j);
}

void sec_jsonfield_set_isa(struct sec_jsonfield *j, enum sec_isa isa)
{
    j->more = sec_jsonscan_for(isa);
}
