/* The generator's pieces against snprintf and strftime, and one small run read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "data/synth.h"
#include "data/synth_incidents.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void check(const struct synth_line *l, char *text, const char *want)
{
    *l->p = 0;
    assert_string_equal(text, want);
}

static void test_numbers(void **state)
{
    struct synth_rng r = synth_rng_make(1, 2, 3);
    char text[256], want[256];
    for (int i = 0; i < 20000; i++) {
        uint64_t v = synth_next(&r) >> synth_below(&r, 64);
        uint32_t w = (uint32_t)v;
        struct synth_line l = {text};
        PUT(&l, v, " ", HEX(v), " ", HEXW(w, 8), " ", HEXUP(w, 8), " ", PAD(w % 1000000, 6), " ",
            ((struct synth_ip){w}), " ", synth_text("end"));
        snprintf(want, sizeof want, "%llu %llx %08x %08X %06u %u.%u.%u.%u end",
                 (unsigned long long)v, (unsigned long long)v, w, w, w % 1000000, w >> 24,
                 w >> 16 & 255, w >> 8 & 255, w & 255);
        check(&l, text, want);
    }
    struct synth_line l = {text};
    PUT(&l, 0, " ", UINT64_MAX, " ", HEX(0));
    check(&l, text, "0 18446744073709551615 0");
}

static void test_times(void **state)
{
    static const struct {
        enum synth_style style;
        const char *format; /* for strftime, %% = the fraction goes here */
        int digits;
    } styles[] = {{SYNTH_SYSLOG, "%b %e %H:%M:%S", 0},
                  {SYNTH_ISO_S, "%Y-%m-%dT%H:%M:%SZ", 0},
                  {SYNTH_SPACE_S, "%Y-%m-%d %H:%M:%S", 0},
                  {SYNTH_CLF, "%d/%b/%Y:%H:%M:%S +0000", 0},
                  {SYNTH_ISO_MS, "%Y-%m-%dT%H:%M:%S.%%Z", 3},
                  {SYNTH_ISO_US, "%Y-%m-%dT%H:%M:%S.%%Z", 6},
                  {SYNTH_SPACE_MS, "%Y-%m-%d %H:%M:%S.%%", 3},
                  {SYNTH_BIND, "%d-%b-%Y %H:%M:%S.%%", 3},
                  {SYNTH_EPOCH_MS, "%s.%%", 3},
                  {SYNTH_EPOCH_US, "%s.%%", 6}};
    struct synth_world w;
    struct synth_day day;
    struct synth_rng r = synth_rng_make(5, 5, 5);
    setenv("TZ", "UTC", 1);
    assert_int_equal(synth_world_make(&w, 3, 12, 16), 0);
    for (uint32_t d = 0; d < 800; d += 37) {
        assert_int_equal(synth_day_make(&w, d, 1, &day), 0);
        for (size_t k = 0; k < sizeof styles / sizeof styles[0]; k++) {
            int64_t us = (int64_t)(sec_u01(synth_next(&r)) * 86400e6);
            time_t t = (time_t)day.date.epoch + us / 1000000;
            char text[64], frame[64], want[64], *hole;
            struct synth_line l = {text};
            struct tm tm;
            assert_int_equal(day.date.epoch, (SYNTH_FIRST_DAY + (int64_t)d) * 86400);
            PUT(&l, ((struct synth_time){&day.date, us, styles[k].style}));
            strftime(frame, sizeof frame, styles[k].format, gmtime_r(&t, &tm));
            hole = strchr(frame, '%');
            if (hole)
                snprintf(want, sizeof want, "%.*s%0*d%s", (int)(hole - frame), frame,
                         styles[k].digits, (int)(us % 1000000 / (styles[k].digits == 3 ? 1000 : 1)),
                         hole + 1);
            else
                snprintf(want, sizeof want, "%s", frame);
            check(&l, text, want);
        }
        synth_day_free(&day);
    }
    synth_world_free(&w);
}

/* Entities are unique where a consumer joins on them, and sessions lie in order within their day.
 */
