/* Comparison of two models tensor by tensor: exported folders, run directories or checkpoints, in
 * any mix. Two checkpoints are compared with their optimiser moments. Where just one side is an
 * exported folder, relative row 0 is taken as row 1 on both, as export writes it. */
#ifndef SEC_MODEL_COMPARE_H
#define SEC_MODEL_COMPARE_H

#include <stddef.h>
#include <stdint.h>

struct sec_tensor_diff {
    char name[128];    /* arena/tensor */
    int only_in;       /* 0: in both; 1, 2: in that model only, or of another shape */
    int64_t n, n_diff; /* values, and those whose bits differ */
    double max_abs;    /* largest absolute difference; NaN if a NaN stands against a number */
};

struct sec_model_diff {
    struct sec_tensor_diff *v; /* every tensor, in the order of the table */
    size_t n, n_diff;          /* tensors, and those that differ */
    char *dir[2];              /* where the weights were read */
};

/* Returns 0 also when they differ; the failure is that one cannot be read. */
int sec_model_compare(const char *a, const char *b, struct sec_model_diff *out);
void sec_model_diff_free(struct sec_model_diff *d);

#endif
