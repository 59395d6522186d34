/* Threads of the data path: a parallel loop and a bounded queue. (Kernels use OpenMP.) */
#ifndef SEC_BASE_THREAD_H
#define SEC_BASE_THREAD_H

#include <stddef.h>

int sec_cpu_count(void); /* usable cores; SECENC_THREADS or --threads overrides through _set */
void sec_set_threads(int n);
int sec_threads(void);

/* fn(ctx, i) for i in [0,n), on up to `threads` threads (0 = sec_threads()), each i exactly once,
 * in no particular order. Returns 0 or the failure of the smallest failing i, its message on this
 * thread's chain; later items may then be skipped. */
int sec_parallel_for(size_t n, int threads, int (*fn)(void *ctx, size_t i), void *ctx);

/* Bounded FIFO of pointers, many producers and consumers. */
struct sec_queue;
struct sec_queue *sec_queue_new(size_t capacity);    /* NULL + message */
int sec_queue_push(struct sec_queue *q, void *item); /* waits; 1 if closed (item not taken) */
int sec_queue_pop(struct sec_queue *q, void **item); /* waits; 1 if closed and empty */
void sec_queue_close(struct sec_queue *q);
void sec_queue_free(struct sec_queue *q);

#endif
