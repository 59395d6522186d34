/* What doctor asks about the CUDA backend. */
#include "kernels/cuda/cuda.h"

extern "C" {
#include "kernels/cuda_info.h"
}

#include <stdio.h>
#include <string.h>

/* nvcc names the architectures it compiles for: 800,900. */
static void architectures(char *out, [[maybe_unused]] size_t size)
{
    out[0] = 0;
#ifdef __CUDA_ARCH_LIST__
    static const int list[] = {__CUDA_ARCH_LIST__};
    size_t used = 0;
    for (int arch : list)
        if (used < size)
            used +=
                (size_t)snprintf(out + used, size - used, "%ssm_%d", used ? " " : "", arch / 10);
#endif
}

static void device(int i, struct sec_cuda_device *d)
{
    struct cudaDeviceProp prop;
    size_t left = 0, total = 0;
    if (cudaGetDeviceProperties(&prop, i) != cudaSuccess)
        return;
    snprintf(d->name, sizeof d->name, "%.63s", prop.name);
    d->major = prop.major;
    d->minor = prop.minor;
    d->multiprocessors = prop.multiProcessorCount;
    d->memory = prop.totalGlobalMem;
    if (cudaSetDevice(i) == cudaSuccess && cudaMemGetInfo(&left, &total) == cudaSuccess)
        d->free = left;
}

extern "C" void sec_cuda_info_fill(struct sec_cuda_info *out)
{
    struct sec_backend *b = NULL;
    memset(out, 0, sizeof *out);
    out->built = true;
    out->toolkit = CUDART_VERSION;
    architectures(out->architectures, sizeof out->architectures);
    if (cudaDriverGetVersion(&out->driver) != cudaSuccess)
        out->driver = 0;
    if (out->driver && cudaGetDeviceCount(&out->n_devices) != cudaSuccess)
        out->n_devices = 0;
    for (int i = 0; i < out->n_devices && i < SEC_CUDA_MAX_DEVICES; i++)
        device(i, &out->device[i]);
    if (out->n_devices)
        cudaSetDevice(0);
    cudaGetLastError();
    out->cublaslt = cublasLtGetVersion();
    out->usable = sec_backend_cuda(&b) == 0;
    if (out->usable)
        b->destroy(b);
    else
        snprintf(out->problem, sizeof out->problem, "%s", sec_error());
    sec_error_clear();
}
