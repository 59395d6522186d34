#define SEC_SIMD 0
#include "kernels/cpu/attn.inc"
