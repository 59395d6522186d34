/* Text shards: what goes in comes out; the file is plain zstd with a seek table; damage is found.
 */
#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "data/docjson.h"
#include "data/textshard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static char dir[] = "/tmp/secenc-shards-XXXXXX";
enum { N_DOCS = 3000 };

/* Document i: all bytes that JSON escapes, and some that it does not. */
static void make_text(uint64_t i, struct sec_buf *b)
{
    struct sec_rng g = sec_rng_make(7, SEC_STREAM_SAMPLE, i * 1000);
    static const char *const bits[] = {"\"",   "\\",         "\n", "\t",     "\x01",
                                       "\x1f", "\x7f",       "é",  "漢",     "😀",
                                       "a",    "key=value ", "/",  "\b\f\r", "\xEF\xBF\xBD"};
    sec_buf_clear(b);
    for (uint32_t n = sec_rng_below(&g, 600); n; n--)
        sec_buf_adds(b, bits[sec_rng_below(&g, sizeof bits / sizeof *bits)]);
    if (i == 17)
        for (int k = 0; k < 1500000; k++)
            sec_buf_addc(b, (char)('a' + k % 26));
}

static void write_shard(struct sec_shard_info *info)
{
    struct sec_shard_writer *w;
    struct sec_buf text = {0};
    assert_int_equal(sec_shard_writer_open(dir, SEC_SPLIT_IDTS, "app-1", 3, &w), 0);
    for (uint64_t i = 0; i < N_DOCS; i++) {
        make_text(i, &text);
        struct sec_doc doc = {sec_hash128(text.data, text.len), "app-1", text.len ? text.data : "",
                              text.len, (uint32_t)i};
        assert_int_equal(sec_shard_writer_add(w, &doc), 0);
    }
    assert_int_equal(sec_shard_writer_close(w, info), 0);
    sec_buf_free(&text);
}

static void test_round_trip(void **state)
{
    struct sec_shard_info info;
    struct sec_buf text = {0}, file = {0};
    char path[400];
    write_shard(&info);
    assert_string_equal(info.path, "idts/app-1/000003.jsonl.zst");
    assert_int_equal(info.documents, N_DOCS);
    snprintf(path, sizeof path, "%s/%s", dir, info.path);
    assert_int_equal(sec_read_file(path, &file), 0);
    assert_int_equal(file.len, info.bytes_packed);
    assert_true(info.xxh3 == sec_hash64(file.data, file.len, 0));
    struct sec_shard_reader *r;
    struct sec_doc doc;
    uint64_t bytes = 0;
    assert_int_equal(sec_shard_reader_open(path, &r), 0);
    for (uint64_t i = 0; i < N_DOCS; i++) {
        make_text(i, &text);
        assert_int_equal(sec_shard_reader_next(r, &doc), 0);
        assert_int_equal(doc.text_len, text.len);
        assert_memory_equal(doc.text, text.len ? text.data : "", text.len);
        assert_string_equal(doc.source, "app-1");
        assert_int_equal(doc.records, i);
        sec_h128 id = sec_hash128(text.data, text.len);
        assert_true(id.lo == doc.id.lo && id.hi == doc.id.hi);
        bytes += text.len;
    }
    assert_int_equal(sec_shard_reader_next(r, &doc), 1);
    assert_int_equal(bytes, info.bytes_text);
    sec_shard_reader_close(r);
    free(info.path);
    free(info.source);
    sec_buf_free(&text);
    sec_buf_free(&file);
}

static uint32_t u32(const struct sec_buf *f, size_t at)
{
    const unsigned char *p = (const unsigned char *)f->data + at;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Every frame of the seek table decodes alone, to JSON lines that cJSON reads. */
static void test_seek_table(void **state)
{
    struct sec_shard_info info;
    struct sec_buf f = {0}, text = {0};
    char path[400];
    write_shard(&info);
    snprintf(path, sizeof path, "%s/%s", dir, info.path);
    assert_int_equal(sec_read_file(path, &f), 0);
    assert_true(u32(&f, f.len - 4) == 0x8F92EAB1u);
    assert_int_equal(f.data[f.len - 5], 0);
    uint32_t n = u32(&f, f.len - 9);
    size_t table = f.len - 9 - 8 * (size_t)n, at = 0;
    assert_true(u32(&f, table - 8) == 0x184D2A5Eu);
    assert_int_equal(u32(&f, table - 4), 8 * n + 9);
    assert_true(n >= 2);
    uint64_t doc = 0, raw = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t packed = u32(&f, table + 8 * i), size = u32(&f, table + 8 * i + 4);
        char *out = malloc(size + 1);
        assert_int_equal(ZSTD_decompress(out, size, f.data + at, packed), size);
        out[size] = 0;
        for (char *line = out, *nl; (nl = strchr(line, '\n')); line = nl + 1) {
            *nl = 0;
            cJSON *o = cJSON_Parse(line);
            assert_non_null(o);
            make_text(doc++, &text);
            assert_string_equal(cJSON_GetObjectItem(o, "text")->valuestring,
                                text.len ? text.data : "");
            assert_int_equal(strlen(cJSON_GetObjectItem(o, "id")->valuestring), 32);
            assert_true(cJSON_IsNull(cJSON_GetObjectItem(o, "ts")));
            cJSON_Delete(o);
        }
        at += packed;
        raw += size;
        free(out);
    }
    assert_int_equal(at, table - 8);
    assert_int_equal(doc, N_DOCS);
    assert_int_equal(raw, info.bytes_raw);
    free(info.path);
    free(info.source);
    sec_buf_free(&f);
    sec_buf_free(&text);
}

