/* Masking: against a direct reading of the documented random numbers, and its properties on random
 * ids and on real logs. */
#include "token_fixture.h"

#include "base/cpu.h"
#include "base/log.h"
#include "data/masking_impl.h"

#include <ctype.h>
#include <math.h>
#include <zstd.h>

static struct sec_tokenizer *tok;

static int set_up(void **state)
{
    sec_set_quiet(true);
    tok = fixture_tokenizer();
    return 0;
}

static int tear_down(void **state)
{
    sec_tokenizer_free(tok);
    return 0;
}

static struct sec_mask_options training(void)
{
    return (struct sec_mask_options){
        .seed = 42, .probability = 0.15, .p_mask = 0.8, .p_random = 0.1, .ngram_max = 1};
}

enum { MAX = 70000 };
static uint16_t ids[MAX], before[MAX], labels[MAX];
static int32_t rows[MAX];

static void fill(uint64_t d, int n)
{
    int vocab = sec_tokenizer_vocab_size(tok);
    for (int i = 0; i < n; i++)
        ids[i] = fixture_id(d, (uint32_t)i, vocab);
    memcpy(before, ids, (size_t)n * sizeof *ids);
}

static bool is_content(uint16_t id)
{
    return sec_tokenizer_class(tok, id) == SEC_CLASS_CONTENT;
}

static void bits_agree(void **state)
{
    enum { WORDS = 9 };
    uint64_t a[WORDS], b[WORDS];
    uint32_t w[4];
    for (uint32_t k = 0; k < 50; k++) {
        sec_rand4(3, SEC_STREAM_SAMPLE, k, 0, w);
        uint64_t seed = (uint64_t)w[0] << 32 | w[1], sample = (uint64_t)w[2] << 16 | k;
        uint32_t first = w[3] % 20000, limit = k == 0 ? 0 : k == 1 ? UINT32_MAX : w[1];
        sec_mask_bits_portable(seed, SEC_STREAM_MASK, sample, first, limit, a, WORDS);
        for (uint32_t i = 0; i < 64 * WORDS; i++) {
            sec_rand4(seed, SEC_STREAM_MASK, sample, first + i / 4, w);
            assert_int_equal(a[i / 64] >> (i % 64) & 1, w[i % 4] < limit);
        }
        if (sec_cpu_isa_detected() >= SEC_ISA_AVX2) {
            sec_mask_bits_avx2(seed, SEC_STREAM_MASK, sample, first, limit, b, WORDS);
            assert_memory_equal(a, b, sizeof a);
        }
        if (sec_cpu_isa_detected() >= SEC_ISA_AVX512) {
            sec_mask_bits_avx512(seed, SEC_STREAM_MASK, sample, first, limit, b, WORDS);
            assert_memory_equal(a, b, sizeof a);
        }
    }
}

static void words_agree(void **state)
{
    enum { N = 77, ROOM = 80 };
    static const struct {
        enum sec_isa isa;
        void (*fn)(uint64_t, uint32_t, uint64_t, uint32_t, const int32_t *, int, uint32_t (*)[2]);
    } all[] = {{SEC_ISA_PORTABLE, sec_mask_words_portable},
               {SEC_ISA_AVX2, sec_mask_words_avx2},
               {SEC_ISA_AVX512, sec_mask_words_avx512}};
    int32_t pos[N];
    uint32_t w[4], got[ROOM][2];
    for (int i = 0; i < N; i++)
        pos[i] = i * i + 3;
    for (size_t k = 0; k < 3; k++)
        for (int n = 1; n <= N && sec_cpu_isa_detected() >= all[k].isa; n++) {
            all[k].fn(0x123456789ABCDEF0u, SEC_STREAM_MASK, 77777777777u, 0x80000005u, pos, n, got);
            for (int i = 0; i < n; i++) {
                sec_rand4(0x123456789ABCDEF0u, SEC_STREAM_MASK, 77777777777u,
                          0x80000005u + (uint32_t)pos[i], w);
                assert_int_equal(got[i][0], w[0]);
                assert_int_equal(got[i][1], w[1]);
            }
        }
}

/* What masking.h promises for every mode: ascending rows, true labels, nothing else touched, and
 * content only. */
