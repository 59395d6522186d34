/* All 128 functions in registers: 8 vectors each of a, b and minima. */
#include "data/minhash_impl.h"

#include <immintrin.h>

enum { LANES = 16, VECTORS = SEC_MINHASH_N / LANES };

void sec_minhash_sign_avx512(const struct sec_minhash_functions *f, const uint32_t *shingles,
                             size_t n, uint32_t signature[SEC_MINHASH_N])
{
    __m512i a[VECTORS], b[VECTORS], least[VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++) {
        a[v] = _mm512_load_si512(f->a + LANES * v);
        b[v] = _mm512_load_si512(f->b + LANES * v);
        least[v] = _mm512_set1_epi32(-1);
    }
    for (size_t i = 0; i < n; i++) {
        __m512i x = _mm512_set1_epi32((int)shingles[i]);
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++)
            least[v] =
                _mm512_min_epu32(least[v], _mm512_add_epi32(_mm512_mullo_epi32(x, a[v]), b[v]));
    }
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++)
        _mm512_storeu_si512(signature + LANES * v, least[v]);
}
