#include "data/corpus_docs.h"

#include "base/error.h"
#include "data/docjson.h"

#include <stdlib.h>
#include <string.h>

enum { PREFETCH = 12 };

void sec_assembler_init(struct sec_assembler *a, const struct sec_corpus_options *o,
                        struct sec_inputs *in, struct sec_dedup *dedup)
{
    *a = (struct sec_assembler){.o = o, .in = in, .dedup = dedup, .source = -1, .input = -1};
    a->masked = o->template_cap || o->split.idts > 0 || o->split.odts.n;
}

void sec_assembler_begin(struct sec_assembler *a, bool deciding)
{
    a->deciding = deciding;
    a->source = a->input = a->place_input = -1;
}

static struct sec_corpus_counts *counts(struct sec_assembler *a)
{
    return &a->in->sources[a->source].counts;
}

static int take_frame(struct sec_assembler *a, const char *source, struct sec_frame **out)
{
    struct sec_frame *f = a->n_spare ? a->spare[--a->n_spare] : calloc(1, sizeof *f);
    *out = f;
    if (!f)
        return sec_fail(SEC_ENOMEM, "out of memory for a frame");
    return sec_frame_reset(f, source);
}

int sec_assembler_recycle(struct sec_assembler *a, struct sec_frame *f)
{
    if (a->n_spare == a->cap_spare) {
        size_t cap = a->cap_spare ? 2 * a->cap_spare : 16;
        struct sec_frame **v = realloc(a->spare, cap * sizeof *v);
        if (!v) {
            sec_frame_free(f);
            free(f);
            return sec_fail(SEC_ENOMEM, "out of memory for %zu frames", cap);
        }
        a->spare = v;
        a->cap_spare = cap;
    }
    a->spare[a->n_spare++] = f;
    return 0;
}

static int push_job(struct sec_assembler *a, int kind)
{
    struct sec_jobs *j = a->jobs;
    if (!a->open[kind])
        return 0;
    if (j->n == j->cap) {
        size_t cap = j->cap ? 2 * j->cap : 64;
        struct sec_job *v = realloc(j->v, cap * sizeof *v);
        if (!v)
            return sec_fail(SEC_ENOMEM, "out of memory for %zu frames", cap);
        j->v = v;
        j->cap = cap;
    }
    j->v[j->n++] = (struct sec_job){a->open[kind], kind};
    a->open[kind] = NULL;
    return 0;
}

static int make_place(struct sec_assembler *a, int input)
{
    int rc;
    const char *source = a->in->sources[a->in->v[input].source].name, *path = a->in->v[input].path;
    a->place_input = input;
    sec_buf_clear(&a->place);
    SEC_TRY(sec_buf_adds(&a->place, "\",\"source\":"));
    SEC_TRY(sec_docjson_quote(&a->place, source, strlen(source)));
    SEC_TRY(sec_buf_adds(&a->place, ",\"file\":"));
    SEC_TRY(sec_docjson_quote(&a->place, path, strlen(path)));
    SEC_TRY(sec_buf_adds(&a->place, ",\"line\":"));
fail:
    return rc;
}

/* One line of the ledger. keeper: 16 hex digits of the hash of what stays instead (the record, its
 * template, the document or its cluster); NULL when the record itself is at fault. */
static int ledger(struct sec_assembler *a, enum sec_reason reason, int input, uint64_t line,
                  uint32_t records, const sec_h128 *keeper)
{
    int rc = 0;
    struct sec_frame **f = &a->open[SEC_JOB_LEDGER];
    if (!a->o->ledger)
        return 0;
    if (!*f)
        SEC_TRY(take_frame(a, "", f));
    if (input != a->place_input)
        SEC_TRY(make_place(a, input));
    struct sec_buf *out = &(*f)->raw;
    char number[24], *n = number + sizeof number;
    SEC_TRY(sec_buf_adds(out, "{\"reason\":\""));
    SEC_TRY(sec_buf_adds(out, sec_reason_names[reason]));
    SEC_TRY(sec_buf_add(out, a->place.data, a->place.len));
    do
        *--n = (char)('0' + line % 10);
    while (line /= 10);
    SEC_TRY(sec_buf_add(out, n, (size_t)(number + sizeof number - n)));
    if (records > 1)
        SEC_TRY(sec_buf_printf(out, ",\"records\":%u", records));
    if (keeper) {
        char hex[32];
        sec_h128_hex(*keeper, hex);
        SEC_TRY(sec_buf_add(out, ",\"keeper\":\"", 11));
        SEC_TRY(sec_buf_add(out, hex, 16));
        SEC_TRY(sec_buf_addc(out, '"'));
    }
    SEC_TRY(sec_buf_add(out, "}\n", 2));
    if (out->len >= SEC_FRAME_TEXT)
        rc = push_job(a, SEC_JOB_LEDGER);
fail:
    return rc;
}

