/* data/tokshard_mix.h: the cap against brute force and against its own definition, the temperature
 * against its formula, copies against their mean. */
#include "testing.h"

#include "base/rng.h"
#include "data/tokshard_mix.h"

#include <math.h>

enum { MOST = 12 };

/* The level by bisection: f(L) = cap * sum(min(w, L)) - L is positive below the level and negative
 * above it (when at least 1 / cap weights are above 0). */
static double bisect(const double *w, size_t n, double cap)
{
    double low = 0, high = 0;
    for (size_t i = 0; i < n; i++)
        high = w[i] > high ? w[i] : high;
    for (int step = 0; step < 200; step++) {
        double level = (low + high) / 2, sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += w[i] < level ? w[i] : level;
        if (cap * sum >= level)
            low = level;
        else
            high = level;
    }
    return high;
}

static void cap_is_water_filling(void **state)
{
    (void)state;
    unsigned capped = 0, refused = 0;
    for (uint64_t round = 0; round < 20000; round++) {
        uint32_t r[4];
        double w[MOST], got[MOST], sum = 0;
        sec_rand4(3, SEC_STREAM_SAMPLE, round, 0, r);
        size_t n = 1 + r[0] % MOST, filled = 0;
        double cap = 0.05 + 0.95 * sec_u01((uint64_t)r[1] << 32 | r[2]);
        for (size_t i = 0; i < n; i++) {
            double u = sec_u01(sec_rand64(4, SEC_STREAM_SAMPLE, round, (uint32_t)i));
            w[i] = r[3] % 3 == 0 ? floor(4 * u) : r[3] % 3 == 1 ? u : exp(12 * u);
            got[i] = w[i];
            filled += w[i] > 0;
        }
        int rc = sec_mix_cap(got, n, cap);
        if (rc) {
            assert_int_equal(rc, SEC_ECONFIG);
            assert_true((double)filled * cap < 1);
            refused++;
            continue;
        }
        double level = bisect(w, n, cap);
        for (size_t i = 0; i < n; i++)
            sum += got[i];
        for (size_t i = 0; i < n; i++) {
            double want = w[i] < level ? w[i] : level;
            assert_true(fabs(got[i] - want) <= 1e-6 * (1 + want));
            assert_true(got[i] <= cap * sum * (1 + 1e-6) + 1e-12);
            capped += got[i] < w[i];
        }
    }
    assert_true(capped > 1000 && refused > 1000);
}

static void four_channels(void **state)
{
    (void)state;
    double w[] = {20, 15, 13, 11, 8, 7, 6, 6, 5, 5, 4};
    double sum = 0;
    assert_ok(sec_mix_cap(w, 11, 0.1));
    for (size_t i = 0; i < 11; i++)
        sum += w[i];
    for (size_t i = 0; i < 11; i++)
        assert_true(w[i] <= 0.1 * sum * (1 + 1e-12));
    assert_true(w[10] == 4);
    assert_fails(sec_mix_cap(w, 11, 0.09), SEC_ECONFIG, "as low as 0.09091");
    double even[] = {9, 5};
    assert_ok(sec_mix_cap(even, 2, 0.5)); /* exactly feasible */
    assert_true(even[0] == 5 && even[1] == 5);
}

static void temperature_formula(void **state)
{
    (void)state;
    const double size[] = {1000, 100, 0, 1};
    double f[4], root = sqrt(1000) + sqrt(100) + 1;
    sec_mix_temperature(size, 4, 0.5, f);
    assert_true(fabs(f[0] - sqrt(1000) / root * 1101 / 1000) < 1e-12);
    assert_true(fabs(f[1] - sqrt(100) / root * 1101 / 100) < 1e-12);
    assert_true(f[2] == 1 && f[3] == 8);
    sec_mix_temperature(size, 4, 1, f);
    for (size_t i = 0; i < 4; i++)
        assert_true(f[i] == 1);
}

static void draws_are_uniform(void **state)
{
    (void)state;
    const int n = 100000;
    unsigned bins[10] = {0};
    for (int i = 0; i < n; i++) {
        sec_h128 id = {sec_rand64(9, SEC_STREAM_SAMPLE, (uint64_t)i, 0), (uint64_t)i};
        double u = sec_mix_draw(1, &id);
        assert_true(u >= 0 && u < 1);
        bins[(int)(10 * u)]++;
    }
    for (int k = 0; k < 10; k++)
        assert_true(fabs(bins[k] - n / 10.0) < 5 * sqrt(n * 0.09));
}

/* Documents of random lengths: the factor for a target takes that many tokens, to a document. */
static void factor_hits_its_target(void **state)
{
    (void)state;
    enum { DOCS = 20000, COPIES = 3 };
    static uint64_t bins[COPIES * SEC_MIX_BINS];
    static double position[COPIES * DOCS];
    static uint32_t length[DOCS];
    double all = 0;
    for (size_t d = 0; d < DOCS; d++) {
        sec_h128 id = {d, 5};
        double u = sec_mix_draw(1, &id);
        length[d] = 1 + (uint32_t)(sec_rand64(2, SEC_STREAM_SAMPLE, d, 0) % 2000);
        for (size_t c = 0; c < COPIES; c++) {
            position[COPIES * d + c] = (double)c + u;
            bins[(size_t)(((double)c + u) * SEC_MIX_BINS)] += length[d];
            all += length[d];
        }
    }
    for (double share = 0; share < 1.3; share += 0.07) {
        double f = sec_mix_factor(bins, COPIES * SEC_MIX_BINS, share * all), taken = 0;
        for (size_t i = 0; i < COPIES * DOCS; i++)
            taken += position[i] < f ? length[i / COPIES] : 0;
        assert_true(fabs(taken - fmin(share, 1) * all) < 0.001 * all);
        assert_true(f >= 0 && f <= COPIES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cap_is_water_filling),   cmocka_unit_test(four_channels),
        cmocka_unit_test(temperature_formula),    cmocka_unit_test(draws_are_uniform),
        cmocka_unit_test(factor_hits_its_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
