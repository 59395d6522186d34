/* Mistakes of host code, each caught: device memory touched, streams without events, copies out of
 * bounds, capture, limits; and every call made to fail. */
#include "faults.h"

#include <sys/wait.h>
#include <unistd.h>

static __global__ void write_at(float *y, ptrdiff_t at)
{
    y[at + threadIdx.x] = 1;
}
static __global__ void read_at(const float *x, float *y, ptrdiff_t at)
{
    y[threadIdx.x] = x[at + threadIdx.x];
}

static void test_copies_out_of_bounds(void **)
{
    std::vector<float> x(100);
    Device<float> y(99);
    assert_int_equal(cudaMemcpy(y.p, x.data(), 400, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_non_null(strstr(cuda_host_message(), "which is byte 0 of allocation"));
    assert_int_equal(cudaMemset(y.p + 50, 0, 200), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(x.data(), x.data(), 4, cudaMemcpyDeviceToHost),
                     cudaErrorInvalidValue);
    assert_int_equal(LAUNCH(write_at, 1, 32, 0, nullptr, x.data(), 0), cudaErrorInvalidValue);
    assert_non_null(strstr(cuda_host_message(), "argument 1"));
    cuda_host_reset();
}

/* Host code and device memory: the process ends with a message. */

template <class F> static void assert_dies(F f)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[1], STDERR_FILENO);
        f();
        _exit(0);
    }
    close(fd[1]);
    char text[512];
    ssize_t n = read(fd[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == CUDA_HOST_EXIT);
    assert_non_null(strstr(text, "host code touches device memory"));
}

static void test_host_access(void **)
{
    Device<float> x(values<float>(1, 5000));
    assert_dies([&] { printf("%g", (double)x.p[17]); });
    assert_dies([&] { x.p[17] = 1; });
    Device<float> y(5000);
    assert_cuda(LAUNCH(read_at, 1, 32, 0, nullptr, x.p, y.p, 0)); /* opened for the kernel only */
    assert_dies([&] { y.p[0] = x.p[0]; });
}

/* Streams. */

static __global__ void fill(float *y, float x)
{
    y[blockIdx.x * blockDim.x + threadIdx.x] = x;
}

static bool ordered(bool with_event)
{
    Device<float> x(values<float>(1, 64)), y(64);
    cudaStream_t one, two;
    cudaEvent_t e;
    assert_cuda(cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking));
    assert_cuda(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking));
    assert_cuda(cudaEventCreate(&e));
    assert_cuda(LAUNCH(fill, 1, 64, 0, one, x.p, 3.0f));
    assert_cuda(cudaEventRecord(e, one));
    if (with_event)
        assert_cuda(cudaStreamWaitEvent(two, e, 0));
    assert_cuda(LAUNCH(read_at, 1, 64, 0, two, x.p, y.p, 0));
    assert_cuda(cudaStreamSynchronize(two));
    bool ok = y.get() == std::vector<float>(64, 3.0f);
    assert_cuda(cudaDeviceSynchronize());
    assert_cuda(cudaStreamDestroy(one));
    assert_cuda(cudaStreamDestroy(two));
    assert_cuda(cudaEventDestroy(e));
    return ok;
}

