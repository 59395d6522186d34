/* Dropout + residual + LayerNorm, forward and backward, and sums over rows. A warp owns a row;
 * columns go in groups of four, which is one block of dropout's random words. */
#include "kernels/cuda/cuda.h"

constexpr int WARPS = 4, THREADS = WARPS * WARP;
/* Reductions over rows: chunks of fixed size give partial sums, which are added in a fixed order,
 * so that the result depends on the shape only. */
constexpr int COLUMN_THREADS = 128, CHUNK = 64, NORM_CHUNK = 32;

template <class T> struct AddLn {
    int64_t rows, cols;
    const T *a, *residual;
    const float *gamma, *beta;
    T *s, *y;
    float *mean, *rstd;
    float eps;
    bool aligned;
    sec_cuda_drop drop;
};

/* The sum is rounded to T whether or not it is kept. The row stays in shared memory as floats. */
template <class T> __global__ void add_ln_kernel(AddLn<T> p)
{
    DYN_SMEM(float, smem);
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * WARPS + warp, groups = (p.cols + 3) / 4;
    float *held = smem + warp * 4 * groups;
    if (row >= p.rows)
        return; /* the whole warp */
    uint64_t key = p.drop.row_key ? p.drop.row_key[row] : 0;
    int64_t base = row * p.cols;
    float sum = 0;
    for (int64_t g = lane; g < groups; g += WARP) {
        int n = p.cols - 4 * g < 4 ? (int)(p.cols - 4 * g) : 4;
        float x[4], r[4], keep[4];
        load4(p.a + base + 4 * g, n, p.aligned, x);
        if (p.drop.row_key) {
            sec_cuda_drop4(p.drop, key, (uint32_t)g, keep);
            for (int i = 0; i < 4; i++)
                x[i] *= keep[i];
        }
        if (p.residual) {
            load4(p.residual + base + 4 * g, n, p.aligned, r);
            for (int i = 0; i < 4; i++)
                x[i] += r[i];
        }
        for (int i = 0; i < 4; i++) {
            x[i] = to_float(from_float<T>(x[i]));
            held[4 * g + i] = x[i];
            sum += i < n ? x[i] : 0.0f;
        }
        if (p.s)
            store4(p.s + base + 4 * g, n, p.aligned, x);
    }
    float mean = warp_sum(sum) / (float)p.cols, square = 0;
    for (int64_t g = lane; g < groups; g += WARP)
        for (int i = 0; i < 4; i++) {
            float d = held[4 * g + i] - mean;
            square += 4 * g + i < p.cols ? d * d : 0.0f;
        }
    float rstd = 1.0f / sqrtf(warp_sum(square) / (float)p.cols + p.eps);
    for (int64_t g = lane; g < groups; g += WARP) {
        int n = p.cols - 4 * g < 4 ? (int)(p.cols - 4 * g) : 4;
        float y[4];
        for (int i = 0; i < 4; i++)
            y[i] = i < n ? (held[4 * g + i] - mean) * rstd * p.gamma[4 * g + i] + p.beta[4 * g + i]
                         : 0.0f;
        store4(p.y + base + 4 * g, n, p.aligned, y);
    }
    if (lane == 0 && p.mean)
        p.mean[row] = mean;
    if (lane == 0 && p.rstd)
        p.rstd[row] = rstd;
}

/* Columns of 12,000 need all the shared memory that a block can have. */
template <class K> static cudaError_t allow_smem(K *kernel, size_t bytes)
{
    return bytes <= (48 << 10)
               ? cudaSuccess
               : cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      (int)bytes);
}

int sec_cuda_add_ln(struct sec_backend *b, const struct sec_add_ln *a)
{
    if (a->rows == 0)
        return 0;
    return sec_cuda_by_type(a->act, "add_ln", [&](auto t) {
        using T = decltype(t);
        AddLn<T> p = {a->rows,
                      a->cols,
                      (const T *)a->a,
                      (const T *)a->residual,
                      (const float *)a->gamma,
                      (const float *)a->beta,
                      (T *)a->s,
                      (T *)a->y,
                      (float *)a->mean,
                      (float *)a->rstd,
                      a->eps,
                      sec_cuda_aligned4<T>(a->cols, a->a, a->residual, a->s, a->y),
                      sec_cuda_drop_of(&a->dropout)};
        size_t smem = WARPS * 4 * (size_t)((a->cols + 3) / 4) * sizeof(float);
        cudaError_t rc = allow_smem(add_ln_kernel<T>, smem);
        return rc != cudaSuccess ? rc
                                 : LAUNCH((add_ln_kernel<T>), sec_cuda_blocks(a->rows, WARPS),
                                          THREADS, smem, sec_cuda_of(b)->stream, p);
    });
}