/* The open document is complete. */
static int finish_document(struct sec_assembler *a)
{
    int rc = 0;
    enum sec_reason reason;
    if (!a->doc_records)
        return 0;
    const struct sec_source *s = &a->in->sources[a->source];
    struct sec_doc doc = {sec_hash128(a->doc.data, a->doc.len), s->name, a->doc.data, a->doc.len,
                          a->doc_records};
    sec_h128 cluster = {0, 0};
    if (a->masked)
        cluster = sec_split_cluster(a->doc_masked, a->doc_records);
    enum sec_split split = sec_split_of(&a->o->split, s->odts, cluster);
    SEC_TRY(
        sec_dedup_document(a->dedup, doc.id, cluster, s->odts, split == SEC_SPLIT_TRAIN, &reason));
    counts(a)->reasons[reason] += a->doc_records;
    if (reason == SEC_KEPT) {
        if (!a->open[split])
            SEC_TRY(take_frame(a, s->name, &a->open[split]));
        SEC_TRY(sec_frame_add(a->open[split], &doc));
        if (sec_frame_full(a->open[split]))
            SEC_TRY(push_job(a, (int)split));
    } else {
        SEC_TRY(ledger(a, reason, a->doc_input, a->doc_line, a->doc_records,
                       reason == SEC_DROP_DOCUMENT ? &doc.id : &cluster));
    }
    sec_buf_clear(&a->doc);
    a->doc_records = 0;
fail:
    return rc;
}

static int finish_source(struct sec_assembler *a)
{
    int rc = 0;
    if (a->source < 0 || !a->deciding)
        return 0;
    SEC_TRY(finish_document(a));
    for (int k = 0; k < SEC_N_SPLITS; k++)
        SEC_TRY(push_job(a, k));
fail:
    return rc;
}

static int enter_input(struct sec_assembler *a, int input)
{
    int rc = 0;
    int source = a->in->v[input].source;
    if (source != a->source) {
        SEC_TRY(finish_source(a));
        a->source = source;
        SEC_TRY(sec_dedup_source(a->dedup, source, a->in->sources[source].name));
    }
    a->input = input;
    a->lines = 0;
fail:
    return rc;
}

static int append_record(struct sec_assembler *a, const struct sec_record *r, uint64_t line)
{
    int rc = 0;
    if (a->doc_records && a->doc.len + 1 + r->len > a->o->doc_bytes)
        SEC_TRY(finish_document(a));
    if (a->doc_records == a->doc_cap) {
        size_t cap = a->doc_cap ? 2 * a->doc_cap : 256;
        sec_h128 *v = realloc(a->doc_masked, cap * sizeof *v);
        if (!v)
            return sec_fail(SEC_ENOMEM, "out of memory for a document of %zu records", cap);
        a->doc_masked = v;
        a->doc_cap = cap;
    }
    if (a->doc_records) {
        SEC_TRY(sec_buf_addc(&a->doc, '\n'));
    } else {
        a->doc_input = a->input;
        a->doc_line = line;
    }
    a->doc_masked[a->doc_records++] = r->masked;
    SEC_TRY(sec_buf_add(&a->doc, r->p, r->len));
fail:
    return rc;
}

static int take_record(struct sec_assembler *a, const struct sec_record *r, uint64_t line)
{
    enum sec_reason reason = r->reason;
    int rc = 0;
    bool cleaned = reason == SEC_KEPT;
    if (cleaned)
        SEC_TRY(sec_dedup_record(a->dedup, r->hash, r->masked, &reason));
    if (!a->deciding)
        return 0;
    if (reason == SEC_KEPT)
        return append_record(a, r, line);
    counts(a)->reasons[reason]++;
    if (reason != SEC_DROP_EMPTY)
        rc = ledger(a, reason, a->input, line, 1,
                    reason == SEC_DROP_EXACT      ? &r->hash
                    : reason == SEC_DROP_TEMPLATE ? &r->masked
                                                  : NULL);
fail:
    return rc;
}

int sec_assembler_block(struct sec_assembler *a, const struct sec_block *b)
{
    int rc = 0;
    if (b->input != a->input)
        SEC_TRY(enter_input(a, b->input));
    if (a->deciding) {
        struct sec_corpus_counts *c = counts(a);
        c->records_read += b->n_records + b->too_long;
        c->bytes_read += b->bytes;
        c->reasons[SEC_DROP_LONG] += b->too_long;
        for (int k = 0; k < SEC_N_CHANGES; k++)
            c->changes[k] += b->changes[k];
        for (uint32_t i = 0; i < b->too_long; i++)
            SEC_TRY(ledger(a, SEC_DROP_LONG, a->input, a->lines + 1, 1, NULL));
    }
    a->lines += b->first_line;
    for (size_t i = 0; i < b->n_records; i++) {
        if (i + PREFETCH < b->n_records)
            sec_dedup_prefetch(a->dedup, b->records[i + PREFETCH].hash,
                               b->records[i + PREFETCH].masked);
        SEC_TRY(take_record(a, &b->records[i], a->lines + b->records[i].line + 1));
    }
    a->lines += b->lines;
fail:
    return rc;
}

int sec_assembler_end(struct sec_assembler *a)
{
    int rc = finish_source(a);
    return rc || !a->deciding ? rc : push_job(a, SEC_JOB_LEDGER);
}

static void frame_delete(struct sec_frame *f)
{
    sec_frame_free(f);
    free(f);
}

void sec_assembler_free(struct sec_assembler *a)
{
    for (int k = 0; k < SEC_N_JOB_KINDS; k++)
        frame_delete(a->open[k]);
    for (size_t i = 0; i < a->n_spare; i++)
        frame_delete(a->spare[i]);
    free(a->spare);
    free(a->doc_masked);
    sec_buf_free(&a->doc);
    sec_buf_free(&a->place);
}
