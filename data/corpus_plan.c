/* The plan of a build: inputs -> tasks, and whether work of an earlier run can be gone on with. */
#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "base/thread.h"
#include "data/corpus_work.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLAN_VERSION = 1, HEAD = 1 << 16, MAX_FILES = 4096 };

#define PIPED "piped-" /* OUT/.build/piped-NNNNNN: what came through input NNNNNN */

/* Buffers of a rank and of a thread beside task_memory: blocks, compressors, stacks, libraries. */
#define RANK_BYTES   (UINT64_C(72) << 20)
#define THREAD_BYTES (UINT64_C(40) << 20)
#define LEAST_TASK   (UINT64_C(24) << 20)
/* More is of no use: records of a task and partitions are about 64 MiB. */
#define MOST_TASK (UINT64_C(256) << 20)

/* What comes through a pipe cannot be read twice: it is kept in a file. Rank 0. *hash: of it. */
static int spool_input(const struct sec_corpus_work *w, const struct sec_input *in,
                       const char *path, uint64_t *hash)
{
    enum { CHUNK = 1 << 20 };
    int rc = 0, from = -1, to = -1;
    char *chunk = malloc(CHUNK);
    if (!chunk) {
        rc = sec_fail(SEC_ENOMEM, "out of memory for %s", in->path);
        goto fail;
    }
    from = strcmp(in->open, "-") ? open(in->open, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (from < 0) {
        rc = sec_fail_errno(errno, "cannot read input %s", in->path);
        goto fail;
    }
    to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) {
        rc = sec_fail_errno(errno, "cannot create %s", path);
        goto fail;
    }
    *hash = 0;
    for (size_t got = CHUNK; got == CHUNK;) {
        SEC_TRY(sec_read_full(from, chunk, CHUNK, &got, in->path));
        SEC_TRY(sec_write_all(to, chunk, got, path));
        *hash = sec_hash64(chunk, got, *hash);
        if (w->o->stop && *w->o->stop) {
            rc = sec_fail(SEC_EINTR, "interrupted while %s was read", in->path);
            goto fail;
        }
    }
fail:
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    free(chunk);
    return rc;
}

static int take_pipe(struct sec_corpus_work *w, size_t i)
{
    int rc = SEC_ENOMEM;
    struct sec_input *in = &w->in.v[i];
    char *path;
    uint64_t hash = 0;
    if (asprintf(&path, "%s/" PIPED "%06zu", w->dir, i) < 0)
        path = NULL;
    rc = !path        ? sec_fail(rc, "out of memory for %s", in->path)
         : sec_rank() ? 0
                      : spool_input(w, in, path, &hash);
    SEC_TRY(sec_ranks_agree(rc));
    SEC_TRY(sec_ranks_bcast(&hash, sizeof hash));
    in->piped = hash | 1;
    free(in->open);
    in->open = path;
    return 0;
fail:
    free(path);
    return rc;
}

/* Collective. Rank 0 tells what is a pipe: only it has the standard input. */
static int take_pipes(struct sec_corpus_work *w)
{
    int rc;
    unsigned char *piped = calloc(w->in.n + 1, 1);
    for (size_t i = 0; piped && !sec_rank() && i < w->in.n; i++) {
        struct stat st;
        const char *path = w->in.v[i].open;
        piped[i] = !strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode));
    }
    SEC_TRY(sec_ranks_agree(piped ? 0 : sec_fail(SEC_ENOMEM, "out of memory for inputs")));
    SEC_TRY(sec_ranks_bcast(piped, w->in.n));
    for (size_t i = 0; i < w->in.n; i++)
        if (piped[i])
            SEC_TRY(take_pipe(w, i));
fail:
    free(piped);
    return rc;
}

