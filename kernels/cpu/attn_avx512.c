#define SEC_SIMD 2
#include "kernels/cpu/attn.inc"
