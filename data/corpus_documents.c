/* The second pass over the records: those that stay become documents in a store. */
#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "data/corpus_captable.h"
#include "data/corpus_records.h"
#include "data/corpus_removed.h"
#include "data/docstore.h"
#include "data/partfile.h"
#include "data/sealed.h"
#include "data/sketch.h"

#include <stdlib.h>
#include <unistd.h>

enum { MAX_BANDS = SEC_MINHASH_N };

struct stage {
    struct sec_corpus_work *w;
    struct sec_list exact, caps; /* files of the stages before */
};

/* A task at work. */
struct documents {
    const struct stage *stage;
    struct sec_corpus_work *w;
    struct sec_pass pass;
    struct sec_task_sum sum;
    uint64_t source_key;
    bool masked; /* documents need their masked text */

    struct sec_part_stream *exact; /* repetitions, in order */
    const uint64_t *repetition;    /* the next one; NULL = none */
    struct sec_captable *caps;     /* NULL = no cap */
    struct sec_removed *removed;   /* NULL = no ledger */

    struct sec_docwriter *store;
    struct sec_part_writer *ids, *bands;
    struct sec_sketch_writer *sketches;
    struct sec_shingler shingler;

    size_t input; /* whose lines are counted */
    uint64_t lines;
    struct sec_buf text, mask; /* of the open document */
    struct sec_docrow row;
    uint64_t segment;
};

static int put_bands(struct documents *d, uint64_t key)
{
    const struct sec_minhash_options *o = &d->w->o->near;
    uint32_t signature[SEC_MINHASH_N];
    uint64_t keys[MAX_BANDS];
    int rc = sec_shingle_masked(&d->shingler, o, d->mask.data, d->mask.len);
    if (rc)
        return rc;
    sec_minhash_sign(d->shingler.hash, d->shingler.n, signature);
    sec_minhash_keys(signature, o->bands, o->rows, keys);
    rc = sec_sketch_add(d->sketches, signature);
    for (unsigned b = 0; b < o->bands && !rc; b++)
        rc = sec_part_add(d->bands, keys[b] % d->w->n_parts, (uint64_t[]){keys[b], key});
    return rc;
}

static int finish_document(struct documents *d)
{
    int rc = 0;
    if (!d->row.records)
        return 0;
    uint64_t key = sec_doc_key(d->pass.task, d->sum.documents);
    d->row.id = sec_hash128(d->text.data, d->text.len);
    d->row.cluster = d->masked ? sec_hash64(d->mask.data, d->mask.len, 0) : 0;
    SEC_TRY(sec_docwriter_add(d->store, &d->row, d->text.data, d->text.len));
    if (d->ids)
        SEC_TRY(sec_part_add(d->ids, d->row.id.lo % d->w->n_parts,
                             (uint64_t[]){d->row.id.lo, d->row.id.hi, key}));
    if (d->bands)
        SEC_TRY(put_bands(d, key));
    d->sum.documents++;
    d->sum.bytes_documents += d->text.len;
    d->sum.counts.reasons[SEC_KEPT] += d->row.records;
    sec_buf_clear(&d->text);
    sec_buf_clear(&d->mask);
    d->row.records = 0;
fail:
    return rc;
}

/* Behind the open document's masked text: the record's, after a newline. *at = where it starts. */
static int add_mask(struct documents *d, const struct sec_record *r, size_t *at)
{
    int rc;
    SEC_TRY(sec_buf_reserve(&d->mask, r->len + 2));
    if (d->mask.len)
        d->mask.data[d->mask.len++] = '\n';
    *at = d->mask.len;
    d->mask.len += sec_template_mask(r->p, r->len, d->mask.data + d->mask.len);
fail:
    return rc;
}

/* The record's mask becomes the first of a new document. */
static void move_mask(struct sec_buf *mask, size_t at, size_t n)
{
    memmove(mask->data, mask->data + at, n);
    mask->len = n;
}

