/* Device memory: allocations between guard pages in a reserved range of addresses, closed to the
 * host; pinned host memory; and the handler of the faults that guard pages and closed memory give.
 */
#include "internal.h"

#include <algorithm>
#include <map>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace cuda_host
{
/* [map, map + mapped) are whole pages; the memory handed out ends where they end, give or take its
 * alignment. What is left of the pages holds poison. */
struct Allocation {
    char *map, *p;
    size_t mapped, bytes;
    unsigned id;
    bool open;
};
static const size_t RANGE = (size_t)1 << 42, GUARD = 64 << 10, ALIGN = 256;
static char *range, *range_next;
static std::vector<Allocation *> live; /* by address */
static std::map<const char *, size_t> pinned;
static unsigned next_id = 1;
static std::vector<Allocation *> opened;
static std::atomic_flag open_lock = ATOMIC_FLAG_INIT;
static thread_local int device_scope;

static bool start_range()
{
    if (range)
        return true;
    void *p = mmap(nullptr, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    range = range_next = (char *)p;
    return true;
}

/* The allocation whose pages hold p, or are nearest to it. */
static Allocation *nearest(const char *p)
{
    auto it = std::upper_bound(live.begin(), live.end(), p,
                               [](const char *q, const Allocation *a) { return q < a->map; });
    if (live.empty() || it == live.begin())
        return live.empty() ? nullptr : live.front();
    Allocation *before = *(it - 1);
    if (it == live.end() || p < before->map + before->mapped)
        return before;
    return p - before->map - (ptrdiff_t)before->mapped < (*it)->map - p ? before : *it;
}
static Allocation *holding(const char *p, size_t bytes)
{
    if (p < range || p >= range + RANGE)
        return nullptr;
    Allocation *a = nearest(p);
    return a && p >= a->p && p <= a->p + a->bytes && bytes <= (size_t)(a->p + a->bytes - p)
               ? a
               : nullptr;
}
bool device_contains(const void *p, size_t bytes)
{
    return holding(static_cast<const char *>(p), bytes) != nullptr;
}

Space space_of(const void *p)
{
    const char *c = static_cast<const char *>(p);
    if (range && c >= range && c < range + RANGE)
        return SPACE_DEVICE;
    auto it = pinned.upper_bound(c);
    if (it == pinned.begin())
        return SPACE_UNKNOWN;
    --it;
    return c < it->first + it->second ? SPACE_PINNED : SPACE_UNKNOWN;
}

static void open_allocation(Allocation *a)
{
    while (open_lock.test_and_set(std::memory_order_acquire)) {
    }
    if (!a->open) {
        mprotect(a->map, a->mapped, PROT_READ | PROT_WRITE);
        a->open = true;
        opened.push_back(a); /* reserved beforehand: no allocation here */
    }
    open_lock.clear(std::memory_order_release);
}

cudaError_t open_device(const void *p, size_t bytes, const char *what)
{
    const char *c = static_cast<const char *>(p);
    Allocation *a = holding(c, bytes), *n = range ? nearest(c) : nullptr;
    if (!a && n)
        return fail(cudaErrorInvalidValue,
                    "%s: %zu bytes at %p, which is byte %td of allocation %u of %zu bytes", what,
                    bytes, p, c - n->p, n->id, n->bytes);
    if (!a)
        return fail(cudaErrorInvalidValue, "%s: %p is not device memory", what, p);
    open_allocation(a);
    return cudaSuccess;
}

static bool intact(const char *p, size_t n)
{
    while (n && *p == (char)0xFF) {
        p++;
        n--;
    }
    return n == 0;
}

cudaError_t close_device(const char *what)
{
    cudaError_t rc = cudaSuccess;
    for (Allocation *a : opened) {
        char *end = a->p + a->bytes;
        if (!intact(a->map, (size_t)(a->p - a->map)) ||
            !intact(end, (size_t)(a->map + a->mapped - end))) {
            rc = fail(cudaErrorIllegalAddress, "%s: wrote beside allocation %u of %zu bytes", what,
                      a->id, a->bytes);
            set_sticky(rc, cuda_host_message());
            memset(a->map, 0xFF, (size_t)(a->p - a->map));
            memset(end, 0xFF, (size_t)(a->map + a->mapped - end));
        }
        mprotect(a->map, a->mapped, PROT_NONE);
        a->open = false;
    }
    counts.opened += opened.size();
    opened.clear();
    return rc;
}

DeviceScope::DeviceScope()
{
    device_scope++;
}
DeviceScope::~DeviceScope()
{
    device_scope--;
}

/* Faults. */

static void describe(char *out, size_t size, const char *p, bool write)
{
    const char *how = write ? "write to" : "read of";
    Allocation *a = range && p >= range && p < range + RANGE ? nearest(p) : nullptr;
    if (!p)
        snprintf(out, size, "misaligned vector access, or an address that is none");
    else if (a && p >= a->p + a->bytes)
        snprintf(out, size, "%s %p, %td bytes past the end of allocation %u of %zu bytes", how, p,
                 p - a->p - (ptrdiff_t)a->bytes, a->id, a->bytes);
    else if (a)
        snprintf(out, size, "%s %p, %td bytes from the start of allocation %u of %zu bytes", how, p,
                 p - a->p, a->id, a->bytes);
    else
        snprintf(out, size, "%s %p, which is no device memory", how, p);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = static_cast<ucontext_t *>(context);
    const char *p = static_cast<const char *>(info->si_addr);
    bool write = uc->uc_mcontext.gregs[REG_ERR] & 2;
    bool device_code = in_kernel() || device_scope;
    char text[256];
    if (range && p >= range && p < range + RANGE && device_code) {
        Allocation *a = nearest(p);
        if (a && p >= a->map && p < a->map + a->mapped) {
            open_allocation(a);
            return;
        }
    }
    describe(text, sizeof text, p, write);
    if (in_kernel()) {
        thread_fault(context, p, p ? cudaErrorIllegalAddress : cudaErrorMisalignedAddress, text);
        return;
    }
    if (space_of(p) == SPACE_DEVICE) {
        fprintf(stderr, "cuda_host: host code touches device memory: %s\n", text);
        _exit(CUDA_HOST_EXIT);
    }
    signal(sig, SIG_DFL); /* an ordinary crash: the instruction faults again */
}

void install_fault_handler()
{
    struct sigaction act = {};
    act.sa_sigaction = on_fault;
    act.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &act, nullptr);
    sigaction(SIGBUS, &act, nullptr);
}

static void release(Allocation *a)
{
    mmap(a->map, a->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
         0);
    counts.allocated -= a->bytes;
    live.erase(std::find(live.begin(), live.end(), a));
    delete a;
}

void free_all_device()
{
    while (!live.empty())
        release(live.back());
}
} // namespace cuda_host

