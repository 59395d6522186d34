/* Sixteen Philox blocks at a time; see data/masking_impl.h. */
#include "data/masking_impl.h"

#include <immintrin.h>

/* Low and high halves of the products of all sixteen lanes by m. */
static inline void mul_wide(__m512i x, __m512i m, __m512i *lo, __m512i *hi)
{
    __m512i even = _mm512_mul_epu32(x, m);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), m);
    *lo = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
    *hi = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}

/* Bit i of x to bit 4 i. */
static inline uint64_t spread4(uint64_t x)
{
    x = (x | x << 24) & 0x000000FF000000FF;
    x = (x | x << 12) & 0x000F000F000F000F;
    x = (x | x << 6) & 0x0303030303030303;
    return (x | x << 3) & 0x1111111111111111;
}

void sec_mask_bits_avx512(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t first_block,
                          uint32_t threshold, uint64_t *bits, int n)
{
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    const __m512i limit = _mm512_set1_epi32((int)threshold);
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int i = 0; i < n; i++) {
        __m512i c0 = _mm512_set1_epi32((int)sample), c1 = _mm512_set1_epi32((int)(sample >> 32));
        __m512i c2 =
            _mm512_add_epi32(_mm512_set1_epi32((int)(first_block + 16u * (uint32_t)i)), lane);
        __m512i c3 = _mm512_set1_epi32((int)stream);
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        for (int r = 0; r < 10; r++) {
            __m512i lo0, hi0, lo1, hi1;
            mul_wide(c0, m0, &lo0, &hi0);
            mul_wide(c2, m1, &lo1, &hi1);
            c0 = _mm512_xor_si512(_mm512_xor_si512(hi1, c1), _mm512_set1_epi32((int)k0));
            c2 = _mm512_xor_si512(_mm512_xor_si512(hi0, c3), _mm512_set1_epi32((int)k1));
            c1 = lo1;
            c3 = lo0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        bits[i] = spread4(_mm512_cmplt_epu32_mask(c0, limit)) |
                  spread4(_mm512_cmplt_epu32_mask(c1, limit)) << 1 |
                  spread4(_mm512_cmplt_epu32_mask(c2, limit)) << 2 |
                  spread4(_mm512_cmplt_epu32_mask(c3, limit)) << 3;
    }
}
