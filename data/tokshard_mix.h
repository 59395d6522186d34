/* How often the training documents of each source are taken: temperature, then a cap on a source's
 * share. Pure functions. */
#ifndef SEC_DATA_TOKSHARD_MIX_H
#define SEC_DATA_TOKSHARD_MIX_H

#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>

#define SEC_MIX_MAX_FACTOR 8.0

/* factor[i] = size_i^(temperature - 1), scaled so that the total stays, at most SEC_MIX_MAX_FACTOR
 * (the rest of such a source's share is left out); 1 for an empty source. */
void sec_mix_temperature(const double *size, size_t n, double temperature, double *factor);

/* Lowers weights so that none is above cap * (their sum), changing as few and as little as
 * possible: the weights above the level cap * sum become that level, the others stay. SEC_ECONFIG
 * when fewer than 1 / cap weights are above 0. */
int sec_mix_cap(double *weight, size_t n, double cap);

/* Copy c of a document is taken when c + draw < factor: so are floor(factor) copies of every
 * document, and one more of a fraction of them. A lower factor takes a subset. */
double sec_mix_draw(uint64_t seed, const sec_h128 *id); /* in [0, 1) */

/* Tokens of a source by position (copy + draw), in steps of 1 / SEC_MIX_BINS. */
enum { SEC_MIX_BINS = 4096 };
/* The factor that takes `target` of these tokens; never above the end of the histogram. */
double sec_mix_factor(const uint64_t *tokens, size_t n_bins, double target);

#endif
