/* Every kind of mistake in a kernel that the emulation exists to catch, each caught: by an error
 * and a message where the access itself is wrong, by wrong results where the order is. */
#include "faults.h"

/* Missing barrier: neighbours' values are read before all are written. */

static __global__ void reverse_block(const int *x, int *y, bool with_barrier)
{
    SMEM(int, held, 256);
    held[threadIdx.x] = x[threadIdx.x];
    if (with_barrier)
        __syncthreads();
    y[threadIdx.x] = held[blockDim.x - 1 - threadIdx.x];
}

static bool reversed(bool with_barrier)
{
    std::vector<int> x(256);
    for (int i = 0; i < 256; i++)
        x[i] = i;
    Device<int> dx(x), dy(256);
    assert_cuda(LAUNCH(reverse_block, 1, 256, 0, nullptr, dx.p, dy.p, with_barrier));
    std::vector<int> y = dy.get();
    bool ok = true;
    for (int i = 0; i < 256; i++)
        ok = ok && y[i] == 255 - i;
    return ok;
}

static void test_missing_barrier(void **)
{
    cuda_host_each_schedule([](void *) { assert_true(reversed(true)); }, nullptr);
    cuda_host_each_schedule([](void *) { assert_false(reversed(false)); }, nullptr);
}

/* Missing barrier before shared memory is used again: a fast warp overwrites what a slow one reads.
 */
static __global__ void rounds(const float *x, float *y, int n, bool with_barrier)
{
    SMEM(float, held, 64);
    float sum = 0;
    for (int i = 0; i < n; i++) {
        held[threadIdx.x] = x[i * 64 + threadIdx.x];
        __syncthreads();
        sum += held[(threadIdx.x + 32) % 64];
        if (with_barrier)
            __syncthreads();
    }
    y[threadIdx.x] = sum;
}

static bool rounds_right(bool with_barrier)
{
    std::vector<float> x = values<float>(9, 5 * 64), y;
    Device<float> dx(x), dy(64);
    assert_cuda(LAUNCH(rounds, 1, 64, 0, nullptr, dx.p, dy.p, 5, with_barrier));
    y = dy.get();
    bool ok = true;
    for (int t = 0; t < 64; t++) {
        float sum = 0;
        for (int i = 0; i < 5; i++)
            sum += x[i * 64 + (t + 32) % 64];
        ok = ok && y[t] == sum;
    }
    return ok;
}

static void test_missing_second_barrier(void **)
{
    cuda_host_each_schedule([](void *) { assert_true(rounds_right(true)); }, nullptr);
    cuda_host_each_schedule([](void *) { assert_false(rounds_right(false)); }, nullptr);
}

/* cp.async. */

static __global__ void copy_async(const float *x, float *y, bool with_wait, bool with_read)
{
    SMEM(float, held, 128);
    cp_async16(held + 4 * threadIdx.x, x + 4 * threadIdx.x);
    cp_async_commit();
    if (with_wait)
        cp_async_wait<0>();
    for (int i = 0; i < 4 && with_read; i++)
        y[4 * threadIdx.x + i] = held[4 * threadIdx.x + i];
    cp_async_wait<0>();
}

static void test_missing_wait(void **)
{
    std::vector<float> x = values<float>(1, 128);
    Device<float> dx(x), dy(128);
    assert_cuda(LAUNCH(copy_async, 1, 32, 0, nullptr, dx.p, dy.p, true, true));
    assert_true(dy.get() == x);
    assert_cuda(LAUNCH(copy_async, 1, 32, 0, nullptr, dx.p, dy.p, false, true));
    for (float y : dy.get())
        assert_true(y != y);
}

static __global__ void copy_unfinished(const float *x)
{
    SMEM(float, held, 128);
    cp_async16(held + 4 * threadIdx.x, x + 4 * threadIdx.x);
    cp_async_commit();
}

static cudaError_t run_unfinished()
{
    Device<float> x(128);
    return LAUNCH(copy_unfinished, 1, 32, 0, nullptr, x.p);
}

static void test_unfinished_copy(void **)
{
    assert_always_caught(run_unfinished, cudaErrorLaunchFailure,
                         "cp.async copies were never waited");
}

