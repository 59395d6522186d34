/* Results of evaluations. Each is one JSON line
 *   {"task","data","split","seed","metric","value","sd","ci95","n","model_sha","version"}
 * seed null: the mean over seeds, with "sd", their standard deviation (n - 1). ci95: bounds of a
 * 95 % bootstrap interval over documents, or null. n: what was counted (masked tokens), or null.
 *
 * Ownership: a list owns its strings. One thread. */
#ifndef SEC_EVAL_RESULTS_H
#define SEC_EVAL_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#define SEC_NO_SEED INT64_MIN

struct sec_result {
    const char *task, *split; /* static or outliving the list */
    char metric[64];
    int64_t seed;               /* SEC_NO_SEED: a mean over seeds, or a figure without chance */
    double value, sd, ci[2], n; /* NaN = none */
};

struct sec_results {
    struct sec_result *v;
    size_t n, cap;
    char *data; /* the data set */
    char model_sha[65];
};

int sec_results_add(struct sec_results *r, const struct sec_result *v);
/* The figure of a metric over all seeds; NULL if it is not there. */
const struct sec_result *sec_results_find(const struct sec_results *r, const char *task,
                                          const char *split, const char *metric);
/* Durably; "-" is standard output. */
int sec_results_write(const struct sec_results *r, const char *path);
void sec_results_free(struct sec_results *r);

#endif
