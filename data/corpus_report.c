#include "data/corpus_report.h"

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "data/corpus_manifest.h"

#include <inttypes.h>
#include <string.h>

void sec_corpus_add_counts(struct sec_corpus_counts *into, const struct sec_corpus_counts *c)
{
    into->records_read += c->records_read;
    into->bytes_read += c->bytes_read;
    for (int k = 0; k < SEC_N_REASONS; k++)
        into->reasons[k] += c->reasons[k];
    for (int k = 0; k < SEC_N_CHANGES; k++)
        into->changes[k] += c->changes[k];
}

void sec_corpus_sum(const struct sec_inputs *in, const struct sec_shard_info *shards,
                    size_t n_shards, struct sec_corpus_report *report)
{
    const char *last[SEC_N_SPLITS] = {NULL};
    report->files = in->n;
    report->sources = in->n_sources;
    for (size_t i = 0; i < in->n_sources; i++)
        sec_corpus_add_counts(&report->counts, &in->sources[i].counts);
    for (size_t i = 0; i < n_shards; i++) {
        const struct sec_shard_info *s = &shards[i];
        struct sec_split_total *t = &report->splits[s->split];
        t->documents += s->documents;
        t->records += s->records;
        t->bytes_text += s->bytes_text;
        t->bytes_packed += s->bytes_packed;
        t->sources += !last[s->split] || strcmp(last[s->split], s->source);
        last[s->split] = s->source;
    }
}

static void warn_globs(const struct sec_corpus_options *o, const struct sec_inputs *in)
{
    for (size_t g = 0; g < o->split.odts.n; g++) {
        bool any = false;
        for (size_t i = 0; i < in->n_sources && !any; i++)
            any = sec_glob(o->split.odts.v[g], in->sources[i].name);
        if (!any)
            sec_warn("--split odts=%s matches none of the %zu sources (the first is %s)",
                     o->split.odts.v[g], in->n_sources, in->sources[0].name);
    }
}

int sec_corpus_check(const struct sec_corpus_options *o, const struct sec_inputs *in,
                     const struct sec_corpus_report *report)
{
    const struct sec_split_total *s = report->splits;
    const uint64_t *reasons = report->counts.reasons;
    if (!report->counts.reasons[SEC_KEPT])
        return sec_fail(SEC_EDATA,
                        "the corpus would be empty: %zu files with %" PRIu64
                        " records, of which %" PRIu64 " are empty, %" PRIu64
                        " have more than 5 %% control characters, %" PRIu64
                        " are longer than --max-record",
                        report->files, report->counts.records_read, reasons[SEC_DROP_EMPTY],
                        reasons[SEC_DROP_CONTROL], reasons[SEC_DROP_LONG]);
    warn_globs(o, in);
    if (!s[SEC_SPLIT_TRAIN].documents)
        sec_warn("no training documents: --split odts= takes all %zu sources", in->n_sources);
    else if (o->split.odts.n && !s[SEC_SPLIT_ODTS].documents)
        sec_warn("the odts split is empty: no source of it has a document (%zu sources in all)",
                 in->n_sources);
    uint64_t idts = s[SEC_SPLIT_IDTS].documents, both = idts + s[SEC_SPLIT_TRAIN].documents;
    if (o->split.idts > 0 && both && !idts)
        sec_warn(
            "the idts split is empty: a share of %g of the clusters of near-duplicates in %" PRIu64
            " documents chose none; raise idts= or take another --seed",
            o->split.idts, both);
    else if (idts > 10 && (double)idts > 5 * o->split.idts * (double)both)
        sec_warn(
            "the idts split holds %" PRIu64 " of %" PRIu64
            " documents, more than its share of %g: a large cluster of near-duplicates is in it; "
            "take another --seed, or --dedup template first",
            idts, both, o->split.idts);
    return 0;
}

static void put_counts(struct sec_jw *w, const struct sec_corpus_counts *c)
{
    sec_jw_ki64(w, "records_read", (int64_t)c->records_read);
    sec_jw_ki64(w, "bytes_read", (int64_t)c->bytes_read);
    sec_jw_ki64(w, "records_kept", (int64_t)c->reasons[SEC_KEPT]);
    sec_jw_key(w, "removed");
    sec_jw_obj(w);
    for (int k = SEC_KEPT + 1; k < SEC_N_REASONS; k++)
        if (c->reasons[k])
            sec_jw_ki64(w, sec_reason_names[k], (int64_t)c->reasons[k]);
    sec_jw_obj_end(w);
    sec_jw_key(w, "changed");
    sec_jw_obj(w);
    for (int k = 0; k < SEC_N_CHANGES; k++)
        if (c->changes[k])
            sec_jw_ki64(w, sec_change_names[k], (int64_t)c->changes[k]);
    sec_jw_obj_end(w);
}

