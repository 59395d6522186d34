/* The signing loops behind data/minhash.h: signature[i] = min over shingles x of a[i] * x + b[i]
 * mod 2^32. The three give the same; avx2 and avx512 need that processor. */
#ifndef SEC_DATA_MINHASH_IMPL_H
#define SEC_DATA_MINHASH_IMPL_H

#include "data/minhash.h"

struct sec_minhash_functions {
    _Alignas(64) uint32_t a[SEC_MINHASH_N]; /* odd: each function is a permutation */
    _Alignas(64) uint32_t b[SEC_MINHASH_N];
};

/* The functions that every signature uses; others of the same family, for statistics over many; and
 * signing with them on the best instruction set. */
const struct sec_minhash_functions *sec_minhash_functions(void);
void sec_minhash_draw(uint64_t seed, struct sec_minhash_functions *out);
void sec_minhash_sign_with(const struct sec_minhash_functions *f, const uint32_t *shingles,
                           size_t n, uint32_t signature[SEC_MINHASH_N]);

#define SEC_MINHASH_SIGN(isa)                                                                      \
    void sec_minhash_sign_##isa(const struct sec_minhash_functions *f, const uint32_t *shingles,   \
                                size_t n, uint32_t signature[SEC_MINHASH_N]);
SEC_MINHASH_SIGN(portable)
SEC_MINHASH_SIGN(avx2)
SEC_MINHASH_SIGN(avx512)

#endif
