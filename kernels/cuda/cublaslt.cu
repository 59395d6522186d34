/* cuBLASLt, loaded when it is first called: so the program starts, and says what is missing, where
 * the library (half a gigabyte) is not installed. Found by the dynamic linker: run path of the
 * program (the toolkit it was built with), LD_LIBRARY_PATH, system folders. The emulation brings
 * functions of its own. */
#ifdef __CUDACC__

#include <cublasLt.h>

#include <dlfcn.h>
#include <stdio.h>

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#define LIBRARY    "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

static const char *problem()
{
    static char text[512];
    const char *why = dlerror();
    if (!text[0])
        snprintf(text, sizeof text,
                 LIBRARY " cannot be loaded (%s): install the CUDA " TEXT(
                     CUBLAS_VER_MAJOR) " libraries, name their folder in LD_LIBRARY_PATH, or use "
                                       "--device cpu",
                 why ? why : "no reason given");
    return text;
}

static void *find(const char *name)
{
    static void *const library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    void *f = library ? dlsym(library, name) : NULL;
    if (!f)
        problem();
    return f;
}

/* The function of the library under its own name, or `otherwise`. */
#define FORWARD(result, name, parameters, arguments, otherwise)                                    \
    extern "C" result name parameters                                                              \
    {                                                                                              \
        static const auto f = reinterpret_cast<decltype(&name)>(find(#name));                      \
        return f ? f arguments : otherwise;                                                        \
    }
#define STATUS(name, parameters, arguments)                                                        \
    FORWARD(cublasStatus_t, name, parameters, arguments, CUBLAS_STATUS_NOT_INITIALIZED)

FORWARD(size_t, cublasLtGetVersion, (), (), 0)
FORWARD(const char *, cublasLtGetStatusString, (cublasStatus_t status), (status), problem())
STATUS(cublasLtCreate, (cublasLtHandle_t * handle), (handle))
STATUS(cublasLtDestroy, (cublasLtHandle_t handle), (handle))
STATUS(cublasLtMatrixLayoutCreate,
       (cublasLtMatrixLayout_t * layout, cudaDataType type, uint64_t rows, uint64_t cols,
        int64_t ld),
       (layout, type, rows, cols, ld))
STATUS(cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout), (layout))
STATUS(cublasLtMatrixLayoutSetAttribute,
       (cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attr, const void *value,
        size_t bytes),
       (layout, attr, value, bytes))
STATUS(cublasLtMatmulDescCreate,
       (cublasLtMatmulDesc_t * desc, cublasComputeType_t compute, cudaDataType_t scale),
       (desc, compute, scale))
STATUS(cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t desc), (desc))
STATUS(cublasLtMatmulDescSetAttribute,
       (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attr, const void *value,
        size_t bytes),
       (desc, attr, value, bytes))
STATUS(cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * pref), (pref))
STATUS(cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t pref), (pref))
STATUS(cublasLtMatmulPreferenceSetAttribute,
       (cublasLtMatmulPreference_t pref, cublasLtMatmulPreferenceAttributes_t attr,
        const void *value, size_t bytes),
       (pref, attr, value, bytes))
STATUS(cublasLtMatmulAlgoGetHeuristic,
       (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
        cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
        cublasLtMatmulPreference_t pref, int wanted, cublasLtMatmulHeuristicResult_t results[],
        int *found),
       (handle, desc, a, b, c, d, pref, wanted, results, found))
STATUS(cublasLtMatmul,
       (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
        cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
        const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
        cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *workspace,
        size_t workspace_bytes, cudaStream_t stream),
       (handle, desc, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algo,
        workspace, workspace_bytes, stream))

#endif
