/* 16 registers hold 32 functions at a time (4 vectors each of a, b and minima): four passes. */
#include "data/minhash_impl.h"

#include <immintrin.h>

enum { LANES = 8, VECTORS = 4, PASS = LANES * VECTORS };

void sec_minhash_sign_avx2(const struct sec_minhash_functions *f, const uint32_t *shingles,
                           size_t n, uint32_t signature[SEC_MINHASH_N])
{
    for (int from = 0; from < SEC_MINHASH_N; from += PASS) {
        __m256i a[VECTORS], b[VECTORS], least[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            a[v] = _mm256_load_si256((const __m256i *)(f->a + from + LANES * v));
            b[v] = _mm256_load_si256((const __m256i *)(f->b + from + LANES * v));
            least[v] = _mm256_set1_epi32(-1);
        }
        for (size_t i = 0; i < n; i++) {
            __m256i x = _mm256_set1_epi32((int)shingles[i]);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                least[v] =
                    _mm256_min_epu32(least[v], _mm256_add_epi32(_mm256_mullo_epi32(x, a[v]), b[v]));
        }
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            _mm256_storeu_si256((__m256i *)(signature + from + LANES * v), least[v]);
    }
}
