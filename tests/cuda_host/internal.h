/* What the files of the emulation share. */
#ifndef SEC_TESTS_CUDA_HOST_INTERNAL_H
#define SEC_TESTS_CUDA_HOST_INTERNAL_H

#include "cuda_runtime.h"
#include "emulation.h"

#include <atomic>
#include <functional>
#include <string>
#include <vector>

namespace cuda_host
{
extern cuda_host_config config;
extern cuda_host_stats counts;

/* device.cpp: errors. Every call starts with enter(), which counts it, and gives the error that it
 * has to return at once: a fault point, a kernel that failed before. */
cudaError_t enter(const char *call);
cudaError_t fail(cudaError_t e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void set_sticky(cudaError_t e, const char *message);
cudaError_t broken(); /* the error of the kernel that failed, if one did */
size_t kernel_smem_limit(const void *kernel);

constexpr size_t SMEM_DEFAULT = 48 << 10, SMEM_OPTIN = 227 << 10, SMEM_RESERVED = 1 << 10;
constexpr size_t MAX_THREADS = 1024, PAGE = 4096;

struct Random { /* splitmix64 */
    uint64_t state;
    uint64_t next();
    uint32_t below(uint32_t n);
};

/* block.cpp: one block at a time per worker. */
struct Launch {
    std::string name;
    dim3 grid, block;
    size_t smem;
    std::function<void()> body;
    uint64_t seed;
    std::atomic<int> error{0}; /* cudaError_t of the first thread that failed */
    std::string message;
};
struct Worker;
Worker *worker_new();
void worker_begin(Worker *w, Launch *l); /* on the system thread that will run blocks */
void worker_run(Worker *w, uint3 block); /* errors go to the launch */
uint64_t worker_end(Worker *w);          /* number of fiber switches */
bool in_kernel();
/* Called by the signal handler: ends the running thread with this error once it returns. */
void thread_fault(void *ucontext, const char *address, int error, const char *text);
/* What p is to the running block and thread. */
enum Region { REGION_DYNAMIC, REGION_STATIC, REGION_STACK, REGION_NONE };
Region block_region(const void *p);
void record_copies(void *smem, const void *global, unsigned bytes);
void commit_copies();
void wait_copies(unsigned groups_left);
void check_smem(const void *p, size_t bytes, size_t align, const char *what);

/* memory.cpp */
enum Space { SPACE_UNKNOWN, SPACE_DEVICE, SPACE_PINNED };
Space space_of(const void *p);
/* Opens the allocation that holds [p, p + bytes); an error and message if none does. */
cudaError_t open_device(const void *p, size_t bytes, const char *what);
/* Closes what was opened by calls and by faults; finds writes beside allocations. */
cudaError_t close_device(const char *what);
bool device_contains(const void *p, size_t bytes);
/* While one lives on a thread, its accesses to device memory open allocations as a kernel's do. */
struct DeviceScope {
    DeviceScope();
    ~DeviceScope();
};
void install_fault_handler();
void free_all_device();

/* stream.cpp */
cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> run);
cudaError_t run_all();
cudaError_t forbid_in_capture(const char *call);
bool capturing(cudaStream_t stream);
} // namespace cuda_host

#endif
