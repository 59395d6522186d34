/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011), keyed by (seed, stream,
 * index) and never by rank or thread, so that any number can be computed anywhere in any order. */
#ifndef SEC_BASE_RNG_H
#define SEC_BASE_RNG_H

#include "base/philox.h"

#include <stdint.h>

/* Streams keep the users of one seed apart. Never renumber: checkpoints depend on them. */
enum sec_stream {
    SEC_STREAM_INIT = 1,    /* parameter initialisation: index = element */
    SEC_STREAM_DROPOUT = 2, /* see kernels/ops.h */
    SEC_STREAM_MASK = 3,    /* masking in training: index = sample, position */
    SEC_STREAM_EVAL = 4,    /* masking in evaluation: index = document, position */
    SEC_STREAM_ORDER = 5,   /* sample order */
    SEC_STREAM_SHUFFLE = 6, /* global shuffle of documents at write time */
    SEC_STREAM_SPLIT = 7,   /* IDTS membership */
    SEC_STREAM_SYNTH = 8,   /* generated logs */
    SEC_STREAM_SAMPLE = 9   /* anything else that draws samples */
};

/* Four words of (seed, stream, index). */
static inline void sec_rand4(uint64_t seed, uint32_t stream, uint64_t index, uint32_t sub,
                             uint32_t out[4])
{
    uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), sub, stream};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    sec_philox4x32(ctr, key, out);
}

static inline uint64_t sec_rand64(uint64_t seed, uint32_t stream, uint64_t index, uint32_t sub)
{
    uint32_t w[4];
    sec_rand4(seed, stream, index, sub, w);
    return (uint64_t)w[1] << 32 | w[0];
}

/* Uniform in [0,1) with 53 bits; uniform integer in [0,n) by multiply-shift (n < 2^32). */
static inline double sec_u01(uint64_t r)
{
    return (double)(r >> 11) * 0x1p-53;
}
static inline uint32_t sec_below(uint32_t r, uint32_t n)
{
    return (uint32_t)(((uint64_t)r * n) >> 32);
}

/* Sequential convenience over the same generator: each draw takes the next index. */
struct sec_rng {
    uint64_t seed, index;
    uint32_t stream;
    uint32_t word[4];
    unsigned left;
};
static inline struct sec_rng sec_rng_make(uint64_t seed, uint32_t stream, uint64_t first_index)
{
    struct sec_rng g = {seed, first_index, stream, {0}, 0};
    return g;
}
static inline uint32_t sec_rng_u32(struct sec_rng *g)
{
    if (!g->left) {
        sec_rand4(g->seed, g->stream, g->index++, 0, g->word);
        g->left = 4;
    }
    return g->word[4 - g->left--];
}
static inline double sec_rng_f64(struct sec_rng *g)
{
    uint64_t lo = sec_rng_u32(g);
    return sec_u01((uint64_t)sec_rng_u32(g) << 32 | lo);
}
static inline uint32_t sec_rng_below(struct sec_rng *g, uint32_t n)
{
    return sec_below(sec_rng_u32(g), n);
}

/* Standard normal number of (seed, stream, index): Box-Muller over one block. */
double sec_rand_normal(uint64_t seed, uint32_t stream, uint64_t index);

#endif
