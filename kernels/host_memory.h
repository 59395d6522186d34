/* The memory functions of a backend whose device is the host (ref and cpu). */
#ifndef SEC_KERNELS_HOST_MEMORY_H
#define SEC_KERNELS_HOST_MEMORY_H

#include "kernels/ops.h"

/* Sets host, alloc, free, upload, download, copy, zero and sync of b. */
void sec_host_memory(struct sec_backend *b);

#endif
