#include "train/trainer_internal.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>

static int open_split(struct sec_trainer *t, enum sec_split split)
{
    int rc = sec_tokens_open(t->a->data_dir, split, &t->tokens[split]);
    if (rc)
        return rc;
    if (sec_tokens_info(t->tokens[split])->n_tokens)
        return 0;
    sec_tokens_close(t->tokens[split]);
    t->tokens[split] = NULL;
    return 0;
}

int sec_trainer_open_data(struct sec_trainer *t)
{
    int rc;
    for (int s = 0; s < SEC_N_SPLITS; s++)
        if ((rc = open_split(t, (enum sec_split)s)))
            return sec_fail_at(rc,
                               "--data is no token data set (secenc corpus tokenize makes one)");
    if (!t->tokens[SEC_SPLIT_TRAIN]) {
        rc = sec_fail(SEC_EDATA,
                      "%s has no training tokens: build it from a corpus with a train split",
                      t->a->data_dir);
        goto fail;
    }
    const struct sec_tokens_info *info = sec_tokens_info(t->tokens[SEC_SPLIT_TRAIN]);
    if (info->vocab_size != t->c->model.vocab_size) {
        rc = sec_fail(SEC_ECONFIG,
                      "%s was tokenised with a vocabulary of %d entries but model.vocab_size is "
                      "%lld: set model.vocab_size=%d, or tokenise again",
                      t->a->data_dir, info->vocab_size, (long long)t->c->model.vocab_size,
                      info->vocab_size);
        goto fail;
    }
    SEC_TRY(sec_tokenizer_load(info->dir, &t->tok));
    if (strcmp(sec_tokenizer_fingerprint(t->tok), info->tokenizer_fingerprint)) {
        rc = sec_fail(SEC_EDATA,
                      "%s/tokenizer.json (%.12s) is not the tokenizer its shards were made with "
                      "(%.12s): restore the file, or tokenise again",
                      info->dir, sec_tokenizer_fingerprint(t->tok), info->tokenizer_fingerprint);
        goto fail;
    }
fail:
    return rc;
}

int sec_trainer_open_model(struct sec_trainer *t)
{
    int rc;
    struct sec_model_options o = {
        .act = sec_train_act(t->c),
        .train = true,
        .heads = SEC_HEAD_MLM,
        .max_tokens = (int32_t)t->c->batch_tokens,
        .max_seqs = (int32_t)(t->c->batch_tokens / 3 + 1), /* [CLS] token [SEP] is the shortest */
        .max_seqlen = (int32_t)t->c->seq_len,
    };
    SEC_TRY(sec_backend_open(t->c->backend, &t->be));
    SEC_TRY(sec_model_create(&t->c->model, t->be, &o, &t->model));
    SEC_TRY(sec_optimizer_create(t->model, &t->opt));
    if (t->be->peak_flops)
        t->peak_flops = t->be->peak_flops(t->be, o.act);
fail:
    return rc;
}

void sec_trainer_close(struct sec_trainer *t)
{
    if (t->loader)
        sec_loader_close(t->loader);
    sec_metrics_close(&t->metrics);
    if (t->model) {
        sec_optimizer_free(&t->opt);
        sec_model_free(t->model);
    }
    if (t->be)
        t->be->destroy(t->be);
    if (t->tok)
        sec_tokenizer_free(t->tok);
    for (int s = 0; s < SEC_N_SPLITS; s++)
        if (t->tokens[s])
            sec_tokens_close(t->tokens[s]);
    if (t->dir.path)
        sec_rundir_close(&t->dir);
}