static void test_world(void **state)
{
    enum { PEOPLE = 3000 };
    struct synth_world w;
    struct synth_day weekday, sunday;
    assert_int_equal(synth_world_make(&w, 11, PEOPLE, 700), 0);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        assert_true(w.person[i].user.n > 1 && w.person[i].workstation < w.hosts);
        assert_true((w.person[i].home_ip.v >> 8 & 7) != 5);
    }
    for (uint32_t i = 0; i < 300; i++)
        for (uint32_t k = 0; k < i; k++) {
            assert_string_not_equal(w.person[i].user.p, w.person[k].user.p);
            assert_string_not_equal(w.person[i].mail.p, w.person[k].mail.p);
        }
    for (uint32_t i = 1; i < w.hosts; i++)
        assert_true(w.host[i].ip.v != w.host[i - 1].ip.v);
    assert_int_equal(synth_day_make(&w, 1, 1, &weekday), 0);
    assert_int_equal(synth_day_make(&w, 6, 1, &sunday), 0);
    assert_true(weekday.sessions > 4 * sunday.sessions);
    for (size_t i = 0; i < weekday.sessions; i++) {
        const struct synth_session *x = &weekday.session[i];
        assert_true(x->start >= 0 && x->start < x->end && x->end < SYNTH_DAY);
        assert_true(!i || x->start >= x[-1].start);
    }
    synth_day_free(&weekday);
    synth_day_free(&sunday);
    synth_world_free(&w);
}

static void test_addresses(void **state)
{
    struct synth_rng r = synth_rng_make(9, 9, 9);
    for (int i = 0; i < 50000; i++) {
        struct synth_ip a = synth_public_ip(&r, true), b = synth_public_ip(&r, false);
        assert_int_equal(a.v >> 8 & 7, 5);
        assert_int_not_equal(b.v >> 8 & 7, 5);
        assert_true(b.v >> 24 != 10 && b.v >> 24 != 127 && b.v >> 24 < 224);
    }
}

static uint64_t count_lines(const char *dir, const char *name, struct sec_buf *text)
{
    char *path = sec_path_join(dir, name);
    uint64_t n = 0;
    sec_buf_clear(text);
    assert_int_equal(sec_read_file(path, text), 0);
    free(path);
    for (size_t i = 0; i < text->len; i++)
        n += text->data[i] == '\n';
    return n;
}

static void test_run(void **state)
{
    char dir[] = "/tmp/test_synth_XXXXXX";
    struct sec_synth_options o = {
        .dir = dir, .size = 3 << 20, .seed = 4, .incidents = 12, .threads = 2};
    struct sec_synth_report report;
    struct sec_buf text = {0};
    uint64_t bytes = 0, labelled = 0;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(sec_synth_run(&o, &report), 0);
    for (unsigned f = 0; f < SEC_SYNTH_FORMATS; f++) {
        const char *name;
        assert_non_null(sec_synth_format(f, &name));
        assert_string_equal(name, report.file[f].name);
        assert_int_equal(count_lines(dir, name, &text), report.file[f].lines);
        assert_int_equal(text.len, report.file[f].bytes);
        assert_true(report.file[f].lines > 20);
        for (const char *p = text.data;
             sec_synth_format(f, NULL) && strstr(name, ".jsonl") && *p;) {
            const char *end = strchr(p, '\n');
            cJSON *json = NULL;
            assert_int_equal(sec_json_parse(p, (size_t)(end - p), name, &json), 0);
            cJSON_Delete(json);
            p = end + 1;
        }
        bytes += report.file[f].bytes;
        labelled += report.file[f].labelled;
    }
    assert_null(sec_synth_format(SEC_SYNTH_FORMATS, NULL));
    assert_int_equal(bytes, report.bytes);
    assert_true(bytes > (3 << 20) * 95 / 100 && bytes < (3 << 20) * 105 / 100);
    assert_int_equal(count_lines(dir, "labels.jsonl", &text), labelled);
    assert_int_equal(count_lines(dir, "incidents.jsonl", &text), 12);
    assert_int_equal(sec_synth_run(&o, &report), SEC_EUSAGE); /* not empty */
    sec_buf_free(&text);
    assert_int_equal(sec_remove_tree(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_times), cmocka_unit_test(test_world),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