/* Two groups, the second is read when only the first has been waited for. */
static __global__ void copy_groups(const float *x, float *y)
{
    SMEM(float, held, 256);
    for (int i = 0; i < 2; i++) {
        cp_async16(held + 128 * i + 4 * threadIdx.x, x + 128 * i + 4 * threadIdx.x);
        cp_async_commit();
    }
    cp_async_wait<1>();
    for (int i = 0; i < 4; i++) {
        y[4 * threadIdx.x + i] = held[4 * threadIdx.x + i];
        y[128 + 4 * threadIdx.x + i] = held[128 + 4 * threadIdx.x + i];
    }
    cp_async_wait<0>();
}

static void test_wait_of_groups(void **)
{
    std::vector<float> x = values<float>(1, 256);
    Device<float> dx(x), dy(256);
    assert_cuda(LAUNCH(copy_groups, 1, 32, 0, nullptr, dx.p, dy.p));
    std::vector<float> y = dy.get();
    for (int i = 0; i < 128; i++)
        assert_true(y[i] == x[i] && y[128 + i] != y[128 + i]);
}

/* Out of bounds. */

static __global__ void write_at(float *y, ptrdiff_t at)
{
    y[at + threadIdx.x] = 1;
}
static __global__ void read_at(const float *x, float *y, ptrdiff_t at)
{
    y[threadIdx.x] = x[at + threadIdx.x];
}
static __global__ void write_shared_at(float *y, ptrdiff_t at)
{
    DYN_SMEM(float, held);
    held[at] = 1;
    y[threadIdx.x] = held[0];
}
static __global__ void write_static_at(float *y, int at)
{
    SMEM(float, first, 32);
    SMEM(float, second, 32);
    first[threadIdx.x] = second[threadIdx.x] = 0;
    float *volatile p = first; /* hidden from the compiler */
    p[at] = 1;
    y[threadIdx.x] = first[threadIdx.x] + second[threadIdx.x];
}
/* From the top of the stack down, past what the emulation has for a thread. */
static __global__ void large_local(float *y)
{
    volatile float big[20000];
    for (int i = 19999; i >= 0; i--)
        big[i] = 1;
    y[threadIdx.x] = big[threadIdx.x];
}
template <int SIZE, ptrdiff_t AT> static cudaError_t run_write()
{
    Device<float> y(SIZE);
    return LAUNCH(write_at, 1, 32, 0, nullptr, y.p, AT);
}
template <ptrdiff_t AT> static cudaError_t run_read()
{
    Device<float> x(1024), y(1024);
    return LAUNCH(read_at, 1, 32, 0, nullptr, x.p, y.p, AT);
}
static cudaError_t run_write_freed()
{
    float *p;
    {
        Device<float> y(1000);
        p = y.p;
    }
    Device<float> other(1000);
    return LAUNCH(write_at, 1, 32, 0, nullptr, p, 0);
}
template <int AT> static cudaError_t run_write_shared()
{
    Device<float> y(32);
    return LAUNCH(write_shared_at, 1, 32, 100, nullptr, y.p, AT);
}
static cudaError_t run_write_static()
{
    Device<float> y(32);
    return LAUNCH(write_static_at, 1, 32, 0, nullptr, y.p, 33);
}
static cudaError_t run_large_local()
{
    Device<float> y(32);
    return LAUNCH(large_local, 1, 32, 0, nullptr, y.p);
}

static void test_out_of_bounds(void **)
{
    assert_always_caught((run_write<980, 980>), cudaErrorIllegalAddress, "wrote beside allocation");
    assert_always_caught((run_write<500, -1>), cudaErrorIllegalAddress, "wrote beside allocation");
    assert_always_caught((run_write<1024, 1024>), cudaErrorIllegalAddress, "past the end of alloc");
    assert_always_caught((run_write<1024, -99>), cudaErrorIllegalAddress,
                         "from the start of alloc");
    assert_always_caught(run_read<1024>, cudaErrorIllegalAddress, "read of");
    assert_always_caught(run_read<(ptrdiff_t)1 << 40>, cudaErrorIllegalAddress, "read of");
    assert_always_caught(run_write_freed, cudaErrorIllegalAddress, "write to");
    assert_always_caught(run_write_shared<25>, cudaErrorIllegalAddress, "beside its shared memory");
    assert_always_caught(run_write_shared<32>, cudaErrorIllegalAddress, "kernel write_shared_at");
    assert_always_caught(run_write_shared<-2000>, cudaErrorIllegalAddress, "write to");
    assert_always_caught(run_write_static, cudaErrorIllegalAddress, "beside its shared memory");
    assert_always_caught(run_large_local, cudaErrorIllegalAddress, "stack overflow");
}

