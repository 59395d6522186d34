/* The plan of a split: which documents make which token shard, from the lengths alone. */
#include "base/error.h"
#include "data/sealed.h"
#include "data/tokshard_spool.h"
#include "data/tokshard_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sec_tokwork_name(const struct sec_tokwork *w, const char *kind, size_t number,
                             char buf[SEC_TOKWORK_NAME])
{
    snprintf(buf, SEC_TOKWORK_NAME, "%s/%s-%s-%06zu", w->work, sec_split_names[w->split], kind,
             number);
    return buf;
}

/* Sealed as: this, counts of the sources, factors, natural shares, cuts. */
struct plan_head {
    uint64_t n_cuts;
    struct sec_tok_count total;
};

static int add_cut(struct sec_tokwork *w, size_t *cap, struct sec_tok_cut cut)
{
    if (w->n_cuts == *cap) {
        size_t bigger = *cap ? 2 * *cap : 64;
        void *grown = realloc(w->cuts, bigger * sizeof *w->cuts);
        if (!grown)
            return sec_fail(SEC_ENOMEM, "no memory for a plan of %zu shards", bigger);
        w->cuts = grown;
        *cap = bigger;
    }
    w->cuts[w->n_cuts++] = cut;
    return 0;
}

/* The rule of the token shard writer: a document that would pass tokens_per_shard starts the next
 * shard. */
static int cut_shards(struct sec_tokwork *w, struct sec_tok_count *total)
{
    int rc = 0;
    size_t cap = 0;
    uint64_t tokens = 0;
    char name[SEC_TOKWORK_NAME];
    struct sec_buf b = {0};
    w->n_cuts = 0;
    for (uint64_t k = 0; k < w->n_buckets[w->split]; k++) {
        SEC_TRY(sec_sealed_read(sec_tokwork_name(w, "lengths", k, name), &b));
        const struct sec_spool_length *v = (const void *)b.data;
        for (size_t i = 0; i < b.len / sizeof *v; i++) {
            struct sec_tok_count *s = &w->m.sources[v[i].source].split[w->split];
            if (!w->n_cuts || tokens + v[i].n > w->o.tokens_per_shard) {
                SEC_TRY(add_cut(w, &cap, (struct sec_tok_cut){k, i, 0}));
                tokens = 0;
            }
            w->cuts[w->n_cuts - 1].docs++;
            tokens += v[i].n;
            s->docs++;
            s->tokens += v[i].n;
            s->bytes += v[i].bytes;
            total->docs++;
            total->tokens += v[i].n;
            total->bytes += v[i].bytes;
        }
    }
fail:
    sec_buf_free(&b);
    return rc;
}

int sec_tokplan_make(struct sec_tokwork *w, struct sec_buf *out)
{
    int rc;
    struct plan_head head = {0};
    char name[SEC_TOKWORK_NAME];
    SEC_TRY(cut_shards(w, &head.total));
    head.n_cuts = w->n_cuts;
    sec_buf_clear(out);
    SEC_TRY(sec_buf_add(out, &head, sizeof head));
    for (size_t i = 0; i < w->m.n_sources; i++) {
        struct sec_tok_source *s = &w->m.sources[i];
        SEC_TRY(sec_buf_add(out, &s->split[w->split], sizeof s->split[0]));
        SEC_TRY(sec_buf_add(out, &w->factors[i], sizeof w->factors[i]));
        SEC_TRY(sec_buf_add(out, &s->natural_share, sizeof s->natural_share));
    }
    if (w->n_cuts)
        SEC_TRY(sec_buf_add(out, w->cuts, w->n_cuts * sizeof *w->cuts));
    rc = sec_sealed_write(sec_tokwork_name(w, "plan", 0, name), out->data, out->len);
fail:
    return rc;
}

static void take(const struct sec_buf *b, size_t *at, void *p, size_t n)
{
    memcpy(p, b->data + *at, n);
    *at += n;
}

int sec_tokplan_cuts(struct sec_tokwork *w, const struct sec_buf *b)
{
    struct plan_head head = {0};
    size_t per_source = sizeof(struct sec_tok_count) + 2 * sizeof(double);
    memcpy(&head, b->data, b->len < sizeof head ? b->len : sizeof head);
    w->n_cuts = (size_t)head.n_cuts;
    if (b->len == sizeof head + w->m.n_sources * per_source + w->n_cuts * sizeof *w->cuts)
        return 0;
    return sec_fail(SEC_EDATA, "%s: a plan of %zu bytes; remove the folder", w->work, b->len);
}

int sec_tokplan_use(struct sec_tokwork *w, const struct sec_buf *b)
{
    struct plan_head head;
    size_t at = sizeof head;
    int rc = sec_tokplan_cuts(w, b);
    if (rc)
        return rc;
    memcpy(&head, b->data, sizeof head);
    w->m.total[w->split] = head.total;
    for (size_t i = 0; i < w->m.n_sources; i++) {
        struct sec_tok_source *s = &w->m.sources[i];
        double factor, natural;
        take(b, &at, &s->split[w->split], sizeof s->split[0]);
        take(b, &at, &factor, sizeof factor);
        take(b, &at, &natural, sizeof natural);
        if (w->split == SEC_SPLIT_TRAIN) {
            s->factor = factor;
            s->natural_share = natural;
        }
    }
    free(w->cuts);
    w->cuts = malloc((w->n_cuts + 1) * sizeof *w->cuts);
    if (!w->cuts)
        return sec_fail(SEC_ENOMEM, "no memory for a plan of %zu shards", w->n_cuts);
    take(b, &at, w->cuts, w->n_cuts * sizeof *w->cuts);
    return 0;
}