static int append_record(struct documents *d, const struct sec_record *r, size_t mask_at,
                         uint64_t line)
{
    int rc = 0;
    uint64_t segment = sec_key_segment(sec_record_key(&d->pass, r));
    if (d->row.records &&
        (d->text.len + 1 + r->len > d->w->o->doc_bytes || segment != d->segment)) {
        size_t before = mask_at ? mask_at - 1 : 0, n = d->mask.len - mask_at;
        d->mask.len = d->masked ? before : 0;
        size_t at = mask_at;
        SEC_TRY(finish_document(d));
        if (d->masked)
            move_mask(&d->mask, at, n);
    }
    d->segment = segment;
    if (d->row.records) {
        SEC_TRY(sec_buf_addc(&d->text, '\n'));
    } else {
        d->row.input = (uint32_t)d->pass.block.input;
        d->row.line = line;
    }
    d->row.records++;
    rc = sec_buf_add(&d->text, r->p, r->len);
fail:
    return rc;
}

static int note(struct documents *d, enum sec_reason reason, uint64_t line, const uint64_t *keeper)
{
    d->sum.counts.reasons[reason]++;
    if (!d->removed || reason == SEC_DROP_EMPTY)
        return 0;
    return sec_removed_record(d->removed, reason, d->pass.block.input, line, keeper);
}

/* Was the record found to be a repetition? Asked in order. */
static int is_repetition(struct documents *d, uint64_t key, bool *yes)
{
    *yes = false;
    while (d->repetition && *d->repetition <= key) {
        *yes = *d->repetition == key;
        int rc = sec_part_next(d->exact, &d->repetition);
        if (rc < 0)
            return rc;
        if (rc)
            d->repetition = NULL;
    }
    return 0;
}

static int take_record(struct documents *d, const struct sec_record *r, uint64_t line)
{
    int rc = 0;
    uint64_t key = sec_record_key(&d->pass, r), template;
    size_t mask_at = 0, mask_before = d->mask.len;
    bool drop = false;
    if (r->reason != SEC_KEPT)
        return note(d, r->reason, line, NULL);
    if (d->pass.seen)
        drop = sec_pass_seen(&d->pass, r->hash);
    if (!drop && d->exact)
        SEC_TRY(is_repetition(d, key, &drop));
    if (drop)
        return note(d, SEC_DROP_EXACT, line, &r->hash.hi);
    if (d->masked)
        SEC_TRY(add_mask(d, r, &mask_at));
    if (d->caps) {
        template = sec_hash64(d->mask.data + mask_at, d->mask.len - mask_at, d->source_key);
        SEC_TRY(sec_captable_ask(d->caps, sec_key_segment(key), template, &drop));
        if (drop) {
            d->mask.len = mask_before;
            return note(d, SEC_DROP_TEMPLATE, line, &template);
        }
    }
    rc = append_record(d, r, mask_at, line);
fail:
    return rc;
}

static int take_block(struct documents *d)
{
    int rc = 0;
    const struct sec_block *b = &d->pass.block;
    struct sec_corpus_counts *c = &d->sum.counts;
    if (b->input != d->input) {
        d->input = b->input;
        d->lines = d->w->line_base[d->pass.task];
    }
    c->records_read += b->n_records + b->too_long;
    c->bytes_read += b->bytes;
    for (int k = 0; k < SEC_N_CHANGES; k++)
        c->changes[k] += b->changes[k];
    for (uint32_t i = 0; i < b->too_long; i++)
        SEC_TRY(note(d, SEC_DROP_LONG, d->lines + 1, NULL));
    d->lines += b->first_line;
    for (size_t i = 0; i < b->n_records; i++)
        SEC_TRY(take_record(d, &b->records[i], d->lines + b->records[i].line + 1));
    d->lines += b->lines;
    if (b->last) {
        d->sum.bytes_in += b->bytes_in;
        if (b->damage[0]) {
            d->sum.damaged_files++;
            sec_warn("%s: %s; what comes before is kept, the rest is lost",
                     d->w->in.v[b->input].path, b->damage);
        }
    }
fail:
    return rc;
}

