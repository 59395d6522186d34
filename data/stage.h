/* A stage of a large job: n independent tasks, spread over ranks and threads, each of which leaves
 * one file (or several) under its final name when it is complete and never before. That makes a
 * stage resumable: a task whose result exists is skipped, whoever made it and on however many
 * ranks.
 *
 * Tasks are given to ranks by cost (longest first, least loaded rank) and on a rank to threads in
 * order. Which rank or thread runs a task must not matter to its result.
 *
 * Collective over ranks. Returns the failure of any rank (sec_ranks_agree); SEC_EINTR when *stop
 * became nonzero: what is complete stays for the next run. Each start of a task passes the fault
 * point "stage-NAME". */
#ifndef SEC_DATA_STAGE_H
#define SEC_DATA_STAGE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sec_stage {
    const char *name; /* "scan": for progress lines and fault points */
    size_t n;
    const uint64_t *cost; /* [n], bytes say; NULL = all alike */
    int threads;
    const volatile sig_atomic_t *stop;    /* may be NULL */
    bool (*done)(void *ctx, size_t task); /* result exists; NULL = never */
    int (*run)(void *ctx, size_t task);
    void *ctx;
};
int sec_stage_run(const struct sec_stage *s);

#endif
