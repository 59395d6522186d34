#include "data/pack.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int sec_pack_init(struct sec_pack *p, int budget)
{
    /* A sample is at least one token with [CLS] and [SEP]. Widest elements first: no padding. */
    const size_t T = (size_t)budget, B = T / 3 + 1;
    *p = (struct sec_pack){.budget = budget};
    char *at = p->block = sec_alloc_aligned(T * (8 + 4 + 2 + 2) + B * (8 + 4 + 4) + 4);
    if (!at)
        return SEC_ENOMEM;
    p->row_key = (uint64_t *)(void *)at, at += T * 8;
    p->sample_id = (uint64_t *)(void *)at, at += B * 8;
    p->rows = (int32_t *)(void *)at, at += T * 4;
    p->cu_seqlens = (int32_t *)(void *)at, at += (B + 1) * 4;
    p->first_pos = (uint32_t *)(void *)at, at += B * 4;
    p->ids = (uint16_t *)(void *)at, at += T * 2;
    p->labels = (uint16_t *)(void *)at;
    sec_pack_clear(p);
    return 0;
}

void sec_pack_free(struct sec_pack *p)
{
    sec_free_aligned(p->block);
    *p = (struct sec_pack){0};
}

void sec_pack_clear(struct sec_pack *p)
{
    p->n_tokens = p->n_seqs = 0;
    p->cu_seqlens[0] = 0;
}

uint16_t *sec_pack_add(struct sec_pack *p, uint64_t sample, uint32_t first_pos, uint32_t len)
{
    const int32_t start = p->n_tokens;
    uint64_t *key = p->row_key + start;
    for (uint32_t i = 0; i < len + 2; i++)
        key[i] = sample << 16 | i;
    p->ids[start] = SEC_TOK_CLS;
    p->ids[start + (int32_t)len + 1] = SEC_TOK_SEP;
    p->sample_id[p->n_seqs] = sample;
    p->first_pos[p->n_seqs] = first_pos;
    p->n_tokens += (int32_t)len + 2;
    p->cu_seqlens[++p->n_seqs] = p->n_tokens;
    return p->ids + start + 1;
}

void sec_pack_mask(struct sec_pack *p, const struct sec_masker *m)
{
    int n_masked = 0, longest = 0;
    for (int s = 0; s < p->n_seqs; s++) {
        int start = p->cu_seqlens[s], n = p->cu_seqlens[s + 1] - start;
        n_masked += sec_masker_apply(m, p->sample_id[s], p->first_pos[s], p->ids + start, n, start,
                                     p->rows + n_masked, p->labels + n_masked);
        longest = n > longest ? n : longest;
    }
    p->batch = (struct sec_batch){.n_tokens = p->n_tokens,
                                  .n_seqs = p->n_seqs,
                                  .max_seqlen = longest,
                                  .cu_seqlens = p->cu_seqlens,
                                  .ids = p->ids,
                                  .row_key = p->row_key,
                                  .n_masked = n_masked,
                                  .masked_rows = p->rows,
                                  .labels = p->labels,
                                  .sample_id = p->sample_id};
}
