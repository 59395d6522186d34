/* safetensors: round trip, every lie a header can tell, and Hugging Face folders that are refused.
 */
#include "model/hf.h"
#include "model_fixture.h"
#include "testing.h"

#include <math.h>

static char *dir;

static int setup(void **state)
{
    dir = scratch_dir();
    return 0;
}

static int teardown(void **state)
{
    scratch_free(dir);
    return 0;
}

static char *in_dir(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* A file with this header and data_len bytes of data. */
static const char *write_st(const char *header, size_t data_len)
{
    struct sec_buf b = {0};
    uint64_t n = strlen(header);
    char *path = in_dir("x.safetensors");
    assert_ok(sec_buf_add(&b, &n, sizeof n));
    assert_ok(sec_buf_adds(&b, header));
    for (size_t i = 0; i < data_len; i++)
        assert_ok(sec_buf_addc(&b, (char)i));
    assert_ok(sec_write_file(path, b.data, b.len));
    sec_buf_free(&b);
    return path;
}

static void refused(const char *header, size_t data_len, const char *text)
{
    struct sec_safetensors st;
    assert_fails(sec_st_open(write_st(header, data_len), &st), SEC_EDATA, text);
}

#define T(shape, from, to)                                                                         \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void test_header(void **state)
{
    struct sec_safetensors st;
    assert_ok(sec_st_open(write_st("{\"__metadata__\":{\"a\":\"b\"},\"b\":" T(
                                       "[2]", "4", "12") ",\"a\":" T("[1,1]", "0", "4") "}   ",
                                   12),
                          &st));
    assert_int_equal(st.n, 2);
    assert_int_equal(sec_st_find(&st, "b")->begin, 4);
    assert_null(sec_st_find(&st, "c"));
    sec_st_close(&st);
    assert_ok(sec_st_open(write_st("{}", 0), &st));
    sec_st_close(&st);

    refused("[]", 0, "not a JSON object");
    refused("{\"a\":", 0, "not valid JSON");
    refused("{\"a\":1}", 0, "dtype");
    refused("{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "F31");
    refused("{\"a\":" T("[1,1,1,1,1]", "0", "4") "}", 4, "at most 4");
    refused("{\"a\":" T("[-1]", "0", "4") "}", 4, "impossible shape");
    refused("{\"a\":" T("[1.5]", "0", "4") "}", 4, "impossible shape");
    refused("{\"a\":" T("[9007199254740992,9007199254740992]", "0", "4") "}", 4,
            "impossible shape");
    refused("{\"a\":" T("[1]", "0", "8") "}", 8, "its shape needs 4");
    refused("{\"a\":" T("[1]", "4", "0") "}", 4, "ascending");
    refused("{\"a\":" T("[1]", "0", "4") "}", 3, "truncated");
    refused("{\"a\":" T("[1]", "0", "4") "}", 5, "1 bytes after the last tensor");
    refused("{\"a\":" T("[1]", "4", "8") "}", 8, "leaving a gap");
    refused("{\"a\":" T("[2]", "0", "8") ",\"b\":" T("[1]", "4", "8") "}", 8, "overlapping");
    refused("{\"a\":" T("[1]", "0", "4") ",\"a\":" T("[1]", "4", "8") "}", 8, "twice");
    refused("{\""
            "0123456789012345678901234567890123456789012345678901234567890123"
            "0123456789012345678901234567890123456789012345678901234567890123"
            "\":" T("[1]", "0", "4") "}",
            4, "name of 128 bytes");
}

static void test_short_files(void **state)
{
    struct sec_safetensors st;
    char *path = in_dir("short");
    assert_fails(sec_st_open(path, &st), SEC_EFAIL, "cannot open");
    assert_ok(sec_write_file(path, "", 0));
    assert_fails(sec_st_open(path, &st), SEC_EDATA, "truncated");
    assert_ok(sec_write_file(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10));
    assert_fails(sec_st_open(path, &st), SEC_EDATA, "not a safetensors file");
    assert_ok(sec_write_file(path, "\x03\0\0\0\0\0\0\0{}", 10));
    assert_fails(sec_st_open(path, &st), SEC_EDATA, "header of 3 bytes");
}

/* Half precision by its definition. */
static void test_f16(void **state)
{
    struct sec_safetensors st;
    static const uint16_t h[] = {0x0000, 0x8000, 0x3C00, 0xC000, 0x7BFF, 0x0001,
                                 0x03FF, 0x0400, 0x7C00, 0xFC00, 0x7E00, 0x3555};
    static const double want[] = {0,       -0.0,           1,       -2,       65504,
                                  0x1p-24, 1023 * 0x1p-24, 0x1p-14, INFINITY, -INFINITY,
                                  NAN,     0.333251953125};
    const char *header = "{\"a\":{\"dtype\":\"F16\",\"shape\":[12],\"data_offsets\":[0,24]}}";
    uint64_t n = strlen(header);
    struct sec_buf b = {0};
    float x[12];
    assert_ok(sec_buf_add(&b, &n, 8));
    assert_ok(sec_buf_adds(&b, header));
    assert_ok(sec_buf_add(&b, h, sizeof h));
    assert_ok(sec_write_file(in_dir("h"), b.data, b.len));
    sec_buf_free(&b);
    assert_ok(sec_st_open(in_dir("h"), &st));
    assert_ok(sec_st_read_f32(&st, &st.v[0], x));
    for (int i = 0; i < 12; i++)
        assert_true(isnan(want[i])
                        ? isnan(x[i])
                        : (double)x[i] == want[i] && !signbit(x[i]) == !signbit(want[i]));
    sec_st_close(&st);
}

static struct sec_model_config c;
static struct sec_params params;

static float *random_model(unsigned heads)
{
    c = fix_config(3, 512, 0.1);
    assert_ok(sec_params_build(&c, heads, 3, &params));
    float *x = calloc((size_t)params.total, sizeof *x);
    for (int i = 0; i < params.n; i++)
        for (int64_t j = 0; j < params.v[i].count; j++)
            x[params.v[i].offset + j] =
                (float)sec_rand_normal(1, SEC_STREAM_SAMPLE, (uint64_t)(params.v[i].offset + j));
    return x;
}

static void test_round_trip(void **state)
{
    float *x = random_model(SEC_HEAD_MLM | SEC_HEAD_CLASSIFY), *back;
    struct sec_model_config read;
    struct sec_params p;
    unsigned heads;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        char *model = strdup(in_dir(bf16 ? "b" : "f"));
        assert_ok(sec_hf_export(&c, &params, x, NULL, NULL, bf16 ? "bfloat16" : "float32", model));
        assert_ok(sec_hf_load(model, &read, &heads, &p, &back));
        assert_int_equal(heads, SEC_HEAD_MLM | SEC_HEAD_CLASSIFY);
        assert_int_equal(p.num_labels, 3);
        assert_int_equal(p.total, params.total);
        assert_memory_equal(&read, &c, sizeof c);
        for (int64_t i = 0; i < p.total; i++) {
            int64_t from = i >= p.rel && i < p.rel + c.hidden_size ? i + c.hidden_size : i;
            float want = bf16 ? sec_bf16_to_f32(sec_f32_to_bf16(x[from])) : x[from];
            assert_true(back[i] == want);
        }
        free(back);
        free(model);
        sec_params_free(&p);
    }
    assert_fails(sec_hf_export(&c, &params, x, NULL, NULL, "int8", in_dir("i")), SEC_EUSAGE,
                 "int8");
    free(x);
    sec_params_free(&params);
}

/* config.json with one key replaced is refused, and the message names key and value. */
static void test_config_refusals(void **state)
{
    static const char *const cases[][3] = {
        {"\"hidden_act\": \"gelu\"", "\"hidden_act\": \"relu\"", "hidden_act is \"relu\""},
        {"deberta-v2", "bert", "model_type is \"bert\""},
        {"\"relative_attention\":", "\"relative_attentio_\":",
         "relative_attention is false (the default)"},
        {"\"type_vocab_size\": 0", "\"type_vocab_size\": 2", "type_vocab_size is 2"},
        {"\"position_biased_input\": false", "\"position_biased_input\": true",
         "position_biased_input"},
        {"\"share_att_key\": true", "\"share_att_key\": false", "share_att_key is false"},
        {"\"layer_norm\"", "\"none\"", "norm_rel_ebd is \"none\""},
        {"\"c2p\"", "\"p2p\"", "pos_att_type"},
        {"\"conv_act\": \"gelu\"", "\"conv_act\": \"tanh\"", "conv_act is \"tanh\""},
        {"\"pooler_hidden_size\": 16", "\"pooler_hidden_size\": 8", "pooler_hidden_size is 8"},
        {"\"vocab_size\": 96", "\"vocab_size\": 128100", "128100"},
        {"\"hidden_size\": 16", "\"hidden_size\": \"16\"", "'hidden_size' is not a whole number"},
        {"\"pad_token_id\": 0", "\"pad_token_id\": 1", "pad_token_id is 1"}};
    struct sec_buf text = {0};
    struct sec_model_config read;
    char *path = strdup(in_dir("config.json"));
    c = fix_config(3, 512, 0.1);
    assert_ok(sec_model_config_hf_text(&c, "DebertaV2ForMaskedLM", "float32", 2, NULL, &text));
    assert_ok(sec_write_file(path, text.data, text.len));
    assert_ok(sec_model_config_read_hf(path, &read));
    assert_memory_equal(&read, &c, sizeof c);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sec_buf bad = {0};
        const char *at = strstr(text.data, cases[i][0]);
        if (!at)
            fail_msg("config.json has no %s:\n%s", cases[i][0], text.data);
        assert_ok(sec_buf_add(&bad, text.data, (size_t)(at - text.data)));
        assert_ok(sec_buf_adds(&bad, cases[i][1]));
        assert_ok(sec_buf_adds(&bad, at + strlen(cases[i][0])));
        assert_ok(sec_write_file(path, bad.data, bad.len));
        assert_fails(sec_model_config_read_hf(path, &read), SEC_EDATA, cases[i][2]);
        sec_buf_free(&bad);
    }
    sec_buf_free(&text);
    free(path);
}

