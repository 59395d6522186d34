#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "train/trainer.h"
#include "train/trainer_internal.h"

#include <stdio.h>

struct plan {
    struct sec_model_memory memory;
    uint64_t optimizer, total, available, checkpoint, disk;
    uint64_t train_tokens;
    int64_t parameters;
    double tokens_per_step, run_tokens, epochs;
    double tokens_per_s, seconds; /* 0 = not measured: the model does not fit */
};

/* Micro-batches timed for the estimate, after one that warms up. */
enum { TIMED = 3 };

static int measure(struct sec_trainer *t, struct plan *p)
{
    struct sec_loader_options lo = sec_train_loader_options(t->c, 0, 1);
    uint64_t masked = 0;
    double loss = 0;
    int rc;
    SEC_TRY(sec_trainer_open_model(t));
    SEC_TRY(sec_model_init(t->model, 1));
    SEC_TRY(sec_loader_open(t->tokens[SEC_SPLIT_TRAIN], t->tok, &lo, NULL, &t->loader));
    SEC_TRY(sec_model_zero_grad(t->model));
    SEC_TRY(sec_trainer_micro_step(t, 1, &masked, &loss));
    uint64_t before = t->tokens_seen;
    double t0 = sec_now();
    for (int i = 0; i < TIMED; i++)
        SEC_TRY(sec_trainer_micro_step(t, 1, &masked, &loss));
    double dt = sec_now() - t0, per_batch = (double)(t->tokens_seen - before) / TIMED;
    p->tokens_per_s = per_batch * TIMED / dt;
    p->tokens_per_step = per_batch * (double)t->c->accumulation;
fail:
    return rc;
}

static int make_plan(struct sec_trainer *t, struct plan *p)
{
    const struct sec_train_config *c = t->c;
    struct sec_model_options o = sec_train_model_options(c);
    int rc;
    SEC_TRY(sec_model_memory(&c->model, &o, &p->memory));
    p->parameters = sec_model_config_count(&c->model);
    p->optimizer = 8 * (uint64_t)p->parameters;
    p->total = p->memory.params + p->memory.grads + p->memory.activations + p->memory.scratch +
               p->optimizer;
    p->available = sec_total_memory();
    p->checkpoint = 12 * (uint64_t)p->parameters;
    p->disk =
        p->checkpoint * (uint64_t)(c->keep + 2); /* kept, the pinned one, the one being written */
    p->train_tokens = sec_tokens_info(t->tokens[SEC_SPLIT_TRAIN])->n_tokens;
    p->tokens_per_step = (double)(c->batch_tokens * c->accumulation);
    if (p->total < p->available / 10 * 7)
        SEC_TRY(measure(t, p));
    p->run_tokens = p->tokens_per_step * (double)c->steps;
    p->epochs = p->run_tokens / (double)p->train_tokens;
    p->seconds = p->tokens_per_s > 0 ? p->run_tokens / p->tokens_per_s : 0;
fail:
    return rc;
}

static int print_json(const struct plan *p)
{
    struct sec_buf b = {0};
    struct sec_jw w;
    sec_jw_init(&w, &b, true);
    sec_jw_obj(&w);
    sec_jw_ki64(&w, "parameters", p->parameters);
    sec_jw_ki64(&w, "memory_parameters", (int64_t)p->memory.params);
    sec_jw_ki64(&w, "memory_gradients", (int64_t)p->memory.grads);
    sec_jw_ki64(&w, "memory_optimizer", (int64_t)p->optimizer);
    sec_jw_ki64(&w, "memory_activations", (int64_t)p->memory.activations);
    sec_jw_ki64(&w, "memory_scratch", (int64_t)p->memory.scratch);
    sec_jw_ki64(&w, "memory_total", (int64_t)p->total);
    sec_jw_ki64(&w, "memory_of_machine", (int64_t)p->available);
    sec_jw_ki64(&w, "checkpoint_bytes", (int64_t)p->checkpoint);
    sec_jw_ki64(&w, "disk_bytes", (int64_t)p->disk);
    sec_jw_kf64(&w, "tokens_per_step", p->tokens_per_step);
    sec_jw_kf64(&w, "tokens_of_run", p->run_tokens);
    sec_jw_kf64(&w, "epochs", p->epochs);
    sec_jw_kf64(&w, "tokens_per_second", p->tokens_per_s);
    sec_jw_kf64(&w, "seconds", p->seconds);
    sec_jw_obj_end(&w);
    return sec_jw_print(&w);
}

static void print_text(const struct plan *p, const struct sec_train_config *c)
{
    char a[32], b[32], d[32];
    printf("parameters    %s\n", sec_human_count((double)p->parameters, a));
    printf("memory        %s of %s\n", sec_human_bytes((double)p->total, a),
           sec_human_bytes((double)p->available, b));
    printf("  parameters  %s\n", sec_human_bytes((double)p->memory.params, a));
    printf("  gradients   %s\n", sec_human_bytes((double)p->memory.grads, a));
    printf("  optimizer   %s\n", sec_human_bytes((double)p->optimizer, a));
    printf("  activations %s\n", sec_human_bytes((double)p->memory.activations, a));
    printf("  scratch     %s\n", sec_human_bytes((double)p->memory.scratch, a));
    printf("disk          %s (%s a checkpoint)\n", sec_human_bytes((double)p->disk, a),
           sec_human_bytes((double)p->checkpoint, b));
    printf("run           %lld steps x %s tokens = %s tokens, %.2f epochs of %s\n",
           (long long)c->steps, sec_human_count(p->tokens_per_step, a),
           sec_human_count(p->run_tokens, b), p->epochs,
           sec_human_count((double)p->train_tokens, d));
    if (p->tokens_per_s > 0)
        printf("speed         %s tok/s (measured over %d micro-batches), %s in all\n",
               sec_human_count(p->tokens_per_s, a), TIMED, sec_human_seconds(p->seconds, b));
    else
        printf("speed         not measured: the model does not fit this machine's memory\n");
}

int sec_pretrain_plan(const struct sec_train_config *c, const struct sec_pretrain_args *a,
                      bool json)
{
    struct sec_trainer t = {
        .c = c, .a = a, .started = sec_now(), .dir = {.lock_fd = -1}, .metrics = {.fd = -1}};
    struct plan p = {0};
    int rc;
    SEC_TRY(sec_train_config_check(c));
    SEC_TRY(sec_trainer_open_data(&t));
    SEC_TRY(make_plan(&t, &p));
    if (json)
        SEC_TRY(print_json(&p));
    else
        print_text(&p, c);
fail:
    sec_trainer_close(&t);
    return rc;
}
