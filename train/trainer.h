/* Pretraining on one rank: the step loop, evaluation, checkpoints, resume, stop on request. */
#ifndef SEC_TRAIN_TRAINER_H
#define SEC_TRAIN_TRAINER_H

#include "train/config.h"

struct sec_pretrain_args {
    const char *data_dir; /* token data set */
    const char *run_dir;
    const char *resume; /* "auto": newest whole checkpoint of the run, if any; "none"; or a path */
};

/* Train until config.steps. Returns 0, SEC_EINTR (Ctrl-C or SIGTERM: saved), SEC_EPREEMPT (SIGUSR1:
 * saved), SEC_EDIVERGED (three non-finite gradients in a row: the last checkpoint is unharmed), or
 * another SEC_E*. A resumed run gives the same weights, bit for bit, as an uninterrupted one. */
int sec_pretrain(const struct sec_train_config *c, const struct sec_pretrain_args *a);

/* --dry-run: print parameters, memory by device and what would fit, disk, speed and time of the
 * plan to stdout; writes nothing. Without a data set (data_dir ""): no speed, but a table by model
 * and length. */
int sec_pretrain_plan(const struct sec_train_config *c, const struct sec_pretrain_args *a,
                      bool json);

#endif
