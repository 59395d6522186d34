#include "data/loader.h"

#include "base/error.h"
#include "base/log.h"
#include "data/loader_window.h"
#include "data/pack.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_WINDOWS = 4, MAX_WINDOWS = 1024 };

struct ready {
    struct sec_pack pack;
    struct sec_loader_state state; /* after the step, when this is the step's last micro-batch */
    bool ends_step;
    uint64_t substituted; /* in the whole sequence, up to this micro-batch */
};

/* A damaged window, to be reported once the step that enters it has been handed out. */
struct damage {
    struct damage *next;
    uint64_t step;
    char *text;
};

/* Where the builder stands in the endless sequence of samples. */
struct cursor {
    const struct sec_window *win; /* NULL: take the next one */
    uint32_t i;                   /* next sample of the window */
    uint64_t epoch, next;         /* of that sample; next = its index in the epoch */
    uint64_t substituted;
};

struct sec_loader {
    const struct sec_tokens *t;
    struct sec_loader_options o;
    struct sec_order *order;
    struct sec_masker *masker;
    struct sec_windows *windows;
    struct sec_loader_state state; /* consumer's: after the last step that was handed out */
    uint64_t substituted;
    double wait;

    /* Builder's own. */
    struct cursor cur;
    struct sec_loader_state built_state; /* after the last step that was built */

    pthread_t builder;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t filled, freed;
    struct ready *ring;
    uint64_t built, taken; /* micro-batches published and handed out */
    bool held;             /* the last one taken is still with the consumer */
    bool stop;
    int rc; /* failure after the last published one */
    char *error;
    struct damage *damage, **damage_end;
};

/* ---- the builder's thread ---- */

static bool is_good(const struct sec_window *w, const struct sec_piece *p)
{
    uint32_t first = p->at / SEC_TOK_CHUNK, last = (p->at + p->len - 1) / SEC_TOK_CHUNK;
    for (uint32_t c = first; c <= last; c++)
        if (w->bad >> c & 1)
            return false;
    return true;
}

/* Sample i of the window or, if a chunk of it is damaged, the next good one of the window's order.
 */
static const struct sec_piece *good_from(const struct sec_window *w, uint32_t i)
{
    for (uint32_t k = 0; k < w->n; k++) {
        const struct sec_piece *p = &w->pieces[(i + (uint64_t)k) % w->n];
        if (!w->bad || is_good(w, p))
            return p;
    }
    return NULL;
}