/* Block order. */

static __global__ void chain(float *y)
{
    if (threadIdx.x == 0)
        y[blockIdx.x] = blockIdx.x ? y[blockIdx.x - 1] + 1 : 0;
}

static bool chained()
{
    Device<float> y(std::vector<float>(16));
    assert_cuda(LAUNCH(chain, 16, 32, 0, nullptr, y.p));
    return y.get()[15] == 15;
}

static void test_block_order(void **)
{
    assert_some_differ(chained, false);
}

/* Alignment. */

static __global__ void shift_vectors(const float *x, float *y)
{
    store_vec(y + 4 * threadIdx.x, load_vec<4>(x + 4 * threadIdx.x));
}
static __global__ void shift_async(const float *x, float *y, int shared)
{
    SMEM(float, held, 160);
    cp_async16(held + 4 * threadIdx.x + shared, x + 4 * threadIdx.x);
    cp_async_wait<0>();
    y[threadIdx.x] = held[threadIdx.x];
}
template <int AT> static cudaError_t run_misaligned()
{
    Device<float> x(values<float>(1, 256)), y(256);
    return LAUNCH(shift_vectors, 1, 32, 0, nullptr, x.p + AT, y.p);
}
static cudaError_t run_misaligned_store()
{
    Device<float> x(values<float>(1, 256)), y(256);
    return LAUNCH(shift_vectors, 1, 32, 0, nullptr, x.p, y.p + 2);
}
template <int GLOBAL, int SHARED> static cudaError_t run_misaligned_async()
{
    Device<float> x(values<float>(1, 256)), y(256);
    return LAUNCH(shift_async, 1, 32, 0, nullptr, x.p + GLOBAL, y.p, SHARED);
}

static void test_alignment(void **)
{
    assert_cuda(run_misaligned<4>());
    assert_always_caught(run_misaligned<1>, cudaErrorMisalignedAddress, "not aligned");
    assert_always_caught(run_misaligned_store, cudaErrorMisalignedAddress, "not aligned");
    assert_always_caught((run_misaligned_async<1, 0>), cudaErrorMisalignedAddress,
                         "cp.async, source");
    assert_always_caught((run_misaligned_async<0, 1>), cudaErrorMisalignedAddress,
                         "cp.async, target");
}

/* Divergence. */

static __global__ void diverge(int *y, int kind)
{
    unsigned t = threadIdx.x;
    if (kind == 0 && t >= 96) /* a warp returns before the barrier */
        return;
    if (kind == 1 && t % 2) /* half of each warp waits elsewhere */
        __syncthreads();
    else if (kind == 2 && t == 77) /* one lane takes no part in a shuffle */
        y[t] = 1;
    else if (kind == 3 && t % 32 == 5)
        y[t] = (int)warp_ballot(true);
    else
        y[t] = warp_xor((int)t, 1);
    __syncthreads();
}
template <int KIND, int THREADS> static cudaError_t run_diverging()
{
    Device<int> y(128);
    return LAUNCH(diverge, 3, THREADS, 0, nullptr, y.p, KIND);
}

static void test_divergence(void **)
{
    assert_cuda((run_diverging<4, 128>()));
    assert_always_caught((run_diverging<0, 128>), cudaErrorLaunchFailure,
                         "96 of 128 threads wait at __syncthreads()");
    assert_always_caught((run_diverging<1, 128>), cudaErrorLaunchFailure, "diverge");
    assert_always_caught((run_diverging<2, 128>), cudaErrorLaunchFailure,
                         "warp divergence: 31 threads wait in a shuffle");
    assert_always_caught((run_diverging<3, 128>), cudaErrorLaunchFailure, "diverged");
    assert_always_caught((run_diverging<4, 100>), cudaErrorLaunchFailure, "it takes 32");
}

int main(void)
{
    struct cuda_host_config c = cuda_host_current();
    c.quiet = true;
    cuda_host_configure(&c);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_barrier), cmocka_unit_test(test_missing_second_barrier),
        cmocka_unit_test(test_missing_wait),    cmocka_unit_test(test_unfinished_copy),
        cmocka_unit_test(test_wait_of_groups),  cmocka_unit_test(test_out_of_bounds),
        cmocka_unit_test(test_block_order),     cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_divergence),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
