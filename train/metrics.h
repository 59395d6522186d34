/* What a run shows: metrics.jsonl (the truth), TensorBoard, a Prometheus textfile, the progress
 * line. On resume metrics.jsonl is cut at the offset that the checkpoint recorded. One thread. */
#ifndef SEC_TRAIN_METRICS_H
#define SEC_TRAIN_METRICS_H

#include "train/mlm_eval.h"
#include "train/rundir.h"
#include "train/tensorboard.h"

struct sec_metrics {
    const struct sec_rundir *dir;
    struct sec_tb *tb;
    int fd;
    uint64_t offset; /* bytes of metrics.jsonl */
};

/* One line of metrics: means over the steps since the last line. */
struct sec_step_metrics {
    int64_t step, steps;
    uint64_t tokens; /* seen since the start of the run */
    double loss, accuracy, lr, grad_norm;
    double tokens_per_s, flops_per_s, mfu; /* mfu 0 = peak unknown */
    double ms_step, ms_data, ms_compute, ms_optimizer;
    double elapsed, eta; /* seconds */
    uint64_t skipped, substituted, peak_rss;
};

int sec_metrics_open(const struct sec_rundir *dir, int64_t last_step, uint64_t offset,
                     struct sec_metrics *m);
int sec_metrics_step(struct sec_metrics *m, const struct sec_step_metrics *s);
int sec_metrics_eval(struct sec_metrics *m, int64_t step, const char *split,
                     const struct sec_mlm_result *r);
/* fsync metrics.jsonl; m->offset is then what a checkpoint may record. */
int sec_metrics_sync(struct sec_metrics *m);
void sec_metrics_close(struct sec_metrics *m);

/* "step 1200/8000 15% | loss 2.1034 | lr 4.9e-4 | gn 0.41 | 52.1k tok/s | 41.8% MFU | ETA 3h12m" */
void sec_metrics_line(const struct sec_step_metrics *s, char *buf, size_t size);

#endif
