/* Opening the CUDA backend, its memory and copies. */
#include "kernels/cuda/cuda.h"

extern "C" {
#include "kernels/cuda_memory.h"
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

constexpr size_t STAGING = (size_t)4 << 20;

int sec_cuda_status(cudaError_t rc, const char *what)
{
    if (rc == cudaSuccess)
        return 0;
    cudaGetLastError();
    return sec_fail(SEC_EDEVICE, "cuda: %s: %s", what, cudaGetErrorString(rc));
}

void *sec_cuda_scratch(struct sec_backend *b, enum sec_cuda_slot slot, size_t bytes)
{
    struct sec_cuda *s = sec_cuda_of(b);
    if (bytes <= s->scratch_bytes[slot] && s->scratch[slot])
        return s->scratch[slot];
    if (sec_cuda_not_recorded(s, "a buffer grows"))
        return NULL;
    s->generation++;
    cudaFree(s->scratch[slot]); /* waits for what uses it */
    s->scratch[slot] = NULL;
    s->scratch_bytes[slot] = 0;
    if (b->alloc(b, bytes ? bytes : 1, &s->scratch[slot]))
        return NULL;
    s->scratch_bytes[slot] = bytes;
    return s->scratch[slot];
}

static int cuda_alloc(struct sec_backend *b, size_t bytes, void **out)
{
    *out = NULL;
    if (sec_cuda_not_recorded(sec_cuda_of(b), "memory asked for"))
        return SEC_EDEVICE;
    cudaError_t rc = cudaMalloc(out, bytes ? bytes : 1);
    if (rc != cudaErrorMemoryAllocation)
        return sec_cuda_status(rc, "cudaMalloc");
    size_t left = 0, total = 0;
    cudaGetLastError();
    cudaMemGetInfo(&left, &total);
    return sec_fail(
        SEC_EDEVICE,
        "cuda: %zu bytes asked for, %zu MiB of the device's %zu MiB are free: use fewer "
        "tokens a batch, --recompute, or a smaller model",
        bytes, left >> 20, total >> 20);
}

static void cuda_free(struct sec_backend *, void *p)
{
    cudaFree(p);
}

static cudaError_t wait_for_stream(struct sec_cuda *s)
{
    cudaError_t rc = cudaStreamSynchronize(s->stream);
    s->staging_used = 0;
    return rc;
}

/* The caller's memory is free at once. What fits goes through pinned memory, so that the copy waits
 * its turn on the stream and not here. */
static int cuda_upload(struct sec_backend *b, void *dst, const void *host, size_t bytes)
{
    struct sec_cuda *s = sec_cuda_of(b);
    cudaError_t rc = cudaSuccess;
    if (sec_cuda_not_recorded(s, "an upload"))
        return SEC_EDEVICE;
    if (bytes <= STAGING && s->staging_used + bytes > STAGING)
        rc = wait_for_stream(s);
    if (bytes <= STAGING) {
        host = memcpy(s->staging + s->staging_used, host, bytes);
        s->staging_used += (bytes + 255) & ~(size_t)255;
    }
    if (rc == cudaSuccess)
        rc = cudaMemcpyAsync(dst, host, bytes, cudaMemcpyHostToDevice, s->stream);
    return sec_cuda_status(rc, "upload");
}

static int cuda_download(struct sec_backend *b, void *host, const void *src, size_t bytes)
{
    struct sec_cuda *s = sec_cuda_of(b);
    if (sec_cuda_not_recorded(s, "a download"))
        return SEC_EDEVICE;
    cudaError_t rc = cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, s->stream);
    if (rc == cudaSuccess)
        rc = wait_for_stream(s);
    return sec_cuda_status(rc, "download");
}

static int cuda_copy(struct sec_backend *b, void *dst, const void *src, size_t bytes)
{
    return sec_cuda_status(
        cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, sec_cuda_of(b)->stream), "copy");
}

static int cuda_zero(struct sec_backend *b, void *dst, size_t bytes)
{
    return sec_cuda_status(cudaMemsetAsync(dst, 0, bytes, sec_cuda_of(b)->stream), "zero");
}

static int cuda_sync(struct sec_backend *b)
{
    if (sec_cuda_not_recorded(sec_cuda_of(b), "a synchronization"))
        return SEC_EDEVICE;
    return sec_cuda_status(wait_for_stream(sec_cuda_of(b)), "synchronize");
}

static int cuda_memory(struct sec_backend *, uint64_t *left, uint64_t *total)
{
    size_t l = 0, t = 0;
    cudaError_t rc = cudaMemGetInfo(&l, &t);
    *left = l;
    *total = t;
    return sec_cuda_status(rc, "cudaMemGetInfo");
}

static void cuda_destroy(struct sec_backend *b)
{
    if (!b)
        return;
    struct sec_cuda *s = sec_cuda_of(b);
    if (s) {
        if (s->stream)
            cudaStreamSynchronize(s->stream);
        sec_cuda_graph_free(s);
        sec_cuda_sequences_free(s);
        sec_cuda_gemm_free(s);
        for (int i = 0; i < SCRATCH_SLOTS; i++)
            cudaFree(s->scratch[i]);
        cudaFree(s->workspace);
        cudaFreeHost(s->pinned);
        cudaFreeHost(s->staging);
        if (s->blas)
            cublasLtDestroy(s->blas);
        if (s->stream)
            cudaStreamDestroy(s->stream);
        free(s);
    }
    free(b);
}

