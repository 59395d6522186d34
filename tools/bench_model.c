/* Training step and inference of a model, on one packed batch of given sequence lengths. */
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "tools/bench.h"
#include "train/config.h"
#include "train/optimizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sec_bench_lengths(const char *text, int32_t **out, int32_t *n)
{
    int32_t *cu = calloc(1, sizeof *cu);
    int32_t count = 0;
    for (const char *p = text; cu && *p;) {
        char *end;
        long len = strtol(p, &end, 10), times = 1;
        if (*end == 'x')
            times = strtol(end + 1, &end, 10);
        if (end == p || (*end && *end != ',') || len < 3 || times < 1 || len * times > 1 << 24) {
            free(cu);
            return sec_fail(SEC_EUSAGE,
                            "--lengths '%s': expected LENGTHxCOUNT or LENGTH, separated "
                            "by commas, lengths of at least 3",
                            text);
        }
        int32_t *grown = realloc(cu, (size_t)(count + times + 1) * sizeof *cu);
        if (!grown)
            break;
        cu = grown;
        for (; times; times--, count++)
            cu[count + 1] = cu[count] + (int32_t)len;
        p = *end ? end + 1 : end;
    }
    if (!cu || !count) {
        free(cu);
        return sec_fail(cu ? SEC_EUSAGE : SEC_ENOMEM, "--lengths '%s' names no sequence", text);
    }
    *out = cu;
    *n = count;
    return 0;
}

struct model_run {
    struct sec_train_config c;
    struct sec_backend *be;
    struct sec_model *m;
    struct sec_optimizer opt;
    struct sec_batch batch;
    int32_t *cu, *rows;
    uint16_t *ids, *labels;
    uint64_t *keys;
    int64_t t;
};

static void fill_batch(struct model_run *r)
{
    struct sec_batch *b = &r->batch;
    struct sec_rng g = sec_rng_make(3, SEC_STREAM_SAMPLE, 0);
    uint32_t vocab = (uint32_t)r->c.model.vocab_size;
    for (int32_t s = 0; s < b->n_seqs; s++)
        for (int32_t i = r->cu[s]; i < r->cu[s + 1]; i++) {
            r->ids[i] = (uint16_t)(5 + sec_rng_below(&g, vocab - 5));
            r->keys[i] = (uint64_t)s << 16 | (uint64_t)(i - r->cu[s]);
            if (sec_rng_below(&g, 100) < 15) {
                r->rows[b->n_masked] = i;
                r->labels[b->n_masked++] = r->ids[i];
                r->ids[i] = 4; /* [MASK] */
            }
        }
}

static int make_batch(struct model_run *r, const char *lengths)
{
    struct sec_batch *b = &r->batch;
    int rc = sec_bench_lengths(lengths, &r->cu, &b->n_seqs);
    if (rc)
        return rc;
    b->n_tokens = r->cu[b->n_seqs];
    for (int32_t s = 0; s < b->n_seqs; s++)
        if (r->cu[s + 1] - r->cu[s] > b->max_seqlen)
            b->max_seqlen = r->cu[s + 1] - r->cu[s];
    size_t t = (size_t)b->n_tokens;
    r->ids = calloc(t, sizeof *r->ids);
    r->labels = calloc(t, sizeof *r->labels);
    r->rows = calloc(t, sizeof *r->rows);
    r->keys = calloc(t, sizeof *r->keys);
    if (!r->ids || !r->labels || !r->rows || !r->keys)
        return sec_fail(SEC_ENOMEM, "no memory for a batch of %zu tokens", t);
    b->cu_seqlens = r->cu;
    b->ids = r->ids;
    b->row_key = r->keys;
    b->masked_rows = r->rows;
    b->labels = r->labels;
    fill_batch(r);
    return 0;
}

