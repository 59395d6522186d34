#include "train/trainer.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "train/report.h"
#include "train/schedule.h"
#include "train/trainer_internal.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Non-finite gradients in a row that end a run. */
enum { MAX_BAD_STEPS = 3 };

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
    stop_signal = sig;
}

/* The first signal ends the run after the current step; SA_RESETHAND lets a second one kill. */
static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
    sigemptyset(&sa.sa_mask);
    stop_signal = 0;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGUSR1, &sa, NULL);
}

double sec_trainer_elapsed(const struct sec_trainer *t)
{
    return t->elapsed_before + sec_now() - t->started;
}

int sec_trainer_micro_step(struct sec_trainer *t, uint64_t dropout_seed, uint64_t *masked,
                           double *loss_sum)
{
    const struct sec_batch *b = NULL;
    int64_t correct = 0;
    double loss = 0, t0 = sec_now(), len = 0;
    int rc = sec_loader_next(t->loader, &b);
    if (rc)
        return rc;
    double t1 = sec_now();
    /* Sums are divided by the masked tokens of the whole step in the optimiser, once they are
     * known. */
    if (b->n_masked)
        rc = sec_model_train_mlm(t->model, b, 1.0, dropout_seed, &loss, &correct);
    if (rc)
        return rc;
    for (int32_t s = 0; s < b->n_seqs; s++) {
        double n = b->cu_seqlens[s + 1] - b->cu_seqlens[s];
        len += n * n;
    }
    double mean = b->n_tokens ? len / b->n_tokens : 0; /* keys an average query sees */
    t->sum.flops += 3.0 * b->n_tokens *
                    sec_model_flops_per_token(
                        &t->c->model, mean, (double)b->n_masked / (b->n_tokens ? b->n_tokens : 1));
    t->sum.ms_data += 1e3 * (t1 - t0);
    t->sum.ms_compute += 1e3 * (sec_now() - t1);
    t->sum.correct += (uint64_t)correct;
    t->sum.tokens += (uint64_t)b->n_tokens;
    t->tokens_seen += (uint64_t)b->n_tokens;
    *masked += (uint64_t)b->n_masked;
    *loss_sum += loss;
    return 0;
}

static int note_bad_step(struct sec_trainer *t, double norm)
{
    char text[160];
    t->skipped++;
    snprintf(text, sizeof text, "gradient norm %g: weights left as they were", norm);
    sec_warn("step %lld skipped: %s", (long long)t->step + 1, text);
    int rc = sec_rundir_event(&t->dir, "skipped", t->step + 1, text);
    if (rc)
        sec_warn("%s", sec_error());
    if (++t->bad_in_a_row < MAX_BAD_STEPS)
        return 0;
    return sec_fail(SEC_EDIVERGED,
                    "the gradient was not finite %d steps in a row, up to step %lld: lower "
                    "train.learning_rate or train.clip and resume from the last checkpoint in %s",
                    MAX_BAD_STEPS, (long long)t->step + 1, t->dir.ckpt);
}

/* Damaged chunks of tokens met by the last step. */
static void note_damage(struct sec_trainer *t)
{
    uint64_t step;
    char *text;
    while (sec_loader_damage(t->loader, &step, &text)) {
        if (sec_rundir_event(&t->dir, "substituted", (int64_t)step + 1, text))
            sec_warn("%s", sec_error());
        free(text);
    }
}

