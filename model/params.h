/* The parameters: one flat arena of master values, described by a table of named tensors. The same
 * offsets serve gradients, moments and the compute copy. Names are Hugging Face's.
 *
 * Layout: in forward order (embeddings, relative table, layer 0, conv, layer 1.., MLM head,
 * classifier), every tensor starts at a multiple of 64 elements; the gaps are zero and stay zero.
 * Q, K and V projections of a layer are adjacent without gaps (hidden_size^2 is a multiple of 64),
 * so that one GEMM serves the three; the same for their biases. */
#ifndef SEC_MODEL_PARAMS_H
#define SEC_MODEL_PARAMS_H

#include "model/config.h"

#include <stddef.h>

enum sec_head { SEC_HEAD_NONE = 0, SEC_HEAD_MLM = 1, SEC_HEAD_CLASSIFY = 2 }; /* bit mask */

struct sec_param {
    char name[96];
    int ndim;
    int64_t shape[3];
    int64_t offset, count; /* elements */
    bool decay;            /* weight decay applies: matrices, not biases or LayerNorm */
    bool ones;             /* initial value 1 (gamma); else matrices normal, vectors 0 */
};

struct sec_layer_offsets {
    int64_t qkv_w, qkv_b;           /* [3H,H], [3H] in the order q, k, v */
    int64_t o_w, o_b, ln1_g, ln1_b; /* attention.output */
    int64_t w1, b1, w2, b2, ln2_g, ln2_b;
};

struct sec_params {
    struct sec_param *v;
    int n;
    int64_t total;       /* elements of an arena, gaps included */
    int64_t n_trainable; /* without gaps */
    int num_labels;
    int64_t word, emb_g, emb_b, rel, rel_g, rel_b; /* offsets */
    int64_t conv_w, conv_b, conv_g, conv_beta;     /* -1 without convolution */
    struct sec_layer_offsets *layer;
    int64_t head_w, head_b, head_g, head_beta, head_bias; /* -1 without MLM head */
    int64_t pool_w, pool_b, cls_w, cls_b;                 /* -1 without classifier */
};

int sec_params_build(const struct sec_model_config *c, unsigned heads, int num_labels,
                     struct sec_params *p);
void sec_params_free(struct sec_params *p);
const struct sec_param *sec_params_find(const struct sec_params *p, const char *name); /* or NULL */

/* Normal(0, initializer_range) for matrices, ones for gammas, zeros for vectors and the [PAD] row;
 * element i of the arena depends on (seed, i) only. rel_embeddings row 0 := row 1 (model.md). */
void sec_params_init(const struct sec_params *p, const struct sec_model_config *c, uint64_t seed,
                     float *master);
/* rel_embeddings row 0 := row 1, as init and export do (model.md, "Row 0 trap"). */
void sec_params_tie_row0(const struct sec_params *p, const struct sec_model_config *c,
                         float *master);

#endif
