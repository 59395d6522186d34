/* Matrix products by cuBLASLt, and their epilogues. cuBLASLt is column-major: our row-major
 * C = op(A) op(B) is its C' = op(B)' op(A)', where each buffer is read as its transpose. Its bias
 * has the type of C, so that of a bf16 product is rounded first; its GELU is the tanh form, so ours
 * follows as a kernel that reads the pre-activation, which backward needs in any case. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

constexpr int THREADS = 256;

/* What cuBLASLt chose for one shape. Plans are kept in a table with open addressing. */
struct Key {
    int64_t m, n, k, lda, ldb, ldc;
    const void *bias; /* part of a descriptor */
    int32_t trans_a, trans_b, ab_type, c_type;
    uint32_t align_a, align_b, align_c;
    int32_t batches;
    int64_t stride_a, stride_b, stride_c; /* from batch to batch */
};
struct sec_cuda_plan {
    Key key;
    bool used;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    size_t workspace;
};
constexpr unsigned PLANS = 1024;

static void plan_free(sec_cuda_plan *p)
{
    if (p->a)
        cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        cublasLtMatrixLayoutDestroy(p->b);
    if (p->c)
        cublasLtMatrixLayoutDestroy(p->c);
    if (p->desc)
        cublasLtMatmulDescDestroy(p->desc);
    memset(p, 0, sizeof *p);
}

void sec_cuda_gemm_free(struct sec_cuda *s)
{
    for (unsigned i = 0; s->plans && i < PLANS; i++)
        plan_free(&s->plans[i]);
    free(s->plans);
    s->plans = NULL;
}

static int blas_status(cublasStatus_t rc, const Key *k)
{
    if (rc == CUBLAS_STATUS_SUCCESS)
        return 0;
    return sec_fail(SEC_EDEVICE, "cuda: cuBLASLt, product of %lld x %lld x %lld: %s",
                    (long long)k->m, (long long)k->n, (long long)k->k, cublasLtGetStatusString(rc));
}

static cudaDataType_t data_type(int32_t t)
{
    return t == SEC_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* Stored row-major matrices as the column-major matrices that lie at the same places. */
static cublasStatus_t layout(cublasLtMatrixLayout_t *l, int32_t type, int64_t rows, int64_t cols,
                             int64_t ld, int32_t batches, int64_t stride)
{
    cublasStatus_t rc =
        cublasLtMatrixLayoutCreate(l, data_type(type), (uint64_t)cols, (uint64_t)rows, ld);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches,
                                              sizeof batches);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                              &stride, sizeof stride);
    return rc;
}

static cublasStatus_t describe(sec_cuda_plan *p, const Key *k)
{
    int32_t op_a = k->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    int32_t op_b = k->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint32_t epilogue = k->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    cublasStatus_t rc = cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_a,
                                            sizeof op_a);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &op_b,
                                            sizeof op_b);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                            sizeof epilogue);
    if (rc == CUBLAS_STATUS_SUCCESS && k->bias)
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &k->bias,
                                            sizeof k->bias);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = layout(&p->a, k->ab_type, k->trans_b ? k->n : k->k, k->trans_b ? k->k : k->n, k->ldb,
                    k->batches, k->stride_b);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = layout(&p->b, k->ab_type, k->trans_a ? k->k : k->m, k->trans_a ? k->m : k->k, k->lda,
                    k->batches, k->stride_a);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = layout(&p->c, k->c_type, k->m, k->n, k->ldc, k->batches, k->stride_c);
    return rc;
}

static cublasStatus_t choose(struct sec_cuda *s, sec_cuda_plan *p, const Key *k)
{
    cublasLtMatmulPreference_t pref = NULL;
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    uint64_t limit = s->workspace_bytes;
    struct {
        cublasLtMatmulPreferenceAttributes_t attr;
        uint32_t value;
    } align[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, k->align_b},
                 {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, k->align_a},
                 {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, k->align_c},
                 {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, k->align_c}};
    cublasStatus_t rc = cublasLtMatmulPreferenceCreate(&pref);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &limit, sizeof limit);
    for (int i = 0; i < 4 && rc == CUBLAS_STATUS_SUCCESS; i++)
        rc = cublasLtMatmulPreferenceSetAttribute(pref, align[i].attr, &align[i].value,
                                                  sizeof align[i].value);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = cublasLtMatmulAlgoGetHeuristic(s->blas, p->desc, p->a, p->b, p->c, p->c, pref, 1,
                                            &result, &found);
    if (rc == CUBLAS_STATUS_SUCCESS && found < 1)
        rc = CUBLAS_STATUS_NOT_SUPPORTED;
    if (rc == CUBLAS_STATUS_SUCCESS) {
        p->algo = result.algo;
        p->workspace = result.workspaceSize;
    }
    if (pref)
        cublasLtMatmulPreferenceDestroy(pref);
    return rc;
}

