/* Vectors for the cpu kernels: one source for every instruction set (cpu.h tells how). Define
 * SEC_SIMD before including. gcc vector extensions carry the arithmetic (+ - * / work on vf); this
 * header adds what they lack: tails, bf16, fused multiply-add, reductions, exp, the normal
 * distribution, dropout. Everything is static: no symbol of one instruction set can be linked into
 * another's path.
 *
 * NaN goes through every function here, so a broken value is always seen by the trainer. */
#ifndef SEC_KERNELS_CPU_SIMD_H
#define SEC_KERNELS_CPU_SIMD_H

#include "kernels/dropout.h"
#include "kernels/ops.h"

#include <math.h>
#include <string.h>

#if SEC_SIMD == 0
#define SEC_VL           4
#define SEC_SIMD_NAME(f) f##_portable
#elif SEC_SIMD == 1
#include <immintrin.h>
#define SEC_VL           8
#define SEC_SIMD_NAME(f) f##_avx2
#elif SEC_SIMD == 2
#include <immintrin.h>
#define SEC_VL           16
#define SEC_SIMD_NAME(f) f##_avx512
#elif SEC_SIMD == 3
#include <immintrin.h>
#define SEC_VL           16
#define SEC_SIMD_NAME(f) f##_avx512bf16
#else
#error "define SEC_SIMD as 0, 1, 2 or 3"
#endif

#define V_INLINE static inline __attribute__((always_inline, unused))

typedef float vf __attribute__((vector_size(4 * SEC_VL)));
typedef int32_t vi __attribute__((vector_size(4 * SEC_VL)));
typedef uint32_t vu __attribute__((vector_size(4 * SEC_VL)));
typedef uint16_t vh __attribute__((vector_size(2 * SEC_VL)));
/* aligned(2): gemm loads pairs of bf16 as one lane */
typedef float vf_u __attribute__((vector_size(4 * SEC_VL), aligned(2), may_alias));
typedef uint32_t vu_u __attribute__((vector_size(4 * SEC_VL), aligned(4), may_alias));
typedef uint16_t vh_u __attribute__((vector_size(2 * SEC_VL), aligned(2), may_alias));

V_INLINE vf v_set1(float x)
{
    return x - (vf){0};
}
V_INLINE vu vu_set1(uint32_t x)
{
    return x - (vu){0};
}
V_INLINE vf v_zero(void)
{
    return (vf){0};
}

/* Loads and stores; the _n forms touch only the first n lanes (0..SEC_VL), others read as 0. */
V_INLINE vf v_load(const float *p)
{
    return *(const vf_u *)p;
}
V_INLINE void v_store(float *p, vf v)
{
    *(vf_u *)p = v;
}
V_INLINE vf v_load_n(const float *p, int64_t n)
{
    if (__builtin_constant_p(n) && n == SEC_VL)
        return v_load(p);
#if SEC_SIMD >= 2
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vf v = {0};
    memcpy(&v, p, 4 * (size_t)n);
    return v;
#endif
}
V_INLINE void v_store_n(float *p, vf v, int64_t n)
{
    if (__builtin_constant_p(n) && n == SEC_VL) {
        v_store(p, v);
        return;
    }
#if SEC_SIMD >= 2
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#else
    memcpy(p, &v, 4 * (size_t)n);
#endif
}

V_INLINE vf v_from_bf16(vh h)
{
    return (vf)(__builtin_convertvector(h, vu) << 16);
}
/* Nearest even, exactly sec_f32_to_bf16. The hardware conversion does the same except that it takes
 * denormals for 0, hence the test for them. */
V_INLINE vh v_to_bf16(vf x)
{
#if SEC_SIMD == 3
    enum { DENORMAL = 0x20 };
    if (__builtin_expect(!_mm512_fpclass_ps_mask(x, DENORMAL), 1))
        return (vh)_mm512_cvtneps_pbh(x);
#endif
    vu u = (vu)x, nan = (vu)((u & 0x7FFFFFFFu) > 0x7F800000u);
    vu r = u + 0x7FFFu + (u >> 16 & 1);
#if SEC_SIMD >= 2
    (void)nan;
    r = (vu)_mm512_mask_or_epi32((__m512i)r, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), (__m512i)u,
                                 _mm512_set1_epi32(0x400000));