static void test_folders(void **state)
{
    float *x = random_model(SEC_HEAD_MLM), *back;
    struct sec_model_config read;
    struct sec_params p;
    unsigned heads;
    char *model = strdup(in_dir("m")), *weights = sec_path_join(model, "model.safetensors");
    char *pickle = sec_path_join(model, "pytorch_model.bin"),
         *config = sec_path_join(model, "config.json");
    assert_ok(sec_hf_export(&c, &params, x, NULL, NULL, "float32", model));
    c.num_hidden_layers = 3;
    assert_ok(sec_model_config_write_hf(&c, "DebertaV2ForMaskedLM", "float32", config));
    assert_fails(sec_hf_load(model, &read, &heads, &p, &back), SEC_EDATA, "layer.2.attention");
    c.num_hidden_layers = 2;
    c.vocab_size = 97;
    assert_ok(sec_model_config_write_hf(&c, "DebertaV2ForMaskedLM", "float32", config));
    assert_fails(sec_hf_load(model, &read, &heads, &p, &back), SEC_EDATA, "96 x 16 x 1");
    assert_int_equal(remove(weights), 0);
    assert_fails(sec_hf_load(model, &read, &heads, &p, &back), SEC_EDATA, "no model.safetensors");
    assert_ok(sec_write_file(pickle, "x", 1));
    assert_fails(sec_hf_load(model, &read, &heads, &p, &back), SEC_EDATA, "pickle");
    free(model);
    free(weights);
    free(pickle);
    free(config);
    free(x);
    sec_params_free(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_header),
                                       cmocka_unit_test(test_short_files),
                                       cmocka_unit_test(test_f16),
                                       cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_config_refusals),
                                       cmocka_unit_test(test_folders)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