/* The plan of this key, made on first use. NULL and a message on failure. */
static sec_cuda_plan *find_plan(struct sec_cuda *s, const Key *k)
{
    if (!s->plans)
        s->plans = (sec_cuda_plan *)calloc(PLANS, sizeof *s->plans);
    if (!s->plans) {
        sec_fail(SEC_ENOMEM, "cuda: no memory for the plans of matrix products");
        return NULL;
    }
    const unsigned char *bytes = (const unsigned char *)k;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < sizeof *k; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    unsigned at = (unsigned)(hash ^ hash >> 32) % PLANS;
    /* A full neighbourhood is rare; its first plan makes room. */
    for (unsigned i = 0; i < 16; i++) {
        sec_cuda_plan *p = &s->plans[(at + i) % PLANS];
        if (p->used && !memcmp(&p->key, k, sizeof *k))
            return p;
        if (!p->used) {
            at = (at + i) % PLANS;
            break;
        }
    }
    sec_cuda_plan *p = &s->plans[at];
    plan_free(p);
    cublasStatus_t rc = describe(p, k);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = choose(s, p, k);
    if (blas_status(rc, k)) {
        plan_free(p);
        return NULL;
    }
    p->key = *k;
    p->used = true;
    return p;
}

/* The largest power of two up to 256 that divides the address and, with batches, their distance. */
static uint32_t alignment(const void *p, int64_t stride, int32_t type)
{
    uintptr_t bits = (uintptr_t)p | (uintptr_t)stride * sec_dtype_size((enum sec_dtype)type) | 256;
    return (uint32_t)(bits & (~bits + 1));
}

/* C, at this place, = op(A) op(B) (+ C) (+ bias, of the type of C), for every batch. */
static int product(struct sec_backend *b, const struct sec_gemm *g, void *c, const void *bias,
                   const struct sec_cuda_batches *batches)
{
    struct sec_cuda *s = sec_cuda_of(b);
    Key k;
    memset(&k, 0, sizeof k);
    k.m = g->m;
    k.n = g->n;
    k.k = g->k;
    k.lda = g->lda;
    k.ldb = g->ldb;
    k.ldc = g->ldc;
    k.bias = bias;
    k.trans_a = g->trans_a;
    k.trans_b = g->trans_b;
    k.ab_type = g->ab_type;
    k.c_type = g->c_type;
    k.align_a = alignment(g->a, batches->a, g->ab_type);
    k.align_b = alignment(g->b, batches->b, g->ab_type);
    k.align_c = alignment(c, batches->c, g->c_type);
    k.batches = batches->count;
    k.stride_a = batches->a;
    k.stride_b = batches->b;
    k.stride_c = batches->c;
    sec_cuda_plan *p = find_plan(s, &k);
    if (!p)
        return SEC_EDEVICE;
    float one = 1, beta = g->accumulate ? 1.0f : 0.0f;
    return blas_status(cublasLtMatmul(s->blas, p->desc, &one, g->b, p->a, g->a, p->b, &beta, c,
                                      p->c, c, p->c, &p->algo, s->workspace, s->workspace_bytes,
                                      s->stream),
                       &k);
}

/* C = gelu(aux), both with leading dimension ld. */
template <class T>
__global__ void gelu_kernel(const T *aux, int64_t rows, int64_t cols, int64_t ld, bool aligned,
                            T *c)
{
    int64_t groups = (cols + 3) / 4, at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    int64_t row = at / groups, col = at % groups * 4;
    if (row >= rows)
        return;
    int n = cols - col < 4 ? (int)(cols - col) : 4;
    float v[4];
    load4(aux + row * ld + col, n, aligned, v);
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = sec_cuda_gelu_of(v[i]);
    store4(c + row * ld + col, n, aligned, v);
}

/* The bias in the type of C, which is what cuBLASLt adds. */
static int typed_bias(struct sec_backend *b, const struct sec_gemm *g, const void **bias)
{
    *bias = g->epilogue == SEC_EPI_NONE ? NULL : g->bias;
    if (!*bias || g->c_type == SEC_F32)
        return 0;
    void *typed = sec_cuda_scratch(b, SCRATCH_BIAS, (size_t)g->n * sec_dtype_size(g->c_type));
    if (!typed)
        return SEC_EDEVICE;
    *bias = typed;
    return b->cast(b, typed, g->c_type, g->bias, SEC_F32, g->n);
}

int sec_cuda_gemm(struct sec_backend *b, const struct sec_gemm *g)
{
    if (g->ab_type == SEC_F64 || g->c_type == SEC_F64)
        return sec_fail(SEC_ECONFIG, "cuda: gemm: F64 is a type of the ref backend only");
    if (g->m == 0 || g->n == 0)
        return 0;
    bool gelu = g->epilogue == SEC_EPI_BIAS_GELU;
    const struct sec_cuda_batches one = {1, 0, 0, 0};
    const void *bias;
    int rc = typed_bias(b, g, &bias);
    if (!rc)
        rc = product(b, g, gelu ? g->aux : g->c, bias, &one);
    if (rc || !gelu)
        return rc;
    return sec_cuda_by_type(g->c_type, "gelu", [&](auto t) {
        using T = decltype(t);
        bool aligned = sec_cuda_aligned4<T>(g->n, g->c, g->aux) && g->ldc % 4 == 0;
        return LAUNCH((gelu_kernel<T>), sec_cuda_blocks(g->m * ((g->n + 3) / 4), THREADS), THREADS,
                      0, sec_cuda_of(b)->stream, (const T *)g->aux, g->m, g->n, g->ldc, aligned,
                      (T *)g->c);
    });
}

int sec_cuda_gemm_batched(struct sec_backend *b, const struct sec_gemm *g,
                          const struct sec_cuda_batches *batches)
{
    return product(b, g, g->c, NULL, batches);
}
