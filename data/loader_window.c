#include "data/loader_window.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/tokshard_reader.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { TRIES = 3 };

struct slot {
    struct sec_window win;
    struct sec_piece *pieces;
    uint16_t *tokens;
    bool prepared; /* its samples and chunks are known */
    uint32_t chunks, claimed, done;
    uint32_t failed_chunk; /* the first one, with its failure */
    int rc;
    char *error;
};

struct sec_windows {
    const struct sec_tokens *t;
    const struct sec_order *order;
    bool substitute;
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    bool stop, in_use;
    uint64_t started, taken; /* windows begun, and given to the consumer */
    struct slot *slots;
    uint64_t n_slots;
    uint64_t epoch, rank; /* of the next window to begin */
    struct sec_perm perm;
    int n_threads;
    struct worker {
        struct sec_windows *ws;
        struct sec_tokctx *ctx;
        struct sec_piece *stream_order; /* scratch of prepare() */
        pthread_t thread;
    } * workers;
};

/* Take the slot of the next window that has samples; the lock is held. */
static struct slot *begin_window(struct sec_windows *ws)
{
    struct slot *s = &ws->slots[ws->started++ % ws->n_slots];
    uint64_t w;
    do {
        if (ws->rank == sec_order_windows(ws->order)) {
            ws->rank = 0;
            sec_order_epoch(ws->order, ++ws->epoch, &ws->perm);
        }
        w = sec_perm_at(&ws->perm, ws->rank++);
    } while (!sec_order_window_size(ws->order, w));
    s->win = (struct sec_window){.epoch = ws->epoch,
                                 .rank = ws->rank - 1,
                                 .w = w,
                                 .n = sec_order_window_size(ws->order, w),
                                 .pieces = s->pieces,
                                 .tokens = s->tokens};
    s->prepared = false;
    s->chunks = s->claimed = s->done = 0;
    s->rc = 0;
    free(s->error);
    s->error = NULL;
    return s;
}

/* The window's samples in the epoch's order. Reads the shards' tables, so the lock is not held. */
static int prepare(struct sec_windows *ws, struct worker *me, struct slot *s)
{
    struct sec_perm samples;
    int rc = sec_order_pieces(ws->order, s->win.w, me->stream_order);
    if (rc)
        return rc;
    sec_order_within(ws->order, s->win.epoch, s->win.w, &samples);
    for (uint32_t i = 0; i < s->win.n; i++)
        s->pieces[i] = me->stream_order[sec_perm_at(&samples, i)];
    return 0;
}

/* As prepare(); the lock is held on both sides of it. */
static void prepare_unlocked(struct sec_windows *ws, struct worker *me, struct slot *s)
{
    pthread_mutex_unlock(&ws->lock);
    int rc = prepare(ws, me, s);
    pthread_mutex_lock(&ws->lock);
    s->prepared = true;
    if (!rc) {
        s->chunks = sec_order_chunks(ws->order, s->win.w);
    } else {
        s->rc = rc;
        s->error = sec_error_take();
        pthread_cond_broadcast(&ws->ready);
    }
    pthread_cond_broadcast(&ws->work); /* its chunks are work for all */
}

static uint64_t oldest(const struct sec_windows *ws)
{
    return ws->taken - ws->in_use;
}

/* The oldest window with a chunk nobody has taken, or NULL; the lock is held. */
static struct slot *find_chunk(struct sec_windows *ws)
{
    for (uint64_t i = oldest(ws); i < ws->started; i++)
        if (ws->slots[i % ws->n_slots].claimed < ws->slots[i % ws->n_slots].chunks)
            return &ws->slots[i % ws->n_slots];
    return NULL;
}

static int read_chunk(struct sec_windows *ws, struct sec_tokctx *ctx, struct slot *s, uint32_t c)
{
    int rc = 0;
    uint32_t n;
    for (int i = 0; i < TRIES; i++) {
        rc = sec_tokens_chunk_ctx(ws->t, ctx, s->win.w * SEC_ORDER_WINDOW + c,
                                  s->tokens + (size_t)c * SEC_TOK_CHUNK, &n);
        if (!rc)
            return 0;
    }
    if (ws->substitute)
        sec_warn("%s; its samples are replaced", sec_error());
    return rc;
}

/* Record the result of a chunk; the lock is held. Of several failures the first chunk's counts. */
static void finish_chunk(struct sec_windows *ws, struct slot *s, uint32_t c, int rc)
{
    s->done++;
    if (rc && (!s->error || c < s->failed_chunk)) {
        free(s->error);
        s->error = sec_error_take();
        s->failed_chunk = c;
    }
    if (rc && ws->substitute) {
        s->win.bad |= 1u << c;
        s->win.damage = s->error;
    } else if (rc) {
        s->rc = rc;
    }
    if (s->done == s->chunks)
        pthread_cond_broadcast(&ws->ready);
}

