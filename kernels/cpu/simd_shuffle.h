/* Moves between lanes, beside simd.h: transpose of a square of vectors, table look-up. */
#ifndef SEC_KERNELS_CPU_SIMD_SHUFFLE_H
#define SEC_KERNELS_CPU_SIMD_SHUFFLE_H

#include "kernels/cpu/simd.h"

V_INLINE vi v_lanes(void)
{
    vi v;
    for (int i = 0; i < SEC_VL; i++)
        v[i] = i;
    return v;
}

/* Blocks of h lanes change places between rows h apart. */
V_INLINE void v_transpose_stage(vf r[SEC_VL], const int h)
{
    vi lane = v_lanes(), high = (lane & h) != 0;
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

/* Lane i of the result = lane index[i] of table (0..SEC_VL-1). */
V_INLINE vf v_lookup(vf table, vi index)
{
#if SEC_SIMD >= 2
    return _mm512_permutexvar_ps((__m512i)index, table);
#elif SEC_SIMD == 1
    return _mm256_permutevar8x32_ps(table, (__m256i)index);
#else
    return __builtin_shuffle(table, index);
#endif
}

#endif
