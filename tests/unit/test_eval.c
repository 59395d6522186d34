/* Classes of fields, baselines, results: against hand-made cases and brute force. */
#include "token_fixture.h"

#include "base/json.h"
#include "eval/baseline.h"
#include "eval/field.h"
#include "eval/infer.h"
#include "eval/mlm_stats.h"
#include "eval/results.h"
#include "eval/vectors.h"

#include <math.h>

static void test_fields(void **state)
{
    static const struct {
        const char *text;
        enum sec_field_class want;
    } cases[] = {
        {"password", SEC_FIELD_WORD},
        {"sshd:", SEC_FIELD_WORD},
        {"für", SEC_FIELD_WORD},
        {"user_name", SEC_FIELD_WORD},
        {"www.example.com", SEC_FIELD_WORD},
        {"-", SEC_FIELD_OTHER},
        {"...", SEC_FIELD_OTHER},
        {"user42", SEC_FIELD_OTHER},
        {"22", SEC_FIELD_NUMBER},
        {"-0.5", SEC_FIELD_NUMBER},
        {"99.5%", SEC_FIELD_NUMBER},
        {"1.2.3", SEC_FIELD_NUMBER},
        {"10.", SEC_FIELD_NUMBER},
        {"1..2", SEC_FIELD_OTHER},
        {"0x3e7", SEC_FIELD_HEX},
        {"0X", SEC_FIELD_OTHER},
        {"deadbeef01", SEC_FIELD_HEX},
        {"12345678", SEC_FIELD_NUMBER},
        {"deface", SEC_FIELD_WORD},
        {"a1b2c", SEC_FIELD_OTHER},
        {"3f2504e0-4f89-11d3-9a0c-0305e82c3301", SEC_FIELD_HEX},
        {"00:50:56:c0:00:08", SEC_FIELD_HEX},
        {"10.0.0.1", SEC_FIELD_IP},
        {"10.0.0.1:443", SEC_FIELD_IP},
        {"10.0.0.0/8", SEC_FIELD_IP},
        {"10.0.0.1.", SEC_FIELD_IP},
        {"10.0.0", SEC_FIELD_NUMBER},
        {"1000.0.0.1", SEC_FIELD_NUMBER},
        {"fe80::1", SEC_FIELD_IP},
        {"2001:db8::/32", SEC_FIELD_IP},
        {"2001:db8:0:0:0:0:0:1", SEC_FIELD_IP},
        {"1::2::3", SEC_FIELD_OTHER},
        {"/var/log/auth.log", SEC_FIELD_PATH},
        {"C:\\Windows\\System32", SEC_FIELD_PATH},
        {"\\\\host\\share", SEC_FIELD_PATH},
        {"https://a.b/c", SEC_FIELD_PATH},
        {"./run", SEC_FIELD_PATH},
        {"~/x", SEC_FIELD_PATH},
        {"and/or", SEC_FIELD_OTHER},
        {"2026-11-24T09:12:01Z", SEC_FIELD_TIMESTAMP},
        {"2026/11/24", SEC_FIELD_TIMESTAMP},
        {"24/Nov/2026:09:12:01", SEC_FIELD_TIMESTAMP},
        {"09:12:01.123", SEC_FIELD_TIMESTAMP},
        {"9:12:01", SEC_FIELD_TIMESTAMP},
        {"09:12", SEC_FIELD_TIMESTAMP},
        {"09:1", SEC_FIELD_OTHER},
        {"", SEC_FIELD_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum sec_field_class got = sec_field_classify(cases[i].text, strlen(cases[i].text));
        if (got != cases[i].want)
            fail_msg("'%s' is %s, expected %s", cases[i].text, sec_field_names[got],
                     sec_field_names[cases[i].want]);
    }
    assert_true(sec_field_border(' ') && sec_field_border('\n') && sec_field_border(0));
    assert_true(sec_field_border('=') && sec_field_border('"') && !sec_field_border('.'));
    assert_false(sec_field_border(0xC3));
}

/* Probabilities sum to one; deciles hold what they say, by a count from scratch. */
static void test_unigram(void **state)
{
    struct sec_tokenizer *tok = fixture_tokenizer();
    const int vocab = sec_tokenizer_vocab_size(tok);
    uint64_t *count = calloc((size_t)vocab, sizeof *count), total = 0;
    struct sec_unigram u;
    double sum = 0;
    (void)state;
    for (int id = 0; id < vocab; id++) {
        count[id] = (uint64_t)(id * 7919 % 1009) * (id % 3 != 0);
        if (sec_tokenizer_class(tok, (uint16_t)id) == SEC_CLASS_CONTENT)
            total += count[id];
    }
    assert_ok(sec_unigram_make(count, tok, &u));
    assert_int_equal(u.n_content, total);
    for (int id = 0; id < vocab; id++) {
        if (sec_tokenizer_class(tok, (uint16_t)id) != SEC_CLASS_CONTENT) {
            assert_int_equal(u.count[id], 0);
            continue;
        }
        uint64_t before = 0; /* tokens of entries that stand before this one */
        for (int k = 0; k < vocab; k++)
            if (sec_tokenizer_class(tok, (uint16_t)k) == SEC_CLASS_CONTENT &&
                (count[k] > count[id] || (count[k] == count[id] && k < id)))
                before += count[k];
        uint64_t decile = before * 10 / total;
        assert_int_equal(u.decile[id], decile < 10 ? decile : 9);
        assert_true(count[u.best] >= count[id]);
        sum += exp(-u.loss[id]);
    }
    assert_true(fabs(sum - 1) < 1e-9);
    sec_unigram_free(&u);
    free(count);
    sec_tokenizer_free(tok);
}

/* The baseline as its definition reads, position by position. */
static int32_t copy_by_hand(const bool *newline, const uint16_t *ids, int n, int at)
{
    int first = at;
    while (first && !newline[ids[first - 1]])
        first--;
    for (int end = first - 1; end >= 0;) { /* end: the newline before the later line */
        int begin = end, len, same = 0, differ = 0;
        while (begin && !newline[ids[begin - 1]])
            begin--;
        len = end - begin;
        int cur_len = 0;
        while (first + cur_len < n && !newline[ids[first + cur_len]])
            cur_len++;
        for (int i = 0; i < 3 && i < len && i < cur_len; i++)
            if (ids[begin + i] != SEC_TOK_MASK && ids[first + i] != SEC_TOK_MASK) {
                same += ids[begin + i] == ids[first + i];
                differ += ids[begin + i] != ids[first + i];
            }
        if (len >= 3 && cur_len >= 3 && same && !differ && at - first < len &&
            ids[begin + at - first] != SEC_TOK_MASK)
            return ids[begin + at - first];
        end = begin - 1;
    }
    return -1;
}

static void test_copy(void **state)
{
    enum { N = 400 };
    struct sec_tokenizer *tok = fixture_tokenizer();
    struct sec_copy *c = sec_copy_new(tok);
    uint16_t ids[N], nl = 0;
    int32_t at[N], guess[N];
    bool newline[UINT16_MAX + 1] = {false};
    int copied = 0, none = 0;
    (void)state;
    assert_non_null(c);
    for (int id = SEC_TOK_SPECIALS; id < sec_tokenizer_vocab_size(tok); id++) {
        size_t n;
        const uint8_t *p = sec_tokenizer_bytes(tok, (uint16_t)id, &n);
        newline[id] = memchr(p, '\n', n) != NULL;
        nl = newline[id] ? (uint16_t)id : nl;
    }
    assert_true(nl);
    for (uint64_t round = 0; round < 200; round++) {
        struct sec_rng g = sec_rng_make(3, SEC_STREAM_SAMPLE, round << 20);
        int n = 1 + (int)sec_rng_below(&g, N - 1), n_at = 0;
        for (int i = 0; i < n; i++) { /* few distinct tokens, short lines */
            uint32_t r = sec_rng_below(&g, 100);
            ids[i] = r < 12 ? nl : r < 30 ? SEC_TOK_MASK : (uint16_t)(300 + r % 2);
            if (ids[i] == SEC_TOK_MASK)
                at[n_at++] = i;
        }
        assert_ok(sec_copy_guess(c, ids, n, at, n_at, guess));
        for (int i = 0; i < n_at; i++) {
            assert_int_equal(guess[i], copy_by_hand(newline, ids, n, at[i]));
            copied += guess[i] >= 0;
            none += guess[i] < 0;
        }
    }
    assert_true(copied > 1000 && none > 1000);
    sec_copy_free(c);
    sec_tokenizer_free(tok);
}

/* Every document alike: no spread at all. Otherwise the interval of a mean of independent
 * documents is about mean ± 1.96 sd / sqrt(n). */
static void test_bootstrap(void **state)
{
    enum { DOCS = 400, SEEDS = 3 };
    (void)state;
    for (int spread = 0; spread < 2; spread++) {
        struct sec_mlm_seed seeds[SEEDS] = {0};
        struct sec_results r = {0};
        double sum = 0, squares = 0;
        for (int s = 0; s < SEEDS; s++) {
            seeds[s].doc = calloc(DOCS, sizeof *seeds[s].doc);
            for (int d = 0; d < DOCS; d++) {
                double loss = 2 + spread * sec_rand_normal(5, SEC_STREAM_SAMPLE, (uint64_t)d);
                seeds[s].doc[d] = (struct sec_tally){
                    .n = 10, .loss = 10 * loss, .top1 = 5, .top5 = 8, .bytes = 40};
                seeds[s].total.n += 10;
                seeds[s].total.loss += 10 * loss;
                seeds[s].total.top1 += 5;
                seeds[s].total.top5 += 8;
                seeds[s].total.bytes += 40;
                if (!s) {
                    sum += loss;
                    squares += loss * loss;
                }
            }
        }
        assert_ok(sec_mlm_results("mlm", "idts", seeds, SEEDS, DOCS, 100, &r));
        double mean = sum / DOCS, half = 1.96 * sqrt((squares / DOCS - mean * mean) / DOCS);
        const struct sec_result *loss = sec_results_find(&r, "mlm", "idts", "loss");
        assert_non_null(loss);
        assert_true(fabs(loss->value - mean) < 1e-12 && loss->sd < 1e-12);
        assert_true(fabs(loss->ci[0] - (mean - half)) < 0.15 * half + 1e-9);
        assert_true(fabs(loss->ci[1] - (mean + half)) < 0.15 * half + 1e-9);
        assert_true(fabs(sec_results_find(&r, "mlm", "idts", "bits_per_byte")->value -
                         mean / log(2) / 4) < 1e-12);
        assert_true(sec_results_find(&r, "mlm", "idts", "top1")->value == 0.5);
        assert_true(fabs(sec_results_find(&r, "mlm", "idts", "untrained/loss")->value - log(100)) <
                    1e-12);
        assert_null(sec_results_find(&r, "mlm", "idts", "class/word/loss"));
        for (int s = 0; s < SEEDS; s++)
            free(seeds[s].doc);
        sec_results_free(&r);
    }
}

static void test_results_json(void **state)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "r.jsonl");
    struct sec_results r = {.data = strdup("a \"b\""), .model_sha = "ab"};
    struct sec_result v = {.task = "mlm",
                           .split = "odts",
                           .metric = "loss",
                           .seed = SEC_NO_SEED,
                           .value = 1.5,
                           .sd = NAN,
                           .ci = {1, 2},
                           .n = 7};
    struct sec_buf text = {0};
    cJSON *o;
    (void)state;
    assert_ok(sec_results_add(&r, &v));
    assert_ok(sec_results_write(&r, path));
    assert_ok(sec_read_file(path, &text));
    assert_int_equal(text.data[text.len - 1], '\n');
    assert_ok(sec_json_parse(text.data, text.len - 1, path, &o));
    assert_string_equal(cJSON_GetObjectItem(o, "data")->valuestring, "a \"b\"");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(o, "seed")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(o, "sd")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(o, "ci95")), 2);
    assert_true(cJSON_GetObjectItem(o, "value")->valuedouble == 1.5);
    cJSON_Delete(o);
    sec_buf_free(&text);
    sec_results_free(&r);
    free(path);
    scratch_free(dir);
}

