#include "train/config.h"

#include "base/error.h"

#define C     struct sec_train_config
#define AT(f) offsetof(C, f)

const struct sec_key sec_train_schema[] = {
    SEC_MODEL_KEYS(C, model),

    {"train.device", SEC_T_STRING, AT(backend), "auto", 0, 0, NULL,
     "where the arithmetic runs: auto (the GPU if there is one), cuda, cpu; ref for tests"},
    {"train.precision", SEC_T_ENUM, AT(precision), "bf16", 0, 0, "bf16|fp32",
     "type of activations; master weights and sums are fp32 in both"},
    {"train.seed", SEC_T_INT, AT(seed), "1", 0, 9e15, NULL,
     "seed of initial weights, data order, masks and dropout"},
    {"train.steps", SEC_T_INT, AT(steps), "10000", 1, 1e12, NULL, "optimiser steps of the run"},
    {"train.learning_rate", SEC_T_FLOAT, AT(learning_rate), "5e-4", 0, 10, NULL,
     "peak learning rate"},
    {"train.min_lr_ratio", SEC_T_FLOAT, AT(min_lr_ratio), "0", 0, 1, NULL,
     "learning rate at the end, as a share of the peak"},
    {"train.schedule", SEC_T_ENUM, AT(schedule), "wsd", 0, 0, "wsd|linear|cosine",
     "wsd = warm-up, constant, 1-sqrt decay"},
    {"train.warmup", SEC_T_FLOAT, AT(warmup), "0.02", 0, 1e12, NULL,
     "warm-up: below 1 a share of the steps, else a number of steps"},
    {"train.decay", SEC_T_FLOAT, AT(decay), "0.2", 0, 1, NULL,
     "wsd: share of the steps that decay"},
    {"train.adam_beta1", SEC_T_FLOAT, AT(beta1), "0.9", 0, 0.9999, NULL, "AdamW beta 1"},
    {"train.adam_beta2", SEC_T_FLOAT, AT(beta2), "0.98", 0, 0.99999, NULL, "AdamW beta 2"},
    {"train.adam_eps", SEC_T_FLOAT, AT(adam_eps), "1e-6", 1e-16, 1, NULL, "AdamW epsilon"},
    {"train.weight_decay", SEC_T_FLOAT, AT(weight_decay), "0.01", 0, 10, NULL,
     "decoupled weight decay of matrices (not of biases and LayerNorm)"},
    {"train.clip", SEC_T_FLOAT, AT(clip), "1", 0, 1e9, NULL, "gradient norm to clip at; 0 = never"},
    {"train.accumulation", SEC_T_INT, AT(accumulation), "1", 1, 65536, NULL,
     "micro-batches of one step"},
    {"train.recompute", SEC_T_BOOL, AT(recompute), "false", 0, 0, NULL,
     "keep the inputs of layers only and compute the rest again in backward: less memory, a third "
     "more work, the same bits"},

    {"data.seq_len", SEC_T_INT, AT(seq_len), "512", 8, 1048576, NULL,
     "longest training sequence, in tokens with [CLS] and [SEP]"},
    {"data.batch_tokens", SEC_T_INT, AT(batch_tokens), "4096", 8, 16777216, NULL,
     "token budget of one micro-batch"},
    {"data.mlm_probability", SEC_T_FLOAT, AT(mlm_probability), "0.15", 0.001, 0.9, NULL,
     "share of content tokens to predict"},
    {"data.mask_share", SEC_T_FLOAT, AT(mask_share), "0.8", 0, 1, NULL,
     "share of the predicted tokens that become [MASK]"},
    {"data.random_share", SEC_T_FLOAT, AT(random_share), "0.1", 0, 1, NULL,
     "share of the predicted tokens that become a random content token; the rest is kept"},
    {"data.whole_field", SEC_T_BOOL, AT(whole_field), "false", 0, 0, NULL,
     "mask whole fields (an address, a path, a word) at once"},
    {"data.ngram_max", SEC_T_INT, AT(ngram_max), "1", 1, 16, NULL,
     "longest span to mask, in tokens"},
    {"data.ring", SEC_T_INT, AT(ring), "4", 2, 4096, NULL, "batches prepared ahead"},
    {"data.windows", SEC_T_INT, AT(windows), "4", 2, 1024, NULL,
     "windows of 2.1 M tokens decoded: the one in use and those ahead of it; 4 absorb reads that "
     "hang for 0.5 s up to 8 M tokens/s over all ranks"},
    {"data.threads", SEC_T_INT, AT(loader_threads), "1", 1, 256, NULL, "threads of the loader"},
    {"data.on_error", SEC_T_ENUM, AT(on_error), "abort", 0, 0, "abort|substitute",
     "a corrupt chunk: stop, or take the next good sample and record it"},

    {"log.every", SEC_T_INT, AT(log_every), "10", 1, 1e9, NULL, "steps between lines of metrics"},
    {"eval.every", SEC_T_INT, AT(eval_every), "1000", 0, 1e12, NULL,
     "steps between evaluations; 0 = only at the end"},
    {"eval.docs", SEC_T_INT, AT(eval_docs), "500", 0, 1e12, NULL,
     "documents of each test split in an evaluation during training; 0 = all"},
    {"checkpoint.every", SEC_T_INT, AT(save_every), "1000", 0, 1e12, NULL,
     "steps between checkpoints; 0 = only at the end"},
    {"checkpoint.keep", SEC_T_INT, AT(keep), "3", 1, 100000, NULL, "newest checkpoints kept"},
    {0}};

int sec_train_config_check(const struct sec_train_config *c)
{
    int rc = sec_model_config_check(&c->model);
    if (rc)
        return rc;
    if (c->seq_len > c->model.max_position_embeddings)
        return sec_fail(SEC_ECONFIG,
                        "data.seq_len = %lld is above model.max_position_embeddings = %lld: lower "
                        "the first or raise the second",
                        (long long)c->seq_len, (long long)c->model.max_position_embeddings);
    if (c->batch_tokens < c->seq_len)
        return sec_fail(
            SEC_ECONFIG,
            "data.batch_tokens = %lld does not hold one sequence of data.seq_len = %lld: "
            "raise the first to at least %lld",
            (long long)c->batch_tokens, (long long)c->seq_len, (long long)c->seq_len);
    if (c->mask_share + c->random_share > 1)
        return sec_fail(SEC_ECONFIG,
                        "data.mask_share %g + data.random_share %g is above 1: lower one of them",
                        c->mask_share, c->random_share);
    return 0;
}

struct sec_loader_options sec_train_loader_options(const struct sec_train_config *c, int rank,
                                                   int world)
{
    return (struct sec_loader_options){
        .seed = (uint64_t)c->seed,
        .seq_len = (int)c->seq_len,
        .batch_tokens = (int)c->batch_tokens,
        .micro_batches = (int)c->accumulation,
        .rank = rank,
        .world = world,
        .ring = (int)c->ring,
        .threads = (int)c->loader_threads,
        .windows = (int)c->windows,
        .substitute = c->on_error == SEC_ON_ERROR_SUBSTITUTE,
        .mask = {.seed = (uint64_t)c->seed,
                 .probability = c->mlm_probability,
                 .p_mask = c->mask_share,
                 .p_random = c->random_share,
                 .whole_field = c->whole_field,
                 .ngram_max = (int)c->ngram_max},
    };
}
