/* What training of a configuration takes, by where it runs, and what would fit. */
#ifndef SEC_TRAIN_MEMORY_H
#define SEC_TRAIN_MEMORY_H

#include "model/model.h"
#include "train/config.h"

struct sec_train_memory {
    struct sec_model_memory model;
    uint64_t optimizer;
    uint64_t device; /* CUDA: scratch of the backend, runtime of the driver */
    uint64_t total;
};

int sec_train_memory(const struct sec_train_config *c, bool cuda, struct sec_train_memory *out);

/* The largest data.batch_tokens, a multiple of 64 or data.seq_len itself, whose training takes at
 * most `limit` bytes; 0: not one sequence fits. */
int64_t sec_train_largest_batch(const struct sec_train_config *c, bool cuda, bool recompute,
                                uint64_t limit);

/* "data.batch_tokens=N fits, ..." in one line. */
char *sec_train_what_fits(const struct sec_train_config *c, bool cuda, uint64_t limit,
                          char buf[160]);

/* Plans by model and length; the rest of the configuration as it is. */
enum { SEC_PLAN_MODELS = 4, SEC_PLAN_LENGTHS = 4 };
struct sec_train_plan_row {
    const char *model;
    int64_t parameters, seq_len, batch_tokens; /* at least one sequence */
    uint64_t bytes, bytes_recompute;
    int64_t largest, largest_recompute; /* batch_tokens within the limit */
};
/* base, large, xlarge and xxlarge as in configs/, at 512, 1,024, 8,192 and 48,000 tokens. */
int sec_train_plan_table(const struct sec_train_config *c, bool cuda, uint64_t limit,
                         struct sec_train_plan_row rows[SEC_PLAN_MODELS * SEC_PLAN_LENGTHS]);

#endif
