#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "kernels/cuda_info.h"
#include "kernels/cuda_memory.h"
#include "train/memory.h"
#include "train/trainer.h"
#include "train/trainer_internal.h"

#include <stdio.h>
#include <string.h>

struct plan {
    struct sec_train_memory memory;
    bool cuda;
    char device[80];     /* its name; "" where there is none */
    uint64_t limit;      /* what may be taken of it, or of the machine */
    uint64_t of_device;  /* its memory, or that of the usual one */
    uint64_t of_machine; /* bytes */
    bool fits;
    int64_t largest, largest_recompute; /* batch_tokens within the limit */
    uint64_t checkpoint, disk;
    uint64_t train_tokens; /* 0 = no data set was named */
    int64_t parameters;
    double tokens_per_step, run_tokens, epochs;
    double tokens_per_s, seconds; /* 0 = not measured */
};

/* Micro-batches timed for the estimate, after those that warm up: the second one of a shape is
 * recorded where the backend does that. */
enum { TIMED = 3, WARM_UP = 2 };

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
    for (int i = 0; i < (t->be->record_begin ? WARM_UP : 1); i++)
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

/* The device that training would run on, or plans are made for. */
static void find_device(const struct sec_train_config *c, struct plan *p)
{
    struct sec_cuda_info info;
    p->of_machine = sec_total_memory();
    p->limit = p->of_machine / 10 * 7;
    bool cuda = !strcmp(c->backend, "cuda"), any = !strcmp(c->backend, "auto");
    if (!cuda && !any)
        return;
    sec_backend_cuda_info(&info);
    if (info.usable)
        snprintf(p->device, sizeof p->device, "%s", info.device[0].name);
    p->cuda = cuda || info.usable;
    if (!p->cuda)
        return;
    p->of_device = info.usable ? info.device[0].memory : SEC_CUDA_USUAL_BYTES;
    p->limit = p->of_device;
}

static int make_plan(struct sec_trainer *t, struct plan *p)
{
    const struct sec_train_config *c = t->c;
    int rc;
    find_device(c, p);
    SEC_TRY(sec_train_memory(c, p->cuda, &p->memory));
    p->fits = p->memory.total <= p->limit;
    p->largest = sec_train_largest_batch(c, p->cuda, false, p->limit);
    p->largest_recompute = sec_train_largest_batch(c, p->cuda, true, p->limit);
    p->parameters = sec_model_config_count(&c->model);
    p->checkpoint = 12 * (uint64_t)p->parameters;
    p->disk =
        p->checkpoint * (uint64_t)(c->keep + 2); /* kept, the pinned one, the one being written */
    p->tokens_per_step = (double)(c->batch_tokens * c->accumulation);
    if (t->tokens[SEC_SPLIT_TRAIN]) {
        p->train_tokens = sec_tokens_info(t->tokens[SEC_SPLIT_TRAIN])->n_tokens;
        if (p->fits && (!p->cuda || p->device[0]))
            SEC_TRY(measure(t, p));
    }
    p->run_tokens = p->tokens_per_step * (double)c->steps;
    p->epochs = p->train_tokens ? p->run_tokens / (double)p->train_tokens : 0;
    p->seconds = p->tokens_per_s > 0 ? p->run_tokens / p->tokens_per_s : 0;
fail:
    return rc;
}

