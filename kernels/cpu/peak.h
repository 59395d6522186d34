/* The measured peak of this machine: the yardstick of `secenc bench`. */
#ifndef SEC_KERNELS_CPU_PEAK_H
#define SEC_KERNELS_CPU_PEAK_H

#include "kernels/ops.h"

/* GFLOP/s of the best instruction set in use: a loop of independent multiply-adds on registers
 * (F32: fused multiply-add; BF16: vdpbf16ps where there is one, else as F32), on `threads` threads
 * at once (0: sec_threads()). The best of several short runs, about 0.2 s in all. */
double sec_cpu_peak_gflops_threads(enum sec_dtype type, int threads);

/* On all threads. */
double sec_cpu_peak_gflops(enum sec_dtype type);

#endif
