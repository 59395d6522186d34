/* Everything `secenc pretrain` can be told, in one table (base/config.h). */
#ifndef SEC_TRAIN_CONFIG_H
#define SEC_TRAIN_CONFIG_H

#include "base/config.h"
#include "data/loader.h"
#include "kernels/ops.h"
#include "model/config.h"

enum sec_schedule { SEC_SCHEDULE_WSD, SEC_SCHEDULE_LINEAR, SEC_SCHEDULE_COSINE };
enum sec_precision { SEC_PRECISION_BF16, SEC_PRECISION_FP32 };
enum sec_on_error { SEC_ON_ERROR_ABORT, SEC_ON_ERROR_SUBSTITUTE };

struct sec_train_config {
    struct sec_model_config model;

    char *backend; /* auto, cuda, cpu, ref */
    int precision; /* enum sec_precision */
    int64_t seed;
    int64_t steps;
    double learning_rate, min_lr_ratio, warmup, decay;
    int schedule; /* enum sec_schedule */
    double beta1, beta2, adam_eps, weight_decay, clip;
    int64_t accumulation;
    bool recompute;

    int64_t seq_len, batch_tokens;
    double mlm_probability, mask_share, random_share;
    bool whole_field;
    int64_t ngram_max, ring, loader_threads, windows;
    int on_error; /* enum sec_on_error */

    int64_t log_every, eval_every, eval_docs;
    int64_t save_every, keep;
};

extern const struct sec_key sec_train_schema[];

/* Cross-field checks beyond ranges: SEC_ECONFIG naming key, value and what would fit. */
int sec_train_config_check(const struct sec_train_config *c);

/* The loader's options of this configuration, for rank `rank` of `world`. */
struct sec_loader_options sec_train_loader_options(const struct sec_train_config *c, int rank,
                                                   int world);

static inline enum sec_dtype sec_train_act(const struct sec_train_config *c)
{
    return c->precision == SEC_PRECISION_BF16 ? SEC_BF16 : SEC_F32;
}

#endif