static int take_all(struct documents *d)
{
    int rc;
    while (!(rc = sec_pass_next(&d->pass))) {
        SEC_TRY(take_block(d));
        if (d->w->o->stop && *d->w->o->stop)
            return sec_fail(SEC_EINTR, "interrupted; the same command goes on from here");
    }
    if (rc == 1)
        rc = finish_document(d);
    d->sum.text_hash = sec_feed_hash(d->pass.feed);
fail:
    return rc;
}

/* Both passes must have read the same. */
static int compare_passes(const struct documents *d)
{
    struct sec_scan_sum first;
    const struct sec_task *t = &d->w->tasks[d->pass.task];
    char *path = sec_work_path(d->w, "scan", d->pass.task, "sum"), *plan = NULL;
    if (!path)
        return SEC_ENOMEM;
    bool scanned = sec_exists(path);
    int rc = scanned ? sec_sealed_read_into(path, &first, sizeof first) : 0;
    if (!rc && scanned && first.hash != d->sum.text_hash) {
        plan = sec_path_join(d->w->dir, SEC_PLAN);
        if (plan)
            unlink(plan); /* the next run starts anew */
        rc = sec_fail(SEC_EFAIL,
                      "%s%s changed while the corpus was being built; run again when it stands "
                      "still",
                      d->w->in.v[t->first_input].path,
                      t->n_inputs > 1 ? " (or another file of its source)" : "");
    }
    free(plan);
    free(path);
    return rc;
}

static int open_exact(struct documents *d)
{
    int rc = SEC_ENOMEM;
    char *scratch = sec_path_join(d->w->dir, "docs");
    if (!scratch)
        goto fail;
    SEC_TRY(sec_part_open(&d->stage->exact, d->pass.task, 1, d->w->task_memory / 4, scratch,
                          &d->exact));
    rc = sec_part_next(d->exact, &d->repetition);
    if (rc == 1) {
        d->repetition = NULL;
        rc = 0;
    }
fail:
    free(scratch);
    return rc;
}

static int open_task(struct documents *d, size_t task)
{
    int rc;
    const struct sec_corpus_options *o = d->w->o;
    char *name = sec_work_path(d->w, "docs", task, ""), *sketches = NULL;
    SEC_TRY(sec_pass_open(d->w, task, &d->pass));
    if (!name) {
        rc = SEC_ENOMEM;
        goto fail;
    }
    d->input = SIZE_MAX;
    d->source_key = sec_source_key(d->w, task);
    d->masked = o->split.idts > 0 || o->split.odts.n || o->minhash || sec_capped(o);
    if (o->exact) {
        SEC_TRY(open_exact(d));
        SEC_TRY(sec_work_create(d->w, "ids", task, "part", 3, d->w->task_memory / 8, &d->ids));
    }
    if (sec_capped(o))
        SEC_TRY(sec_captable_open(d->w, &d->stage->caps, task, d->w->task_memory / 8, &d->caps));
    if (o->minhash) {
        SEC_TRY(sec_work_create(d->w, "bands", task, "part", 2, d->w->task_memory / 4, &d->bands));
        sketches = sec_work_path(d->w, "bands", task, "sketch");
        SEC_TRY(sketches ? sec_sketch_create(sketches, &d->sketches) : SEC_ENOMEM);
    }
    if (o->ledger)
        SEC_TRY(sec_removed_open(d->w, task, &d->removed));
    rc = sec_docwriter_open(name, &d->store);
fail:
    free(name);
    free(sketches);
    return rc;
}

static int seal_task(struct documents *d)
{
    int rc;
    char *path = sec_work_path(d->w, "docs", d->pass.task, "sum");
    if (!path)
        return SEC_ENOMEM;
    if (d->pass.pseudo_ctx)
        sec_pseudo_counts(d->pass.pseudo_ctx, d->sum.pseudo);
    SEC_TRY(sec_part_finish(&d->ids));
    SEC_TRY(sec_part_finish(&d->bands));
    struct sec_sketch_writer *sketches = d->sketches;
    d->sketches = NULL;
    SEC_TRY(sec_sketch_seal(sketches));
    struct sec_removed *removed = d->removed;
    d->removed = NULL;
    if (removed)
        SEC_TRY(sec_removed_seal(removed));
    struct sec_docwriter *store = d->store;
    d->store = NULL;
    SEC_TRY(sec_docwriter_seal(store, NULL));
    rc = sec_sealed_write(path, &d->sum, sizeof d->sum);
fail:
    free(path);
    return rc;
}

