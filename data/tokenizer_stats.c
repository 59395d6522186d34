#include "data/tokenizer_stats.h"

#include <stdlib.h>

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

int sec_tokenizer_stats_add(struct sec_encoder_ctx *c, const struct sec_tokenizer *t,
                            const char *line, size_t n, struct sec_tokenizer_stats *s)
{
    uint16_t *ids = NULL;
    size_t len = 0, cap = 0;
    int rc = sec_encode(c, line, n, 0, &ids, &len, &cap);
    for (size_t i = 0; i < len && !rc; i++) {
        s->used[ids[i]]++;
        s->by_class[sec_tokenizer_class(t, ids[i])]++;
    }
    for (size_t i = 0; i < n; i++)
        s->words += !blank(line[i]) && (i == 0 || blank(line[i - 1]));
    s->lines++;
    s->bytes += n;
    s->tokens += len;
    free(ids);
    return rc;
}

void sec_tokenizer_entries(const struct sec_tokenizer *t, const struct sec_tokenizer_stats *s,
                           struct sec_entry_counts *out)
{
    *out = (struct sec_entry_counts){0};
    for (int i = 0; i < sec_tokenizer_vocab_size(t); i++) {
        out->by_class[sec_tokenizer_class(t, (uint16_t)i)]++;
        out->unused += i >= SEC_TOK_SPECIALS && !s->used[i];
    }
}

size_t sec_tokenizer_longest(const struct sec_tokenizer *t, uint16_t *ids, size_t n)
{
    size_t count = 0;
    for (int i = SEC_TOK_SPECIALS; n && i < sec_tokenizer_vocab_size(t); i++) {
        size_t len, other, k = count < n ? count++ : n;
        sec_tokenizer_bytes(t, (uint16_t)i, &len);
        /* Insertion from the shorter end; equal lengths keep the order of ids. */
        for (; k > 0; k--) {
            sec_tokenizer_bytes(t, ids[k - 1], &other);
            if (other >= len)
                break;
            if (k < n)
                ids[k] = ids[k - 1];
        }
        if (k < n)
            ids[k] = (uint16_t)i;
    }
    return count;
}
