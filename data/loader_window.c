#include "data/loader_window.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/tokshard_reader.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    SLOTS = 3, /* one in use, two ahead */
    TRIES = 3
};

struct slot {
    struct sec_window win;
    struct sec_piece *pieces;
    uint16_t *tokens;
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
    struct slot slots[SLOTS];
    uint64_t epoch, rank; /* of the next window to begin */
    struct sec_perm perm;
    struct sec_piece *stream_order; /* scratch of begin_window() */
    int n_threads;
    struct worker {
        struct sec_windows *ws;
        struct sec_tokctx *ctx;
        pthread_t thread;
    } * workers;
};

/* Prepare the next window that has samples; the lock is held. */
static void begin_window(struct sec_windows *ws)
{
    struct slot *s = &ws->slots[ws->started % SLOTS];
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
    struct sec_perm samples;
    sec_order_within(ws->order, ws->epoch, w, &samples);
    s->chunks = sec_order_pieces(ws->order, w, ws->stream_order);
    for (uint32_t i = 0; i < s->win.n; i++)
        s->pieces[i] = ws->stream_order[sec_perm_at(&samples, i)];
    s->claimed = s->done = 0;
    s->rc = 0;
    free(s->error);
    s->error = NULL;
    ws->started++;
    pthread_cond_broadcast(&ws->work); /* its chunks are work for all */
}

/* The oldest window with a chunk nobody has taken; begins one when a slot is free. NULL = wait. */
static struct slot *find_work(struct sec_windows *ws)
{
    uint64_t oldest = ws->taken - ws->in_use;
    for (uint64_t i = oldest; i < ws->started; i++)
        if (ws->slots[i % SLOTS].claimed < ws->slots[i % SLOTS].chunks)
            return &ws->slots[i % SLOTS];
    if (ws->started - oldest == SLOTS)
        return NULL;
    begin_window(ws);
    return &ws->slots[(ws->started - 1) % SLOTS];
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
    if (rc && ws->substitute)
        s->win.bad |= 1u << c;
    else if (rc && (!s->rc || c < s->failed_chunk)) {
        free(s->error);
        s->error = sec_error_take();
        s->failed_chunk = c;
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
        struct slot *s = find_work(ws);
        if (!s) {
            pthread_cond_wait(&ws->work, &ws->lock);
            continue;
        }
        uint32_t c = s->claimed++;
        pthread_mutex_unlock(&ws->lock);
        int rc = read_chunk(ws, me->ctx, s, c);
        pthread_mutex_lock(&ws->lock);
        finish_chunk(ws, s, c, rc);
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
    struct slot *s = &ws->slots[ws->taken % SLOTS];
    while (!ws->stop && (ws->started == ws->taken || s->done < s->chunks))
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
        if (!me->ctx)
            return SEC_ENOMEM;
        int err = pthread_create(&me->thread, NULL, run_worker, me);
        if (err) {
            sec_tokctx_free(me->ctx);
            return sec_fail_errno(err, "cannot start decode thread %d of %d", i + 1, threads);
        }
        ws->n_threads++;
    }
    return 0;
}

int sec_windows_open(const struct sec_tokens *t, const struct sec_order *o, int threads,
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
    ws->stream_order = calloc(sec_order_largest(o), sizeof *ws->stream_order);
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &ws->slots[i];
        s->pieces = calloc(sec_order_largest(o), sizeof *s->pieces);
        s->tokens = sec_alloc_aligned((size_t)sec_order_span(o) * SEC_TOK_CHUNK * sizeof(uint16_t));
        if (!ws->stream_order || !s->pieces || !s->tokens) {
            rc = sec_fail(SEC_ENOMEM, "no memory for windows of %u samples", sec_order_largest(o));
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
    }
    free(ws->workers);
    free(ws->stream_order);
    for (int i = 0; i < SLOTS; i++) {
        free(ws->slots[i].pieces);
        free(ws->slots[i].error);
        sec_free_aligned(ws->slots[i].tokens);
    }
    pthread_mutex_destroy(&ws->lock);
    pthread_cond_destroy(&ws->work);
    pthread_cond_destroy(&ws->ready);
    free(ws);
}
