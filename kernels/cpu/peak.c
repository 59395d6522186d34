#include "kernels/cpu/peak.h"

#include "base/cpu.h"
#include "base/thread.h"
#include "kernels/cpu/peak_loop.h"

#include <omp.h>

#define RUNS 8

double sec_cpu_peak_gflops_threads(enum sec_dtype type, int threads)
{
    static float (*const loops[])(int64_t, float) = {
        sec_peak_loop_portable, sec_peak_loop_avx2, sec_peak_loop_avx512, sec_peak_loop_avx512bf16};
    const double flops[] = {sec_peak_flops_per_step_portable, sec_peak_flops_per_step_avx2,
                            sec_peak_flops_per_step_avx512, sec_peak_flops_per_step_avx512bf16};
    enum sec_isa isa = sec_cpu_isa();
    if (isa == SEC_ISA_AVX512BF16 && type != SEC_BF16)
        isa = SEC_ISA_AVX512;
    if (threads <= 0)
        threads = sec_threads();

    double best = 0;
    volatile float sink = 0;
    for (int run = 0; run < RUNS; run++) {
        int64_t steps = 5000000;
        double start = 0;
#pragma omp parallel num_threads(threads)
        {
            sink = loops[isa](1000, 1e-30f);
#pragma omp barrier
#pragma omp master
            start = omp_get_wtime();
#pragma omp barrier
            sink = loops[isa](steps, 1e-30f);
        }
        double rate = flops[isa] * (double)steps * threads / (omp_get_wtime() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    (void)sink;
    return best;
}

double sec_cpu_peak_gflops(enum sec_dtype type)
{
    return sec_cpu_peak_gflops_threads(type, 0);
}
