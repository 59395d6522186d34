/* A training pass as one recording of the backend (ops.h, record_begin). */
#include "model/state.h"

#include "base/error.h"

#include <string.h>

/* All that the ops of a pass depend on besides the contents of backend memory. Pointers into the
 * arena follow from its address, the configuration and the options. */
struct pass_key {
    struct sec_model_config config;
    struct sec_model_options options;
    const void *block, *master, *compute, *grad;
    double loss_scale;
    int32_t n_tokens, n_masked;
    bool dropout;
};

static void fill_key(const struct sec_model *m, double loss_scale, struct pass_key *k)
{
    memset(k, 0, sizeof *k);
    memcpy(&k->config, &m->config, sizeof k->config);
    memcpy(&k->options, &m->opt, sizeof k->options);
    k->block = m->st->block;
    k->master = m->master;
    k->compute = m->compute;
    k->grad = m->grad;
    k->loss_scale = loss_scale;
    k->n_tokens = m->st->n_tokens;
    k->n_masked = m->st->batch->n_masked;
    k->dropout = m->st->training;
}

int sec_run_pass(struct sec_model *m, double loss_scale,
                 int (*pass)(struct sec_model *m, double loss_scale))
{
    struct sec_backend *be = m->be;
    const struct sec_batch *b = m->st->batch;
    struct pass_key key;
    int rc;
    if (!be->record_begin)
        return pass(m, loss_scale);
    fill_key(m, loss_scale, &key);
    SEC_TRY(be->set_sequences(be, b->cu_seqlens, b->n_seqs, m->st->rel_idx, m->opt.max_seqlen));
    do {
        bool replayed = false, repeat = false;
        SEC_TRY(be->record_begin(be, &key, sizeof key, &replayed));
        if (replayed)
            return 0;
        rc = pass(m, loss_scale);
        int ended = be->record_end(be, rc == 0, &repeat);
        if (!repeat)
            return rc ? rc : ended;
    } while (true);
fail:
    return rc;
}
