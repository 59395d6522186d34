/* State of a run, shared by trainer.c (loop), trainer_setup.c (open, close, plan) and
 * trainer_ckpt.c (save, resume). */
#ifndef SEC_TRAIN_TRAINER_INTERNAL_H
#define SEC_TRAIN_TRAINER_INTERNAL_H

#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/rundir.h"
#include "train/trainer.h"

struct sec_trainer {
    const struct sec_train_config *c;
    const struct sec_pretrain_args *a;
    struct sec_rundir dir;
    struct sec_tokens *tokens[SEC_N_SPLITS]; /* NULL: the data set has no such split */
    struct sec_tokenizer *tok;
    struct sec_backend *be;
    struct sec_model *model;
    struct sec_optimizer opt;
    struct sec_loader *loader;
    struct sec_metrics metrics;

    int64_t step;    /* steps done */
    int64_t updates; /* optimiser updates done: steps less the skipped ones */
    uint64_t tokens_seen, skipped, failed_saves;
    int bad_in_a_row;
    int64_t saved_step, evaluated_step; /* -1 = never */
    double elapsed_before;              /* seconds of earlier processes of this run */
    double started, peak_flops;
    int64_t resumed_from; /* -1 = fresh */

    /* sums since the last line of metrics */
    struct {
        double loss, grad_norm, ms_data, ms_compute, ms_optimizer, flops, t0;
        uint64_t masked, correct, tokens;
        int64_t steps;
    } sum;
};

int sec_trainer_open_data(struct sec_trainer *t);
/* The model of this configuration: what the run makes and the plan counts. */
struct sec_model_options sec_train_model_options(const struct sec_train_config *c);
int sec_trainer_open_model(struct sec_trainer *t);
void sec_trainer_close(struct sec_trainer *t);

/* Save now under RUN/ckpt; on failure the run directory is as before. */
int sec_trainer_save(struct sec_trainer *t);
/* Initial weights, or those of the checkpoint that args.resume asks for; opens loader and metrics
 * at the right place. */
int sec_trainer_start(struct sec_trainer *t);

/* One forward and backward; adds to sums. */
int sec_trainer_micro_step(struct sec_trainer *t, uint64_t dropout_seed, uint64_t *masked,
                           double *loss_sum);
double sec_trainer_elapsed(const struct sec_trainer *t);

#endif
