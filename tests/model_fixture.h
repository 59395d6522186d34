/* Small models and batches for the model tests. */
#ifndef SEC_TESTS_MODEL_FIXTURE_H
#define SEC_TESTS_MODEL_FIXTURE_H

#include "base/rng.h"
#include "model/model.h"

#ifndef FIX_TOKENS
#define FIX_TOKENS 64
#endif
#define FIX_SEQS 8

struct fix_batch {
    struct sec_batch b;
    int32_t cu[FIX_SEQS + 1], masked_rows[FIX_TOKENS];
    uint16_t ids[FIX_TOKENS], labels[FIX_TOKENS];
    uint64_t row_key[FIX_TOKENS];
};

static inline struct sec_model_config fix_config(int64_t conv, int64_t mp, double dropout)
{
    return (struct sec_model_config){.vocab_size = 96,
                                     .hidden_size = 16,
                                     .num_hidden_layers = 2,
                                     .num_attention_heads = 2,
                                     .intermediate_size = 24,
                                     .max_position_embeddings = 256,
                                     .max_relative_positions = mp,
                                     .position_buckets = 8,
                                     .conv_kernel_size = conv,
                                     .layer_norm_eps = 1e-7,
                                     .initializer_range = 0.3,
                                     .hidden_dropout_prob = dropout,
                                     .attention_probs_dropout_prob = dropout};
}

/* n sequences of the given lengths; every third token is masked. Token ids and keys depend on the
 * sequence's number first + s and the position only. */
static inline void fix_fill(struct fix_batch *f, const int *lengths, int n, int first, int vocab)
{
    struct sec_batch *b = &f->b;
    *b = (struct sec_batch){.n_seqs = n,
                            .cu_seqlens = f->cu,
                            .ids = f->ids,
                            .row_key = f->row_key,
                            .masked_rows = f->masked_rows,
                            .labels = f->labels};
    f->cu[0] = 0;
    for (int s = 0; s < n; s++) {
        for (int i = 0; i < lengths[s]; i++) {
            int32_t t = b->n_tokens++;
            uint64_t key = (uint64_t)(first + s) << 16 | (uint64_t)i;
            uint32_t w[4];
            sec_rand4(7, SEC_STREAM_SAMPLE, key, 0, w);
            f->ids[t] = (uint16_t)sec_below(w[0], (uint32_t)vocab);
            f->row_key[t] = key;
            if (w[1] % 3 == 0) {
                f->masked_rows[b->n_masked] = t;
                f->labels[b->n_masked++] = (uint16_t)sec_below(w[2], (uint32_t)vocab);
            }
        }
        f->cu[s + 1] = b->n_tokens;
        if (lengths[s] > b->max_seqlen)
            b->max_seqlen = lengths[s];
    }
}

/* Like sec_model_init, but vectors are random too, so that no gradient is zero by accident. */
static inline void fix_values(const struct sec_model *m, uint64_t seed, float *host)
{
    const struct sec_params *p = &m->params;
    sec_params_init(p, &m->config, seed, host);
    for (int i = 0; i < p->n; i++)
        if (p->v[i].ndim == 1)
            for (int64_t j = 0; j < p->v[i].count; j++)
                host[p->v[i].offset + j] +=
                    (float)(0.3 * sec_rand_normal(seed + 1, SEC_STREAM_SAMPLE,
                                                  (uint64_t)(p->v[i].offset + j)));
}

#endif
