/* Byte streams: every packing, cut at every byte, against zlib, zstd and iconv. */
#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "data/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static char dir[] = "/tmp/secenc-reader-XXXXXX";
static char path[300];

static void put(const void *p, size_t n)
{
    assert_int_equal(sec_write_file(path, p, n), 0);
}

/* All of the file in reads of `step` bytes; the damage line, if any, into damage. */
static int slurp(size_t step, struct sec_buf *out, char damage[256])
{
    struct sec_reader *r;
    sec_buf_clear(out);
    damage[0] = 0;
    int rc = sec_reader_open(path, &r);
    for (size_t got = step; !rc && got == step;) {
        sec_buf_reserve(out, step + 1);
        rc = sec_reader_read(r, out->data + out->len, step, &got);
        out->len += got;
    }
    if (!rc && sec_reader_damage(r))
        snprintf(damage, 256, "%s", sec_reader_damage(r));
    if (!rc)
        sec_reader_close(r);
    return rc;
}

static void text_of(struct sec_buf *b, size_t n, uint64_t seed)
{
    struct sec_rng g = sec_rng_make(seed, SEC_STREAM_SAMPLE, 0);
    while (b->len < n)
        sec_buf_printf(b, "Jan %2u 03:04:05 host%u sshd[%u]: Failed password for user%u\n",
                       sec_rng_below(&g, 28), sec_rng_below(&g, 9), sec_rng_u32(&g) % 30000,
                       sec_rng_below(&g, 100));
}

static void gzip_member(const char *p, size_t n, struct sec_buf *out)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    sec_buf_reserve(out, deflateBound(&z, n) + 1);
    z.next_in = (Bytef *)p;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)out->data + out->len;
    z.avail_out = (uInt)(out->cap - out->len);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

static void zstd_frame(const char *p, size_t n, int window_log, struct sec_buf *out)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    if (window_log) {
        ZSTD_CCtx_setParameter(c, ZSTD_c_enableLongDistanceMatching, 1);
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
    }
    sec_buf_reserve(out, ZSTD_compressBound(n) + 1);
    size_t k = ZSTD_compress2(c, out->data + out->len, out->cap - out->len, p, n);
    assert_false(ZSTD_isError(k));
    out->len += k;
    ZSTD_freeCCtx(c);
}

static void expect(const struct sec_buf *want)
{
    static const size_t steps[] = {1, 7, 4096, 1 << 20};
    struct sec_buf got = {0};
    char damage[256];
    for (size_t i = 0; i < 4; i++) {
        if (steps[i] < 64 && want->len > 1 << 20)
            continue;
        assert_int_equal(slurp(steps[i], &got, damage), 0);
        assert_string_equal(damage, "");
        assert_int_equal(got.len, want->len);
        assert_memory_equal(got.data, want->data, want->len);
    }
    sec_buf_free(&got);
}