/* A file that is centred in memory and one that is streamed hold what they should. */
static void test_vectors(void **state)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "v.npy");
    const float in[3][2] = {{1, 2}, {3, 6}, {5, 1}};
    (void)state;
    for (int center = 0; center < 2; center++) {
        struct sec_vectors_options o = {.path = path, .width = 2, .center = center};
        struct sec_vectors *v;
        struct sec_buf file = {0};
        assert_ok(sec_vectors_open(&o, &v));
        for (uint64_t i = 0; i < 3; i++)
            assert_ok(sec_vectors_add(v, i, 4, in[i]));
        assert_ok(sec_vectors_close(v));
        assert_ok(sec_read_file(path, &file));
        assert_int_equal(file.len, 128 + sizeof in);
        assert_memory_equal(file.data, "\x93NUMPY\x01\x00\x76\x00", 10);
        assert_non_null(strstr(file.data + 10, "'shape': (3, 2)"));
        assert_int_equal(file.data[127], '\n');
        for (int i = 0; i < 6; i++) {
            float got;
            memcpy(&got, file.data + 128 + 4 * i, 4);
            assert_true(got == in[i / 2][i % 2] - (center ? 3.0F : 0.0F));
        }
        sec_buf_free(&file);
    }
    free(path);
    scratch_free(dir);
}

static void test_utf8(void **state)
{
    struct sec_buf b = {0};
    (void)state;
    assert_ok(sec_utf8_append(&b, "a\xC3\xBC\xFF\xE2\x82z", 7));
    assert_string_equal(b.data, "a\xC3\xBC\xEF\xBF\xBD\xEF\xBF\xBDz");
    sec_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),       cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_copy),         cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_results_json), cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
