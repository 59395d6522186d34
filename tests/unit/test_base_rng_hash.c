/* base/rng.h and base/hash.h against published vectors. */
#include "testing.h"

#include "base/hash.h"
#include "base/rng.h"

#include <math.h>

/* Random123 1.14, tests/kat_vectors, philox4x32-10. */
static void test_philox_vectors(void **state)
{
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        sec_philox4x32(kat[i].ctr, kat[i].key, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

/* (seed, stream, index, sub) fill key and counter as documented: the zero vector again. */
static void test_streams(void **state)
{
    uint32_t out[4];
    sec_rand4(0, 0, 0, 0, out);
    assert_int_equal(out[0], 0x6627e8d5);
    assert_int_equal(sec_rand64(0, 0, 0, 0), 0xe169c58d6627e8d5);
    sec_rand4(0x299f31d0a4093822, 0x03707344, 0x85a308d3243f6a88, 0x13198a2e, out);
    assert_int_equal(out[3], 0x24126ea1);
    struct sec_rng g = sec_rng_make(9, SEC_STREAM_SYNTH, 100);
    for (uint64_t i = 100; i < 103; i++) {
        sec_rand4(9, SEC_STREAM_SYNTH, i, 0, out);
        for (int k = 0; k < 4; k++)
            assert_int_equal(sec_rng_u32(&g), out[k]);
    }
    assert_true(sec_u01(UINT64_MAX) < 1.0 && sec_u01(0) == 0.0);
    assert_int_equal(sec_below(UINT32_MAX, 10), 9);
    assert_int_equal(sec_below(0, 10), 0);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov distance to the normal distribution: 1.95/sqrt(n) is its 0.1 % point. */
static void test_normal(void **state)
{
    enum { N = 100000 };
    static double x[N];
    double worst = 0, product = 0;
    for (int i = 0; i < N; i++) {
        x[i] = sec_rand_normal(1, SEC_STREAM_INIT, (uint64_t)i);
        assert_true(isfinite(x[i]));
        if (i)
            product += x[i] * x[i - 1];
    }
    assert_true(fabs(product / N) < 4 / sqrt(N)); /* neighbours are uncorrelated */
    qsort(x, N, sizeof *x, compare);
    for (int i = 0; i < N; i++) {
        double cdf = 0.5 * erfc(-x[i] / sqrt(2.0));
        worst = fmax(worst, fmax(fabs(cdf - i / (double)N), fabs(cdf - (i + 1) / (double)N)));
    }
    assert_true(worst < 1.95 / sqrt(N));
}

/* RFC 3720, B.4. */
static void test_crc32c(void **state)
{
    unsigned char block[32];
    assert_int_equal(sec_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(sec_crc32c(sec_crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
    assert_int_equal(sec_crc32c(0, NULL, 0), 0);
    memset(block, 0, sizeof block);
    assert_int_equal(sec_crc32c(0, block, 32), 0x8A9136AA);
    memset(block, 0xFF, sizeof block);
    assert_int_equal(sec_crc32c(0, block, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        block[i] = (unsigned char)i;
    assert_int_equal(sec_crc32c(0, block, 32), 0x46DD794E);
}

/* FIPS 180-2, B.1 to B.3. */
static void test_sha256(void **state)
{
    static const char million[] =
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    char hex[65];
    sec_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sec_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    char *text = sec_xmalloc(1000000), *dir = scratch_dir(), *path = sec_path_join(dir, "a");
    memset(text, 'a', 1000000);
    sec_sha256_hex(text, 1000000, hex);
    assert_string_equal(hex, million);
    assert_ok(sec_write_file(path, text, 1000000));
    assert_ok(sec_sha256_file(path, hex));
    assert_string_equal(hex, million);
    assert_fails(sec_sha256_file("/nonexistent/a", hex), SEC_EFAIL, "/nonexistent/a");
    free(path);
    free(text);
    scratch_free(dir);
}

/* What the reference implementation's xxhsum -H3 and -H2 print. */
static void test_xxh3(void **state)
{
    sec_h128 h = sec_hash128("", 0);
    assert_int_equal(sec_hash64("", 0, 0), 0x2D06800538D394C2);
    assert_int_equal(h.hi, 0x99AA06D3014798D8);
    assert_int_equal(h.lo, 0x6001C324468D497F);
    assert_int_equal(sec_hash64("abc", 3, 0), 0x78AF5F94892F3950);
    assert_true(sec_hash64("abc", 3, 1) != sec_hash64("abc", 3, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_vectors), cmocka_unit_test(test_streams),
        cmocka_unit_test(test_normal),         cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_sha256),         cmocka_unit_test(test_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
