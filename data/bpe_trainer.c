/* The public trainer: documents -> counts of pieces -> tokenizer. */
#include "base/error.h"
#include "data/bpe_train.h"
#include "data/pretok.h"

#include <stdlib.h>

#define BATCH 1024

struct sec_bpe_trainer {
    struct sec_bpe_options o;
    struct sec_piece_counts counts;
    uint32_t ends[BATCH];
    int (*spill)(void *ctx, struct sec_piece_counts *c);
    void *spill_ctx;
};

struct sec_bpe_trainer *sec_bpe_trainer_new(const struct sec_bpe_options *o)
{
    if (o->vocab_size < SEC_BPE_BASE || o->vocab_size > SEC_BPE_MAX_VOCAB) {
        sec_fail(SEC_EUSAGE, "vocabulary size %d; it must be %d (special tokens and bytes) to %d",
                 o->vocab_size, SEC_BPE_BASE, SEC_BPE_MAX_VOCAB);
        return NULL;
    }
    struct sec_bpe_trainer *t = malloc(sizeof *t);
    if (!t) {
        sec_fail(SEC_ENOMEM, "tokenizer training: no memory");
        return NULL;
    }
    t->o = *o;
    t->spill = NULL;
    if (sec_piece_counts_init(&t->counts)) {
        free(t);
        return NULL;
    }
    return t;
}

void sec_bpe_trainer_free(struct sec_bpe_trainer *t)
{
    if (!t)
        return;
    sec_piece_counts_free(&t->counts);
    free(t);
}

int sec_bpe_trainer_add(struct sec_bpe_trainer *t, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    if (n > UINT32_MAX)
        return sec_fail(SEC_EDATA, "tokenizer training: a document of %zu bytes; at most 4 GiB", n);
    while (n) {
        size_t k = sec_pretok_batch(t->o.pretok, p, n, t->ends, BATCH);
        int rc = sec_piece_counts_add(&t->counts, p, n, t->ends, k);
        if (!rc && t->counts.full)
            rc = t->spill(t->spill_ctx, &t->counts);
        if (rc)
            return rc;
        p += t->ends[k - 1];
        n -= t->ends[k - 1];
    }
    return 0;
}

int sec_bpe_trainer_merge(struct sec_bpe_trainer *into, struct sec_bpe_trainer *from)
{
    return sec_piece_counts_merge(&into->counts, &from->counts);
}

uint64_t sec_bpe_trainer_pieces(const struct sec_bpe_trainer *t)
{
    return t->counts.n_shorts + t->counts.n_longs;
}

int sec_bpe_train(struct sec_bpe_trainer *t, struct sec_tokenizer **out)
{
    return sec_bpe_learn(&t->counts, &t->o, out);
}

struct sec_piece_counts *sec_bpe_trainer_counts(struct sec_bpe_trainer *t)
{
    return &t->counts;
}

void sec_bpe_trainer_limit(struct sec_bpe_trainer *t, size_t bytes,
                           int (*spill)(void *ctx, struct sec_piece_counts *c), void *ctx)
{
    t->counts.limit = bytes;
    t->spill = spill;
    t->spill_ctx = ctx;
}
