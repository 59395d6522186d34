/* base/config.h and base/opt.h. */
#include "testing.h"

#include "base/config.h"
#include "base/opt.h"

struct values {
    bool flag;
    int64_t steps;
    uint64_t memory;
    double rate, window;
    char *name, *path;
    int schedule;
    int64_t seed;
};

/* "train" is split by "data" on purpose: the dump has to bring its keys together. */
static const struct sec_key schema[] = {
    {"train.flag", SEC_T_BOOL, offsetof(struct values, flag), "true", 0, 0, NULL, "a flag"},
    {"train.steps", SEC_T_INT, offsetof(struct values, steps), "20k", 1, 1e9, NULL, "steps"},
    {"data.memory", SEC_T_SIZE, offsetof(struct values, memory), "64M", 0, 0, NULL, "bytes"},
    {"train.learning_rate", SEC_T_FLOAT, offsetof(struct values, rate), "5e-4", 0, 1, NULL, "rate"},
    {"train.eval.window", SEC_T_TIME, offsetof(struct values, window), "15m", 0, 0, NULL, "time"},
    {"data.name", SEC_T_STRING, offsetof(struct values, name), "x", 0, 0, NULL, "a name"},
    {"data.path", SEC_T_STRING, offsetof(struct values, path), NULL, 0, 0, NULL, "a path"},
    {"train.schedule", SEC_T_ENUM, offsetof(struct values, schedule), "wsd", 0, 0,
     "linear|wsd|cosine", "shape"},
    {"seed", SEC_T_INT, offsetof(struct values, seed), "0", 0, 0, NULL, "seed"},
    {0},
};

static int load(struct values *v, const char *yaml)
{
    return sec_config_load_text(schema, v, yaml, strlen(yaml), "t.yaml");
}

static void test_defaults_and_load(void **state)
{
    struct values v = {0};
    assert_ok(sec_config_defaults(schema, &v));
    assert_true(v.flag && v.steps == 20000 && v.memory == 64 << 20 && v.rate == 5e-4);
    assert_true(v.window == 900 && !v.path && v.schedule == 1);
    assert_string_equal(v.name, "x");
    assert_ok(load(&v, "# comment\n"
                       "train:\n  flag: no\n  steps: 2M\n  eval:\n    window: 1h30m\n"
                       "data: {memory: 1.5G, path: \"a b\"}\n"
                       "seed: -5\ntrain.schedule: cosine\n"));
    assert_true(!v.flag && v.steps == 2000000 && v.window == 5400 && v.seed == -5);
    assert_true(v.memory == (uint64_t)3 << 29 && v.schedule == 2);
    assert_string_equal(v.path, "a b");
    assert_ok(load(&v, "data:\n  path: null\ntrain:\n"));
    assert_null(v.path);
    assert_ok(load(&v, "data:\n  path: 'null'\n"));
    assert_string_equal(v.path, "null");
    assert_ok(load(&v, ""));
    assert_ok(load(&v, "---\n...\n"));
    sec_config_free(schema, &v);
}

static void test_round_trip(void **state)
{
    struct values a = {0}, b = {0};
    struct sec_buf text = {0}, again = {0};
    assert_ok(sec_config_defaults(schema, &a));
    assert_ok(sec_config_defaults(schema, &b));
    assert_ok(sec_config_set(schema, &a, "data.name", "quo\"te: #1\n\t\\ \xC3\xA4", "test"));
    assert_ok(sec_config_set_pair(schema, &a, "data.path=a=b"));
    assert_ok(sec_config_set_pair(schema, &a, "train.learning_rate=0.1234567890123456789"));
    assert_ok(sec_config_set_pair(schema, &a, "seed=-9007199254740993"));
    assert_ok(sec_config_set_pair(schema, &a, "data.memory=18446744073709551615"));
    assert_ok(sec_config_set_pair(schema, &a, "train.eval.window=0.1"));
    assert_ok(sec_config_dump(schema, &a, &text));
    assert_ok(load(&b, text.data));
    assert_true(a.rate == b.rate && b.seed == -9007199254740993 && b.memory == UINT64_MAX);
    assert_string_equal(b.name, a.name);
    assert_string_equal(b.path, "a=b");
    assert_ok(sec_config_dump(schema, &b, &again));
    assert_string_equal(text.data, again.data);
    const char *train = strstr(text.data, "train:");
    assert_non_null(train);
    assert_null(strstr(train + 1, "train:"));
    assert_non_null(strstr(text.data, "  eval:\n    window: 0.1\n"));
    sec_buf_free(&text);
    sec_buf_free(&again);
    sec_config_free(schema, &a);
    sec_config_free(schema, &b);
}

