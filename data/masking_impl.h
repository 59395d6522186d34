/* The masker behind data/masking.h, built once and used for every sample.
 *
 * Random numbers of sample s, key (seed, stream), Philox counter (s, sub):
 *   sub = position / 4          word position % 4 decides whether the position is drawn
 *   sub = 2^31 + position       word 0: [MASK], random or kept; word 1: which random token
 *   sub = 2^30 + position       word 0: length of a span that starts here (n-grams)
 *   sub = 2^31 + 2^30 + k       spans that began k content tokens before the first one (n-grams)
 * so one block serves four positions and whole ranges of positions can be computed at once.
 *
 * A masker is constant and may be shared by threads. */
#ifndef SEC_DATA_MASKING_IMPL_H
#define SEC_DATA_MASKING_IMPL_H

#include "data/masking.h"

struct sec_masker;
int sec_masker_new(const struct sec_tokenizer *t, const struct sec_mask_options *o,
                   struct sec_masker **out);
void sec_masker_free(struct sec_masker *m);
/* Differs whenever two sets of options may mask differently; never 0. */
uint64_t sec_mask_fingerprint(const struct sec_mask_options *o);
/* As sec_mask(); rows are counted from row0. A sample may end up without any selected token: it
 * then adds nothing to the loss, which keeps the drawing unbiased. */
int sec_masker_apply(const struct sec_masker *m, uint64_t sample, uint32_t first_pos, uint16_t *ids,
                     int n, int row0, int32_t *rows, uint16_t *labels);

/* The random numbers of many positions at once; the three give the same, avx2 and avx512 need that
 * processor.
 *
 * bits: bit i of bits[] = word (i % 4) of block first_block + i / 4 is below threshold, 64 * n
 * bits. words: words[i] = the first two words of block sub + pos[i], i < n; room for n rounded up
 * to a multiple of 16. */
#define SEC_MASK_RANDOM(isa)                                                                       \
    void sec_mask_bits_##isa(uint64_t seed, uint32_t stream, uint64_t sample,                      \
                             uint32_t first_block, uint32_t threshold, uint64_t *bits, int n);     \
    void sec_mask_words_##isa(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t sub,       \
                              const int32_t *pos, int n, uint32_t(*words)[2]);
SEC_MASK_RANDOM(portable)
SEC_MASK_RANDOM(avx2)
SEC_MASK_RANDOM(avx512)

#endif