static void *run_worker(void *arg)
{
    struct worker *me = arg;
    struct sec_windows *ws = me->ws;
    pthread_mutex_lock(&ws->lock);
    while (!ws->stop) {
        struct slot *s = find_chunk(ws);
        if (s) {
            uint32_t c = s->claimed++;
            pthread_mutex_unlock(&ws->lock);
            int rc = read_chunk(ws, me->ctx, s, c);
            pthread_mutex_lock(&ws->lock);
            finish_chunk(ws, s, c, rc);
        } else if (ws->started - oldest(ws) < ws->n_slots) {
            prepare_unlocked(ws, me, begin_window(ws));
        } else {
            pthread_cond_wait(&ws->work, &ws->lock);
        }
    }
    pthread_mutex_unlock(&ws->lock);
    return NULL;
}

int sec_windows_next(struct sec_windows *ws, const struct sec_window **out)
{
    int rc = 0;
    pthread_mutex_lock(&ws->lock);
    if (ws->in_use) {
        ws->in_use = false;
        pthread_cond_broadcast(&ws->work);
    }
    struct slot *s = &ws->slots[ws->taken % ws->n_slots];
    while (!ws->stop && (ws->started == ws->taken || !s->prepared || s->done < s->chunks))
        pthread_cond_wait(&ws->ready, &ws->lock);
    if (ws->stop) {
        rc = 1;
    } else if (s->rc) {
        rc = sec_error_put(s->rc, s->error);
        s->error = NULL;
    } else {
        ws->taken++;
        ws->in_use = true;
        *out = &s->win;
    }
    pthread_mutex_unlock(&ws->lock);
    return rc;
}

void sec_windows_stop(struct sec_windows *ws)
{
    pthread_mutex_lock(&ws->lock);
    ws->stop = true;
    pthread_cond_broadcast(&ws->work);
    pthread_cond_broadcast(&ws->ready);
    pthread_mutex_unlock(&ws->lock);
}

static int start_workers(struct sec_windows *ws, int threads)
{
    ws->workers = calloc((size_t)threads, sizeof *ws->workers);
    if (!ws->workers)
        return sec_fail(SEC_ENOMEM, "no memory for %d decode threads", threads);
    for (int i = 0; i < threads; i++) {
        struct worker *me = &ws->workers[i];
        me->ws = ws;
        me->ctx = sec_tokctx_new();
        me->stream_order = calloc(sec_order_largest(ws->order), sizeof *me->stream_order);
        int err = me->ctx && me->stream_order ? pthread_create(&me->thread, NULL, run_worker, me)
                                              : ENOMEM;
        if (err) {
            sec_tokctx_free(me->ctx);
            free(me->stream_order);
            return sec_fail_errno(err, "cannot start decode thread %d of %d", i + 1, threads);
        }
        ws->n_threads++;
    }
    return 0;
}

int sec_windows_open(const struct sec_tokens *t, const struct sec_order *o, int slots, int threads,
                     bool substitute, uint64_t epoch, uint64_t rank, struct sec_windows **out)
{
    int rc = 0;
    if (sec_order_span(o) > 32)
        return sec_fail(SEC_ECONFIG, "sequences reach over %u chunks of tokens, at most %u fit",
                        sec_order_span(o), 32 - SEC_ORDER_WINDOW);
    struct sec_windows *ws = calloc(1, sizeof *ws);
    if (!ws)
        return sec_fail(SEC_ENOMEM, "no memory for the loader's windows");
    ws->t = t;
    ws->order = o;
    ws->substitute = substitute;
    ws->epoch = epoch;
    ws->rank = rank;
    sec_order_epoch(o, epoch, &ws->perm);
    pthread_mutex_init(&ws->lock, NULL);
    pthread_cond_init(&ws->work, NULL);
    pthread_cond_init(&ws->ready, NULL);
    ws->slots = calloc((size_t)slots, sizeof *ws->slots);
    if (!ws->slots) {
        rc = sec_fail(SEC_ENOMEM, "no memory for %d windows", slots);
        goto fail;
    }
    for (; ws->n_slots < (uint64_t)slots; ws->n_slots++) {
        struct slot *s = &ws->slots[ws->n_slots];
        s->pieces = calloc(sec_order_largest(o), sizeof *s->pieces);
        s->tokens = sec_alloc_aligned((size_t)sec_order_span(o) * SEC_TOK_CHUNK * sizeof(uint16_t));
        if (!s->pieces || !s->tokens) {
            free(s->pieces);
            sec_free_aligned(s->tokens);
            rc = sec_fail(SEC_ENOMEM, "no memory for %d windows of %u samples", slots,
                          sec_order_largest(o));
            goto fail;
        }
    }
    SEC_TRY(start_workers(ws, threads));
    *out = ws;
    return 0;
fail:
    sec_windows_close(ws);
    return rc;
}

void sec_windows_close(struct sec_windows *ws)
{
    if (!ws)
        return;
    sec_windows_stop(ws);
    for (int i = 0; i < ws->n_threads; i++) {
        pthread_join(ws->workers[i].thread, NULL);
        sec_tokctx_free(ws->workers[i].ctx);
        free(ws->workers[i].stream_order);
    }
    free(ws->workers);
    for (uint64_t i = 0; i < ws->n_slots; i++) {
        free(ws->slots[i].pieces);
        free(ws->slots[i].error);
        sec_free_aligned(ws->slots[i].tokens);
    }
    free(ws->slots);
    pthread_mutex_destroy(&ws->lock);
    pthread_cond_destroy(&ws->work);
    pthread_cond_destroy(&ws->ready);
    free(ws);
}
