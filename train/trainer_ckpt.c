#include "train/trainer_internal.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "model/checkpoint.h"
#include "train/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_ARENAS = 3 };

/* The three arenas as host memory: the backend's own where that is host memory, else copies. */
static int map_arenas(struct sec_trainer *t, bool download, struct sec_ckpt_arena a[N_ARENAS])
{
    void *dev[N_ARENAS] = {t->model->master, t->opt.m, t->opt.v};
    static const char *const names[N_ARENAS] = {"param", "adam_m", "adam_v"};
    size_t bytes = (size_t)t->model->params.total * sizeof(float);
    for (int i = 0; i < N_ARENAS; i++) {
        a[i] = (struct sec_ckpt_arena){.name = names[i], .data = dev[i]};
        if (t->be->host)
            continue;
        a[i].data = malloc(bytes);
        if (!a[i].data)
            return sec_fail(SEC_ENOMEM, "no memory for a host copy of %zu bytes", bytes);
        int rc = download ? t->be->download(t->be, a[i].data, dev[i], bytes) : 0;
        if (rc)
            return rc;
    }
    return t->be->sync(t->be);
}

static int unmap_arenas(struct sec_trainer *t, bool upload, struct sec_ckpt_arena a[N_ARENAS])
{
    void *dev[N_ARENAS] = {t->model->master, t->opt.m, t->opt.v};
    size_t bytes = (size_t)t->model->params.total * sizeof(float);
    int rc = 0;
    for (int i = 0; i < N_ARENAS && !t->be->host; i++) {
        if (upload && !rc)
            rc = t->be->upload(t->be, dev[i], a[i].data, bytes);
        free(a[i].data);
    }
    return rc;
}

static cJSON *make_state(const struct sec_trainer *t)
{
    struct sec_loader_state s;
    char hex[2 * sizeof s + 1];
    sec_loader_state(t->loader, &s);
    for (size_t i = 0; i < sizeof s; i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)&s)[i]);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "updates", (double)t->updates);
    cJSON_AddNumberToObject(o, "tokens", (double)t->tokens_seen);
    cJSON_AddNumberToObject(o, "skipped", (double)t->skipped);
    cJSON_AddNumberToObject(o, "elapsed", sec_trainer_elapsed(t));
    cJSON_AddNumberToObject(o, "metrics_offset", (double)t->metrics.offset);
    cJSON_AddNumberToObject(o, "seed", (double)t->c->seed);
    cJSON_AddStringToObject(o, "precision",
                            t->c->precision == SEC_PRECISION_BF16 ? "bf16" : "fp32");
    cJSON_AddStringToObject(o, "loader", hex);
    return o;
}

int sec_trainer_save(struct sec_trainer *t)
{
    int rc;
    struct sec_ckpt_arena a[N_ARENAS] = {0};
    struct sec_ckpt_info info = {
        .step = t->step, .config = t->c->model, .heads = SEC_HEAD_MLM, .state = make_state(t)};
    int64_t pinned = sec_decay_start(t->c);
    snprintf(info.tokenizer_fingerprint, sizeof info.tokenizer_fingerprint, "%s",
             sec_tokenizer_fingerprint(t->tok));
    SEC_TRY(sec_metrics_sync(&t->metrics));
    SEC_TRY(map_arenas(t, true, a));
    SEC_TRY(sec_ckpt_save(t->dir.ckpt, &info, &t->model->params, a, N_ARENAS));
    t->saved_step = t->step;
    SEC_TRY(sec_ckpt_retain(t->dir.ckpt, (int)t->c->keep, &pinned, 1));
    SEC_TRY(sec_rundir_event(&t->dir, "checkpoint", t->step, "saved"));
fail:
    unmap_arenas(t, false, a);
    cJSON_Delete(info.state);
    return rc;
}

/* A checkpoint fits only a run of the same shape; dropout may change. */
static int check_shape(const struct sec_trainer *t, const struct sec_ckpt_info *info)
{
    const size_t base = offsetof(struct sec_train_config, model);
    for (const struct sec_key *k = sec_train_schema; k->name; k++) {
        if (!sec_starts(k->name, "model.") || k->type != SEC_T_INT)
            continue;
        int64_t ours = *(const int64_t *)((const char *)t->c + k->offset);
        int64_t theirs = *(const int64_t *)((const char *)&info->config + (k->offset - base));
        if (ours != theirs)
            return sec_fail(SEC_ECONFIG,
                            "%s has %s = %lld but this run is configured with %lld: resume with "
                            "--set %s=%lld, or start another --run",
                            info->dir, k->name, (long long)theirs, (long long)ours, k->name,
                            (long long)theirs);
    }
    if (strcmp(info->tokenizer_fingerprint, sec_tokenizer_fingerprint(t->tok)))
        return sec_fail(SEC_ECONFIG,
                        "%s was trained with tokenizer %.12s but the data has %.12s: use the data "
                        "set it was trained on",
                        info->dir, info->tokenizer_fingerprint, sec_tokenizer_fingerprint(t->tok));
    return 0;
}

