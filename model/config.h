/* Shape and hyper-parameters of a DeBERTa-v2-like encoder; names as in Hugging Face's config.json.
 * Fixed by design and written out on export: hidden_act gelu (erf), share_att_key, pos_att_type
 * p2c|c2p, norm_rel_ebd layer_norm, relative_attention, no absolute positions, no token types. */
#ifndef SEC_MODEL_CONFIG_H
#define SEC_MODEL_CONFIG_H

#include "base/config.h"

struct sec_model_config {
    int64_t vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
    int64_t max_position_embeddings; /* longest supported input */
    int64_t max_relative_positions;  /* mp */
    int64_t position_buckets;        /* k; the table has 2k rows */
    int64_t conv_kernel_size;        /* 0 = no ConvLayer */
    double layer_norm_eps, initializer_range;
    double hidden_dropout_prob, attention_probs_dropout_prob;
};

/* Keys "model.*" with offsets into struct sec_model_config plus base_offset cannot be shared
 * between tables, so the list is a macro: S is the enclosing struct, F the member of this type in
 * it. */
#define SEC_MODEL_KEYS(S, F)                                                                       \
    {"model.vocab_size",        SEC_T_INT, offsetof(S, F.vocab_size), "29952", 6, 65535, NULL,     \
     "entries of the tokenizer"},                                                                  \
        {"model.hidden_size",   SEC_T_INT, offsetof(S, F.hidden_size), "768", 8, 16384, NULL,      \
         "width of the encoder"},                                                                  \
        {"model.num_hidden_layers",                                                                \
         SEC_T_INT,                                                                                \
         offsetof(S, F.num_hidden_layers),                                                         \
         "12",                                                                                     \
         1,                                                                                        \
         1000,                                                                                     \
         NULL,                                                                                     \
         "layers"},                                                                                \
        {"model.num_attention_heads",                                                              \
         SEC_T_INT,                                                                                \
         offsetof(S, F.num_attention_heads),                                                       \
         "12",                                                                                     \
         1,                                                                                        \
         256,                                                                                      \
         NULL,                                                                                     \
         "attention heads; must divide hidden_size"},                                              \
        {"model.intermediate_size",                                                                \
         SEC_T_INT,                                                                                \
         offsetof(S, F.intermediate_size),                                                         \
         "3072",                                                                                   \
         8,                                                                                        \
         65536,                                                                                    \
         NULL,                                                                                     \
         "width of the feed-forward layer"},                                                       \
        {"model.max_position_embeddings",                                                          \
         SEC_T_INT,                                                                                \
         offsetof(S, F.max_position_embeddings),                                                   \
         "48000",                                                                                  \
         8,                                                                                        \
         1048576,                                                                                  \
         NULL,                                                                                     \
         "longest supported input, in tokens"},                                                    \
        {"model.max_relative_positions",                                                           \
         SEC_T_INT,                                                                                \
         offsetof(S, F.max_relative_positions),                                                    \
         "512",                                                                                    \
         4,                                                                                        \
         1048576,                                                                                  \
         NULL,                                                                                     \
         "distance from which all relative positions are alike, in tokens"},                       \
        {"model.position_buckets",                                                                 \
         SEC_T_INT,                                                                                \
         offsetof(S, F.position_buckets),                                                          \
         "256",                                                                                    \
         2,                                                                                        \
         8192,                                                                                     \
         NULL,                                                                                     \
         "relative position buckets a side"},                                                      \
        {"model.conv_kernel_size",                                                                 \
         SEC_T_INT,                                                                                \
         offsetof(S, F.conv_kernel_size),                                                          \
         "3",                                                                                      \
         0,                                                                                        \
         31,                                                                                       \
         NULL,                                                                                     \
         "width of the convolution after layer 0, odd; 0 = none"},                                 \
        {"model.layer_norm_eps",                                                                   \
         SEC_T_FLOAT,                                                                              \
         offsetof(S, F.layer_norm_eps),                                                            \
         "1e-7",                                                                                   \
         1e-12,                                                                                    \
         0.1,                                                                                      \
         NULL,                                                                                     \
         "epsilon of every LayerNorm"},                                                            \
        {"model.initializer_range",                                                                \
         SEC_T_FLOAT,                                                                              \
         offsetof(S, F.initializer_range),                                                         \
         "0.02",                                                                                   \
         1e-6,                                                                                     \
         1,                                                                                        \
         NULL,                                                                                     \
         "standard deviation of initial weights"},                                                 \
        {"model.hidden_dropout_prob",                                                              \
         SEC_T_FLOAT,                                                                              \
         offsetof(S, F.hidden_dropout_prob),                                                       \
         "0",                                                                                      \
         0,                                                                                        \
         0.9,                                                                                      \
         NULL,                                                                                     \
         "dropout of hidden states in training"},                                                  \
    {                                                                                              \
        "model.attention_probs_dropout_prob", SEC_T_FLOAT,                                         \
            offsetof(S, F.attention_probs_dropout_prob), "0", 0, 0.9, NULL,                        \
            "dropout of attention probabilities in training"                                       \
    }

/* Cross-field checks (heads divide hidden, conv odd, mid < mp, ...): SEC_ECONFIG with the numbers.
 */
int sec_model_config_check(const struct sec_model_config *c);

/* Parameters of encoder + MLM head by the formula of model.md. */
int64_t sec_model_config_count(const struct sec_model_config *c);

/* config.json of a Hugging Face DeBERTa-v2 folder, both ways. Reading refuses, by name and value,
 * what this encoder does not do (absolute positions, token types, other activations, ...). */
#define SEC_HF_TOKENIZER_KEY "secenc_tokenizer_sha256"
int sec_model_config_read_hf(const char *path, struct sec_model_config *c);
int sec_model_config_write_hf(const struct sec_model_config *c, const char *architecture,
                              const char *torch_dtype, const char *path);

/* As _write_hf into memory; num_labels > 0 adds id2label and label2id (LABEL_0 ..), a tokenizer's
 * fingerprint (NULL or "" = none) the key secenc_tokenizer_sha256, which transformers carries along
 * and does not use. */
int sec_model_config_hf_text(const struct sec_model_config *c, const char *architecture,
                             const char *torch_dtype, int num_labels, const char *tokenizer_sha256,
                             struct sec_buf *out);

#endif
