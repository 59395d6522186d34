/* Content-only masking (design/model.md): delimiters and specials are never selected and never
 * predicted. All randomness is Philox keyed by (seed, sample, position), so the result depends
 * neither on packing, batch, thread nor rank. */
#ifndef SEC_DATA_MASKING_H
#define SEC_DATA_MASKING_H

#include "data/tokenizer.h"

struct sec_mask_options {
    uint64_t seed;
    double probability;      /* of content tokens; 0.15 */
    double p_mask, p_random; /* 0.8, 0.1; the rest is kept */
    bool whole_field; /* draw fields (runs of tokens without white space or field delimiter) */
    int ngram_max;    /* 1 = single tokens; spans up to n tokens with probability ~ 1/n */
    bool eval;        /* all selected become [MASK]; stream SEC_STREAM_EVAL */
};

/* Mask ids[0..n) in place as sample `sample` (its first token is position `first_pos`). Selected
 * positions (ascending) go to rows[], the original ids to labels[]; both have room for n. Returns
 * how many. */
int sec_mask(const struct sec_tokenizer *t, const struct sec_mask_options *o, uint64_t sample,
             uint32_t first_pos, uint16_t *ids, int n, int32_t *rows, uint16_t *labels);

#endif
