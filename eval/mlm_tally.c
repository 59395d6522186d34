#include "eval/mlm_tally.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int reserve(struct sec_tally_ctx *c, int n)
{
    if (n <= c->cap)
        return 0;
    sec_tally_free(c);
    c->orig = malloc((size_t)n * sizeof *c->orig);
    c->from = malloc(((size_t)n + 1) * sizeof *c->from);
    c->at = malloc((size_t)n * sizeof *c->at);
    c->guess = malloc((size_t)n * sizeof *c->guess);
    c->field = malloc((size_t)n * sizeof *c->field);
    if (!c->orig || !c->from || !c->at || !c->guess || !c->field)
        return sec_fail(SEC_ENOMEM, "no memory to count a sequence of %d tokens", n);
    c->cap = n;
    return 0;
}

void sec_tally_free(struct sec_tally_ctx *c)
{
    free(c->orig);
    free(c->from);
    free(c->at);
    free(c->guess);
    free(c->field);
    c->orig = NULL;
    c->from = NULL;
    c->at = c->guess = NULL;
    c->field = NULL;
    c->cap = 0;
    sec_buf_free(&c->text);
    sec_buf_free(&c->line);
}

void sec_tally_restart(struct sec_tally_ctx *c)
{
    c->doc = 0;
    c->next = 0;
}

static int join_text(struct sec_tally_ctx *c, int n)
{
    int rc = 0;
    sec_buf_clear(&c->text);
    for (int i = 0; i < n && !rc; i++) {
        size_t len;
        const uint8_t *p = sec_tokenizer_bytes(c->tok, c->orig[i], &len);
        c->from[i] = (uint32_t)c->text.len;
        rc = sec_buf_add(&c->text, p, len);
    }
    c->from[n] = (uint32_t)c->text.len;
    return rc;
}

/* The class of the field that holds the token's first byte that is no border. */
static enum sec_field_class field_of(const struct sec_tally_ctx *c, int token)
{
    const char *text = c->text.data;
    size_t begin = c->from[token], end = c->from[token + 1];
    while (begin < end && sec_field_border((unsigned char)text[begin]))
        begin++;
    if (begin == end)
        return SEC_FIELD_OTHER;
    end = begin + 1;
    while (begin && !sec_field_border((unsigned char)text[begin - 1]))
        begin--;
    while (end < c->text.len && !sec_field_border((unsigned char)text[end]))
        end++;
    return sec_field_classify(text + begin, end - begin);
}

static int length_bucket(int len)
{
    int bucket = 0;
    while (bucket < SEC_N_LENGTHS - 1 && len > SEC_SHORTEST_BUCKET << bucket)
        bucket++;
    return bucket;
}

static void add(struct sec_tally *into, const struct sec_tally *v)
{
    into->n += v->n;
    into->loss += v->loss;
    into->top1 += v->top1;
    into->top5 += v->top5;
    into->bytes += v->bytes;
    into->unigram_loss += v->unigram_loss;
    into->unigram_top1 += v->unigram_top1;
    into->copy_top1 += v->copy_top1;
}

static int put_numbers(struct sec_buf *b, const char *key, const int32_t *v, int n)
{
    int rc = sec_buf_printf(b, ",\"%s\":[", key);
    for (int i = 0; i < n && !rc; i++)
        rc = sec_buf_printf(b, "%s%d", i ? "," : "", v[i]);
    return rc ? rc : sec_buf_addc(b, ']');
}

