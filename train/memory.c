#include "train/memory.h"

#include "base/error.h"
#include "kernels/cuda_memory.h"
#include "train/trainer_internal.h"

#include <stdio.h>

/* Ops of a training step over c->batch_tokens tokens. */
static uint64_t cuda_scratch(const struct sec_train_config *c, const struct sec_model_options *o,
                             uint64_t params)
{
    const struct sec_model_config *m = &c->model;
    struct sec_model_options r = sec_model_resolve(m, o);
    return sec_cuda_scratch_bytes(&(struct sec_cuda_shape){.act = o->act,
                                                           .tokens = o->max_tokens,
                                                           .hidden = m->hidden_size,
                                                           .inner = m->intermediate_size,
                                                           .heads = m->num_attention_heads,
                                                           .rel_rows = 2 * m->position_buckets,
                                                           .ksize = m->conv_kernel_size,
                                                           .vocab = m->vocab_size,
                                                           .logit_rows = r.logit_rows,
                                                           .max_seqs = o->max_seqs,
                                                           .max_seqlen = o->max_seqlen,
                                                           .params = (int64_t)params});
}

int sec_train_memory(const struct sec_train_config *c, bool cuda, struct sec_train_memory *out)
{
    struct sec_model_options o = sec_train_model_options(c);
    struct sec_model_memory *m = &out->model;
    int rc = sec_model_memory(&c->model, &o, m);
    if (rc)
        return rc;
    out->optimizer = 2 * m->grads; /* both moments, in the master type as gradients are */
    out->device = cuda ? cuda_scratch(c, &o, m->grads / sizeof(float)) + SEC_CUDA_RUNTIME_BYTES : 0;
    out->total = m->params + m->grads + m->activations + m->scratch + out->optimizer + out->device;
    return 0;
}

static bool fits(struct sec_train_config *c, bool cuda, int64_t batch_tokens, uint64_t limit)
{
    struct sec_train_memory m;
    c->batch_tokens = batch_tokens;
    return sec_train_memory(c, cuda, &m) == 0 && m.total <= limit;
}

int64_t sec_train_largest_batch(const struct sec_train_config *config, bool cuda, bool recompute,
                                uint64_t limit)
{
    enum { UNIT = 64, MOST = (16 << 20) / UNIT }; /* the range of data.batch_tokens */
    struct sec_train_config c = *config;
    c.recompute = recompute;
    if (!fits(&c, cuda, c.seq_len, limit))
        return 0;
    int64_t low = c.seq_len / UNIT, high = MOST + 1; /* low fits, high does not */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (fits(&c, cuda, middle * UNIT, limit))
            low = middle;
        else
            high = middle;
    }
    return low * UNIT > c.seq_len ? low * UNIT : c.seq_len;
}

char *sec_train_what_fits(const struct sec_train_config *c, bool cuda, uint64_t limit,
                          char buf[160])
{
    long long plain = sec_train_largest_batch(c, cuda, false, limit);
    long long again = sec_train_largest_batch(c, cuda, true, limit);
    if (!again)
        snprintf(buf, 160,
                 "not one sequence of data.seq_len=%lld fits: shorten it, or train a smaller model",
                 (long long)c->seq_len);
    else if (c->recompute)
        snprintf(buf, 160, "data.batch_tokens=%lld fits", again);
    else if (plain)
        snprintf(buf, 160, "data.batch_tokens=%lld fits, with train.recompute=true %lld", plain,
                 again);
    else
        snprintf(buf, 160, "data.batch_tokens=%lld fits with train.recompute=true", again);
    return buf;
}

int sec_train_plan_table(const struct sec_train_config *config, bool cuda, uint64_t limit,
                         struct sec_train_plan_row rows[SEC_PLAN_MODELS * SEC_PLAN_LENGTHS])
{
    static const struct {
        const char *name;
        int64_t hidden, layers, heads;
    } models[SEC_PLAN_MODELS] = {{"base", 768, 12, 12},
                                 {"large", 1024, 24, 16},
                                 {"xlarge", 1536, 24, 24},
                                 {"xxlarge", 1536, 36, 24}};
    static const int64_t lengths[SEC_PLAN_LENGTHS] = {512, 1024, 8192, 48000};
    for (int i = 0; i < SEC_PLAN_MODELS * SEC_PLAN_LENGTHS; i++) {
        const int n = i / SEC_PLAN_LENGTHS;
        struct sec_train_config c = *config;
        struct sec_train_memory plain, again;
        c.model.hidden_size = models[n].hidden;
        c.model.num_hidden_layers = models[n].layers;
        c.model.num_attention_heads = models[n].heads;
        c.model.intermediate_size = 4 * models[n].hidden;
        c.seq_len = lengths[i % SEC_PLAN_LENGTHS];
        c.batch_tokens = c.batch_tokens > c.seq_len ? c.batch_tokens : c.seq_len;
        c.recompute = false;
        int rc = sec_train_memory(&c, cuda, &plain);
        c.recompute = true;
        if (!rc)
            rc = sec_train_memory(&c, cuda, &again);
        if (rc)
            return rc;
        rows[i] = (struct sec_train_plan_row){
            .model = models[n].name,
            .parameters = sec_model_config_count(&c.model),
            .seq_len = c.seq_len,
            .batch_tokens = c.batch_tokens,
            .bytes = plain.total,
            .bytes_recompute = again.total,
            .largest = sec_train_largest_batch(&c, cuda, false, limit),
            .largest_recompute = sec_train_largest_batch(&c, cuda, true, limit)};
    }
    return 0;
}
