/* Matrix products by cuBLASLt, and their epilogues. cuBLASLt is column-major: our row-major
 * C = op(A) op(B) is its C' = op(B)' op(A)', where each buffer is read as its transpose. Its bias
 * has the type of C and its GELU is the tanh form, so a bf16 result with an epilogue is made in
 * fp32 and finished, and rounded once, by a kernel here. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

constexpr int THREADS = 256;

/* What cuBLASLt chose for one shape. Plans are kept in a table with open addressing. */
struct Key {
    int64_t m, n, k, lda, ldb, ldc;
    const void *bias; /* part of a descriptor */
    int32_t trans_a, trans_b, ab_type, c_type;
    uint32_t align_a, align_b, align_c, padding;
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

/* A stored row-major matrix as the column-major matrix that lies at the same place. */
static cublasStatus_t layout(cublasLtMatrixLayout_t *l, int32_t type, int64_t rows, int64_t cols,
                             int64_t ld)
{
    return cublasLtMatrixLayoutCreate(l, data_type(type), (uint64_t)cols, (uint64_t)rows, ld);
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
        rc = layout(&p->a, k->ab_type, k->trans_b ? k->n : k->k, k->trans_b ? k->k : k->n, k->ldb);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = layout(&p->b, k->ab_type, k->trans_a ? k->k : k->m, k->trans_a ? k->m : k->k, k->lda);
    if (rc == CUBLAS_STATUS_SUCCESS)
        rc = layout(&p->c, k->c_type, k->m, k->n, k->ldc);
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

/* The largest power of two up to 256 that divides the address. */
static uint32_t alignment(const void *p)
{
    uintptr_t bits = (uintptr_t)p | 256;
    return (uint32_t)(bits & (~bits + 1));
}

/* C, of this type at this place, = op(A) op(B) (+ C) (+ bias, of the type of C). */
static int product(struct sec_backend *b, const struct sec_gemm *g, void *c, int64_t ldc,
                   enum sec_dtype c_type, const void *bias)
{
    struct sec_cuda *s = sec_cuda_of(b);
    Key k;
    memset(&k, 0, sizeof k);
    k.m = g->m;
    k.n = g->n;
    k.k = g->k;
    k.lda = g->lda;
    k.ldb = g->ldb;
    k.ldc = ldc;
    k.bias = bias;
    k.trans_a = g->trans_a;
    k.trans_b = g->trans_b;
    k.ab_type = g->ab_type;
    k.c_type = c_type;
    k.align_a = alignment(g->a);
    k.align_b = alignment(g->b);
    k.align_c = alignment(c);
    sec_cuda_plan *p = find_plan(s, &k);
    if (!p)
        return SEC_EDEVICE;
    float one = 1, beta = g->accumulate ? 1.0f : 0.0f;
    return blas_status(cublasLtMatmul(s->blas, p->desc, &one, g->b, p->a, g->a, p->b, &beta, c,
                                      p->c, c, p->c, &p->algo, s->workspace, s->workspace_bytes,
                                      s->stream),
                       &k);
}

/* y = x + bias; with aux: aux = that, y = gelu(the rounded aux). x is contiguous, y and aux have a
 * leading dimension. */
template <class T>
__global__ void epilogue_kernel(const float *x, int64_t ld_x, const float *bias, int64_t rows,
                                int64_t cols, int64_t ld, bool aligned, T *y, T *aux)
{
    int64_t groups = (cols + 3) / 4, at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    int64_t row = at / groups, c = at % groups * 4;
    if (row >= rows)
        return;
    int n = cols - c < 4 ? (int)(cols - c) : 4;
    float v[4], add[4] = {};
    load4(x + row * ld_x + c, n, aligned, v);
    if (bias)
        load4(bias + c, n, aligned, add);
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] += add[i];
    if (aux) {
        store4(aux + row * ld + c, n, aligned, v);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float z = to_float(from_float<T>(v[i]));
            v[i] = 0.5f * z * (1.0f + erff(z * 0.70710678118654752f));
        }
    }
    store4(y + row * ld + c, n, aligned, v);
}

int sec_cuda_gemm(struct sec_backend *b, const struct sec_gemm *g)
{
    if (g->ab_type == SEC_F64 || g->c_type == SEC_F64)
        return sec_fail(SEC_ECONFIG, "cuda: gemm: F64 is a type of the ref backend only");
    if (g->m == 0 || g->n == 0)
        return 0;
    bool gelu = g->epilogue == SEC_EPI_BIAS_GELU;
    if (g->epilogue == SEC_EPI_NONE)
        return product(b, g, g->c, g->ldc, g->c_type, NULL);
    if (!gelu && g->c_type == SEC_F32)
        return product(b, g, g->c, g->ldc, SEC_F32, g->bias);
    float *x = (float *)sec_cuda_scratch(b, SCRATCH_GEMM, (size_t)(g->m * g->n) * sizeof(float));
    if (!x)
        return SEC_EDEVICE;
    int rc = product(b, g, x, g->n, SEC_F32, NULL);
    if (rc)
        return rc;
    return sec_cuda_by_type(g->c_type, "bias and gelu", [&](auto t) {
        using T = decltype(t);
        bool aligned = sec_cuda_aligned4<T>(g->n, g->c, g->aux) && g->ldc % 4 == 0 &&
                       sec_cuda_aligned4<float>(g->n, g->bias);
        return LAUNCH((epilogue_kernel<T>), sec_cuda_blocks(g->m * ((g->n + 3) / 4), THREADS),
                      THREADS, 0, sec_cuda_of(b)->stream, x, g->n, (const float *)g->bias, g->m,
                      g->n, g->ldc, aligned, (T *)g->c, gelu ? (T *)g->aux : (T *)NULL);
    });
}