#else
    r = (nan & (u | 0x400000)) | (~nan & r);
#endif
    return __builtin_convertvector(r >> 16, vh);
}
V_INLINE vf v_load_bf16(const uint16_t *p)
{
    return v_from_bf16(*(const vh_u *)p);
}
V_INLINE void v_store_bf16(uint16_t *p, vf v)
{
    *(vh_u *)p = v_to_bf16(v);
}
V_INLINE vf v_load_bf16_n(const uint16_t *p, int64_t n)
{
#if SEC_SIMD >= 2
    return v_from_bf16((vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
    vh h = {0};
    memcpy(&h, p, 2 * (size_t)n);
    return v_from_bf16(h);
#endif
}
V_INLINE void v_store_bf16_n(uint16_t *p, vf v, int64_t n)
{
    vh h = v_to_bf16(v);
#if SEC_SIMD >= 2
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)h);
#else
    memcpy(p, &h, 2 * (size_t)n);
#endif
}

/* Element i of a typed array; bf16 is a compile-time constant at the call. */
V_INLINE vf v_ld(const void *p, int64_t i, bool bf16)
{
    return bf16 ? v_load_bf16((const uint16_t *)p + i) : v_load((const float *)p + i);
}
V_INLINE void v_st(void *p, int64_t i, vf v, bool bf16)
{
    if (bf16)
        v_store_bf16((uint16_t *)p + i, v);
    else
        v_store((float *)p + i, v);
}
V_INLINE vf v_ld_n(const void *p, int64_t i, int64_t n, bool bf16)
{
    return bf16 ? v_load_bf16_n((const uint16_t *)p + i, n) : v_load_n((const float *)p + i, n);
}
V_INLINE void v_st_n(void *p, int64_t i, vf v, int64_t n, bool bf16)
{
    if (bf16)
        v_store_bf16_n((uint16_t *)p + i, v, n);
    else
        v_store_n((float *)p + i, v, n);
}
/* Run the statements for i = 0, SEC_VL, ... with n = SEC_VL (a constant, so that the _n forms
 * become plain accesses), then once for the tail with n < SEC_VL. */
#define V_LOOP(count, ...)                                                                         \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; i + SEC_VL <= (count); i += SEC_VL) {                                               \
            enum { n = SEC_VL };                                                                   \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (i < (count)) {                                                                         \
            int64_t n = (count)-i;                                                                 \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

/* The value a store would leave behind. */
V_INLINE vf v_round_to(vf v, bool bf16)
{
    return bf16 ? v_from_bf16(v_to_bf16(v)) : v;
}

V_INLINE vf v_fma(vf a, vf b, vf c) /* a*b + c */
{
#if SEC_SIMD >= 2
    return _mm512_fmadd_ps(a, b, c);
#elif SEC_SIMD == 1
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}
/* Lanes of a where the mask (0 or ~0) is set, else of b. */
V_INLINE vf v_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}
/* b when one of them is NaN. */
V_INLINE vf v_max(vf a, vf b)
{
#if SEC_SIMD >= 2
    return _mm512_max_ps(a, b);
#elif SEC_SIMD == 1
    return _mm256_max_ps(a, b);
#else
    return v_select(a > b, a, b);
#endif
}
V_INLINE vf v_min(vf a, vf b)
{
#if SEC_SIMD >= 2
    return _mm512_min_ps(a, b);
#elif SEC_SIMD == 1
    return _mm256_min_ps(a, b);
#else
    return v_select(a < b, a, b);
#endif
}
V_INLINE vf v_abs(vf x)
{
    return (vf)((vu)x & 0x7FFFFFFFu);
}
V_INLINE vf v_sqrt(vf x)
{
#if SEC_SIMD >= 2
    return _mm512_sqrt_ps(x);
#elif SEC_SIMD == 1
    return _mm256_sqrt_ps(x);
#else
    for (int i = 0; i < SEC_VL; i++)
        x[i] = sqrtf(x[i]);
    return x;
#endif
}
/* 1/x to about 1 ulp, for finite x of ordinary size. */
V_INLINE vf v_reciprocal(vf x)
{
#if SEC_SIMD >= 2
    vf r = _mm512_rcp14_ps(x);
    return r * v_fma(-x, r, v_set1(2.0f));
#else
    return 1.0f / x;
#endif
}
/* Reductions over the lanes, halves first: the order is fixed. */
V_INLINE float v_sum(vf x)
{
#if SEC_SIMD >= 2
    return _mm512_reduce_add_ps(x);
#elif SEC_SIMD == 1
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
#else
    return (x[0] + x[2]) + (x[1] + x[3]);
#endif
}
V_INLINE float v_hmax(vf x)
{
#if SEC_SIMD >= 2
    return _mm512_reduce_max_ps(x);
#elif SEC_SIMD == 1
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
#else
    float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
#endif
}
/* All ones in the first n lanes. */
V_INLINE vi v_first(int64_t n)
{
    vi lane;
    for (int i = 0; i < SEC_VL; i++)
        lane[i] = i;
    return lane < (int32_t)n - (vi){0};
}

