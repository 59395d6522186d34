#include "train/metrics.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int sec_metrics_open(const struct sec_rundir *dir, int64_t last_step, uint64_t offset,
                     struct sec_metrics *m)
{
    int rc;
    *m = (struct sec_metrics){.dir = dir, .fd = -1, .offset = offset};
    int64_t size = sec_file_size(dir->metrics);
    if (offset > (uint64_t)(size < 0 ? 0 : size))
        return sec_fail(SEC_EDATA,
                        "%s has %lld bytes but the checkpoint recorded %llu: restore the "
                        "file, or resume from an older checkpoint",
                        dir->metrics, (long long)size, (unsigned long long)offset);
    m->fd = open(dir->metrics, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (m->fd < 0) {
        rc = sec_fail_errno(errno, "cannot write %s", dir->metrics);
        goto fail;
    }
    if (ftruncate(m->fd, (off_t)offset) || lseek(m->fd, (off_t)offset, SEEK_SET) < 0) {
        rc = sec_fail_errno(errno, "cannot cut %s at byte %llu", dir->metrics,
                            (unsigned long long)offset);
        goto fail;
    }
    SEC_TRY(sec_tb_open(dir->tb, last_step, &m->tb));
    return 0;
fail:
    sec_metrics_close(m);
    return rc;
}

static int append_line(struct sec_metrics *m, struct sec_buf *b)
{
    int rc = sec_buf_addc(b, '\n');
    if (!rc)
        rc = sec_write_all(m->fd, b->data, b->len, m->dir->metrics);
    if (!rc)
        m->offset += b->len;
    return rc;
}

static int write_prom(const struct sec_metrics *m, const struct sec_step_metrics *s)
{
    struct sec_buf b = {0};
    const struct {
        const char *name, *help;
        double value;
    } v[] = {{"step", "Optimiser steps done", (double)s->step},
             {"tokens_total", "Tokens seen", (double)s->tokens},
             {"loss", "Training loss, nats a masked token", s->loss},
             {"masked_accuracy", "Training top-1 accuracy at masked tokens", s->accuracy},
             {"learning_rate", "Learning rate", s->lr},
             {"grad_norm", "Global gradient norm before clipping", s->grad_norm},
             {"tokens_per_second", "Training throughput", s->tokens_per_s},
             {"data_wait_ratio", "Share of the time spent waiting for data",
              s->ms_step > 0 ? s->ms_data / s->ms_step : 0},
             {"substituted_samples_total", "Samples in damaged chunks that others stood in for",
              (double)s->substituted},
             {"eta_seconds", "Estimated time to the end", s->eta},
             {"skipped_steps_total", "Steps skipped for a non-finite gradient", (double)s->skipped},
             {"resident_peak_bytes", "Peak resident memory", (double)s->peak_rss}};
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof v / sizeof *v; i++)
        rc = sec_buf_printf(
            &b, "# HELP secenc_%s %s\n# TYPE secenc_%s %s\nsecenc_%s %.17g\n", v[i].name, v[i].help,
            v[i].name, sec_ends(v[i].name, "_total") ? "counter" : "gauge", v[i].name, v[i].value);
    if (!rc)
        rc = sec_write_file(m->dir->prom, b.data, b.len);
    sec_buf_free(&b);
    return rc;
}

static int tb_step(struct sec_metrics *m, const struct sec_step_metrics *s)
{
    int rc;
    SEC_TRY(sec_tb_scalar(m->tb, "train/loss", s->step, s->loss));
    SEC_TRY(sec_tb_scalar(m->tb, "train/masked_accuracy", s->step, s->accuracy));
    SEC_TRY(sec_tb_scalar(m->tb, "train/learning_rate", s->step, s->lr));
    SEC_TRY(sec_tb_scalar(m->tb, "train/grad_norm", s->step, s->grad_norm));
    SEC_TRY(sec_tb_scalar(m->tb, "speed/tokens_per_second", s->step, s->tokens_per_s));
    SEC_TRY(sec_tb_scalar(m->tb, "speed/data_wait_ms", s->step, s->ms_data));
    SEC_TRY(sec_tb_flush(m->tb));
fail:
    return rc;
}

