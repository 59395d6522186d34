/* The relative position table. All logarithms are float32: PyTorch computes them so, and a double
 * version rounds to another bucket at isolated distances. */
#include "model/model.h"

#include <math.h>

void sec_relative_index(const struct sec_model_config *c, int32_t span, uint16_t *out)
{
    int32_t k = (int32_t)c->position_buckets, mid = k / 2;
    int32_t limit = (int32_t)c->max_relative_positions - 1;
    float whole = logf((float)((double)limit / (double)mid));
    for (int32_t delta = -(span - 1); delta <= span - 1; delta++) {
        int32_t far = delta < 0 ? -delta : delta;
        if (far > limit)
            far = limit; /* row 0 is never read: model.md, "Row 0 trap" */
        int32_t bucket = far;
        if (far > mid) {
            float steps = logf((float)far / (float)mid) / whole * (float)(mid - 1);
            bucket = (int32_t)ceilf(steps) + mid;
        }
        int32_t index = (delta < 0 ? -bucket : bucket) + k;
        out[delta + span - 1] = (uint16_t)(index < 0 ? 0 : index > 2 * k - 1 ? 2 * k - 1 : index);
    }
}
