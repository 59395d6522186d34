#include "eval/infer.h"

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"
#include "model/open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_heads(const char *path, const struct sec_opened *o, unsigned need)
{
    if (need & ~o->heads & SEC_HEAD_MLM)
        return sec_fail(SEC_ECONFIG,
                        "%s has no masked-language-model head: take a pretrained model, not a bare "
                        "encoder or classifier",
                        path);
    if (need & ~o->heads & SEC_HEAD_CLASSIFY)
        return sec_fail(SEC_ECONFIG, "%s has no classifier: finetune it first", path);
    return 0;
}

static int check_tokenizer(const char *path, const char *where, const struct sec_opened *o,
                           const struct sec_tokenizer *tok)
{
    const char *mine = sec_tokenizer_fingerprint(tok);
    const int vocab = sec_tokenizer_vocab_size(tok);
    if (vocab != o->config.vocab_size)
        return sec_fail(SEC_ECONFIG,
                        "%s has a vocabulary of %lld entries but the tokenizer of %s has %d: use "
                        "the tokenizer and data that the model was trained with",
                        path, (long long)o->config.vocab_size, where, vocab);
    if (o->tokenizer_fingerprint[0] && strcmp(o->tokenizer_fingerprint, mine))
        return sec_fail(SEC_ECONFIG,
                        "%s was trained with tokenizer %.12s but that of %s is %.12s (both of %d "
                        "entries): use the tokenizer and data that the model was trained with",
                        path, o->tokenizer_fingerprint, where, mine, vocab);
    return 0;
}

int sec_model_tokenizer_sha256(const char *path, const char *dir, const char *recorded,
                               char out[65])
{
    struct sec_tokenizer *tok = NULL;
    char *file = sec_path_join(dir, "tokenizer.json");
    *out = 0;
    if (!file)
        return SEC_ENOMEM;
    int rc = sec_exists(file) ? sec_tokenizer_load(dir, &tok) : 0;
    free(file);
    if (rc && rc != SEC_ENOMEM && !*recorded)
        return 0; /* of a kind that secenc does not read */
    if (rc || !tok)
        return rc;
    snprintf(out, 65, "%s", sec_tokenizer_fingerprint(tok));
    sec_tokenizer_free(tok);
    return *recorded && strcmp(recorded, out)
               ? sec_fail(SEC_ECONFIG,
                          "%s was trained with tokenizer %.12s but that of %s is %.12s: put the "
                          "tokenizer.json that the model was trained with there",
                          path, recorded, dir, out)
               : 0;
}

static int choose_lengths(const char *path, const struct sec_opened *o,
                          const struct sec_infer_options *opt, struct sec_infer *m)
{
    const int64_t longest =
        o->config.max_position_embeddings < 65535 ? o->config.max_position_embeddings : 65535;
    int64_t seq_len = opt->seq_len ? opt->seq_len : SEC_INFER_SEQ_LEN;
    int64_t batch = opt->batch_tokens ? opt->batch_tokens : SEC_INFER_BATCH_TOKENS;
    if (!opt->seq_len && seq_len > longest)
        seq_len = longest;
    if (seq_len < 3 || seq_len > longest)
        return sec_fail(SEC_ECONFIG, "%s takes sequences of 3 to %lld tokens, not %lld", path,
                        (long long)longest, (long long)seq_len);
    m->seq_len = (int)seq_len;
    m->batch_tokens = (int)(batch < seq_len ? seq_len : batch);
    return 0;
}

int sec_infer_open(const char *path, const struct sec_infer_options *o, struct sec_infer *out)
{
    struct sec_opened opened;
    *out = (struct sec_infer){0};
    int rc = sec_model_open(path, &opened);
    if (rc)
        return rc;
    out->step = opened.step;
    const char *tokenizer = o->tokenizer ? o->tokenizer : opened.tokenizer_dir;
    SEC_TRY(check_heads(path, &opened, o->heads));
    SEC_TRY(choose_lengths(path, &opened, o, out));
    SEC_TRY(sec_tokenizer_load(tokenizer, &out->tok));
    SEC_TRY(check_tokenizer(path, tokenizer, &opened, out->tok));
    SEC_TRY(sec_backend_open(o->backend, &out->be));
    struct sec_model_options mo = {
        .act = o->act,
        .heads = opened.heads,
        .num_labels = opened.params.num_labels,
        .max_tokens = out->batch_tokens,
        .max_seqs = out->batch_tokens / 3 + 1,
        .max_seqlen = out->seq_len,
        .max_masked = o->heads & SEC_HEAD_MLM ? o->max_masked : 1,
    };
    SEC_TRY(sec_model_create(&opened.config, out->be, &mo, &out->model));
    /* As export does: no distance reads row 0, and its value must not change the hash. */
    sec_params_tie_row0(&opened.params, &opened.config, opened.master);
    sec_sha256_hex(opened.master, (size_t)opened.params.total * sizeof *opened.master,
                   out->model_sha);
    rc = sec_model_load(out->model, opened.master);
fail:
    if (rc)
        sec_infer_close(out);
    sec_opened_free(&opened);
    return rc;
}

void sec_infer_close(struct sec_infer *m)
{
    if (m->model)
        sec_model_free(m->model);
    if (m->be)
        m->be->destroy(m->be);
    if (m->tok)
        sec_tokenizer_free(m->tok);
    *m = (struct sec_infer){0};
}

int sec_infer_pack(const struct sec_infer *m, struct sec_pack *p)
{
    return sec_pack_init(p, m->batch_tokens);
}

bool sec_infer_fits(const struct sec_pack *p, uint32_t len)
{
    /* A pack has room for sequences of three tokens; an empty one has two. */
    return sec_pack_fits(p, len) && p->n_seqs < p->budget / 3;
}

struct sec_batch sec_infer_batch(const struct sec_pack *p)
{
    struct sec_batch b = {.n_tokens = p->n_tokens,
                          .n_seqs = p->n_seqs,
                          .cu_seqlens = p->cu_seqlens,
                          .ids = p->ids,
                          .row_key = p->row_key,
                          .masked_rows = p->rows,
                          .labels = p->labels,
                          .sample_id = p->sample_id};
    for (int s = 0; s < p->n_seqs; s++) {
        int32_t n = p->cu_seqlens[s + 1] - p->cu_seqlens[s];
        b.max_seqlen = n > b.max_seqlen ? n : b.max_seqlen;
    }
    return b;
}

int sec_utf8_append(struct sec_buf *out, const void *p, size_t n)
{
    const uint8_t *bytes = p;
    int rc = 0;
    for (size_t i = 0; i < n && !rc;) {
        uint32_t cp;
        bool ok;
        uint8_t utf8[4];
        i += sec_utf8_decode(bytes + i, n - i, &cp, &ok);
        rc = sec_buf_add(out, utf8, sec_utf8_encode(cp, utf8));
    }
    return rc;
}