static void test_whole_files(void **state)
{
    struct sec_buf text = {0}, packed = {0};
    text_of(&text, 700000, 1);
    put(text.data, text.len);
    expect(&text);
    for (size_t i = 0; i < 3; i++)
        gzip_member(text.data + i * 100000, i == 2 ? text.len - 200000 : 100000, &packed);
    put(packed.data, packed.len);
    expect(&text);
    sec_buf_add(&packed, "\0\0\0\0", 4); /* tapes pad with zeros */
    put(packed.data, packed.len);
    expect(&text);
    sec_buf_clear(&packed);
    static const unsigned char skippable[] = {0x5E, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
    sec_buf_add(&packed, skippable, sizeof skippable);
    zstd_frame(text.data, 300000, 0, &packed);
    sec_buf_add(&packed, skippable, sizeof skippable);
    zstd_frame(text.data + 300000, text.len - 300000, 0, &packed);
    put(packed.data, packed.len);
    expect(&text);
    put("", 0);
    sec_buf_clear(&text);
    expect(&text);
    put("x", 1);
    sec_buf_add(&text, "x", 1);
    expect(&text);
    sec_buf_free(&text);
    sec_buf_free(&packed);
}

/* A window of 256 MiB, as `zstd --long=28` makes it, is more than a decoder takes by default. */
static void test_long_window(void **state)
{
    struct sec_buf text = {0}, packed = {0};
    text_of(&text, 3 << 20, 2);
    zstd_frame(text.data, text.len, 28, &packed);
    put(packed.data, packed.len);
    expect(&text);
    sec_buf_free(&text);
    sec_buf_free(&packed);
}

/* What zlib itself gets out of a gzip file of one member cut after n bytes. */
static size_t zlib_salvage(const char *p, size_t n, char *out, size_t room)
{
    z_stream z = {.next_in = (Bytef *)p, .avail_in = (uInt)n};
    inflateInit2(&z, 15 + 16);
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    inflate(&z, Z_SYNC_FLUSH);
    size_t got = z.total_out;
    inflateEnd(&z);
    return got;
}

static void test_cut_files(void **state)
{
    struct sec_buf text = {0}, gz = {0}, zst = {0}, got = {0};
    char damage[256], *salvaged = malloc(1 << 20);
    text_of(&text, 20000, 3);
    gzip_member(text.data, text.len, &gz);
    zstd_frame(text.data, text.len / 2, 0, &zst);
    size_t border = zst.len;
    zstd_frame(text.data + text.len / 2, text.len - text.len / 2, 0, &zst);
    for (size_t n = 10; n < gz.len; n += 37) {
        put(gz.data, n);
        assert_int_equal(slurp(4096, &got, damage), 0);
        assert_non_null(strstr(damage, "ends inside a member at byte"));
        assert_memory_equal(got.data, text.data, got.len);
        size_t reference = zlib_salvage(gz.data, n, salvaged, 1 << 20);
        assert_true(got.len + 300 >= reference); /* no more than one match behind zlib */
    }
    for (size_t n = 5; n < zst.len; n += 37) {
        put(zst.data, n);
        assert_int_equal(slurp(4096, &got, damage), 0);
        assert_non_null(strstr(damage, "ends inside a frame at byte"));
        assert_memory_equal(got.data, text.data, got.len);
        if (n >= border)
            assert_true(got.len >= text.len / 2);
    }
    put(zst.data, border);
    assert_int_equal(slurp(4096, &got, damage), 0);
    assert_string_equal(damage, "");
    gz.data[gz.len - 6] ^= 1; /* in the CRC32 */
    put(gz.data, gz.len);
    assert_int_equal(slurp(4096, &got, damage), 0);
    assert_non_null(strstr(damage, "wrong checksum"));
    zst.data[zst.len - 2] ^= 1;
    put(zst.data, zst.len);
    assert_int_equal(slurp(4096, &got, damage), 0);
    assert_non_null(strstr(damage, "damaged"));
    free(salvaged);
    sec_buf_free(&text);
    sec_buf_free(&gz);
    sec_buf_free(&zst);
    sec_buf_free(&got);
}

static void test_utf16(void **state)
{
    struct sec_buf text = {0}, wide = {0}, got = {0};
    struct sec_rng g = sec_rng_make(4, SEC_STREAM_SAMPLE, 0);
    for (int i = 0; i < 60000; i++) {
        static const uint32_t top[] = {0x80, 0x800, 0xD800, 0x10000};
        uint32_t cp =
            i % 5 < 4 ? sec_rng_below(&g, top[i % 5]) : 0x10000 + sec_rng_below(&g, 99999);
        uint8_t utf8[4];
        size_t n = 0;
        if (cp >= 0xD800 && cp < 0xE000)
            cp -= 0x800;
        if (cp < 0x80)
            utf8[n++] = (uint8_t)cp;
        else if (cp < 0x800)
            utf8[n++] = (uint8_t)(0xC0 | cp >> 6);
        else if (cp < 0x10000)
            utf8[n++] = (uint8_t)(0xE0 | cp >> 12);
        else
            utf8[n++] = (uint8_t)(0xF0 | cp >> 18);
        for (int shift = cp < 0x80      ? -6
                         : cp < 0x800   ? 0
                         : cp < 0x10000 ? 6
                                        : 12;
             shift >= 0; shift -= 6)
            utf8[n++] = (uint8_t)(0x80 | (cp >> shift & 63));
        sec_buf_add(&text, utf8, n);
    }
    for (int big = 0; big < 2; big++) {
        iconv_t c = iconv_open(big ? "UTF-16BE" : "UTF-16LE", "UTF-8");
        sec_buf_clear(&wide);
        sec_buf_reserve(&wide, 2 * text.len + 8);
        sec_buf_add(&wide, big ? "\xFE\xFF" : "\xFF\xFE", 2);
        char *in = text.data, *out = wide.data + 2;
        size_t in_left = text.len, room = 2 * text.len;
        assert_int_equal(iconv(c, &in, &in_left, &out, &room), 0);
        iconv_close(c);
        wide.len = (size_t)(out - wide.data);
        put(wide.data, wide.len);
        expect(&text);
    }
    /* lone surrogates and an odd byte: U+FFFD each, the neighbours stay */
    put("\xFF\xFE"
        "a\0"
        "\x00\xD8"
        "b\0"
        "\x00\xDC"
        "c",
        11);
    char damage[256];
    assert_int_equal(slurp(3, &got, damage), 0);
    assert_int_equal(got.len, 1 + 3 + 1 + 3 + 3);
    assert_memory_equal(got.data,
                        "a\xEF\xBF\xBD"
                        "b\xEF\xBF\xBD\xEF\xBF\xBD",
                        got.len);
    sec_buf_free(&text);
    sec_buf_free(&wide);
    sec_buf_free(&got);
}

static void test_refusals(void **state)
{
    struct sec_reader *r;
    assert_int_equal(sec_reader_open("/nonexistent/x.log", &r), SEC_EFAIL);
    assert_non_null(strstr(sec_error(), "/nonexistent/x.log"));
    assert_int_equal(sec_reader_open(dir, &r), SEC_EFAIL);
    assert_non_null(strstr(sec_error(), "directory"));
    put("BZh91AY&SY", 10);
    assert_int_equal(sec_reader_open(path, &r), SEC_EDATA);
    assert_non_null(strstr(sec_error(), "bzip2"));
    assert_int_equal(sec_exit_code(SEC_EDATA), 3);
}

static int setup(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/file", dir);
    return 0;
}

static int teardown(void **state)
{
    return sec_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_files), cmocka_unit_test(test_long_window),
        cmocka_unit_test(test_cut_files),   cmocka_unit_test(test_utf16),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
