/* Eight Philox blocks at a time; see data/masking_impl.h. */
#include "data/masking_impl.h"

#include <immintrin.h>

static inline void mul_wide(__m256i x, __m256i m, __m256i *lo, __m256i *hi)
{
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

static uint32_t eight_blocks(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t block,
                             __m256i flipped_limit)
{
    const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i c0 = _mm256_set1_epi32((int)sample), c1 = _mm256_set1_epi32((int)(sample >> 32));
    __m256i c2 = _mm256_add_epi32(_mm256_set1_epi32((int)block), lane);
    __m256i c3 = _mm256_set1_epi32((int)stream);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int r = 0; r < 10; r++) {
        __m256i lo0, hi0, lo1, hi1;
        mul_wide(c0, m0, &lo0, &hi0);
        mul_wide(c2, m1, &lo1, &hi1);
        c0 = _mm256_xor_si256(_mm256_xor_si256(hi1, c1), _mm256_set1_epi32((int)k0));
        c2 = _mm256_xor_si256(_mm256_xor_si256(hi0, c3), _mm256_set1_epi32((int)k1));
        c1 = lo1;
        c3 = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return below(c0, flipped_limit) | below(c1, flipped_limit) << 1 |
           below(c2, flipped_limit) << 2 | below(c3, flipped_limit) << 3;
}

void sec_mask_bits_avx2(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t first_block,
                        uint32_t threshold, uint64_t *bits, int n)
{
    const __m256i limit = _mm256_set1_epi32((int)(threshold ^ 0x80000000u));
    for (int i = 0; i < n; i++) {
        uint32_t block = first_block + 16u * (uint32_t)i;
        uint64_t low = eight_blocks(seed, stream, sample, block, limit);
        uint64_t high = eight_blocks(seed, stream, sample, block + 8, limit);
        bits[i] = low | high << 32;
    }
}
