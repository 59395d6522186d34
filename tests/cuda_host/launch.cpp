/* Launches: checks of the configuration, blocks in the order in force over system threads. */
#include "internal.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <thread>

#include <signal.h>
#include <stdlib.h>

namespace cuda_host
{
/* Workers keep their stacks between launches, and until the process ends. */
static std::vector<Worker *> &idle = *new std::vector<Worker *>();
static std::mutex idle_lock;
static uint64_t launch_number;

static Worker *take_worker()
{
    std::lock_guard<std::mutex> hold(idle_lock);
    if (idle.empty())
        return worker_new();
    Worker *w = idle.back();
    idle.pop_back();
    return w;
}

/* Faults on a fiber need a stack of their own: the fiber's may be what overflowed. */
struct SignalStack {
    stack_t old;
    void *memory;
    SignalStack() : memory(malloc(64 << 10))
    {
        stack_t s = {};
        s.ss_sp = memory;
        s.ss_size = 64 << 10;
        sigaltstack(&s, &old);
    }
    ~SignalStack()
    {
        sigaltstack(&old, nullptr);
        free(memory);
    }
};

static void run_blocks(Launch *l, const std::vector<uint32_t> &order, std::atomic<size_t> *next)
{
    SignalStack stack;
    Worker *w = take_worker();
    worker_begin(w, l);
    for (size_t i; !l->error.load() && (i = next->fetch_add(1)) < order.size();) {
        uint32_t n = order[i];
        worker_run(w, {n % l->grid.x, n / l->grid.x % l->grid.y, n / (l->grid.x * l->grid.y)});
    }
    uint64_t switches = worker_end(w);
    std::lock_guard<std::mutex> hold(idle_lock);
    counts.switches += switches;
    idle.push_back(w);
}

static std::vector<uint32_t> block_order(size_t n, uint64_t seed)
{
    std::vector<uint32_t> order(n);
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)(config.order == CUDA_HOST_REVERSE ? n - 1 - i : i);
    Random r = {seed};
    for (size_t i = n; config.order == CUDA_HOST_RANDOM && i > 1; i--)
        std::swap(order[i - 1], order[r.below((uint32_t)i)]);
    return order;
}

static cudaError_t run_launch(Launch *l)
{
    size_t blocks = (size_t)l->grid.x * l->grid.y * l->grid.z;
    size_t threads = (size_t)l->block.x * l->block.y * l->block.z;
    l->seed = config.seed * 1000003 + launch_number++;
    std::vector<uint32_t> order = block_order(blocks, l->seed);
    std::atomic<size_t> next{0};
    /* A second system thread costs about as much as a few thousand emulated ones. */
    size_t helpers =
        std::min((size_t)config.threads, std::min(blocks, blocks * threads / 4096 + 1));
    std::vector<std::thread> pool;
    for (size_t i = 1; i < helpers; i++)
        pool.emplace_back(run_blocks, l, std::cref(order), &next);
    run_blocks(l, order, &next);
    for (std::thread &t : pool)
        t.join();
    counts.launches++;
    counts.blocks += blocks;
    counts.threads += blocks * threads;
    cudaError_t error = (cudaError_t)l->error.load();
    if (error != cudaSuccess)
        set_sticky(error, l->message.c_str());
    cudaError_t closed = close_device(l->name.c_str());
    l->error = 0; /* a graph launches it again */
    return error != cudaSuccess ? error : closed;
}

cudaError_t launch_bound(const char *name, const void *kernel, dim3 grid, dim3 block, size_t smem,
                         cudaStream_t stream, std::function<void()> body)
{
    cudaError_t rc = enter(name);
    if (rc != cudaSuccess)
        return rc;
    size_t threads = (size_t)block.x * block.y * block.z;
    if (threads == 0 || threads > MAX_THREADS || block.z > 64)
        return fail(cudaErrorInvalidConfiguration, "kernel %s: a block of %u x %u x %u threads",
                    name, block.x, block.y, block.z);
    if (!grid.x || !grid.y || !grid.z || grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535)
        return fail(cudaErrorInvalidConfiguration, "kernel %s: a grid of %u x %u x %u blocks", name,
                    grid.x, grid.y, grid.z);
    if (smem > kernel_smem_limit(kernel))
        return fail(cudaErrorInvalidValue,
                    "kernel %s: %zu bytes of dynamic shared memory, %zu allowed: set "
                    "cudaFuncAttributeMaxDynamicSharedMemorySize (at most %d)",
                    name, smem, kernel_smem_limit(kernel), (int)SMEM_OPTIN);
    std::shared_ptr<Launch> l = std::make_shared<Launch>();
    l->name = name;
    l->grid = grid;
    l->block = block;
    l->smem = smem;
    l->body = std::move(body);
    return enqueue(stream, [l] { return run_launch(l.get()); });
}

cudaError_t check_pointer_arg(const char *kernel, int arg, const void *p)
{
    if (!p || space_of(p) != SPACE_UNKNOWN)
        return cudaSuccess;
    return fail(cudaErrorInvalidValue,
                "kernel %s: argument %d (%p) points neither to device nor to pinned memory", kernel,
                arg, p);
}
} // namespace cuda_host
