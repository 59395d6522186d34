/* Sketches of documents: the low byte of each of the 128 minima of a MinHash signature (b-bit
 * minwise hashing, Li and Koenig 2010, b = 8). Two sketches agree in a byte with probability
 * J + (1 - J)/256, so they tell pairs that are not worth an exact comparison.
 *
 * A file holds one record a document, in order: 128 bytes and their XXH3 seeded with the document's
 * number. It appears under its name when complete. A damaged one is SEC_EDATA and is renamed to
 * NAME.damaged. One thread a writer; reading is pread. */
#ifndef SEC_DATA_SKETCH_H
#define SEC_DATA_SKETCH_H

#include "data/minhash.h"

struct sec_sketch_writer;
int sec_sketch_create(const char *path, struct sec_sketch_writer **out);
int sec_sketch_add(struct sec_sketch_writer *w, const uint32_t signature[SEC_MINHASH_N]);
int sec_sketch_skip(struct sec_sketch_writer *w); /* a document that nobody asks about */
int sec_sketch_seal(struct sec_sketch_writer *w); /* frees w in any case; NULL is fine */
void sec_sketch_abort(struct sec_sketch_writer *w);

/* Sketch of document i out of an open file; path is for messages. */
int sec_sketch_read(int fd, const char *path, uint64_t i, uint8_t sketch[SEC_MINHASH_N]);

void sec_sketch_of(const uint32_t signature[SEC_MINHASH_N], uint8_t sketch[SEC_MINHASH_N]);
/* Keys of bands [0, bands), as sec_minhash_keys(), of the bytes alone: one more pair in 2^(8 rows)
 * agrees by chance. */
void sec_sketch_keys(const uint8_t sketch[SEC_MINHASH_N], unsigned bands, unsigned rows,
                     uint64_t *keys);

/* Unbiased estimate of J; may be a little below 0. */
double sec_sketch_similarity(const uint8_t a[SEC_MINHASH_N], const uint8_t b[SEC_MINHASH_N]);
/* An estimate below this means J < least: 3.5 standard errors, so that of pairs with J = least one
 * in 4,000 is missed, and fewer above. */
double sec_sketch_threshold(double least);

#endif
