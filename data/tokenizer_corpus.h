/* Training from files. Inputs are text files (plain, gzip, zstd; each line with its ending is one
 * document, as in Hugging Face `tokenizers`), folders of such files, or a corpus built by `secenc
 * corpus build` (its train split only, whole documents). Failure: the usual codes; a damaged file
 * is used up to the damage, with a warning.
 *
 * Collective over ranks: inputs are shared out by file, long plain files by ranges of lines; counts
 * are exchanged through files (data/bpe_spill.h); rank 0 learns the merges. Counting stays within
 * o->memory a rank, whatever the input. Learning needs the distinct pieces in memory, on rank 0:
 * about 100 bytes a piece of average length. */
#ifndef SEC_DATA_TOKENIZER_CORPUS_H
#define SEC_DATA_TOKENIZER_CORPUS_H

#include "data/tokenizer.h"

struct sec_bpe_summary {
    uint64_t bytes, pieces; /* read, and distinct pieces found */
    double count_seconds, merge_seconds;
};

/* Result is independent of o->threads (0 = all), of ranks and memory and of the order of inputs.
 * *out is NULL on ranks above 0. */
int sec_bpe_train_inputs(char *const *inputs, int n, const struct sec_bpe_options *o,
                         struct sec_tokenizer **out, struct sec_bpe_summary *summary);

#endif