static void check_contract(int n, int m)
{
    int next = 0;
    for (int i = 0; i < n; i++) {
        if (next < m && rows[next] == i) {
            assert_int_equal(labels[next], before[i]);
            assert_true(is_content(before[i]));
            assert_true(ids[i] == SEC_TOK_MASK || is_content(ids[i]));
            next++;
        } else {
            assert_int_equal(ids[i], before[i]);
        }
    }
    assert_int_equal(next, m);
}

/* The token mode, written down straight from the table in masking_impl.h. */
static void matches_definition(void **state)
{
    struct sec_mask_options o = training();
    uint16_t content[1024];
    uint32_t n_content = 0, w[4];
    for (int id = 0; id < sec_tokenizer_vocab_size(tok); id++)
        if (is_content((uint16_t)id))
            content[n_content++] = (uint16_t)id;
    for (uint64_t s = 0; s < 40; s++) {
        uint32_t first = (uint32_t)s * 37;
        int n = 1 + (int)s * 61;
        fill(s, n);
        int m = sec_mask(tok, &o, s, first, ids, n, rows, labels), k = 0;
        for (int i = 0; i < n; i++) {
            uint32_t pos = first + (uint32_t)i;
            sec_rand4(o.seed, SEC_STREAM_MASK, s, pos / 4, w);
            if (!is_content(before[i]) || !(w[pos % 4] * 0x1p-32 < 0.15))
                continue;
            assert_true(k < m);
            assert_int_equal(rows[k++], i);
            sec_rand4(o.seed, SEC_STREAM_MASK, s, 0x80000000u + pos, w);
            double u = w[0] * 0x1p-32;
            assert_int_equal(ids[i], u < 0.8   ? SEC_TOK_MASK
                                     : u < 0.9 ? content[(uint64_t)w[1] * n_content >> 32]
                                               : before[i]);
        }
        assert_int_equal(k, m);
    }
}

static void assert_share(double hits, double n, double p, double sigmas)
{
    double sigma = sqrt(n * p * (1 - p));
    if (fabs(hits - n * p) > sigmas * sigma)
        fail_msg("%g of %g, expected a share of %g", hits, n, p);
}

struct shares {
    double content, selected, masked, random, first_content, first_selected;
};

static struct shares measure(const struct sec_mask_options *o, int n, uint64_t samples)
{
    struct shares s = {0};
    struct sec_masker *masker;
    assert_ok(sec_masker_new(tok, o, &masker));
    for (uint64_t k = 0; k < samples; k++) {
        fill(k, n);
        int m = sec_masker_apply(masker, k, 0, ids, n, 0, rows, labels), first = 0;
        check_contract(n, m);
        while (first < n && !is_content(before[first]))
            first++;
        s.first_content += first < n;
        s.first_selected += m && rows[0] == first;
        for (int i = 0; i < n; i++)
            s.content += is_content(before[i]);
        s.selected += m;
        for (int i = 0; i < m; i++) {
            s.masked += ids[rows[i]] == SEC_TOK_MASK;
            s.random += ids[rows[i]] != SEC_TOK_MASK && ids[rows[i]] != labels[i];
        }
    }
    sec_masker_free(masker);
    return s;
}

static void shares_are_right(void **state)
{
    struct sec_mask_options o = training();
    struct shares s = measure(&o, 500, 2000);
    assert_share(s.selected, s.content, 0.15, 4);
    assert_share(s.masked, s.selected, 0.8, 4);
    /* A random token equals the original once in n_content times: below what 4 sigma resolve. */
    assert_share(s.random, s.selected, 0.1, 4.5);
    o.probability = 0.3;
    s = measure(&o, 500, 500);
    assert_share(s.selected, s.content, 0.30, 4);
}

static void random_tokens_are_uniform(void **state)
{
    struct sec_mask_options o = training();
    struct sec_masker *masker;
    static double seen[65536];
    double n = 0, chi2 = 0, df = -1;
    o.p_mask = 0;
    o.p_random = 1;
    assert_ok(sec_masker_new(tok, &o, &masker));
    for (uint64_t k = 0; k < 1000; k++) {
        fill(k, 1000);
        int m = sec_masker_apply(masker, k, 0, ids, 1000, 0, rows, labels);
        for (int i = 0; i < m; i++, n++)
            seen[ids[rows[i]]]++;
    }
    int vocab = sec_tokenizer_vocab_size(tok), n_content = 0;
    for (int id = 0; id < vocab; id++)
        n_content += is_content((uint16_t)id);
    for (int id = 0; id < vocab; id++) {
        if (!is_content((uint16_t)id)) {
            assert_true(seen[id] == 0);
            continue;
        }
        double e = n / n_content;
        chi2 += (seen[id] - e) * (seen[id] - e) / e;
        df++;
    }
    /* Normal approximation of chi-square: mean df, variance 2 df. */
    assert_true(fabs(chi2 - df) < 4 * sqrt(2 * df));
    sec_masker_free(masker);
}