/* Record that the window about to be used is damaged. */
static int report_damage(struct sec_loader *l, const struct sec_window *w)
{
    uint32_t n = 0;
    struct damage *d = calloc(1, sizeof *d);
    for (uint32_t i = 0; i < w->n; i++)
        n += !is_good(w, &w->pieces[i]);
    if (!d ||
        asprintf(&d->text, "epoch %llu: %u of %u samples of chunks %llu to %llu replaced: %s",
                 (unsigned long long)w->epoch, n, w->n, (unsigned long long)w->w * SEC_ORDER_WINDOW,
                 (unsigned long long)(w->w + 1) * SEC_ORDER_WINDOW - 1, w->damage) < 0) {
        free(d);
        return sec_fail(SEC_ENOMEM, "no memory to report a damaged chunk");
    }
    d->step = l->built_state.step;
    pthread_mutex_lock(&l->lock);
    *l->damage_end = d;
    l->damage_end = &d->next;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

/* Returns 1 when the loader is being closed. */
static int next_window(struct sec_loader *l)
{
    struct cursor *c = &l->cur;
    bool first = !c->win;
    int rc = sec_windows_next(l->windows, &c->win);
    if (rc)
        return rc;
    const struct sec_window *w = c->win;
    if (!first)
        c->i = 0;
    if (w->epoch != c->epoch) {
        c->epoch = w->epoch;
        c->next = 0;
    }
    if (!w->bad)
        return 0;
    if (!good_from(w, 0))
        return sec_fail(SEC_EDATA,
                        "%s: all %u samples of chunks %llu to %llu touch damaged chunks, none is "
                        "left to take their place: %s",
                        sec_tokens_info(l->t)->dir, w->n,
                        (unsigned long long)w->w * SEC_ORDER_WINDOW,
                        (unsigned long long)(w->w + 1) * SEC_ORDER_WINDOW - 1, w->damage);
    return report_damage(l, w);
}

static void add_sample(struct sec_loader *l, struct sec_pack *pack, const struct sec_piece *own,
                       const struct sec_piece *from)
{
    const struct cursor *c = &l->cur;
    uint64_t sample = c->epoch * sec_order_total(l->order) + c->next;
    uint32_t len = from->len < own->len ? from->len : own->len;
    memcpy(sec_pack_add(pack, sample, 0, len), c->win->tokens + from->at, len * sizeof(uint16_t));
}

/* One micro-batch of the global sequence: samples in order until one does not fit. pack NULL:
 * another rank's, only counted. */
static int build(struct sec_loader *l, struct sec_pack *pack)
{
    int64_t n_tokens = 0;
    struct cursor *c = &l->cur;
    if (pack)
        sec_pack_clear(pack);
    for (;;) {
        if (!c->win || c->i == c->win->n) {
            int rc = next_window(l);
            if (rc)
                return rc;
        }
        const struct sec_piece *p = &c->win->pieces[c->i];
        n_tokens += p->len + 2;
        if (n_tokens > l->o.batch_tokens)
            break;
        const struct sec_piece *from = c->win->bad ? good_from(c->win, c->i) : p;
        if (pack)
            add_sample(l, pack, p, from);
        c->substituted += from != p;
        c->i++;
        c->next++;
    }
    if (pack)
        sec_pack_mask(pack, l->masker);
    return 0;
}

/* Waits for a free place of the ring; NULL when the loader is being closed. */
static struct ready *free_place(struct sec_loader *l, uint64_t number)
{
    struct ready *r = NULL;
    pthread_mutex_lock(&l->lock);
    while (!l->stop && number - (l->taken - l->held) >= (uint64_t)l->o.ring)
        pthread_cond_wait(&l->freed, &l->lock);
    if (!l->stop)
        r = &l->ring[number % (uint64_t)l->o.ring];
    pthread_mutex_unlock(&l->lock);
    return r;
}

static void publish(struct sec_loader *l, uint64_t built)
{
    pthread_mutex_lock(&l->lock);
    l->built = built;
    pthread_cond_signal(&l->filled);
    pthread_mutex_unlock(&l->lock);
}

/* All micro-batches of one step of all ranks, in order. The last of ours is published once the
 * step's end is known. */
static int build_step(struct sec_loader *l, uint64_t *number)
{
    const int mine = l->o.rank * l->o.micro_batches, total = l->o.world * l->o.micro_batches;
    struct ready *last = NULL;
    for (int k = 0; k < total; k++) {
        struct ready *r = NULL;
        if (k >= mine && k < mine + l->o.micro_batches) {
            r = free_place(l, *number);
            if (!r)
                return 1;
        }
        int rc = build(l, r ? &r->pack : NULL);
        if (rc)
            return rc;
        if (!r)
            continue;
        r->substituted = l->cur.substituted;
        r->ends_step = k == mine + l->o.micro_batches - 1;
        if (r->ends_step)
            last = r;
        else
            publish(l, *number + 1);
        ++*number;
    }
    l->built_state.epoch = l->cur.epoch;
    l->built_state.next = l->cur.next;
    l->built_state.step++;
    last->state = l->built_state;
    last->substituted = l->cur.substituted;
    publish(l, *number);
    return 0;
}

static void *run_builder(void *arg)
{
    struct sec_loader *l = arg;
    uint64_t number = 0;
    int rc;
    do {
        rc = build_step(l, &number);
    } while (!rc);
    pthread_mutex_lock(&l->lock);
    if (rc < 0) {
        l->rc = rc;
        l->error = sec_error_take();
    }
    pthread_cond_signal(&l->filled);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- opening ---- */

static int check_options(const struct sec_loader_options *o)
{
    if (o->seq_len < 3 || o->seq_len > 65535)
        return sec_fail(SEC_ECONFIG, "sequence length %d is not 3 to 65535", o->seq_len);
    if (o->batch_tokens < o->seq_len)
        return sec_fail(
            SEC_ECONFIG,
            "a micro-batch of %d tokens cannot hold a sequence of %d; raise batch_tokens",
            o->batch_tokens, o->seq_len);
    if (o->micro_batches < 1 || o->world < 1 || o->rank < 0 || o->rank >= o->world)
        return sec_fail(SEC_ECONFIG, "micro-batches %d, rank %d of %d are no valid shape",
                        o->micro_batches, o->rank, o->world);
    if (o->ring < 2 || o->threads < 1)
        return sec_fail(SEC_ECONFIG, "a ring of %d batches and %d decode threads: at least 2 and 1",
                        o->ring, o->threads);
    if (o->windows && (o->windows < 2 || o->windows > MAX_WINDOWS))
        return sec_fail(SEC_ECONFIG, "%d windows of decoded tokens: 2 to %d", o->windows,
                        MAX_WINDOWS);
    return 0;
}

static int check_tokenizer(const struct sec_tokens *t, const struct sec_tokenizer *tok)
{
    const struct sec_tokens_info *info = sec_tokens_info(t);
    const char *have = sec_tokenizer_fingerprint(tok);
    if (sec_tokenizer_vocab_size(tok) != info->vocab_size)
        return sec_fail(SEC_ECONFIG, "%s was made with a vocabulary of %d, the tokenizer has %d",
                        info->dir, info->vocab_size, sec_tokenizer_vocab_size(tok));
    if (strcmp(have, info->tokenizer_fingerprint) != 0)
        return sec_fail(SEC_ECONFIG, "%s was made with tokenizer %.12s..., this one is %.12s...",
                        info->dir, info->tokenizer_fingerprint, have);
    return 0;
}

static int check_state(const struct sec_loader *l, const struct sec_loader_state *s)
{
    const struct {
        const char *what;
        uint64_t saved, now;
    } same[] = {
        {"data set fingerprint", s->fingerprint, l->state.fingerprint},
        {"data seed", s->seed, l->state.seed},
        {"sequence length", s->seq_len, l->state.seq_len},
        {"tokens of a micro-batch", s->batch_tokens, l->state.batch_tokens},
        {"fingerprint of the mask options (data.mlm_probability, shares, whole_field, ngram_max, "
         "seed)",
         s->masks ? s->masks : l->state.masks, l->state.masks},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (same[i].saved != same[i].now)
            return sec_fail(
                SEC_ECONFIG, "cannot resume: %s was %llu (0x%llx), now it is %llu (0x%llx)",
                same[i].what, (unsigned long long)same[i].saved, (unsigned long long)same[i].saved,
                (unsigned long long)same[i].now, (unsigned long long)same[i].now);
    if (s->next > sec_order_total(l->order))
        return sec_fail(SEC_EDATA, "cannot resume: sample %llu of an epoch of %llu",
                        (unsigned long long)s->next, (unsigned long long)sec_order_total(l->order));
    return 0;
}

/* The state of a new run, or the saved one; then the windows from there on. */
static int start_at(struct sec_loader *l, const struct sec_loader_state *saved)
{
    int rc = 0;
    uint64_t rank;
    l->state = (struct sec_loader_state){.fingerprint = sec_tokens_info(l->t)->fingerprint,
                                         .seed = l->o.seed,
                                         .seq_len = (uint64_t)l->o.seq_len,
                                         .batch_tokens = (uint64_t)l->o.batch_tokens,
                                         .masks = sec_mask_fingerprint(&l->o.mask)};
    if (saved) {
        SEC_TRY(check_state(l, saved));
        l->state.epoch = saved->epoch;
        l->state.next = saved->next;
        l->state.step = saved->step;
    }
    l->built_state = l->state;
    l->cur.epoch = l->state.epoch;
    l->cur.next = l->state.next;
    if (l->cur.next == sec_order_total(l->order)) {
        l->cur.epoch++;
        l->cur.next = 0;
    }
    sec_order_find(l->order, l->cur.epoch, l->cur.next, &rank, &l->cur.i);
    SEC_TRY(sec_windows_open(l->t, l->order, l->o.windows ? l->o.windows : DEFAULT_WINDOWS,
                             l->o.threads, l->o.substitute, l->cur.epoch, rank, &l->windows));
fail:
    return rc;
}

int sec_loader_open(const struct sec_tokens *t, const struct sec_tokenizer *tok,
                    const struct sec_loader_options *o, const struct sec_loader_state *state,
                    struct sec_loader **out)
{
    int rc = check_options(o);
    if (!rc)
        rc = check_tokenizer(t, tok);
    if (rc)
        return rc;
    struct sec_loader *l = calloc(1, sizeof *l);
    if (!l)
        return sec_fail(SEC_ENOMEM, "no memory for a loader");
    l->t = t;
    l->o = *o;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->filled, NULL);
    pthread_cond_init(&l->freed, NULL);
    l->damage_end = &l->damage;
    SEC_TRY(sec_masker_new(tok, &o->mask, &l->masker));
    SEC_TRY(sec_order_new(t, o->seed, o->seq_len, &l->order));
    l->ring = calloc((size_t)o->ring, sizeof *l->ring);
    if (!l->ring) {
        rc = sec_fail(SEC_ENOMEM, "no memory for a ring of %d batches", o->ring);
        goto fail;
    }
    for (int i = 0; i < o->ring; i++)
        SEC_TRY(sec_pack_init(&l->ring[i].pack, o->batch_tokens));
    SEC_TRY(start_at(l, state));
    int err = pthread_create(&l->builder, NULL, run_builder, l);
    if (err) {
        rc = sec_fail_errno(err, "cannot start the loader's thread");
        goto fail;
    }
    l->started = true;
    *out = l;
    return 0;
fail:
    sec_loader_close(l);
    return rc;
}

/* ---- the consumer's side ---- */

int sec_loader_next(struct sec_loader *l, const struct sec_batch **batch)
{
    int rc = 0;
    pthread_mutex_lock(&l->lock);
    if (l->held) {
        l->held = false;
        pthread_cond_signal(&l->freed);
    }
    if (l->built == l->taken && !l->rc) {
        double start = sec_now();
        while (l->built == l->taken && !l->rc)
            pthread_cond_wait(&l->filled, &l->lock);
        l->wait += sec_now() - start;
    }
    if (l->built == l->taken) {
        rc = l->rc; /* every later call gives the same failure */
        char *copy = l->error ? strdup(l->error) : NULL;
        rc = copy ? sec_error_put(rc, copy) : sec_fail(rc, "the loader has failed");
    } else {
        struct ready *r = &l->ring[l->taken++ % (uint64_t)l->o.ring];
        l->held = true;
        *batch = &r->pack.batch;
        l->substituted = r->substituted;
        if (r->ends_step)
            l->state = r->state;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

void sec_loader_state(const struct sec_loader *l, struct sec_loader_state *out)
{
    *out = l->state;
}

double sec_loader_wait_seconds(const struct sec_loader *l)
{
    return l->wait;
}

uint64_t sec_loader_substituted(const struct sec_loader *l)
{
    return l->substituted;
}

bool sec_loader_damage(struct sec_loader *l, uint64_t *step, char **text)
{
    pthread_mutex_lock(&l->lock);
    struct damage *d = l->damage;
    if (d && d->step < l->state.step) {
        l->damage = d->next;
        if (!l->damage)
            l->damage_end = &l->damage;
    } else {
        d = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    if (!d)
        return false;
    *step = d->step;
    *text = d->text;
    free(d);
    return true;
}

void sec_loader_close(struct sec_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->freed);
    pthread_mutex_unlock(&l->lock);
    if (l->windows)
        sec_windows_stop(l->windows);
    if (l->started)
        pthread_join(l->builder, NULL);
    sec_windows_close(l->windows);
    for (int i = 0; l->ring && i < l->o.ring; i++)
        sec_pack_free(&l->ring[i].pack);
    free(l->ring);
    free(l->error);
    for (struct damage *d = l->damage, *next; d; d = next) {
        next = d->next;
        free(d->text);
        free(d);
    }
    sec_order_free(l->order);
    sec_masker_free(l->masker);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->filled);
    pthread_cond_destroy(&l->freed);
    free(l);
}

/* ---- the order, for tests and `inspect` ---- */

uint64_t sec_order_samples(const struct sec_loader *l)
{
    return sec_order_total(l->order);
}

int sec_order_sample(const struct sec_loader *l, uint64_t epoch, uint64_t i, uint64_t *first_token,
                     uint32_t *len, uint64_t *doc)
{
    uint64_t rank, first;
    uint32_t index;
    struct sec_perm windows, samples;
    if (i >= sec_order_total(l->order))
        return sec_fail(SEC_EUSAGE, "sample %llu of an epoch of %llu", (unsigned long long)i,
                        (unsigned long long)sec_order_total(l->order));
    sec_order_find(l->order, epoch, i, &rank, &index);
    sec_order_epoch(l->order, epoch, &windows);
    uint64_t w = sec_perm_at(&windows, rank);
    sec_order_within(l->order, epoch, w, &samples);
    struct sec_piece *pieces = malloc(sec_order_window_size(l->order, w) * sizeof *pieces);
    if (!pieces)
        return sec_fail(SEC_ENOMEM, "no memory for the samples of one window");
    int rc = sec_order_pieces(l->order, w, pieces);
    if (rc) {
        free(pieces);
        return rc;
    }
    const struct sec_piece p = pieces[sec_perm_at(&samples, index)];
    free(pieces);
    sec_tokens_doc(l->t, p.doc, &first, NULL, NULL, NULL);
    *first_token = first + p.first;
    *len = p.len;
    *doc = p.doc;
    return 0;
}
