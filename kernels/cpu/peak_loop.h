/* Internal to peak.c: the loop of each instruction set. */
#ifndef SEC_KERNELS_CPU_PEAK_LOOP_H
#define SEC_KERNELS_CPU_PEAK_LOOP_H

#include <stdint.h>

float sec_peak_loop_portable(int64_t steps, float start);
float sec_peak_loop_avx2(int64_t steps, float start);
float sec_peak_loop_avx512(int64_t steps, float start);
float sec_peak_loop_avx512bf16(int64_t steps, float start);
extern const double sec_peak_flops_per_step_portable, sec_peak_flops_per_step_avx2,
    sec_peak_flops_per_step_avx512, sec_peak_flops_per_step_avx512bf16;

#endif
