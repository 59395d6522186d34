/* A well-formed record as key=value pairs, in the record's order. Of members with an equal key the
 * earlier ones are blotted out with zero bytes, which no pair holds, and squeezed out at the end.
 */
#include "base/error.h"
#include "base/hash.h"
#include "data/jsonfield_impl.h"

#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 128 }; /* to start with; slots are twice as many */

struct member {
    uint64_t hash;
    uint32_t object; /* number of the object it is in */
    uint32_t key, key_len;
    size_t from, to; /* its text */
    bool removed;
};

struct frame {
    bool array;
    uint32_t object, element;
    uint32_t key, key_len; /* of the member whose value is being written */
    uint32_t member;
};

struct pairs {
    const uint8_t *line;
    struct sec_buf *out;
    size_t start; /* of the record's text */
    bool removed;
    unsigned depth;
    uint32_t objects;
    struct frame frame[SEC_JSON_DEPTH + 1];
    struct member *member, few[MEMBERS];
    uint32_t *slot, few_slots[2 * MEMBERS]; /* number of a member + 1, 0 if free */
    uint32_t n, cap;
    struct sec_jsonscan *scan;
};

static inline int put(struct sec_buf *out, const void *p, size_t n)
{
    if (out->cap - out->len <= n) {
        int rc = sec_buf_reserve(out, n + 1);
        if (rc)
            return rc;
    }
    memcpy(out->data + out->len, p, n);
    out->len += n;
    return 0;
}

enum { ODD = 1, ESCAPES = 2 };

typedef uint8_t bytes16 __attribute__((vector_size(16)));

static inline unsigned any_byte(bytes16 v)
{
    uint64_t half[2];
    memcpy(half, &v, sizeof half);
    return (half[0] | half[1]) != 0;
}

/* ODD: p[0..n) holds what makes quotes necessary; ESCAPES: it holds backslashes. Bytes up to
 * p[room) can be read. */
static inline unsigned look(const uint8_t *p, size_t n, size_t room)
{
    const bytes16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    bytes16 odd = {0}, escapes = {0}, v;
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i;
        if (room - i >= 16) {
            memcpy(&v, p + i, 16);
            v &= (bytes16)(lane < (uint8_t)(left < 16 ? left : 16));
        } else {
            v = (bytes16){0};
            memcpy(&v, p + i, left);
        }
        odd |= (bytes16)((v == ' ') | (v == '\t') | (v == '=') | (v == '"'));
        escapes |= (bytes16)(v == '\\');
    }
    return any_byte(odd) * ODD | any_byte(escapes) * ESCAPES;
}

static bool has_escapes(const struct pairs *x, uint32_t at, uint32_t n)
{
    return x->scan->escapes && memchr(x->line + at, '\\', n);
}

static int put_string(const struct pairs *x, struct sec_buf *out, uint32_t at, uint32_t n,
                      bool one_line)
{
    return has_escapes(x, at, n) ? sec_json_unescape(out, x->line + at, n, one_line)
                                 : put(out, x->line + at, n);
}

static int put_decimal(struct sec_buf *out, uint32_t v)
{
    char digit[12];
    unsigned at = sizeof digit;
    do
        digit[--at] = (char)('0' + v % 10);
    while (v /= 10);
    return put(out, digit + at, sizeof digit - at);
}

/* Short names, the most of them, without a call. */
static inline uint64_t hash_name(const uint8_t *p, size_t n, uint32_t object)
{
    uint64_t a = 0, b = 0;
    if (n > 16)
        return sec_hash64(p, n, object);
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
    } else if (n) {
        a = (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
    }
    a = (a ^ (uint64_t)object << 40 ^ n) * 0x9E3779B97F4A7C15ull;
    a = (a ^ a >> 29 ^ b) * 0xBF58476D1CE4E5B9ull;
    return a ^ a >> 32;
}

/* Equal names in one object have equal hashes. */
static int hash_key(const struct pairs *x, uint32_t at, uint32_t n, uint32_t object, uint64_t *hash)
{
    const uint8_t *p = x->line + at;
    if (has_escapes(x, at, n)) {
        struct sec_buf name = {0};
        int rc = sec_json_unescape(&name, p, n, false);
        *hash = rc ? 0 : hash_name((const uint8_t *)name.data, name.len, object);
        sec_buf_free(&name);
        return rc;
    }
    *hash = hash_name(p, n, object);
    return 0;
}

