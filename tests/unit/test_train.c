/* Schedules against their closed forms; weight-decay ranges cover the arena once; progress line. */
#include "testing.h"

#include "model/params.h"
#include "train/metrics.h"
#include "train/schedule.h"

#include <math.h>
#include <string.h>

static struct sec_train_config config(int schedule)
{
    struct sec_train_config c = {.steps = 1000,
                                 .learning_rate = 1e-3,
                                 .warmup = 0.02,
                                 .decay = 0.2,
                                 .min_lr_ratio = 0.1,
                                 .schedule = schedule};
    return c;
}

static void test_wsd(void **state)
{
    (void)state;
    struct sec_train_config c = config(SEC_SCHEDULE_WSD);
    assert_int_equal(sec_warmup_steps(&c), 20);
    assert_int_equal(sec_decay_start(&c), 800);
    assert_float_equal(sec_learning_rate(&c, 0), 1e-3 / 20, 1e-12);
    assert_float_equal(sec_learning_rate(&c, 19), 1e-3, 1e-12);
    assert_float_equal(sec_learning_rate(&c, 500), 1e-3, 1e-12);
    /* x = 1/4 of the decay: min + (peak - min) (1 - 1/2) */
    assert_float_equal(sec_learning_rate(&c, 850), 1e-4 + 9e-4 * 0.5, 1e-12);
    assert_float_equal(sec_learning_rate(&c, 999), 1e-4 + 9e-4 * (1 - sqrt(199.0 / 200)), 1e-12);
}

static void test_linear_cosine(void **state)
{
    (void)state;
    struct sec_train_config l = config(SEC_SCHEDULE_LINEAR), c = config(SEC_SCHEDULE_COSINE);
    assert_float_equal(sec_learning_rate(&l, 20 + 490), 1e-4 + 9e-4 * 0.5, 1e-12);
    assert_float_equal(sec_learning_rate(&c, 20 + 490), 1e-4 + 9e-4 * 0.5, 1e-12);
    assert_float_equal(sec_learning_rate(&c, 20 + 245), 1e-4 + 9e-4 * 0.5 * (1 + sqrt(0.5)), 1e-12);
}

static void test_warmup_in_steps(void **state)
{
    (void)state;
    struct sec_train_config c = config(SEC_SCHEDULE_WSD);
    c.warmup = 100;
    assert_int_equal(sec_warmup_steps(&c), 100);
    c.warmup = 5000; /* longer than the run */
    assert_int_equal(sec_warmup_steps(&c), 1000);
    assert_float_equal(sec_learning_rate(&c, 999), 1e-3, 1e-12);
    c.warmup = 0;
    assert_float_equal(sec_learning_rate(&c, 0), 1e-3, 1e-12);
}

static void test_line(void **state)
{
    (void)state;
    char s[256];
    struct sec_step_metrics m = {.step = 1200,
                                 .steps = 8000,
                                 .loss = 2.1034,
                                 .lr = 4.9e-4,
                                 .grad_norm = 0.41,
                                 .tokens_per_s = 52100,
                                 .mfu = 0.418,
                                 .eta = 3 * 3600 + 12 * 60};
    sec_metrics_line(&m, s, sizeof s);
    assert_string_equal(s,
                        "step 1200/8000 15% | loss 2.1034 | lr 0.00049 | gn 0.41 | 52.1k tok/s | "
                        "41.8% MFU | ETA 3h12m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wsd), cmocka_unit_test(test_linear_cosine),
        cmocka_unit_test(test_warmup_in_steps), cmocka_unit_test(test_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
