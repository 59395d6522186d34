#include "base/error.h"
#include "eval/baseline.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX = 3 };

struct line {
    int first, n;
};

struct sec_copy {
    bool newline[UINT16_MAX + 1];
    struct line *lines;
    int cap;
};

struct sec_copy *sec_copy_new(const struct sec_tokenizer *tok)
{
    struct sec_copy *c = calloc(1, sizeof *c);
    if (!c) {
        sec_fail(SEC_ENOMEM, "no memory for the copy baseline");
        return NULL;
    }
    for (int id = SEC_TOK_SPECIALS; id < sec_tokenizer_vocab_size(tok); id++) {
        size_t n;
        const uint8_t *p = sec_tokenizer_bytes(tok, (uint16_t)id, &n);
        c->newline[id] = memchr(p, '\n', n) != NULL;
    }
    return c;
}

void sec_copy_free(struct sec_copy *c)
{
    if (!c)
        return;
    free(c->lines);
    free(c);
}

static int split_lines(struct sec_copy *c, const uint16_t *ids, int n)
{
    int n_lines = 0, first = 0;
    if (c->cap < n + 1) {
        struct line *more = realloc(c->lines, (size_t)(n + 1) * sizeof *more);
        if (!more)
            return sec_fail(SEC_ENOMEM, "no memory for the lines of %d tokens", n);
        c->lines = more;
        c->cap = n + 1;
    }
    for (int i = 0; i <= n; i++)
        if (i == n || c->newline[ids[i]]) {
            c->lines[n_lines++] = (struct line){first, i - first};
            first = i + 1;
        }
    return n_lines;
}

static bool agree(const uint16_t *ids, const struct line *a, const struct line *b)
{
    bool compared = false;
    if (a->n < PREFIX || b->n < PREFIX)
        return false;
    for (int i = 0; i < PREFIX; i++) {
        uint16_t x = ids[a->first + i], y = ids[b->first + i];
        if (x == SEC_TOK_MASK || y == SEC_TOK_MASK)
            continue;
        if (x != y)
            return false;
        compared = true;
    }
    return compared;
}

int sec_copy_guess(struct sec_copy *c, const uint16_t *ids, int n, const int32_t *at, int n_at,
                   int32_t *guess)
{
    int n_lines = split_lines(c, ids, n), cur = 0;
    if (n_lines < 0)
        return n_lines;
    for (int i = 0; i < n_at; i++) {
        while (at[i] > c->lines[cur].first + c->lines[cur].n)
            cur++;
        const int column = at[i] - c->lines[cur].first;
        guess[i] = -1;
        for (int k = cur - 1; k >= 0 && guess[i] < 0; k--) {
            const struct line *l = &c->lines[k];
            if (column < l->n && ids[l->first + column] != SEC_TOK_MASK &&
                agree(ids, &c->lines[cur], l))
                guess[i] = ids[l->first + column];
        }
    }
    return 0;
}
