/* The dropout definition of ops.h in scalar form; every backend agrees with it bit for bit. */
#ifndef SEC_KERNELS_DROPOUT_H
#define SEC_KERNELS_DROPOUT_H

#include "base/rng.h"
#include "kernels/ops.h"

static inline uint32_t sec_dropout_threshold(float p)
{
    return (uint32_t)((double)p * 4294967296.0);
}
static inline double sec_dropout_scale(float p)
{
    return 1.0 / (1.0 - (double)p);
}

/* Whether element col of the row with this key is kept; site already includes the head. */
static inline bool sec_dropout_keep(const struct sec_dropout *d, uint64_t row_key, uint32_t site,
                                    int64_t col)
{
    uint32_t ctr[4] = {(uint32_t)row_key, (uint32_t)(row_key >> 32), (uint32_t)(col >> 2), site};
    uint32_t key[2] = {(uint32_t)*d->seed, (uint32_t)(*d->seed >> 32)}, word[4];
    sec_philox4x32(ctr, key, word);
    return word[col & 3] >= sec_dropout_threshold(d->p);
}

#endif
