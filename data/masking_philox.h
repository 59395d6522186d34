/* Philox4x32-10 (base/rng.h) over a vector of counters, once an instruction set. The includer
 * defines
 *   VEC              vector of 32-bit lanes
 *   VEC_SET(x)       x in every lane
 *   VEC_XOR(a, b)
 *   mul_wide(x, m, &lo, &hi)   both halves of the product of each lane by m */
static inline void philox(uint64_t seed, uint32_t stream, uint64_t sample, VEC sub, VEC out[4])
{
    VEC c0 = VEC_SET((uint32_t)sample), c1 = VEC_SET((uint32_t)(sample >> 32));
    VEC c2 = sub, c3 = VEC_SET(stream);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int r = 0; r < 10; r++) {
        VEC lo0, hi0, lo1, hi1;
        mul_wide(c0, 0xD2511F53u, &lo0, &hi0);
        mul_wide(c2, 0xCD9E8D57u, &lo1, &hi1);
        c0 = VEC_XOR(VEC_XOR(hi1, c1), VEC_SET(k0));
        c2 = VEC_XOR(VEC_XOR(hi0, c3), VEC_SET(k1));
        c1 = lo1;
        c3 = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}
