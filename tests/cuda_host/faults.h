/* How the tests of wrong programs say that a mistake has to be found. */
#ifndef SEC_TESTS_CUDA_HOST_FAULTS_H
#define SEC_TESTS_CUDA_HOST_FAULTS_H

#include "testing.h"

/* The launch gives this error, its message holds this text, and the error sticks until a reset. */
static inline void assert_caught(cudaError_t rc, cudaError_t want, const char *text)
{
    if (rc == cudaSuccess)
        rc = cudaDeviceSynchronize();
    if (rc != want || !strstr(cuda_host_message(), text))
        fail_msg("%s: \"%s\"; expected %s: \"%s\"", cudaGetErrorName(rc), cuda_host_message(),
                 cudaGetErrorName(want), text);
    assert_int_equal(cudaGetLastError(), want);
    assert_int_equal(cudaDeviceSynchronize(), want);
    cuda_host_reset();
    assert_int_equal(cudaGetLastError(), cudaSuccess);
}

/* Under every schedule. */
static inline void assert_always_caught(cudaError_t (*run)(), cudaError_t want, const char *text)
{
    struct Arg {
        cudaError_t (*run)();
        cudaError_t want;
        const char *text;
    } arg = {run, want, text};
    cuda_host_each_schedule(
        [](void *p) {
            Arg *a = static_cast<Arg *>(p);
            assert_caught(a->run(), a->want, a->text);
        },
        &arg);
}

/* A correct run gives `want`; the mistake must show as another result under some schedule. */
template <class F> static inline void assert_some_differ(F run, bool deferred_only)
{
    struct cuda_host_config before = cuda_host_current(), c = before;
    int wrong = 0;
    for (int i = 0; i < 6; i++) {
        c.deferred = deferred_only || i >= 3;
        c.order = (enum cuda_host_order)(i % 3);
        c.seed = (uint64_t)i;
        cuda_host_configure(&c);
        wrong += !run();
    }
    cuda_host_configure(&before);
    assert_true(wrong > 0);
}

#endif
