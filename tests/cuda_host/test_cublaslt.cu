/* The cuBLASLt stand-in against plain loops in double: transposes, orders, leading dimensions,
 * types, beta, bias, batches; and what the library refuses. */
#include "testing.h"

#include <cublasLt.h>

#define assert_blas(expr) assert_int_equal((int)(expr), CUBLAS_STATUS_SUCCESS)

struct Shape {
    int m, n, k, pad, batches;
    bool trans_a, trans_b, row_order, bias;
    float beta;
};

static cublasLtMatrixLayout_t make_layout(cudaDataType type, int rows, int cols, int pad, bool row,
                                          int batches, int64_t *ld, int64_t *batch)
{
    cublasLtMatrixLayout_t l;
    int32_t order = row ? CUBLASLT_ORDER_ROW : CUBLASLT_ORDER_COL, count = batches;
    *ld = (row ? cols : rows) + pad;
    *batch = *ld * (row ? rows : cols) + 8;
    assert_blas(cublasLtMatrixLayoutCreate(&l, type, (uint64_t)rows, (uint64_t)cols, *ld));
    assert_blas(cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, 4));
    assert_blas(cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, 4));
    assert_blas(
        cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, batch, 8));
    return l;
}

template <class T> constexpr cudaDataType type_of = sizeof(T) == 2 ? CUDA_R_16BF : CUDA_R_32F;

template <class AB, class CD> static void check_shape(const Shape &s)
{
    int64_t lda, ldb, ldc, ba, bb, bc;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    int32_t ta = s.trans_a, tb = s.trans_b;
    auto la = make_layout(type_of<AB>, ta ? s.k : s.m, ta ? s.m : s.k, s.pad, s.row_order,
                          s.batches, &lda, &ba);
    auto lb = make_layout(type_of<AB>, tb ? s.n : s.k, tb ? s.k : s.n, s.pad, s.row_order,
                          s.batches, &ldb, &bb);
    auto lc = make_layout(type_of<CD>, s.m, s.n, s.pad, s.row_order, s.batches, &ldc, &bc);
    std::vector<AB> a = values<AB>(1, (size_t)(ba * s.batches)),
                    b = values<AB>(2, (size_t)(bb * s.batches));
    std::vector<CD> c = values<CD>(3, (size_t)(bc * s.batches)), bias = values<CD>(4, (size_t)s.m);
    Device<AB> da(a), db(b);
    Device<CD> dc(c), dbias(bias);
    assert_blas(cublasLtCreate(&handle));
    assert_blas(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    assert_blas(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &ta, 4));
    assert_blas(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSB, &tb, 4));
    uint32_t epilogue = s.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    assert_blas(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
    assert_blas(
        cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &dbias.p, 8));
    float alpha = 0.5f;
    assert_blas(cublasLtMatmul(handle, desc, &alpha, da.p, la, db.p, lb, &s.beta, dc.p, lc, dc.p,
                               lc, nullptr, nullptr, 0, nullptr));
    std::vector<CD> got = dc.get();
    for (int batch = 0; batch < s.batches; batch++)
        for (int i = 0; i < s.m; i++)
            for (int j = 0; j < s.n; j++) {
                double sum = 0;
                auto index = [&](int64_t ld, int r, int col) {
                    return s.row_order ? r * ld + col : col * ld + r;
                };
                for (int l = 0; l < s.k; l++)
                    sum += (double)to_float(
                               a[batch * ba + (ta ? index(lda, l, i) : index(lda, i, l))]) *
                           (double)to_float(
                               b[batch * bb + (tb ? index(ldb, j, l) : index(ldb, l, j))]);
                int64_t at = batch * bc + index(ldc, i, j);
                double want = 0.5 * sum + (double)(s.beta * to_float(c[at])) +
                              (s.bias ? (double)to_float(bias[i]) : 0);
                double tol = sizeof(CD) == 2 ? 0x1p-8 * fabs(want) + 1e-5 : 1e-5 * (1 + fabs(want));
                if (!(fabs((double)to_float(got[at]) - want) <= tol))
                    fail_msg("%dx%dx%d [%d,%d]: %g, should be %g", s.m, s.n, s.k, i, j,
                             (double)to_float(got[at]), want);
            }
    cublasLtMatrixLayoutDestroy(la);
    cublasLtMatrixLayoutDestroy(lb);
    cublasLtMatrixLayoutDestroy(lc);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
}

static void test_matmul(void **)
{
    for (int bits = 0; bits < 32; bits++) {
        Shape s = {7,
                   18,
                   33,
                   bits & 1 ? 3 : 0,
                   bits & 2 ? 3 : 1,
                   (bits & 4) != 0,
                   (bits & 8) != 0,
                   (bits & 16) != 0,
                   bits % 3 == 0,
                   bits % 2 ? 1.0f : 0.0f};
        check_shape<float, float>(s);
        check_shape<bf16, float>(s);
        check_shape<bf16, bf16>(s);
    }
    check_shape<float, float>({1, 1, 1, 0, 1, false, false, false, true, 1});
}

/* The heuristic and the call refuse the same things. */
static void refuse(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                   cublasLtMatrixLayout_t c, const char *text)
{
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t pref;
    cublasLtMatmulHeuristicResult_t result;
    int found;
    float one = 1;
    assert_blas(cublasLtCreate(&handle));
    assert_blas(cublasLtMatmulPreferenceCreate(&pref));
    cublasStatus_t rc =
        cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, c, c, pref, 1, &result, &found);
    assert_int_equal((int)rc, text ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS);
    assert_int_equal(found, text == nullptr);
    if (text) {
        assert_non_null(strstr(cuda_host_message(), text));
        rc = cublasLtMatmul(handle, desc, &one, nullptr, a, nullptr, b, &one, nullptr, c, nullptr,
                            c, nullptr, nullptr, 0, nullptr);
        assert_int_equal((int)rc, CUBLAS_STATUS_INVALID_VALUE);
    }
    cublasLtMatmulPreferenceDestroy(pref);
    cublasLtDestroy(handle);
    cuda_host_reset();
}

static void test_refused(void **)
{
    int64_t ld, batch;
    cublasLtMatmulDesc_t desc;
    auto a = make_layout(CUDA_R_16BF, 8, 16, 0, false, 1, &ld, &batch);
    auto b = make_layout(CUDA_R_16BF, 16, 24, 0, false, 1, &ld, &batch);
    auto c = make_layout(CUDA_R_16BF, 8, 24, 0, false, 1, &ld, &batch);
    auto narrow = make_layout(CUDA_R_16BF, 8, 24, -1, false, 1, &ld, &batch);
    auto wide = make_layout(CUDA_R_32F, 16, 24, 0, false, 1, &ld, &batch);
    assert_blas(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    refuse(desc, a, b, c, nullptr);
    refuse(desc, b, a, c, "shapes");
    refuse(desc, a, b, narrow, "leading dimension");
    refuse(desc, a, wide, c, "types");
    uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    int32_t type = CUDA_R_32F;
    assert_blas(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
    assert_blas(
        cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, 4));
    refuse(desc, a, b, c, "bias");
    epilogue = 32; /* gelu in its tanh form */
    assert_blas(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
    refuse(desc, a, b, c, "epilogue");
    for (auto l : {a, b, c, narrow, wide})
        cublasLtMatrixLayoutDestroy(l);
    cublasLtMatmulDescDestroy(desc);
}

int main(void)
{
    struct cuda_host_config config = cuda_host_current();
    config.quiet = true;
    cuda_host_configure(&config);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
