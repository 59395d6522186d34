/* Sixteen Philox blocks at a time; see data/masking_impl.h. */
#include "data/masking_impl.h"

#include <immintrin.h>

#define VEC           __m512i
#define VEC_SET(x)    _mm512_set1_epi32((int)(x))
#define VEC_XOR(a, b) _mm512_xor_si512(a, b)

/* Low and high halves of the products of all sixteen lanes by m. */
static inline void mul_wide(__m512i x, uint32_t by, __m512i *lo, __m512i *hi)
{
    const __m512i m = _mm512_set1_epi64(by);
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

/* Sixteen blocks of counters (sample, sub, stream); word k of block i is lane i of out[k]. */
#include "data/masking_philox.h"

void sec_mask_bits_avx512(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t first_block,
                          uint32_t threshold, uint64_t *bits, int n)
{
    const __m512i limit = _mm512_set1_epi32((int)threshold);
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int i = 0; i < n; i++) {
        __m512i w[4], first = _mm512_set1_epi32((int)(first_block + 16u * (uint32_t)i));
        philox(seed, stream, sample, _mm512_add_epi32(first, lane), w);
        bits[i] = 0;
        for (int k = 0; k < 4; k++)
            bits[i] |= spread4(_mm512_cmplt_epu32_mask(w[k], limit)) << k;
    }
}

void sec_mask_words_avx512(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t sub,
                           const int32_t *pos, int n, uint32_t (*words)[2])
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    for (int i = 0; i < n; i += 16) {
        __mmask16 some = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xFFFF;
        __m512i w[4], at = _mm512_maskz_loadu_epi32(some, pos + i);
        philox(seed, stream, sample, _mm512_add_epi32(at, _mm512_set1_epi32((int)sub)), w);
        /* words has room for a multiple of 16 */
        _mm512_storeu_si512(words[i], _mm512_permutex2var_epi32(w[0], low, w[1]));
        _mm512_storeu_si512(words[i + 8], _mm512_permutex2var_epi32(w[0], high, w[1]));
    }
}