static void spans_keep_the_share(void **state)
{
    for (int n = 2; n <= 5; n++) {
        struct sec_mask_options o = training();
        o.ngram_max = n;
        struct shares s = measure(&o, 400, 2000);
        /* Draws inside a span are not independent: variance up to n times larger. */
        assert_share(s.selected, s.content, 0.15, 4 * sqrt(n));
        assert_share(s.first_selected, s.first_content, 0.15, 4);
    }
}

/* Runs of consecutive selected content tokens must be longer than with single draws. */
static void spans_cluster(void **state)
{
    double pairs[2] = {0}, content = 0;
    for (int mode = 0; mode < 2; mode++) {
        struct sec_mask_options o = training();
        o.ngram_max = mode ? 3 : 1;
        for (uint64_t k = 0; k < 100; k++) {
            bool last = false, now;
            fill(k, 1000);
            int m = sec_mask(tok, &o, k, 0, ids, 1000, rows, labels), r = 0;
            for (int i = 0; i < 1000; i++) {
                now = r < m && rows[r] == i;
                r += now;
                if (!is_content(before[i]))
                    continue;
                content += mode == 0;
                pairs[mode] += last && now;
                last = now;
            }
        }
    }
    assert_share(pairs[0], content, 0.15 * 0.15, 5);
    assert_true(pairs[1] > 2 * pairs[0]);
}

/* Brute force over the text: field borders come from the bytes of the whole line. */
static void fields_are_whole(void **state)
{
    static const char delimiters[] = "=,;\"'()[]{}<>|";
    const char *line = "Oct 12 03:44:07 host7 sshd[2231]: Failed password for (user12) from "
                       "10.20.33.7 port 4022; path=\"/var/log/x_17.log\"";
    struct sec_encoder_ctx *ctx = sec_encoder_ctx_new(tok);
    struct sec_mask_options o = training();
    uint16_t *enc = NULL;
    uint32_t *off = NULL;
    size_t n = 0, cap = 0;
    double content = 0, selected = 0, fields = 0;
    o.whole_field = true;
    o.p_mask = 1;
    o.p_random = 0;
    assert_ok(sec_encode_offsets(ctx, line, strlen(line), 0, &enc, &off, &n, &cap));
    for (uint64_t s = 0; s < 4000; s++) {
        memcpy(ids, enc, n * sizeof *ids);
        memcpy(before, enc, n * sizeof *ids);
        int m = sec_mask(tok, &o, s, 0, ids, (int)n, rows, labels);
        check_contract((int)n, m);
        selected += m;
        int drawn = -1; /* of the current field; -1 = no content token of it seen */
        for (size_t i = 0; i < n; i++) {
            size_t end = i + 1 < n ? off[i + 1] : strlen(line);
            bool border = i == 0;
            for (size_t b = i ? off[i - 1] : 0; b <= off[i] && b < end; b++) {
                bool d = (uint8_t)line[b] <= ' ' || strchr(delimiters, line[b]);
                border |= d;
            }
            if (border)
                drawn = -1;
            if (!is_content(before[i]))
                continue;
            content++;
            if (drawn < 0)
                fields++;
            else
                assert_int_equal(drawn, ids[i] == SEC_TOK_MASK);
            drawn = ids[i] == SEC_TOK_MASK;
        }
    }
    assert_true(content > fields * 1.2); /* some fields are of several tokens */
    assert_share(selected, content, 0.15, 4 * sqrt(content / fields));
    free(enc);
    free(off);
    sec_encoder_ctx_free(ctx);
}