static int read_all(const char *path)
{
    struct sec_shard_reader *r;
    struct sec_doc doc;
    int rc = sec_shard_reader_open(path, &r);
    if (rc)
        return rc;
    while (!(rc = sec_shard_reader_next(r, &doc)))
        ;
    sec_shard_reader_close(r);
    return rc == 1 ? 0 : rc;
}

static void test_damage(void **state)
{
    struct sec_shard_info info;
    struct sec_buf f = {0};
    char path[400], copy[400];
    write_shard(&info);
    snprintf(path, sizeof path, "%s/%s", dir, info.path);
    snprintf(copy, sizeof copy, "%s/copy.jsonl.zst", dir);
    assert_int_equal(sec_read_file(path, &f), 0);
    for (size_t at = 100; at < f.len - 600; at += f.len / 23) {
        f.data[at] ^= 0x10;
        assert_int_equal(sec_write_file(copy, f.data, f.len), 0);
        assert_int_equal(read_all(copy), SEC_EDATA);
        assert_non_null(strstr(sec_error(), copy));
        f.data[at] ^= 0x10;
    }
    for (size_t n = 100; n < f.len - 600; n += f.len / 23) {
        assert_int_equal(sec_write_file(copy, f.data, n), 0);
        assert_int_equal(read_all(copy), SEC_EDATA);
    }
    assert_int_equal(sec_write_file(copy, f.data, f.len), 0);
    assert_int_equal(read_all(copy), 0);
    free(info.path);
    free(info.source);
    sec_buf_free(&f);
}

static void test_decoding(void **state)
{
    static const struct {
        const char *line, *text; /* text NULL: refused */
    } cases[] = {
        {"{\"id\":\"0123456789abcdef0123456789ABCDEF\",\"source\":\"s\",\"text\":\"a\"}", "a"},
        {" { \"meta\" : {\"a\":[1,{\"b\":\"}\"}],\"c\":\"\\\"\"} , "
         "\"text\":\"\\ud83d\\ude00\\u0041\\/\","
         "\"source\":\"s\",\"id\":\"0123456789abcdef0123456789abcdef\"}",
         "😀A/"},
        {"{\"id\":\"0123456789abcdef0123456789abcdef\",\"source\":\"s\",\"text\":\"\\ud83dx\"}",
         "\xEF\xBF\xBDx"},
        {"{\"id\":\"0123\",\"source\":\"s\",\"text\":\"a\"}", NULL},
        {"{\"source\":\"s\",\"text\":\"a\"}", NULL},
        {"{\"id\":\"0123456789abcdef0123456789abcdef\",\"source\":\"s\",\"text\":\"a", NULL},
        {"{\"id\":\"0123456789abcdef0123456789abcdef\",\"source\":\"s\",\"text\":\"\\x\"}", NULL},
        {"{\"id\":\"0123456789abcdef0123456789abcdef\",\"source\":\"s\",\"text\":5}", NULL},
        {"[]", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].line);
        char *line = malloc(n + 1);
        struct sec_doc doc;
        memcpy(line, cases[i].line, n + 1);
        int rc = sec_docjson_decode(line, n, &doc);
        assert_int_equal(rc, cases[i].text ? 0 : SEC_EDATA);
        if (!rc) {
            assert_string_equal(doc.text, cases[i].text);
            assert_true(doc.id.hi == 0x0123456789abcdefu && doc.id.lo == 0x0123456789abcdefu);
        }
        free(line);
    }
}

static void test_not_a_corpus(void **state)
{
    struct sec_corpus c;
    char path[400];
    assert_int_equal(sec_corpus_open(dir, &c), SEC_EDATA);
    assert_non_null(strstr(sec_error(), "not a corpus"));
    snprintf(path, sizeof path, "%s/" SEC_MANIFEST, dir);
    static const char header[] = "{\"format\":\"secencoder-corpus\",\"version\":1,\"seed\":5}\n";
    assert_int_equal(sec_write_file(path, header, sizeof header - 1), 0);
    assert_int_equal(sec_corpus_open(dir, &c), SEC_EDATA);
    assert_non_null(strstr(sec_error(), "empty"));
    assert_int_equal(sec_write_file(path, header, sizeof header - 5), 0);
    assert_int_equal(sec_corpus_open(dir, &c), SEC_EDATA);
    assert_non_null(strstr(sec_error(), "line 1"));
}

static int setup(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return sec_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_seek_table),
        cmocka_unit_test(test_damage),       cmocka_unit_test(test_decoding),
        cmocka_unit_test(test_not_a_corpus),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
