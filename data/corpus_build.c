#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "data/corpus_out.h"
#include "data/corpus_report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Work goes in rounds. In one round the pool reads the next batch of blocks, cleans the current one
 * and packs the frames of the one before; then one thread takes the decisions and writes. */
enum { MAX_BLOCKS = 256, BATCH_PER_THREAD = 1 << 20 };

struct batch {
    struct sec_block blocks[MAX_BLOCKS];
    size_t n;
};

struct build {
    const struct sec_corpus_options *o;
    struct sec_corpus_report *report;
    int threads;
    struct sec_inputs in;
    struct sec_dedup *dedup;
    struct sec_assembler assembler;
    struct sec_output output;
    struct sec_feed *feed;
    bool fed; /* the feed has no more */
    struct batch *current, *next;
    struct sec_jobs packing, made;
    uint64_t bytes_done;
    double started;
};

static int read_batch(struct build *b)
{
    uint64_t bytes = 0;
    b->next->n = 0;
    while (!b->fed && b->next->n < MAX_BLOCKS && bytes < (uint64_t)b->threads * BATCH_PER_THREAD) {
        struct sec_block *block = &b->next->blocks[b->next->n];
        int rc = sec_feed_next(b->feed, block);
        if (rc < 0)
            return rc;
        if (rc == 1) {
            b->fed = true;
            break;
        }
        bytes += block->n;
        b->next->n++;
    }
    return 0;
}

static int pack(struct sec_job *job)
{
    return job->kind == SEC_JOB_LEDGER ? sec_frame_compress(job->frame)
                                       : sec_frame_pack(job->frame);
}

static int round_item(void *ctx, size_t i)
{
    struct build *b = ctx;
    if (i == 0)
        return read_batch(b);
    if (--i < b->current->n)
        return sec_block_process(&b->current->blocks[i], b->o, b->o->exact, b->assembler.masked);
    return pack(&b->packing.v[i - b->current->n]);
}

/* What the end of a file tells, once. */
static void note_file(struct build *b, const struct sec_block *block)
{
    b->report->bytes_in += block->bytes_in;
    if (!block->damage[0])
        return;
    b->report->damaged_files++;
    sec_warn("%s: %s; what comes before is kept, the rest is lost", b->in.v[block->input].path,
             block->damage);
}

static void show_progress(struct build *b, const char *doing)
{
    char size[32];
    double seconds = sec_now() - b->started;
    if (seconds < 2 || !sec_progress_due())
        return;
    sec_progress("corpus build: %s %s, %.0f MB/s", doing,
                 sec_human_bytes((double)b->bytes_done, size),
                 (double)b->bytes_done / 1e6 / seconds);
}

/* The part of a round that is done in order. */
static int decide_and_write(struct build *b)
{
    int rc = 0;
    for (size_t i = 0; i < b->packing.n; i++) {
        SEC_TRY(sec_output_write(&b->output, &b->packing.v[i]));
        SEC_TRY(sec_assembler_recycle(&b->assembler, b->packing.v[i].frame));
        b->packing.v[i].frame = NULL;
    }
    b->packing.n = 0;
    for (size_t i = 0; i < b->current->n; i++) {
        struct sec_block *block = &b->current->blocks[i];
        SEC_TRY(sec_assembler_block(&b->assembler, block));
        b->bytes_done += block->bytes;
        if (block->last && b->assembler.deciding)
            note_file(b, block);
    }
fail:
    return rc;
}

static int run_pass(struct build *b, bool deciding)
{
    int rc;
    b->assembler.jobs = &b->made;
    sec_assembler_begin(&b->assembler, deciding);
    b->fed = false;
    b->bytes_done = 0;
    SEC_TRY(sec_feed_new(&b->in, b->o, &b->feed));
    SEC_TRY(read_batch(b));
    while (b->next->n || b->made.n) {
        struct batch *t = b->current;
        b->current = b->next;
        b->next = t;
        struct sec_jobs j = b->packing;
        b->packing = b->made;
        b->made = j;
        SEC_TRY(sec_parallel_for(1 + b->current->n + b->packing.n, b->threads, round_item, b));
        SEC_TRY(decide_and_write(b));
        if (!b->next->n && b->fed)
            SEC_TRY(sec_assembler_end(&b->assembler));
        show_progress(b, deciding ? "written" : "counted");
        if (b->o->stop && *b->o->stop) {
            rc = sec_fail(SEC_EINTR, "interrupted; %s is as it was before", b->o->out);
            goto fail;
        }
    }
fail:
    sec_feed_free(b->feed);
    b->feed = NULL;
    return rc;
}