/* One line of the dump: the sequence, and its masked positions as indices into the document. */
static int dump(struct sec_tally_ctx *c, uint64_t doc, int n, int n_masked, const uint16_t *labels,
                const float *loss, const int32_t *rank)
{
    struct sec_buf *b = &c->line;
    int rc;
    sec_buf_clear(b);
    SEC_TRY(sec_buf_printf(b,
                           "{\"split\":\"%s\",\"seed\":%" PRIu64 ",\"doc\":%" PRIu64
                           ",\"first\":%u,\"tokens\":%d,\"pos\":[",
                           c->split, c->seed, doc, c->next, n));
    for (int i = 0; i < n_masked; i++)
        SEC_TRY(sec_buf_printf(b, "%s%u", i ? "," : "", c->next + (uint32_t)c->at[i]));
    SEC_TRY(sec_buf_adds(b, "],\"label\":["));
    for (int i = 0; i < n_masked; i++)
        SEC_TRY(sec_buf_printf(b, "%s%u", i ? "," : "", labels[i]));
    SEC_TRY(sec_buf_adds(b, "],\"loss\":["));
    for (int i = 0; i < n_masked; i++)
        SEC_TRY(sec_buf_printf(b, "%s%.9g", i ? "," : "", (double)loss[i]));
    SEC_TRY(sec_buf_addc(b, ']'));
    SEC_TRY(put_numbers(b, "rank", rank, n_masked));
    SEC_TRY(put_numbers(b, "copy", c->guess, n_masked));
    SEC_TRY(sec_buf_adds(b, ",\"class\":["));
    for (int i = 0; i < n_masked; i++)
        SEC_TRY(sec_buf_printf(b, "%s\"%s\"", i ? "," : "", sec_field_names[c->field[i]]));
    SEC_TRY(sec_buf_adds(b, "]}\n"));
    rc = sec_atomic_write(c->dump, b->data, b->len);
fail:
    return rc;
}

static void count(struct sec_tally_ctx *c, uint64_t doc, int n, int n_masked,
                  const uint16_t *labels, const float *loss, const int32_t *rank)
{
    const struct sec_unigram *u = c->unigram;
    struct sec_mlm_seed *s = c->into;
    for (int i = 0; i < n_masked; i++) {
        const uint16_t id = labels[i];
        const int32_t copied = c->guess[i] >= 0 ? c->guess[i] : u->best;
        const struct sec_tally v = {.n = 1,
                                    .loss = loss[i],
                                    .top1 = rank[i] == 0,
                                    .top5 = rank[i] < 5,
                                    .bytes = c->from[c->at[i] + 1] - c->from[c->at[i]],
                                    .unigram_loss = u->loss[id],
                                    .unigram_top1 = id == u->best,
                                    .copy_top1 = id == copied};
        c->field[i] = field_of(c, c->at[i]);
        add(&s->total, &v);
        add(&s->doc[doc], &v);
        add(&s->field[c->field[i]], &v);
        add(&s->decile[u->decile[id]], &v);
        add(&s->length[length_bucket(n + 2)], &v);
    }
}

/* One sequence: n tokens between [CLS] and [SEP] at ids. */
static int sequence(struct sec_tally_ctx *c, uint64_t doc, const uint16_t *ids, int n,
                    const int32_t *rows, int32_t row0, int n_masked, const uint16_t *labels,
                    const float *loss, const int32_t *rank)
{
    int rc;
    if (doc != c->doc)
        c->next = 0;
    c->doc = doc;
    SEC_TRY(reserve(c, n));
    memcpy(c->orig, ids, (size_t)n * sizeof *ids);
    for (int i = 0; i < n_masked; i++) {
        c->at[i] = rows[i] - row0;
        c->orig[c->at[i]] = labels[i];
    }
    SEC_TRY(join_text(c, n));
    SEC_TRY(sec_copy_guess(c->copy, ids, n, c->at, n_masked, c->guess));
    count(c, doc, n, n_masked, labels, loss, rank);
    if (c->dump)
        SEC_TRY(dump(c, doc, n, n_masked, labels, loss, rank));
    c->next += (uint32_t)n;
fail:
    return rc;
}

int sec_tally_batch(void *ctx, const struct sec_batch *b, const float *loss, const int32_t *rank)
{
    int rc = 0, first = 0;
    for (int s = 0; s < b->n_seqs && !rc; s++) {
        const int32_t start = b->cu_seqlens[s], end = b->cu_seqlens[s + 1];
        int last = first;
        while (last < b->n_masked && b->masked_rows[last] < end)
            last++;
        rc = sequence(ctx, b->sample_id[s], b->ids + start + 1, end - start - 2,
                      b->masked_rows + first, start + 1, last - first, b->labels + first,
                      loss + first, rank + first);
        first = last;
    }
    return rc;
}
