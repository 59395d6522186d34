/* Shingles against a plain enumeration, the three signing loops against each other and against the
 * definition, sets against sorting, masks of documents against masks of their records. */
#include "testing.h"

#include "base/cpu.h"
#include "base/hash.h"
#include "base/rng.h"
#include "data/minhash.h"
#include "data/minhash_impl.h"
#include "data/template.h"

static const struct sec_minhash_options char5 = {5, false, 16, 8, 0.8};

/* Text that is full of beginnings and ends of values. */
static size_t random_text(struct sec_rng *g, char *p, size_t max)
{
    static const char *const bits[] = {"Jan ",
                                       "2024-01-31",
                                       "T",
                                       ":",
                                       "::",
                                       ".",
                                       "1",
                                       "12",
                                       "10.0.0.1",
                                       "fe80",
                                       "-",
                                       "/",
                                       "+",
                                       "+0100",
                                       " ",
                                       "  ",
                                       "\n",
                                       "0x",
                                       "deadbeef",
                                       "=",
                                       "03:04:05",
                                       "Z",
                                       ",123",
                                       "word",
                                       "a",
                                       "é",
                                       "31/Jan/2024",
                                       "\n",
                                       "6f9619ff-8b86-d011-b42d-00c04fc964ff",
                                       "\x01",
                                       "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODkwYWJj"};
    size_t n = 0, want = sec_rng_below(g, (uint32_t)max);
    for (;;) {
        const char *b = bits[sec_rng_below(g, sizeof bits / sizeof *bits)];
        size_t len = strlen(b);
        if (n + len > want)
            return n;
        memcpy(p + n, b, len);
        n += len;
    }
}

static void test_mask_of_records(void **state)
{
    enum { MAX = 300 };
    char text[MAX], whole[MAX], parts[MAX];
    for (uint64_t k = 0; k < 200000; k++) {
        struct sec_rng g = sec_rng_make(5, SEC_STREAM_SAMPLE, k << 20);
        size_t n = random_text(&g, text, MAX), m = 0;
        size_t w = sec_template_mask(text, n, whole);
        for (size_t from = 0; from <= n;) {
            const char *line_end = memchr(text + from, '\n', n - from);
            size_t len = line_end ? (size_t)(line_end - text) - from : n - from;
            m += sec_template_mask(text + from, len, parts + m);
            from += len + 1;
            if (from <= n)
                parts[m++] = '\n';
        }
        assert_int_equal(w, m);
        assert_memory_equal(whole, parts, w);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static size_t distinct(const uint32_t *hash, size_t n, uint32_t *out)
{
    memcpy(out, hash, n * sizeof *out);
    qsort(out, n, sizeof *out, by_value);
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (!m || out[m - 1] != out[i])
            out[m++] = out[i];
    return m;
}

/* Distinct windows by comparing them all. */
static size_t count_windows(const char *p, size_t n, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i + length <= n; i++) {
        size_t j = 0;
        while (j < i && memcmp(p + i, p + j, length) != 0)
            j++;
        count += j == i;
    }
    return count ? count : 1;
}

static void test_char_shingles(void **state)
{
    enum { MAX = 3000 };
    char text[MAX];
    struct sec_shingler s = {0};
    double missing = 0, expected = 0; /* windows whose 32-bit hash another one has too */
    for (uint64_t k = 0; k < 300; k++) {
        struct sec_rng g = sec_rng_make(6, SEC_STREAM_SAMPLE, k << 20);
        size_t n = k < 40 ? k : sec_rng_below(&g, MAX);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)sec_rng_below(&g, k % 2 ? 3 : 256);
        for (unsigned length = 1; length <= 12; length += 1 + length / 8) {
            struct sec_minhash_options o = char5;
            o.length = length;
            char *copy = malloc(n + 1); /* its own block: a sanitizer sees reads past the end */
            memcpy(copy, text, n);
            assert_ok(sec_shingle_masked(&s, &o, copy, n));
            free(copy);
            uint32_t *sorted = malloc((s.n + 1) * sizeof *sorted);
            size_t windows = count_windows(text, n, length), m = distinct(s.hash, s.n, sorted);
            assert_true(m <= windows);
            missing += (double)(windows - m);
            expected += (double)windows * (double)windows * 0x1p-33;
            free(sorted);
        }
    }
    assert_true(missing <= 5 + 2 * expected);
    sec_shingler_free(&s);
}

