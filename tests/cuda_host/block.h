/* The state of a running block, shared by block.cpp (threads) and smem.cpp (shared memory). */
#ifndef SEC_TESTS_CUDA_HOST_BLOCK_H
#define SEC_TESTS_CUDA_HOST_BLOCK_H

#include "internal.h"

namespace cuda_host
{
constexpr size_t STACK = 64 << 10, STACK_GUARD = 64 << 10, STATIC_SMEM = 48 << 10;
constexpr int MAX_SITES = 32, MAX_WARPS = MAX_THREADS / 32;
static const uint32_t FULL = 0xFFFFFFFFu;

struct Copy {
    void *smem;
    const void *global; /* NULL: zeros */
    unsigned bytes, group;
};
struct Stack {
    char *base; /* STACK bytes above STACK_GUARD closed ones */
    unsigned colour;
};
struct Warp;
struct Thread : ThreadView {
    void *sp; /* NULL: not started */
    Stack *stack;
    Warp *warp;
    unsigned lane, groups;
    int line; /* of the barrier it waits at */
    std::vector<Copy> copies;
};
struct Warp {
    uint32_t exists, ready, arrived, at_barrier, done;
    const Collective *op;
    void *args[32];
    Thread *thread; /* the first of 32 */
};
struct Site {
    const void *site;
    size_t offset, bytes;
};
struct Worker {
    Launch *launch;
    BlockView view;
    Random random;
    unsigned n_threads, n_warps;
    Thread thread[MAX_THREADS];
    Warp warp[MAX_WARPS];
    std::vector<Stack *> stacks, spare;
    char *smem, *dynamic, *fixed; /* mapping, dynamic part, static part */
    Site sites[MAX_SITES];
    int n_sites;
    size_t fixed_used;
    void *sp; /* of the scheduler */
    uint64_t switches;
    bool failed;
    char fault_text[512];
    int fault_error;
    const void *host_stack;
    size_t host_stack_bytes;
};
/* The layout of a worker's shared memory: guard, static part, guard, dynamic part, guard. */
constexpr size_t DYN_SPACE = 256 << 10;
extern thread_local Worker *worker; /* of this system thread */

/* Ends the block; the first message of a launch is kept. */
void report(Worker *w, int error, const char *text);
void smem_create(Worker *w);
void smem_resize(Worker *w); /* to what the launch asks for */
void smem_poison(Worker *w);
void smem_check(Worker *w); /* nothing was written beside arrays */
} // namespace cuda_host

#endif
