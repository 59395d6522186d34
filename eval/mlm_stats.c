#include "eval/mlm_stats.h"

#include "base/error.h"
#include "base/rng.h"
#include "base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLICATES = 1000 };

static double loss(const struct sec_tally *t)
{
    return t->loss / t->n;
}
static double perplexity(const struct sec_tally *t)
{
    return exp(t->loss / t->n);
}
static double top1(const struct sec_tally *t)
{
    return t->top1 / t->n;
}
static double top5(const struct sec_tally *t)
{
    return t->top5 / t->n;
}
static double bits_per_byte(const struct sec_tally *t)
{
    return t->loss / log(2) / t->bytes;
}
static double unigram_loss(const struct sec_tally *t)
{
    return t->unigram_loss / t->n;
}
static double unigram_bits(const struct sec_tally *t)
{
    return t->unigram_loss / log(2) / t->bytes;
}
static double unigram_top1(const struct sec_tally *t)
{
    return t->unigram_top1 / t->n;
}
static double copy_top1(const struct sec_tally *t)
{
    return t->copy_top1 / t->n;
}

struct metric {
    const char *name;
    double (*of)(const struct sec_tally *);
    bool by_group;
};
static const struct metric metrics[] = {
    {"loss", loss, true},
    {"perplexity", perplexity, false},
    {"top1", top1, true},
    {"top5", top5, true},
    {"bits_per_byte", bits_per_byte, false},
    {"unigram/loss", unigram_loss, false},
    {"unigram/bits_per_byte", unigram_bits, false},
    {"unigram/top1", unigram_top1, true},
    {"copy/top1", copy_top1, true},
};
enum { N_METRICS = sizeof metrics / sizeof metrics[0] };

struct bootstrap {
    const struct sec_mlm_seed *seeds;
    int n_seeds;
    uint64_t n_docs;
    double *value; /* [N_METRICS][n_seeds + 1][REPLICATES]; the last one is the mean */
};

static double *cell(const struct bootstrap *b, int metric, int seed)
{
    return b->value + ((size_t)metric * (size_t)(b->n_seeds + 1) + (size_t)seed) * REPLICATES;
}

static void add_weighted(struct sec_tally *into, const struct sec_tally *v, double w)
{
    into->n += w * v->n;
    into->loss += w * v->loss;
    into->top1 += w * v->top1;
    into->top5 += w * v->top5;
    into->bytes += w * v->bytes;
    into->unigram_loss += w * v->unigram_loss;
    into->unigram_top1 += w * v->unigram_top1;
    into->copy_top1 += w * v->copy_top1;
}

static int replicate(void *ctx, size_t r)
{
    const struct bootstrap *b = ctx;
    uint32_t *drawn = calloc(b->n_docs, sizeof *drawn);
    struct sec_rng rng = sec_rng_make(0, SEC_STREAM_SAMPLE, (uint64_t)r << 40);
    if (!drawn)
        return sec_fail(SEC_ENOMEM, "no memory to resample %llu documents",
                        (unsigned long long)b->n_docs);
    for (uint64_t i = 0; i < b->n_docs; i++)
        drawn[sec_rng_below(&rng, (uint32_t)b->n_docs)]++;
    for (int m = 0; m < N_METRICS; m++)
        cell(b, m, b->n_seeds)[r] = 0;
    for (int s = 0; s < b->n_seeds; s++) {
        struct sec_tally t = {0};
        for (uint64_t d = 0; d < b->n_docs; d++)
            if (drawn[d])
                add_weighted(&t, &b->seeds[s].doc[d], drawn[d]);
        for (int m = 0; m < N_METRICS; m++) {
            double v = metrics[m].of(&t);
            cell(b, m, s)[r] = v;
            cell(b, m, b->n_seeds)[r] += v / b->n_seeds;
        }
    }
    free(drawn);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, double p)
{
    double at = p * (REPLICATES - 1);
    int low = (int)at;
    return sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]);
}

static int run_bootstrap(struct bootstrap *b)
{
    const size_t cells = (size_t)N_METRICS * (size_t)(b->n_seeds + 1);
    b->value = malloc(cells * REPLICATES * sizeof *b->value);
    if (!b->value)
        return sec_fail(SEC_ENOMEM, "no memory for %d bootstrap replicates", REPLICATES);
    int rc = sec_parallel_for(REPLICATES, 0, replicate, b);
    for (size_t i = 0; i < cells && !rc; i++)
        qsort(b->value + i * REPLICATES, REPLICATES, sizeof *b->value, ascending);
    return rc;
}

static void interval(const struct bootstrap *b, int metric, int seed, double ci[2])
{
    const double *v = cell(b, metric, seed);
    ci[0] = ci[1] = NAN;
    if (b->n_docs < 2)
        return;
    ci[0] = percentile(v, 0.025);
    ci[1] = percentile(v, 0.975);
}

/* Mean, and standard deviation from two values on; NaN ones are passed over. */
static void mean_sd(const double *v, int n, double *mean, double *sd)
{
    double sum = 0, squares = 0;
    int k = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i])) {
            sum += v[i];
            k++;
        }
    *mean = k ? sum / k : NAN;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i]))
            squares += (v[i] - *mean) * (v[i] - *mean);
    *sd = k > 1 ? sqrt(squares / (k - 1)) : NAN;
}

