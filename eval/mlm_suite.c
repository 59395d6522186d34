#include "eval/mlm_suite.h"

#include "base/error.h"
#include "base/log.h"
#include "data/tokshard_manifest.h"
#include "eval/infer.h"
#include "eval/mlm_stats.h"

#include <stdlib.h>
#include <string.h>

struct suite {
    const struct sec_mlm_suite_options *o;
    struct sec_infer m;
    struct sec_unigram unigram;
    struct sec_tally_ctx tally;
    struct sec_atomic dump;
    struct sec_results *out;
};

static int parse_splits(const char *text, bool wanted[SEC_N_SPLITS])
{
    while (*text) {
        size_t n = strcspn(text, ",");
        int split = 0;
        while (split < SEC_N_SPLITS && (strlen(sec_split_names[split]) != n ||
                                        memcmp(sec_split_names[split], text, n) != 0))
            split++;
        if (split == SEC_N_SPLITS)
            return sec_fail(SEC_EUSAGE, "'%.*s' is no split: use train, idts or odts", (int)n,
                            text);
        wanted[split] = true;
        text += n + (text[n] == ',');
    }
    return 0;
}

/* Which splits to evaluate: those asked for must hold documents. */
static int choose_splits(const struct sec_mlm_suite_options *o, bool wanted[SEC_N_SPLITS])
{
    bool named = *o->splits, any = false;
    struct sec_tokmanifest m = {0};
    int rc;
    SEC_TRY(parse_splits(named ? o->splits : "idts,odts", wanted));
    SEC_TRY(sec_tokmanifest_read(o->data, &m));
    for (int s = 0; s < SEC_N_SPLITS; s++) {
        if (wanted[s] && named && !m.total[s].docs) {
            rc = sec_fail(SEC_EDATA, "%s has no documents in split %s: choose another --split",
                          o->data, sec_split_names[s]);
            goto fail;
        }
        wanted[s] = wanted[s] && m.total[s].docs;
        any |= wanted[s];
    }
    if (!any)
        rc = sec_fail(SEC_EDATA,
                      "%s has documents in neither test split: build the corpus with --split "
                      "idts=0.01,odts=SOURCE, or name --split train",
                      o->data);
fail:
    sec_tokmanifest_free(&m);
    return rc;
}

static int open_unigram(struct suite *s)
{
    struct sec_tokens *train;
    int rc = sec_tokens_open(s->o->data, SEC_SPLIT_TRAIN, &train);
    if (rc)
        return rc;
    if (!sec_tokens_info(train)->n_tokens)
        rc = sec_fail(SEC_EDATA, "%s has no training tokens: the unigram baseline needs them",
                      s->o->data);
    else
        rc = sec_unigram_count(train, s->m.tok, &s->unigram);
    sec_tokens_close(train);
    return rc;
}

static int one_seed(struct suite *s, const struct sec_tokens *t, const char *split, uint64_t seed,
                    struct sec_mlm_seed *into)
{
    char label[64];
    struct sec_mlm_result unused;
    const struct sec_mlm_eval_options eo = {.seed = seed,
                                            .seq_len = s->m.seq_len,
                                            .batch_tokens = s->m.batch_tokens,
                                            .whole_field = s->o->whole_field,
                                            .max_docs = s->o->docs,
                                            .on_batch = sec_tally_batch,
                                            .ctx = &s->tally,
                                            .progress = label};
    snprintf(label, sizeof label, "eval %s, seed %llu of %d", split, (unsigned long long)seed,
             s->o->seeds);
    s->tally.into = into;
    s->tally.split = split;
    s->tally.seed = seed;
    sec_tally_restart(&s->tally);
    return sec_mlm_eval(s->m.model, t, s->m.tok, &eo, &unused);
}

static int one_split(struct suite *s, enum sec_split split)
{
    struct sec_tokens *t = NULL;
    const int n_seeds = s->o->seeds;
    struct sec_mlm_seed *seeds = calloc((size_t)n_seeds, sizeof *seeds);
    int rc;
    if (!seeds)
        return sec_fail(SEC_ENOMEM, "no memory for %d seeds", n_seeds);
    SEC_TRY(sec_tokens_open(s->o->data, split, &t));
    uint64_t n_docs = sec_tokens_info(t)->n_docs;
    if (s->o->docs && s->o->docs < n_docs)
        n_docs = s->o->docs;
    for (int i = 0; i < n_seeds; i++) {
        seeds[i].doc = calloc(n_docs, sizeof *seeds[i].doc);
        if (!seeds[i].doc) {
            rc = sec_fail(SEC_ENOMEM, "no memory for %llu documents: lower --docs",
                          (unsigned long long)n_docs);
            goto fail;
        }
        SEC_TRY(one_seed(s, t, sec_split_names[split], (uint64_t)i + 1, &seeds[i]));
    }
    rc = sec_mlm_results(s->o->whole_field ? "mlm-whole-field" : "mlm", sec_split_names[split],
                         seeds, n_seeds, n_docs, sec_tokenizer_vocab_size(s->m.tok), s->out);
fail:
    sec_progress_done();
    for (int i = 0; i < n_seeds; i++)
        free(seeds[i].doc);
    free(seeds);
    if (t)
        sec_tokens_close(t);
    return rc;
}

static int open_all(struct suite *s)
{
    const struct sec_infer_options io = {.backend = s->o->backend,
                                         .act = s->o->act,
                                         .heads = SEC_HEAD_MLM,
                                         .seq_len = s->o->seq_len,
                                         .batch_tokens = s->o->batch_tokens,
                                         .tokenizer = s->o->data};
    int rc;
    SEC_TRY(sec_infer_open(s->o->model, &io, &s->m));
    SEC_TRY(open_unigram(s));
    s->tally = (struct sec_tally_ctx){
        .tok = s->m.tok, .unigram = &s->unigram, .copy = sec_copy_new(s->m.tok)};
    if (!s->tally.copy) {
        rc = SEC_ENOMEM;
        goto fail;
    }
    if (*s->o->dump) {
        SEC_TRY(sec_atomic_open(&s->dump, s->o->dump));
        s->tally.dump = &s->dump;
    }
    memcpy(s->out->model_sha, s->m.model_sha, sizeof s->out->model_sha);
    s->out->data = strdup(s->o->data);
    if (!s->out->data)
        rc = sec_fail(SEC_ENOMEM, "no memory for the results");
fail:
    return rc;
}

int sec_mlm_suite(const struct sec_mlm_suite_options *o, struct sec_results *out)
{
    struct suite s = {.o = o, .out = out};
    bool wanted[SEC_N_SPLITS] = {false};
    int rc;
    SEC_TRY(choose_splits(o, wanted));
    SEC_TRY(open_all(&s));
    for (int i = 0; i < SEC_N_SPLITS; i++)
        if (wanted[i])
            SEC_TRY(one_split(&s, (enum sec_split)i));
    if (s.tally.dump) {
        rc = sec_atomic_commit(s.tally.dump);
        s.tally.dump = NULL;
    }
fail:
    if (s.tally.dump)
        sec_atomic_abort(s.tally.dump);
    sec_tally_free(&s.tally);
    sec_copy_free(s.tally.copy);
    sec_unigram_free(&s.unigram);
    sec_infer_close(&s.m);
    return rc;
}