static int open_run(struct sec_bench *b, struct model_run *r, bool train, int precision)
{
    int rc;
    SEC_TRY(sec_config_defaults(sec_train_schema, &r->c));
    SEC_TRY(sec_config_load(sec_train_schema, &r->c, b->config));
    for (size_t i = 0; i < b->set->n; i++)
        SEC_TRY(sec_config_set_pair(sec_train_schema, &r->c, b->set->v[i]));
    r->c.precision = precision;
    SEC_TRY(sec_train_config_check(&r->c));
    SEC_TRY(make_batch(r, b->lengths));
    SEC_TRY(sec_backend_open(strcmp(b->device, "auto") ? b->device : r->c.backend, &r->be));
    struct sec_model_options o = {.act = sec_train_act(&r->c),
                                  .train = train,
                                  .heads = SEC_HEAD_MLM,
                                  .max_tokens = r->batch.n_tokens,
                                  .max_seqs = r->batch.n_seqs,
                                  .max_seqlen = r->batch.max_seqlen,
                                  .pad = r->be->record_begin != NULL};
    SEC_TRY(sec_model_create(&r->c.model, r->be, &o, &r->m));
    SEC_TRY(sec_model_init(r->m, 1));
    if (train)
        SEC_TRY(sec_optimizer_create(r->m, &r->opt));
fail:
    return rc;
}

static void close_run(struct model_run *r)
{
    if (r->opt.model)
        sec_optimizer_free(&r->opt);
    if (r->m)
        sec_model_free(r->m);
    if (r->be)
        r->be->destroy(r->be);
    free(r->cu);
    free(r->rows);
    free(r->ids);
    free(r->labels);
    free(r->keys);
    sec_config_free(sec_train_schema, &r->c);
}

static int train_once(void *ctx)
{
    struct model_run *r = ctx;
    double loss, norm;
    int64_t correct;
    bool applied;
    struct sec_optimizer_step s = {.t = ++r->t,
                                   .lr = 1e-4,
                                   .grad_scale = 1.0 / (r->batch.n_masked ? r->batch.n_masked : 1),
                                   .beta1 = 0.9,
                                   .beta2 = 0.98,
                                   .eps = 1e-6,
                                   .weight_decay = 0.01,
                                   .clip = 1};
    int rc;
    SEC_TRY(sec_model_zero_grad(r->m));
    SEC_TRY(sec_model_train_mlm(r->m, &r->batch, 1, 1, &loss, &correct));
    SEC_TRY(sec_optimizer_apply(&r->opt, &s, &norm, &applied));
fail:
    return rc;
}

static int infer_once(void *ctx)
{
    struct model_run *r = ctx;
    int rc = sec_model_forward(r->m, &r->batch, false, 0);
    return rc ? rc : r->be->sync(r->be);
}

/* Name of the configuration: "configs/tiny.yaml" -> "tiny". */
static void config_name(const char *path, char *buf, size_t size)
{
    snprintf(buf, size, "%s", sec_basename(path));
    buf[strcspn(buf, ".")] = 0;
}

static int bench_model(struct sec_bench *b, bool train)
{
    char name[96], model[48];
    int rc = 0;
    config_name(b->config, model, sizeof model);
    for (int p = SEC_PRECISION_BF16; p <= SEC_PRECISION_FP32; p++) {
        struct model_run r = {0};
        if (b->precision >= 0 && b->precision != p)
            continue;
        rc = open_run(b, &r, train, p);
        snprintf(name, sizeof name, "%s %s %s", train ? "train" : "infer", model,
                 p == SEC_PRECISION_BF16 ? "bf16" : "fp32");
        if (!rc)
            rc = sec_bench_time(b, name, "tokens/s", r.batch.n_tokens, 0,
                                train ? train_once : infer_once, &r);
        close_run(&r);
        if (rc)
            goto fail;
    }
fail:
    return rc;
}

int sec_bench_train(struct sec_bench *b)
{
    return bench_model(b, true);
}

int sec_bench_infer(struct sec_bench *b)
{
    return bench_model(b, false);
}
