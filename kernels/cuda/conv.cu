/* The 1-D convolution as one matrix product: the rows that an output row reads are laid side by
 * side in the order of the weights, [T, C ksize] with column i ksize + u, rows outside the sequence
 * as zeros. So the product is rounded once and the weight gradient is fp32 at once, neither of
 * which cuDNN's bf16 convolutions give. */
#include "kernels/cuda/cuda.h"

constexpr int THREADS = 128;

struct Shape {
    int64_t tokens, channels;
    int ksize, n_seqs; /* n_seqs: with empty ones behind the last */
    const int32_t *cu; /* on the device */
};

/* First and last + 1 row of the sequence that row t belongs to. */
static __device__ void sequence_of(const Shape &s, int64_t t, int64_t *begin, int64_t *end)
{
    int low = 0, high = s.n_seqs; /* cu[low] <= t < cu[high] */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (s.cu[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    *begin = s.cu[low];
    *end = s.cu[high];
}

/* A block a row, a thread some channels. */
template <class T> __global__ void columns_kernel(Shape s, const T *x, T *columns)
{
    int64_t t = blockIdx.x, begin, end;
    sequence_of(s, t, &begin, &end);
    T *row = columns + t * s.channels * s.ksize;
    for (int64_t i = threadIdx.x; i < s.channels; i += THREADS)
        for (int u = 0; u < s.ksize; u++) {
            int64_t from = t + u - s.ksize / 2;
            row[i * s.ksize + u] =
                from >= begin && from < end ? x[from * s.channels + i] : from_float<T>(0.0f);
        }
}

/* dx[t,i] += sum over u of d[t - u + ksize/2, i ksize + u]: where row t stood. */
template <class T> __global__ void gather_gradient_kernel(Shape s, const float *d, T *dx)
{
    int64_t t = blockIdx.x, begin, end;
    sequence_of(s, t, &begin, &end);
    for (int64_t i = threadIdx.x; i < s.channels; i += THREADS) {
        float sum = to_float(dx[t * s.channels + i]);
        for (int u = 0; u < s.ksize; u++) {
            int64_t at = t - u + s.ksize / 2;
            if (at >= begin && at < end)
                sum += d[(at * s.channels + i) * s.ksize + u];
        }
        dx[t * s.channels + i] = from_float<T>(sum);
    }
}

/* Sequences to the device, and the rows side by side. */
static int prepare(struct sec_backend *b, const struct sec_conv *c, Shape *s, void **columns)
{
    size_t n = (size_t)c->n_tokens * (size_t)c->channels * (size_t)c->ksize;
    *columns = sec_cuda_scratch(b, SCRATCH_COLUMNS, n * sec_dtype_size(c->act));
    if (!*columns)
        return SEC_EDEVICE;
    int rc = sec_cuda_set_sequences(b, c->cu_seqlens, c->n_seqs, NULL, 0);
    if (rc)
        return rc;
    const struct sec_cuda_sequences *q = &sec_cuda_of(b)->sequences;
    *s = {c->n_tokens, c->channels, c->ksize, q->cu_slots, q->cu};
    return sec_cuda_by_type(c->act, "conv", [&](auto t) {
        using T = decltype(t);
        return LAUNCH((columns_kernel<T>), (unsigned)c->n_tokens, THREADS, 0,
                      sec_cuda_of(b)->stream, *s, (const T *)c->x, (T *)*columns);
    });
}

int sec_cuda_conv(struct sec_backend *b, const struct sec_conv *c)
{
    Shape s;
    void *columns;
    if (c->n_tokens == 0)
        return 0;
    int rc = prepare(b, c, &s, &columns);
    if (rc)
        return rc;
    int64_t width = s.channels * s.ksize;
    struct sec_gemm g = {};
    g.m = s.tokens;
    g.n = s.channels;
    g.k = width;
    g.trans_b = true;
    g.ab_type = g.c_type = c->act;
    g.a = columns;
    g.b = c->w;
    g.c = c->y;
    g.lda = g.ldb = width;
    g.ldc = s.channels;
    g.epilogue = SEC_EPI_BIAS;
    g.bias = c->bias;
    return b->gemm(b, &g);
}

int sec_cuda_conv_bwd(struct sec_backend *b, const struct sec_conv *c)
{
    Shape s;
    void *columns;
    if (c->n_tokens == 0)
        return 0;
    int rc = prepare(b, c, &s, &columns);
    if (rc)
        return rc;
    int64_t width = s.channels * s.ksize;
    float *d =
        (float *)sec_cuda_scratch(b, SCRATCH_GRADIENT, (size_t)(s.tokens * width) * sizeof(float));
    if (!d)
        return SEC_EDEVICE;
    struct sec_gemm weight = {}, input = {};
    weight.m = s.channels;
    weight.n = width;
    weight.k = s.tokens;
    weight.trans_a = weight.accumulate = true;
    weight.ab_type = c->act;
    weight.c_type = SEC_F32;
    weight.a = c->dy;
    weight.b = columns;
    weight.c = c->dw;
    weight.lda = s.channels;
    weight.ldb = weight.ldc = width;
    input.m = s.tokens;
    input.n = width;
    input.k = s.channels;
    input.ab_type = c->act;
    input.c_type = SEC_F32;
    input.a = c->dy;
    input.b = c->w;
    input.c = d;
    input.lda = s.channels;
    input.ldb = input.ldc = width;
    if ((rc = b->gemm(b, &weight)) || (rc = b->gemm(b, &input)))
        return rc;
    rc = sec_cuda_by_type(c->act, "conv_bwd", [&](auto t) {
        using T = decltype(t);
        return LAUNCH((gather_gradient_kernel<T>), (unsigned)s.tokens, THREADS, 0,
                      sec_cuda_of(b)->stream, s, d, (T *)c->dx);
    });
    return rc ? rc : b->bias_grad(b, c->dy, s.tokens, s.channels, s.channels, c->act, c->dbias);
}
