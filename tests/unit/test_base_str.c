/* base/str.h: number forms, nearest match, UTF-8 against glibc's converter. */
#include "testing.h"

#include "base/rng.h"
#include "base/str.h"

#include <iconv.h>

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {{"1500", 1500},
                {"2G", (uint64_t)2 << 30},
                {"64 MiB", 64 << 20},
                {"0.5k", 512},
                {"1.5KB", 1536},
                {"0", 0},
                {"7b", 7},
                {"18446744073709551615", UINT64_MAX},
                {"3t", (uint64_t)3 << 40}};
    static const char *const bad[] = {"",      "-1",  "1x",    "k",         "0.3",
                                      "1e400", "nan", "0x10",  "1 2",       "1kk",
                                      "inf",   " 1",  "1.2.3", "20000000T", "18446744073709551616"};
    uint64_t v;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(sec_parse_size(good[i].text, &v));
        assert_int_equal(v, good[i].size);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(sec_parse_size(bad[i], &v), SEC_EUSAGE, bad[i]);
    assert_ok(sec_parse_count("52.1k", &v));
    assert_int_equal(v, 52100);
    assert_ok(sec_parse_count("10B", &v));
    assert_int_equal(v, 10000000000);
    assert_fails(sec_parse_count("1MiB", &v), SEC_EUSAGE, "1MiB");
}

static void test_numbers(void **state)
{
    double f;
    int64_t i;
    assert_ok(sec_parse_f64("-1.5e-3", &f));
    assert_true(f == -1.5e-3);
    assert_fails(sec_parse_f64("1.5x", &f), SEC_EUSAGE, "1.5x");
    assert_fails(sec_parse_f64("nan", &f), SEC_EUSAGE, "nan");
    assert_fails(sec_parse_f64("1e999", &f), SEC_EUSAGE, "1e999");
    assert_ok(sec_parse_i64("-9223372036854775808", &i));
    assert_true(i == INT64_MIN);
    assert_fails(sec_parse_i64("9223372036854775808", &i), SEC_EUSAGE, "64 bits");
    assert_fails(sec_parse_i64("1.0", &i), SEC_EUSAGE, "1.0");
    static const struct {
        const char *text;
        double seconds;
    } times[] = {{"90", 90},      {"15m", 900},    {"2h", 7200},   {"1d", 86400},
                 {"1h30m", 5400}, {"250ms", 0.25}, {"0.5h", 1800}, {"1m30", 90}};
    for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
        assert_ok(sec_parse_seconds(times[k].text, &f));
        assert_true(f == times[k].seconds);
    }
    assert_fails(sec_parse_seconds("5y", &f), SEC_EUSAGE, "5y");
    assert_fails(sec_parse_seconds("", &f), SEC_EUSAGE, "not a time");
}

static void test_human(void **state)
{
    char b[32];
    assert_string_equal(sec_human_bytes(1.4 * 1024 * 1024 * 1024, b), "1.4 GiB");
    assert_string_equal(sec_human_bytes(1023, b), "1023 B");
    assert_string_equal(sec_human_count(52123, b), "52.1k");
    assert_string_equal(sec_human_count(999999, b), "1.0M");
    assert_string_equal(sec_human_seconds(11520, b), "3h12m");
    assert_string_equal(sec_human_seconds(0.44, b), "0.4s");
    assert_string_equal(sec_human_seconds(59.99, b), "1m00s");
    assert_string_equal(sec_human_seconds(-1, b), "unknown");
}

static void test_matching(void **state)
{
    static const char *const names[] = {"learning_rate", "batch_tokens", "seed", "corpus build"};
    assert_string_equal(sec_nearest("learning_rte", names, 4), "learning_rate");
    assert_string_equal(sec_nearest("leanring_rate", names, 4), "learning_rate");
    assert_string_equal(sec_nearest("sede", names, 4), "seed");
    assert_string_equal(sec_nearest("batch", names, 4), "batch_tokens");
    assert_null(sec_nearest("zzz", names, 4));
    assert_null(sec_nearest("", names, 4));
    assert_true(sec_starts("abc", "ab") && !sec_starts("a", "ab"));
    assert_true(sec_ends("a.zst", ".zst") && !sec_ends("zst", ".zst"));
    assert_true(sec_glob("auth*[0-9].log?", "auth/x7.log1") && !sec_glob("a*", "ba"));
}