static int same_key(const struct pairs *x, const struct member *a, const struct member *b,
                    bool *same)
{
    struct sec_buf p = {0}, q = {0};
    *same = a->object == b->object && a->hash == b->hash;
    if (!*same)
        return 0;
    int rc = put_string(x, &p, a->key, a->key_len, false);
    if (!rc)
        rc = put_string(x, &q, b->key, b->key_len, false);
    *same = !rc && p.len == q.len && !memcmp(p.data, q.data, p.len);
    sec_buf_free(&p);
    sec_buf_free(&q);
    return rc;
}

/* Twice the room, and the slots anew. */
static int grow(struct pairs *x)
{
    uint32_t cap = 2 * x->cap;
    struct member *more = malloc(cap * sizeof *more);
    uint32_t *slot = calloc(2 * (size_t)cap, sizeof *slot);
    if (!more || !slot) {
        free(more);
        free(slot);
        return sec_fail(SEC_ENOMEM, "out of memory for a JSON record of %u keys", x->n);
    }
    memcpy(more, x->member, x->n * sizeof *more);
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t at = (uint32_t)more[i].hash & (2 * cap - 1);
        if (more[i].removed)
            continue;
        while (slot[at])
            at = (at + 1) & (2 * cap - 1);
        slot[at] = i + 1;
    }
    if (x->member != x->few) {
        free(x->member);
        free(x->slot);
    }
    x->member = more;
    x->slot = slot;
    x->cap = cap;
    return 0;
}

/* A new member of the object on top; its earlier namesake goes. */
static int enter(struct pairs *x, struct frame *f, uint32_t key, uint32_t key_len)
{
    struct member m = {.object = f->object, .key = key, .key_len = key_len};
    int rc = hash_key(x, key, key_len, m.object, &m.hash);
    if (!rc && x->n == x->cap)
        rc = grow(x);
    if (rc)
        return rc;
    m.from = m.to = x->out->len;
    uint32_t mask = 2 * x->cap - 1, at = (uint32_t)m.hash & mask;
    for (; x->slot[at]; at = (at + 1) & mask) {
        struct member *old = &x->member[x->slot[at] - 1];
        bool same;
        rc = same_key(x, old, &m, &same);
        if (rc)
            return rc;
        if (same) {
            memset(x->out->data + old->from, 0, old->to - old->from);
            x->removed = old->removed = true;
            break;
        }
    }
    x->slot[at] = x->n + 1;
    f->member = x->n;
    x->member[x->n++] = m;
    return 0;
}

/* " a.b.0=", without the blank at the record's start */
static int put_name(struct pairs *x)
{
    struct sec_buf *out = x->out;
    int rc = out->len > x->start ? put(out, " ", 1) : 0;
    for (unsigned d = 1; d <= x->depth && !rc; d++) {
        const struct frame *f = &x->frame[d];
        if (d > 1)
            SEC_TRY(put(out, ".", 1));
        rc = f->array ? put_decimal(out, f->element - 1)
                      : put_string(x, out, f->key, f->key_len, true);
    }
    if (!rc && x->depth)
        rc = put(out, "=", 1);
fail:
    return rc;
}

/* The value out[from..) in quotes. */
static int quote_value(struct sec_buf *out, size_t from)
{
    size_t n = out->len - from, more = 2;
    const uint8_t *raw = (uint8_t *)out->data + from;
    for (size_t i = 0; i < n; i++)
        more += (raw[i] == '"') | (raw[i] == '\\');
    int rc = sec_buf_reserve(out, more);
    if (rc)
        return rc;
    uint8_t *v = (uint8_t *)out->data + from, *to = v + n + more;
    out->len += more;
    *--to = '"';
    if (more == 2)
        memmove(v + 1, v, n);
    for (size_t i = more == 2 ? 0 : n; i-- > 0;) {
        *--to = v[i];
        if (v[i] == '"' || v[i] == '\\')
            *--to = '\\';
    }
    *v = '"';
    return 0;
}

