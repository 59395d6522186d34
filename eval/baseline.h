/* Baselines of masked-token prediction, measured on exactly the masked positions that the model is
 * measured on.
 *
 * unigram: a content token t has probability (count(t) + 1) / (N + C), with count(t) over the
 *   training split, N all content tokens there and C content entries of the vocabulary; its guess
 *   is always the most frequent content token (the smallest id among equals).
 * copy: "copy the token at the same column of the previous line with the same first three tokens".
 *   Columns are counted in tokens from the start of a line; a line ends at a token that holds a
 *   newline. A line needs three tokens; two lines agree when their first three are equal wherever
 *   both are visible (not [MASK]) and at least one pair is visible in both. The nearest earlier
 *   line of the same sequence that agrees and has a visible token at the column is copied from.
 *   Without one the guess is the unigram's. */
#ifndef SEC_EVAL_BASELINE_H
#define SEC_EVAL_BASELINE_H

#include "data/tokshard.h"

enum { SEC_N_DECILES = 10 };

struct sec_unigram {
    uint64_t *count; /* [vocab] in the training split; 0 for what is no content */
    double *loss;    /* [vocab] nats, with add-one smoothing */
    uint8_t *decile; /* [vocab] content entries from the most frequent on, cut where each tenth of
                        the training content tokens begins: 0 = most frequent; unseen ones 9 */
    uint64_t n_content;
    uint16_t best; /* most frequent content token */
};
int sec_unigram_count(const struct sec_tokens *train, const struct sec_tokenizer *tok,
                      struct sec_unigram *out);
/* From counts of every entry (copied). */
int sec_unigram_make(const uint64_t *count, const struct sec_tokenizer *tok,
                     struct sec_unigram *out);
void sec_unigram_free(struct sec_unigram *u);

/* guess[i] for each masked position at[i] (ascending indices into ids[0..n), the tokens between
 * [CLS] and [SEP], masked ones as [MASK]): the copied token, or -1. One thread an object. */
struct sec_copy;
struct sec_copy *sec_copy_new(const struct sec_tokenizer *tok); /* NULL + message */
void sec_copy_free(struct sec_copy *c);
int sec_copy_guess(struct sec_copy *c, const uint16_t *ids, int n, const int32_t *at, int n_at,
                   int32_t *guess);

#endif
