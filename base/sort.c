/* MSD radix sort in place (American flag sort: McIlroy, Bostic, McIlroy 1993). A digit is the eight
 * bits below the highest bit in which the records of a bucket differ, so that common prefixes, as
 * keys of one partition have, cost one look. */
#include "base/sort.h"

#include <assert.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { SMALL = 24, DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

INLINE void insertion_sort(uint64_t *v, size_t n, const unsigned words)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t x[SEC_SORT_MAX_WORDS];
        size_t j = i;
        memcpy(x, v + i * words, words * sizeof *v);
        for (; j && sec_compare_u64(x, v + (j - 1) * words, words) < 0; j--)
            memcpy(v + j * words, v + (j - 1) * words, words * sizeof *v);
        memcpy(v + j * words, x, words * sizeof *v);
    }
}

/* The word and the shift of the first digit in which records differ; false if they are all alike.
 */
INLINE int find_digit(const uint64_t *v, size_t n, const unsigned words, unsigned *word,
                      unsigned *shift)
{
    for (unsigned w = 0; w < words; w++) {
        uint64_t differ = 0;
        for (size_t i = 1; i < n; i++)
            differ |= v[i * words + w] ^ v[w];
        if (!differ)
            continue;
        int top = 63 - __builtin_clzll(differ);
        *word = w;
        *shift = top < DIGIT_BITS ? 0 : (unsigned)(top - DIGIT_BITS + 1);
        return 1;
    }
    return 0;
}

/* Puts every record into the bucket of its digit. end[] = ends of the buckets. */
INLINE void permute(uint64_t *v, const unsigned words, unsigned word, unsigned shift,
                    size_t next[DIGITS], const size_t end[DIGITS])
{
    for (size_t b = 0; b < DIGITS; b++)
        while (next[b] < end[b]) {
            uint64_t x[SEC_SORT_MAX_WORDS];
            memcpy(x, v + next[b] * words, words * sizeof *v);
            size_t digit = x[word] >> shift & (DIGITS - 1);
            while (digit != b) {
                uint64_t other[SEC_SORT_MAX_WORDS];
                uint64_t *at = v + next[digit]++ * words;
                memcpy(other, at, words * sizeof *v);
                memcpy(at, x, words * sizeof *v);
                memcpy(x, other, words * sizeof *v);
                digit = x[word] >> shift & (DIGITS - 1);
            }
            memcpy(v + next[b]++ * words, x, words * sizeof *v);
        }
}

/* Each level of recursion settles at least one bit more, mostly eight: depth is bounded by the bits
 * of a record over eight, and one more for each word. */
#define DEFINE_SORT(W)                                                                             \
    static void sort_##W(uint64_t *v, size_t n)                                                    \
    {                                                                                              \
        size_t count[DIGITS] = {0}, next[DIGITS], end[DIGITS], at = 0;                             \
        unsigned word, shift;                                                                      \
        if (n <= SMALL) {                                                                          \
            insertion_sort(v, n, W);                                                               \
            return;                                                                                \
        }                                                                                          \
        if (!find_digit(v, n, W, &word, &shift))                                                   \
            return;                                                                                \
        for (size_t i = 0; i < n; i++)                                                             \
            count[v[i * W + word] >> shift & (DIGITS - 1)]++;                                      \
        for (size_t b = 0; b < DIGITS; b++) {                                                      \
            next[b] = at;                                                                          \
            end[b] = at += count[b];                                                               \
        }                                                                                          \
        permute(v, W, word, shift, next, end);                                                     \
        for (size_t b = 0; b < DIGITS; b++)                                                        \
            if (count[b] > 1)                                                                      \
                sort_##W(v + (end[b] - count[b]) * W, count[b]);                                   \
    }
DEFINE_SORT(1)
DEFINE_SORT(2)
DEFINE_SORT(3)
DEFINE_SORT(4)
DEFINE_SORT(5)
DEFINE_SORT(6)

void sec_sort_u64(uint64_t *v, size_t n, unsigned words)
{
    static void (*const sorts[])(uint64_t *, size_t) = {sort_1, sort_2, sort_3,
                                                        sort_4, sort_5, sort_6};
    assert(words >= 1 && words <= SEC_SORT_MAX_WORDS);
    sorts[words - 1](v, n);
}
