/* Embeddings: one text, one vector.
 *
 * mean = the mean of the last hidden states over all tokens of the text, [CLS] and [SEP] included
 * (the mean under the attention mask, as sentence-transformers does); cls = the hidden state of
 * [CLS]. A text longer than the model's sequence length is cut into windows, each with its own
 * [CLS] and [SEP]; its vector is the mean over windows weighted by their tokens. Nothing is
 * truncated. An empty text is [CLS][SEP].
 *
 * Texts are packed into batches; a vector does not depend, in any bit, on the texts beside it.
 * Vectors are handed to the callback in the order of the texts. One thread. */
#ifndef SEC_EVAL_EMBED_H
#define SEC_EVAL_EMBED_H

#include "eval/infer.h"

enum sec_pool { SEC_POOL_MEAN, SEC_POOL_CLS };

/* v: [hidden_size], valid during the call. Non-zero stops. */
typedef int (*sec_vector_fn)(void *ctx, uint64_t index, uint64_t n_tokens, const float *v);

struct sec_embedder;
int sec_embedder_open(struct sec_infer *m, enum sec_pool pool, sec_vector_fn fn, void *ctx,
                      struct sec_embedder **out);
int sec_embedder_add(struct sec_embedder *e, const char *text, size_t n);
int sec_embedder_flush(struct sec_embedder *e); /* hands out every text added so far */
uint64_t sec_embedder_texts(const struct sec_embedder *e);
uint64_t sec_embedder_windowed(const struct sec_embedder *e); /* texts of several windows */
void sec_embedder_close(struct sec_embedder *e);

#endif