/* Every scalar value as glibc encodes it; the prefixes of those are the well-formed beginnings. */
static uint8_t *prefix[4]; /* [length]: bit set over the bytes, first byte in the high bits */

static void set_prefix(int length, uint32_t bytes)
{
    prefix[length][bytes >> 3] |= (uint8_t)(1 << (bytes & 7));
}

static bool has_prefix(int length, uint32_t bytes)
{
    return prefix[length][bytes >> 3] >> (bytes & 7) & 1;
}

static void test_utf8_encode(void **state)
{
    iconv_t converter = iconv_open("UTF-8", "UTF-32LE");
    assert_true(converter != (iconv_t)-1);
    for (int i = 1; i < 4; i++)
        prefix[i] = sec_xcalloc((size_t)1 << (8 * i) >> 3, 1);
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp < 0xE000)
            continue;
        char expected[8], *in = (char *)&cp, *out = expected;
        size_t in_left = 4, out_left = sizeof expected;
        assert_int_equal(iconv(converter, &in, &in_left, &out, &out_left), 0);
        uint8_t got[4];
        size_t n = sec_utf8_encode(cp, got);
        assert_int_equal(n, (size_t)(out - expected));
        assert_memory_equal(got, expected, n);
        uint32_t bytes = 0, decoded, length = (uint32_t)n;
        for (uint32_t i = 0; i < length && i < 3; i++) {
            bytes = bytes << 8 | got[i];
            set_prefix((int)i + 1, bytes);
        }
        bool ok;
        assert_int_equal(sec_utf8_decode(got, n, &decoded, &ok), n);
        assert_true(ok && decoded == cp);
    }
    iconv_close(converter);
    uint8_t got[4];
    assert_int_equal(sec_utf8_encode(0xD800, got), 3);
    assert_memory_equal(got, "\xEF\xBF\xBD", 3);
}

/* Ill-formed input: the longest beginning of a well-formed sequence, at least one byte, is one
 * error (Unicode 15, 3.9, "substitution of maximal subparts", which WHATWG's decoder does). */
static void check_decode(const uint8_t *p, size_t n)
{
    uint32_t cp, bytes = 0;
    bool ok;
    size_t longest = 1, used = sec_utf8_decode(p, n, &cp, &ok);
    for (size_t i = 0; i < n && i < 3; i++) {
        bytes = bytes << 8 | p[i];
        if (!has_prefix((int)i + 1, bytes))
            break;
        longest = i + 1;
    }
    if (ok) { /* test_utf8_encode() has shown what well-formed sequences decode to */
        uint8_t again[4];
        assert_int_equal(sec_utf8_encode(cp, again), used);
        assert_memory_equal(again, p, used);
    } else {
        assert_int_equal(used, longest);
        assert_int_equal(cp, 0xFFFD);
    }
}

static void test_utf8_decode(void **state)
{
    for (uint32_t v = 0; v < 1 << 24; v++) {
        uint8_t p[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        for (size_t n = 1; n <= 3; n++)
            if (n == 3 || (v & ((1u << (24 - 8 * n)) - 1)) == 0)
                check_decode(p, n);
    }
    struct sec_rng g = sec_rng_make(1, SEC_STREAM_SAMPLE, 0);
    for (int i = 0; i < 2000000; i++) {
        uint32_t v = sec_rng_u32(&g);
        uint8_t p[4] = {(uint8_t)(0xF0 | (v & 7)), (uint8_t)(v >> 8),
                        (uint8_t)(0x80 | (v >> 16 & 0x7F)), (uint8_t)(0x80 | v >> 25)};
        check_decode(p, 4);
    }
    for (int i = 1; i < 4; i++)
        free(prefix[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_human),       cmocka_unit_test(test_matching),
        cmocka_unit_test(test_utf8_encode), cmocka_unit_test(test_utf8_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