/* A shingle's hash depends on its characters only, not on its place. */
static void test_place(void **state)
{
    struct sec_shingler s = {0}, one = {0};
    char text[] = "session opened for user root by (uid=0)";
    size_t n = strlen(text);
    assert_ok(sec_shingle_masked(&s, &char5, text, n));
    assert_int_equal(s.n, n - 4);
    for (size_t i = 0; i + 5 <= n; i++) {
        assert_ok(sec_shingle_masked(&one, &char5, text + i, 5));
        assert_int_equal(one.n, 1);
        assert_int_equal(one.hash[0], s.hash[i]);
    }
    sec_shingler_free(&s);
    sec_shingler_free(&one);
}

static void test_word_shingles(void **state)
{
    struct sec_shingler s = {0}, t = {0};
    struct sec_minhash_options o = {3, true, 16, 8, 0.8};
    assert_ok(sec_shingle_masked(&s, &o, "a b c d\ne  a b c", 15));
    assert_int_equal(s.n, 6 - 1); /* abc bcd cde dea eab, and abc again */
    assert_ok(sec_shingle_masked(&t, &o, "  a\tb\r\nc ", 9));
    assert_int_equal(t.n, 1);
    assert_int_equal(t.hash[0], s.hash[0]);
    assert_ok(sec_shingle_masked(&t, &o, "a c b", 5));
    assert_int_not_equal(t.hash[0], s.hash[0]);
    assert_ok(sec_shingle_masked(&t, &o, "a b", 3));
    assert_int_equal(t.n, 1);
    assert_ok(sec_shingle_masked(&t, &o, "", 0));
    assert_int_equal(t.n, 1);
    sec_shingler_free(&s);
    sec_shingler_free(&t);
}

/* sec_shingle masks: other values, same shingles. */
static void test_masked(void **state)
{
    struct sec_shingler s = {0}, t = {0};
    const char *a = "Accepted password for bob from 10.1.2.3 port 4022 ssh2",
               *b = "Accepted password for bob from 172.16.254.31 port 9 ssh2";
    assert_ok(sec_shingle(&s, &char5, a, strlen(a)));
    assert_ok(sec_shingle(&t, &char5, b, strlen(b)));
    assert_int_equal(s.n, t.n);
    assert_memory_equal(s.hash, t.hash, s.n * sizeof *s.hash);
    sec_shingler_free(&s);
    sec_shingler_free(&t);
}

static void test_sign(void **state)
{
    const struct sec_minhash_functions *f = sec_minhash_functions();
    enum { MAX = 500 };
    uint32_t x[MAX], want[SEC_MINHASH_N], got[SEC_MINHASH_N];
    for (uint64_t k = 0; k < 200; k++) {
        struct sec_rng g = sec_rng_make(7, SEC_STREAM_SAMPLE, k << 20);
        size_t n = k < 20 ? k : sec_rng_below(&g, MAX);
        for (size_t i = 0; i < n; i++)
            x[i] = sec_rng_u32(&g);
        for (int h = 0; h < SEC_MINHASH_N; h++) {
            want[h] = UINT32_MAX;
            for (size_t i = 0; i < n; i++) {
                uint32_t v = (uint32_t)((uint64_t)f->a[h] * x[i] + f->b[h]);
                want[h] = v < want[h] ? v : want[h];
            }
        }
        sec_minhash_sign(x, n, got);
        assert_memory_equal(got, want, sizeof want);
        sec_minhash_sign_portable(f, x, n, got);
        assert_memory_equal(got, want, sizeof want);
        if (sec_cpu_isa_detected() >= SEC_ISA_AVX2) {
            sec_minhash_sign_avx2(f, x, n, got);
            assert_memory_equal(got, want, sizeof want);
        }
        if (sec_cpu_isa_detected() >= SEC_ISA_AVX512) {
            sec_minhash_sign_avx512(f, x, n, got);
            assert_memory_equal(got, want, sizeof want);
        }
    }
    for (int h = 0; h < SEC_MINHASH_N; h++) {
        assert_int_equal(f->a[h] & 1, 1);
        for (int i = 0; i < h; i++)
            assert_int_not_equal(f->a[i], f->a[h]);
    }
}

