/* A model ready for inference: MODEL (exported folder, run or checkpoint) with its tokenizer, a
 * backend and the weights on it; and packing of texts into unmasked batches. What fill-mask, embed
 * and every tool that runs an encoder share.
 *
 * Ownership: sec_infer_open() fills a struct that sec_infer_close() empties. One thread. Failure:
 * SEC_E* with one line that names the model and, where two vocabularies meet, both sizes. */
#ifndef SEC_EVAL_INFER_H
#define SEC_EVAL_INFER_H

#include "data/pack.h"
#include "data/tokenizer.h"
#include "model/model.h"

enum { SEC_INFER_SEQ_LEN = 512, SEC_INFER_BATCH_TOKENS = 8192 };

struct sec_infer_options {
    const char *backend;   /* "auto", "cuda", "cpu", "ref" */
    enum sec_dtype act;    /* SEC_F32 or SEC_BF16 */
    unsigned heads;        /* SEC_HEAD_* that the tool needs */
    int64_t seq_len;       /* longest sequence; 0 = 512, or what the model takes if that is less */
    int64_t batch_tokens;  /* of a batch; 0 = 8,192; raised to seq_len */
    int32_t max_masked;    /* rows of the MLM head at once; 0 = batch_tokens */
    const char *tokenizer; /* its folder; NULL = the model's own */
};

struct sec_infer {
    struct sec_model *model;
    struct sec_tokenizer *tok;
    struct sec_backend *be;
    int seq_len, batch_tokens;
    int64_t step;       /* of training; -1 for an exported folder */
    char model_sha[65]; /* SHA-256 of the fp32 weights in the order of the table; the same for a
                           checkpoint and its float32 export */
};

int sec_infer_open(const char *path, const struct sec_infer_options *o, struct sec_infer *out);
void sec_infer_close(struct sec_infer *m);

/* The fingerprint of the tokenizer in dir, to be written beside a model at path; "" if there is
 * none or it is one that secenc does not read. recorded: what the model says of its tokenizer ("" =
 * nothing); SEC_ECONFIG if the folder's is another. */
int sec_model_tokenizer_sha256(const char *path, const char *dir, const char *recorded,
                               char out[65]);

/* A pack of batch_tokens for sequences of this model. */
int sec_infer_pack(const struct sec_infer *m, struct sec_pack *p);
/* Does a sequence of len tokens, possibly none, still fit beside its [CLS] and [SEP]? */
bool sec_infer_fits(const struct sec_pack *p, uint32_t len);
/* The pack as a batch without masks; valid until the pack changes. */
struct sec_batch sec_infer_batch(const struct sec_pack *p);

/* Append the n bytes as well-formed UTF-8: what is ill-formed becomes U+FFFD. */
int sec_utf8_append(struct sec_buf *out, const void *p, size_t n);

#endif
