#include "base/mem.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define ALIGNMENT ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20)

struct sec_arena_chunk {
    struct sec_arena_chunk *next;
    size_t size, used; /* bytes after the header */
};

/* The blocks start one alignment unit into the chunk, after its header. */
static char *chunk_data(struct sec_arena_chunk *c)
{
    return (char *)c + ALIGNMENT;
}

void sec_arena_init(struct sec_arena *a, size_t chunk_size)
{
    *a = (struct sec_arena){.chunk_size = chunk_size ? chunk_size : (size_t)1 << 20};
}

/* A chunk with room for size bytes, moved to the front of the list; NULL if there is none. */
static struct sec_arena_chunk *find_chunk(struct sec_arena *a, size_t size)
{
    struct sec_arena_chunk **link = &a->head;
    for (; *link; link = &(*link)->next) {
        struct sec_arena_chunk *c = *link;
        if (c->size - c->used >= size) {
            *link = c->next;
            c->next = a->head;
            a->head = c;
            return c;
        }
    }
    return NULL;
}

static struct sec_arena_chunk *add_chunk(struct sec_arena *a, size_t size)
{
    size_t bytes = size > a->chunk_size ? size : a->chunk_size;
    struct sec_arena_chunk *c = sec_alloc_aligned(bytes + ALIGNMENT);
    if (!c)
        return NULL;
    *c = (struct sec_arena_chunk){.next = a->head, .size = bytes};
    a->head = c;
    a->reserved += bytes + ALIGNMENT;
    return c;
}

void *sec_arena_alloc(struct sec_arena *a, size_t size)
{
    if (size > SIZE_MAX / 2) {
        sec_fail(SEC_ENOMEM, "cannot allocate %zu bytes", size);
        return NULL;
    }
    size_t rounded = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (!rounded)
        rounded = ALIGNMENT; /* every block has its own address */
    struct sec_arena_chunk *c = find_chunk(a, rounded);
    if (!c)
        c = add_chunk(a, rounded);
    if (!c)
        return NULL;
    char *p = chunk_data(c) + c->used;
    c->used += rounded;
    a->used += rounded;
    return p;
}

void *sec_arena_zalloc(struct sec_arena *a, size_t size)
{
    void *p = sec_arena_alloc(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

char *sec_arena_strdup(struct sec_arena *a, const char *s, size_t len)
{
    char *p = sec_arena_alloc(a, len + 1);
    if (!p)
        return NULL;
    memcpy(p, s, len);
    p[len] = 0;
    return p;
}

void sec_arena_reset(struct sec_arena *a)
{
    for (struct sec_arena_chunk *c = a->head; c; c = c->next)
        c->used = 0;
    a->used = 0;
}

void sec_arena_free(struct sec_arena *a)
{
    while (a->head) {
        struct sec_arena_chunk *next = a->head->next;
        sec_free_aligned(a->head);
        a->head = next;
    }
    a->used = a->reserved = 0;
}

int sec_buf_reserve(struct sec_buf *b, size_t extra)
{
    if (extra > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
        return sec_fail(SEC_ENOMEM, "cannot grow a buffer of %zu bytes by %zu", b->len, extra);
    size_t need = b->len + extra + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap + b->cap / 2;
    if (cap < need)
        cap = need;
    if (cap < 64)
        cap = 64;
    char *data = realloc(b->data, cap);
    if (!data)
        return sec_fail(SEC_ENOMEM, "cannot allocate %zu bytes", cap);
    b->data = data;
    b->cap = cap;
    return 0;
}

int sec_buf_add(struct sec_buf *b, const void *p, size_t n)
{
    int rc = sec_buf_reserve(b, n);
    if (rc)
        return rc;
    if (n)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = 0;
    return 0;
}

int sec_buf_addc(struct sec_buf *b, char c)
{
    return sec_buf_add(b, &c, 1);
}

int sec_buf_adds(struct sec_buf *b, const char *s)
{
    return sec_buf_add(b, s, strlen(s));
}

int sec_buf_printf(struct sec_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    int rc =
        n < 0 ? sec_fail(SEC_EFAIL, "cannot format \"%s\"", fmt) : sec_buf_reserve(b, (size_t)n);
    if (!rc) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

void sec_buf_clear(struct sec_buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

void sec_buf_free(struct sec_buf *b)
{
    free(b->data);
    *b = (struct sec_buf){0};
}

static void *checked(void *p, size_t n)
{
    if (!p && n) {
        fprintf(stderr, "secenc: error: out of memory: cannot allocate %zu bytes\n", n);
        exit(sec_exit_code(SEC_ENOMEM));
    }
    return p;
}

void *sec_xmalloc(size_t n)
{
    return checked(malloc(n ? n : 1), n ? n : 1);
}

void *sec_xcalloc(size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        return checked(NULL, SIZE_MAX);
    return checked(calloc(bytes ? bytes : 1, 1), bytes ? bytes : 1);
}

void *sec_xrealloc(void *p, size_t n)
{
    return checked(realloc(p, n ? n : 1), n ? n : 1);
}

char *sec_xstrdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(sec_xmalloc(n), s, n);
}

void *sec_alloc_aligned(size_t n)
{
    size_t alignment = n >= 2 * HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    void *p = NULL;
    if (n > SIZE_MAX / 2 || posix_memalign(&p, alignment, n ? n : 1)) {
        sec_fail(SEC_ENOMEM, "cannot allocate %zu bytes", n);
        return NULL;
    }
    if (alignment == HUGE_PAGE)
        madvise(p, n, MADV_HUGEPAGE); /* only advice: a refusal costs speed, nothing else */
    return p;
}

void sec_free_aligned(void *p)
{
    free(p);
}

uint64_t sec_peak_rss(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage))
        return 0;
    return (uint64_t)usage.ru_maxrss * 1024;
}

uint64_t sec_total_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}