/* Standard input cannot be read twice: keep it in a file for the second pass. */
static int spool_input(struct build *b)
{
    int rc = 0, fd = -1;
    char chunk[1 << 16];
    for (size_t i = 0; i < b->in.n; i++) {
        if (strcmp(b->in.v[i].open, "-"))
            continue;
        char *path = sec_path_join(b->output.stage, "stdin");
        if (!path)
            return sec_fail(SEC_ENOMEM, "out of memory for standard input");
        free(b->in.v[i].open);
        b->in.v[i].open = path;
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
            return sec_fail_errno(errno, "cannot create %s", path);
        for (size_t got = sizeof chunk; got == sizeof chunk;) {
            SEC_TRY(sec_read_full(STDIN_FILENO, chunk, sizeof chunk, &got, "standard input"));
            SEC_TRY(sec_write_all(fd, chunk, got, path));
        }
        break;
    }
fail:
    if (fd >= 0)
        close(fd);
    return rc;
}

static void free_jobs(struct sec_jobs *j)
{
    for (size_t i = 0; i < j->n; i++) {
        sec_frame_free(j->v[i].frame);
        free(j->v[i].frame);
    }
    free(j->v);
}

static void free_batch(struct batch *t)
{
    for (size_t i = 0; t && i < MAX_BLOCKS; i++)
        sec_block_free(&t->blocks[i]);
    free(t);
}

static int prepare(struct build *b)
{
    const struct sec_corpus_options *o = b->o;
    int rc;
    struct sec_dedup_options d = {o->exact, o->template_cap,
                                  o->memory ? o->memory : sec_total_memory() / 2};
    b->threads = o->threads > 0 ? o->threads : sec_threads();
    b->current = calloc(1, sizeof *b->current);
    b->next = calloc(1, sizeof *b->next);
    if (!b->current || !b->next)
        return sec_fail(SEC_ENOMEM, "out of memory for reading");
    SEC_TRY(sec_inputs_find(o, &b->in));
    SEC_TRY(sec_output_open(o, &b->output));
    SEC_TRY(sec_dedup_new(&d, &b->dedup));
    sec_assembler_init(&b->assembler, o, &b->in, b->dedup);
fail:
    return rc;
}

int sec_corpus_build(const struct sec_corpus_options *o, struct sec_corpus_report *report)
{
    int rc;
    struct sec_buf manifest = {0};
    struct build b = {.o = o, .report = report, .started = sec_now()};
    b.output.lock = -1;
    memset(report, 0, sizeof *report);
    SEC_TRY(prepare(&b));
    int passes = sec_dedup_passes(b.dedup);
    if (passes > 1)
        SEC_TRY(spool_input(&b));
    for (int pass = 0; pass < passes; pass++) {
        sec_dedup_begin(b.dedup, pass);
        SEC_TRY(run_pass(&b, pass + 1 == passes));
    }
    SEC_TRY(sec_output_finish(&b.output));
    sec_corpus_sum(&b.in, b.output.shards, b.output.n_shards, report);
    report->largest_similarity = -1;
    SEC_TRY(sec_corpus_check(o, &b.in, report));
    SEC_TRY(
        sec_corpus_manifest(o, &b.in, b.output.shards, b.output.n_shards, report, NULL, &manifest));
    rc = sec_output_commit(&b.output, &manifest);
    report->seconds = sec_now() - b.started;
fail:
    sec_progress_done();
    sec_buf_free(&manifest);
    if (b.output.root)
        sec_output_close(&b.output);
    free_jobs(&b.packing);
    free_jobs(&b.made);
    sec_assembler_free(&b.assembler);
    sec_dedup_free(b.dedup);
    free_batch(b.current);
    free_batch(b.next);
    sec_inputs_free(&b.in);
    return rc;
}
