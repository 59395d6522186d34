/* Tokenizer, corpus and loader, on given logs or on generated ones. */
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "data/corpus.h"
#include "data/loader.h"
#include "data/reader.h"
#include "data/synth.h"
#include "data/tokenizer_corpus.h"
#include "tools/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GENERATED = 64 << 20, MAX_TEXT = 256 << 20 };

/* The folder or file of logs to work on: what the user named, else generated once. */
static int logs_path(struct sec_bench *b, char **out)
{
    if (b->text[0]) {
        *out = sec_xstrdup(b->text);
        return 0;
    }
    *out = sec_path_join(b->scratch, "logs");
    if (sec_exists(*out))
        return 0;
    struct sec_synth_report report;
    struct sec_synth_options o = {.dir = *out, .size = GENERATED, .seed = 1, .incidents = -1};
    int rc = sec_synth_run(&o, &report);
    sec_progress_done();
    return rc;
}

/* Up to MAX_TEXT decoded bytes of the logs. */
static int read_logs(const char *path, struct sec_buf *text)
{
    struct sec_list files = {0};
    struct sec_reader *r = NULL;
    int rc;
    SEC_TRY(sec_walk(path, &files));
    for (size_t i = 0; i < files.n && text->len < MAX_TEXT; i++) {
        size_t got = 1;
        SEC_TRY(sec_reader_open(files.v[i], &r));
        while (got && text->len < MAX_TEXT) {
            SEC_TRY(sec_buf_reserve(text, 1 << 20));
            SEC_TRY(sec_reader_read(r, text->data + text->len, 1 << 20, &got));
            text->len += got;
        }
        sec_reader_close(r);
        r = NULL;
    }
    if (!text->len)
        rc = sec_fail(SEC_EDATA, "%s holds no text to measure with", path);
fail:
    if (r)
        sec_reader_close(r);
    sec_list_free(&files);
    return rc;
}

static int tokenizer_path(struct sec_bench *b, const char *logs, char **out)
{
    struct sec_bpe_options o = {.vocab_size = 29952, .pretok = SEC_PRETOK_LOG};
    struct sec_tokenizer *t = NULL;
    struct sec_bpe_summary sum;
    char *in[] = {(char *)logs};
    int rc = 0;
    if (b->tokenizer[0]) {
        *out = sec_xstrdup(b->tokenizer);
        return 0;
    }
    *out = sec_path_join(b->scratch, "tokenizer");
    if (sec_exists(*out))
        return 0;
    double t0 = sec_now();
    SEC_TRY(sec_bpe_train_inputs(in, 1, &o, &t, &sum));
    sec_progress_done();
    struct sec_bench_row row = {.unit = "MB/s", .runs = 1};
    snprintf(row.name, sizeof row.name, "tokenizer train, %d threads", sec_threads());
    row.value = row.best = 1e-6 * (double)sum.bytes / (sec_now() - t0);
    SEC_TRY(sec_bench_add(b, &row));
    snprintf(row.name, sizeof row.name, "tokenizer count, %d threads", sec_threads());
    row.value = row.best = 1e-6 * (double)sum.bytes / sum.count_seconds;
    SEC_TRY(sec_bench_add(b, &row));
    SEC_TRY(sec_mkdir_p(*out));
    SEC_TRY(sec_tokenizer_save(t, *out));
fail:
    if (t)
        sec_tokenizer_free(t);
    return rc;
}

struct encode_run {
    struct sec_encoder_ctx *ctx;
    const struct sec_buf *text;
    uint16_t *ids;
    size_t len, cap;
};

static int encode_once(void *ctx)
{
    struct encode_run *r = ctx;
    r->len = 0;
    return sec_encode(r->ctx, r->text->data, r->text->len, 0, &r->ids, &r->len, &r->cap);
}

int sec_bench_tokenizer(struct sec_bench *b)
{
    char *logs = NULL, *dir = NULL;
    struct sec_buf text = {0};
    struct sec_tokenizer *t = NULL;
    struct encode_run r = {.text = &text};
    int rc;
    SEC_TRY(logs_path(b, &logs));
    SEC_TRY(tokenizer_path(b, logs, &dir));
    SEC_TRY(sec_tokenizer_load(dir, &t));
    SEC_TRY(read_logs(logs, &text));
    r.ctx = sec_encoder_ctx_new(t);
    if (!r.ctx) {
        rc = SEC_ENOMEM;
        goto fail;
    }
    SEC_TRY(sec_bench_time(b, "tokenizer encode, 1 thread", "MB/s", 1e-6 * (double)text.len, 0,
                           encode_once, &r));
fail:
    sec_encoder_ctx_free(r.ctx);
    if (t)
        sec_tokenizer_free(t);
    free(r.ids);
    sec_buf_free(&text);
    free(logs);
    free(dir);
    return rc;
}

