/* One thread block: its threads as fibers, its barriers, warp operations, shared memory and
 * asynchronous copies. A block runs on one system thread from start to end. */
#include "block.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef CUDA_HOST_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef __x86_64__
#error "the fiber switch is written for x86-64"
#endif

/* Saves the callee-saved registers and the stack pointer, takes over those of another fiber. */
extern "C" void cuda_host_switch(void **save, void *load);
asm(".text\n"
    ".globl cuda_host_switch\n"
    ".type cuda_host_switch, @function\n"
    "cuda_host_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size cuda_host_switch, .-cuda_host_switch\n");

namespace cuda_host
{
__thread ThreadView *self;

thread_local Worker *worker;

uint64_t Random::next()
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
uint32_t Random::below(uint32_t n)
{
    return (uint32_t)((uint64_t)(uint32_t)next() * n >> 32);
}

bool in_kernel()
{
    return self != nullptr;
}
int lane()
{
    return (int)static_cast<Thread *>(self)->lane;
}

Worker *worker_new()
{
    Worker *w = new Worker();
    smem_create(w);
    return w;
}

static Stack *take_stack(Worker *w)
{
    if (w->spare.empty()) {
        Stack *s = new Stack();
        char *map = (char *)mmap(nullptr, STACK + STACK_GUARD, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + STACK_GUARD, STACK, PROT_READ | PROT_WRITE))
            abort();
        s->base = map + STACK_GUARD;
        /* Tops of stacks at one distance would share cache sets. */
        s->colour = (unsigned)(w->stacks.size() * 320 % 8192);
        w->stacks.push_back(s);
        return s;
    }
    Stack *s = w->spare.back();
    w->spare.pop_back();
    return s;
}

static void thread_main();

static void switch_to(void **save, void *load, const void *bottom, size_t bytes)
{
#ifdef CUDA_HOST_ASAN
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, bottom, bytes);
    cuda_host_switch(save, load);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
    (void)bottom;
    (void)bytes;
    cuda_host_switch(save, load);
#endif
}

static void prepare(Worker *w, Thread *t)
{
    t->stack = take_stack(w);
    void **top = (void **)(t->stack->base + STACK - t->stack->colour - 64);
    top[-1] = nullptr;
    top[-2] = (void *)thread_main;
    t->sp = top - 8;
}

/* One of a set that is not empty, by the order in force. */
static unsigned pick(Worker *w, uint32_t set)
{
    if (config.order == CUDA_HOST_FORWARD)
        return (unsigned)__builtin_ctz(set);
    if (config.order == CUDA_HOST_REVERSE)
        return 31 - (unsigned)__builtin_clz(set);
    unsigned turn = (unsigned)w->random.next() & 31;
    uint32_t rotated = set >> turn | set << ((32 - turn) & 31);
    return ((unsigned)__builtin_ctz(rotated) + turn) & 31;
}

static Thread *next_lane(Worker *w, Warp *p)
{
    if (!p->ready)
        return nullptr;
    unsigned n = pick(w, p->ready);
    p->ready &= ~(1u << n);
    return &p->thread[n];
}

static void resume(Worker *w, void **save, Thread *t)
{
    if (!t->sp)
        prepare(w, t);
    w->switches++;
    self = t;
    switch_to(save, t->sp, t->stack->base, STACK);
}

/* The running thread waits: the next lane of its warp runs, or the scheduler. */
static void yield(Thread *t)
{
    Worker *w = worker;
    Thread *n = next_lane(w, t->warp);
    if (n)
        resume(w, &t->sp, n);
    else
        switch_to(&t->sp, w->sp, w->host_stack, w->host_stack_bytes);
    self = t;
}

[[noreturn]] static void leave(Worker *w, void *load)
{
    void *gone;
    switch_to(&gone, load, w->host_stack, w->host_stack_bytes);
    abort();
}

static void finish_thread(Thread *t)
{
    if (!t->copies.empty())
        thread_fail(cudaErrorLaunchFailure,
                    "%zu cp.async copies were never waited for: the first to %p", t->copies.size(),
                    t->copies[0].smem);
    t->warp->done |= 1u << t->lane;
}

