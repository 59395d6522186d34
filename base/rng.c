#include "base/rng.h"

#include <math.h>

double sec_rand_normal(uint64_t seed, uint32_t stream, uint64_t index)
{
    uint32_t w[4];
    sec_rand4(seed, stream, index, 0, w);
    /* 1 - u lies in (0, 1], so the logarithm is finite. */
    double radius = sqrt(-2.0 * log(1.0 - sec_u01((uint64_t)w[1] << 32 | w[0])));
    double angle = 2.0 * 3.14159265358979323846 * sec_u01((uint64_t)w[3] << 32 | w[2]);
    return radius * cos(angle);
}
