/* The encoder: forward, MLM head, classifier, backward, over a backend.
 *
 * Ownership: a model owns its arenas on the backend; all of them are sized at creation for
 * max_tokens, max_seqs, max_seqlen, and nothing is allocated in a step. A batch above these limits
 * is SEC_ECONFIG. Threads: one thread drives a model.
 *
 * Precision: act F32 or BF16 (F64 with the ref backend, then the master is F64 too). */
#ifndef SEC_MODEL_MODEL_H
#define SEC_MODEL_MODEL_H

#include "base/batch.h"
#include "kernels/ops.h"
#include "model/params.h"

struct sec_model_options {
    enum sec_dtype act;
    bool train;     /* keep activations, gradients; else inference only */
    unsigned heads; /* SEC_HEAD_* mask */
    int num_labels; /* of the classifier */
    int32_t max_tokens, max_seqs, max_seqlen;
    int32_t max_masked; /* rows of the head; 0 = max_tokens */
    int32_t logit_rows; /* rows of logits computed at once; 0 = a default (about 32 MB) */
    /* Training passes have max_tokens tokens and masked rows in multiples of 256, so that they
     * have few shapes; the rest is filled up with pads in sequences of their own, which change no
     * value and no gradient. Set on a backend that records passes. */
    bool pad;
    /* Training keeps the input of a layer only and computes the rest again for its backward:
     * about a third more work, the same bits. */
    bool recompute;
};

struct sec_model {
    struct sec_model_config config;
    struct sec_params params;
    struct sec_model_options opt;
    struct sec_backend *be;
    void *master;               /* [params.total] master type, on the backend */
    void *compute;              /* act copy; == master when the types are equal */
    void *grad;                 /* [params.total] master type; NULL without train */
    struct sec_model_state *st; /* activations and scratch, private */
};

int sec_model_create(const struct sec_model_config *c, struct sec_backend *be,
                     const struct sec_model_options *o, struct sec_model **out);
void sec_model_free(struct sec_model *m);

/* Bytes a model would take (parameters, gradients, activations, scratch), for --dry-run. */
struct sec_model_memory {
    uint64_t params, grads, activations, scratch;
};
/* Options with their defaults filled in. */
struct sec_model_options sec_model_resolve(const struct sec_model_config *c,
                                           const struct sec_model_options *o);
int sec_model_memory(const struct sec_model_config *c, const struct sec_model_options *o,
                     struct sec_model_memory *out);
/* Model FLOPs of one token's forward at mean sequence length s with `masked` share of head rows
 * (the formula is in the doc comment of the definition); a training step counts three times that.
 */
double sec_model_flops_per_token(const struct sec_model_config *c, double s, double masked);

int sec_model_init(struct sec_model *m, uint64_t seed);
/* Host fp32 values of all parameters, in and out of the arena ([params.total]). load refreshes the
 * compute copy. */
int sec_model_load(struct sec_model *m, const float *host);
int sec_model_store(struct sec_model *m, float *host);
int sec_model_refresh(struct sec_model *m); /* compute := cast(master) */
int sec_model_zero_grad(struct sec_model *m);

/* Encoder forward. dropout_seed is used only in training passes. The result stays in the model
 * until the next pass: sec_model_hidden() is [T, H] act on the backend. */
int sec_model_forward(struct sec_model *m, const struct sec_batch *b, bool training,
                      uint64_t dropout_seed);
const void *sec_model_hidden(const struct sec_model *m);
/* After a forward: hidden states of rows [first, first+n) as fp32 on the host. */
int sec_model_hidden_rows(struct sec_model *m, int64_t first, int64_t n, float *out);
/* Hidden states after the embedding (0) and after each layer (1..L), for parity tests; only in a
 * train model. */
int sec_model_layer_rows(struct sec_model *m, int layer, float *out);

/* Forward, head at masked rows, cross-entropy, backward; gradients are accumulated. loss_scale is
 * the factor of every row's loss: 1 / (masked tokens of the whole step). loss_sum gets the plain
 * sum over rows; n_correct (may be NULL) rows whose label has rank 0. */
int sec_model_train_mlm(struct sec_model *m, const struct sec_batch *b, double loss_scale,
                        uint64_t dropout_seed, double *loss_sum, int64_t *n_correct);

/* Forward only, logits in F32: loss and rank of every masked row (arrays of b->n_masked). */
int sec_model_eval_mlm(struct sec_model *m, const struct sec_batch *b, float *loss, int32_t *rank);
/* After a forward: fp32 logits [n, vocab] on the host at the given rows. */
int sec_model_mlm_logits(struct sec_model *m, const int32_t *rows, int32_t n, float *logits);

/* Classifier over the first token of every sequence: fp32 logits [B, num_labels] on the host; and
 * its training pass with dlogits [B, num_labels] given by the caller, who knows the loss. */
int sec_model_classify(struct sec_model *m, const struct sec_batch *b, bool training,
                       uint64_t dropout_seed, float *logits);
int sec_model_classify_bwd(struct sec_model *m, const struct sec_batch *b, const float *dlogits);

/* The relative position table idx(delta), delta = -(span-1)..span-1, as model.md (float32 logs,
 * delta clamped to +-(mp-1)). out has 2*span-1 entries. */
void sec_relative_index(const struct sec_model_config *c, int32_t span, uint16_t *out);

#endif
