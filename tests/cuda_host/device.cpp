/* The device, errors, the configuration of the emulation. */
#include "internal.h"

extern "C" {
#include "base/file.h"
}

#include <map>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thread>

namespace cuda_host
{
cuda_host_stats counts;
static cudaError_t last, sticky;
static char message[512];
static std::map<const void *, int> smem_limits;
static long calls_until_fault;

static cuda_host_config read_environment()
{
    cuda_host_config c = {};
    unsigned cores = std::thread::hardware_concurrency();
    c.threads = cores > 4 ? 4 : cores ? (int)cores : 1;
    c.devices = 1;
    c.driver = CUDART_VERSION;
    c.memory = (size_t)8 << 30;
    const char *env = getenv("SECENC_CUDA_HOST");
    std::string text = env ? env : "";
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find(',', at), text.size());
        std::string item = text.substr(at, end - at), key = item.substr(0, item.find('='));
        std::string value = item.size() > key.size() ? item.substr(key.size() + 1) : "";
        unsigned long long n = strtoull(value.c_str(), nullptr, 10);
        at = end + 1;
        if (key == "order")
            c.order = value == "reverse"  ? CUDA_HOST_REVERSE
                      : value == "random" ? CUDA_HOST_RANDOM
                                          : CUDA_HOST_FORWARD;
        else if (key == "streams")
            c.deferred = value == "deferred";
        else if (key == "seed")
            c.seed = n;
        else if (key == "threads")
            c.threads = (int)n;
        else if (key == "memory")
            c.memory = (size_t)n;
        else if (key == "devices")
            c.devices = (int)n;
        else if (key == "driver")
            c.driver = (int)n;
        else if (key == "quiet")
            c.quiet = n != 0;
        else
            fprintf(stderr, "cuda_host: SECENC_CUDA_HOST: \"%s\" is not known\n", item.c_str());
    }
    return c;
}
cuda_host_config config = read_environment();

static void note(const char *text)
{
    if (text != message)
        snprintf(message, sizeof message, "%s", text);
    if (!config.quiet)
        fprintf(stderr, "cuda_host: %s\n", message);
}

cudaError_t fail(cudaError_t e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    note(message);
    last = e;
    return e;
}

void set_sticky(cudaError_t e, const char *text)
{
    note(text);
    last = sticky = e;
}

cudaError_t broken()
{
    return sticky;
}

cudaError_t enter(const char *call)
{
    counts.calls++;
    install_fault_handler(); /* test programs put theirs in between */
    if (sticky != cudaSuccess)
        return last = sticky;
    if (config.devices <= 0)
        return last = cudaErrorNoDevice;
    if (config.driver < CUDART_VERSION)
        return last = cudaErrorInsufficientDriver;
    bool mine = calls_until_fault > 0 && --calls_until_fault == 0;
    if (mine || sec_fault("cuda"))
        return fail(strstr(call, "Alloc") || strstr(call, "Malloc") ? cudaErrorMemoryAllocation
                                                                    : cudaErrorUnknown,
                    "%s: fault point", call);
    return cudaSuccess;
}

size_t kernel_smem_limit(const void *kernel)
{
    auto it = smem_limits.find(kernel);
    return it == smem_limits.end() ? SMEM_DEFAULT : (size_t)it->second;
}

