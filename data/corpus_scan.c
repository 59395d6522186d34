/* The first pass over the records: their hashes, and how often each template occurs. */
#include "base/error.h"
#include "base/ranks.h"
#include "data/corpus_records.h"
#include "data/partfile.h"
#include "data/sealed.h"

#include <stdlib.h>

int sec_pass_open(const struct sec_corpus_work *w, size_t task, struct sec_pass *p)
{
    int rc;
    const struct sec_corpus_options *o = w->o;
    *p = (struct sec_pass){.w = w, .task = task};
    SEC_TRY(sec_feed_new(&w->in, o, &w->tasks[task], &p->feed));
    if (w->pseudo) {
        p->pseudo_ctx = sec_pseudo_ctx_new(w->pseudo);
        if (!p->pseudo_ctx) {
            rc = SEC_ENOMEM;
            goto fail;
        }
    }
    p->seen = o->exact ? calloc(SEC_SEEN, sizeof *p->seen) : NULL;
    if (o->exact && !p->seen) {
        rc = sec_fail(SEC_ENOMEM, "out of memory for recent records");
        goto fail;
    }
    p->filter =
        (struct sec_filter){.o = o, .json = w->json, .pseudo = p->pseudo_ctx, .hash = o->exact};
fail:
    if (rc)
        sec_pass_close(p);
    return rc;
}

int sec_pass_next(struct sec_pass *p)
{
    int rc = sec_feed_next(p->feed, &p->block);
    return rc ? rc : sec_block_process(&p->block, &p->filter);
}

void sec_pass_close(struct sec_pass *p)
{
    sec_feed_free(p->feed);
    sec_block_free(&p->block);
    if (p->pseudo_ctx)
        sec_pseudo_ctx_free(p->pseudo_ctx);
    free(p->seen);
    *p = (struct sec_pass){0};
}

/* Templates of one segment: open addressing, at most half full. */
struct tally {
    uint64_t key, n, bytes;
};
struct tallies {
    struct tally *v;
    size_t mask, used;
};

static struct tally *find_tally(struct tallies *t, uint64_t key)
{
    size_t i = key & t->mask;
    while (t->v[i].n && t->v[i].key != key)
        i = (i + 1) & t->mask;
    return &t->v[i];
}

static int grow_tallies(struct tallies *t)
{
    struct tallies bigger = {.mask = t->v ? 2 * t->mask + 1 : 4095, .used = t->used};
    bigger.v = calloc(bigger.mask + 1, sizeof *bigger.v);
    if (!bigger.v)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu templates", t->used);
    for (size_t i = 0; t->v && i <= t->mask; i++)
        if (t->v[i].n)
            *find_tally(&bigger, t->v[i].key) = t->v[i];
    free(t->v);
    *t = bigger;
    return 0;
}

struct scan {
    struct sec_corpus_work *w;
    struct sec_pass pass;
    struct sec_part_writer *hashes, *templates;
    struct tallies tallies;
    uint64_t segment; /* of the tallies */
    uint64_t source_key;
    struct sec_buf mask;
};

static int put_tallies(struct scan *s)
{
    int rc = 0;
    for (size_t i = 0; s->tallies.v && i <= s->tallies.mask && !rc; i++) {
        struct tally *t = &s->tallies.v[i];
        if (t->n)
            rc = sec_part_add(s->templates, t->key % s->w->n_parts,
                              (uint64_t[]){t->key, s->segment, t->n, t->bytes});
    }
    if (s->tallies.v)
        memset(s->tallies.v, 0, (s->tallies.mask + 1) * sizeof *s->tallies.v);
    s->tallies.used = 0;
    return rc;
}

static int count_template(struct scan *s, const struct sec_record *r, uint64_t key,
                          uint64_t *template)
{
    int rc = 0;
    uint64_t segment = sec_key_segment(key);
    if (segment != s->segment) {
        SEC_TRY(put_tallies(s));
        s->segment = segment;
    }
    sec_buf_clear(&s->mask);
    SEC_TRY(sec_buf_reserve(&s->mask, r->len + 1));
    size_t n = sec_template_mask(r->p, r->len, s->mask.data);
    *template = sec_hash64(s->mask.data, n, s->source_key);
    if (!s->tallies.v || 2 * s->tallies.used > s->tallies.mask)
        SEC_TRY(grow_tallies(&s->tallies));
    struct tally *t = find_tally(&s->tallies, *template);
    s->tallies.used += !t->n;
    t->key = *template;
    t->n++;
    t->bytes += r->len + 1;
fail:
    return rc;
}

