/* Memory: arenas for long-lived blocks, growable buffers for text, checked malloc.
 *
 * Ownership: an arena owns everything taken from it and frees it at once. A sec_buf owns its bytes.
 * Failure: sec_arena_alloc() and sec_buf_* return NULL or SEC_ENOMEM with a message. sec_xmalloc()
 * and friends are for small start-up allocations: they print one line and exit 4. */
#ifndef SEC_BASE_MEM_H
#define SEC_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Bump allocator over chained chunks; every block is 64-byte aligned. Not thread-safe. */
struct sec_arena {
    struct sec_arena_chunk *head;
    size_t used;       /* bytes handed out since the last reset */
    size_t reserved;   /* bytes obtained from the system */
    size_t chunk_size; /* least size of a chunk */
};

void sec_arena_init(struct sec_arena *a, size_t chunk_size);
void *sec_arena_alloc(struct sec_arena *a, size_t size); /* not zeroed */
void *sec_arena_zalloc(struct sec_arena *a, size_t size);
char *sec_arena_strdup(struct sec_arena *a, const char *s, size_t len);
void sec_arena_reset(struct sec_arena *a); /* keeps the memory, forgets the blocks */
void sec_arena_free(struct sec_arena *a);

/* Growable bytes; data[len] is always 0 once anything was appended. Zero-initialise to start. */
struct sec_buf {
    char *data;
    size_t len, cap;
};

int sec_buf_reserve(struct sec_buf *b, size_t extra);
int sec_buf_add(struct sec_buf *b, const void *p, size_t n);
int sec_buf_addc(struct sec_buf *b, char c);
int sec_buf_adds(struct sec_buf *b, const char *s);
int sec_buf_printf(struct sec_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sec_buf_clear(struct sec_buf *b); /* len = 0, memory kept */
void sec_buf_free(struct sec_buf *b);

void *sec_xmalloc(size_t n);
void *sec_xcalloc(size_t n, size_t size);
void *sec_xrealloc(void *p, size_t n);
char *sec_xstrdup(const char *s);

/* 64-byte aligned block (huge-page advised when large); free with sec_free_aligned. NULL + message
 * on failure. */
void *sec_alloc_aligned(size_t n);
void sec_free_aligned(void *p);

/* Peak resident set of this process in bytes, and physical memory of the machine in bytes. */
uint64_t sec_peak_rss(void);
uint64_t sec_total_memory(void);

#endif
