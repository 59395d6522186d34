/* Sorting of fixed-size records of u64 words, in place, without allocation. Equal records are
 * alike, so stability has no meaning. Any thread. */
#ifndef SEC_BASE_SORT_H
#define SEC_BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

enum { SEC_SORT_MAX_WORDS = 6 };

/* n records of `words` words each, ascending as sequences of words (word 0 first). */
void sec_sort_u64(uint64_t *v, size_t n, unsigned words);

/* Order of two records: < 0, 0, > 0. */
static inline int sec_compare_u64(const uint64_t *a, const uint64_t *b, unsigned words)
{
    for (unsigned i = 0; i < words; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

#endif
