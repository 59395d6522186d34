/* cuBLASLt on the host: cublasLt.h says what of it there is. */
#include "internal.h"

#include "cublasLt.h"
#include "kernels/cuda/device.h"

#include <string.h>

struct cublasLtContext {
    int unused;
};
struct cuda_host_layout {
    cudaDataType type;
    int64_t rows, cols, ld;
    int order = CUBLASLT_ORDER_COL;
    int32_t batches = 1;
    int64_t batch_stride = 0;
};
struct cuda_host_matmul {
    cublasComputeType_t compute;
    int trans_a = CUBLAS_OP_N, trans_b = CUBLAS_OP_N;
    uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
    int32_t bias_type = -1;
};
struct cuda_host_preference {
    uint64_t workspace = 0;
};

namespace cuda_host
{
struct Matmul {
    cuda_host_matmul desc;
    cuda_host_layout a, b, c, d;
    const void *pa, *pb, *pc;
    void *pd;
    float alpha, beta;
    int64_t m, n, k;
};

static size_t type_size(int type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}

static int64_t line_length(const cuda_host_layout &l)
{
    return l.order == CUBLASLT_ORDER_COL ? l.rows : l.cols;
}
static size_t layout_bytes(const cuda_host_layout &l)
{
    int64_t lines = l.order == CUBLASLT_ORDER_COL ? l.cols : l.rows;
    int64_t last = (l.batches - 1) * l.batch_stride + (lines - 1) * l.ld + line_length(l);
    return (size_t)last * type_size(l.type);
}
static int64_t at(const cuda_host_layout &l, int64_t row, int64_t col)
{
    return l.order == CUBLASLT_ORDER_COL ? col * l.ld + row : row * l.ld + col;
}
static float get(const void *p, int type, int64_t i)
{
    return type == CUDA_R_16BF ? to_float(static_cast<const bf16 *>(p)[i])
                               : static_cast<const float *>(p)[i];
}
static void set(void *p, int type, int64_t i, float x)
{
    if (type == CUDA_R_16BF)
        static_cast<bf16 *>(p)[i] = from_float<bf16>(x);
    else
        static_cast<float *>(p)[i] = x;
}

/* Whether the library takes it, and the sizes. */
static const char *check(Matmul *m)
{
    bool ta = m->desc.trans_a == CUBLAS_OP_T, tb = m->desc.trans_b == CUBLAS_OP_T;
    m->m = ta ? m->a.cols : m->a.rows;
    m->k = ta ? m->a.rows : m->a.cols;
    m->n = tb ? m->b.rows : m->b.cols;
    for (const cuda_host_layout *l : {&m->a, &m->b, &m->c, &m->d})
        if (l->rows <= 0 || l->cols <= 0 || l->ld < line_length(*l))
            return "a leading dimension is shorter than a line, or a matrix is empty";
    if ((tb ? m->b.cols : m->b.rows) != m->k || m->d.rows != m->m || m->d.cols != m->n ||
        m->c.rows != m->m || m->c.cols != m->n)
        return "the shapes of A, B, C and D do not fit";
    if (m->a.type != m->b.type || m->c.type != m->d.type ||
        (m->a.type == CUDA_R_32F && m->d.type != CUDA_R_32F))
        return "types: A and B alike, C and D alike, fp32 results of fp32";
    if (m->c.order != m->d.order)
        return "C and D have different orders";
    if (m->b.batches != m->a.batches || m->d.batches != m->a.batches ||
        m->c.batches != m->a.batches)
        return "batch counts differ";
    if (m->desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT && m->desc.epilogue != CUBLASLT_EPILOGUE_BIAS)
        return "an epilogue other than none and bias";
    if (m->desc.epilogue == CUBLASLT_EPILOGUE_BIAS && m->desc.bias_type >= 0 &&
        m->desc.bias_type != m->d.type)
        return "a bias of another type than D";
    return nullptr;
}

/* op(X) of one batch as rows of floats, padded with zeros to `width`. */
static std::vector<float> unpack(const void *p, const cuda_host_layout &l, bool transpose,
                                 int64_t batch, int64_t rows, int64_t cols, int64_t width)
{
    std::vector<float> v((size_t)(rows * width));
    int64_t base = batch * l.batch_stride;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            v[(size_t)(r * width + c)] =
                get(p, l.type, base + (transpose ? at(l, c, r) : at(l, r, c)));
    return v;
}

/* y[0..width) += a[0..k) B[k, width], width a multiple of 16. */
typedef float F16 __attribute__((vector_size(64), aligned(4), may_alias));
__attribute__((target_clones("avx512f", "avx2", "default"))) static void
accumulate(float *y, const float *a, const float *b, int64_t k, int64_t width)
{
    for (int64_t c = 0; c < width; c += 16) {
        F16 sum = *reinterpret_cast<F16 *>(y + c);
        for (int64_t i = 0; i < k; i++)
            sum += a[i] * *reinterpret_cast<const F16 *>(b + i * width + c);
        *reinterpret_cast<F16 *>(y + c) = sum;
    }
}

static void multiply_batch(const Matmul &m, int64_t batch)
{
    int64_t width = (m.n + 15) / 16 * 16;
    std::vector<float> a = unpack(m.pa, m.a, m.desc.trans_a == CUBLAS_OP_T, batch, m.m, m.k, m.k);
    std::vector<float> b = unpack(m.pb, m.b, m.desc.trans_b == CUBLAS_OP_T, batch, m.k, m.n, width);
    std::vector<float> row((size_t)width);
    int64_t base_c = batch * m.c.batch_stride, base_d = batch * m.d.batch_stride;
    for (int64_t i = 0; i < m.m; i++) {
        std::fill(row.begin(), row.end(), 0.0f);
        accumulate(row.data(), &a[(size_t)(i * m.k)], b.data(), m.k, width);
        for (int64_t j = 0; j < m.n; j++) {
            float x = m.alpha * row[(size_t)j];
            if (m.beta != 0)
                x += m.beta * get(m.pc, m.c.type, base_c + at(m.c, i, j));
            if (m.desc.epilogue == CUBLASLT_EPILOGUE_BIAS)
                x += get(m.desc.bias, m.d.type, i);
            set(m.pd, m.d.type, base_d + at(m.d, i, j), x);
        }
    }
}

static cudaError_t run_matmul(const Matmul &m)
{
    cudaError_t rc = open_device(m.pa, layout_bytes(m.a), "cublasLtMatmul, A");
    if (rc == cudaSuccess)
        rc = open_device(m.pb, layout_bytes(m.b), "cublasLtMatmul, B");
    if (rc == cudaSuccess && m.beta != 0)
        rc = open_device(m.pc, layout_bytes(m.c), "cublasLtMatmul, C");
    if (rc == cudaSuccess)
        rc = open_device(m.pd, layout_bytes(m.d), "cublasLtMatmul, D");
    if (rc == cudaSuccess && m.desc.epilogue == CUBLASLT_EPILOGUE_BIAS)
        rc = open_device(m.desc.bias, (size_t)m.m * type_size(m.d.type), "cublasLtMatmul, bias");
    for (int32_t i = 0; rc == cudaSuccess && i < m.a.batches; i++)
        multiply_batch(m, i);
    cudaError_t closed = close_device("cublasLtMatmul");
    return rc == cudaSuccess ? closed : rc;
}

template <class T> static cublasStatus_t assign(T *to, const void *value, size_t bytes)
{
    if (!value || bytes != sizeof(T))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
} // namespace cuda_host

using namespace cuda_host;

extern "C" {
cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = nullptr;
    if (enter("cublasLtCreate") != cudaSuccess)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new cublasLtContext();
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}
const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : cuda_host_message();
}
size_t cublasLtGetVersion(void)
{
    return 130000;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    *layout = new cuda_host_layout();
    (*layout)->type = type;
    (*layout)->rows = (int64_t)rows;
    (*layout)->cols = (int64_t)cols;
    (*layout)->ld = ld;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t attr,
                                                const void *value, size_t bytes)
{
    switch (attr) {
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
        return assign(&l->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return assign(&l->batches, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return assign(&l->batch_stride, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType scale)
{
    *desc = nullptr;
    if (scale != CUDA_R_32F) {
        fail(cudaErrorInvalidValue, "cublasLtMatmulDescCreate: scale type %d, not fp32", scale);
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    *desc = new cuda_host_matmul();
    (*desc)->compute = compute;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t attr,
                                              const void *value, size_t bytes)
{
    switch (attr) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return assign(&d->trans_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return assign(&d->trans_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return assign(&d->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return assign(&d->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return assign(&d->bias_type, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *pref)
{
    *pref = new cuda_host_preference();
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref)
{
    delete pref;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref,
                                                    cublasLtMatmulPreferenceAttributes_t attr,
                                                    const void *value, size_t bytes)
{
    if (attr == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return assign(&pref->workspace, value, bytes);
    return bytes == sizeof(uint32_t) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* One algorithm, which needs no workspace. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *found)
{
    Matmul m = {*desc, *a, *b, *c, *d, nullptr, nullptr, nullptr, nullptr, 1, 0, 0, 0, 0};
    *found = 0;
    if (enter("cublasLtMatmulAlgoGetHeuristic") != cudaSuccess || wanted < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    const char *wrong = check(&m);
    if (wrong) {
        fail(cudaErrorInvalidValue, "cublasLtMatmulAlgoGetHeuristic: %s", wrong);
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    memset(results, 0, sizeof *results);
    results->wavesCount = 1;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    if (!handle || enter("cublasLtMatmul") != cudaSuccess)
        return handle ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_NOT_INITIALIZED;
    Matmul m = {*desc, *a_layout, *b_layout, *c_layout, *d_layout, a, b, c, d, 0, 0, 0, 0, 0};
    memcpy(&m.alpha, alpha, sizeof m.alpha);
    memcpy(&m.beta, beta, sizeof m.beta);
    const char *wrong = check(&m);
    if (!wrong && workspace_bytes && !device_contains(workspace, workspace_bytes))
        wrong = "the workspace is not within an allocation";
    if (wrong) {
        fail(cudaErrorInvalidValue, "cublasLtMatmul: %s", wrong);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    return enqueue(stream, [m] { return run_matmul(m); }) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_EXECUTION_FAILED;
}
} // extern "C"
