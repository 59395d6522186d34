/* AdamW over a model's flat arenas: moments, weight-decay ranges, global-norm clipping.
 * Owns its two moment arenas on the model's backend. */
#ifndef SEC_TRAIN_OPTIMIZER_H
#define SEC_TRAIN_OPTIMIZER_H

#include "model/model.h"
#include "train/config.h"

struct sec_optimizer {
    struct sec_model *model;
    void *m, *v; /* [params.total] master type */
    struct sec_decay_range {
        int64_t offset, count;
        bool decay;
    } * range; /* adjacent tensors of one kind joined */
    int n_ranges;
};

int sec_optimizer_create(struct sec_model *m, struct sec_optimizer *o);
void sec_optimizer_free(struct sec_optimizer *o);

struct sec_optimizer_step {
    int64_t t; /* update number, from 1 */
    double lr;
    double grad_scale; /* gradients are multiplied by it first: 1 / masked tokens of the step */
    double beta1, beta2, eps, weight_decay, clip;
};
/* Norm of the scaled gradient to *norm. A non-finite norm leaves all state untouched and returns 0
 * with *applied false. Clipping as torch.nn.utils.clip_grad_norm_: factor clip / (norm + 1e-6), at
 * most 1. */
int sec_optimizer_apply(struct sec_optimizer *o, const struct sec_optimizer_step *s, double *norm,
                        bool *applied);

#endif
