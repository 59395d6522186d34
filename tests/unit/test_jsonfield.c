/* JSON fields: what is given, bad paths, records at the end of a page with nothing behind it, and
 * the same results of every scanner. Agreement with another parser: tests/parity/test_jsonfield.py.
 */
#include "data/jsonfield_impl.h"
#include "testing.h"

#include <sys/mman.h>
#include <unistd.h>

static struct sec_jsonfield *open_field(const char *path)
{
    struct sec_jsonfield *j;
    char *v[] = {(char *)path};
    struct sec_list paths = {v, 1};
    assert_ok(sec_jsonfield_open(path ? SEC_JSON_FIELD : SEC_JSON_PAIRS, path ? &paths : NULL, &j));
    return j;
}

static void check(const char *path, const char *line, int result, const char *text)
{
    struct sec_jsonfield *j = open_field(path);
    struct sec_buf out = {0};
    assert_ok(sec_buf_adds(&out, "before|"));
    assert_int_equal(sec_jsonfield_get(j, line, strlen(line), &out), result);
    assert_memory_equal(out.data, "before|", 7);
    assert_string_equal(out.data + 7, text);
    sec_buf_free(&out);
    sec_jsonfield_close(j);
}

static void test_values(void **state)
{
    (void)state;
    check("message", "{\"message\":\"a \\\"b\\\"\\r\\nc\"}", SEC_JSON_OK, "a \"b\" c");
    check("message", "{\"message\":{\"x\": [1, 2]} }", SEC_JSON_OK, "{\"x\": [1, 2]}");
    check("message", "{\"message\":1.50}", SEC_JSON_OK, "1.50");
    check("message", "{\"message\":1,\"x\":\"\\u12\"}", SEC_JSON_MALFORMED, "");
    check("message", "{\"a\":\"message\"}", SEC_JSON_ABSENT, "");
    check("a.b", "{\"a\":{\"b\":1},\"a\":{\"c\":2}}", SEC_JSON_ABSENT, "");
    check("a.b", "{\"a.b\":1}", SEC_JSON_ABSENT, "");
    check("a\\.b", "{\"a.b\":1}", SEC_JSON_OK, "1");
    check("Event.EventData.Data.1", "{\"Event\":{\"EventData\":{\"Data\":[\"x\",\"y\"]}}}",
          SEC_JSON_OK, "y");
    check(NULL,
          "{\"a\":{\"b\":\"x y\",\"c\":[1,\"q\\\"\"]},\"d\":{},\"e\":\"\",\"a2\":\"C:\\\\x\"}",
          SEC_JSON_OK, "a.b=\"x y\" a.c.0=1 a.c.1=\"q\\\"\" d={} e=\"\" a2=C:\\x");
    check(NULL, "{\"a\":{\"x\":1},\"b\":2,\"a\":{\"y\":3}}", SEC_JSON_OK, "b=2 a.y=3");
    check(NULL, "[1", SEC_JSON_MALFORMED, "");
}

static void test_paths(void **state)
{
    (void)state;
    struct sec_jsonfield *j;
    char *v[66];
    for (int i = 0; i < 66; i++)
        v[i] = "m";
    struct sec_list many = {v, 65}, none = {v, 0}, one = {v, 1};
    assert_fails(sec_jsonfield_open(SEC_JSON_FIELD, &none, &j), SEC_EUSAGE, "which field");
    assert_fails(sec_jsonfield_open(SEC_JSON_FIELD, &many, &j), SEC_EUSAGE, "65 JSON fields");
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        v[0] = (char *)bad[i];
        assert_fails(sec_jsonfield_open(SEC_JSON_FIELD, &one, &j), SEC_EUSAGE, "JSON field '");
    }
    /* the first that exists, in the order of the paths */
    char *two[] = {"message", "event.original"};
    struct sec_list both = {two, 2};
    struct sec_buf out = {0};
    const char *line = "{\"event\":{\"original\":\"second\"},\"message\":\"first\"}";
    assert_ok(sec_jsonfield_open(SEC_JSON_FIELD, &both, &j));
    assert_int_equal(sec_jsonfield_get(j, line, strlen(line), &out), SEC_JSON_OK);
    assert_string_equal(out.data, "first");
    sec_jsonfield_close(j);
    sec_buf_free(&out);
}

/* Every cut of some records, ending at the last byte before a page that cannot be read. */
static void test_page_end(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = 4 * page;
    char *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + room, page, PROT_NONE), 0);
    struct sec_buf text = {0}, out[3] = {{0}};
    assert_ok(sec_buf_printf(&text,
                             "{\"n\":-12345678.5e10,\"l\":[true,null,false],\"k\\u0041\":\"\\ud83d"
                             "\\ude00\\n\",\"long\":\"%04200d\",\"message\":\"x\",\"z\":1}",
                             7));
    struct sec_jsonfield *field = open_field("message"), *pairs = open_field(NULL);
    for (size_t n = 0; n <= text.len; n++) {
        if (n == 200)
            n = text.len - 150;
        char *line = p + room - n;
        memcpy(line, text.data, n);
        int result[3];
        for (int isa = 0; isa < 6; isa++) {
            struct sec_jsonfield *j = isa < 3 ? field : pairs;
            if (isa % 3 > (int)sec_cpu_isa_detected())
                continue;
            sec_jsonfield_set_isa(j, (enum sec_isa)(isa % 3));
            sec_buf_clear(&out[isa % 3]);
            result[isa % 3] = sec_jsonfield_get(j, line, n, &out[isa % 3]);
            assert_int_equal(result[isa % 3], n == text.len ? SEC_JSON_OK : SEC_JSON_MALFORMED);
            assert_int_equal(out[isa % 3].len, out[0].len);
            if (out[0].len)
                assert_memory_equal(out[isa % 3].data, out[0].data, out[0].len);
        }
    }
    sec_jsonfield_close(field);
    sec_jsonfield_close(pairs);
    for (int i = 0; i < 3; i++)
        sec_buf_free(&out[i]);
    sec_buf_free(&text);
    munmap(p, room + page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_page_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
