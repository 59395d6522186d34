#include "data/pretok.h"

#include "base/cpu.h"
#include "base/str.h"
#include "data/pretok_avx2.h"
#include "data/pretok_log.h"
#include "data/unicode_classes.h"

const char *const sec_pretok_names[SEC_N_PRETOKS] = {"log", "gpt2", "cl100k"};

const char *const sec_pretok_patterns[SEC_N_PRETOKS] = {
    "\\r?\\n| ?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+|[^\\S\\r\\n]+(?=[^\\S\\r\\n])|[^\\S\\r\\n]|"
    "\\r",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};

bool sec_pretok_linewise(enum sec_pretok kind)
{
    return kind == SEC_PRETOK_LOG;
}

enum sec_char_class sec_char_class(uint32_t cp)
{
    if (cp >= 0x110000)
        return SEC_CHAR_OTHER;
    unsigned pair = sec_unicode_blocks[sec_unicode_index[cp >> 7]][(cp & 127) >> 1];
    return (enum sec_char_class)(cp & 1 ? pair >> 4 : pair & 15);
}

/* The classes that matchers know. NEWLINE is CR or LF; BLANK is all other white space. */
enum kind { OTHER, LETTER, NUMBER, BLANK, NEWLINE, END };

static enum kind kind_at(const uint8_t *p, size_t n, size_t i, size_t *len)
{
    if (i >= n) {
        *len = 0;
        return END;
    }
    uint32_t c = p[i];
    *len = 1;
    if (c == '\r' || c == '\n')
        return NEWLINE;
    if (c >= 0x80) {
        bool ok;
        *len = sec_utf8_decode(p + i, n - i, &c, &ok); /* ill-formed: U+FFFD, of class OTHER */
    }
    enum sec_char_class k = sec_char_class(c);
    return k > SEC_CHAR_SPACE ? OTHER : (enum kind)k;
}

static size_t run(const uint8_t *p, size_t n, size_t i, enum kind kind)
{
    size_t len;
    while (kind_at(p, n, i, &len) == kind)
        i += len;
    return i;
}

static size_t up_to_three_numbers(const uint8_t *p, size_t n)
{
    size_t i = 0, len;
    for (int k = 0; k < 3 && kind_at(p, n, i, &len) == NUMBER; k++)
        i += len;
    return i;
}

static size_t log_piece(const uint8_t *p, size_t n)
{
    size_t len, next_len;
    enum kind k = kind_at(p, n, 0, &len);
    switch (k) {
    case NEWLINE:
        return p[0] == '\r' && n > 1 && p[1] == '\n' ? 2 : 1;
    case NUMBER:
        return up_to_three_numbers(p, n);
    case BLANK:
        break;
    default:
        return run(p, n, len, k);
    }
    enum kind next = kind_at(p, n, len, &next_len);
    if (p[0] == ' ' && (next == LETTER || next == OTHER))
        return run(p, n, len + next_len, next);
    /* All of the run but its last character. */
    size_t last = 0, i = len;
    while (kind_at(p, n, i, &next_len) == BLANK) {
        last = i;
        i += next_len;
    }
    return last ? last : len;
}

/* Length of 's 't 're 've 'm 'll 'd at p, or 0. Without case, U+017F counts as s (Unicode folding).
 */
static size_t contraction(const uint8_t *p, size_t n, bool fold)
{
    if (n < 2 || p[0] != '\'')
        return 0;
    uint8_t mask = fold ? 0x20 : 0, a = p[1] | mask, b = n > 2 ? p[2] | mask : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return fold && n > 2 && p[1] == 0xC5 && p[2] == 0xBF ? 3 : 0;
}

/* The tail that gpt2 and cl100k share: \s+(?!\S)|\s+ at white space; stop before the last character
 * when something follows. With newlines, first \s*[\r\n]+: up to the last CR or LF of the run. */
static size_t space_run(const uint8_t *p, size_t n, bool newlines)
{
    size_t i = 0, last = 0, after_newline = 0, len;
    enum kind k;
    while ((k = kind_at(p, n, i, &len)) == BLANK || k == NEWLINE) {
        last = i;
        i += len;
        if (k == NEWLINE)
            after_newline = i;
    }
    if (newlines && after_newline)
        return after_newline;
    return k == END || last == 0 ? i : last;
}

static size_t gpt2_piece(const uint8_t *p, size_t n)
{
    size_t len = contraction(p, n, false), next_len;
    if (len)
        return len;
    enum kind k = kind_at(p, n, 0, &len);
    if (k == LETTER || k == NUMBER || k == OTHER)
        return run(p, n, len, k);
    enum kind next = kind_at(p, n, len, &next_len);
    if (p[0] == ' ' && (next == LETTER || next == NUMBER || next == OTHER))
        return run(p, n, len + next_len, next);
    return space_run(p, n, false);
}

static size_t cl100k_piece(const uint8_t *p, size_t n)
{
    size_t len = contraction(p, n, true), next_len;
    if (len)
        return len;
    enum kind k = kind_at(p, n, 0, &len), next = kind_at(p, n, len, &next_len);
    if (k == LETTER)
        return run(p, n, len, LETTER);
    if (k == NUMBER)
        return up_to_three_numbers(p, n);
    if (k != NEWLINE && next == LETTER)
        return run(p, n, len, LETTER);
    if (k == OTHER || (p[0] == ' ' && next == OTHER)) {
        size_t i = run(p, n, len, OTHER);
        return run(p, n, i, NEWLINE);
    }
    return space_run(p, n, true);
}

size_t sec_pretok_piece(enum sec_pretok kind, const uint8_t *p, size_t n)
{
    switch (kind) {
    case SEC_PRETOK_GPT2:
        return gpt2_piece(p, n);
    case SEC_PRETOK_CL100K:
        return cl100k_piece(p, n);
    default:
        return log_piece(p, n);
    }
}

static inline void sec_classify64(const uint8_t *p, struct sec_masks *m)
{
    *m = (struct sec_masks){0};
    for (int i = 0; i < 64; i++) {
        uint64_t c = p[i];
        m->letter |= (uint64_t)(((c | 0x20) - 'a') < 26) << i;
        m->digit |= (uint64_t)(c - '0' < 10) << i;
        m->space |= (uint64_t)(c == ' ') << i;
        m->blank |= (uint64_t)(c == ' ' || c == '\t' || c == '\v' || c == '\f') << i;
        m->cr |= (uint64_t)(c == '\r') << i;
        m->lf |= (uint64_t)(c == '\n') << i;
        m->high |= (c >> 7) << i;
    }
}

size_t sec_pretok_batch(enum sec_pretok kind, const uint8_t *p, size_t n, uint32_t *ends,
                        size_t cap)
{
    if (kind == SEC_PRETOK_LOG)
        return sec_cpu_isa() >= SEC_ISA_AVX2 ? sec_pretok_log_avx2(p, n, ends, cap)
                                             : sec_log_batch(p, n, ends, cap);
    size_t count = 0, pos = 0;
    while (pos < n && count < cap) {
        pos += sec_pretok_piece(kind, p + pos, n - pos);
        ends[count++] = (uint32_t)pos;
    }
    return count;
}
