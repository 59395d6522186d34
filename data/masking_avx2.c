/* Eight Philox blocks at a time; see data/masking_impl.h. */
#include "data/masking_impl.h"

#include <immintrin.h>

#define VEC           __m256i
#define VEC_SET(x)    _mm256_set1_epi32((int)(x))
#define VEC_XOR(a, b) _mm256_xor_si256(a, b)

static inline void mul_wide(__m256i x, uint32_t by, __m256i *lo, __m256i *hi)
{
    const __m256i m = _mm256_set1_epi64x(by);
    __m256i even = _mm256_mul_epu32(x, m);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), m);
    *lo = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
    *hi = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}

/* One bit a lane: x < limit, unsigned; both come with the sign bit flipped. Bit i goes to bit 4 i.
 */
static inline uint32_t below(__m256i x, __m256i flipped_limit)
{
    const __m256i sign = _mm256_set1_epi32(INT32_MIN);
    __m256i lt = _mm256_cmpgt_epi32(flipped_limit, _mm256_xor_si256(x, sign));
    uint32_t m = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(lt));
    m = (m | m << 12) & 0x000F000F;
    m = (m | m << 6) & 0x03030303;
    return (m | m << 3) & 0x11111111;
}

/* Eight blocks of counters (sample, sub, stream); word k of block i is lane i of out[k]. */
#include "data/masking_philox.h"

void sec_mask_bits_avx2(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t first_block,
                        uint32_t threshold, uint64_t *bits, int n)
{
    const __m256i limit = _mm256_set1_epi32((int)(threshold ^ 0x80000000u));
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < 2 * n; i++) {
        __m256i w[4], first = _mm256_set1_epi32((int)(first_block + 8u * (uint32_t)i));
        uint64_t half = 0;
        philox(seed, stream, sample, _mm256_add_epi32(first, lane), w);
        for (int k = 0; k < 4; k++)
            half |= (uint64_t)below(w[k], limit) << k;
        bits[i / 2] = i % 2 ? bits[i / 2] | half << 32 : half;
    }
}

void sec_mask_words_avx2(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t sub,
                         const int32_t *pos, int n, uint32_t (*words)[2])
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < n; i += 8) {
        __m256i some = _mm256_cmpgt_epi32(_mm256_set1_epi32(n - i), lane);
        __m256i w[4], at = _mm256_maskload_epi32(pos + i, some);
        philox(seed, stream, sample, _mm256_add_epi32(at, _mm256_set1_epi32((int)sub)), w);
        /* a = pairs 0 1 4 5, b = pairs 2 3 6 7; words has room for a multiple of 16 */
        __m256i a = _mm256_unpacklo_epi32(w[0], w[1]), b = _mm256_unpackhi_epi32(w[0], w[1]);
        _mm256_storeu_si256((__m256i *)(void *)words[i], _mm256_permute2x128_si256(a, b, 0x20));
        _mm256_storeu_si256((__m256i *)(void *)words[i + 4], _mm256_permute2x128_si256(a, b, 0x31));
    }
}
