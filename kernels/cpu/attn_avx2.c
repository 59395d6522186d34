#define SEC_SIMD 1
#include "kernels/cpu/attn.inc"