static void json_table(struct sec_jw *w, const struct sec_train_plan_row *rows)
{
    sec_jw_key(w, "table");
    sec_jw_arr(w);
    for (int i = 0; i < SEC_PLAN_MODELS * SEC_PLAN_LENGTHS; i++) {
        const struct sec_train_plan_row *r = &rows[i];
        sec_jw_obj(w);
        sec_jw_kstr(w, "model", r->model);
        sec_jw_ki64(w, "parameters", r->parameters);
        sec_jw_ki64(w, "seq_len", r->seq_len);
        sec_jw_ki64(w, "batch_tokens", r->batch_tokens);
        sec_jw_ki64(w, "memory", (int64_t)r->bytes);
        sec_jw_ki64(w, "memory_recompute", (int64_t)r->bytes_recompute);
        sec_jw_ki64(w, "largest_batch_tokens", r->largest);
        sec_jw_ki64(w, "largest_batch_tokens_recompute", r->largest_recompute);
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
}

static int print_json(const struct plan *p, const struct sec_train_plan_row *rows)
{
    struct sec_buf b = {0};
    struct sec_jw w;
    const struct sec_train_memory *m = &p->memory;
    sec_jw_init(&w, &b, true);
    sec_jw_obj(&w);
    sec_jw_ki64(&w, "parameters", p->parameters);
    sec_jw_ki64(&w, "memory_parameters", (int64_t)m->model.params);
    sec_jw_ki64(&w, "memory_gradients", (int64_t)m->model.grads);
    sec_jw_ki64(&w, "memory_optimizer", (int64_t)m->optimizer);
    sec_jw_ki64(&w, "memory_activations", (int64_t)m->model.activations);
    sec_jw_ki64(&w, "memory_scratch", (int64_t)m->model.scratch);
    sec_jw_ki64(&w, "memory_backend", (int64_t)m->device);
    sec_jw_ki64(&w, "memory_total", (int64_t)m->total);
    sec_jw_ki64(&w, "memory_of_machine", (int64_t)p->of_machine);
    sec_jw_kstr(&w, "device", p->cuda ? "cuda" : "cpu");
    sec_jw_ki64(&w, "memory_of_device", (int64_t)p->of_device);
    sec_jw_kbool(&w, "fits", p->fits);
    sec_jw_ki64(&w, "largest_batch_tokens", p->largest);
    sec_jw_ki64(&w, "largest_batch_tokens_recompute", p->largest_recompute);
    sec_jw_ki64(&w, "checkpoint_bytes", (int64_t)p->checkpoint);
    sec_jw_ki64(&w, "disk_bytes", (int64_t)p->disk);
    sec_jw_kf64(&w, "tokens_per_step", p->tokens_per_step);
    sec_jw_kf64(&w, "tokens_of_run", p->run_tokens);
    sec_jw_kf64(&w, "epochs", p->epochs);
    sec_jw_kf64(&w, "tokens_per_second", p->tokens_per_s);
    sec_jw_kf64(&w, "seconds", p->seconds);
    if (rows)
        json_table(&w, rows);
    sec_jw_obj_end(&w);
    return sec_jw_print(&w);
}

static void print_memory(const struct plan *p, const struct sec_train_config *c)
{
    const struct sec_train_memory *m = &p->memory;
    char a[32], b[32], advice[160];
    if (!p->cuda)
        printf("device        cpu, %s\n", sec_human_bytes((double)p->of_machine, a));
    else
        printf("device        %s%s\n",
               p->device[0] ? p->device : "cuda; none here, planned for one of ",
               p->device[0] ? "" : sec_human_bytes((double)p->of_device, a));
    printf("memory        %s of %s: %s\n", sec_human_bytes((double)m->total, a),
           sec_human_bytes((double)(p->cuda ? p->of_device : p->of_machine), b),
           p->fits ? "fits" : "does not fit");
    printf("  parameters  %s\n", sec_human_bytes((double)m->model.params, a));
    printf("  gradients   %s\n", sec_human_bytes((double)m->model.grads, a));
    printf("  optimizer   %s\n", sec_human_bytes((double)m->optimizer, a));
    printf("  activations %s%s\n", sec_human_bytes((double)m->model.activations, a),
           c->recompute ? " (computed again in backward)" : "");
    printf("  scratch     %s\n", sec_human_bytes((double)m->model.scratch, a));
    if (p->cuda)
        printf("  CUDA        %s\n", sec_human_bytes((double)m->device, a));
    printf("largest       %s\n", sec_train_what_fits(c, p->cuda, p->limit, advice));
}

static void print_table(const struct plan *p, const struct sec_train_plan_row *rows)
{
    char n[32], a[32], b[32], x[32], y[32], limit[32];
    printf("\n%-16s %7s %7s  %-21s  largest batch in %s\n", "model", "length", "batch", "memory",
           sec_human_bytes((double)p->limit, limit));
    printf("%-16s %7s %7s  %10s %10s  %8s %11s\n", "", "", "", "", "recompute", "", "recompute");
    for (int i = 0; i < SEC_PLAN_MODELS * SEC_PLAN_LENGTHS; i++) {
        const struct sec_train_plan_row *r = &rows[i];
        printf("%-8s %7s %7lld %7lld  %10s %10s  %8s %11s\n", r->model,
               sec_human_count((double)r->parameters, n), (long long)r->seq_len,
               (long long)r->batch_tokens, sec_human_bytes((double)r->bytes, a),
               sec_human_bytes((double)r->bytes_recompute, b),
               r->largest ? sec_human_count((double)r->largest, x) : "-",
               r->largest_recompute ? sec_human_count((double)r->largest_recompute, y) : "-");
    }
}

static void print_text(const struct plan *p, const struct sec_train_config *c)
{
    char a[32], b[32], d[32];
    printf("parameters    %s\n", sec_human_count((double)p->parameters, a));
    print_memory(p, c);
    printf("disk          %s (%s a checkpoint)\n", sec_human_bytes((double)p->disk, a),
           sec_human_bytes((double)p->checkpoint, b));
    printf("run           %lld steps x %s tokens = %s tokens", (long long)c->steps,
           sec_human_count(p->tokens_per_step, a), sec_human_count(p->run_tokens, b));
    if (!p->train_tokens) {
        printf("\n");
        return;
    }
    printf(", %.2f epochs of %s\n", p->epochs, sec_human_count((double)p->train_tokens, d));
    if (p->tokens_per_s > 0)
        printf("speed         %s tok/s (measured over %d micro-batches), %s in all\n",
               sec_human_count(p->tokens_per_s, a), TIMED, sec_human_seconds(p->seconds, b));
    else
        printf("speed         not measured: %s\n",
               p->fits ? "there is no such device here" : "the model does not fit");
}

int sec_pretrain_plan(const struct sec_train_config *c, const struct sec_pretrain_args *a,
                      bool json)
{
    struct sec_trainer t = {
        .c = c, .a = a, .started = sec_now(), .dir = {.lock_fd = -1}, .metrics = {.fd = -1}};
    struct plan p = {0};
    struct sec_train_plan_row rows[SEC_PLAN_MODELS * SEC_PLAN_LENGTHS], *table = NULL;
    int rc;
    SEC_TRY(sec_train_config_check(c));
    if (a->data_dir && a->data_dir[0])
        SEC_TRY(sec_trainer_open_data(&t));
    else
        table = rows;
    SEC_TRY(make_plan(&t, &p));
    if (table)
        SEC_TRY(sec_train_plan_table(c, p.cuda, p.limit, table));
    if (json)
        SEC_TRY(print_json(&p, table));
    else
        print_text(&p, c);
    if (table && !json)
        print_table(&p, table);
fail:
    sec_trainer_close(&t);
    return rc;
}
