#include "data/jsonscan.h"

#include "data/jsonscan_impl.h"

#include <immintrin.h>

/* As in jsonscan_avx2.c. */
static inline void classify(const uint8_t *p, unsigned n, struct block *b)
{
    const __m512i blanks = _mm512_broadcast_i32x4(
        _mm_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0));
    const __m512i ops = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0));
    const __m512i space = _mm512_set1_epi8(' ');
    __m512i v = _mm512_mask_loadu_epi8(space, ~0ull >> (64 - n), p);
    b->quote = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('"'));
    b->backslash = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\\'));
    b->control = _mm512_cmplt_epu8_mask(v, space);
    b->blank = _mm512_cmpeq_epi8_mask(v, _mm512_shuffle_epi8(blanks, v));
    b->op = _mm512_cmpeq_epi8_mask(_mm512_or_si512(v, space), _mm512_shuffle_epi8(ops, v));
}

/* Sixteen lanes a quarter of the block, wanted or not: no branch depends on the text. */
static inline unsigned put_places(uint32_t *out, uint64_t bits, uint32_t base)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    uint32_t *to = out;
    lane = _mm512_add_epi32(lane, _mm512_set1_epi32((int)base));
    for (int q = 0; q < 4; q++, bits >>= 16) {
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32((__mmask16)bits, lane));
        to += _mm_popcnt_u64(bits & 0xFFFF);
        lane = _mm512_add_epi32(lane, _mm512_set1_epi32(16));
    }
    return (unsigned)(to - out);
}

void sec_jsonscan_more_avx512(struct sec_jsonscan *s)
{
    scan_chunk(s);
}