/* Runs threads of one warp on one stack for as long as they neither wait nor have waited. */
static void thread_main()
{
    Worker *w = worker;
#ifdef CUDA_HOST_ASAN
    const void *from;
    size_t from_bytes;
    __sanitizer_finish_switch_fiber(nullptr, &from, &from_bytes);
    if (!w->host_stack) {
        w->host_stack = from;
        w->host_stack_bytes = from_bytes;
    }
#endif
    for (;;) {
        Thread *t = static_cast<Thread *>(self);
        w->launch->body();
        finish_thread(t);
        Thread *n = next_lane(w, t->warp);
        if (n && !n->sp) {
            n->stack = t->stack;
            n->sp = t->stack->base; /* started */
            self = n;
            continue;
        }
        w->spare.push_back(t->stack);
        if (!n)
            leave(w, w->sp);
        void *gone;
        resume(w, &gone, n);
    }
}

void report(Worker *w, int error, const char *text)
{
    int none = 0;
    w->failed = true;
    if (w->launch->error.compare_exchange_strong(none, error))
        w->launch->message = text;
}

static void where(char *out, size_t size)
{
    const Thread *t = static_cast<const Thread *>(self);
    snprintf(out, size,
             "kernel %s, block (%u,%u,%u), thread (%u,%u,%u): ", worker->launch->name.c_str(),
             t->block->index.x, t->block->index.y, t->block->index.z, t->index.x, t->index.y,
             t->index.z);
}

void thread_fail(int error, const char *fmt, ...)
{
    char text[512];
    where(text, 256);
    size_t n = strlen(text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof text - n, fmt, ap);
    va_end(ap);
    report(worker, error, text);
    leave(worker, worker->sp);
}

static void fault_landing()
{
    Worker *w = worker;
    report(w, w->fault_error, w->fault_text);
    leave(w, w->sp);
}

void thread_fault(void *context, const char *p, int error, const char *text)
{
    Worker *w = worker;
    Thread *t = static_cast<Thread *>(self);
    ucontext_t *uc = static_cast<ucontext_t *>(context);
    if (p >= t->stack->base - STACK_GUARD && p < t->stack->base)
        text = "stack overflow: 64 KiB is what the emulation has for a thread's local variables";
    w->fault_error = error;
    where(w->fault_text, 256);
    size_t n = strlen(w->fault_text);
    snprintf(w->fault_text + n, sizeof w->fault_text - n, "%s", text);
    /* The stack may be what overflowed: start again at its top, aligned as after a call. */
    uintptr_t top = (uintptr_t)(t->stack->base + STACK - t->stack->colour - 64);
    uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(top - 8);
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)fault_landing;
}

void collective(const Collective *op, void *arg)
{
    Thread *t = static_cast<Thread *>(self);
    Warp *p = t->warp;
    if (p->exists != FULL)
        thread_fail(cudaErrorLaunchFailure, "%s in a warp of %d threads: it takes 32", op->name,
                    __builtin_popcount(p->exists));
    if (p->arrived && p->op != op)
        thread_fail(cudaErrorLaunchFailure, "the warp has diverged: %s here, %s in %d other lanes",
                    op->name, p->op->name, __builtin_popcount(p->arrived));
    p->op = op;
    p->args[t->lane] = arg;
    p->arrived |= 1u << t->lane;
    if (p->arrived != FULL) {
        yield(t);
        return;
    }
    op->run(p->args);
    p->arrived = 0;
    p->ready = ~(1u << t->lane);
}

void barrier(int line)
{
    Thread *t = static_cast<Thread *>(self);
    t->line = line;
    t->warp->at_barrier |= 1u << t->lane;
    yield(t);
}

static void run_shuffle(void *const args[32])
{
    for (int i = 0; i < 32; i++) {
        ShuffleArg *a = static_cast<ShuffleArg *>(args[i]);
        int from = a->source >= 0 && a->source < 32 ? a->source : i;
        a->result = static_cast<ShuffleArg *>(args[from])->value;
    }
}
static void run_ballot(void *const args[32])
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (*static_cast<uint32_t *>(args[i]) & 1u) << i;
    for (int i = 0; i < 32; i++)
        *static_cast<uint32_t *>(args[i]) = bits;
}
static void run_nothing(void *const[32])
{
}
const Collective op_shuffle = {"shuffle", run_shuffle};
const Collective op_ballot = {"ballot", run_ballot};
const Collective op_syncwarp = {"__syncwarp", run_nothing};

uint32_t ballot(uint32_t mask, bool x)
{
    if (mask != FULL)
        thread_fail(cudaErrorLaunchFailure, "a vote with mask 0x%x: only full warps are allowed",
                    mask);
    uint32_t v = x;
    collective(&op_ballot, &v);
    return v;
}