template <class T> struct AddLnBwd {
    int64_t rows, cols;
    const T *dy, *s;
    const float *mean, *rstd, *gamma;
    T *ds, *da;
    float *partial; /* [chunk][beta, gamma][cols] */
    bool aligned;
    sec_cuda_drop drop;
};

/* One row by one warp. With g = gamma dy: dS = rstd (g - mean(g) - xhat mean(g xhat)), dA =
 * dropout'(dS). The row's dy and dy xhat are added to the warp's sums of dbeta and dgamma. */
template <class T>
static __device__ void add_ln_bwd_row(const AddLnBwd<T> &p, int64_t row, float *sum_beta,
                                      float *sum_gamma)
{
    int lane = threadIdx.x % WARP;
    int64_t base = row * p.cols, groups = (p.cols + 3) / 4;
    float mean = p.mean[row], rstd = p.rstd[row], sum = 0, dot = 0, dy[4], s[4];
    uint64_t key = p.drop.row_key ? p.drop.row_key[row] : 0;
    for (int64_t g = lane; g < groups; g += WARP) {
        int n = p.cols - 4 * g < 4 ? (int)(p.cols - 4 * g) : 4;
        load4(p.dy + base + 4 * g, n, p.aligned, dy);
        load4(p.s + base + 4 * g, n, p.aligned, s);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float x = i < n ? p.gamma[4 * g + i] * dy[i] : 0.0f;
            sum += x;
            dot += x * (s[i] - mean) * rstd;
        }
    }
    float mean_g = warp_sum(sum) / (float)p.cols, mean_gx = warp_sum(dot) / (float)p.cols;
    for (int64_t g = lane; g < groups; g += WARP) {
        int n = p.cols - 4 * g < 4 ? (int)(p.cols - 4 * g) : 4;
        float ds[4] = {}, keep[4] = {1, 1, 1, 1};
        load4(p.dy + base + 4 * g, n, p.aligned, dy);
        load4(p.s + base + 4 * g, n, p.aligned, s);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < n) {
                float xhat = (s[i] - mean) * rstd;
                ds[i] = rstd * (p.gamma[4 * g + i] * dy[i] - mean_g - xhat * mean_gx);
                sum_beta[4 * g + i] += dy[i];
                sum_gamma[4 * g + i] += dy[i] * xhat;
            }
        store4(p.ds + base + 4 * g, n, p.aligned, ds);
        if (!p.da)
            continue;
        if (p.drop.row_key)
            sec_cuda_drop4(p.drop, key, (uint32_t)g, keep);
#pragma unroll
        for (int i = 0; i < 4; i++)
            ds[i] *= keep[i];
        store4(p.da + base + 4 * g, n, p.aligned, ds);
    }
}

/* A block a chunk of rows. Every lane adds to columns of its own; then the warps' sums are added in
 * their order. */
template <class T> __global__ void add_ln_bwd_kernel(AddLnBwd<T> p)
{
    DYN_SMEM(float, sums); /* [warp][beta, gamma][cols] */
    int warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    int64_t first = (int64_t)blockIdx.x * NORM_CHUNK, end = min(first + NORM_CHUNK, p.rows);
    for (int64_t i = threadIdx.x; i < warps * 2 * p.cols; i += blockDim.x)
        sums[i] = 0;
    __syncthreads();
    float *own = sums + warp * 2 * p.cols;
    for (int64_t row = first + warp; row < end; row += warps)
        add_ln_bwd_row(p, row, own, own + p.cols);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < 2 * p.cols; i += blockDim.x) {
        float x = 0;
        for (int w = 0; w < warps; w++)
            x += sums[w * 2 * p.cols + i];
        p.partial[blockIdx.x * 2 * p.cols + i] = x;
    }
}

