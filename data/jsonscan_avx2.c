#include "data/jsonscan.h"

#include "data/jsonscan_impl.h"

#include <immintrin.h>
#include <string.h>

static inline uint64_t mask(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
                                                     << 32;
}

/* A blank is the entry of its own low four bits; a bracket, colon or comma is so but for bit 5.
 * That also takes 0x0C and 0x1A for a comma and a colon: the reader looks at the byte itself. */
static inline void classify(const uint8_t *p, unsigned n, struct block *b)
{
    const __m256i blanks =
        _mm256_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0, ' ', 0, 0, 0, 0,
                         0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0);
    const __m256i ops = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0, 0,
                                         0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0);
    const __m256i quote = _mm256_set1_epi8('"'), backslash = _mm256_set1_epi8('\\');
    const __m256i space = _mm256_set1_epi8(' '), last_control = _mm256_set1_epi8(0x1F);
    uint8_t padded[64];
    if (n < 64) {
        memset(padded, ' ', sizeof padded);
        memcpy(padded, p, n);
        p = padded;
    }
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    b->quote = mask(_mm256_cmpeq_epi8(v, quote), _mm256_cmpeq_epi8(w, quote));
    b->backslash = mask(_mm256_cmpeq_epi8(v, backslash), _mm256_cmpeq_epi8(w, backslash));
    b->control = mask(_mm256_cmpeq_epi8(_mm256_min_epu8(v, last_control), v),
                      _mm256_cmpeq_epi8(_mm256_min_epu8(w, last_control), w));
    b->blank = mask(_mm256_cmpeq_epi8(v, _mm256_shuffle_epi8(blanks, v)),
                    _mm256_cmpeq_epi8(w, _mm256_shuffle_epi8(blanks, w)));
    b->op = mask(_mm256_cmpeq_epi8(_mm256_or_si256(v, space), _mm256_shuffle_epi8(ops, v)),
                 _mm256_cmpeq_epi8(_mm256_or_si256(w, space), _mm256_shuffle_epi8(ops, w)));
}

/* Eight at a time, wanted or not: the number of passes is then easy to predict. */
static inline unsigned put_places(uint32_t *out, uint64_t bits, uint32_t base)
{
    unsigned n = (unsigned)_mm_popcnt_u64(bits);
    for (unsigned i = 0; i < n; i += 8)
        for (unsigned k = 0; k < 8; k++) {
            out[i + k] = base + (uint32_t)_tzcnt_u64(bits);
            bits = _blsr_u64(bits);
        }
    return n;
}

void sec_jsonscan_more_avx2(struct sec_jsonscan *s)
{
    scan_chunk(s);
}
