/* What the tests of both directions of bf16 attention share. */
#ifndef SEC_TESTS_CUDA_HOST_ATTN_DATA_H
#define SEC_TESTS_CUDA_HOST_ATTN_DATA_H

#include "testing.h"

#include <math.h>
#include <stdlib.h>

/* DeBERTa's slot of a distance among 2k: linear to k / 2, logarithmic to mp. */
static int bucket(int delta, int k, int mp)
{
    int mid = k / 2, size = abs(delta) < mp ? abs(delta) : mp - 1;
    if (size > mid)
        size = (int)ceilf(logf((float)size / (float)mid) / logf((float)(mp - 1) / (float)mid) *
                          (float)(mid - 1)) +
               mid;
    int slot = (delta < 0 ? -size : size) + k;
    return slot < 0 ? 0 : slot > 2 * k - 1 ? 2 * k - 1 : slot;
}

/* run(p) gives the same bits under every schedule of the emulation. */
template <class P, class R> static void same_bits_each_schedule(const P &p, R (*run)(const P &))
{
    struct Schedule {
        const P &p;
        R (*run)(const P &);
        R first;
        static void check(void *arg)
        {
            Schedule *s = static_cast<Schedule *>(arg);
            if (!(s->run(s->p) == s->first))
                fail_msg("another schedule gives other bits");
        }
    } s = {p, run, run(p)};
    cuda_host_each_schedule(Schedule::check, &s);
}

#endif