template <class T>
__global__ void columns_kernel(const T *dy, int64_t rows, int64_t cols, int64_t ld, float *partial)
{
    int64_t c = (int64_t)blockIdx.x * COLUMN_THREADS + threadIdx.x;
    int64_t first = (int64_t)blockIdx.y * CHUNK, end = min(first + CHUNK, rows);
    if (c >= cols)
        return;
    float sum = 0;
    for (int64_t r = first; r < end; r++)
        sum += to_float(dy[r * ld + c]);
    partial[(int64_t)blockIdx.y * cols + c] = sum;
}

/* out[c] += sum over chunks of partial[chunk, c]; rows of partial are `stride` apart. A block takes
 * 32 columns; warp w the chunks w, w + WARPS.. */
constexpr int SUM_WARPS = 8;
static __global__ void add_partials_kernel(const float *partial, int64_t chunks, int64_t cols,
                                           int64_t stride, float *out)
{
    SMEM(float, shared, SUM_WARPS *WARP);
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int64_t c = (int64_t)blockIdx.x * WARP + lane;
    float sum = 0;
    for (int64_t i = warp; i < chunks && c < cols; i += SUM_WARPS)
        sum += partial[i * stride + c];
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (warp > 0 || c >= cols)
        return;
    for (int w = 1; w < SUM_WARPS; w++)
        sum += shared[w * WARP + lane];
    out[c] += sum;
}

static cudaError_t add_partials(const float *partial, int64_t chunks, int64_t cols, int64_t stride,
                                void *out, cudaStream_t stream)
{
    return LAUNCH(add_partials_kernel, sec_cuda_blocks(cols, WARP), SUM_WARPS * WARP, 0, stream,
                  partial, chunks, cols, stride, (float *)out);
}

int sec_cuda_add_ln_bwd(struct sec_backend *b, const struct sec_add_ln_bwd *a)
{
    if (a->rows == 0)
        return 0;
    unsigned chunks = sec_cuda_blocks(a->rows, NORM_CHUNK);
    float *partial =
        (float *)sec_cuda_scratch(b, SCRATCH_PARTIAL, 2 * chunks * (size_t)a->cols * sizeof(float));
    if (!partial)
        return SEC_EDEVICE;
    return sec_cuda_by_type(a->act, "add_ln_bwd", [&](auto t) {
        using T = decltype(t);
        cudaStream_t stream = sec_cuda_of(b)->stream;
        size_t smem = 2 * (size_t)a->cols * sizeof(float); /* a warp */
        int warps = WARPS * smem <= (48 << 10) ? WARPS : 1;
        AddLnBwd<T> p = {a->rows,
                         a->cols,
                         (const T *)a->dy,
                         (const T *)a->s,
                         (const float *)a->mean,
                         (const float *)a->rstd,
                         (const float *)a->gamma,
                         (T *)a->ds,
                         (T *)a->da,
                         partial,
                         sec_cuda_aligned4<T>(a->cols, a->dy, a->s, a->ds, a->da),
                         sec_cuda_drop_of(&a->dropout)};
        CUDA_RETURN(allow_smem(add_ln_bwd_kernel<T>, warps * smem));
        CUDA_RETURN(LAUNCH((add_ln_bwd_kernel<T>), chunks, warps * WARP, warps * smem, stream, p));
        CUDA_RETURN(add_partials(partial, chunks, a->cols, 2 * a->cols, a->dbeta, stream));
        return add_partials(partial + a->cols, chunks, a->cols, 2 * a->cols, a->dgamma, stream);
    });
}

int sec_cuda_bias_grad(struct sec_backend *b, const void *dy, int64_t rows, int64_t cols,
                       int64_t ld, enum sec_dtype act, void *db)
{
    if (rows == 0 || cols == 0)
        return 0;
    unsigned chunks = sec_cuda_blocks(rows, CHUNK), columns = sec_cuda_blocks(cols, COLUMN_THREADS);
    float *partial =
        (float *)sec_cuda_scratch(b, SCRATCH_PARTIAL, chunks * (size_t)cols * sizeof(float));
    if (!partial)
        return SEC_EDEVICE;
    return sec_cuda_by_type(act, "bias_grad", [&](auto t) {
        using T = decltype(t);
        cudaStream_t stream = sec_cuda_of(b)->stream;
        CUDA_RETURN(LAUNCH((columns_kernel<T>), dim3(columns, chunks), COLUMN_THREADS, 0, stream,
                           (const T *)dy, rows, cols, ld, partial));
        return add_partials(partial, chunks, cols, cols, db, stream);
    });
}
