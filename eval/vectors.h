/* Where vectors go: a NumPy file (format 1.0, float32 [N, width]) or JSON lines
 * {"index":0,"tokens":12,"embedding":[...]}, on a file (written durably) or standard output.
 *
 * Vectors are written as they come, except that all are kept in memory when the mean of the whole
 * input must be known first (center) or when an .npy goes to a pipe, whose header holds N. */
#ifndef SEC_EVAL_VECTORS_H
#define SEC_EVAL_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sec_vector_format { SEC_VECTORS_NPY, SEC_VECTORS_JSONL };

struct sec_vectors_options {
    const char *path; /* "" or "-" = standard output */
    enum sec_vector_format format;
    size_t width;
    bool center;    /* subtract the mean of all vectors */
    bool normalize; /* to Euclidean length 1, after centring; a zero vector stays zero */
};

struct sec_vectors;
int sec_vectors_open(const struct sec_vectors_options *o, struct sec_vectors **out);
/* A sec_vector_fn: ctx is the struct sec_vectors. */
int sec_vectors_add(void *ctx, uint64_t index, uint64_t n_tokens, const float *v);
int sec_vectors_close(struct sec_vectors *s); /* completes the output; frees in any case */
void sec_vectors_abort(struct sec_vectors *s);

#endif
