/* Token shards: SPLIT-NNNNN-of-NNNNN.h5 (serial HDF5, one writer), readable by h5py + hdf5plugin.
 * Attributes: format version, tokenizer fingerprint, vocabulary, split, sources, counts, seed.
 *   /tokens    u16 LE, chunks of 131,072, zstd filter 32015
 *   /doc_off   u64 [docs+1]   /doc_src u16 [docs] (index into /sources)   /doc_hash u64 [docs]
 *   /chunk_addr u64, /chunk_len u32, /chunk_xxh3 u64 (of the raw bytes): so that the loader can
 * pread and decode in its own threads without HDF5. A document is its tokens only; [CLS] and [SEP]
 * are added when a sample is packed. Sealing: tmp -> close -> fsync -> reopen and verify every hash
 * -> rename -> fsync directory -> manifest line. MANIFEST.jsonl's own hash is the data set's
 * fingerprint.
 *
 * A reader handle may be shared by threads: all its calls are const and use pread. */
#ifndef SEC_DATA_TOKSHARD_H
#define SEC_DATA_TOKSHARD_H

#include "data/textshard.h"
#include "data/tokenizer.h"

#define SEC_TOK_CHUNK 131072u

struct sec_tokenize_options {
    uint64_t seed;             /* of the global shuffle of documents */
    uint64_t tokens_per_shard; /* default 256 M */
    int threads;
    double temperature; /* by-source sampling of train: weight = size^temperature; 1 = as it is */
    double source_cap;  /* most of the training tokens that one source may make; 0, 1 = no cap */
    uint64_t memory;    /* bytes of each rank; 0 = 2 GiB */
    bool force;         /* replace an existing data set */
};

/* corpus (text shards) -> token data set in out_dir, all splits, plus the tokenizer's files.
 * Documents are globally shuffled (a pure function of seed and document id). The files do not
 * depend on ranks, threads or memory. Collective over ranks. Work in progress is in
 * out_dir.partial; after a failure or a kill the same call goes on from there. */
int sec_corpus_tokenize(const char *corpus, const char *tokenizer, const char *out_dir,
                        const struct sec_tokenize_options *o);

/* One split of a token data set, all its shards open. */
struct sec_tokens;
int sec_tokens_open(const char *dir, enum sec_split split, struct sec_tokens **out);
void sec_tokens_close(struct sec_tokens *t);

struct sec_tokens_info {
    uint64_t fingerprint; /* of MANIFEST.jsonl */
    const char *tokenizer_fingerprint;
    const char *dir; /* tokenizer.json lies here */
    int vocab_size;
    uint64_t n_docs, n_tokens, n_chunks;
    uint64_t n_bytes; /* of the documents' text: for bits per byte */
    uint16_t n_sources;
    const char *const *sources;
};
const struct sec_tokens_info *sec_tokens_info(const struct sec_tokens *t);

/* Decode and verify global chunk c into out[SEC_TOK_CHUNK]; *n = tokens in it. SEC_EDATA when the
 * hash differs, naming file and byte. */
int sec_tokens_chunk(const struct sec_tokens *t, uint64_t c, uint16_t *out, uint32_t *n);
/* Global document d: its first token and length in the split's token stream, source, text hash. */
void sec_tokens_doc(const struct sec_tokens *t, uint64_t d, uint64_t *first, uint32_t *len,
                    uint16_t *source, uint64_t *hash);
/* Copy tokens [first, first+n) of the split's stream. */
int sec_tokens_read(const struct sec_tokens *t, uint64_t first, uint32_t n, uint16_t *out);
/* Bytes of text of document d (attribute /doc_bytes u32). */
uint32_t sec_tokens_doc_bytes(const struct sec_tokens *t, uint64_t d);

#endif
