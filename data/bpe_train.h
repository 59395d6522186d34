/* Second half of training: merges from the counts of distinct pieces. */
#ifndef SEC_DATA_BPE_TRAIN_H
#define SEC_DATA_BPE_TRAIN_H

#include "data/bpe_count.h"
#include "data/bpe_model.h"

/* Learns merges as Hugging Face's BpeTrainer does (counts in 64 bits): the pair with the highest
 * count, then the smaller (left id, right id); until the vocabulary is full or the best count is
 * below max(1, min_frequency). Single-threaded. Returns 0, SEC_ENOMEM, or SEC_EDATA when the
 * entries would pass SEC_BPE_MAX_BYTES. */
int sec_bpe_learn(const struct sec_piece_counts *counts, const struct sec_bpe_options *o,
                  struct sec_tokenizer **out);

/* Counts of a trainer, for spilling. With a limit, spill(ctx, counts) is called when the counts
 * would pass that many bytes; it empties them. */
struct sec_piece_counts *sec_bpe_trainer_counts(struct sec_bpe_trainer *t);
void sec_bpe_trainer_limit(struct sec_bpe_trainer *t, size_t bytes,
                           int (*spill)(void *ctx, struct sec_piece_counts *c), void *ctx);

#endif
