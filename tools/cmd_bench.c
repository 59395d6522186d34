/* secenc bench: measure this machine and this build. */
#include "base/cpu.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/version.h"
#include "tools/bench.h"
#include "tools/commands.h"
#include "train/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    char *config, *lengths, *text, *tokenizer, *data, *json, *device;
    int precision;
    struct sec_list set;
    double seconds;
};

static const struct sec_opt opts[] = {
    {"config", 'c', SEC_T_STRING, false, offsetof(struct opts, config), "configs/tiny.yaml", 0, 0,
     NULL, "FILE", "model of train and infer"},
    {"set", 0, SEC_T_STRING, true, offsetof(struct opts, set), NULL, 0, 0, NULL, "KEY=VALUE",
     "override one key of the configuration"},
    {"device", 0, SEC_T_STRING, false, offsetof(struct opts, device), "auto", 0, 0, NULL, "DEVICE",
     "cpu, cuda, ref or auto, for peak, gemm, attention, rows, train and infer"},
    {"precision", 0, SEC_T_ENUM, false, offsetof(struct opts, precision), "both", 0, 0,
     "bf16|fp32|both", NULL, "of train and infer"},
    {"lengths", 0, SEC_T_STRING, false, offsetof(struct opts, lengths), "512x8", 0, 0, NULL, "LIST",
     "sequence lengths of the batch of train and infer: 512x8 or 37,512,90"},
    {"text", 0, SEC_T_STRING, false, offsetof(struct opts, text), NULL, 0, 0, NULL, "PATH",
     "logs for tokenizer, corpus and loader (default: generated)"},
    {"tokenizer", 0, SEC_T_STRING, false, offsetof(struct opts, tokenizer), NULL, 0, 0, NULL, "DIR",
     "tokenizer to use (default: trained on the text)"},
    {"data", 0, SEC_T_STRING, false, offsetof(struct opts, data), NULL, 0, 0, NULL, "DIR",
     "token data set for the loader (default: made from the text)"},
    {"seconds", 0, SEC_T_FLOAT, false, offsetof(struct opts, seconds), "1", 0.01, 3600, NULL, "N",
     "least time of a row"},
    {"json", 0, SEC_T_STRING, false, offsetof(struct opts, json), NULL, 0, 0, NULL, "FILE",
     "write the table as JSON too; - is stdout"},
    {0}};

static const struct {
    const char *name;
    int (*run)(struct sec_bench *b);
} items[] = {{"peak", sec_bench_peak},           {"gemm", sec_bench_gemm},
             {"attention", sec_bench_attention}, {"rows", sec_bench_rows},
             {"train", sec_bench_train},         {"infer", sec_bench_infer},
             {"tokenizer", sec_bench_tokenizer}, {"corpus", sec_bench_corpus},
             {"loader", sec_bench_loader}};
enum { N_ITEMS = sizeof items / sizeof *items, MAX_RUNS = 1000 };