static void pieces_give_the_same_masks(void **state)
{
    struct sec_mask_options o = training();
    static uint16_t whole[3000];
    static int32_t whole_rows[3000];
    o.eval = true;
    for (int step = 1; step < 1500; step = step * 2 + 1) {
        fill(9, 3000);
        int m = sec_mask(tok, &o, 9, 0, ids, 3000, rows, labels);
        memcpy(whole, ids, sizeof whole);
        memcpy(whole_rows, rows, (size_t)m * sizeof *rows);
        memcpy(ids, before, sizeof whole);
        int k = 0;
        for (int at = 0; at < 3000; at += step) {
            int n = 3000 - at < step ? 3000 - at : step;
            int got = sec_mask(tok, &o, 9, (uint32_t)at, ids + at, n, rows, labels);
            for (int i = 0; i < got; i++)
                assert_int_equal(rows[i] + at, whole_rows[k++]);
        }
        assert_int_equal(k, m);
        assert_memory_equal(ids, whole, sizeof whole);
        for (int i = 0; i < m; i++)
            assert_int_equal(whole[whole_rows[i]], SEC_TOK_MASK);
    }
}

static void bad_options_are_named(void **state)
{
    struct sec_masker *m;
    struct sec_mask_options o = training();
    o.probability = 0;
    assert_int_equal(sec_masker_new(tok, &o, &m), SEC_ECONFIG);
    o = training();
    o.p_mask = 0.95;
    assert_int_equal(sec_masker_new(tok, &o, &m), SEC_ECONFIG);
    o = training();
    o.whole_field = true;
    o.ngram_max = 3;
    assert_int_equal(sec_masker_new(tok, &o, &m), SEC_ECONFIG);
    o.ngram_max = 1000;
    assert_int_equal(sec_masker_new(tok, &o, &m), SEC_ECONFIG);
}

/* No delimiter is ever selected in real logs, in any mode. */
static void real_logs(void **state)
{
    static const char *const names[] = {"apache.log.zst", "windows-sysmon.jsonl.zst",
                                        "bgl.log.zst"};
    const char *root = getenv("SECENC_TEST_DATA") ? getenv("SECENC_TEST_DATA") : "../shared/data";
    struct sec_encoder_ctx *ctx = sec_encoder_ctx_new(tok);
    int found = 0;
    for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
        struct sec_buf packed = {0};
        char path[512];
        snprintf(path, sizeof path, "%s/raw/%s", root, names[f]);
        if (!sec_exists(path))
            continue;
        found++;
        assert_ok(sec_read_file(path, &packed));
        static char text[1 << 20];
        ZSTD_DCtx *z = ZSTD_createDCtx();
        ZSTD_inBuffer in = {packed.data, packed.len, 0};
        ZSTD_outBuffer out = {text, sizeof text, 0};
        while (out.pos < out.size && in.pos < in.size)
            assert_false(ZSTD_isError(ZSTD_decompressStream(z, &out, &in)));
        ZSTD_freeDCtx(z);
        for (size_t at = 0, s = 0; at < out.pos; at += 4096, s++) {
            uint16_t *enc = NULL;
            size_t n = 0, cap = 0, len = out.pos - at < 4096 ? out.pos - at : 4096;
            assert_ok(sec_encode(ctx, text + at, len, 0, &enc, &n, &cap));
            for (int mode = 0; mode < 4; mode++) {
                struct sec_mask_options o = training();
                o.whole_field = mode == 1;
                o.ngram_max = mode == 2 ? 3 : 1;
                o.eval = mode == 3;
                memcpy(ids, enc, n * sizeof *ids);
                memcpy(before, enc, n * sizeof *ids);
                int m = sec_mask(tok, &o, s, 0, ids, (int)n, rows, labels);
                check_contract((int)n, m);
                for (int i = 0; i < m; i++) {
                    size_t k, bytes;
                    const uint8_t *p = sec_tokenizer_bytes(tok, labels[i], &bytes);
                    for (k = 0; k < bytes; k++)
                        if (p[k] >= 0x80 || isalnum(p[k]))
                            break;
                    assert_true(k < bytes); /* a letter, a digit or beyond ASCII */
                }
            }
            free(enc);
        }
        sec_buf_free(&packed);
    }
    sec_encoder_ctx_free(ctx);
    if (!found) {
        print_message("real logs are not here: set SECENC_TEST_DATA to their folder\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_agree),
        cmocka_unit_test(words_agree),
        cmocka_unit_test(matches_definition),
        cmocka_unit_test(shares_are_right),
        cmocka_unit_test(random_tokens_are_uniform),
        cmocka_unit_test(spans_keep_the_share),
        cmocka_unit_test(spans_cluster),
        cmocka_unit_test(fields_are_whole),
        cmocka_unit_test(pieces_give_the_same_masks),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(real_logs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