static int parse_loader_state(const char *hex, const char *dir, struct sec_loader_state *s)
{
    unsigned char *p = (unsigned char *)s;
    if (strlen(hex) != 2 * sizeof *s)
        return sec_fail(SEC_EDATA, "%s: state.loader has %zu characters, expected %zu", dir,
                        strlen(hex), 2 * sizeof *s);
    for (size_t i = 0; i < sizeof *s; i++) {
        unsigned v;
        if (sscanf(hex + 2 * i, "%2x", &v) != 1)
            return sec_fail(SEC_EDATA, "%s: state.loader is not hexadecimal", dir);
        p[i] = (unsigned char)v;
    }
    return 0;
}

/* The checkpoint to go on from, or NULL for a fresh start. */
static int choose(struct sec_trainer *t, char **dir)
{
    struct sec_list names = {0};
    bool any = false;
    int rc;
    *dir = NULL;
    if (strcmp(t->a->resume, "auto") && strcmp(t->a->resume, "none")) {
        *dir = sec_xstrdup(t->a->resume);
        return 0;
    }
    SEC_TRY(sec_list_dir(t->dir.ckpt, &names));
    for (size_t i = 0; i < names.n; i++)
        any |= sec_starts(names.v[i], "step-") && !strstr(names.v[i], ".tmp");
    if (any && !strcmp(t->a->resume, "none")) {
        rc = sec_fail(
            SEC_EUSAGE,
            "%s already holds checkpoints: --resume auto goes on from the newest; to start "
            "again choose another --run",
            t->dir.path);
        goto fail;
    }
    if (any)
        SEC_TRY(sec_ckpt_find(t->dir.ckpt, dir));
fail:
    sec_list_free(&names);
    return rc;
}

static int resume_from(struct sec_trainer *t, const char *dir, struct sec_loader_state *cursor,
                       uint64_t *metrics_offset)
{
    int rc;
    struct sec_ckpt_info info = {0};
    struct sec_ckpt_arena a[N_ARENAS] = {0};
    const char *hex = NULL;
    int64_t v = 0;
    double seconds = 0;
    SEC_TRY(sec_ckpt_read_info(dir, &info));
    SEC_TRY(check_shape(t, &info));
    SEC_TRY(sec_json_i64(info.state, "updates", dir, &t->updates));
    SEC_TRY(sec_json_i64(info.state, "tokens", dir, &v));
    t->tokens_seen = (uint64_t)v;
    SEC_TRY(sec_json_i64(info.state, "skipped", dir, &v));
    t->skipped = (uint64_t)v;
    SEC_TRY(sec_json_f64(info.state, "elapsed", dir, &seconds));
    t->elapsed_before = seconds;
    SEC_TRY(sec_json_i64(info.state, "metrics_offset", dir, &v));
    *metrics_offset = (uint64_t)v;
    SEC_TRY(sec_json_str(info.state, "loader", dir, &hex));
    SEC_TRY(parse_loader_state(hex, dir, cursor));
    SEC_TRY(map_arenas(t, false, a));
    SEC_TRY(sec_ckpt_read(dir, &t->model->params, a, N_ARENAS));
    t->step = t->resumed_from = t->saved_step = info.step;
fail:
    if (!rc)
        rc = unmap_arenas(t, true, a);
    else
        unmap_arenas(t, false, a);
    sec_ckpt_info_free(&info);
    return rc;
}

int sec_trainer_start(struct sec_trainer *t)
{
    int rc;
    char *dir = NULL;
    struct sec_loader_state cursor;
    uint64_t offset = 0;
    struct sec_loader_options lo = sec_train_loader_options(t->c, 0, 1);
    t->saved_step = t->evaluated_step = t->resumed_from = -1;
    SEC_TRY(choose(t, &dir));
    SEC_TRY(sec_model_init(t->model, (uint64_t)t->c->seed));
    if (dir) {
        SEC_TRY(resume_from(t, dir, &cursor, &offset));
        SEC_TRY(sec_model_refresh(t->model));
        /* A checkpoint from elsewhere brings its weights and cursor, not its metrics. */
        if (strncmp(dir, t->dir.ckpt, strlen(t->dir.ckpt)))
            offset = 0;
        sec_info("resuming from %s", dir);
    }
    SEC_TRY(
        sec_loader_open(t->tokens[SEC_SPLIT_TRAIN], t->tok, &lo, dir ? &cursor : NULL, &t->loader));
    SEC_TRY(sec_metrics_open(&t->dir, t->step, offset, &t->metrics));
    SEC_TRY(sec_rundir_event(&t->dir, dir ? "resume" : "start", t->step, dir ? dir : ""));
fail:
    free(dir);
    return rc;
}
