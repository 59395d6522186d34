#include "eval/embed.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct sec_embedder {
    struct sec_infer *m;
    enum sec_pool pool;
    sec_vector_fn fn;
    void *ctx;
    struct sec_encoder_ctx *encoder;
    struct sec_pack pack;
    bool *last;    /* [sequences of a pack] the text's last window */
    float *hidden; /* [batch_tokens, H] */
    uint16_t *ids;
    size_t ids_cap;
    uint64_t n_texts, n_windowed, n_given;
    /* the text whose windows are being summed */
    double *sum; /* [H] */
    uint64_t tokens;
    float *vector; /* [H] */
};

int sec_embedder_open(struct sec_infer *m, enum sec_pool pool, sec_vector_fn fn, void *ctx,
                      struct sec_embedder **out)
{
    const size_t hidden = (size_t)m->model->config.hidden_size, tokens = (size_t)m->batch_tokens;
    struct sec_embedder *e = calloc(1, sizeof *e);
    int rc;
    if (!e)
        return sec_fail(SEC_ENOMEM, "no memory for embeddings");
    *e = (struct sec_embedder){.m = m, .pool = pool, .fn = fn, .ctx = ctx};
    SEC_TRY(sec_infer_pack(m, &e->pack));
    e->encoder = sec_encoder_ctx_new(m->tok);
    e->last = malloc(tokens * sizeof *e->last);
    e->hidden = malloc(tokens * hidden * sizeof *e->hidden);
    e->sum = calloc(hidden, sizeof *e->sum);
    e->vector = malloc(hidden * sizeof *e->vector);
    if (!e->encoder || !e->last || !e->hidden || !e->sum || !e->vector) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the embeddings of %zu tokens at once", tokens);
        goto fail;
    }
    *out = e;
    return 0;
fail:
    sec_embedder_close(e);
    return rc;
}

void sec_embedder_close(struct sec_embedder *e)
{
    if (!e)
        return;
    if (e->encoder)
        sec_encoder_ctx_free(e->encoder);
    sec_pack_free(&e->pack);
    free(e->last);
    free(e->hidden);
    free(e->ids);
    free(e->sum);
    free(e->vector);
    free(e);
}

uint64_t sec_embedder_texts(const struct sec_embedder *e)
{
    return e->n_texts;
}

uint64_t sec_embedder_windowed(const struct sec_embedder *e)
{
    return e->n_windowed;
}

/* Sums run over one text's tokens in their order, in fp64: the same whatever is packed beside. */
static void add_window(struct sec_embedder *e, const float *rows, int32_t n, size_t width)
{
    for (int32_t t = 0; t < (e->pool == SEC_POOL_MEAN ? n : 1); t++) {
        const double weight = e->pool == SEC_POOL_MEAN ? 1 : n;
        for (size_t i = 0; i < width; i++)
            e->sum[i] += weight * (double)rows[(size_t)t * width + i];
    }
    e->tokens += (uint64_t)n;
}

static int give(struct sec_embedder *e, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        e->vector[i] = (float)(e->sum[i] / (double)e->tokens);
        e->sum[i] = 0;
    }
    uint64_t tokens = e->tokens;
    e->tokens = 0;
    return e->fn(e->ctx, e->n_given++, tokens, e->vector);
}

static int run_pack(struct sec_embedder *e)
{
    const size_t width = (size_t)e->m->model->config.hidden_size;
    struct sec_batch b = sec_infer_batch(&e->pack);
    int rc = 0;
    if (!b.n_seqs)
        return 0;
    SEC_TRY(sec_model_forward(e->m->model, &b, false, 0));
    SEC_TRY(sec_model_hidden_rows(e->m->model, 0, b.n_tokens, e->hidden));
    for (int s = 0; s < b.n_seqs; s++) {
        const int32_t at = b.cu_seqlens[s];
        add_window(e, e->hidden + (size_t)at * width, b.cu_seqlens[s + 1] - at, width);
        if (e->last[s])
            SEC_TRY(give(e, width));
    }
    sec_pack_clear(&e->pack);
fail:
    return rc;
}

int sec_embedder_add(struct sec_embedder *e, const char *text, size_t n)
{
    const size_t window = (size_t)e->m->seq_len - 2;
    size_t len = 0, at = 0;
    int rc;
    SEC_TRY(sec_encode(e->encoder, text, n, 0, &e->ids, &len, &e->ids_cap));
    do {
        size_t part = len - at < window ? len - at : window;
        if (!sec_infer_fits(&e->pack, (uint32_t)part))
            SEC_TRY(run_pack(e));
        uint16_t *ids = sec_pack_add(&e->pack, e->n_texts, 0, (uint32_t)part);
        if (part)
            memcpy(ids, e->ids + at, part * sizeof *ids);
        at += part;
        e->last[e->pack.n_seqs - 1] = at == len;
    } while (at < len);
    e->n_windowed += len > window;
    e->n_texts++;
fail:
    return rc;
}

int sec_embedder_flush(struct sec_embedder *e)
{
    return run_pack(e);
}
