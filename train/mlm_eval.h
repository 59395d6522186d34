/* Masked-LM evaluation of a split: 15 % of content tokens, all [MASK], from a counter RNG keyed by
 * (seed, document, position), so that batch size and order never change what is measured. */
#ifndef SEC_TRAIN_MLM_EVAL_H
#define SEC_TRAIN_MLM_EVAL_H

#include "data/loader.h"
#include "model/model.h"

struct sec_mlm_result {
    double loss;     /* mean nats a masked token */
    double accuracy; /* top-1 */
    double top5;
    uint64_t n_masked, n_tokens;
};

/* Called for every batch with the loss and rank of its masked rows; non-zero stops. */
typedef int (*sec_mlm_row_fn)(void *ctx, const struct sec_batch *b, const float *loss,
                              const int32_t *rank);

struct sec_mlm_eval_options {
    uint64_t seed;
    int seq_len, batch_tokens;
    bool whole_field;        /* mask whole fields (an address, a path), not single tokens */
    uint64_t max_docs;       /* 0 = all */
    sec_mlm_row_fn on_batch; /* may be NULL */
    void *ctx;
    const char *progress; /* label of the progress line, NULL = silent */
};

int sec_mlm_eval(struct sec_model *m, const struct sec_tokens *t, const struct sec_tokenizer *tok,
                 const struct sec_mlm_eval_options *o, struct sec_mlm_result *out);

#endif