static int put_value(struct pairs *x, const uint8_t *p, size_t n)
{
    struct sec_buf *out = x->out;
    size_t from = out->len;
    unsigned seen = look(p, n, (size_t)(x->line + x->scan->n - p));
    int rc = seen & ESCAPES ? sec_json_unescape(out, p, n, true) : put(out, p, n);
    if (rc || !x->depth)
        return rc;
    if (seen & ESCAPES)
        seen = look((uint8_t *)out->data + from, out->len - from, out->cap - from);
    return seen & ODD || out->len == from ? quote_value(out, from) : 0;
}

/* The pair of the scalar at `at`, which ends before next. */
static int put_pair(struct pairs *x, uint32_t at, uint32_t next)
{
    int rc = put_name(x);
    if (rc)
        return rc;
    if (x->line[at] == '"')
        return put_value(x, x->line + at + 1, sec_json_string_end(x->line, next) - at - 1);
    while (x->line[next - 1] <= ' ')
        next--;
    return put(x->out, x->line + at, next - at);
}

/* Another member of the container on top, whose key or element is at *at: *at becomes the value. */
static int next_member(struct pairs *x, uint32_t *at)
{
    struct frame *f = &x->frame[x->depth];
    if (f->array) {
        f->element++;
        return 0;
    }
    uint32_t colon = sec_jsonscan_next(x->scan);
    uint32_t key = *at + 1, key_len = sec_json_string_end(x->line, colon) - key;
    f->key = key;
    f->key_len = key_len;
    *at = sec_jsonscan_next(x->scan);
    return enter(x, f, key, key_len);
}

static inline void end_member(struct pairs *x)
{
    const struct frame *f = &x->frame[x->depth];
    if (x->depth && !f->array)
        x->member[f->member].to = x->out->len;
}

static int write_pairs(struct pairs *x)
{
    struct sec_jsonscan *s = x->scan;
    uint32_t at = sec_jsonscan_next(s), next;
    int rc = 0;
    for (;;) {
        uint8_t c = x->line[at];
        next = sec_jsonscan_next(s);
        if ((c == '{' || c == '[') && x->line[next] != c + 2) {
            x->frame[++x->depth] = (struct frame){.array = c == '[', .object = x->objects++};
            at = next;
            SEC_TRY(next_member(x, &at));
            continue;
        }
        if (c == '{' || c == '[') {
            SEC_TRY(put_name(x));
            SEC_TRY(put(x->out, c == '{' ? "{}" : "[]", 2));
            next = sec_jsonscan_next(s);
        } else {
            SEC_TRY(put_pair(x, at, next));
        }
        end_member(x);
        for (; x->depth && x->line[next] != ','; next = sec_jsonscan_next(s)) {
            x->depth--;
            end_member(x);
        }
        if (!x->depth)
            return 0;
        at = sec_jsonscan_next(s);
        SEC_TRY(next_member(x, &at));
    }
fail:
    return rc;
}

/* Without the removed pairs, and without the blank of the first one that is left. */
static void squeeze(struct sec_buf *out, size_t start)
{
    char *to = out->data + start, *end = out->data + out->len, *p = to;
    if (!*p) {
        while (p < end && !*p)
            p++;
        p += p < end;
    }
    for (; p < end; p++)
        if (*p)
            *to++ = *p;
    out->len = (size_t)(to - out->data);
}

int sec_json_pairs(struct sec_jsonscan *s, struct sec_buf *out)
{
    struct pairs x;
    int rc;
    x.line = s->line;
    x.scan = s;
    x.out = out;
    x.start = out->len;
    x.removed = false;
    x.depth = 0;
    x.objects = x.n = 0;
    x.member = x.few;
    x.slot = x.few_slots;
    x.cap = MEMBERS;
    memset(x.few_slots, 0, sizeof x.few_slots);
    sec_jsonscan_again(s);
    SEC_TRY(sec_buf_reserve(out, s->n));
    SEC_TRY(write_pairs(&x));
    if (x.removed)
        squeeze(out, x.start);
    out->data[out->len] = 0;
fail:
    if (rc)
        out->len = x.start;
    if (x.member != x.few) {
        free(x.member);
        free(x.slot);
    }
    return rc;
}
