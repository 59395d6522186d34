#include "base/error.h"
#include "eval/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint64_t count;
    uint16_t id;
};

static int by_count(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void fill_in(struct sec_unigram *u, const struct entry *e, size_t n, uint64_t total)
{
    uint64_t before = 0;
    u->n_content = total;
    u->best = e[0].id;
    for (size_t i = 0; i < n; i++) {
        double decile = total ? floor((double)before * SEC_N_DECILES / (double)total) : 0;
        u->decile[e[i].id] = (uint8_t)(decile < SEC_N_DECILES ? decile : SEC_N_DECILES - 1);
        u->loss[e[i].id] = log((double)total + (double)n) - log((double)e[i].count + 1);
        u->count[e[i].id] = e[i].count;
        before += e[i].count;
    }
}

int sec_unigram_make(const uint64_t *count, const struct sec_tokenizer *tok,
                     struct sec_unigram *out)
{
    const size_t vocab = (size_t)sec_tokenizer_vocab_size(tok);
    const uint8_t *classes = sec_tokenizer_classes(tok);
    size_t n = 0;
    uint64_t total = 0;
    struct entry *e = malloc(vocab * sizeof *e);
    *out = (struct sec_unigram){.count = calloc(vocab, sizeof *out->count),
                                .loss = calloc(vocab, sizeof *out->loss),
                                .decile = calloc(vocab, sizeof *out->decile)};
    int rc = 0;
    if (!e || !out->count || !out->loss || !out->decile) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the counts of %zu tokens", vocab);
        goto fail;
    }
    for (size_t id = 0; id < vocab; id++)
        if (classes[id] == SEC_CLASS_CONTENT) {
            e[n++] = (struct entry){count[id], (uint16_t)id};
            total += count[id];
        }
    if (!n) {
        rc = sec_fail(SEC_EDATA, "the tokenizer has no content token");
        goto fail;
    }
    qsort(e, n, sizeof *e, by_count);
    fill_in(out, e, n, total);
fail:
    free(e);
    if (rc)
        sec_unigram_free(out);
    return rc;
}

int sec_unigram_count(const struct sec_tokens *train, const struct sec_tokenizer *tok,
                      struct sec_unigram *out)
{
    uint64_t *count = calloc(UINT16_MAX + 1, sizeof *count);
    uint16_t *chunk = malloc(SEC_TOK_CHUNK * sizeof *chunk);
    uint32_t n;
    int rc = 0;
    if (!count || !chunk) {
        rc = sec_fail(SEC_ENOMEM, "no memory to count the training tokens");
        goto fail;
    }
    for (uint64_t c = 0; c < sec_tokens_info(train)->n_chunks; c++) {
        SEC_TRY(sec_tokens_chunk(train, c, chunk, &n));
        for (uint32_t i = 0; i < n; i++)
            count[chunk[i]]++;
    }
    rc = sec_unigram_make(count, tok, out);
fail:
    free(count);
    free(chunk);
    return rc;
}

void sec_unigram_free(struct sec_unigram *u)
{
    free(u->count);
    free(u->loss);
    free(u->decile);
    *u = (struct sec_unigram){0};
}
