/* A run directory: LOCK, config.yaml (resolved), env.json, metrics.jsonl, events.jsonl, tb/,
 * metrics.prom, ckpt/, tokenizer/, report.html. One process owns it: it holds LOCK until it ends.
 */
#ifndef SEC_TRAIN_RUNDIR_H
#define SEC_TRAIN_RUNDIR_H

#include "base/json.h"
#include "train/config.h"

struct sec_rundir {
    char *path, *ckpt, *tokenizer, *tb;
    char *metrics, *events, *prom, *report;
    int lock_fd;
};

/* Creates what is missing and takes the lock; busy = SEC_EFAIL naming the holder. */
int sec_rundir_open(const char *path, struct sec_rundir *r);
void sec_rundir_close(struct sec_rundir *r);

/* config.yaml and env.json (version, host, cpu, memory, backend, threads). */
int sec_rundir_describe(const struct sec_rundir *r, const struct sec_train_config *c,
                        const char *data_dir, const char *backend);

/* Append one line {"time":..., "event": kind, "step": n, "detail": text} to events.jsonl. */
int sec_rundir_event(const struct sec_rundir *r, const char *kind, int64_t step,
                     const char *detail);

#endif