cudaError_t set_kernel_attribute(const void *kernel, enum cudaFuncAttribute attr, int value)
{
    cudaError_t rc = enter("cudaFuncSetAttribute");
    if (rc != cudaSuccess || attr != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return rc;
    if (value < 0 || value > (int)SMEM_OPTIN)
        return fail(cudaErrorInvalidValue,
                    "cudaFuncSetAttribute: %d bytes of shared memory, at most %d", value,
                    (int)SMEM_OPTIN);
    smem_limits[kernel] = value;
    return cudaSuccess;
}

cudaError_t occupancy(int *blocks, int block_size, size_t smem_bytes)
{
    cudaError_t rc = enter("cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    size_t space = SMEM_OPTIN + SMEM_RESERVED;
    int by_smem = (int)(space / (smem_bytes + SMEM_RESERVED)), by_threads = 2048 / block_size;
    *blocks = min(min(by_smem, by_threads), 32);
    return rc;
}
} // namespace cuda_host

using namespace cuda_host;

extern "C" {
struct cuda_host_config cuda_host_current(void)
{
    return config;
}
void cuda_host_configure(const struct cuda_host_config *c)
{
    config = *c;
    calls_until_fault = c->fail_at;
}
void cuda_host_reset(void)
{
    last = sticky = cudaSuccess;
    message[0] = 0;
}
const char *cuda_host_message(void)
{
    return message;
}
struct cuda_host_stats cuda_host_stats_now(void)
{
    return counts;
}
void cuda_host_each_schedule(void (*fn)(void *arg), void *arg)
{
    struct cuda_host_config before = config;
    for (int i = 0; i < 10; i++) {
        struct cuda_host_config c = before;
        c.deferred = i >= 5;
        c.order = i % 5 < 2 ? (enum cuda_host_order)(i % 5) : CUDA_HOST_RANDOM;
        c.seed = (uint64_t)i;
        cuda_host_configure(&c);
        fn(arg);
    }
    cuda_host_configure(&before);
}

const char *cudaGetErrorName(cudaError_t e)
{
    switch (e) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidMemcpyDirection:
        return "cudaErrorInvalidMemcpyDirection";
    case cudaErrorInsufficientDriver:
        return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
        return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
        return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
        return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
        return "cudaErrorIllegalAddress";
    case cudaErrorMisalignedAddress:
        return "cudaErrorMisalignedAddress";
    case cudaErrorLaunchFailure:
        return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
        return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
        return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined:
        return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureWrongThread:
        return "cudaErrorStreamCaptureWrongThread";
    case cudaErrorUnknown:
        return "cudaErrorUnknown";
    }
    return "unrecognized error code";
}
/* The emulation's message says more than the runtime's fixed text. */
const char *cudaGetErrorString(cudaError_t e)
{
    return e != cudaSuccess && message[0] ? message : cudaGetErrorName(e);
}
cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last;
    last = sticky;
    return e;
}
cudaError_t cudaPeekAtLastError(void)
{
    return last;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = config.devices > 0 ? config.driver : 0;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int *count)
{
    cudaError_t rc = enter("cudaGetDeviceCount");
    *count = rc == cudaSuccess ? config.devices : 0;
    return rc;
}
cudaError_t cudaSetDevice(int device)
{
    cudaError_t rc = enter("cudaSetDevice");
    if (rc == cudaSuccess && (device < 0 || device >= config.devices))
        return fail(cudaErrorInvalidDevice, "cudaSetDevice: %d of %d devices", device,
                    config.devices);
    return rc;
}
cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return enter("cudaGetDevice");
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int)
{
    cudaError_t rc = enter("cudaGetDeviceProperties");
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "host emulation");
    p->totalGlobalMem = config.memory;
    p->sharedMemPerBlock = SMEM_DEFAULT;
    p->sharedMemPerBlockOptin = SMEM_OPTIN;
    p->sharedMemPerMultiprocessor = SMEM_OPTIN + SMEM_RESERVED;
    p->major = 9;
    p->multiProcessorCount = 2;
    p->maxThreadsPerBlock = MAX_THREADS;
    p->maxThreadsPerMultiProcessor = 2048;
    p->warpSize = 32;
    p->regsPerMultiprocessor = 65536;
    p->l2CacheSize = 50 << 20;
    return rc;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    struct cudaDeviceProp p;
    cudaError_t rc = cudaGetDeviceProperties(&p, device);
    *value = attr == cudaDevAttrMaxThreadsPerBlock             ? p.maxThreadsPerBlock
             : attr == cudaDevAttrMultiProcessorCount          ? p.multiProcessorCount
             : attr == cudaDevAttrComputeCapabilityMajor       ? p.major
             : attr == cudaDevAttrMaxSharedMemoryPerBlockOptin ? (int)SMEM_OPTIN
                                                               : p.minor;
    return rc;
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    *total_bytes = config.memory;
    *free_bytes = config.memory - counts.allocated;
    return enter("cudaMemGetInfo");
}
cudaError_t cudaDeviceReset(void)
{
    cuda_host_reset();
    run_all();
    free_all_device();
    cuda_host_reset();
    return cudaSuccess;
}
} // extern "C"