/* exp to about 1 ulp. Below -87.3 (where the result would be denormal) it is 0; above 88.3 it stays
 * at exp(88.3). Polynomial: minimax on +-ln(2)/2, relative error 2e-9 before rounding. */
V_INLINE vf v_exp(vf x)
{
    vf in = v_min(v_set1(88.37f), v_max(v_set1(-87.33f), x));
    vf shifted = v_fma(in, v_set1(1.44269504f), v_set1(12582912.0f));
    vf n = shifted - 12582912.0f;
    vf r = v_fma(n, v_set1(-0.693145752f), in); /* ln 2 in two parts: n * high is exact */
    r = v_fma(n, v_set1(-1.42860677e-6f), r);
    vf p = v_fma(v_set1(0.00138368038f), r, v_set1(0.00837484561f));
    p = v_fma(p, r, v_set1(0.0416682288f));
    p = v_fma(p, r, v_set1(0.166664198f));
    p = v_fma(p, r, v_set1(0.499999911f));
    p = v_fma(p, r, v_set1(1.0f));
    p = v_fma(p, r, v_set1(1.0f));
    vi two_n = ((vi)shifted - 0x4B400000 + 127) << 23;
    return v_select(x < v_set1(-87.33f), v_zero(), p * (vf)two_n);
}

/* Standard normal distribution: cdf(x), relative error about 1e-7 * (1 + x*x/4) on both tails, and
 * exp(-x*x/2).
 * cdf(-|x|) = exp(-x*x/2) * erfcx(|x|/sqrt 2)/2, whose second factor is t times a polynomial in
 * t = 1/(1 + 0.3|x|) (minimax fit, relative error 3e-9 for |x| <= 14). */
V_INLINE vf v_normal_cdf(vf x, vf *bell)
{
    vf t = v_reciprocal(v_fma(v_abs(x), v_set1(0.3f), v_set1(1.0f)));
    vf p = v_fma(v_set1(-0.0206129458f), t, v_set1(0.112376414f));
    p = v_fma(p, t, v_set1(-0.228069007f));
    p = v_fma(p, t, v_set1(0.191583693f));
    p = v_fma(p, t, v_set1(-0.0792490095f));
    p = v_fma(p, t, v_set1(0.0960587263f));
    p = v_fma(p, t, v_set1(0.0784252658f));
    p = v_fma(p, t, v_set1(0.110227391f));
    p = v_fma(p, t, v_set1(0.119572833f));
    p = v_fma(p, t, v_set1(0.119686633f));
    *bell = v_exp(-0.5f * x * x);
    vf tail = p * t * *bell;
    return v_select(x > v_zero(), 1.0f - tail, tail);
}
/* The exact (erf) GELU and its derivative. */
V_INLINE vf v_gelu(vf x)
{
    vf bell;
    return x * v_normal_cdf(x, &bell);
}
V_INLINE vf v_gelu_grad(vf x)
{
    vf bell, cdf = v_normal_cdf(x, &bell);
    return v_fma(x * 0.398942280f, bell, cdf);
}

