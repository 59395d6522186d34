#include "base/thread.h"

#include "base/error.h"
#include "base/str.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_THREADS = 1024 };

static atomic_int threads_set;

/* Cores a container's quota allows (cgroup v2), rounded up; 0 = no limit known. */
static int quota_cores(void)
{
    long long quota, period;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f)
        return 0;
    int fields = fscanf(f, "%lld %lld", &quota, &period); /* "max" reads as no number */
    fclose(f);
    return fields == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int sec_cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    int quota = quota_cores();
    if (quota && quota < n)
        n = quota;
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

void sec_set_threads(int n)
{
    atomic_store(&threads_set, n > MAX_THREADS ? MAX_THREADS : n);
}

int sec_threads(void)
{
    int n = atomic_load(&threads_set);
    if (n > 0)
        return n;
    int64_t wanted;
    const char *env = getenv("SECENC_THREADS");
    if (env && *env && !sec_parse_i64(env, &wanted) && wanted > 0)
        n = wanted > MAX_THREADS ? MAX_THREADS : (int)wanted;
    else
        n = sec_cpu_count();
    sec_set_threads(n);
    return n;
}

struct loop {
    int (*fn)(void *ctx, size_t i);
    void *ctx;
    size_t n;
    atomic_size_t next;
    atomic_bool stop;
    pthread_mutex_t lock;
    size_t failed_at; /* smallest failing item, guarded by lock */
    int rc;
    char *message;
};

/* Items are handed out in ascending order, so every item below a failing one has been handed out
 * and is run to its end: the smallest failure found is the smallest there is. */
static void *loop_worker(void *arg)
{
    struct loop *l = arg;
    while (!atomic_load(&l->stop)) {
        size_t i = atomic_fetch_add(&l->next, 1);
        if (i >= l->n)
            break;
        int rc = l->fn(l->ctx, i);
        if (!rc)
            continue;
        char *message = sec_error_take();
        pthread_mutex_lock(&l->lock);
        if (!l->rc || i < l->failed_at) {
            char *old = l->message;
            l->message = message;
            message = old;
            l->rc = rc;
            l->failed_at = i;
        }
        pthread_mutex_unlock(&l->lock);
        free(message);
        atomic_store(&l->stop, true);
    }
    return NULL;
}

int sec_parallel_for(size_t n, int threads, int (*fn)(void *ctx, size_t i), void *ctx)
{
    struct loop l = {.fn = fn, .ctx = ctx, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t want = (size_t)(threads > 0 ? threads : sec_threads());
    if (want > n)
        want = n;
    pthread_t *helpers = want > 1 ? malloc((want - 1) * sizeof *helpers) : NULL;
    size_t started = 0;
    /* Too few threads only cost time: this thread works through whatever is left. */
    while (helpers && started + 1 < want &&
           !pthread_create(&helpers[started], NULL, loop_worker, &l))
        started++;
    loop_worker(&l);
    for (size_t i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
    free(helpers);
    pthread_mutex_destroy(&l.lock);
    return l.rc ? sec_error_put(l.rc, l.message) : 0;
}

struct sec_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    size_t capacity, head, count;
    bool closed;
    void *items[];
};

struct sec_queue *sec_queue_new(size_t capacity)
{
    struct sec_queue *q = NULL;
    if (capacity && capacity < SIZE_MAX / 16)
        q = calloc(1, sizeof *q + capacity * sizeof q->items[0]);
    if (!q) {
        sec_fail(SEC_ENOMEM, "cannot make a queue of %zu items", capacity);
        return NULL;
    }
    q->capacity = capacity;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    pthread_cond_init(&q->not_full, NULL);
    return q;
}

int sec_queue_push(struct sec_queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == q->capacity && !q->closed)
        pthread_cond_wait(&q->not_full, &q->lock);
    bool closed = q->closed;
    if (!closed) {
        q->items[(q->head + q->count++) % q->capacity] = item;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return closed;
}

int sec_queue_pop(struct sec_queue *q, void **item)
{
    pthread_mutex_lock(&q->lock);
    while (!q->count && !q->closed)
        pthread_cond_wait(&q->not_empty, &q->lock);
    bool got = q->count > 0;
    *item = NULL;
    if (got) {
        *item = q->items[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->count--;
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
    return !got;
}

void sec_queue_close(struct sec_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

void sec_queue_free(struct sec_queue *q)
{
    if (!q)
        return;
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    free(q);
}
