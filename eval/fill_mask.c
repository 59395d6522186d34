#include "eval/fill_mask.h"

#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Indices of the k largest of x[0..n), largest first, smaller index first among equals. */
static void largest(const float *x, int n, int k, uint16_t *out)
{
    int have = 0;
    for (int i = 0; i < n; i++) {
        int at = have;
        while (at && x[out[at - 1]] < x[i])
            at--;
        if (at >= k)
            continue;
        have += have < k;
        memmove(out + at + 1, out + at, (size_t)(have - at - 1) * sizeof *out);
        out[at] = (uint16_t)i;
    }
}

static double log_sum_exp(const float *x, int n)
{
    double max = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

static int decoded(const struct sec_tokenizer *tok, const uint16_t *ids, size_t n, char **out)
{
    struct sec_buf raw = {0}, text = {0};
    int rc;
    SEC_TRY(sec_decode(tok, ids, n, false, &raw));
    SEC_TRY(sec_utf8_append(&text, raw.data, raw.len));
    SEC_TRY(sec_buf_add(&text, "", 0));
    *out = text.data;
fail:
    if (rc)
        sec_buf_free(&text);
    sec_buf_free(&raw);
    return rc;
}

/* The k best tokens of one mask, at position `at` of ids[0..n). */
static int fill_one(const struct sec_tokenizer *tok, uint16_t *ids, size_t n, size_t at,
                    const float *logits, int k, struct sec_fill *out)
{
    const int vocab = sec_tokenizer_vocab_size(tok);
    const double total = log_sum_exp(logits, vocab);
    uint16_t *best = malloc((size_t)k * sizeof *best);
    int rc = 0;
    if (!best)
        return sec_fail(SEC_ENOMEM, "no memory for %d guesses", k);
    largest(logits, vocab, k, best);
    for (int i = 0; i < k; i++) {
        out[i].id = best[i];
        out[i].probability = exp(logits[best[i]] - total);
        SEC_TRY(decoded(tok, &best[i], 1, &out[i].token));
        ids[at] = best[i];
        rc = decoded(tok, ids, n, &out[i].text);
        ids[at] = SEC_TOK_MASK;
        if (rc)
            goto fail;
    }
fail:
    free(best);
    return rc;
}

static int encode(struct sec_infer *m, const char *text, size_t n, uint16_t **ids, size_t *len)
{
    size_t cap = 0;
    struct sec_encoder_ctx *c = sec_encoder_ctx_new(m->tok);
    *ids = NULL;
    *len = 0;
    if (!c)
        return SEC_ENOMEM;
    int rc = sec_encode(c, text, n, SEC_ENCODE_SPECIALS, ids, len, &cap);
    sec_encoder_ctx_free(c);
    if (!rc && *len + 2 > (size_t)m->seq_len)
        rc = sec_fail(SEC_EDATA,
                      "the text has %zu tokens with [CLS] and [SEP], at most %d are taken: shorten "
                      "it, or raise --seq-len if the model allows it",
                      *len + 2, m->seq_len);
    return rc;
}

/* Logits of all masks of ids[0..n): *out is malloc'd [masks, vocab], at[] their positions. */
static int mask_logits(struct sec_infer *m, const uint16_t *ids, size_t n, int32_t *at, int n_masks,
                       float **out)
{
    struct sec_pack pack;
    int rc = sec_infer_pack(m, &pack);
    if (rc)
        return rc;
    memcpy(sec_pack_add(&pack, 0, 0, (uint32_t)n), ids, n * sizeof *ids);
    struct sec_batch b = sec_infer_batch(&pack);
    const size_t vocab = (size_t)sec_tokenizer_vocab_size(m->tok);
    *out = malloc((size_t)n_masks * vocab * sizeof **out);
    if (!*out) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the guesses at %d masks", n_masks);
        goto fail;
    }
    SEC_TRY(sec_model_forward(m->model, &b, false, 0));
    for (int i = 0; i < n_masks; i++) {
        int32_t row = at[i] + 1; /* [CLS] comes first */
        SEC_TRY(sec_model_mlm_logits(m->model, &row, 1, *out + (size_t)i * vocab));
    }
fail:
    sec_pack_free(&pack);
    return rc;
}

int sec_fill_mask(struct sec_infer *m, const char *text, size_t n, int k, struct sec_fills *out)
{
    uint16_t *ids = NULL;
    int32_t *at = NULL;
    float *logits = NULL;
    size_t len;
    const int vocab = sec_tokenizer_vocab_size(m->tok);
    *out = (struct sec_fills){.k = k < vocab ? k : vocab};
    int rc;
    SEC_TRY(encode(m, text, n, &ids, &len));
    at = malloc((len + 1) * sizeof *at);
    if (!at) {
        rc = sec_fail(SEC_ENOMEM, "no memory for a text of %zu tokens", len);
        goto fail;
    }
    for (size_t i = 0; i < len; i++)
        if (ids[i] == SEC_TOK_MASK)
            at[out->n_masks++] = (int32_t)i;
    if (!out->n_masks) {
        rc = sec_fail(SEC_EUSAGE, "no [MASK] in the text: write [MASK] where a token is to be "
                                  "guessed");
        goto fail;
    }
    SEC_TRY(mask_logits(m, ids, len, at, out->n_masks, &logits));
    out->v = calloc((size_t)out->n_masks * (size_t)out->k, sizeof *out->v);
    if (!out->v) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the guesses at %d masks", out->n_masks);
        goto fail;
    }
    for (int i = 0; i < out->n_masks; i++)
        SEC_TRY(fill_one(m->tok, ids, len, (size_t)at[i], logits + (size_t)i * (size_t)vocab,
                         out->k, out->v + (size_t)i * (size_t)out->k));
fail:
    free(ids);
    free(at);
    free(logits);
    if (rc)
        sec_fills_free(out);
    return rc;
}

void sec_fills_free(struct sec_fills *f)
{
    if (f->v)
        for (int i = 0; i < f->n_masks * f->k; i++) {
            free(f->v[i].token);
            free(f->v[i].text);
        }
    free(f->v);
    *f = (struct sec_fills){0};
}
