/* Benchmarks behind `secenc bench`: each adds rows to one table. Timed work is repeated for at
 * least `seconds` after a warm-up; the row is the median. Not thread-safe. */
#ifndef SEC_TOOLS_BENCH_H
#define SEC_TOOLS_BENCH_H

#include "base/file.h"
#include "kernels/ops.h"

struct sec_bench_row {
    char name[96]; /* "gemm bf16 4096x512x128" */
    char unit[24];
    double value;   /* of the median run */
    double of_peak; /* share of the measured peak, 0 = does not apply */
    double best;    /* of the fastest run */
    int runs;
};

struct sec_bench {
    double seconds;             /* least time a row */
    const char *device;         /* backend of peak, gemm, attention, rows, train and infer */
    int precision;              /* enum sec_precision of train and infer; -1: both */
    const char *config;         /* model of train and infer */
    const struct sec_list *set; /* overrides of the configuration */
    const char *lengths;        /* lengths of a batch's sequences, "512x8" or "37,512,90" */
    const char *text;           /* file for tokenizer and corpus; "" = generated logs */
    const char *tokenizer;      /* folder; "" = trained on the text */
    const char *data;           /* token data set; "" = made from the text */
    char *scratch;              /* folder for what has to be made, removed at the end */
    struct sec_bench_row *row;
    int n_rows, cap;
};

/* Repeat fn(ctx) and add a row: value = work per call / seconds. */
int sec_bench_time(struct sec_bench *b, const char *name, const char *unit, double work,
                   double peak, int (*fn)(void *ctx), void *ctx);
int sec_bench_add(struct sec_bench *b, const struct sec_bench_row *row);

/* n values of -1 .. 1 in memory of the backend. */
int sec_bench_values(struct sec_backend *be, int64_t n, enum sec_dtype type, void **out);
/* How many calls a timed run makes before it waits for the backend. */
int sec_bench_calls(const struct sec_backend *be);
const char *sec_bench_type(enum sec_dtype type);

int sec_bench_peak(struct sec_bench *b);
int sec_bench_gemm(struct sec_bench *b);
int sec_bench_attention(struct sec_bench *b);
int sec_bench_rows(struct sec_bench *b);
int sec_bench_train(struct sec_bench *b);
int sec_bench_infer(struct sec_bench *b);
int sec_bench_tokenizer(struct sec_bench *b);
int sec_bench_loader(struct sec_bench *b);
int sec_bench_corpus(struct sec_bench *b);
int sec_bench_dedup(struct sec_bench *b, const struct sec_buf *text); /* a part of corpus */

/* Parsed lengths: cu_seqlens[n+1] malloc'd. */
int sec_bench_lengths(const char *text, int32_t **cu, int32_t *n);

#endif
