#include "train/mlm_eval.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

struct sums {
    double loss;
    uint64_t top1, top5, masked, tokens;
};

static void add_batch(struct sums *s, const struct sec_batch *b, const float *loss,
                      const int32_t *rank)
{
    for (int32_t i = 0; i < b->n_masked; i++) {
        s->loss += loss[i];
        s->top1 += rank[i] == 0;
        s->top5 += rank[i] < 5;
    }
    s->masked += (uint64_t)b->n_masked;
    s->tokens += (uint64_t)b->n_tokens;
}

int sec_mlm_eval(struct sec_model *m, const struct sec_tokens *t, const struct sec_tokenizer *tok,
                 const struct sec_mlm_eval_options *o, struct sec_mlm_result *out)
{
    struct sec_eval_loader *l = NULL;
    const struct sec_batch *b = NULL;
    struct sums s = {0};
    const struct sec_mask_options mask = {
        .seed = o->seed, .probability = 0.15, .eval = true, .whole_field = o->whole_field};
    float *loss = malloc((size_t)o->batch_tokens * sizeof *loss);
    int32_t *rank = malloc((size_t)o->batch_tokens * sizeof *rank);
    int rc;
    if (!loss || !rank) {
        rc = sec_fail(SEC_ENOMEM, "no memory to evaluate batches of %d tokens", o->batch_tokens);
        goto fail;
    }
    SEC_TRY(
        sec_eval_loader_open_masks(t, tok, &mask, o->seq_len, o->batch_tokens, o->max_docs, &l));
    while ((rc = sec_eval_loader_next(l, &b)) == 0) {
        if (b->n_masked)
            SEC_TRY(sec_model_eval_mlm(m, b, loss, rank));
        add_batch(&s, b, loss, rank);
        if (o->on_batch)
            SEC_TRY(o->on_batch(o->ctx, b, loss, rank));
        if (o->progress && sec_progress_due())
            sec_progress("%s: %llu tokens, loss %.4f, accuracy %.4f", o->progress,
                         (unsigned long long)s.tokens, s.masked ? s.loss / (double)s.masked : 0,
                         s.masked ? (double)s.top1 / (double)s.masked : 0);
    }
    if (rc != 1)
        goto fail;
    rc = 0;
    double n = s.masked ? (double)s.masked : 1;
    *out = (struct sec_mlm_result){.loss = s.loss / n,
                                   .accuracy = (double)s.top1 / n,
                                   .top5 = (double)s.top5 / n,
                                   .n_masked = s.masked,
                                   .n_tokens = s.tokens};
fail:
    if (l)
        sec_eval_loader_close(l);
    free(loss);
    free(rank);
    return rc;
}
