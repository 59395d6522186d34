/* Putting a corpus in place: whatever fails or is killed on the way, the folder holds the whole old
 * corpus or the whole new one, and what was staged can be put in place by the next run. */
#include "base/error.h"
#include "data/corpus_manifest.h"
#include "data/corpus_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/secenc-place-XXXXXX";
static struct sec_corpus_options options = {.out = root, .force = true};

static void put(const char *name, const char *text)
{
    char path[200], *slash;
    snprintf(path, sizeof path, "%s/%s", root, name);
    slash = strrchr(path, '/');
    *slash = 0;
    assert_int_equal(sec_mkdir_p(path), 0);
    *slash = '/';
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Content of a file, "" if there is none. */
static const char *get(const char *name)
{
    static struct sec_buf b;
    char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    sec_buf_clear(&b);
    if (!sec_exists(path))
        return "";
    assert_int_equal(sec_read_file(path, &b), 0);
    return b.data;
}

#define HEAD "{\"format\":\"" SEC_CORPUS_FORMAT "\"}"

/* The old corpus has an odts split and no report, the new one the other way round. */
static void put_old(void)
{
    put("train/a/0", "old");
    put("odts/b/0", "old");
    put("removed.jsonl.zst", "old");
    put(SEC_MANIFEST, HEAD "old");
}
static void put_new(void)
{
    put(".build/stage/train/c/0", "new");
    put(".build/stage/idts/c/0", "new");
    put(".build/stage/report.json", "new");
    put(".build/stage/removed.jsonl.zst", "new");
    put(".build/stage/" SEC_MANIFEST, HEAD "new");
}
static bool is_old(void)
{
    return !strcmp(get("train/a/0"), "old") && !strcmp(get("odts/b/0"), "old") &&
           !strcmp(get("removed.jsonl.zst"), "old") && !strcmp(get(SEC_MANIFEST), HEAD "old") &&
           !*get("train/c/0") && !*get("idts/c/0") && !*get("report.json");
}
static bool is_new(void)
{
    return !strcmp(get("train/c/0"), "new") && !strcmp(get("idts/c/0"), "new") &&
           !strcmp(get("removed.jsonl.zst"), "new") && !strcmp(get("report.json"), "new") &&
           !strcmp(get(SEC_MANIFEST), HEAD "new") && !*get("train/a/0") && !*get("odts/b/0");
}
static bool is_empty(void)
{
    return !*get("train/a/0") && !*get("train/c/0") && !*get("idts/c/0") && !*get("report.json") &&
           !*get(SEC_MANIFEST) && !*get("removed.jsonl.zst");
}

/* Commit in a program of its own, which reads the fault at its start; its wait status. */
static int commit_with(const char *fault)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        setenv("SECENC_FAULT", fault, 1);
        execl("/proc/self/exe", "commit", root, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void clear(void)
{
    assert_int_equal(sec_remove_tree(root), 0);
    assert_int_equal(sec_mkdir_p(root), 0);
}

static void try_faults(const char *point, const char *how, bool with_old)
{
    int failed = 0;
    for (int k = 1; k < 100; k++) {
        char fault[64];
        struct sec_place p;
        clear();
        if (with_old)
            put_old();
        put_new();
        snprintf(fault, sizeof fault, "%s:%d%s", point, k, how);
        int status = commit_with(fault);
        bool done = WIFEXITED(status) && !WEXITSTATUS(status);
        if (!*how && !done) /* a failure is undone at once, a kill by the next build */
            assert_true((with_old ? is_old() : is_empty()) || is_new());
        if (done) {
            assert_true(is_new());
            assert_true(failed > 3);
            return;
        }
        failed++;
        assert_int_equal(sec_place_open(&options, &p), 0);
        if (!is_new()) { /* else the kill came after the last move */
            assert_true(with_old ? is_old() : is_empty());
            assert_int_equal(sec_place_commit(root), 0);
            assert_true(is_new());
        }
        sec_place_close(&p, false);
        assert_true(is_new());
        assert_string_equal(get(".build/stage/report.json"), "");
    }
    fail_msg("%s%s: commit never came to its end", point, how);
}

static void test_failures(void **state)
{
    (void)state;
    try_faults("rename", "", true);
    try_faults("rename", "", false);
    try_faults("fsync", "", true);
}

static void test_kills(void **state)
{
    (void)state;
    try_faults("rename", ":kill", true);
    try_faults("rename", ":kill", false);
    try_faults("fsync", ":kill", true);
    try_faults("fsync", ":kill", false);
}

static void test_refusals(void **state)
{
    struct sec_place p;
    (void)state;
    clear();
    put_old();
    options.force = false;
    assert_int_equal(sec_place_open(&options, &p), SEC_EUSAGE);
    assert_non_null(strstr(sec_error(), "--force"));
    options.force = true;
    put("notes.txt", "mine");
    assert_int_equal(sec_place_open(&options, &p), SEC_EUSAGE);
    assert_non_null(strstr(sec_error(), "notes.txt"));
    clear();
    put(SEC_MANIFEST, "{\"format\":\"something else\"}");
    assert_int_equal(sec_place_open(&options, &p), SEC_EUSAGE);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return sec_remove_tree(root);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return sec_place_commit(argv[1]) ? 1 : 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failures),
                                       cmocka_unit_test(test_kills),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests_name("corpus_place", tests, setup, teardown);
}
