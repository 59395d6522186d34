/* Learning rate of a step: a pure function, so that a resumed run follows the same curve. */
#ifndef SEC_TRAIN_SCHEDULE_H
#define SEC_TRAIN_SCHEDULE_H

#include "train/config.h"

/* Steps of warm-up of this configuration. */
int64_t sec_warmup_steps(const struct sec_train_config *c);
/* First step (from 0) of the final decay: the last checkpoint before it is kept. = steps when the
 * schedule has none. */
int64_t sec_decay_start(const struct sec_train_config *c);

/* Rate used by step `step`, 0 <= step < steps. Warm-up is linear and reaches the peak at its last
 * step. wsd: constant, then min + (peak-min)(1 - sqrt(x)); linear: to min; cosine: half a period to
 * min; x = share of the decaying steps that is done. */
double sec_learning_rate(const struct sec_train_config *c, int64_t step);

#endif
