/* A packed batch: what the loader makes and the model consumes. A batch is a flat list of tokens,
 * no pads; sequence s is tokens cu_seqlens[s] .. cu_seqlens[s+1]. The memory belongs to whoever
 * made the batch and stays valid until it is given back. */
#ifndef SEC_BASE_BATCH_H
#define SEC_BASE_BATCH_H

#include <stdint.h>

struct sec_batch {
    int32_t n_tokens;           /* T */
    int32_t n_seqs;             /* B */
    int32_t max_seqlen;         /* longest sequence */
    const int32_t *cu_seqlens;  /* [B+1] */
    const uint16_t *ids;        /* [T] input ids, after masking */
    const uint64_t *row_key;    /* [T] key of a token for dropout: (sample << 16 | position); the
                                   same token has the same key however it is packed */
    int32_t n_masked;           /* M: rows to predict */
    const int32_t *masked_rows; /* [M] ascending positions in ids */
    const uint16_t *labels;     /* [M] the original ids there */
    /* Where it came from, for logs, evaluation and the order tests; may be NULL. */
    const uint64_t *sample_id; /* [B] global sample index, or document index in evaluation */
};

#endif
