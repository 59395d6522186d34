/* What the CUDA backend takes of a device besides what its caller allocates, so that plans are made
 * on machines and in builds without CUDA. tests/cuda_host/test_memory_cuda.c compares it with what
 * a training step allocates. */
#ifndef SEC_KERNELS_CUDA_MEMORY_H
#define SEC_KERNELS_CUDA_MEMORY_H

#include "kernels/ops.h"

/* Of the largest ops of a training step. */
struct sec_cuda_shape {
    enum sec_dtype act;
    int64_t tokens, hidden, inner, heads, rel_rows, ksize; /* ksize 0: no convolution */
    int64_t vocab, logit_rows, max_seqs, max_seqlen, params;
};

#define SEC_CUDA_WORKSPACE_BYTES (32 << 20) /* of cuBLASLt, taken when the backend opens */

/* Scratch that grows to its size in the first step, tables of the sequences, cuBLASLt's workspace.
 */
uint64_t sec_cuda_scratch_bytes(const struct sec_cuda_shape *s);

/* Context, code and recorded passes: an estimate, since it depends on the driver. */
#define SEC_CUDA_RUNTIME_BYTES (UINT64_C(1) << 30)
/* Of the device for which plans are made where there is none. */
#define SEC_CUDA_USUAL_BYTES UINT64_C(80000000000)

#endif