using namespace cuda_host;

extern "C" {
cudaError_t cudaMalloc(void **out, size_t bytes)
{
    *out = nullptr;
    cudaError_t rc = enter("cudaMalloc");
    if (rc == cudaSuccess)
        rc = forbid_in_capture("cudaMalloc");
    if (rc != cudaSuccess || !bytes)
        return rc;
    if (bytes > config.memory - counts.allocated || !start_range())
        return fail(cudaErrorMemoryAllocation, "cudaMalloc: %zu bytes with %zu of %zu in use",
                    bytes, counts.allocated, config.memory);
    Allocation *a = new Allocation();
    size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    a->mapped = (rounded + PAGE - 1) / PAGE * PAGE;
    a->map = range_next + GUARD;
    a->bytes = bytes;
    a->p = a->map + a->mapped - rounded;
    a->id = next_id++;
    range_next = a->map + a->mapped;
    if (range_next > range + RANGE - GUARD || mprotect(a->map, a->mapped, PROT_READ | PROT_WRITE)) {
        delete a;
        return fail(cudaErrorMemoryAllocation, "cudaMalloc: %zu bytes: no addresses left", bytes);
    }
    memset(a->map, 0xFF, a->mapped);
    mprotect(a->map, a->mapped, PROT_NONE);
    live.push_back(a);
    opened.reserve(live.size());
    counts.allocated += bytes;
    counts.peak = std::max(counts.peak, counts.allocated);
    *out = a->p;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    cudaError_t rc = enter("cudaFree"), ran;
    if (!p)
        return rc;
    if (rc == cudaSuccess)
        rc = forbid_in_capture("cudaFree");
    ran = run_all();
    Allocation *a = holding(static_cast<char *>(p), 0);
    if (!a || a->p != p)
        return fail(cudaErrorInvalidValue, "cudaFree: %p is not the start of an allocation", p);
    release(a);
    return rc != cudaSuccess ? rc : ran;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    *out = nullptr;
    cudaError_t rc = enter("cudaHostAlloc");
    if (rc != cudaSuccess)
        return rc;
    if (posix_memalign(out, PAGE, bytes ? bytes : 1))
        return fail(cudaErrorMemoryAllocation, "cudaHostAlloc: %zu bytes", bytes);
    memset(*out, 0xFF, bytes);
    pinned[static_cast<char *>(*out)] = bytes ? bytes : 1;
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}
cudaError_t cudaFreeHost(void *p)
{
    cudaError_t rc = enter("cudaFreeHost");
    if (!p)
        return rc;
    run_all();
    if (!pinned.erase(static_cast<char *>(p)))
        return fail(cudaErrorInvalidValue, "cudaFreeHost: %p is not pinned memory", p);
    free(p);
    return rc;
}
} // extern "C"
