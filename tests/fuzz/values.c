/* Words of a command line: numbers, sizes, times, choices, patterns, splits and whole lines. */
#include "base/mem.h"
#include "base/opt.h"
#include "base/str.h"
#include "data/split.h"
#include "fuzz.h"

struct values {
    bool flag;
    int64_t count;
    uint64_t size;
    double share, time;
    char *name;
    struct sec_list many;
    int mode;
};

#define OPT(NAME, TYPE, FIELD) .name = NAME, .type = TYPE, .offset = offsetof(struct values, FIELD)
static const struct sec_opt opts[] = {
    {OPT("flag", SEC_T_BOOL, flag), .letter = 'f'},
    {OPT("count", SEC_T_INT, count), .letter = 'c', .dflt = "3", .max = 1e6},
    {OPT("size", SEC_T_SIZE, size), .dflt = "2M"},
    {OPT("share", SEC_T_FLOAT, share), .max = 1},
    {OPT("time", SEC_T_TIME, time)},
    {OPT("name", SEC_T_STRING, name), .letter = 'n'},
    {OPT("many", SEC_T_STRING, many), .letter = 'm', .multi = true},
    {OPT("mode", SEC_T_ENUM, mode), .choices = "one|two|three", .dflt = "two"},
    {0},
};
static const struct sec_command command = {.name = "test",
                                           .synopsis = "IN...",
                                           .summary = "x",
                                           .opts = opts,
                                           .values_size = sizeof(struct values)};

/* What was read is written so that it reads back to the same value. */
static void one_value(const struct sec_opt *o, const char *text)
{
    struct values v = {0}, again = {0};
    struct sec_buf shown = {0};
    const struct sec_key key = {.name = o->name,
                                .type = o->type,
                                .offset = o->offset,
                                .choices = o->choices,
                                .max = o->max};
    char *field = (char *)&v + o->offset, *other = (char *)&again + o->offset;
    int rc = sec_value_parse(&key, field, text);
    fuzz_check_refusal(rc);
    if (!rc) {
        fuzz_check(sec_value_format(&key, field, &shown) == 0);
        fuzz_check(sec_value_parse(&key, other, shown.data ? shown.data : "") == 0);
        fuzz_check(v.flag == again.flag && v.count == again.count && v.size == again.size);
        fuzz_check(v.share == again.share && v.time == again.time && v.mode == again.mode);
        fuzz_check(!v.name || !strcmp(v.name, again.name));
    }
    free(v.name);
    free(again.name);
    sec_buf_free(&shown);
}

/* Arguments are lines of the text. */
static void whole_line(char *text)
{
    struct values v = {0};
    struct sec_list args = {0};
    char *argv[32];
    int argc = 0;
    for (char *save, *s = strtok_r(text, "\n", &save); s && argc < 32;
         s = strtok_r(NULL, "\n", &save))
        if (strcmp(s, "--help") != 0 && strcmp(s, "-h") != 0)
            argv[argc++] = s;
    int rc = sec_opt_parse(&command, argc, argv, &v, &args);
    fuzz_check_refusal(rc);
    fuzz_check(rc || (v.name && v.count >= 0 && v.share <= 1 && args.n <= (size_t)argc));
    sec_list_free(&args);
    sec_opt_free(&command, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const known[] = {"dataset", "--threads", "quiet"};
    char *text = fuzz_text(data, size), *bar = strchr(text, '|');
    struct sec_split_options split = {0};
    for (const struct sec_opt *o = opts; o->name; o++)
        if (!o->multi)
            one_value(o, text);
    if (size < 200) {
        sec_nearest(text, known, 3);
        sec_glob(text, bar ? bar + 1 : "sshd-auth");
        int rc = sec_split_parse(text, &split);
        fuzz_check_refusal(rc);
        sec_split_free(&split);
    }
    whole_line(text);
    free(text);
    return 0;
}
