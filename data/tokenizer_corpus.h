/* Training from files. Inputs are text files (plain, gzip,
 * zstd; each line with its ending is one document, as in Hugging Face `tokenizers`), folders of
 * such files, or a corpus built by `secenc corpus build` (its train split only, whole documents).
 * Failure: the usual codes; a damaged file is used up to the damage, with a warning. */
#ifndef SEC_DATA_TOKENIZER_CORPUS_H
#define SEC_DATA_TOKENIZER_CORPUS_H

#include "data/tokenizer.h"

struct sec_bpe_summary {
    uint64_t bytes, pieces; /* read, and distinct pieces found */
    double count_seconds, merge_seconds;
};

/* Result is independent of o->threads (0 = all) and of the order of inputs. */
int sec_bpe_train_inputs(char *const *inputs, int n, const struct sec_bpe_options *o,
                         struct sec_tokenizer **out, struct sec_bpe_summary *summary);

#endif
