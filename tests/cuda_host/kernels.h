/* Correct kernels, one for each thing that device code may do: executed by test_kernels.cu, and
 * compiled for every GPU architecture by the nvcc test. */
#ifndef SEC_TESTS_CUDA_HOST_KERNELS_H
#define SEC_TESTS_CUDA_HOST_KERNELS_H

#include "kernels/cuda/device.h"

/* Sum of a block's values in every thread, in an order that depends on the block size only. */
static inline __device__ float block_sum(float x, float *partial)
{
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0)
        partial[threadIdx.x / WARP] = x;
    __syncthreads();
    float sum = 0;
    for (unsigned i = 0; i < blockDim.x / WARP; i++)
        sum += partial[i];
    __syncthreads();
    return sum;
}

/* y = (x - mean) / sqrt(variance + eps), a block a row; cols a multiple of VEC<T>. */
template <class T> __global__ void layer_norm(const T *x, T *y, int cols, float eps)
{
    SMEM(float, partial, 32);
    DYN_SMEM(float, row);
    const T *from = x + (size_t)blockIdx.x * cols;
    T *to = y + (size_t)blockIdx.x * cols;
    float sum = 0;
    for (int c = threadIdx.x * VEC<T>; c < cols; c += blockDim.x * VEC<T>) {
        Vec<T, VEC<T>> v = load_vec<VEC<T>>(from + c);
        for (int i = 0; i < VEC<T>; i++) {
            row[c + i] = to_float(v[i]);
            sum += row[c + i];
        }
    }
    float mean = block_sum(sum, partial) / cols, square = 0;
    for (int c = threadIdx.x; c < cols; c += blockDim.x)
        square += (row[c] - mean) * (row[c] - mean);
    float rstd = rsqrtf(block_sum(square, partial) / cols + eps);
    for (int c = threadIdx.x * VEC<T>; c < cols; c += blockDim.x * VEC<T>) {
        Vec<T, VEC<T>> v;
        for (int i = 0; i < VEC<T>; i++)
            v[i] = from_float<T>((row[c + i] - mean) * rstd);
        store_vec(to + c, v);
    }
}

/* C[m,n] = A[m,k] B[k,n] in fp32 from bf16. A block of 8 warps makes 128 x 128, a warp 64 x 32; two
 * stages of k in shared memory by cp.async; k a multiple of 32, n of 8; the rest is masked. */
constexpr int GEMM_M = 128, GEMM_N = 128, GEMM_K = 32, GEMM_THREADS = 256;
constexpr int GEMM_LDA = GEMM_K + 8, GEMM_LDB = GEMM_N + 8; /* 16 bytes more: no bank conflicts */
constexpr int GEMM_STAGE = GEMM_M * GEMM_LDA + GEMM_K * GEMM_LDB;
constexpr size_t GEMM_SMEM = 2 * GEMM_STAGE * sizeof(bf16);

static inline __device__ void gemm_fetch(bf16 *stage, const bf16 *a, const bf16 *b, int m, int n,
                                         int k, int k0)
{
    bf16 *sa = stage, *sb = stage + GEMM_M * GEMM_LDA;
    int row0 = blockIdx.y * GEMM_M, col0 = blockIdx.x * GEMM_N;
    for (int i = threadIdx.x; i < GEMM_M * GEMM_K / 8; i += GEMM_THREADS) {
        int r = i / (GEMM_K / 8), c = i % (GEMM_K / 8) * 8;
        bool in = row0 + r < m;
        cp_async16_zfill(sa + r * GEMM_LDA + c, in ? a + (size_t)(row0 + r) * k + k0 + c : a, in);
    }
    for (int i = threadIdx.x; i < GEMM_K * GEMM_N / 8; i += GEMM_THREADS) {
        int r = i / (GEMM_N / 8), c = i % (GEMM_N / 8) * 8;
        bool in = col0 + c < n;
        cp_async16_zfill(sb + r * GEMM_LDB + c, in ? b + (size_t)(k0 + r) * n + col0 + c : b, in);
    }
    cp_async_commit();
}