/* Scheduling. */

void worker_begin(Worker *w, Launch *l)
{
    worker = w;
    w->launch = l;
    smem_resize(w);
    w->n_threads = l->block.x * l->block.y * l->block.z;
    w->n_warps = (w->n_threads + 31) / 32;
    for (unsigned i = 0; i < w->n_threads; i++) {
        Thread *t = &w->thread[i];
        t->index = {i % l->block.x, i / l->block.x % l->block.y, i / (l->block.x * l->block.y)};
        t->block = &w->view;
        t->warp = &w->warp[i / 32];
        t->lane = i % 32;
    }
}

uint64_t worker_end(Worker *w)
{
    uint64_t n = w->switches;
    w->switches = 0;
    worker = nullptr;
    return n;
}

static void start_block(Worker *w, uint3 block)
{
    w->view = {block, w->launch->block, w->launch->grid};
    uint64_t index =
        block.x + (uint64_t)w->launch->grid.x * (block.y + (uint64_t)w->launch->grid.y * block.z);
    w->random.state = w->launch->seed * 0x2545F4914F6CDD1Du + index;
    smem_poison(w);
    w->failed = false;
    for (unsigned i = 0; i < w->n_threads; i++) {
        w->thread[i].sp = nullptr;
        w->thread[i].groups = 0;
        w->thread[i].copies.clear();
    }
    for (unsigned i = 0; i < w->n_warps; i++) {
        unsigned n = w->n_threads - 32 * i;
        uint32_t all = n >= 32 ? FULL : (1u << n) - 1;
        Warp *p = &w->warp[i];
        p->exists = p->ready = all;
        p->arrived = p->at_barrier = p->done = 0;
        p->thread = &w->thread[32 * i];
    }
}

static Warp *next_warp(Worker *w)
{
    uint32_t can = 0;
    for (unsigned i = 0; i < w->n_warps; i++)
        can |= (uint32_t)(w->warp[i].ready != 0) << i;
    return can ? &w->warp[pick(w, can)] : nullptr;
}

/* No warp can run: the block is through, or all wait at one barrier, or something is wrong. */
static bool release(Worker *w)
{
    unsigned waiting = 0, done = 0, partial = 0;
    int line = 0, other = 0;
    const char *op = "";
    for (unsigned i = 0; i < w->n_threads; i++) {
        const Warp *p = w->thread[i].warp;
        uint32_t bit = 1u << w->thread[i].lane;
        done += (p->done & bit) != 0;
        if (p->arrived & bit) {
            partial++;
            op = p->op->name;
        }
        if (!(p->at_barrier & bit))
            continue;
        waiting++;
        line = line ? line : w->thread[i].line;
        other = w->thread[i].line != line ? w->thread[i].line : other;
    }
    if (done == w->n_threads)
        return false;
    if (waiting == w->n_threads && !other) {
        for (unsigned i = 0; i < w->n_warps; i++) {
            w->warp[i].ready = w->warp[i].exists;
            w->warp[i].at_barrier = 0;
        }
        return true;
    }
    char text[512];
    int n = snprintf(text, sizeof text, "kernel %s, block (%u,%u,%u): ", w->launch->name.c_str(),
                     w->view.index.x, w->view.index.y, w->view.index.z);
    if (partial)
        snprintf(text + n, sizeof text - (size_t)n,
                 "warp divergence: %u threads wait in a %s for other lanes of their warp; %u "
                 "threads are at a barrier, %u have returned",
                 partial, op, waiting, done);
    else
        snprintf(text + n, sizeof text - (size_t)n,
                 "barrier divergence: %u of %u threads wait at __syncthreads() of line %d%s%s, %u "
                 "have returned",
                 waiting, w->n_threads, line, other ? " and line " : "",
                 other ? std::to_string(other).c_str() : "", done);
    report(w, cudaErrorLaunchFailure, text);
    return false;
}

void worker_run(Worker *w, uint3 block)
{
    start_block(w, block);
    do {
        Warp *p;
        while (!w->failed && (p = next_warp(w)))
            resume(w, &w->sp, next_lane(w, p));
    } while (!w->failed && release(w));
    self = nullptr;
    if (!w->failed) {
        smem_check(w);
        return;
    }
#ifdef CUDA_HOST_ASAN
    for (Stack *s : w->stacks)
        __asan_unpoison_memory_region(s->base, STACK);
#endif
    w->spare = w->stacks; /* those of abandoned threads too */
}
} // namespace cuda_host
