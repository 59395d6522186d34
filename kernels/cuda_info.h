/* What this build and this machine offer of CUDA, for `secenc doctor`. Asking changes nothing and
 * does not fail: what is missing is left out, and `problem` says why. One thread at a time. */
#ifndef SEC_KERNELS_CUDA_INFO_H
#define SEC_KERNELS_CUDA_INFO_H

#include <stdbool.h>
#include <stdint.h>

enum { SEC_CUDA_MAX_DEVICES = 16 };

struct sec_cuda_device {
    char name[64];
    int major, minor; /* compute capability */
    int multiprocessors;
    uint64_t memory, free; /* bytes */
};

struct sec_cuda_info {
    bool built;             /* the program holds the backend; if not, nothing else is set */
    int toolkit;            /* it was built with, 13000 = 13.0 */
    char architectures[64]; /* with code of their own, "sm_80 sm_90"; "" in emulation */
    int driver;             /* newest CUDA that the driver supports, 0: no driver */
    int n_devices;          /* found; the first SEC_CUDA_MAX_DEVICES are described */
    struct sec_cuda_device device[SEC_CUDA_MAX_DEVICES];
    uint64_t cublaslt; /* version, 0: not found */
    bool usable;       /* the backend opens */
    char problem[512]; /* why it does not */
};

/* Compiled with the backend only; sec_backend_cuda_info is there in every build. */
void sec_cuda_info_fill(struct sec_cuda_info *out);
void sec_backend_cuda_info(struct sec_cuda_info *out);

#endif