/* May the file be cut at line ends, wherever they are? */
static int cuttable(const struct sec_corpus_work *w, const struct sec_input *in, bool *yes,
                    enum sec_format *format)
{
    char head[HEAD];
    size_t got;
    *yes = false;
    int fd = open(in->open, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sec_fail_errno(errno, "cannot read input %s", in->path);
    int rc = sec_read_full(fd, head, sizeof head, &got, in->path);
    close(fd);
    if (rc || got < sizeof head || !sec_plain_text(head, got))
        return rc;
    enum sec_format f = sec_format_detect(w->o->format, sec_basename(in->path), head, got);
    *format = f;
    *yes = f == SEC_FORMAT_LINES || f == SEC_FORMAT_JSONL || f == SEC_FORMAT_TSV;
    return 0;
}

static int add_task(struct sec_corpus_work *w, size_t *cap, const struct sec_task *t)
{
    if (w->n_tasks == *cap) {
        *cap = *cap ? 2 * *cap : 256;
        struct sec_task *v = realloc(w->tasks, *cap * sizeof *v);
        if (!v)
            return sec_fail(SEC_ENOMEM, "out of memory for %zu tasks", *cap);
        w->tasks = v;
    }
    w->tasks[w->n_tasks++] = *t;
    return 0;
}

static int cut_file(struct sec_corpus_work *w, size_t *cap, size_t i, uint64_t size,
                    enum sec_format format)
{
    int rc = 0;
    for (uint64_t at = 0; at < size && !rc; at += SEC_TASK_BYTES) {
        uint64_t end = size - at > SEC_TASK_BYTES ? at + SEC_TASK_BYTES : UINT64_MAX;
        struct sec_task t = {.source = w->in.v[i].source,
                             .first_input = i,
                             .n_inputs = 1,
                             .begin = at,
                             .end = end,
                             .cost = (end < size ? end : size) - at,
                             .format = format};
        rc = add_task(w, cap, &t);
    }
    return rc;
}

static int make_tasks(struct sec_corpus_work *w, struct sec_buf *files, uint64_t *total)
{
    int rc = 0;
    size_t cap = 0;
    struct sec_task open = {.end = UINT64_MAX};
    for (size_t i = 0; i < w->in.n; i++) {
        const struct sec_input *in = &w->in.v[i];
        struct stat st;
        bool cut = false;
        enum sec_format format = SEC_FORMAT_AUTO;
        if (stat(in->open, &st))
            return sec_fail_errno(errno, "cannot read input %s", in->path);
        uint64_t size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        w->in.v[i].size = size;
        *total += size;
        /* A pipe's text is told by its hash: its file is always new. */
        long long seconds = in->piped ? (long long)in->piped : (long long)st.st_mtim.tv_sec;
        SEC_TRY(sec_buf_printf(files, "file %d %" PRIu64 " %lld.%09ld %s\n", in->source, size,
                               seconds, in->piped ? 0 : st.st_mtim.tv_nsec, in->path));
        if (size > SEC_TASK_BYTES)
            SEC_TRY(cuttable(w, in, &cut, &format));
        if (open.n_inputs && (open.source != in->source || cut ||
                              open.cost + size > SEC_TASK_BYTES || open.n_inputs == MAX_FILES)) {
            SEC_TRY(add_task(w, &cap, &open));
            open.n_inputs = 0;
        }
        if (cut) {
            SEC_TRY(cut_file(w, &cap, i, size, format));
            continue;
        }
        if (!open.n_inputs)
            open = (struct sec_task){.source = in->source, .first_input = i, .end = UINT64_MAX};
        open.n_inputs++;
        open.cost += size;
    }
    if (open.n_inputs)
        rc = add_task(w, &cap, &open);
    if (!rc && w->n_tasks >> (64 - SEC_TASK_SHIFT))
        rc = sec_fail(SEC_EDATA, "%zu tasks of input are too many", w->n_tasks);
fail:
    return rc;
}

static int set_memory(struct sec_corpus_work *w)
{
    const struct sec_corpus_options *o = w->o;
    w->threads = o->threads > 0 ? o->threads : sec_threads();
    uint64_t memory = o->memory ? o->memory : sec_total_memory() / 2;
    uint64_t fixed = RANK_BYTES + (uint64_t)w->threads * THREAD_BYTES;
    uint64_t least = fixed + (uint64_t)w->threads * LEAST_TASK;
    if (memory < least)
        return sec_fail(SEC_EUSAGE,
                        "--memory of %" PRIu64 " MiB is too little for %d threads: %" PRIu64
                        " MiB is the least, or take fewer --threads",
                        memory >> 20, w->threads, (least >> 20) + 1);
    uint64_t task = (memory - fixed) / (uint64_t)w->threads;
    w->task_memory = (size_t)(task < MOST_TASK ? task : MOST_TASK);
    return 0;
}

/* Everything that decides about the work in .build, as text to compare. */
static int put_options(struct sec_corpus_work *w, struct sec_buf *out)
{
    const struct sec_corpus_options *o = w->o;
    const struct sec_minhash_options *m = &o->near;
    int rc;
    SEC_TRY(sec_buf_printf(out,
                           "plan %d\nrecords format %d max %" PRIu64 " json %d pseudo %s\n"
                           "dedup exact %d cap %" PRIu64 " target %" PRIu64 " minhash %d\n"
                           "near %u %d %u %u %.17g decontaminate %.17g\ndocuments %" PRIu64 "\n"
                           "split %.17g seed %" PRIu64 " shards %" PRIu64 " ledger %d\n",
                           PLAN_VERSION, (int)o->format, o->max_record, (int)o->json_take,
                           w->pseudo ? sec_pseudo_fingerprint(w->pseudo) : "none", o->exact,
                           o->template_cap, o->target_bytes, o->minhash, m->length, m->words,
                           m->bands, m->rows, m->similarity, o->decontaminate, o->doc_bytes,
                           o->split.idts, o->split.seed, o->shard_bytes, o->ledger));
    for (size_t i = 0; o->json_paths && i < o->json_paths->n; i++)
        SEC_TRY(sec_buf_printf(out, "field %s\n", o->json_paths->v[i]));
    for (size_t i = 0; i < w->in.n_sources; i++)
        SEC_TRY(
            sec_buf_printf(out, "source %d %s\n", w->in.sources[i].odts, w->in.sources[i].name));
fail:
    return rc;
}

/* What every task's filters share. */
static int open_filters(struct sec_corpus_work *w)
{
    const struct sec_corpus_options *o = w->o;
    int rc = 0;
    if (o->pseudo.key_file)
        SEC_TRY(sec_pseudo_open(&o->pseudo, &w->pseudo));
    if (o->json_take != SEC_JSON_AS_IS)
        SEC_TRY(sec_jsonfield_open(o->json_take, o->json_paths, &w->json));
fail:
    return rc;
}

/* Rank 0: keep the work of an earlier run of the same plan, else clear it away. */
static int settle(struct sec_corpus_work *w, const struct sec_buf *plan)
{
    int rc = 0;
    struct sec_buf old = {0};
    struct sec_list names = {0};
    char *path = sec_path_join(w->dir, SEC_PLAN);
    if (!path)
        return sec_fail(SEC_ENOMEM, "out of memory for the plan");
    if (sec_exists(path))
        SEC_TRY(sec_read_file(path, &old));
    if (old.len == plan->len && !memcmp(old.data, plan->data, plan->len)) {
        sec_info("going on where a build of the same inputs and options was stopped");
        goto fail;
    }
    if (old.len)
        sec_info("%s holds the work of a build with other inputs or options: starting anew",
                 w->dir);
    SEC_TRY(sec_list_dir(w->dir, &names));
    for (size_t i = 0; i < names.n; i++) {
        if (!strncmp(names.v[i], PIPED, strlen(PIPED)))
            continue;
        char *item = sec_path_join(w->dir, names.v[i]);
        rc = item ? sec_remove_tree(item) : sec_fail(SEC_ENOMEM, "out of memory for a path");
        free(item);
        if (rc)
            goto fail;
    }
    rc = sec_write_file(path, plan->data, plan->len);
fail:
    free(path);
    sec_list_free(&names);
    sec_buf_free(&old);
    return rc;
}

int sec_corpus_plan(struct sec_corpus_work *w)
{
    int rc;
    struct sec_buf plan = {0};
    uint64_t total = 0;
    SEC_TRY(sec_ranks_agree(set_memory(w)));
    SEC_TRY(sec_ranks_agree(sec_inputs_find(w->o, &w->in)));
    SEC_TRY(take_pipes(w));
    rc = open_filters(w);
    if (!rc)
        rc = put_options(w, &plan);
    if (!rc)
        rc = make_tasks(w, &plan, &total);
    SEC_TRY(sec_ranks_agree(rc));
    uint64_t hash = sec_hash64(plan.data, plan.len, 0), largest = hash;
    SEC_TRY(sec_ranks_max(&largest, 1));
    SEC_TRY(sec_ranks_agree(hash == largest
                                ? 0
                                : sec_fail(SEC_EFAIL, "ranks see other inputs: all need the same "
                                                      "files under the same names")));
    SEC_TRY(sec_ranks_agree(sec_rank() ? 0 : settle(w, &plan)));
    if (w->task_memory - LEAST_TASK > 4 * total) /* small inputs: small buffers */
        w->task_memory = (size_t)(LEAST_TASK + 4 * total);
    /* About 32 bytes of keys for 150 of text; 64 MiB a partition. */
    w->n_parts = 4;
    while (w->n_parts < 4096 && w->n_parts * (UINT64_C(320) << 20) < total)
        w->n_parts *= 2;
    w->cost = calloc(w->n_tasks + 1, sizeof *w->cost);
    w->line_base = calloc(w->n_tasks + 1, sizeof *w->line_base);
    if (!w->cost || !w->line_base) {
        rc = sec_fail(SEC_ENOMEM, "out of memory for %zu tasks", w->n_tasks);
        goto fail;
    }
    for (size_t i = 0; i < w->n_tasks; i++)
        w->cost[i] = w->tasks[i].cost;
fail:
    sec_buf_free(&plan);
    return rc;
}
