/* Correct kernels give right results under every schedule, the same bits each time. */
#include "kernels.h"
#include "testing.h"

#include "base/rng.h"

#include <time.h>

extern "C" {
#include "kernels/ops.h"
}

static void check_layer_norm_bf16(void *)
{
    const int rows = 5, cols = 200;
    std::vector<bf16> x = values<bf16>(1, rows * cols);
    Device<bf16> dx(x), dy(x.size());
    assert_cuda(run_layer_norm(dx.p, dy.p, rows, cols, nullptr));
    std::vector<bf16> y = dy.get();
    for (int r = 0; r < rows; r++) {
        double mean = 0, square = 0;
        for (int c = 0; c < cols; c++)
            mean += (double)to_float(x[r * cols + c]) / cols;
        for (int c = 0; c < cols; c++) {
            double d = (double)to_float(x[r * cols + c]) - mean;
            square += d * d / cols;
        }
        for (int c = 0; c < cols; c++) {
            double want = ((double)to_float(x[r * cols + c]) - mean) / sqrt(square + 1e-7);
            assert_true(fabs((double)to_float(y[r * cols + c]) - want) <= 0x1p-8 * fabs(want));
        }
    }
}

static std::vector<float> gemm(const std::vector<bf16> &a, const std::vector<bf16> &b, int m, int n,
                               int k)
{
    Device<bf16> da(a), db(b);
    Device<float> dc((size_t)m * n);
    assert_cuda(run_gemm(da.p, db.p, dc.p, m, n, k, nullptr));
    return dc.get();
}

/* Against sums in double; products of bf16 are exact, so the error is that of k fp32 additions. */
static void check_gemm(void *arg)
{
    std::vector<float> *first = static_cast<std::vector<float> *>(arg);
    const int m = 150, n = 136, k = 96;
    std::vector<bf16> a = values<bf16>(2, (size_t)m * k), b = values<bf16>(3, (size_t)k * n);
    std::vector<float> c = gemm(a, b, m, n, k);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double want = 0, size = 0;
            for (int l = 0; l < k; l++) {
                double p = (double)to_float(a[i * k + l]) * (double)to_float(b[l * n + j]);
                want += p;
                size += fabs(p);
            }
            if (!(fabs(c[i * n + j] - want) <= k * 0x1p-24 * size))
                fail_msg("c[%d,%d] is %g, should be %g", i, j, (double)c[i * n + j], want);
        }
    if (first->empty())
        *first = c;
    assert_memory_equal(c.data(), first->data(), c.size() * sizeof(float));
}

static void check_warp(void *)
{
    Device<int> out(8 * 64);
    assert_cuda(LAUNCH(warp_operations, 1, 64, 0, nullptr, out.p));
    std::vector<int> got = out.get();
    for (int t = 0; t < 64; t++) {
        int lane = t % 32, base = t - lane, ballot = 0, sum = 0, most = 0;
        for (int l = 0; l < 32; l++) {
            ballot |= (int)((uint32_t)(l % 3 == 0) << l);
            sum += base + l;
            most = ((base + l) ^ 21) > most ? (base + l) ^ 21 : most;
        }
        int want[8] = {base + (lane ^ 5),
                       3 * (base + 7),
                       lane >= 2 ? t - 2 : t,
                       lane < 29 ? t + 3 : t,
                       ballot,
                       (base == 32) + 2 * (base == 0),
                       sum,
                       most};
        assert_memory_equal(want, &got[8 * t], sizeof want);
    }
}

static void check_histogram(void *)
{
    std::vector<uint8_t> x(5000);
    std::vector<unsigned> want(256), zero(256);
    for (size_t i = 0; i < x.size(); i++)
        want[x[i] = (uint8_t)(i * i >> 3)]++;
    Device<uint8_t> dx(x);
    Device<unsigned> dc(zero);
    assert_cuda(LAUNCH(histogram, 7, 256, 0, nullptr, dx.p, (int)x.size(), dc.p));
    assert_true(dc.get() == want);
}

static void check_random(void *)
{
    const int n = 77;
    Device<uint32_t> out(4 * n);
    assert_cuda(LAUNCH(random_words, 2, 64, 0, nullptr, out.p, n, 0x123456789ABCDEFu));
    std::vector<uint32_t> got = out.get();
    for (int i = 0; i < n; i++) {
        uint32_t want[4];
        sec_rand4(0x123456789ABCDEFu, 2, (uint64_t)i, 7, want);
        assert_memory_equal(want, &got[4 * i], sizeof want);
    }
}

/* A producer and a consumer on two streams with an event between them, then the same as a graph
 * that is launched three times. */