/* Driver, device and their versions, each with its own line of advice. */
static int check_device(struct sec_backend *b)
{
    int driver = 0, count = 0;
    cudaError_t rc = cudaDriverGetVersion(&driver);
    if (rc != cudaSuccess || driver == 0)
        return sec_fail(SEC_EDEVICE, "cuda: no NVIDIA driver: install one, or use --device cpu");
    if (driver < CUDART_VERSION / 1000 * 1000)
        return sec_fail(SEC_EDEVICE,
                        "cuda: the driver supports CUDA %d.%d, this build needs %d.0: update the "
                        "driver, or use --device cpu",
                        driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000);
    rc = cudaGetDeviceCount(&count);
    if (rc != cudaSuccess || count == 0) {
        cudaGetLastError();
        return sec_fail(SEC_EDEVICE,
                        "cuda: no device found (%s): check nvidia-smi and "
                        "CUDA_VISIBLE_DEVICES, or use --device cpu",
                        cudaGetErrorString(rc));
    }
    struct cudaDeviceProp prop;
    rc = cudaGetDeviceProperties(&prop, 0);
    if (rc != cudaSuccess)
        return sec_cuda_status(rc, "cudaGetDeviceProperties");
    if (prop.major < 8)
        return sec_fail(SEC_EDEVICE,
                        "cuda: %s has compute capability %d.%d, at least 8.0 is "
                        "needed: use --device cpu",
                        prop.name, prop.major, prop.minor);
    snprintf(b->detail, sizeof b->detail, "%.40s, sm_%d%d", prop.name, prop.major, prop.minor);
    return 0;
}

static int open_state(struct sec_cuda *s)
{
    cudaError_t rc = cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking);
    if (rc == cudaSuccess)
        rc = cudaMallocHost((void **)&s->pinned, sizeof *s->pinned);
    if (rc == cudaSuccess)
        rc = cudaMallocHost((void **)&s->staging, STAGING);
    s->workspace_bytes = SEC_CUDA_WORKSPACE_BYTES;
    if (rc == cudaSuccess)
        rc = cudaMalloc(&s->workspace, s->workspace_bytes);
    if (rc != cudaSuccess)
        return sec_cuda_status(rc, "opening the device");
    cublasStatus_t blas = cublasLtCreate(&s->blas);
    if (blas != CUBLAS_STATUS_SUCCESS)
        return sec_fail(SEC_EDEVICE, "cuda: cuBLASLt: %s", cublasLtGetStatusString(blas));
    return 0;
}

static void fill_operations(struct sec_backend *b)
{
    b->peak_flops = sec_cuda_peak_flops;
    b->alloc = cuda_alloc;
    b->free = cuda_free;
    b->upload = cuda_upload;
    b->download = cuda_download;
    b->copy = cuda_copy;
    b->zero = cuda_zero;
    b->sync = cuda_sync;
    b->set_sequences = sec_cuda_set_sequences;
    b->record_begin = sec_cuda_record_begin;
    b->record_end = sec_cuda_record_end;
    b->cast = sec_cuda_cast;
    b->gemm = sec_cuda_gemm;
    b->embed = sec_cuda_embed;
    b->embed_bwd = sec_cuda_embed_bwd;
    b->add_ln = sec_cuda_add_ln;
    b->add_ln_bwd = sec_cuda_add_ln_bwd;
    b->dropout = sec_cuda_dropout;
    b->gelu = sec_cuda_gelu;
    b->gelu_bwd = sec_cuda_gelu_bwd;
    b->bias_grad = sec_cuda_bias_grad;
    b->add = sec_cuda_add;
    b->attn = sec_cuda_attn;
    b->attn_bwd = sec_cuda_attn_bwd;
    b->conv = sec_cuda_conv;
    b->conv_bwd = sec_cuda_conv_bwd;
    b->gather_rows = sec_cuda_gather_rows;
    b->scatter_add_rows = sec_cuda_scatter_add_rows;
    b->xent = sec_cuda_xent;
    b->adamw = sec_cuda_adamw;
    b->sumsq = sec_cuda_sumsq;
    b->memory = cuda_memory;
    b->destroy = cuda_destroy;
}

extern "C" int sec_backend_cuda(struct sec_backend **out)
{
    *out = NULL;
    struct sec_backend *b = (struct sec_backend *)calloc(1, sizeof *b);
    struct sec_cuda *s = (struct sec_cuda *)calloc(1, sizeof *s);
    if (!b || !s) {
        free(b);
        free(s);
        return sec_fail(SEC_ENOMEM, "cuda: no memory for the backend");
    }
    b->name = "cuda";
    b->state = s;
    fill_operations(b);
    int rc = check_device(b);
    if (!rc)
        rc = open_state(s);
    if (rc) {
        cuda_destroy(b);
        return rc;
    }
    *out = b;
    return 0;
}