static void test_bad_config(void **state)
{
    static const char *const bad[][2] = {
        {"train:\n  steps: 5\n  learning_rat: 1\n",
         "t.yaml:3: unknown key 'train.learning_rat'; did you mean 'train.learning_rate'?"},
        {"learning_rate: 1\n", "unknown key 'learning_rate'; did you mean 'train.learning_rate'?"},
        {"zzzzzz: 1\n", "t.yaml:1: unknown key 'zzzzzz'"},
        {"train: 5\n", "'train' is a group of keys"},
        {"train:\n  steps: {a: 1}\n", "t.yaml:2: unknown key 'train.steps.a'"},
        {"train:\n  learning_rate: 7\n",
         "t.yaml:2: train.learning_rate: \"7\" is not allowed; write 0 to 1"},
        {"train:\n  steps: 0\n",
         "t.yaml:2: train.steps: \"0\" is not allowed; write 1 to 1000000000"},
        {"train:\n  steps: many\n", "t.yaml:2: train.steps: \"many\" is not a whole number"},
        {"train:\n  schedule: sine\n", "\"sine\" is not allowed; write linear|wsd|cosine"},
        {"train:\n  flag: maybe\n", "neither true nor false"},
        {"train:\n  flag:\n", "train.flag has no value"},
        {"seed: 1\nseed: 2\n", "t.yaml:2: key 'seed' is given twice"},
        {"train: [1, 2]\n", "t.yaml:1: a list is not allowed here"},
        {"a: &x 1\nseed: *x\n", "unknown key 'a'"},
        {"seed: *x\n", "t.yaml:1: "},
        {"train: {steps: 5\n", "not valid YAML"},
        {"seed: 1\n---\nseed: 2\n", "only one document"},
        {"just text\n", "expected 'key: value' lines"},
        {"seed: \"\xFF\"\n", "not valid YAML"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct values v = {0};
        assert_ok(sec_config_defaults(schema, &v));
        assert_fails(load(&v, bad[i][0]), SEC_ECONFIG, bad[i][1]);
        sec_config_free(schema, &v);
    }
    struct values v = {0};
    assert_fails(sec_config_set_pair(schema, &v, "sed=1"), SEC_ECONFIG, "did you mean 'seed'");
    assert_fails(sec_config_set_pair(schema, &v, "seed"), SEC_EUSAGE, "KEY=VALUE");
    assert_fails(sec_config_load(schema, &v, "/nonexistent.yaml"), SEC_EFAIL, "/nonexistent.yaml");
    struct sec_buf help = {0};
    assert_ok(sec_config_help(schema, &help));
    assert_non_null(strstr(help.data, "train.learning_rate"));
    assert_non_null(strstr(help.data, "linear|wsd|cosine; default wsd"));
    sec_buf_free(&help);
}

struct options {
    bool json, color;
    int64_t k;
    char *out, *unset;
    struct sec_list sets;
    int format;
};

static const struct sec_opt opts[] = {
    {.name = "json", .letter = 'j', .type = SEC_T_BOOL, .offset = offsetof(struct options, json)},
    {.name = "color",
     .letter = 'c',
     .type = SEC_T_BOOL,
     .offset = offsetof(struct options, color),
     .dflt = "true"},
    {.name = "top-k",
     .letter = 'k',
     .type = SEC_T_INT,
     .offset = offsetof(struct options, k),
     .dflt = "10",
     .min = 1,
     .max = 100,
     .metavar = "N",
     .help = "how many"},
    {.name = "out", .letter = 'o', .type = SEC_T_STRING, .offset = offsetof(struct options, out)},
    {.name = "unset", .type = SEC_T_STRING, .offset = offsetof(struct options, unset)},
    {.name = "set", .type = SEC_T_STRING, .multi = true, .offset = offsetof(struct options, sets)},
    {.name = "format",
     .type = SEC_T_ENUM,
     .offset = offsetof(struct options, format),
     .dflt = "auto",
     .choices = "auto|lines|csv"},
    {0},
};

static const struct sec_command command = {
    .name = "try it",
    .synopsis = "IN...",
    .summary = "a command",
    .opts = opts,
    .values_size = sizeof(struct options),
};

/* Parses a space-separated command line. */
static int parse(const char *line, struct options *o, struct sec_list *args)
{
    char copy[256], *argv[32];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    memset(o, 0, sizeof *o);
    return sec_opt_parse(&command, argc, argv, o, args);
}

static void test_options(void **state)
{
    struct options o;
    struct sec_list args = {0};
    assert_ok(parse("a --json -k 3 --out=x - --no-color --set p=1 --set q=2 -- --json", &o, &args));
    assert_true(o.json && !o.color && o.k == 3 && o.format == 0);
    assert_string_equal(o.out, "x");
    assert_string_equal(o.unset, "");
    assert_int_equal(o.sets.n, 2);
    assert_string_equal(o.sets.v[1], "q=2");
    assert_int_equal(args.n, 3);
    assert_string_equal(args.v[1], "-");
    assert_string_equal(args.v[2], "--json");
    sec_list_free(&args);
    sec_opt_free(&command, &o);
    assert_ok(parse("-jk7 --format csv --color=false", &o, &args));
    assert_true(o.json && o.k == 7 && o.format == 2 && !o.color);
    sec_opt_free(&command, &o);
}

static void test_precedence(void **state)
{
    struct options o;
    struct sec_list args = {0};
    setenv("SECENC_TOP_K", "20", 1);
    setenv("SECENC_SET", "env=1", 1);
    setenv("SECENC_OUT", "", 1); /* empty is not given */
    assert_ok(parse("", &o, &args));
    assert_int_equal(o.k, 20);
    assert_int_equal(o.sets.n, 1);
    assert_string_equal(o.out, "");
    sec_opt_free(&command, &o);
    assert_ok(parse("--top-k 30 --set cli=1", &o, &args));
    assert_int_equal(o.k, 30);
    assert_int_equal(o.sets.n, 1);
    assert_string_equal(o.sets.v[0], "cli=1");
    sec_opt_free(&command, &o);
    setenv("SECENC_TOP_K", "many", 1);
    assert_fails(parse("", &o, &args), SEC_EUSAGE, "environment variable SECENC_TOP_K: \"many\"");
    sec_opt_free(&command, &o);
    unsetenv("SECENC_TOP_K");
    unsetenv("SECENC_SET");
    assert_ok(parse("", &o, &args));
    assert_int_equal(o.k, 10);
    sec_opt_free(&command, &o);
}

static void test_bad_options(void **state)
{
    static const char *const bad[][2] = {
        {"--jsno", "unknown option '--jsno'; did you mean '--json'?"},
        {"--zzzz", "unknown option '--zzzz'; see secenc try it --help"},
        {"-z", "unknown option '-z'"},
        {"-k", "-k (--top-k) needs a value"},
        {"--top-k", "--top-k needs a value"},
        {"--top-k=0", "--top-k: \"0\" is not allowed; write 1 to 100"},
        {"--top-k x", "--top-k: \"x\" is not a whole number"},
        {"--format xml", "--format: \"xml\" is not allowed; write auto|lines|csv"},
        {"--json=maybe", "neither true nor false"},
        {"--no-out", "unknown option '--no-out'"},
        {"--threads -1", "--threads: \"-1\" is not"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct options o;
        struct sec_list args = {0};
        assert_fails(parse(bad[i][0], &o, &args), SEC_EUSAGE, bad[i][1]);
        sec_list_free(&args);
        sec_opt_free(&command, &o);
    }
    struct sec_buf help = {0};
    assert_ok(sec_opt_help(&command, &help));
    assert_non_null(strstr(help.data, "Usage: secenc try it IN...\n"));
    assert_non_null(strstr(help.data, "-k, --top-k N"));
    assert_non_null(strstr(help.data, "how many (1 to 100; default 10)"));
    sec_buf_free(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_and_load), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad_config),        cmocka_unit_test(test_options),
        cmocka_unit_test(test_precedence),        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
