/* Byte-level BPE tokenizer, identical in ids and merges to Hugging Face `tokenizers` (ByteLevel BPE
 * with the Split pattern stored in tokenizer.json).
 *
 * Ids: special tokens first ([PAD]=0 [CLS]=1 [SEP]=2 [UNK]=3 [MASK]=4), then the 256 byte symbols
 * by code point of the mapped character, then merges in order of training. Literal "[MASK]" in text
 * is text, never the special token, unless SEC_ENCODE_SPECIALS is given.
 *
 * Ownership: a tokenizer is immutable after loading and may be shared by threads; each thread
 * encodes through its own struct sec_encoder_ctx. Failure: SEC_EDATA naming file and entry. */
#ifndef SEC_DATA_TOKENIZER_H
#define SEC_DATA_TOKENIZER_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEC_TOK_PAD, SEC_TOK_CLS, SEC_TOK_SEP, SEC_TOK_UNK, SEC_TOK_MASK, SEC_TOK_SPECIALS };

enum sec_pretok { SEC_PRETOK_LOG, SEC_PRETOK_GPT2, SEC_PRETOK_CL100K };

/* Class of a vocabulary entry, fixed at training time: masking draws from content only. Delimiter =
 * nothing but punctuation, white space and control characters. */
enum sec_token_class { SEC_CLASS_SPECIAL, SEC_CLASS_DELIMITER, SEC_CLASS_CONTENT };

struct sec_tokenizer;

/* path: tokenizer.json or a folder that holds one (token_classes.json beside it is used when
 * present, else the classes are derived by the same rule). */
int sec_tokenizer_load(const char *path, struct sec_tokenizer **out);
/* Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json and token_classes.json into
 * dir, durably. */
int sec_tokenizer_save(const struct sec_tokenizer *t, const char *dir);
void sec_tokenizer_free(struct sec_tokenizer *t);

int sec_tokenizer_vocab_size(const struct sec_tokenizer *t);
enum sec_token_class sec_tokenizer_class(const struct sec_tokenizer *t, uint16_t id);
const uint8_t *sec_tokenizer_classes(const struct sec_tokenizer *t); /* [vocab] */
/* SHA-256 (hex) of the canonical vocabulary, merges and pattern: what data sets and checkpoints
 * record and compare. */
const char *sec_tokenizer_fingerprint(const struct sec_tokenizer *t);
/* Raw bytes of one entry (not NUL-terminated), e.g. for display; specials give their name. */
const uint8_t *sec_tokenizer_bytes(const struct sec_tokenizer *t, uint16_t id, size_t *len);

/* Per-thread encoding state: bounded cache of pieces. Not shared between threads. */
struct sec_encoder_ctx;
struct sec_encoder_ctx *sec_encoder_ctx_new(const struct sec_tokenizer *t);
void sec_encoder_ctx_free(struct sec_encoder_ctx *c);

#define SEC_ENCODE_SPECIALS 1 /* literal "[MASK]" etc. in the text become the special tokens */

/* Encode text[0..n) (any bytes; ill-formed UTF-8 is treated byte by byte) without [CLS]/[SEP]; ids
 * are appended to *out (grown with realloc; *cap entries). Returns 0, SEC_ENOMEM, or SEC_EDATA for
 * a text above 4 GiB. */
int sec_encode(struct sec_encoder_ctx *c, const char *text, size_t n, unsigned flags,
               uint16_t **out, size_t *len, size_t *cap);
/* As sec_encode, and for every new id the byte offset of its first byte in text goes to
 * offsets (same length as ids, grown alike); may be used for alignment. */
int sec_encode_offsets(struct sec_encoder_ctx *c, const char *text, size_t n, unsigned flags,
                       uint16_t **out, uint32_t **offsets, size_t *len, size_t *cap);
/* Append the bytes of ids to out; special tokens are skipped when skip_specials. */
int sec_decode(const struct sec_tokenizer *t, const uint16_t *ids, size_t n, bool skip_specials,
               struct sec_buf *out);

/* Training. Feed documents in any order and from any number of threads' counters; the result
 * depends on the multiset of documents only. */
struct sec_bpe_options {
    int vocab_size;         /* 29,952 */
    uint64_t min_frequency; /* 0 or 1: every pair */
    enum sec_pretok pretok;
    int threads;
    /* Of sec_bpe_train_inputs(): bytes that counting may hold on a rank (0 = no limit), and the
     * folder for counts beyond that or of several ranks; it is removed at the end. */
    uint64_t memory;
    const char *scratch;
};
struct sec_bpe_trainer;
struct sec_bpe_trainer *sec_bpe_trainer_new(const struct sec_bpe_options *o);
int sec_bpe_trainer_add(struct sec_bpe_trainer *t, const char *text,
                        size_t n); /* not thread-safe */
int sec_bpe_trainer_merge(struct sec_bpe_trainer *into, struct sec_bpe_trainer *from);
uint64_t sec_bpe_trainer_pieces(const struct sec_bpe_trainer *t); /* distinct ones so far */
int sec_bpe_train(struct sec_bpe_trainer *t, struct sec_tokenizer **out);
void sec_bpe_trainer_free(struct sec_bpe_trainer *t);

#endif
