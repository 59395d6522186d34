#include "kernels/host_memory.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

static int host_alloc(struct sec_backend *b, size_t bytes, void **out)
{
    *out = sec_alloc_aligned(bytes);
    return *out ? 0 : SEC_ENOMEM;
}

static void host_free(struct sec_backend *b, void *p)
{
    sec_free_aligned(p);
}

static int host_copy(struct sec_backend *b, void *dst, const void *src, size_t bytes)
{
    if (bytes)
        memcpy(dst, src, bytes);
    return 0;
}

static int host_zero(struct sec_backend *b, void *dst, size_t bytes)
{
    if (bytes)
        memset(dst, 0, bytes);
    return 0;
}

static int host_sync(struct sec_backend *b)
{
    return 0;
}

void sec_host_memory(struct sec_backend *b)
{
    b->host = true;
    b->alloc = host_alloc;
    b->free = host_free;
    b->upload = host_copy;
    b->download = host_copy;
    b->copy = host_copy;
    b->zero = host_zero;
    b->sync = host_sync;
}