int sec_bench_add(struct sec_bench *b, const struct sec_bench_row *row)
{
    if (b->n_rows == b->cap) {
        int cap = b->cap ? 2 * b->cap : 64;
        struct sec_bench_row *p = realloc(b->row, (size_t)cap * sizeof *p);
        if (!p)
            return sec_fail(SEC_ENOMEM, "no memory for %d rows", cap);
        b->row = p;
        b->cap = cap;
    }
    b->row[b->n_rows++] = *row;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int sec_bench_time(struct sec_bench *b, const char *name, const char *unit, double work,
                   double peak, int (*fn)(void *ctx), void *ctx)
{
    double t[MAX_RUNS], total = 0;
    int n = 0, rc = fn(ctx); /* warm-up */
    if (rc)
        return rc;
    while (n < 3 || (total < b->seconds && n < MAX_RUNS)) {
        double t0 = sec_now();
        if ((rc = fn(ctx)))
            return rc;
        total += t[n++] = sec_now() - t0;
    }
    qsort(t, (size_t)n, sizeof *t, by_value);
    struct sec_bench_row row = {.value = work / t[n / 2], .best = work / t[0], .runs = n};
    row.of_peak = peak > 0 ? row.value / peak : 0;
    snprintf(row.name, sizeof row.name, "%s", name);
    snprintf(row.unit, sizeof row.unit, "%s", unit);
    sec_progress("%s: %.1f %s", name, row.value, unit);
    return sec_bench_add(b, &row);
}

static void print_table(const struct sec_bench *b)
{
    printf("%-44s %12s %12s  %-12s %s\n", "", "median", "best", "unit", "of peak");
    for (int i = 0; i < b->n_rows; i++) {
        const struct sec_bench_row *r = &b->row[i];
        printf("%-44s %12.1f %12.1f  %-12s", r->name, r->value, r->best, r->unit);
        if (r->of_peak > 0)
            printf(" %.0f %%", 100 * r->of_peak);
        putchar('\n');
    }
}

static int write_json(const struct sec_bench *b, const char *path)
{
    struct sec_buf out = {0};
    struct sec_jw w;
    int rc;
    sec_jw_init(&w, &out, true);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "version", SEC_VERSION);
    sec_jw_kstr(&w, "cpu", sec_cpu_model());
    sec_jw_kstr(&w, "isa", sec_isa_name(sec_cpu_isa()));
    sec_jw_ki64(&w, "threads", sec_threads());
    sec_jw_ki64(&w, "peak_rss", (int64_t)sec_peak_rss());
    sec_jw_key(&w, "rows");
    sec_jw_arr(&w);
    for (int i = 0; i < b->n_rows; i++) {
        const struct sec_bench_row *r = &b->row[i];
        sec_jw_obj(&w);
        sec_jw_kstr(&w, "name", r->name);
        sec_jw_kf64(&w, "median", r->value);
        sec_jw_kf64(&w, "best", r->best);
        sec_jw_kstr(&w, "unit", r->unit);
        sec_jw_ki64(&w, "runs", r->runs);
        if (r->of_peak > 0)
            sec_jw_kf64(&w, "of_peak", r->of_peak);
        sec_jw_obj_end(&w);
    }
    sec_jw_arr_end(&w);
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    SEC_TRY(sec_buf_addc(&out, '\n'));
    if (strcmp(path, "-"))
        rc = sec_write_file(path, out.data, out.len);
    else
        fputs(out.data, stdout);
fail:
    sec_buf_free(&out);
    return rc;
}

static bool wanted(const char *name, char **args, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(args[i], name))
            return true;
    return n == 0;
}

static int check_names(char **args, int n)
{
    const char *names[N_ITEMS];
    for (int i = 0; i < N_ITEMS; i++)
        names[i] = items[i].name;
    for (int a = 0; a < n; a++) {
        bool known = false;
        for (int i = 0; i < N_ITEMS; i++)
            known |= !strcmp(args[a], names[i]);
        if (!known)
            return sec_fail(SEC_EUSAGE,
                            "no benchmark '%s': there are peak, gemm, attention, rows, train, "
                            "infer, tokenizer, corpus, loader",
                            args[a]);
    }
    return 0;
}

static int make_scratch(struct sec_bench *b)
{
    const char *tmp = getenv("TMPDIR");
    b->scratch = sec_path_join(tmp && *tmp ? tmp : "/tmp", "secenc-bench-XXXXXX");
    if (!mkdtemp(b->scratch))
        return sec_fail(SEC_EFAIL, "cannot make a folder like %s", b->scratch);
    return 0;
}

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_bench b = {.seconds = o->seconds,
                          .device = o->device,
                          .precision = o->precision > SEC_PRECISION_FP32 ? -1 : o->precision,
                          .config = o->config,
                          .set = &o->set,
                          .lengths = o->lengths,
                          .text = o->text,
                          .tokenizer = o->tokenizer,
                          .data = o->data};
    int rc;
    SEC_TRY(check_names(args, n));
    SEC_TRY(make_scratch(&b));
    for (int i = 0; i < N_ITEMS; i++)
        if (wanted(items[i].name, args, n))
            SEC_TRY(items[i].run(&b));
    sec_progress_done();
    if (strcmp(o->json, "-"))
        print_table(&b);
    if (o->json[0])
        SEC_TRY(write_json(&b, o->json));
fail:
    if (b.scratch && sec_remove_tree(b.scratch) && !rc)
        rc = SEC_EFAIL;
    free(b.scratch);
    free(b.row);
    return rc;
}

const struct sec_command sec_cmd_bench = {
    .name = "bench",
    .synopsis = "[peak|gemm|attention|rows|train|infer|tokenizer|corpus|loader]...",
    .summary = "measure kernels, training, inference and the data path on this machine",
    .details =
        "Rows are medians of repeated runs. GEMM is set against the measured peak of a loop of "
        "multiply-adds on registers, or of a large product on a device. tools/bench-peers runs the "
        "same work in PyTorch and Hugging "
        "Face tokenizers beside it.",
    .opts = opts,
    .values_size = sizeof(struct opts),
    .run = run,
};