static int scan_block(struct scan *s)
{
    int rc = 0;
    const struct sec_block *b = &s->pass.block;
    for (size_t i = 0; i < b->n_records; i++) {
        const struct sec_record *r = &b->records[i];
        uint64_t key = sec_record_key(&s->pass, r), template = 0;
        if (r->reason != SEC_KEPT || (s->pass.seen && sec_pass_seen(&s->pass, r->hash)))
            continue;
        if (s->templates)
            SEC_TRY(count_template(s, r, key, &template));
        if (s->hashes)
            SEC_TRY(
                sec_part_add(s->hashes, r->hash.lo % s->w->n_parts,
                             (uint64_t[]){r->hash.lo ^ s->source_key, r->hash.hi, key, template}));
    }
fail:
    return rc;
}

static int scan_blocks(struct scan *s, struct sec_scan_sum *sum)
{
    int rc;
    while (!(rc = sec_pass_next(&s->pass))) {
        SEC_TRY(scan_block(s));
        sum->lines += s->pass.block.first_line + s->pass.block.lines;
        if (s->w->o->stop && *s->w->o->stop)
            return sec_fail(SEC_EINTR, "interrupted; the same command goes on from here");
    }
    sum->hash = sec_feed_hash(s->pass.feed);
    rc = rc == 1 ? 0 : rc;
fail:
    return rc;
}

static int scan_task(void *ctx, size_t task)
{
    struct sec_corpus_work *w = ctx;
    int rc;
    struct sec_scan_sum sum = {0};
    struct scan s = {.w = w, .segment = (uint64_t)task << SEC_TASK_SHIFT};
    char *path = sec_work_path(w, "scan", task, "sum");
    s.source_key = sec_source_key(w, task);
    bool cap = sec_capped(w->o);
    if (!path)
        return SEC_ENOMEM;
    SEC_TRY(sec_pass_open(w, task, &s.pass));
    if (w->o->exact)
        SEC_TRY(
            sec_work_create(w, "scan", task, "part", cap ? 4 : 3, w->task_memory / 2, &s.hashes));
    if (cap)
        SEC_TRY(sec_work_create(w, "scan", task, "tmpl", 4, w->task_memory / 8, &s.templates));
    SEC_TRY(scan_blocks(&s, &sum));
    if (cap)
        SEC_TRY(put_tallies(&s));
    SEC_TRY(sec_part_finish(&s.hashes));
    SEC_TRY(sec_part_finish(&s.templates));
    rc = sec_sealed_write(path, &sum, sizeof sum);
fail:
    sec_part_abort(s.hashes);
    sec_part_abort(s.templates);
    sec_pass_close(&s.pass);
    free(s.tallies.v);
    sec_buf_free(&s.mask);
    free(path);
    return rc;
}

static bool scan_done(void *ctx, size_t task)
{
    const struct sec_corpus_work *w = ctx;
    return sec_work_have(w, "scan", task, "sum") &&
           (!w->o->exact || sec_work_have(w, "scan", task, "part")) &&
           (!sec_capped(w->o) || sec_work_have(w, "scan", task, "tmpl"));
}

/* Lines of a file before each of its parts. */
static int sum_lines(struct sec_corpus_work *w)
{
    int rc = 0;
    uint64_t lines = 0;
    for (size_t t = 0; t < w->n_tasks && !rc; t++) {
        struct sec_scan_sum sum;
        char *path = sec_work_path(w, "scan", t, "sum");
        rc = path ? sec_sealed_read_into(path, &sum, sizeof sum) : SEC_ENOMEM;
        free(path);
        w->line_base[t] = w->tasks[t].begin ? lines : 0;
        lines = w->line_base[t] + sum.lines;
    }
    return rc;
}

int sec_records_scan(struct sec_corpus_work *w)
{
    int rc;
    struct sec_stage s = {.name = "scan",
                          .n = w->n_tasks,
                          .cost = w->cost,
                          .threads = w->threads,
                          .stop = w->o->stop,
                          .done = scan_done,
                          .run = scan_task,
                          .ctx = w};
    SEC_TRY(sec_ranks_agree(sec_work_stage_dir(w, "scan")));
    SEC_TRY(sec_stage_run(&s));
    rc = sec_ranks_agree(sum_lines(w));
fail:
    return rc;
}