static int train_step(struct sec_trainer *t)
{
    uint64_t masked = 0;
    double loss = 0, norm = 0;
    bool applied = true;
    uint64_t seed = sec_rand64((uint64_t)t->c->seed, SEC_STREAM_DROPOUT, (uint64_t)t->step, 0);
    int rc;
    SEC_TRY(sec_model_zero_grad(t->model));
    for (int64_t i = 0; i < t->c->accumulation; i++)
        SEC_TRY(sec_trainer_micro_step(t, seed, &masked, &loss));
    note_damage(t);
    double t0 = sec_now();
    if (masked) {
        struct sec_optimizer_step s = {.t = t->updates + 1,
                                       .lr = sec_learning_rate(t->c, t->step),
                                       .grad_scale = 1.0 / (double)masked,
                                       .beta1 = t->c->beta1,
                                       .beta2 = t->c->beta2,
                                       .eps = t->c->adam_eps,
                                       .weight_decay = t->c->weight_decay,
                                       .clip = t->c->clip};
        SEC_TRY(sec_optimizer_apply(&t->opt, &s, &norm, &applied));
    }
    if (applied) {
        t->bad_in_a_row = 0;
        t->updates += masked > 0;
        t->sum.loss += loss;
        t->sum.masked += masked;
        t->sum.grad_norm += norm;
        t->sum.steps++;
    } else {
        SEC_TRY(note_bad_step(t, norm));
    }
    t->sum.ms_optimizer += 1e3 * (sec_now() - t0);
    t->step++;
fail:
    return rc;
}

/* A failure to write metrics must not end a month of training: it is said and training goes on. */
static void log_window(struct sec_trainer *t)
{
    double now = sec_now(), dt = now - t->sum.t0;
    double n = t->sum.steps ? (double)t->sum.steps : 1,
           m = t->sum.masked ? (double)t->sum.masked : 1;
    struct sec_step_metrics s = {
        .step = t->step,
        .steps = t->c->steps,
        .tokens = t->tokens_seen,
        .loss = t->sum.loss / m,
        .accuracy = (double)t->sum.correct / m,
        .lr = sec_learning_rate(t->c, t->step - 1),
        .grad_norm = t->sum.grad_norm / n,
        .tokens_per_s = (double)t->sum.tokens / dt,
        .flops_per_s = t->sum.flops / dt,
        .mfu = t->peak_flops > 0 ? t->sum.flops / dt / t->peak_flops : 0,
        .ms_step = 1e3 * dt / n,
        .ms_data = t->sum.ms_data / n,
        .ms_compute = t->sum.ms_compute / n,
        .ms_optimizer = t->sum.ms_optimizer / n,
        .elapsed = sec_trainer_elapsed(t),
        .eta = dt / n * (double)(t->c->steps - t->step),
        .skipped = t->skipped,
        .substituted = sec_loader_substituted(t->loader),
        .peak_rss = sec_peak_rss(),
    };
    char line[256];
    sec_metrics_line(&s, line, sizeof line);
    sec_progress("%s", line);
    if (sec_metrics_step(&t->metrics, &s))
        sec_warn("metrics of step %lld not written: %s", (long long)t->step, sec_error());
    memset(&t->sum, 0, sizeof t->sum);
    t->sum.t0 = now;
}

static int evaluate(struct sec_trainer *t)
{
    double t0 = sec_now();
    int rc = 0;
    for (int s = SEC_SPLIT_IDTS; s < SEC_N_SPLITS; s++) {
        struct sec_mlm_result r;
        struct sec_mlm_eval_options o = {.seed = 1,
                                         .seq_len = (int)t->c->seq_len,
                                         .batch_tokens = (int)t->c->batch_tokens,
                                         .max_docs = (uint64_t)t->c->eval_docs};
        if (!t->tokens[s])
            continue;
        SEC_TRY(sec_mlm_eval(t->model, t->tokens[s], t->tok, &o, &r));
        sec_progress_done();
        sec_info("step %lld  %s  loss %.4f  perplexity %.3f  masked accuracy %.4f",
                 (long long)t->step, sec_split_names[s], r.loss, exp(r.loss), r.accuracy);
        if (sec_metrics_eval(&t->metrics, t->step, sec_split_names[s], &r))
            sec_warn("evaluation of step %lld not written: %s", (long long)t->step, sec_error());
    }
    t->evaluated_step = t->step;
    t->sum.t0 += sec_now() - t0; /* the training rate leaves evaluation out */
fail:
    return rc;
}

