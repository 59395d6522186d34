/* Compiled by nvcc for every architecture: the kernels of kernels.h are CUDA, not only C++. */
#include "kernels.h"

cudaError_t run_everything(const bf16 *a, const bf16 *b, float *c, const uint8_t *bytes,
                           unsigned *words, int *lines, int n, cudaStream_t stream)
{
    CUDA_RETURN(run_gemm(a, b, c, n, n, n, stream));
    CUDA_RETURN(run_layer_norm<float>(c, c, n, n, stream));
    CUDA_RETURN(run_layer_norm<bf16>(a, const_cast<bf16 *>(a), n, n, stream));
    CUDA_RETURN(LAUNCH(warp_operations, 1, 64, 0, stream, lines));
    CUDA_RETURN(LAUNCH(histogram, 4, 256, 0, stream, bytes, n, words));
    CUDA_RETURN(LAUNCH(random_words, n, 64, 0, stream, words, n, 5));
    return LAUNCH((axpy<float>), n, 64, 0, stream, 2.0f, c, c, n);
}
