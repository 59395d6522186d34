#include "data/tokshard_mix.h"

#include "base/error.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void sec_mix_temperature(const double *size, size_t n, double temperature, double *factor)
{
    double total = 0, powers = 0;
    for (size_t i = 0; i < n; i++) {
        total += size[i];
        powers += size[i] > 0 ? pow(size[i], temperature) : 0;
    }
    for (size_t i = 0; i < n; i++) {
        double f = 1;
        if (size[i] > 0 && temperature < 1)
            f = pow(size[i], temperature) / powers * total / size[i];
        factor[i] = f < SEC_MIX_MAX_FACTOR ? f : SEC_MIX_MAX_FACTOR;
    }
}

static int descending(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return (a < b) - (a > b);
}

/* With the k largest weights at the level L = cap * sum, sum = k L + rest, so
 * L = cap * rest / (1 - k cap). The right k is the first whose L is not below the next weight. */
int sec_mix_cap(double *weight, size_t n, double cap)
{
    double rest = 0, level = 0;
    size_t k = 0, filled = 0;
    double *sorted = malloc((n + 1) * sizeof *sorted);
    if (!sorted)
        return sec_fail(SEC_ENOMEM, "no memory for %zu sources", n);
    memcpy(sorted, weight, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, descending);
    while (filled < n && sorted[filled] > 0)
        filled++;
    /* Shares that are all exactly the cap are possible: allow for rounding. */
    if ((double)filled * cap < 1 - 1e-9) {
        free(sorted);
        return sec_fail(SEC_ECONFIG,
                        "no mix of %zu sources keeps each at most %g of the whole; --source-cap "
                        "can be as low as %.4g here",
                        filled, cap, 1 / (double)(filled ? filled : 1));
    }
    for (size_t i = filled; i--;)
        rest += sorted[i];
    for (; k < filled; k++) {
        level =
            1 - (double)k * cap > 1e-9 ? cap * rest / (1 - (double)k * cap) : sorted[filled - 1];
        if (level >= sorted[k])
            break;
        rest -= sorted[k];
    }
    if (k == filled) /* all alike, at the smallest of them */
        level = filled ? sorted[filled - 1] : 0;
    for (size_t i = 0; i < n; i++)
        if (k && weight[i] > level)
            weight[i] = level;
    free(sorted);
    return 0;
}

double sec_mix_draw(uint64_t seed, const sec_h128 *id)
{
    return sec_u01(sec_rand64(seed, SEC_STREAM_SAMPLE, id->lo, (uint32_t)id->hi));
}

double sec_mix_factor(const uint64_t *tokens, size_t n_bins, double target)
{
    double sum = 0;
    for (size_t i = 0; i < n_bins; i++) {
        double here = (double)tokens[i];
        if (sum + here > target)
            return ((double)i + (target - sum) / here) / SEC_MIX_BINS;
        sum += here;
    }
    return (double)n_bins / SEC_MIX_BINS;
}