/* A failed save is said, counted and survived: the next one may find room. */
static void try_save(struct sec_trainer *t)
{
    double t0 = sec_now();
    if (sec_trainer_save(t)) {
        t->failed_saves++;
        sec_progress_done();
        sec_warn("checkpoint of step %lld not saved, training goes on: %s", (long long)t->step,
                 sec_error());
        (void)sec_rundir_event(&t->dir, "save-failed", t->step, sec_error());
    }
    t->sum.t0 += sec_now() - t0;
}

static int run_steps(struct sec_trainer *t)
{
    const struct sec_train_config *c = t->c;
    int64_t pinned = sec_decay_start(c);
    int rc = 0;
    t->sum.t0 = sec_now();
    while (t->step < c->steps && !stop_signal) {
        SEC_TRY(train_step(t));
        if (t->step % c->log_every == 0 || t->step == c->steps)
            log_window(t);
        if (c->eval_every && t->step % c->eval_every == 0 && t->step < c->steps)
            SEC_TRY(evaluate(t));
        bool due = c->save_every && t->step % c->save_every == 0;
        if ((due || t->step == pinned) && t->step < c->steps)
            try_save(t);
    }
    sec_progress_done();
fail:
    return rc;
}

/* Exit path of a whole or stopped run: evaluate, save, report. */
static int finish(struct sec_trainer *t)
{
    int rc = 0, sig = stop_signal;
    char mem[32];
    if (!sig && t->evaluated_step != t->step)
        SEC_TRY(evaluate(t));
    if (t->saved_step != t->step)
        SEC_TRY(sec_trainer_save(t));
    SEC_TRY(sec_rundir_event(&t->dir, sig ? "stopped" : "finished", t->step,
                             sig ? strsignal(sig) : ""));
    if (sec_report_write(t->dir.path, t->dir.report))
        sec_warn("no report: %s", sec_error());
    sec_info("peak memory %s, checkpoint %s/step-%lld",
             sec_human_bytes((double)sec_peak_rss(), mem), t->dir.ckpt, (long long)t->step);
    if (sig == SIGUSR1)
        rc = sec_fail(SEC_EPREEMPT,
                      "stopped by SIGUSR1 after step %lld of %lld, saved: run the same "
                      "command to go on",
                      (long long)t->step, (long long)t->c->steps);
    else if (sig)
        rc = sec_fail(SEC_EINTR,
                      "interrupted after step %lld of %lld, saved: run the same command to "
                      "go on",
                      (long long)t->step, (long long)t->c->steps);
fail:
    return rc;
}

int sec_pretrain(const struct sec_train_config *c, const struct sec_pretrain_args *a)
{
    struct sec_trainer t = {
        .c = c, .a = a, .started = sec_now(), .dir = {.lock_fd = -1}, .metrics = {.fd = -1}};
    char n[32];
    int rc;
    SEC_TRY(sec_train_config_check(c));
    SEC_TRY(sec_trainer_open_data(&t));
    SEC_TRY(sec_rundir_open(a->run_dir, &t.dir));
    SEC_TRY(sec_trainer_open_model(&t));
    SEC_TRY(sec_trainer_start(&t)); /* a refused resume changes nothing of the run */
    SEC_TRY(sec_rundir_describe(&t.dir, c, a->data_dir, t.be->name));
    SEC_TRY(sec_tokenizer_save(t.tok, t.dir.tokenizer));
    sec_info("%s parameters, device %s (%s), %s, %lld tokens a micro-batch x %lld",
             sec_human_count((double)t.model->params.n_trainable, n), t.be->name, t.be->detail,
             c->precision == SEC_PRECISION_BF16 ? "bf16" : "fp32", (long long)c->batch_tokens,
             (long long)c->accumulation);
    catch_signals();
    SEC_TRY(run_steps(&t));
    SEC_TRY(finish(&t));
fail:
    sec_progress_done();
    sec_trainer_close(&t);
    return rc;
}