struct out {
    const char *task, *split;
    const struct sec_mlm_seed *seeds;
    int n_seeds;
    struct sec_results *list;
};

static struct sec_result blank(const struct out *o)
{
    return (struct sec_result){.task = o->task,
                               .split = o->split,
                               .seed = SEC_NO_SEED,
                               .value = NAN,
                               .sd = NAN,
                               .ci = {NAN, NAN},
                               .n = NAN};
}

static int totals(struct out *o, const struct bootstrap *b, double *per_seed)
{
    int rc = 0;
    double n = 0;
    for (int s = 0; s < o->n_seeds; s++)
        n += o->seeds[s].total.n;
    for (int m = 0; m < N_METRICS; m++) {
        struct sec_result r = blank(o);
        snprintf(r.metric, sizeof r.metric, "%s", metrics[m].name);
        for (int s = 0; s < o->n_seeds; s++) {
            r.seed = s + 1;
            r.n = o->seeds[s].total.n;
            r.value = per_seed[s] = metrics[m].of(&o->seeds[s].total);
            interval(b, m, s, r.ci);
            SEC_TRY(sec_results_add(o->list, &r));
        }
        r.seed = SEC_NO_SEED;
        r.n = n;
        mean_sd(per_seed, o->n_seeds, &r.value, &r.sd);
        interval(b, m, o->n_seeds, r.ci);
        SEC_TRY(sec_results_add(o->list, &r));
    }
fail:
    return rc;
}

/* The group's tally, of seed s, at a byte offset of struct sec_mlm_seed. */
static const struct sec_tally *group_of(const struct out *o, int s, size_t offset)
{
    return (const struct sec_tally *)(const void *)((const char *)&o->seeds[s] + offset);
}

static int group(struct out *o, const char *name, size_t offset, double *per_seed)
{
    int rc = 0;
    double n = 0;
    for (int s = 0; s < o->n_seeds; s++)
        n += group_of(o, s, offset)->n;
    for (int m = 0; m < N_METRICS && n > 0; m++) {
        struct sec_result r = blank(o);
        if (!metrics[m].by_group)
            continue;
        snprintf(r.metric, sizeof r.metric, "%s/%s", name, metrics[m].name);
        for (int s = 0; s < o->n_seeds; s++)
            per_seed[s] = metrics[m].of(group_of(o, s, offset));
        mean_sd(per_seed, o->n_seeds, &r.value, &r.sd);
        r.n = n;
        SEC_TRY(sec_results_add(o->list, &r));
    }
fail:
    return rc;
}

static int groups(struct out *o, double *per_seed)
{
    char name[48];
    int rc = 0;
    for (int i = 0; i < SEC_N_FIELDS; i++) {
        snprintf(name, sizeof name, "class/%s", sec_field_names[i]);
        SEC_TRY(group(o, name, offsetof(struct sec_mlm_seed, field[i]), per_seed));
    }
    for (int i = 0; i < SEC_N_DECILES; i++) {
        snprintf(name, sizeof name, "decile/%d", i + 1);
        SEC_TRY(group(o, name, offsetof(struct sec_mlm_seed, decile[i]), per_seed));
    }
    for (int i = 0; i < SEC_N_LENGTHS; i++) {
        snprintf(name, sizeof name, "length/%d", SEC_SHORTEST_BUCKET << i);
        SEC_TRY(group(o, name, offsetof(struct sec_mlm_seed, length[i]), per_seed));
    }
fail:
    return rc;
}

static int constants(struct out *o, uint64_t n_docs, int vocab_size)
{
    const struct {
        const char *name;
        double value;
    } v[] = {{"documents", (double)n_docs},
             {"untrained/loss", log(vocab_size)},
             {"untrained/perplexity", vocab_size},
             {"untrained/top1", 1.0 / vocab_size},
             {"untrained/top5", 5.0 / vocab_size}};
    int rc = 0;
    for (size_t i = 0; i < sizeof v / sizeof v[0] && !rc; i++) {
        struct sec_result r = blank(o);
        snprintf(r.metric, sizeof r.metric, "%s", v[i].name);
        r.value = v[i].value;
        rc = sec_results_add(o->list, &r);
    }
    return rc;
}

int sec_mlm_results(const char *task, const char *split, const struct sec_mlm_seed *seeds,
                    int n_seeds, uint64_t n_docs, int vocab_size, struct sec_results *out)
{
    struct bootstrap b = {.seeds = seeds, .n_seeds = n_seeds, .n_docs = n_docs};
    struct out o = {.task = task, .split = split, .seeds = seeds, .n_seeds = n_seeds, .list = out};
    double *per_seed = malloc((size_t)n_seeds * sizeof *per_seed);
    int rc = 0;
    if (!per_seed) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the figures of %d seeds", n_seeds);
        goto fail;
    }
    for (int s = 0; s < n_seeds; s++)
        if (!(seeds[s].total.n > 0)) {
            rc = sec_fail(SEC_EDATA,
                          "no token of the %llu documents of split %s was masked with seed %d: "
                          "evaluate more documents",
                          (unsigned long long)n_docs, split, s + 1);
            goto fail;
        }
    SEC_TRY(run_bootstrap(&b));
    SEC_TRY(totals(&o, &b, per_seed));
    SEC_TRY(constants(&o, n_docs, vocab_size));
    SEC_TRY(groups(&o, per_seed));
fail:
    free(b.value);
    free(per_seed);
    return rc;
}
