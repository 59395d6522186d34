#include "data/loader.h"

#include "base/error.h"
#include "data/pack.h"
#include "data/tokshard_reader.h"

#include <stdlib.h>
#include <string.h>

struct sec_eval_loader {
    const struct sec_tokens *t;
    struct sec_tokctx *ctx;
    struct sec_masker *masker;
    struct sec_pack pack;
    uint32_t piece_len;
    uint64_t n_docs, doc;
    uint32_t first; /* next token of doc */
};

int sec_eval_loader_open(const struct sec_tokens *t, const struct sec_tokenizer *tok,
                         uint64_t mask_seed, int seq_len, int batch_tokens, uint64_t max_docs,
                         struct sec_eval_loader **out)
{
    const struct sec_mask_options mask = {.seed = mask_seed, .probability = 0.15, .eval = true};
    return sec_eval_loader_open_masks(t, tok, &mask, seq_len, batch_tokens, max_docs, out);
}

int sec_eval_loader_open_masks(const struct sec_tokens *t, const struct sec_tokenizer *tok,
                               const struct sec_mask_options *mask, int seq_len, int batch_tokens,
                               uint64_t max_docs, struct sec_eval_loader **out)
{
    int rc = 0;
    const struct sec_tokens_info *info = sec_tokens_info(t);
    if (seq_len < 3 || seq_len > 65535 || batch_tokens < seq_len)
        return sec_fail(SEC_ECONFIG,
                        "sequence length %d must be 3 to 65535 and fit a batch of %d tokens",
                        seq_len, batch_tokens);
    if (strcmp(sec_tokenizer_fingerprint(tok), info->tokenizer_fingerprint) != 0)
        return sec_fail(SEC_ECONFIG,
                        "%s was made with tokenizer %.12s... (vocabulary %d), this one is "
                        "%.12s... (%d)",
                        info->dir, info->tokenizer_fingerprint, info->vocab_size,
                        sec_tokenizer_fingerprint(tok), sec_tokenizer_vocab_size(tok));
    struct sec_eval_loader *l = calloc(1, sizeof *l);
    if (!l)
        return sec_fail(SEC_ENOMEM, "no memory for a loader");
    l->t = t;
    l->piece_len = (uint32_t)seq_len - 2;
    l->n_docs = max_docs && max_docs < info->n_docs ? max_docs : info->n_docs;
    SEC_TRY(sec_masker_new(tok, mask, &l->masker));
    SEC_TRY(sec_pack_init(&l->pack, batch_tokens));
    l->ctx = sec_tokctx_new();
    if (!l->ctx) {
        rc = SEC_ENOMEM;
        goto fail;
    }
    *out = l;
    return 0;
fail:
    sec_eval_loader_close(l);
    return rc;
}

int sec_eval_loader_next(struct sec_eval_loader *l, const struct sec_batch **batch)
{
    int rc = sec_tokens_intact(l->t);
    if (rc)
        return rc;
    sec_pack_clear(&l->pack);
    while (l->doc < l->n_docs) {
        uint64_t first;
        uint32_t len;
        sec_tokens_doc(l->t, l->doc, &first, &len, NULL, NULL);
        uint32_t n = len - l->first < l->piece_len ? len - l->first : l->piece_len;
        if (!sec_pack_fits(&l->pack, n))
            break;
        /* Positions are the document's: token k has position k + 1 however it is cut. */
        uint16_t *ids = sec_pack_add(&l->pack, l->doc, l->first, n);
        rc = sec_tokens_read_ctx(l->t, l->ctx, first + l->first, n, ids);
        if (rc)
            return rc;
        l->first += n;
        if (l->first == len) {
            l->first = 0;
            l->doc++;
        }
    }
    if (!l->pack.n_seqs)
        return 1;
    sec_pack_mask(&l->pack, l->masker);
    *batch = &l->pack.batch;
    return 0;
}

void sec_eval_loader_close(struct sec_eval_loader *l)
{
    if (!l)
        return;
    sec_pack_free(&l->pack);
    sec_masker_free(l->masker);
    sec_tokctx_free(l->ctx);
    free(l);
}
