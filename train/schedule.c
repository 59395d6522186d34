#include "train/schedule.h"

#include <math.h>

int64_t sec_warmup_steps(const struct sec_train_config *c)
{
    double w = c->warmup < 1 ? c->warmup * (double)c->steps : c->warmup;
    return w >= (double)c->steps ? c->steps : (int64_t)llround(w);
}

int64_t sec_decay_start(const struct sec_train_config *c)
{
    int64_t warm = sec_warmup_steps(c);
    if (c->schedule != SEC_SCHEDULE_WSD)
        return warm;
    int64_t start = c->steps - (int64_t)llround(c->decay * (double)c->steps);
    return start > warm ? start : warm;
}

double sec_learning_rate(const struct sec_train_config *c, int64_t step)
{
    double peak = c->learning_rate, low = peak * c->min_lr_ratio;
    int64_t warm = sec_warmup_steps(c), start = sec_decay_start(c);
    if (step < warm)
        return peak * (double)(step + 1) / (double)warm;
    if (step < start || c->steps <= start)
        return peak;
    double x = (double)(step - start) / (double)(c->steps - start);
    switch (c->schedule) {
    case SEC_SCHEDULE_WSD:
        return low + (peak - low) * (1 - sqrt(x));
    case SEC_SCHEDULE_LINEAR:
        return low + (peak - low) * (1 - x);
    default:
        return low + (peak - low) * 0.5 * (1 + cos(3.14159265358979323846 * x));
    }
}