static void check_streams(void *)
{
    const int n = 300;
    std::vector<float> x = values<float>(4, n), zero(n);
    Device<float> dx(x), dy(zero), dz(zero);
    cudaStream_t one, two;
    cudaEvent_t fork, join;
    float *pinned;
    assert_cuda(cudaMallocHost(&pinned, n * sizeof(float)));
    assert_cuda(cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking));
    assert_cuda(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking));
    assert_cuda(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
    assert_cuda(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    for (int capture = 0; capture < 2; capture++) {
        if (capture)
            assert_cuda(cudaStreamBeginCapture(one, cudaStreamCaptureModeThreadLocal));
        assert_cuda(LAUNCH((axpy<float>), 5, 64, 0, one, 2.0f, dx.p, dy.p, n));
        assert_cuda(cudaEventRecord(fork, one));
        assert_cuda(cudaStreamWaitEvent(two, fork, 0));
        assert_cuda(LAUNCH((axpy<float>), 5, 64, 0, two, 1.0f, dy.p, dz.p, n));
        assert_cuda(cudaEventRecord(join, two));
        assert_cuda(cudaStreamWaitEvent(one, join, 0));
        assert_cuda(cudaMemcpyAsync(pinned, dz.p, n * sizeof(float), cudaMemcpyDeviceToHost, one));
        if (capture)
            assert_cuda(cudaStreamEndCapture(one, &graph));
    }
    assert_cuda(cudaStreamSynchronize(one));
    for (int i = 0; i < n; i++) /* y = 2x, z = y */
        assert_true(pinned[i] == 2 * x[i]);
    assert_cuda(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 3; i++)
        assert_cuda(cudaGraphLaunch(exec, one));
    assert_cuda(cudaStreamSynchronize(one));
    for (int i = 0; i < n; i++) /* y = 4x, 6x, 8x and their sum */
        assert_true(fabsf(pinned[i] - 20 * x[i]) <= 20 * 0x1p-23f * fabsf(x[i]));
    assert_cuda(cudaGraphExecDestroy(exec));
    assert_cuda(cudaGraphDestroy(graph));
    assert_cuda(cudaEventDestroy(fork));
    assert_cuda(cudaEventDestroy(join));
    assert_cuda(cudaStreamDestroy(one));
    assert_cuda(cudaStreamDestroy(two));
    assert_cuda(cudaFreeHost(pinned));
}

static void test_layer_norm(void **)
{
    cuda_host_each_schedule(check_layer_norm_bf16, nullptr);
}
static void test_gemm(void **)
{
    std::vector<float> first;
    cuda_host_each_schedule(check_gemm, &first);
}
static void test_warp(void **)
{
    cuda_host_each_schedule(check_warp, nullptr);
}
static void test_atomics(void **)
{
    cuda_host_each_schedule(check_histogram, nullptr);
}
static void test_random(void **)
{
    cuda_host_each_schedule(check_random, nullptr);
}
static void test_streams(void **)
{
    cuda_host_each_schedule(check_streams, nullptr);
}

/* Every bf16, every upper half of a float with some lower halves: the contract's conversion. */
static void test_bf16(void **)
{
    static const uint32_t low[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    for (uint32_t high = 0; high < 65536; high++) {
        float wide = to_float(bf16{(uint16_t)high}), want = sec_bf16_to_f32((uint16_t)high);
        assert_memory_equal(&wide, &want, sizeof want);
        for (uint32_t l : low) {
            float f = __uint_as_float(high << 16 | l);
            assert_int_equal(from_float<bf16>(f).bits, sec_f32_to_bf16(f));
        }
    }
}

static int speed()
{
    const int n = 512;
    std::vector<bf16> a = values<bf16>(2, (size_t)n * n), b = values<bf16>(3, (size_t)n * n);
    Device<bf16> da(a), db(b);
    Device<float> dc((size_t)n * n);
    struct timespec t[2];
    for (int i = 0; i < 5; i++) {
        struct cuda_host_stats before = cuda_host_stats_now();
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t[0]);
        assert_cuda(run_gemm(da.p, db.p, dc.p, n, n, n, nullptr));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t[1]);
        double s =
            (double)(t[1].tv_sec - t[0].tv_sec) + 1e-9 * (double)(t[1].tv_nsec - t[0].tv_nsec);
        uint64_t switches = cuda_host_stats_now().switches - before.switches;
        printf("mma GEMM of %d: %.2f GFLOP/s of a core's time, %.0f ns a switch\n", n,
               2e-9 * n * n * n / s, 1e9 * s / (double)switches);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "speed"))
        return speed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_warp),       cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_random),     cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
