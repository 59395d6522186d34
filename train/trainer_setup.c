#include "train/trainer_internal.h"

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "data/tokshard_manifest.h"
#include "kernels/cuda_memory.h"
#include "train/memory.h"

#include <stdlib.h>
#include <string.h>

/* Splits without documents stay closed: a corpus of one source has no ODTS. */
static int open_splits(struct sec_trainer *t)
{
    struct sec_tokmanifest m;
    int rc = sec_tokmanifest_read(t->a->data_dir, &m);
    for (int s = 0; !rc && s < SEC_N_SPLITS; s++) {
        if (m.total[s].docs || s == SEC_SPLIT_TRAIN)
            rc = sec_tokens_open(t->a->data_dir, (enum sec_split)s, &t->tokens[s]);
        else
            sec_warn("%s has no %s documents: no evaluation on them", t->a->data_dir,
                     sec_split_names[s]);
    }
    sec_tokmanifest_free(&m);
    return rc;
}

int sec_trainer_open_data(struct sec_trainer *t)
{
    int rc;
    SEC_TRY(open_splits(t));
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

struct sec_model_options sec_train_model_options(const struct sec_train_config *c)
{
    return (struct sec_model_options){
        .act = sec_train_act(c),
        .train = true,
        .heads = SEC_HEAD_MLM,
        .max_tokens = (int32_t)c->batch_tokens,
        .max_seqs = (int32_t)(c->batch_tokens / 3 + 1), /* [CLS] token [SEP] is the shortest */
        .max_seqlen = (int32_t)c->seq_len,
        .recompute = c->recompute,
    };
}

/* Before anything is taken of a device: whether all will be there, and if not what would. What the
 * open backend has is taken already; a part is left for recorded passes. */
static int check_device_memory(const struct sec_trainer *t)
{
    struct sec_train_memory need;
    uint64_t left = 0, total = 0;
    char a[32], b[32], d[32], advice[160];
    if (!t->be->memory)
        return 0;
    int rc = t->be->memory(t->be, &left, &total);
    if (!rc)
        rc = sec_train_memory(t->c, true, &need);
    if (rc)
        return rc;
    const uint64_t open = SEC_CUDA_RUNTIME_BYTES + SEC_CUDA_WORKSPACE_BYTES;
    uint64_t limit = left - left / 64 + open;
    if (need.total <= limit)
        return 0;
    return sec_fail(SEC_EDEVICE,
                    "data.batch_tokens = %lld takes %s of device memory and %s of %s are free: %s",
                    (long long)t->c->batch_tokens, sec_human_bytes((double)(need.total - open), a),
                    sec_human_bytes((double)left, b), sec_human_bytes((double)total, d),
                    sec_train_what_fits(t->c, true, limit, advice));
}

int sec_trainer_open_model(struct sec_trainer *t)
{
    int rc;
    struct sec_model_options o = sec_train_model_options(t->c);
    SEC_TRY(sec_backend_open(t->c->backend, &t->be));
    SEC_TRY(check_device_memory(t));
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