int sec_metrics_step(struct sec_metrics *m, const struct sec_step_metrics *s)
{
    struct sec_buf b = {0};
    struct sec_jw w;
    int rc;
    sec_jw_init(&w, &b, false);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "kind", "train");
    sec_jw_ki64(&w, "step", s->step);
    sec_jw_ki64(&w, "time", (int64_t)time(NULL));
    sec_jw_kf64(&w, "elapsed", s->elapsed);
    sec_jw_ki64(&w, "tokens", (int64_t)s->tokens);
    sec_jw_kf64(&w, "loss", s->loss);
    sec_jw_kf64(&w, "mlm_acc", s->accuracy);
    sec_jw_kf64(&w, "lr", s->lr);
    sec_jw_kf64(&w, "grad_norm", s->grad_norm);
    sec_jw_kf64(&w, "tok_s", s->tokens_per_s);
    sec_jw_kf64(&w, "gflop_s", s->flops_per_s * 1e-9);
    sec_jw_kf64(&w, "mfu", s->mfu);
    sec_jw_kf64(&w, "ms_step", s->ms_step);
    sec_jw_kf64(&w, "ms_data", s->ms_data);
    sec_jw_kf64(&w, "data_wait", s->ms_step > 0 ? s->ms_data / s->ms_step : 0);
    sec_jw_kf64(&w, "ms_compute", s->ms_compute);
    sec_jw_kf64(&w, "ms_optimizer", s->ms_optimizer);
    sec_jw_ki64(&w, "skipped", (int64_t)s->skipped);
    sec_jw_ki64(&w, "substituted", (int64_t)s->substituted);
    sec_jw_ki64(&w, "peak_rss", (int64_t)s->peak_rss);
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    SEC_TRY(append_line(m, &b));
    SEC_TRY(tb_step(m, s));
    SEC_TRY(write_prom(m, s));
fail:
    sec_buf_free(&b);
    return rc;
}

int sec_metrics_eval(struct sec_metrics *m, int64_t step, const char *split,
                     const struct sec_mlm_result *r)
{
    struct sec_buf b = {0};
    struct sec_jw w;
    char tag[64];
    int rc;
    sec_jw_init(&w, &b, false);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "kind", "eval");
    sec_jw_ki64(&w, "step", step);
    sec_jw_ki64(&w, "time", (int64_t)time(NULL));
    sec_jw_kstr(&w, "split", split);
    sec_jw_kf64(&w, "loss", r->loss);
    sec_jw_kf64(&w, "perplexity", exp(r->loss));
    sec_jw_kf64(&w, "accuracy", r->accuracy);
    sec_jw_kf64(&w, "top5", r->top5);
    sec_jw_ki64(&w, "masked", (int64_t)r->n_masked);
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    SEC_TRY(append_line(m, &b));
    snprintf(tag, sizeof tag, "%s/loss", split);
    SEC_TRY(sec_tb_scalar(m->tb, tag, step, r->loss));
    snprintf(tag, sizeof tag, "%s/masked_accuracy", split);
    SEC_TRY(sec_tb_scalar(m->tb, tag, step, r->accuracy));
    SEC_TRY(sec_tb_flush(m->tb));
fail:
    sec_buf_free(&b);
    return rc;
}

int sec_metrics_sync(struct sec_metrics *m)
{
    if (fsync(m->fd))
        return sec_fail_errno(errno, "cannot sync %s", m->dir->metrics);
    return 0;
}

void sec_metrics_close(struct sec_metrics *m)
{
    if (m->fd >= 0)
        close(m->fd);
    sec_tb_close(m->tb);
    *m = (struct sec_metrics){.fd = -1};
}

void sec_metrics_line(const struct sec_step_metrics *s, char *buf, size_t size)
{
    char rate[32], eta[32], mfu[32] = "";
    if (s->mfu > 0)
        snprintf(mfu, sizeof mfu, " | %.1f%% MFU", 100 * s->mfu);
    snprintf(buf, size,
             "step %lld/%lld %.0f%% | loss %.4f | lr %.2g | gn %.2f | %s tok/s%s | ETA %s",
             (long long)s->step, (long long)s->steps, 100.0 * (double)s->step / (double)s->steps,
             s->loss, s->lr, s->grad_norm, sec_human_count(s->tokens_per_s, rate), mfu,
             sec_human_seconds(s->eta, eta));
}
