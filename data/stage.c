#include "data/stage.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/ranks.h"
#include "base/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct item {
    uint64_t cost;
    size_t task;
};

struct run {
    const struct sec_stage *stage;
    struct item *mine; /* this rank's tasks, longest first */
    size_t n;
    atomic_size_t finished;
    char fault[64];
};

static int longest_first(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    if (a->cost != b->cost)
        return a->cost > b->cost ? -1 : 1;
    return (a->task > b->task) - (a->task < b->task);
}

/* Keeps in items[] the tasks of this rank; load[world] is zeroed. */
static size_t take_mine(struct item *items, size_t n, uint64_t *load, size_t world, size_t me)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t least = 0;
        for (size_t r = 1; r < world; r++)
            if (load[r] < load[least])
                least = r;
        load[least] += items[i].cost + 1; /* + 1: tasks without cost spread too */
        if (least == me)
            items[kept++] = items[i];
    }
    return kept;
}

static int run_item(void *ctx, size_t i)
{
    struct run *r = ctx;
    const struct sec_stage *s = r->stage;
    if (s->stop && *s->stop)
        return sec_fail(SEC_EINTR, "%s: stopped; the same command goes on from here", s->name);
    if (sec_fault(r->fault))
        return sec_fail_errno(errno, "%s: cannot start task %zu", s->name, r->mine[i].task);
    int rc = s->run(s->ctx, r->mine[i].task);
    if (rc)
        return rc;
    size_t done = atomic_fetch_add(&r->finished, 1) + 1;
    if (done < r->n)
        sec_progress("%s: %zu of %zu tasks%s", s->name, done, r->n,
                     sec_world() > 1 ? " of the first rank" : "");
    return 0;
}

/* Rank 0 alone looks for finished tasks: the ranks must agree on who does what, and a file may
 * appear between two looks. */
static int find_open(const struct sec_stage *s, unsigned char *open)
{
    if (sec_rank() == 0)
        for (size_t i = 0; i < s->n; i++)
            open[i] = !(s->done && s->done(s->ctx, i));
    return sec_ranks_bcast(open, s->n);
}

int sec_stage_run(const struct sec_stage *s)
{
    struct run r = {.stage = s};
    size_t n = 0, world = (size_t)sec_world();
    snprintf(r.fault, sizeof r.fault, "stage-%s", s->name);
    unsigned char *open = malloc(s->n + 1);
    uint64_t *load = calloc(world, sizeof *load);
    r.mine = malloc((s->n + 1) * sizeof *r.mine);
    int rc = 0;
    if (!open || !load || !r.mine)
        rc = sec_fail(SEC_ENOMEM, "%s: cannot allocate %zu tasks", s->name, s->n);
    rc = sec_ranks_agree(rc);
    if (!rc)
        rc = find_open(s, open);
    if (!rc) {
        for (size_t i = 0; i < s->n; i++)
            if (open[i])
                r.mine[n++] = (struct item){s->cost ? s->cost[i] : 0, i};
        qsort(r.mine, n, sizeof *r.mine, longest_first);
        r.n = take_mine(r.mine, n, load, world, (size_t)sec_rank());
        rc = sec_ranks_agree(sec_parallel_for(r.n, s->threads, run_item, &r));
    }
    free(open);
    free(load);
    free(r.mine);
    return rc;
}