static void put_near(struct sec_jw *w, const struct sec_minhash_options *near)
{
    sec_jw_key(w, "minhash");
    sec_jw_obj(w);
    sec_jw_kstr(w, "shingle", near->words ? "words" : "characters");
    sec_jw_ki64(w, "length", near->length);
    sec_jw_ki64(w, "bands", near->bands);
    sec_jw_ki64(w, "rows", near->rows);
    sec_jw_kf64(w, "similarity", near->similarity);
    sec_jw_obj_end(w);
}

static void put_json(struct sec_jw *w, const struct sec_corpus_options *o)
{
    static const char *const takes[] = {"raw", "field", "pairs"};
    if (o->json_take == SEC_JSON_AS_IS)
        return;
    sec_jw_kstr(w, "json", takes[o->json_take]);
    sec_jw_key(w, "json_fields");
    sec_jw_arr(w);
    for (size_t i = 0; o->json_paths && i < o->json_paths->n; i++)
        sec_jw_str(w, o->json_paths->v[i]);
    sec_jw_arr_end(w);
}

void sec_corpus_put_options(struct sec_jw *w, const struct sec_corpus_options *o,
                            const char *pseudonyms)
{
    sec_jw_key(w, "options");
    sec_jw_obj(w);
    put_json(w, o);
    if (pseudonyms) {
        sec_jw_kstr(w, "pseudonyms", pseudonyms);
        sec_jw_kbool(w, "keep_oui", o->pseudo.keep_oui);
    }
    sec_jw_kbool(w, "exact", o->exact);
    sec_jw_ki64(w, "template_cap", (int64_t)o->template_cap);
    if (o->target_bytes)
        sec_jw_ki64(w, "target_bytes", (int64_t)o->target_bytes);
    if (o->minhash)
        put_near(w, &o->near);
    sec_jw_kf64(w, "decontaminate", o->decontaminate);
    sec_jw_ki64(w, "doc_bytes", (int64_t)o->doc_bytes);
    sec_jw_ki64(w, "max_record", (int64_t)o->max_record);
    sec_jw_kf64(w, "idts", o->split.idts);
    sec_jw_key(w, "odts");
    sec_jw_arr(w);
    for (size_t i = 0; i < o->split.odts.n; i++)
        sec_jw_str(w, o->split.odts.v[i]);
    sec_jw_arr_end(w);
    sec_jw_obj_end(w);
}

static void put_sources(struct sec_jw *w, const struct sec_inputs *in)
{
    sec_jw_key(w, "sources");
    sec_jw_arr(w);
    for (size_t i = 0; i < in->n_sources; i++) {
        const struct sec_source *s = &in->sources[i];
        sec_jw_obj(w);
        sec_jw_kstr(w, "name", s->name);
        sec_jw_kbool(w, "odts", s->odts);
        sec_jw_ki64(w, "files", (int64_t)s->files);
        put_counts(w, &s->counts);
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
}

int sec_corpus_manifest(const struct sec_corpus_options *o, const struct sec_inputs *in,
                        const struct sec_shard_info *shards, size_t n_shards,
                        const struct sec_corpus_report *report, const char *pseudonyms,
                        struct sec_buf *text)
{
    int rc;
    struct sec_jw w;
    sec_jw_init(&w, text, false);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "format", SEC_CORPUS_FORMAT);
    sec_jw_ki64(&w, "version", SEC_CORPUS_VERSION);
    sec_jw_ki64(&w, "seed", (int64_t)o->split.seed);
    sec_corpus_put_options(&w, o, pseudonyms);
    sec_jw_ki64(&w, "files", (int64_t)report->files);
    sec_jw_ki64(&w, "damaged_files", (int64_t)report->damaged_files);
    put_counts(&w, &report->counts);
    if (report->largest_similarity >= 0)
        sec_jw_kf64(&w, "largest_train_test_similarity", report->largest_similarity);
    put_sources(&w, in);
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    SEC_TRY(sec_buf_addc(text, '\n'));
    for (size_t i = 0; i < n_shards; i++)
        SEC_TRY(sec_manifest_shard(text, &shards[i]));
fail:
    return rc;
}
