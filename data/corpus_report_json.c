#include "data/corpus_report.h"

#include "base/error.h"
#include "data/corpus_stores.h"

#include <stdlib.h>
#include <string.h>

enum { EXAMPLE_TEXT = 300 };

static void put_amount(struct sec_jw *w, const struct sec_amount *a)
{
    sec_jw_ki64(w, "documents", (int64_t)a->documents);
    sec_jw_ki64(w, "records", (int64_t)a->records);
    sec_jw_ki64(w, "bytes", (int64_t)a->bytes);
}

static void add_amounts(struct sec_amount *into, const struct sec_amount *from)
{
    for (int r = 0; r < SEC_N_DOCUMENT_REASONS; r++) {
        into[r].documents += from[r].documents;
        into[r].records += from[r].records;
        into[r].bytes += from[r].bytes;
    }
}

/* Stages in the order they come in. Of single records only their number is known. */
static void put_stages(struct sec_jw *w, const struct sec_corpus_counts *counts,
                       const struct sec_amount gone[SEC_N_DOCUMENT_REASONS])
{
    sec_jw_key(w, "removed");
    sec_jw_arr(w);
    for (int r = SEC_KEPT + 1; r < SEC_N_REASONS; r++) {
        if (!counts->reasons[r])
            continue;
        sec_jw_obj(w);
        sec_jw_kstr(w, "stage", sec_reason_names[r]);
        if (r < SEC_DROP_DOCUMENT)
            sec_jw_ki64(w, "records", (int64_t)counts->reasons[r]);
        else
            put_amount(w, &gone[r - SEC_DROP_DOCUMENT]);
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
}

static int put_sources(struct sec_jw *w, const struct sec_corpus_work *work,
                       const struct sec_shards *shards)
{
    const struct sec_inputs *in = &work->in;
    struct sec_amount(*gone)[SEC_N_DOCUMENT_REASONS] = calloc(in->n_sources + 1, sizeof *gone);
    if (!gone)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu sources", in->n_sources);
    for (size_t t = 0; t < work->n_tasks; t++)
        add_amounts(gone[work->tasks[t].source], shards->frames[t].head.gone);
    sec_jw_key(w, "sources");
    sec_jw_arr(w);
    for (size_t i = 0; i < in->n_sources; i++) {
        const struct sec_source *s = &in->sources[i];
        sec_jw_obj(w);
        sec_jw_kstr(w, "name", s->name);
        sec_jw_kbool(w, "odts", s->odts);
        sec_jw_ki64(w, "files", (int64_t)s->files);
        sec_jw_ki64(w, "records_read", (int64_t)s->counts.records_read);
        sec_jw_ki64(w, "bytes_read", (int64_t)s->counts.bytes_read);
        sec_jw_ki64(w, "records_kept", (int64_t)s->counts.reasons[SEC_KEPT]);
        put_stages(w, &s->counts, gone[i]);
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
    free(gone);
    return 0;
}

static void put_scope(struct sec_jw *w, const char *name, const struct sec_near_report *near,
                      int scope)
{
    sec_jw_key(w, name);
    sec_jw_obj(w);
    sec_jw_ki64(w, "candidates", (int64_t)near->candidates[scope]);
    sec_jw_ki64(w, "verified", (int64_t)near->verified[scope]);
    sec_jw_ki64(w, "rounds", near->rounds[scope]);
    sec_jw_obj_end(w);
}

/* At most n bytes of text, cut before a character. */
static size_t cut(const char *text, size_t len, size_t n)
{
    if (len <= n)
        return len;
    while (n && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    return n;
}

static int put_document(struct sec_jw *w, const char *key, struct sec_stores *stores,
                        uint64_t document)
{
    const struct sec_corpus_work *work = stores->w;
    struct sec_docrow row;
    const char *text;
    int rc = sec_stores_get(stores, document, 0, &row, &text);
    if (rc)
        return rc;
    sec_jw_key(w, key);
    sec_jw_obj(w);
    sec_jw_kstr(w, "source", work->in.sources[work->tasks[sec_key_task(document)].source].name);
    sec_jw_kstr(w, "file", work->in.v[row.input].path);
    sec_jw_ki64(w, "line", (int64_t)row.line);
    sec_jw_ki64(w, "records", row.records);
    sec_jw_key(w, "text");
    sec_jw_strn(w, text, cut(text, row.len, EXAMPLE_TEXT));
    sec_jw_obj_end(w);
    return 0;
}

static int put_near(struct sec_jw *w, const struct sec_near_report *near, struct sec_stores *stores)
{
    int rc = 0;
    sec_jw_key(w, "near_duplicates");
    sec_jw_obj(w);
    put_scope(w, "within_sources", near, 0);
    put_scope(w, "over_all", near, 1);
    sec_jw_key(w, "similarity_histogram");
    sec_jw_arr(w);
    for (int i = 0; i < SEC_SIMILARITY_BINS; i++)
        sec_jw_i64(w, (int64_t)near->histogram[i]);
    sec_jw_arr_end(w);
    sec_jw_key(w, "examples");
    sec_jw_arr(w);
    for (size_t i = 0; i < near->n_examples; i++) {
        sec_jw_obj(w);
        sec_jw_kf64(w, "similarity", near->examples[i].similarity);
        SEC_TRY(put_document(w, "removed", stores, near->examples[i].gone));
        SEC_TRY(put_document(w, "keeper", stores, near->examples[i].keeper));
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
    sec_jw_obj_end(w);
fail:
    return rc;
}

static int put_tests(struct sec_jw *w, const struct sec_near_report *near,
                     struct sec_stores *stores)
{
    int rc = 0;
    sec_jw_key(w, "decontamination");
    sec_jw_obj(w);
    sec_jw_kf64(w, "largest_similarity", near->largest);
    if (near->largest > 0) {
        SEC_TRY(put_document(w, "train", stores, near->largest_pair[0]));
        SEC_TRY(put_document(w, "test", stores, near->largest_pair[1]));
    }
    sec_jw_obj_end(w);
fail:
    return rc;
}

static void put_splits(struct sec_jw *w, const struct sec_corpus_report *r)
{
    sec_jw_key(w, "splits");
    sec_jw_obj(w);
    for (int s = 0; s < SEC_N_SPLITS; s++) {
        sec_jw_key(w, sec_split_names[s]);
        sec_jw_obj(w);
        sec_jw_ki64(w, "sources", (int64_t)r->splits[s].sources);
        put_amount(w, &(struct sec_amount){r->splits[s].documents, r->splits[s].records,
                                           r->splits[s].bytes_text});
        sec_jw_ki64(w, "bytes_packed", (int64_t)r->splits[s].bytes_packed);
        sec_jw_obj_end(w);
    }
    sec_jw_obj_end(w);
}

static void put_pseudonyms(struct sec_jw *w, const struct sec_corpus_work *work)
{
    sec_jw_key(w, "pseudonyms");
    sec_jw_obj(w);
    for (int c = 0; c < SEC_N_PSEUDO; c++) {
        uint64_t n = 0;
        for (size_t t = 0; t < work->n_tasks; t++)
            n += work->sums[t].pseudo[c];
        sec_jw_ki64(w, sec_pseudo_names[c], (int64_t)n);
    }
    sec_jw_obj_end(w);
}

static void put_totals(struct sec_jw *w, const struct sec_corpus_work *work,
                       const struct sec_shards *shards, const struct sec_corpus_report *report)
{
    struct sec_amount gone[SEC_N_DOCUMENT_REASONS] = {{0}};
    for (size_t t = 0; t < work->n_tasks; t++)
        add_amounts(gone, shards->frames[t].head.gone);
    sec_jw_ki64(w, "files", (int64_t)report->files);
    sec_jw_ki64(w, "damaged_files", (int64_t)report->damaged_files);
    sec_jw_ki64(w, "bytes_in", (int64_t)report->bytes_in);
    sec_jw_ki64(w, "records_read", (int64_t)report->counts.records_read);
    sec_jw_ki64(w, "bytes_read", (int64_t)report->counts.bytes_read);
    sec_jw_ki64(w, "records_kept", (int64_t)report->counts.reasons[SEC_KEPT]);
    put_stages(w, &report->counts, gone);
}

int sec_corpus_report_json(const struct sec_corpus_work *work, const struct sec_near_report *near,
                           const struct sec_shards *shards, const struct sec_corpus_report *report,
                           const char *pseudonyms, struct sec_buf *text)
{
    int rc;
    struct sec_jw w;
    struct sec_stores stores;
    sec_stores_init(&stores, work);
    sec_jw_init(&w, text, true);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "format", "secencoder-corpus-report");
    sec_jw_ki64(&w, "version", 1);
    sec_jw_ki64(&w, "seed", (int64_t)work->o->split.seed);
    sec_corpus_put_options(&w, work->o, pseudonyms);
    put_totals(&w, work, shards, report);
    put_splits(&w, report);
    if (work->o->minhash)
        SEC_TRY(put_near(&w, near, &stores));
    if (near->largest >= 0)
        SEC_TRY(put_tests(&w, near, &stores));
    if (pseudonyms)
        put_pseudonyms(&w, work);
    SEC_TRY(put_sources(&w, work, shards));
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    rc = sec_buf_addc(text, '\n');
fail:
    sec_stores_free(&stores);
    return rc;
}
