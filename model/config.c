#include "model/config.h"

#include "base/error.h"

int sec_model_config_check(const struct sec_model_config *c)
{
    long long h = c->hidden_size, heads = c->num_attention_heads;
    if (c->vocab_size < 6 || c->vocab_size > 65535)
        return sec_fail(SEC_ECONFIG,
                        "model.vocab_size is %lld; token ids are 16 bits here, of which the last "
                        "means no label: 6 to 65535 works",
                        (long long)c->vocab_size);
    if (h < 8 || h % 8 || h > 16384)
        return sec_fail(SEC_ECONFIG,
                        "model.hidden_size is %lld; it must be a multiple of 8, at most 16384", h);
    if (heads < 1 || heads > 256 || h % heads)
        return sec_fail(
            SEC_ECONFIG,
            "model.num_attention_heads is %lld; it must divide hidden_size %lld, and be at "
            "most 256",
            heads, h);
    if (c->num_hidden_layers < 1 || c->num_hidden_layers > 1000)
        return sec_fail(SEC_ECONFIG, "model.num_hidden_layers is %lld; use 1 to 1000",
                        (long long)c->num_hidden_layers);
    if (c->intermediate_size < 8 || c->intermediate_size % 8 || c->intermediate_size > 65536)
        return sec_fail(
            SEC_ECONFIG,
            "model.intermediate_size is %lld; it must be a multiple of 8, at most 65536",
            (long long)c->intermediate_size);
    if (c->conv_kernel_size < 0 || c->conv_kernel_size > 31 ||
        (c->conv_kernel_size && c->conv_kernel_size % 2 == 0))
        return sec_fail(SEC_ECONFIG,
                        "model.conv_kernel_size is %lld; use an odd number to 31, or 0",
                        (long long)c->conv_kernel_size);
    if (c->position_buckets < 2 || c->position_buckets % 2 || c->position_buckets > 8192)
        return sec_fail(SEC_ECONFIG,
                        "model.position_buckets is %lld; use an even number from 2 to 8192",
                        (long long)c->position_buckets);
    if (c->max_relative_positions > 1048576 ||
        c->position_buckets / 2 >= c->max_relative_positions - 1)
        return sec_fail(
            SEC_ECONFIG,
            "model.max_relative_positions is %lld; with %lld position_buckets it must be "
            "above %lld (half of them, plus 1) and at most 1048576",
            (long long)c->max_relative_positions, (long long)c->position_buckets,
            (long long)c->position_buckets / 2 + 1);
    if (c->max_position_embeddings < 1 || c->max_position_embeddings > 1048576)
        return sec_fail(SEC_ECONFIG, "model.max_position_embeddings is %lld; use 1 to 1048576",
                        (long long)c->max_position_embeddings);
    if (!(c->layer_norm_eps > 0))
        return sec_fail(SEC_ECONFIG, "model.layer_norm_eps is %g; it must be positive",
                        c->layer_norm_eps);
    if (!(c->hidden_dropout_prob >= 0 && c->hidden_dropout_prob < 1) ||
        !(c->attention_probs_dropout_prob >= 0 && c->attention_probs_dropout_prob < 1))
        return sec_fail(SEC_ECONFIG,
                        "model dropout is %g (hidden), %g (attention); use 0 to below 1",
                        c->hidden_dropout_prob, c->attention_probs_dropout_prob);
    return 0;
}

int64_t sec_model_config_count(const struct sec_model_config *c)
{
    int64_t h = c->hidden_size, i = c->intermediate_size, v = c->vocab_size;
    int64_t layer = 4 * h * h + 2 * h * i + 9 * h + i;
    int64_t conv = c->conv_kernel_size ? c->conv_kernel_size * h * h + 3 * h : 0;
    int64_t head = h * h + 3 * h + v;
    return v * h + 2 * h + 2 * c->position_buckets * h + 2 * h + c->num_hidden_layers * layer +
           conv + head;
}
