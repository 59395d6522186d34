/* Record borders, cleaning and masked templates, each against cases written down by hand and
 * against properties: blocks of any size give the records of the whole. */
#include "base/mem.h"
#include "base/rng.h"
#include "data/clean.h"
#include "data/records.h"
#include "data/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The records of p[0..n) joined by '|', wrappers in (). */
static void records(enum sec_format f, const char *p, size_t n, struct sec_buf *out)
{
    struct sec_record_iter it = {f, p, p + n, 0};
    struct sec_span s;
    while (sec_records_next(&it, &s)) {
        sec_buf_adds(out, s.wrapper ? "(" : "");
        sec_buf_add(out, s.p, s.len);
        sec_buf_adds(out, s.wrapper ? ")|" : "|");
    }
}

static const struct {
    enum sec_format format;
    const char *text, *records;
} cases[] = {
    {SEC_FORMAT_LINES, "a\nb\n\n c\nd", "a|b|| c|d|"},
    {SEC_FORMAT_MULTILINE, "E1\n\tat x\n  at y\nE2\nE3\n at z\n",
     "E1\n\tat x\n  at y|E2|E3\n at z|"},
    {SEC_FORMAT_JSONL, "{\"a\":1}\n {\"b\":2}\n", "{\"a\":1}| {\"b\":2}|"},
    {SEC_FORMAT_CSV, "h,i\n1,\"two\nlines\"\n2,\"a \"\"q\"\"\"\n",
     "h,i|1,\"two\nlines\"|2,\"a \"\"q\"\"\"|"},
    {SEC_FORMAT_TSV, "a\tb\n\"c\td\n", "a\tb|\"c\td|"},
    {SEC_FORMAT_XML,
     "<?xml version=\"1.0\"?>\n<Events>\n<Event "
     "xmlns='x'><EventData>1</EventData></Event><Event>\n2\n"
     "</Event></Events>",
     "(<?xml version=\"1.0\"?>)|()|(<Events>)|()|<Event "
     "xmlns='x'><EventData>1</EventData></Event>|"
     "<Event>\n2\n</Event>|(</Events>)|"},
    {SEC_FORMAT_XML, "<Event>1</Event>\nstray text\nmore<Event>2</Event>",
     "<Event>1</Event>|()|stray text|more|<Event>2</Event>|"},
    {SEC_FORMAT_SYSLOG, "9 <34>1 abc8 <34>\nxyz<13>plain\n12 no count\n",
     "<34>1 abc|<34>\nxyz|<13>plain|12 no count|"},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void test_borders(void **state)
{
    for (int i = 0; i < N_CASES; i++) {
        struct sec_buf got = {0};
        records(cases[i].format, cases[i].text, strlen(cases[i].text), &got);
        assert_string_equal(got.data, cases[i].records);
        sec_buf_free(&got);
    }
}

/* Cut at every record border that is found in every prefix: the pieces' records are the whole's. */
static void test_cuts(void **state)
{
    for (int i = 0; i < N_CASES; i++) {
        const char *t = cases[i].text;
        size_t n = strlen(t);
        for (size_t k = 1; k <= n; k++) {
            struct sec_buf got = {0};
            size_t cut = sec_records_cut(cases[i].format, t, k);
            assert_true(cut <= k);
            records(cases[i].format, t, cut, &got);
            records(cases[i].format, t + cut, n - cut, &got);
            assert_string_equal(got.data, cases[i].records);
            sec_buf_free(&got);
        }
    }
}

static void test_stray_quote(void **state)
{
    struct sec_buf text = {0}, got = {0};
    sec_buf_adds(&text, "a,\"b\n");
    for (int i = 0; i < 20000; i++)
        sec_buf_printf(&text, "%d,x\n", i);
    records(SEC_FORMAT_CSV, text.data, text.len, &got);
    assert_memory_equal(got.data, "a,\"b|0,x|1,x|", 13);
    assert_int_equal(sec_records_cut(SEC_FORMAT_CSV, text.data, text.len), text.len);
    sec_buf_free(&text);
    sec_buf_free(&got);
}

static void test_detection(void **state)
{
    static const struct {
        const char *name, *head;
        enum sec_format format;
    } files[] = {
        {"a.log", "plain\nlines\n", SEC_FORMAT_LINES},
        {"a.log", "x\n\n   \ny\n", SEC_FORMAT_LINES},
        {"a.log", "E\n\tat x\n\tat y\n\tat z\nF\n", SEC_FORMAT_MULTILINE},
        {"a.log", "E\n\tat x\nF\nG\n", SEC_FORMAT_MULTILINE},
        {"a.log", " 1\n 2\n 3\n", SEC_FORMAT_LINES},
        {"a.log", "\xEF\xBB\xBF{\"a\":1}\n", SEC_FORMAT_JSONL},
        {"a.log", "{\n  \"pretty\": 1\n}\n", SEC_FORMAT_MULTILINE},
        {"a.csv.gz", "a,b\n", SEC_FORMAT_CSV},
        {"a.tsv", "a\tb\n", SEC_FORMAT_TSV},
        {"a", "<?xml version='1.0'?><Events><Event>", SEC_FORMAT_XML},
        {"a", "<Event><a/></Event>\nplain line\n", SEC_FORMAT_LINES},
        {"a", "<Event><a/></Event>\n<Event>", SEC_FORMAT_XML},
        {"a", "<34>Oct 11 22:14:15 host su: x\n", SEC_FORMAT_LINES},
        {"a", "83 <34>1 2003-10-11T22:14:15Z host", SEC_FORMAT_SYSLOG},
        {"a", "", SEC_FORMAT_LINES},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_int_equal(
            sec_format_detect(SEC_FORMAT_AUTO, files[i].name, files[i].head, strlen(files[i].head)),
            files[i].format);
}

#define TEXT(s) s, sizeof(s) - 1

static void test_cleaning(void **state)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out; /* NULL = dropped */
        enum sec_reason reason;
        bool join;
    } t[] = {
        {TEXT("plain text"), "plain text", SEC_KEPT, false},
        {TEXT("tab\tinside \t "), "tab\tinside", SEC_KEPT, false},
        {TEXT("windows\r"), "windows", SEC_KEPT, false},
        {TEXT("both  \r"), "both", SEC_KEPT, false},
        {TEXT("  indent\r\n  more \r\n end"), "  indent\n  more\n end", SEC_KEPT, false},
        {TEXT("E\n  \n at x\n \t\n"), "E\n\n at x", SEC_KEPT, false},
        {TEXT("  \n\n"), NULL, SEC_DROP_EMPTY, false},
        {TEXT("<E>\r\n   <a/>\n\n</E>"), "<E> <a/> </E>", SEC_KEPT, true},
        {TEXT("\x1b[1;31mred\x1b[0m done"), "red done", SEC_KEPT, false},
        {TEXT("\x1b]0;title\x07x\x1b]8;;u\x1b\\y"), "xy", SEC_KEPT, false},
        {TEXT("a\x1b(Bb\x1b[12"), "ab", SEC_KEPT, false},
        {TEXT("\xEF\xBB\xBFstart"), "start", SEC_KEPT, false},
        {TEXT("\0\0\0kernel: \0boot\0\0"), "kernel: boot", SEC_KEPT, false},
        {TEXT("\0\0\0\0"), NULL, SEC_DROP_EMPTY, false},
        {TEXT(""), NULL, SEC_DROP_EMPTY, false},
        {TEXT(" \t \r"), NULL, SEC_DROP_EMPTY, false},
        {TEXT("\x1b[0m"), NULL, SEC_DROP_EMPTY, false},
        {TEXT("caf\xC3\xA9 \xE6\xBC\xA2 \xF0\x9F\x98\x80"), "café 漢 😀", SEC_KEPT, false},
        {TEXT("a\xFFz\xC3("), "a\xEF\xBF\xBDz\xEF\xBF\xBD(", SEC_KEPT, false},
        {TEXT("x\xE6\xBC"), "x\xEF\xBF\xBD", SEC_KEPT, false},
        {TEXT("19 letters and bell\x07"), "19 letters and bell\x07", SEC_KEPT, false},
        {TEXT("18 letters + bell.\x07"), NULL, SEC_DROP_CONTROL, false},
        {TEXT("\x01\x02\x03\x04"), NULL, SEC_DROP_CONTROL, false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *in = malloc(t[i].n + 1), side[400]; /* exact size, for the address sanitizer */
        const char *out;
        size_t len;
        uint64_t changes[SEC_N_CHANGES] = {0};
        memcpy(in, t[i].in, t[i].n);
        assert_int_equal(sec_clean(in, t[i].n, t[i].join, side, &out, &len, changes), t[i].reason);
        if (t[i].out) {
            assert_int_equal(len, strlen(t[i].out));
            assert_memory_equal(out, t[i].out, len);
        }
        free(in);
    }
}

/* Marks as letters: N H U I T B. */
static void masked(const char *text, char *out)
{
    size_t n = sec_template_mask(text, strlen(text), out);
    for (size_t i = 0; i < n; i++)
        if (out[i] < 7 && out[i] > 0)
            out[i] = "?NHUITB"[(int)out[i]];
    out[n] = 0;
}

static void test_templates(void **state)
{
    static const char *const t[][2] = {
        {"user bob logged in", "user bob logged in"},
        {"pid 1234 exit 0", "pid N exit N"},
        {"from 10.0.0.1 port 22", "from I port N"},
        {"from 10.0.0.1:8080.", "from I:N."},
        {"version 1.2.3.4.5", "version N.N.N.N.N"},
        {"fe80::1ff:fe23:4567:890a up", "I up"},
        {"2001:db8:85a3:8d3:1319:8a2e:370:7348", "I"},
        {"mac 00:1b:63:84:45:e6 x", "mac I x"},
        {"id 123e4567-e89b-12d3-a456-426614174000!", "id U!"},
        {"2024-01-31T10:11:12.345Z ok", "T ok"},
        {"2024-01-31 10:11:12,345 +0200 ok", "T ok"},
        {"2024-01-31T10:11:12+02:00 ok", "T ok"},
        {"[10/Oct/2000:13:55:36 -0700] GET", "[T] GET"},
        {"Jan  2 03:04:05 host", "T host"},
        {"Feb 28 23:04:05 host", "T host"},
        {"01/31/2024 10:11:12", "T"},
        {"[Sun Dec 04 04:47:44 2005] [notice]", "[T] [notice]"},
        {"at Sat Jun 18 02:08:10 2005 ", "at T "},
        {"Date: Mon, 02 Jan 2006 15:04:05 +0000", "Date: T"},
        {"Tue 10:11:12 up", "T up"},
        {"Jan  2 03:04:05 2005 host", "T host"},
        {"Jan  2 03:04:05 2024-01-31", "T T"},
        {"Jan  2 03:04:05 7312 x", "T N x"},
        {"Jan  2 03:04:05 20051 x", "T N x"},
        {"31 Jan 2024 10:11:12 x", "T x"},
        {"Sun is up, Mon, not", "Sun is up, Mon, not"},
        {"blk_-16 uid=-1 -5", "blk_N uid=N N"},
        {"a-1 1-2 - 3 --4", "a-N N-N - N -N"},
        {"at 10:11:12 sharp", "at T sharp"},
        {"Jan is a name", "Jan is a name"},
        {"0xdeadbeef and deadbeef01 and dead", "H and H and dead"},
        {"eth0 user17x", "ethN userNx"},
        {"token QWxhZGRpbjpvcGVuIHNlc2FtZTEyMzQ1Njc4OTAxMjM0NTY3ODkw== end", "token B end"},
        {"/usr/lib/x86_64-linux-gnu/libfoo.so.6", "/usr/lib/xN_N-linux-gnu/libfoo.so.N"},
        {"a:b:c ::1", "a:b:c ::N"},
        {"", ""},
        {"1", "N"},
        {"12:", "N:"},
        {"2024-", "N-"},
        {"Jan ", "Jan "},
        {"1.2.3.", "N.N.N."},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *copy = strdup(t[i][0]), *out = malloc(strlen(t[i][0]) + 1);
        masked(copy, out);
        assert_string_equal(out, t[i][1]);
        free(copy);
        free(out);
    }
}

/* Random text never grows, never reads outside, and its mask has no digit left. */
static void test_template_fuzz(void **state)
{
    static const char alphabet[] = "0123456789abcdefABCDEFxyzT:.-/+ ,=JanFeb";
    struct sec_rng g = sec_rng_make(5, SEC_STREAM_SAMPLE, 0);
    for (int i = 0; i < 200000; i++) {
        size_t n = sec_rng_below(&g, 60);
        char *text = malloc(n + 1), *out = malloc(n + 1);
        for (size_t k = 0; k < n; k++)
            text[k] = alphabet[sec_rng_below(&g, sizeof alphabet - 1)];
        size_t len = sec_template_mask(text, n, out);
        assert_true(len <= n);
        for (size_t k = 0; k < len; k++)
            assert_false(out[k] >= '0' && out[k] <= '9');
        free(text);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_borders),       cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_stray_quote),   cmocka_unit_test(test_detection),
        cmocka_unit_test(test_cleaning),      cmocka_unit_test(test_templates),
        cmocka_unit_test(test_template_fuzz),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