static int build_corpus(const char *logs, const char *out, int threads,
                        struct sec_corpus_report *report)
{
    struct sec_list in = {0};
    struct sec_corpus_options o = {.inputs = &in,
                                   .out = out,
                                   .exact = true,
                                   .doc_bytes = 4096,
                                   .max_record = 1 << 20,
                                   .shard_bytes = 256 << 20,
                                   .split = {.idts = 0.01, .seed = 1},
                                   .threads = threads,
                                   .force = true,
                                   .ledger = true};
    int rc = sec_list_add(&in, logs);
    if (!rc)
        rc = sec_corpus_build(&o, report);
    sec_progress_done();
    sec_list_free(&in);
    return rc;
}

int sec_bench_corpus(struct sec_bench *b)
{
    char *logs = NULL, *out = sec_path_join(b->scratch, "corpus");
    struct sec_corpus_report report;
    struct sec_bench_row row = {.unit = "MB/s", .runs = 3};
    struct sec_buf text = {0};
    int rc;
    SEC_TRY(logs_path(b, &logs));
    for (int i = 0; i < row.runs; i++) {
        SEC_TRY(build_corpus(logs, out, 1, &report));
        double v = 1e-6 * (double)report.counts.bytes_read / report.seconds;
        row.best = v > row.best ? v : row.best;
        row.value += v / row.runs;
    }
    snprintf(row.name, sizeof row.name, "corpus build, 1 thread");
    SEC_TRY(sec_bench_add(b, &row));
    SEC_TRY(read_logs(logs, &text));
    SEC_TRY(sec_bench_dedup(b, &text));
fail:
    sec_buf_free(&text);
    free(logs);
    free(out);
    return rc;
}

static int data_path(struct sec_bench *b, char **out)
{
    char *logs = NULL, *tok = NULL, *corpus = sec_path_join(b->scratch, "corpus");
    struct sec_corpus_report report;
    struct sec_tokenize_options o = {
        .seed = 1, .tokens_per_shard = 256 << 20, .temperature = 1, .force = true};
    int rc = 0;
    if (b->data[0]) {
        *out = sec_xstrdup(b->data);
        goto fail;
    }
    *out = sec_path_join(b->scratch, "data");
    SEC_TRY(logs_path(b, &logs));
    SEC_TRY(tokenizer_path(b, logs, &tok));
    if (!sec_exists(corpus))
        SEC_TRY(build_corpus(logs, corpus, 0, &report));
    SEC_TRY(sec_corpus_tokenize(corpus, tok, *out, &o));
    sec_progress_done();
fail:
    free(logs);
    free(tok);
    free(corpus);
    return rc;
}

struct loader_run {
    struct sec_loader *l;
    int batches;
    uint64_t tokens;
};

static int load_once(void *ctx)
{
    struct loader_run *r = ctx;
    const struct sec_batch *batch;
    int rc = 0;
    for (int i = 0; i < r->batches && !rc; i++) {
        rc = sec_loader_next(r->l, &batch);
        if (!rc)
            r->tokens += (uint64_t)batch->n_tokens;
    }
    return rc;
}

int sec_bench_loader(struct sec_bench *b)
{
    char *dir = NULL;
    struct sec_tokens *t = NULL;
    struct sec_tokenizer *tok = NULL;
    struct loader_run r = {.batches = 256};
    enum { BATCH = 16384 };
    struct sec_loader_options o = {
        .seed = 1,
        .seq_len = 512,
        .batch_tokens = BATCH,
        .micro_batches = 1,
        .world = 1,
        .ring = 8,
        .threads = 1,
        .mask = {.seed = 1, .probability = 0.15, .p_mask = 0.8, .p_random = 0.1, .ngram_max = 1}};
    int rc;
    SEC_TRY(data_path(b, &dir));
    SEC_TRY(sec_tokens_open(dir, SEC_SPLIT_TRAIN, &t));
    SEC_TRY(sec_tokenizer_load(dir, &tok));
    SEC_TRY(sec_loader_open(t, tok, &o, NULL, &r.l));
    SEC_TRY(sec_bench_time(b, "loader, 1 thread, masked", "M tokens/s", 1e-6 * BATCH * r.batches, 0,
                           load_once, &r));
fail:
    if (r.l)
        sec_loader_close(r.l);
    if (tok)
        sec_tokenizer_free(tok);
    if (t)
        sec_tokens_close(t);
    free(dir);
    return rc;
}