static int documents_task(void *ctx, size_t task)
{
    const struct stage *stage = ctx;
    struct documents d = {.stage = stage, .w = stage->w};
    int rc;
    SEC_TRY(open_task(&d, task));
    SEC_TRY(take_all(&d));
    SEC_TRY(compare_passes(&d));
    rc = seal_task(&d);
fail:
    sec_docwriter_abort(d.store);
    sec_part_abort(d.ids);
    sec_part_abort(d.bands);
    sec_sketch_abort(d.sketches);
    sec_removed_abort(d.removed);
    sec_captable_close(d.caps);
    sec_part_close(d.exact);
    sec_shingler_free(&d.shingler);
    sec_buf_free(&d.text);
    sec_buf_free(&d.mask);
    sec_pass_close(&d.pass);
    return rc;
}

bool sec_documents_done(const struct sec_corpus_work *w, size_t task)
{
    return sec_work_have(w, "docs", task, "sum") && sec_work_have(w, "docs", task, "docs") &&
           sec_work_have(w, "docs", task, "rows") &&
           (!w->o->exact || sec_work_have(w, "ids", task, "part")) &&
           (!w->o->minhash || (sec_work_have(w, "bands", task, "part") &&
                               sec_work_have(w, "bands", task, "sketch"))) &&
           (!w->o->ledger || sec_work_have(w, "removed", task, "zst"));
}

static bool documents_done(void *ctx, size_t task)
{
    return sec_documents_done(((const struct stage *)ctx)->w, task);
}

static int load_sums(struct sec_corpus_work *w)
{
    int rc = 0;
    w->sums = calloc(w->n_tasks + 1, sizeof *w->sums);
    w->doc_base = calloc(w->n_tasks + 1, sizeof *w->doc_base);
    if (!w->sums || !w->doc_base)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu tasks", w->n_tasks);
    for (size_t t = 0; t < w->n_tasks && !rc; t++) {
        char *path = sec_work_path(w, "docs", t, "sum");
        rc = path ? sec_sealed_read_into(path, &w->sums[t], sizeof w->sums[t]) : SEC_ENOMEM;
        free(path);
        w->doc_base[t + 1] = w->doc_base[t] + w->sums[t].documents;
    }
    if (rc)
        return rc;
    w->gone = calloc(w->doc_base[w->n_tasks] / 64 + 1, sizeof *w->gone);
    return w->gone ? 0 : sec_fail(SEC_ENOMEM, "out of memory for a bit a document");
}

int sec_corpus_documents(struct sec_corpus_work *w)
{
    static const char *const dirs[] = {"docs", "ids", "bands", "removed"};
    int rc = 0;
    struct stage stage = {.w = w};
    struct sec_stage s = {.name = "documents",
                          .n = w->n_tasks,
                          .cost = w->cost,
                          .threads = w->threads,
                          .stop = w->o->stop,
                          .done = documents_done,
                          .run = documents_task,
                          .ctx = &stage};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && !rc; i++)
        rc = sec_work_stage_dir(w, dirs[i]);
    if (!rc && w->o->exact)
        rc = sec_work_files(w, "exact", w->n_parts, "part", &stage.exact);
    if (!rc && sec_capped(w->o))
        rc = sec_work_files(w, "cap", w->n_parts, "part", &stage.caps);
    SEC_TRY(sec_ranks_agree(rc));
    SEC_TRY(sec_stage_run(&s));
    SEC_TRY(sec_records_forget(w));
    rc = sec_ranks_agree(load_sums(w));
fail:
    sec_list_free(&stage.exact);
    sec_list_free(&stage.caps);
    return rc;
}
