#include "kernels/cuda_memory.h"

enum {
    ROWS_BIAS = 64, /* rows of one partial sum: of a bias, of gamma and beta, of squares */
    ROWS_NORM = 32,
    SQUARES = 16384,
    TILE_ROWS = 64,
    TILE_BYTES = 12
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static uint64_t chunks(int64_t n, int64_t size)
{
    return (uint64_t)((n + size - 1) / size);
}

static uint64_t partial_sums(const struct sec_cuda_shape *s)
{
    uint64_t widest = larger((uint64_t)(3 * s->hidden), (uint64_t)s->inner);
    uint64_t bias = chunks(s->tokens, ROWS_BIAS) * widest * 4;
    uint64_t relative = chunks(s->rel_rows, ROWS_BIAS) * 2 * (uint64_t)s->hidden * 4;
    uint64_t logits = chunks(s->logit_rows, ROWS_BIAS) * (uint64_t)s->vocab * 4;
    uint64_t norm = 2 * chunks(larger((uint64_t)s->tokens, (uint64_t)s->rel_rows), ROWS_NORM) *
                    (uint64_t)s->hidden * 4;
    uint64_t squares = (chunks(s->params, SQUARES) + 1) * 8;
    return larger(larger(larger(bias, relative), larger(logits, norm)), squares);
}

/* Delta, and for both sides the sums by relative row. */
static uint64_t attention(const struct sec_cuda_shape *s)
{
    uint64_t stats = (uint64_t)(s->heads * s->tokens);
    return stats * 4 + 2 * stats * (uint64_t)s->rel_rows * sec_dtype_size(s->act) + (3 << 8);
}

/* The columns and their gradient. */
static uint64_t convolution(const struct sec_cuda_shape *s)
{
    return (uint64_t)(s->tokens * s->hidden * s->ksize) * (sec_dtype_size(s->act) + 4);
}

/* Tables grow by half and 256 bytes over what is asked for, which is rounded up by a quarter. */
static uint64_t sequences(const struct sec_cuda_shape *s)
{
    uint64_t borders = (uint64_t)s->max_seqs * 4, relative = 2 * (uint64_t)s->max_seqlen * 2;
    uint64_t tiles = (chunks(s->tokens, TILE_ROWS) + (uint64_t)s->max_seqs) * TILE_BYTES;
    return (borders + tiles) * 15 / 8 + relative * 3 / 2 + (3 << 8);
}

uint64_t sec_cuda_scratch_bytes(const struct sec_cuda_shape *s)
{
    uint64_t widest =
        larger(larger((uint64_t)(3 * s->hidden), (uint64_t)s->inner), (uint64_t)s->vocab);
    uint64_t bias = s->act == SEC_F32 ? 0 : widest * sec_dtype_size(s->act);
    return SEC_CUDA_WORKSPACE_BYTES + bias + partial_sums(s) + attention(s) + convolution(s) +
           sequences(s);
}
