#include "data/pretok_avx2.h"

#include "data/pretok_log.h"

#include <immintrin.h>

/* Bytes of v in [lo, lo + width). */
static inline __m256i in_range(__m256i v, char lo, char width)
{
    __m256i d = _mm256_sub_epi8(v, _mm256_set1_epi8(lo));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(d, _mm256_set1_epi8((char)(width - 1))), d);
}

static inline uint64_t bits(__m256i lo, __m256i hi)
{
    return (uint32_t)_mm256_movemask_epi8(lo) | (uint64_t)(uint32_t)_mm256_movemask_epi8(hi) << 32;
}

static inline void sec_classify64(const uint8_t *p, struct sec_masks *m)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)p);
    __m256i b = _mm256_loadu_si256((const __m256i *)(p + 32));
    __m256i fold = _mm256_set1_epi8(0x20), sp = _mm256_set1_epi8(' ');
    __m256i cr = _mm256_set1_epi8('\r'), lf = _mm256_set1_epi8('\n');
    m->letter = bits(in_range(_mm256_or_si256(a, fold), 'a', 26),
                     in_range(_mm256_or_si256(b, fold), 'a', 26));
    m->digit = bits(in_range(a, '0', 10), in_range(b, '0', 10));
    m->space = bits(_mm256_cmpeq_epi8(a, sp), _mm256_cmpeq_epi8(b, sp));
    m->cr = bits(_mm256_cmpeq_epi8(a, cr), _mm256_cmpeq_epi8(b, cr));
    m->lf = bits(_mm256_cmpeq_epi8(a, lf), _mm256_cmpeq_epi8(b, lf));
    uint64_t control = bits(in_range(a, '\t', 5), in_range(b, '\t', 5)); /* \t \n \v \f \r */
    m->blank = (m->space | control) & ~(m->cr | m->lf);
    m->high = bits(a, b);
}

size_t sec_pretok_log_avx2(const uint8_t *p, size_t n, uint32_t *ends, size_t cap)
{
    return sec_log_batch(p, n, ends, cap);
}
