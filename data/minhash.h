/* MinHash signatures and LSH bands of documents (Broder 1997; Indyk and Motwani 1998), over the set
 * of shingles of the document's masked text (data/template.h): windows of `length` characters
 * (bytes), or of `length` words separated by blanks and newlines.
 *
 * A shingle becomes one 32-bit hash; 128 multiply-shift functions of it are minimised. Two
 * documents agree in one minimum with probability J, the Jaccard similarity of their shingle sets,
 * so in one band of r rows with J^r and in at least one of b bands with 1-(1-J^r)^b.
 *
 * Pure functions of bytes and options, the same on every instruction set; thread-safe with a
 * workspace a thread. */
#ifndef SEC_DATA_MINHASH_H
#define SEC_DATA_MINHASH_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

enum { SEC_MINHASH_N = 128 };

struct sec_minhash_options {
    unsigned length;      /* 5 characters, or 3 words */
    bool words;           /* shingles of words */
    unsigned bands, rows; /* 16 x 8; bands * rows <= 128 */
    double similarity;    /* threshold of verification, 0.8 */
};
/* SEC_EUSAGE naming the value. */
int sec_minhash_check(const struct sec_minhash_options *o);
/* "char5", "word3" -> length, words. SEC_EUSAGE. */
int sec_minhash_parse_shingle(const char *text, struct sec_minhash_options *o);

/* Buffers that grow as needed; zero-initialise; one thread. */
struct sec_shingler {
    struct sec_buf masked;
    uint32_t *hash; /* [n] hashes of the shingles in order, duplicates removed as far as is cheap */
    size_t n, cap;
    uint32_t *seen; /* table to remove them */
    size_t seen_cap;
};
/* Masks text[0..n) and fills s->hash. A text shorter than one shingle is one shingle. */
int sec_shingle(struct sec_shingler *s, const struct sec_minhash_options *o, const char *text,
                size_t n);
/* The same of text that is masked already: a document's masked text is its records' masked texts
 * joined with newlines. */
int sec_shingle_masked(struct sec_shingler *s, const struct sec_minhash_options *o,
                       const char *masked, size_t n);
void sec_shingler_free(struct sec_shingler *s);

/* 2^32 - 1 everywhere for no shingles. */
void sec_minhash_sign(const uint32_t *shingles, size_t n, uint32_t signature[SEC_MINHASH_N]);
/* Keys of bands [0, bands): 64-bit hash of the band's rows, mixed with the band's number. */
void sec_minhash_keys(const uint32_t signature[SEC_MINHASH_N], unsigned bands, unsigned rows,
                      uint64_t *keys);
/* Share of equal minima: an estimate of J with standard error sqrt(J(1-J)/128). */
double sec_minhash_estimate(const uint32_t a[SEC_MINHASH_N], const uint32_t b[SEC_MINHASH_N]);

/* A set of shingles for exact similarity: buckets of a cache line, a full one going on in the next;
 * its memory in one block so that caches can count it. */
struct sec_shingle_set {
    uint32_t *slot; /* 0 = empty, at a bucket's end; hash 0 is stored as 1 */
    uint32_t mask;  /* slots - 1 */
    uint32_t n;     /* distinct shingles */
};
int sec_shingle_set_make(const uint32_t *shingles, size_t n, struct sec_shingle_set *out);
size_t sec_shingle_set_bytes(const struct sec_shingle_set *s);
void sec_shingle_set_free(struct sec_shingle_set *s);
/* |A n B| / |A u B|; 1 for two empty sets. */
double sec_shingle_jaccard(const struct sec_shingle_set *a, const struct sec_shingle_set *b);
/* The same if it is at least `least`, else a value below `least`: an estimate from the part of the
 * smaller set that it took to know. */
double sec_shingle_jaccard_least(const struct sec_shingle_set *a, const struct sec_shingle_set *b,
                                 double least);

#endif
