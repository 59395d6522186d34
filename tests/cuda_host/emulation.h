/* Control of the CUDA host emulation: how it schedules and what it found.
 *
 * What it does, so that a mistake shows:
 *   threads     run as fibers, warp after warp, each as far as it can before the next one starts.
 *               A missing barrier makes the first warp read what the last has not yet written.
 *   shared mem. holds NaN patterns when a block starts and ends at a guard page.
 *   barriers    must be reached by every thread at the same line; warp operations by all 32 lanes.
 *   cp.async    fills its target with NaN when issued and copies at its wait.
 *   device mem. lies between guard pages, holds NaN patterns when allocated, and is closed to the
 *               host except within copies and kernels. Addresses are never used again.
 *   streams     deferred: nothing runs before a synchronisation asks for it, and then no more than
 *               that. A consumer that lacks an event wait reads what was there before. Pinned
 *               targets of copies under way hold NaN patterns.
 *   order       of lanes, warps, blocks and independent streams: forward, reverse or random.
 * Not seen: reordering of memory accesses by the hardware, speed, faults of the compiler.
 *
 * A fault in a kernel stops the launch; the next CUDA call returns the error, all later ones too,
 * until cudaDeviceReset() or cuda_host_reset(). The message is one line on stderr (unless quiet)
 * and cuda_host_message(). A host access to device memory ends the process with exit code 86.
 *
 * Environment: SECENC_CUDA_HOST="order=reverse,streams=deferred,seed=3,threads=1,memory=BYTES,
 * devices=0,driver=12000,quiet=1"; SECENC_FAULT=cuda:k makes the k-th call fail.
 * One system thread drives the emulation; blocks may run on several. */
#ifndef SEC_TESTS_CUDA_HOST_EMULATION_H
#define SEC_TESTS_CUDA_HOST_EMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum cuda_host_order { CUDA_HOST_FORWARD, CUDA_HOST_REVERSE, CUDA_HOST_RANDOM };
enum { CUDA_HOST_EXIT = 86 };

struct cuda_host_config {
    enum cuda_host_order order;
    uint64_t seed;
    bool deferred; /* streams */
    bool quiet;
    int threads;   /* that run blocks */
    int devices;   /* 0: as on a machine without one */
    int driver;    /* version, e.g. 13000 */
    size_t memory; /* bytes of device memory */
    long fail_at;  /* the call that fails, counted from cuda_host_configure; 0: none */
};

/* The configuration in force. Changing it needs an idle device. */
struct cuda_host_config cuda_host_current(void);
void cuda_host_configure(const struct cuda_host_config *c);

/* Clears errors and the message; memory and streams stay. */
void cuda_host_reset(void);
const char *cuda_host_message(void);

struct cuda_host_stats {
    uint64_t calls, launches, blocks, threads, switches,
        opened;             /* opened: allocations, by faults */
    size_t allocated, peak; /* bytes of device memory */
};
struct cuda_host_stats cuda_host_stats_now(void);

/* Calls fn under every order (three seeds of the random one), eager and deferred. */
void cuda_host_each_schedule(void (*fn)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