static bool read_back(bool with_sync)
{
    Device<float> x(values<float>(1, 64));
    cudaStream_t s;
    float *pinned;
    assert_cuda(cudaMallocHost(&pinned, 256));
    assert_cuda(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    assert_cuda(cudaMemcpyAsync(pinned, x.p, 256, cudaMemcpyDeviceToHost, s));
    if (with_sync)
        assert_cuda(cudaStreamSynchronize(s));
    bool ok = pinned[5] == value(1, 5);
    assert_cuda(cudaStreamDestroy(s));
    assert_cuda(cudaFreeHost(pinned));
    return ok;
}

/* A staging buffer is filled again while its copy may be under way. */
static bool staged(bool with_sync)
{
    Device<float> x(64);
    cudaStream_t s;
    float *pinned;
    assert_cuda(cudaMallocHost(&pinned, 256));
    assert_cuda(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    pinned[5] = 1;
    assert_cuda(cudaMemcpyAsync(x.p, pinned, 256, cudaMemcpyHostToDevice, s));
    if (with_sync)
        assert_cuda(cudaStreamSynchronize(s));
    pinned[5] = 2;
    assert_cuda(cudaStreamSynchronize(s));
    bool ok = x.get()[5] == 1;
    assert_cuda(cudaStreamDestroy(s));
    assert_cuda(cudaFreeHost(pinned));
    return ok;
}

/* One event records two streams in turn: each wait is for the record before it. */
static bool recorded_twice()
{
    Device<float> x(values<float>(1, 64)), y(values<float>(2, 64)), a(64), b(64);
    cudaStream_t s[4];
    cudaEvent_t e;
    for (cudaStream_t &t : s)
        assert_cuda(cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking));
    assert_cuda(cudaEventCreate(&e));
    assert_cuda(LAUNCH(fill, 1, 64, 0, s[0], x.p, 3.0f));
    assert_cuda(cudaEventRecord(e, s[0]));
    assert_cuda(cudaStreamWaitEvent(s[2], e, 0));
    assert_cuda(LAUNCH(fill, 1, 64, 0, s[1], y.p, 4.0f));
    assert_cuda(cudaEventRecord(e, s[1]));
    assert_cuda(cudaStreamWaitEvent(s[3], e, 0));
    assert_cuda(LAUNCH(read_at, 1, 64, 0, s[2], x.p, a.p, 0));
    assert_cuda(LAUNCH(read_at, 1, 64, 0, s[3], y.p, b.p, 0));
    assert_cuda(cudaEventDestroy(e));
    assert_cuda(cudaDeviceSynchronize());
    bool ok = a.get() == std::vector<float>(64, 3.0f) && b.get() == std::vector<float>(64, 4.0f);
    for (cudaStream_t t : s)
        assert_cuda(cudaStreamDestroy(t));
    return ok;
}

static void test_missing_event(void **)
{
    cuda_host_each_schedule([](void *) { assert_true(recorded_twice()); }, nullptr);
    cuda_host_each_schedule([](void *) { assert_true(ordered(true)); }, nullptr);
    assert_some_differ([] { return ordered(false); }, true);
    cuda_host_each_schedule([](void *) { assert_true(read_back(true) && staged(true)); }, nullptr);
    assert_some_differ([] { return read_back(false); }, true);
    assert_some_differ([] { return staged(false); }, true);
}

static void test_capture(void **)
{
    cudaStream_t one, two;
    cudaEvent_t e;
    cudaGraph_t g;
    float *p;
    Device<float> x(64);
    assert_cuda(cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking));
    assert_cuda(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking));
    assert_cuda(cudaEventCreate(&e));
    assert_cuda(cudaStreamBeginCapture(one, cudaStreamCaptureModeGlobal));
    assert_int_equal(cudaStreamSynchronize(one), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaMalloc(&p, 100), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(one, &g), cudaErrorStreamCaptureInvalidated);
    assert_cuda(cudaStreamBeginCapture(one, cudaStreamCaptureModeGlobal));
    assert_cuda(cudaEventRecord(e, one));
    assert_cuda(cudaStreamWaitEvent(two, e, 0));
    assert_cuda(LAUNCH(fill, 1, 64, 0, two, x.p, 1.0f));
    assert_int_equal(cudaStreamEndCapture(one, &g), cudaErrorStreamCaptureUnjoined);
    cuda_host_reset();
    assert_cuda(cudaStreamDestroy(one));
    assert_cuda(cudaStreamDestroy(two));
    assert_cuda(cudaEventDestroy(e));
}

/* Launch configurations, memory, devices and fault points. */

static void test_limits(void **)
{
    Device<float> y(32);
    assert_int_equal(LAUNCH(write_at, 1, 2048, 0, nullptr, y.p, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(LAUNCH(write_at, 0, 32, 0, nullptr, y.p, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(LAUNCH(write_at, 1, 32, 60000, nullptr, y.p, 0), cudaErrorInvalidValue);
    assert_cuda(cudaFuncSetAttribute(write_at, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000));
    cudaGetLastError();
    assert_cuda(LAUNCH(write_at, 1, 32, 60000, nullptr, y.p, 0));
    assert_int_equal(
        cudaFuncSetAttribute(write_at, cudaFuncAttributeMaxDynamicSharedMemorySize, 240000),
        cudaErrorInvalidValue);
    struct cuda_host_config before = cuda_host_current(), c = before;
    c.memory = 1 << 20;
    cuda_host_configure(&c);
    void *p;
    assert_int_equal(cudaMalloc(&p, 2 << 20), cudaErrorMemoryAllocation);
    int n;
    c.devices = 0;
    cuda_host_configure(&c);
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    c.devices = 1;
    c.driver = 12000;
    cuda_host_configure(&c);
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
    cuda_host_configure(&before);
    cuda_host_reset();
}

static cudaError_t add_two(float *out)
{
    float *p = nullptr;
    cudaError_t rc = cudaMalloc(&p, 256);
    if (rc == cudaSuccess)
        rc = cudaMemset(p, 0, 256);
    if (rc == cudaSuccess)
        rc = LAUNCH(write_at, 1, 32, 0, nullptr, p, 0);
    if (rc == cudaSuccess)
        rc = cudaMemcpy(out, p, 4, cudaMemcpyDeviceToHost);
    cudaError_t freed = cudaFree(p);
    return rc == cudaSuccess ? freed : rc;
}

/* The k-th call fails for every k until none does. */
static void test_fault_points(void **)
{
    struct cuda_host_config before = cuda_host_current(), c = before;
    int k = 1;
    float out = 0;
    for (;; k++) {
        c.fail_at = k;
        cuda_host_configure(&c);
        cudaError_t rc = add_two(&out);
        if (rc == cudaSuccess)
            break;
        assert_true(k > 1 || rc == cudaErrorMemoryAllocation);
        assert_non_null(strstr(cuda_host_message(), "fault point"));
        assert_int_equal(cudaGetLastError(), rc);
        assert_int_equal(cudaGetLastError(), cudaSuccess);
    }
    cuda_host_configure(&before);
    assert_int_equal(k, 6);
    assert_true(out == 1);
    assert_int_equal(cuda_host_stats_now().allocated, 0);
}

int main(void)
{
    struct cuda_host_config c = cuda_host_current();
    c.quiet = true;
    cuda_host_configure(&c);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_out_of_bounds),
        cmocka_unit_test(test_host_access),
        cmocka_unit_test(test_missing_event),
        cmocka_unit_test(test_capture),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_fault_points),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