static void test_keys(void **state)
{
    uint32_t a[SEC_MINHASH_N], b[SEC_MINHASH_N];
    uint64_t ka[SEC_MINHASH_N], kb[SEC_MINHASH_N];
    for (int i = 0; i < SEC_MINHASH_N; i++)
        a[i] = b[i] = (uint32_t)i / 8; /* each band's rows alike: keys still differ by band */
    b[24] = 99;
    b[127] = 98;
    sec_minhash_keys(a, 16, 8, ka);
    sec_minhash_keys(b, 16, 8, kb);
    for (int i = 0; i < 16; i++)
        assert_true((ka[i] == kb[i]) == (i != 3 && i != 15));
    for (int i = 0; i < SEC_MINHASH_N; i++)
        a[i] = 7;
    sec_minhash_keys(a, 32, 4, ka);
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < i; j++)
            assert_true(ka[i] != ka[j]);
    assert_true(sec_minhash_estimate(a, a) == 1);
    memcpy(b, a, sizeof b);
    b[0] = b[64] = 0;
    assert_true(sec_minhash_estimate(a, b) == 126 / 128.0);
}

static void test_sets(void **state)
{
    enum { MAX = 400 };
    uint32_t x[2][MAX], sorted[2][MAX];
    for (uint64_t k = 0; k < 500; k++) {
        struct sec_rng g = sec_rng_make(8, SEC_STREAM_SAMPLE, k << 20);
        struct sec_shingle_set set[2];
        size_t m[2];
        for (int s = 0; s < 2; s++) {
            size_t n = sec_rng_below(&g, k < 50 ? 5 : MAX);
            for (size_t i = 0; i < n; i++) /* runs of neighbours, some shifted high */
                x[s][i] = 2 + sec_rng_below(&g, 300) * (k % 2 ? 1 : 0x10000u);
            m[s] = distinct(x[s], n, sorted[s]);
            assert_ok(sec_shingle_set_make(x[s], n, &set[s]));
            assert_int_equal(set[s].n, m[s]);
            assert_int_equal(sec_shingle_set_bytes(&set[s]), 4 * ((size_t)set[s].mask + 1));
        }
        size_t both = 0;
        for (size_t i = 0; i < m[0]; i++)
            both += bsearch(&sorted[0][i], sorted[1], m[1], sizeof **x, by_value) != NULL;
        double want = m[0] + m[1] ? (double)both / (double)(m[0] + m[1] - both) : 1;
        assert_true(sec_shingle_jaccard(&set[0], &set[1]) == want);
        assert_true(sec_shingle_jaccard(&set[1], &set[0]) == want);
        for (int s = 0; s < 2; s++)
            sec_shingle_set_free(&set[s]);
    }
}

static void test_options(void **state)
{
    struct sec_minhash_options o = char5;
    assert_ok(sec_minhash_check(&o));
    assert_ok(sec_minhash_parse_shingle("word3", &o));
    assert_true(o.words && o.length == 3);
    assert_ok(sec_minhash_parse_shingle("char5", &o));
    assert_true(!o.words && o.length == 5);
    static const char *const bad[] = {"",       "char", "char0",  "word65",
                                      "char5x", "5",    "char-5", "char +5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(sec_minhash_parse_shingle(bad[i], &o), SEC_EUSAGE, "charN or wordN");
    o.bands = 17;
    assert_fails(sec_minhash_check(&o), SEC_EUSAGE, "17 bands of 8 rows");
    o.bands = UINT32_MAX;
    o.rows = UINT32_MAX;
    assert_fails(sec_minhash_check(&o), SEC_EUSAGE, "at most 128");
    o = char5;
    o.similarity = 1.5;
    assert_fails(sec_minhash_check(&o), SEC_EUSAGE, "similarity 1.5");
    o = char5;
    o.length = 0;
    assert_fails(sec_minhash_check(&o), SEC_EUSAGE, "shingles of 0 characters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask_of_records),
        cmocka_unit_test(test_char_shingles),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_word_shingles),
        cmocka_unit_test(test_masked),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
