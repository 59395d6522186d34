/* Dropout + residual + LayerNorm, forward and backward, and sums over rows. A warp owns a row;
 * columns go in groups of four, which is one block of dropout's random words. */
#include "kernels/cuda/cuda.h"

constexpr int WARPS = 4, THREADS = WARPS * WARP;
/* Reductions over rows: a thread a column, rows in chunks of fixed size whose sums are added in
 * their order, so that the result depends on the shape only. */
constexpr int COLUMN_THREADS = 128, CHUNK = 64;

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
    bool aligned;
    sec_cuda_drop drop;
};

/* With g = gamma dy: dS = rstd (g - mean(g) - xhat mean(g xhat)), dA = dropout'(dS). */
template <class T> __global__ void add_ln_bwd_kernel(AddLnBwd<T> p)
{
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * WARPS + warp, groups = (p.cols + 3) / 4;
    if (row >= p.rows)
        return;
    int64_t base = row * p.cols;
    float mean = p.mean[row], rstd = p.rstd[row], sum = 0, dot = 0;
    uint64_t key = p.drop.row_key ? p.drop.row_key[row] : 0;
    for (int64_t g = lane; g < groups; g += WARP) {
        int n = p.cols - 4 * g < 4 ? (int)(p.cols - 4 * g) : 4;
        float dy[4], s[4];
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
        float dy[4], s[4], ds[4] = {}, keep[4];
        load4(p.dy + base + 4 * g, n, p.aligned, dy);
        load4(p.s + base + 4 * g, n, p.aligned, s);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < n)
                ds[i] =
                    rstd * (p.gamma[4 * g + i] * dy[i] - mean_g - (s[i] - mean) * rstd * mean_gx);
        store4(p.ds + base + 4 * g, n, p.aligned, ds);
        if (!p.da)
            continue;
        if (p.drop.row_key)
            sec_cuda_drop4(p.drop, key, (uint32_t)g, keep);
        for (int i = 0; i < 4; i++)
            ds[i] *= p.drop.row_key ? keep[i] : 1.0f;
        store4(p.da + base + 4 * g, n, p.aligned, ds);
    }
}

/* partial[chunk, 0, c] = sum of dy over the chunk's rows, partial[chunk, 1, c] = of dy xhat. */
template <class T>
__global__ void norm_columns_kernel(const T *dy, const T *s, const float *mean, const float *rstd,
                                    int64_t rows, int64_t cols, float *partial)
{
    int64_t c = (int64_t)blockIdx.x * COLUMN_THREADS + threadIdx.x;
    int64_t first = (int64_t)blockIdx.y * CHUNK, end = min(first + CHUNK, rows);
    if (c >= cols)
        return;
    float beta = 0, gamma = 0;
    for (int64_t r = first; r < end; r++) {
        float d = to_float(dy[r * cols + c]);
        beta += d;
        gamma += d * (to_float(s[r * cols + c]) - mean[r]) * rstd[r];
    }
    partial[(int64_t)blockIdx.y * 2 * cols + c] = beta;
    partial[((int64_t)blockIdx.y * 2 + 1) * cols + c] = gamma;
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

/* out[c] += sum over chunks of partial[chunk, c]; rows of partial are `stride` apart. */
static __global__ void add_partials_kernel(const float *partial, int64_t chunks, int64_t cols,
                                           int64_t stride, float *out)
{
    int64_t c = (int64_t)blockIdx.x * COLUMN_THREADS + threadIdx.x;
    if (c >= cols)
        return;
    float sum = 0;
    for (int64_t i = 0; i < chunks; i++)
        sum += partial[i * stride + c];
    out[c] += sum;
}

int sec_cuda_add_ln_bwd(struct sec_backend *b, const struct sec_add_ln_bwd *a)
{
    if (a->rows == 0)
        return 0;
    unsigned chunks = sec_cuda_blocks(a->rows, CHUNK);
    unsigned columns = sec_cuda_blocks(a->cols, COLUMN_THREADS);
    float *partial =
        (float *)sec_cuda_scratch(b, SCRATCH_PARTIAL, 2 * chunks * (size_t)a->cols * sizeof(float));
    if (!partial)
        return SEC_EDEVICE;
    return sec_cuda_by_type(a->act, "add_ln_bwd", [&](auto t) {
        using T = decltype(t);
        cudaStream_t stream = sec_cuda_of(b)->stream;
        AddLnBwd<T> p = {a->rows,
                         a->cols,
                         (const T *)a->dy,
                         (const T *)a->s,
                         (const float *)a->mean,
                         (const float *)a->rstd,
                         (const float *)a->gamma,
                         (T *)a->ds,
                         (T *)a->da,
                         sec_cuda_aligned4<T>(a->cols, a->dy, a->s, a->ds, a->da),
                         sec_cuda_drop_of(&a->dropout)};
        /* Columns first: ds may overwrite dy. */
        CUDA_RETURN(LAUNCH((norm_columns_kernel<T>), dim3(columns, chunks), COLUMN_THREADS, 0,
                           stream, p.dy, p.s, p.mean, p.rstd, a->rows, a->cols, partial));
        CUDA_RETURN(LAUNCH(add_partials_kernel, columns, COLUMN_THREADS, 0, stream, partial, chunks,
                           a->cols, 2 * a->cols, (float *)a->dbeta));
        CUDA_RETURN(LAUNCH(add_partials_kernel, columns, COLUMN_THREADS, 0, stream,
                           partial + a->cols, chunks, a->cols, 2 * a->cols, (float *)a->dgamma));
        return LAUNCH((add_ln_bwd_kernel<T>), sec_cuda_blocks(a->rows, WARPS), THREADS, 0, stream,
                      p);
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
        return LAUNCH(add_partials_kernel, columns, COLUMN_THREADS, 0, stream, partial, chunks,
                      cols, cols, (float *)db);
    });
}