static inline __device__ void gemm_stage(const bf16 *stage, float acc[4][4][4])
{
    const bf16 *sa = stage, *sb = stage + GEMM_M * GEMM_LDA;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int row0 = warp / 4 * 64, col0 = warp % 4 * 32;
    for (int k = 0; k < GEMM_K; k += 16) {
        uint32_t fa[4][4], fb[4][2];
        for (int i = 0; i < 4; i++)
            ldmatrix_x4(fa[i], sa + (row0 + 16 * i + lane % 16) * GEMM_LDA + k + lane / 16 * 8);
        for (int j = 0; j < 4; j += 2) {
            uint32_t r[4];
            ldmatrix_x4_trans(r, sb + (k + lane % 16) * GEMM_LDB + col0 + 8 * j + lane / 16 * 8);
            fb[j][0] = r[0];
            fb[j][1] = r[1];
            fb[j + 1][0] = r[2];
            fb[j + 1][1] = r[3];
        }
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                mma_16816_bf16(acc[i][j], fa[i], fb[j]);
    }
}

[[maybe_unused]] static __global__ void __launch_bounds__(GEMM_THREADS)
    gemm_bf16(const bf16 *a, const bf16 *b, float *c, int m, int n, int k)
{
    DYN_SMEM(bf16, smem);
    float acc[4][4][4] = {};
    gemm_fetch(smem, a, b, m, n, k, 0);
    for (int k0 = 0, s = 0; k0 < k; k0 += GEMM_K, s ^= 1) {
        if (k0 + GEMM_K < k) {
            gemm_fetch(smem + (s ^ 1) * GEMM_STAGE, a, b, m, n, k, k0 + GEMM_K);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        gemm_stage(smem + s * GEMM_STAGE, acc);
        __syncthreads();
    }
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int h = 0; h < 2; h++) {
                int r = blockIdx.y * GEMM_M + warp / 4 * 64 + 16 * i + lane / 4 + 8 * h;
                int col = blockIdx.x * GEMM_N + warp % 4 * 32 + 8 * j + lane % 4 * 2;
                if (r < m && col < n)
                    store_vec(c + (size_t)r * n + col,
                              Vec<float, 2>{{acc[i][j][2 * h], acc[i][j][2 * h + 1]}});
            }
}

/* Every warp operation once; a line of 8 results a thread. */
[[maybe_unused]] static __global__ void warp_operations(int *out)
{
    int t = threadIdx.x, lane = t % WARP;
    int *o = out + 8 * t;
    o[0] = warp_xor(t, 5);
    o[1] = warp_from(t * 3, 7);
    o[2] = warp_up(t, 2);
    o[3] = warp_down(t, 3);
    o[4] = (int)warp_ballot(lane % 3 == 0);
    o[5] = warp_any(t == 40) + 2 * warp_all(t < 40);
    o[6] = (int)warp_sum((double)t);
    o[7] = (int)warp_max((float)(t ^ 21));
}

/* Histogram of bytes by integer atomics, first in shared memory. */
[[maybe_unused]] static __global__ void histogram(const uint8_t *x, int n, unsigned *count)
{
    SMEM(unsigned, local, 256);
    local[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        atomicAdd(&local[x[i]], 1u);
    __syncthreads();
    atomicAdd(&count[threadIdx.x], local[threadIdx.x]);
}

/* Four random words an element, as base/rng.h draws them. */
[[maybe_unused]] static __global__ void random_words(uint32_t *out, int n, uint64_t seed)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    uint32_t ctr[4] = {(uint32_t)i, 0, 7, 2}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    sec_philox4x32(ctr, key, out + 4 * i);
}

template <class T> __global__ void axpy(float a, const T *x, T *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = from_float<T>(a * to_float(x[i]) + to_float(y[i]));
}

/* The launches, as host code writes them. */
static inline cudaError_t run_gemm(const bf16 *a, const bf16 *b, float *c, int m, int n, int k,
                                   cudaStream_t stream)
{
    CUDA_RETURN(cudaFuncSetAttribute(gemm_bf16, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     (int)GEMM_SMEM));
    dim3 grid((n + GEMM_N - 1) / GEMM_N, (m + GEMM_M - 1) / GEMM_M);
    return LAUNCH(gemm_bf16, grid, GEMM_THREADS, GEMM_SMEM, stream, a, b, c, m, n, k);
}
template <class T>
static inline cudaError_t run_layer_norm(const T *x, T *y, int rows, int cols, cudaStream_t stream)
{
    return LAUNCH(layer_norm<T>, rows, 128, cols * sizeof(float), stream, x, y, cols, 1e-7f);
}

#endif
