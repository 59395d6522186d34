#define SEC_SIMD 3
#include "kernels/cpu/rows.inc"
