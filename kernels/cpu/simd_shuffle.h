/* Moves between lanes, beside simd.h: transpose of a square of vectors. */
#ifndef SEC_KERNELS_CPU_SIMD_SHUFFLE_H
#define SEC_KERNELS_CPU_SIMD_SHUFFLE_H

#include "kernels/cpu/simd.h"

#if SEC_VL == 16
#define V_LANES                                                                                    \
    (vi)                                                                                           \
    {                                                                                              \
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15                                       \
    }
#elif SEC_VL == 8
#define V_LANES                                                                                    \
    (vi)                                                                                           \
    {                                                                                              \
        0, 1, 2, 3, 4, 5, 6, 7                                                                     \
    }
#else
#define V_LANES                                                                                    \
    (vi)                                                                                           \
    {                                                                                              \
        0, 1, 2, 3                                                                                 \
    }
#endif

/* Blocks of h lanes change places between rows h apart. */
V_INLINE void v_transpose_stage(vf r[SEC_VL], const int h)
{
    vi lane = V_LANES, high = (lane & h) != 0;
    vi first = (high & (lane - h + SEC_VL)) | (~high & lane);
    vi second = (high & (lane + SEC_VL)) | (~high & (lane + h));
#pragma GCC unroll 16
    for (int i = 0; i < SEC_VL; i++)
        if (!(i & h)) {
            vf a = r[i], b = r[i + h];
            r[i] = __builtin_shuffle(a, b, first);
            r[i + h] = __builtin_shuffle(a, b, second);
        }
}

/* r[i][j] := r[j][i]. */
V_INLINE void v_transpose(vf r[SEC_VL])
{
#if SEC_VL >= 16
    v_transpose_stage(r, 8);
#endif
#if SEC_VL >= 8
    v_transpose_stage(r, 4);
#endif
    v_transpose_stage(r, 2);
    v_transpose_stage(r, 1);
}

#endif
