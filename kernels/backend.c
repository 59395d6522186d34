/* Choosing a backend by name. Compiled twice: as it is, and with SECENC_HAVE_CUDA where the CUDA
 * backend is linked in. */
#include "base/error.h"
#include "kernels/cuda_info.h"
#include "kernels/ops.h"

#include <string.h>

#ifdef SECENC_HAVE_CUDA

static int open_cuda(struct sec_backend **out)
{
    return sec_backend_cuda(out);
}

void sec_backend_cuda_info(struct sec_cuda_info *out)
{
    sec_cuda_info_fill(out);
}

#else

static int open_cuda(struct sec_backend **out)
{
    return sec_fail(SEC_EDEVICE, "cuda: this secenc was built without CUDA: build it with "
                                 "-DSECENC_CUDA=on where the CUDA 13 toolkit is installed, or use "
                                 "--device cpu");
}

void sec_backend_cuda_info(struct sec_cuda_info *out)
{
    memset(out, 0, sizeof *out);
}

#endif

int sec_backend_open(const char *name, struct sec_backend **out)
{
    *out = NULL;
    if (!strcmp(name, "cuda"))
        return open_cuda(out);
    if (!strcmp(name, "cpu"))
        return sec_backend_cpu(out);
    if (!strcmp(name, "ref"))
        return sec_backend_ref(out);
    if (strcmp(name, "auto"))
        return sec_fail(SEC_ECONFIG, "device \"%s\" is not known: use auto, cuda, cpu or ref",
                        name);
    if (open_cuda(out) == 0)
        return 0;
    sec_error_clear();
    return sec_backend_cpu(out);
}