/* Dropout words of SEC_DROP_BLOCK columns of one row, starting at column 4*block. */
#define SEC_DROP_BLOCK 32
#if SEC_SIMD == 0
V_INLINE void v_dropout_words(uint64_t seed, uint64_t row_key, uint32_t site, uint32_t block,
                              uint32_t out[SEC_DROP_BLOCK])
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (uint32_t i = 0; i < SEC_DROP_BLOCK / 4; i++) {
        uint32_t ctr[4] = {(uint32_t)row_key, (uint32_t)(row_key >> 32), block + i, site};
        sec_philox4x32(ctr, key, out + 4 * i);
    }
}
#else
typedef uint64_t v_u64 __attribute__((vector_size(4 * SEC_VL)));
#if SEC_SIMD == 1
#define V_MUL_LOW(x, m) (v_u64) _mm256_mul_epu32((__m256i)(x), _mm256_set1_epi64x(m))
#define V_ZIP_LOW                                                                                  \
    {                                                                                              \
        0, 4, 1, 5                                                                                 \
    }
#define V_ZIP_HIGH                                                                                 \
    {                                                                                              \
        2, 6, 3, 7                                                                                 \
    }
#define V_LANES                                                                                    \
    {                                                                                              \
        0, 1, 2, 3                                                                                 \
    }
#else
#define V_MUL_LOW(x, m) (v_u64) _mm512_mul_epu32((__m512i)(x), _mm512_set1_epi64(m))
#define V_ZIP_LOW                                                                                  \
    {                                                                                              \
        0, 8, 1, 9, 2, 10, 3, 11                                                                   \
    }
#define V_ZIP_HIGH                                                                                 \
    {                                                                                              \
        4, 12, 5, 13, 6, 14, 7, 15                                                                 \
    }
#define V_LANES                                                                                    \
    {                                                                                              \
        0, 1, 2, 3, 4, 5, 6, 7                                                                     \
    }
#endif
/* One counter in each 64-bit lane. The multiplier reads the low half of a lane, so high halves may
 * be dirty until the end; words 0 and 1, 2 and 3 are then neighbours in memory order. */
V_INLINE void v_dropout_words(uint64_t seed, uint64_t row_key, uint32_t site, uint32_t block,
                              uint32_t out[SEC_DROP_BLOCK])
{
    const v_u64 zero = {0}, low = 0xFFFFFFFFu - zero;
    for (uint32_t done = 0; done < SEC_DROP_BLOCK; done += 2 * SEC_VL) {
        v_u64 c0 = (row_key & 0xFFFFFFFFu) - zero, c1 = (row_key >> 32) - zero;
        v_u64 c2 = (v_u64)V_LANES + (block + done / 4), c3 = site - zero;
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        for (int r = 0; r < 10; r++) {
            v_u64 p0 = V_MUL_LOW(c0, 0xD2511F53u), p1 = V_MUL_LOW(c2, 0xCD9E8D57u);
            c0 = (p1 >> 32) ^ c1 ^ k0;
            c2 = (p0 >> 32) ^ c3 ^ k1;
            c1 = p1;
            c3 = p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        v_u64 w01 = (c0 & low) | c1 << 32, w23 = (c2 & low) | c3 << 32;
        v_u64 first = __builtin_shuffle(w01, w23, (v_u64)V_ZIP_LOW);
        v_u64 second = __builtin_shuffle(w01, w23, (v_u64)V_ZIP_HIGH);
        memcpy(out + done, &first, sizeof first);
        memcpy(out + done + SEC_VL, &second, sizeof second);
    }
}
#endif
/* x * scale where the word is at or above the threshold, else 0. */
V_INLINE vf v_drop(vf x, const uint32_t *word, uint32_t threshold, float scale)
{
    vi keep = (vi)(*(const vu_u *)word >= vu_set1(threshold));
    return (vf)(keep & (vi)(x * scale));
}

#endif
