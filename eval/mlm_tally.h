/* Tallies of masked-token prediction: what a pass over a split with one seed of masks gave, in
 * total, by document (for bootstrap intervals) and by group. */
#ifndef SEC_EVAL_MLM_TALLY_H
#define SEC_EVAL_MLM_TALLY_H

#include "base/file.h"
#include "eval/baseline.h"
#include "eval/field.h"
#include "train/mlm_eval.h"

/* Groups by sequence length in tokens, [CLS] and [SEP] included: up to 32, 64, ... 65,536. */
enum { SEC_N_LENGTHS = 12, SEC_SHORTEST_BUCKET = 32 };

/* Sums over masked tokens. bytes: of the masked tokens' own text. */
struct sec_tally {
    double n, loss, top1, top5, bytes, unigram_loss, unigram_top1, copy_top1;
};

struct sec_mlm_seed {
    struct sec_tally total, field[SEC_N_FIELDS], decile[SEC_N_DECILES], length[SEC_N_LENGTHS];
    struct sec_tally *doc; /* [n_docs] */
};

struct sec_tally_ctx {
    const struct sec_tokenizer *tok;
    const struct sec_unigram *unigram;
    struct sec_copy *copy;
    struct sec_mlm_seed *into;
    const char *split; /* for the dump */
    uint64_t seed;
    struct sec_atomic *dump; /* NULL = none */
    /* private, zero at the start of a pass */
    uint64_t doc;
    uint32_t next;  /* token of doc at which its next piece begins */
    uint16_t *orig; /* [cap] tokens of the sequence, masks undone */
    uint32_t *from; /* [cap + 1] where each one's text begins in text */
    int32_t *at, *guess;
    enum sec_field_class *field;
    int cap;
    struct sec_buf text, line;
};

/* A sec_mlm_row_fn; ctx is a struct sec_tally_ctx. Documents must come in order. */
int sec_tally_batch(void *ctx, const struct sec_batch *b, const float *loss, const int32_t *rank);
void sec_tally_restart(struct sec_tally_ctx *c); /* before a pass */
void sec_tally_free(struct sec_tally_ctx *c);    /* private parts only */

#endif
