/* The NCCL stand-in: every collective over three ranks and over one, on streams of their own, under
 * every schedule; and its misuse. */
#include "testing.h"

#include <nccl.h>

#define assert_nccl(expr) assert_int_equal((int)(expr), ncclSuccess)

static __global__ void fill(float *y, int n, float x)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = x + (float)i;
}

static void check_collectives(void *arg)
{
    const int ranks = *static_cast<int *>(arg), n = 5, all = n * ranks;
    std::vector<ncclComm_t> comm((size_t)ranks);
    std::vector<cudaStream_t> stream((size_t)ranks);
    std::vector<Device<float> *> x, sum, part, gathered, root;
    assert_nccl(ncclCommInitAll(comm.data(), ranks, nullptr));
    for (int r = 0; r < ranks; r++) {
        assert_cuda(cudaStreamCreateWithFlags(&stream[r], cudaStreamNonBlocking));
        x.push_back(new Device<float>((size_t)all));
        sum.push_back(new Device<float>((size_t)all));
        part.push_back(new Device<float>((size_t)n));
        gathered.push_back(new Device<float>((size_t)all));
        root.push_back(new Device<float>((size_t)n));
        assert_cuda(LAUNCH(fill, 1, 32, 0, stream[r], x[r]->p, all, 100.0f * (float)r));
    }
    assert_nccl(ncclGroupStart());
    for (int r = 0; r < ranks; r++) {
        assert_nccl(ncclAllReduce(x[r]->p, sum[r]->p, (size_t)all, ncclFloat32, ncclSum, comm[r],
                                  stream[r]));
        assert_nccl(ncclReduceScatter(x[r]->p, part[r]->p, (size_t)n, ncclFloat32, ncclMax, comm[r],
                                      stream[r]));
        assert_nccl(
            ncclAllGather(part[r]->p, gathered[r]->p, (size_t)n, ncclFloat32, comm[r], stream[r]));
        assert_nccl(ncclBroadcast(x[r]->p, root[r]->p, (size_t)n, ncclFloat32, ranks - 1, comm[r],
                                  stream[r]));
    }
    assert_nccl(ncclGroupEnd());
    for (int r = ranks - 1; r >= 0; r--) {
        assert_cuda(cudaStreamSynchronize(stream[r]));
        std::vector<float> s = sum[r]->get(), p = part[r]->get(), g = gathered[r]->get(),
                           b = root[r]->get();
        float top = 100.0f * (float)(ranks - 1);
        for (int i = 0; i < all; i++) {
            assert_true(s[i] == (float)(ranks * i + 50 * ranks * (ranks - 1)));
            assert_true(g[i] == top + (float)i);
        }
        for (int i = 0; i < n; i++)
            assert_true(p[i] == top + (float)(r * n + i) && b[i] == top + (float)i);
    }
    for (int r = 0; r < ranks; r++) {
        assert_nccl(ncclCommDestroy(comm[r]));
        assert_cuda(cudaStreamDestroy(stream[r]));
        for (auto *d : {x[r], sum[r], part[r], gathered[r], root[r]})
            delete d;
    }
}

static void test_collectives(void **)
{
    for (int ranks : {1, 3})
        cuda_host_each_schedule(check_collectives, &ranks);
}

static void test_types(void **)
{
    ncclComm_t comm[2];
    std::vector<bf16> a = values<bf16>(1, 9), b = values<bf16>(2, 9);
    Device<bf16> da(a), db(b);
    assert_nccl(ncclCommInitAll(comm, 2, nullptr));
    assert_nccl(ncclGroupStart());
    assert_nccl(ncclAllReduce(da.p, da.p, 9, ncclBfloat16, ncclAvg, comm[0], nullptr));
    assert_nccl(ncclAllReduce(db.p, db.p, 9, ncclBfloat16, ncclAvg, comm[1], nullptr));
    assert_nccl(ncclGroupEnd());
    std::vector<bf16> got = db.get();
    for (int i = 0; i < 9; i++)
        assert_int_equal(got[i].bits, from_float<bf16>((to_float(a[i]) + to_float(b[i])) / 2).bits);
    ncclCommDestroy(comm[0]);
    ncclCommDestroy(comm[1]);
}

static void test_misuse(void **)
{
    ncclComm_t comm[2];
    Device<float> x(8);
    struct cuda_host_config before = cuda_host_current(), c = before;
    c.quiet = true;
    cuda_host_configure(&c);
    assert_nccl(ncclCommInitAll(comm, 2, nullptr));
    assert_int_equal(ncclAllReduce(x.p, x.p, 8, ncclFloat32, ncclSum, comm[0], nullptr),
                     ncclInvalidUsage);
    assert_nccl(ncclGroupStart());
    assert_nccl(ncclAllReduce(x.p, x.p, 8, ncclFloat32, ncclSum, comm[0], nullptr));
    assert_int_equal(ncclGroupEnd(), ncclInvalidUsage);
    assert_nccl(ncclGroupStart());
    assert_nccl(ncclAllReduce(x.p, x.p, 8, ncclFloat32, ncclSum, comm[0], nullptr));
    assert_nccl(ncclAllReduce(x.p, x.p, 7, ncclFloat32, ncclSum, comm[1], nullptr));
    assert_int_equal(ncclGroupEnd(), ncclInvalidUsage);
    assert_nccl(ncclGroupStart());
    assert_nccl(ncclAllReduce(x.p, x.p, 9, ncclFloat32, ncclSum, comm[0], nullptr));
    assert_nccl(ncclAllReduce(x.p, x.p, 9, ncclFloat32, ncclSum, comm[1], nullptr));
    assert_int_equal(ncclGroupEnd(), ncclUnhandledCudaError); /* one element too many */
    ncclCommDestroy(comm[0]);
    ncclCommDestroy(comm[1]);
    cuda_host_configure(&before);
    cuda_host_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collectives),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
