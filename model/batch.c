/* Batches on their way to the backend: checks, upload, filling up to one shape. */
#include "model/state.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum {
    FILLER = 64,       /* longest sequence of pads, if the model takes it: a tile of attention */
    MASKED_STEP = 256, /* masked rows are filled up to a multiple of this */
    PAD_ID = 0
};

int sec_check_batch(const struct sec_model *m, const struct sec_batch *b)
{
    const struct sec_model_options *o = &m->opt;
    if (b->n_tokens < 1 || b->n_seqs < 1)
        return sec_fail(SEC_ECONFIG, "batch has %d tokens in %d sequences; both must be positive",
                        b->n_tokens, b->n_seqs);
    if (b->n_tokens > o->max_tokens || b->n_seqs > o->max_seqs || b->max_seqlen > o->max_seqlen)
        return sec_fail(SEC_ECONFIG,
                        "batch of %d tokens, %d sequences, longest %d exceeds what the model was "
                        "created for: %d, %d, %d",
                        b->n_tokens, b->n_seqs, b->max_seqlen, o->max_tokens, o->max_seqs,
                        o->max_seqlen);
    for (int32_t t = 0; t < b->n_tokens; t++)
        if (b->ids[t] >= m->config.vocab_size)
            return sec_fail(
                SEC_EDATA,
                "token id %u at position %d of a batch; the model's vocabulary has %lld "
                "entries: is the data of another tokenizer?",
                b->ids[t], t, (long long)m->config.vocab_size);
    return 0;
}

static int upload(struct sec_model *m, const struct sec_batch *b, uint64_t dropout_seed)
{
    struct sec_acts *a = &m->st->a;
    struct sec_backend *be = m->be;
    size_t n = (size_t)b->n_tokens;
    int rc = be->upload(be, a->ids, b->ids, n * sizeof *a->ids);
    if (!rc)
        rc = be->upload(be, a->seed, &dropout_seed, sizeof dropout_seed);
    if (!rc && b->row_key)
        rc = be->upload(be, a->row_key, b->row_key, n * sizeof *a->row_key);
    if (!rc && m->st->training && !b->row_key)
        rc = sec_fail(SEC_ECONFIG, "a training batch with dropout needs row_key");
    return rc;
}

int sec_begin_pass(struct sec_model *m, const struct sec_batch *b, bool training,
                   uint64_t dropout_seed)
{
    struct sec_model_state *st = m->st;
    st->have_forward = st->have_classify = false;
    const struct sec_model_config *c = &m->config;
    st->batch = b;
    st->n_tokens = st->n_given = b->n_tokens;
    st->n_seqs = b->n_seqs;
    st->training = training && (c->hidden_dropout_prob > 0 || c->attention_probs_dropout_prob > 0);
    return upload(m, b, dropout_seed);
}

static int32_t filler(const struct sec_model_options *o)
{
    return o->max_seqlen < FILLER ? o->max_seqlen : FILLER;
}

int sec_padded_alloc(struct sec_model *m)
{
    const struct sec_model_options *o = &m->opt;
    struct sec_padded *p = &m->st->padded;
    size_t t = (size_t)o->max_tokens, seqs = (size_t)o->max_seqs + t / (size_t)filler(o) + 1;
    if (!o->pad)
        return 0;
    p->cu_seqlens = malloc((seqs + 1) * sizeof *p->cu_seqlens);
    p->masked_rows = malloc((size_t)o->max_masked * sizeof *p->masked_rows);
    p->labels = malloc((size_t)o->max_masked * sizeof *p->labels);
    p->ids = malloc(t * sizeof *p->ids);
    p->row_key = malloc(t * sizeof *p->row_key);
    p->masked = malloc(t * sizeof *p->masked);
    if (!p->cu_seqlens || !p->masked_rows || !p->labels || !p->ids || !p->row_key || !p->masked)
        return sec_fail(SEC_ENOMEM, "out of memory for the host side of a model");
    return 0;
}

void sec_padded_free(struct sec_model *m)
{
    struct sec_padded *p = &m->st->padded;
    free(p->cu_seqlens);
    free(p->masked_rows);
    free(p->labels);
    free(p->ids);
    free(p->row_key);
    free(p->masked);
}

static void pad_tokens(struct sec_padded *p, const struct sec_batch *b, int32_t total, int32_t step)
{
    size_t n = (size_t)b->n_tokens, seqs = (size_t)b->n_seqs + 1;
    memcpy(p->ids, b->ids, n * sizeof *p->ids);
    memcpy(p->cu_seqlens, b->cu_seqlens, seqs * sizeof *p->cu_seqlens);
    if (b->row_key)
        memcpy(p->row_key, b->row_key, n * sizeof *p->row_key);
    p->b.row_key = b->row_key ? p->row_key : NULL;
    p->b.n_seqs = b->n_seqs;
    for (int32_t t = b->n_tokens; t < total; t++) {
        p->ids[t] = PAD_ID;
        p->row_key[t] = 0;
    }
    for (int32_t t = b->n_tokens; t < total; t = p->cu_seqlens[p->b.n_seqs])
        p->cu_seqlens[++p->b.n_seqs] = total - t < step ? total : t + step;
    p->b.n_tokens = total;
}

/* Rows that are not masked yet, from the last one down. */
static void pad_masked(struct sec_padded *p, const struct sec_batch *b, int32_t most)
{
    int32_t total = p->b.n_tokens, n = b->n_masked, want = (n + MASKED_STEP - 1) / MASKED_STEP;
    want *= MASKED_STEP;
    want = want < most ? want : most;
    memcpy(p->masked_rows, b->masked_rows, (size_t)n * sizeof *p->masked_rows);
    memcpy(p->labels, b->labels, (size_t)n * sizeof *p->labels);
    memset(p->masked, 0, (size_t)total * sizeof *p->masked);
    for (int32_t i = 0; i < n; i++)
        p->masked[b->masked_rows[i]] = true;
    for (int32_t row = total - 1; row >= 0 && n < want; row--)
        if (!p->masked[row]) {
            p->masked_rows[n] = row;
            p->labels[n++] = SEC_NO_LABEL;
        }
    p->b.n_masked = n;
}

const struct sec_batch *sec_padded(struct sec_model *m, const struct sec_batch *b)
{
    const struct sec_model_options *o = &m->opt;
    struct sec_padded *p = &m->st->padded;
    p->b = (struct sec_batch){.max_seqlen = o->max_seqlen,
                              .cu_seqlens = p->cu_seqlens,
                              .ids = p->ids,
                              .masked_rows = p->masked_rows,
                              .labels = p->labels};
    pad_tokens(p, b, o->max_tokens, filler(o));
    pad_masked(p, b, o->max_masked);
    return &p->b;
}
