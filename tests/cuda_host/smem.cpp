/* Shared memory of a block and the asynchronous copies into it. */
#include "block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace cuda_host
{
/* Shared memory. */

void *dynamic_smem()
{
    return worker->dynamic;
}

void *static_smem(const void *site, size_t bytes, size_t align)
{
    Worker *w = worker;
    for (int i = 0; i < w->n_sites; i++)
        if (w->sites[i].site == site)
            return w->fixed + w->sites[i].offset;
    /* A gap of poison between arrays shows writes past their ends. */
    size_t offset = (w->fixed_used + 64 + align - 1) / align * align;
    if (w->n_sites == MAX_SITES || offset + bytes > STATIC_SMEM)
        thread_fail(cudaErrorLaunchFailure, "static shared memory: %zu bytes more than %d in all",
                    offset + bytes - STATIC_SMEM, (int)STATIC_SMEM);
    w->sites[w->n_sites++] = {site, offset, bytes};
    w->fixed_used = offset + bytes;
    return w->fixed + offset;
}

static char *dynamic_end(const Worker *w)
{
    return w->fixed + STATIC_SMEM + PAGE + DYN_SPACE;
}
/* The dynamic part ends at a guard page, give or take its alignment, and starts within this one. */
static char *dynamic_page(const Worker *w)
{
    return (char *)((uintptr_t)w->dynamic / PAGE * PAGE);
}

void smem_create(Worker *w)
{
    size_t bytes = 3 * PAGE + STATIC_SMEM + DYN_SPACE;
    w->smem = (char *)mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (w->smem == MAP_FAILED)
        abort();
    w->fixed = w->smem + PAGE;
    mprotect(w->fixed, STATIC_SMEM, PROT_READ | PROT_WRITE);
}

void smem_resize(Worker *w)
{
    char *end = dynamic_end(w);
    w->dynamic = end - (w->launch->smem + 127) / 128 * 128;
    mprotect(end - DYN_SPACE, DYN_SPACE, PROT_NONE);
    if (w->dynamic < end)
        mprotect(dynamic_page(w), (size_t)(end - dynamic_page(w)), PROT_READ | PROT_WRITE);
    w->fixed_used = STATIC_SMEM; /* of an unknown kernel before: poison it all */
}

void smem_poison(Worker *w)
{
    if (w->dynamic < dynamic_end(w))
        memset(dynamic_page(w), 0xFF, (size_t)(dynamic_end(w) - dynamic_page(w)));
    size_t used = w->fixed_used + 64;
    memset(w->fixed, 0xFF, used < STATIC_SMEM ? used : STATIC_SMEM);
    w->n_sites = 0;
    w->fixed_used = 0;
}

static bool poisoned(const char *p, const char *end)
{
    while (p < end && *p == (char)0xFF)
        p++;
    return p >= end;
}

void smem_check(Worker *w)
{
    bool ok =
        w->dynamic == dynamic_end(w) || (poisoned(dynamic_page(w), w->dynamic) &&
                                         poisoned(w->dynamic + w->launch->smem, dynamic_end(w)));
    const char *at = w->fixed;
    for (int i = 0; i < w->n_sites && ok; i++) {
        ok = poisoned(at, w->fixed + w->sites[i].offset);
        at = w->fixed + w->sites[i].offset + w->sites[i].bytes;
    }
    size_t left = (size_t)(w->fixed + STATIC_SMEM - at);
    if (ok && poisoned(at, at + (left < 64 ? left : 64)))
        return;
    char text[512];
    snprintf(text, sizeof text, "kernel %s, block (%u,%u,%u): wrote beside its shared memory",
             w->launch->name.c_str(), w->view.index.x, w->view.index.y, w->view.index.z);
    report(w, cudaErrorIllegalAddress, text);
}

Region block_region(const void *p)
{
    const Worker *w = worker;
    const char *c = static_cast<const char *>(p);
    const char *stack = static_cast<const Thread *>(self)->stack->base;
    if (c >= w->dynamic && c < w->dynamic + w->launch->smem)
        return REGION_DYNAMIC;
    if (c >= w->fixed && c < w->fixed + w->fixed_used)
        return REGION_STATIC;
    return c >= stack && c < stack + STACK ? REGION_STACK : REGION_NONE;
}

void check_smem(const void *p, size_t bytes, size_t align, const char *what)
{
    if ((uintptr_t)p % align)
        thread_fail(cudaErrorMisalignedAddress, "%s at %p: not aligned to %zu bytes", what, p,
                    align);
    Region first = block_region(p), last = block_region((const char *)p + bytes - 1);
    if (first > REGION_STATIC || first != last)
        thread_fail(cudaErrorIllegalAddress,
                    "%s at %p: not within shared memory (%td bytes from "
                    "the start of the dynamic part of %zu)",
                    what, p, (const char *)p - worker->dynamic, worker->launch->smem);
}

void check_access(const void *p, size_t bytes)
{
    if (!self)
        return;
    if ((uintptr_t)p % bytes)
        thread_fail(cudaErrorMisalignedAddress, "%zu bytes at %p: not aligned to their size", bytes,
                    p);
    if (block_region(p) == REGION_NONE && !device_contains(p, bytes) && space_of(p) != SPACE_PINNED)
        thread_fail(cudaErrorIllegalAddress,
                    "%zu bytes at %p: neither device nor shared memory, nor the stack", bytes, p);
}

/* Asynchronous copies. */

void record_copies(void *smem, const void *global, unsigned bytes)
{
    Thread *t = static_cast<Thread *>(self);
    memset(smem, 0xFF, bytes);
    t->copies.push_back({smem, global, bytes, t->groups});
}

void commit_copies()
{
    static_cast<Thread *>(self)->groups++;
}

void wait_copies(unsigned groups_left)
{
    Thread *t = static_cast<Thread *>(self);
    size_t kept = 0;
    for (const Copy &c : t->copies) {
        if (c.group + groups_left >= t->groups)
            t->copies[kept++] = c;
        else if (c.global)
            memcpy(c.smem, c.global, c.bytes);
        else
            memset(c.smem, 0, c.bytes);
    }
    t->copies.resize(kept);
}

} // namespace cuda_host
