/* base/file.h: atomic replacement under every fault, locks, trees. */
#include "testing.h"

#include "base/str.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char old_text[] = "the old content\n";
enum { PARTS = 3, PART = 5000 };

static char new_text[PARTS * PART + 1];

/* Replaces path in PARTS writes; the exit status is the outcome. Runs in a child, because a fault
 * specification is read once in a process. */
static void replace_and_exit(const char *path, const char *fault)
{
    struct sec_atomic a;
    int rc;
    setenv("SECENC_FAULT", fault, 1);
    SEC_TRY(sec_atomic_open(&a, path));
    for (int i = 0; i < PARTS && !rc; i++)
        rc = sec_atomic_write(&a, new_text + i * PART, PART);
    if (rc)
        sec_atomic_abort(&a);
    else
        rc = sec_atomic_commit(&a);
fail:
    if (rc && !strstr(sec_error(), strstr(fault, "eio") ? "Input/output error" : "No space left"))
        _exit(99);
    _exit(rc ? 1 : 0);
}

static int run_fault(const char *path, const char *fault)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        replace_and_exit(path, fault);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool holds(const char *path, const char *text)
{
    struct sec_buf b = {0};
    assert_ok(sec_read_file(path, &b));
    bool same = b.len == strlen(text) && !memcmp(b.data, text, b.len);
    sec_buf_free(&b);
    return same;
}

/* Not through base/file.h: the first write of a process reads the fault specification, and the
 * children would inherit ours. For the same reason this test is the first. */
static void put_old(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(old_text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* k = 1, 2, ... until nothing fails any more: then every call of this name has failed once. */
static void check_faults(const char *dir, const char *name, const char *kind, int expected_calls)
{
    char *path = sec_path_join(dir, "target"), fault[64];
    bool was_killed = !strcmp(kind, ":kill");
    for (int k = 1;; k++) {
        put_old(path);
        snprintf(fault, sizeof fault, "%s:%d%s", name, k, kind);
        int status = run_fault(path, fault);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            assert_int_equal(k, expected_calls + 1);
            assert_true(holds(path, new_text));
            break;
        }
        if (was_killed)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        /* Only the flush of the directory, the last call, comes after the rename. */
        bool renamed = !strcmp(name, "fsync") && k == 2;
        assert_true(holds(path, renamed ? new_text : old_text));
        struct sec_list names = {0};
        assert_ok(sec_list_dir(dir, &names));
        if (!was_killed)
            assert_int_equal(names.n, 1); /* no temporary file is left behind */
        sec_list_free(&names);
    }
    free(path);
}

static void test_atomic_faults(void **state)
{
    static const char *const kinds[] = {"", ":eio", ":kill"};
    for (int i = 0; i < 3; i++) {
        char *dir = scratch_dir();
        check_faults(dir, "write", kinds[i], PARTS);
        check_faults(dir, "rename", kinds[i], 1);
        check_faults(dir, "fsync", kinds[i], 2);
        scratch_free(dir);
    }
}

static void test_read_write(void **state)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "f"), text[8];
    size_t got;
    struct sec_buf b = {0};
    assert_ok(sec_write_file(path, "0123456789", 10));
    assert_int_equal(sec_file_size(path), 10);
    int fd = open(path, O_RDONLY);
    assert_ok(sec_pread_full(fd, text, 4, 3, path));
    assert_memory_equal(text, "3456", 4);
    assert_fails(sec_pread_full(fd, text, 8, 3, path), SEC_EDATA, "truncated: 8 bytes expected");
    assert_ok(sec_read_full(fd, text, 8, &got, path));
    assert_int_equal(got, 8);
    assert_ok(sec_read_full(fd, text, 8, &got, path));
    assert_int_equal(got, 2);
    close(fd);
    assert_ok(sec_read_file(path, &b));
    assert_ok(sec_read_file(path, &b));
    assert_string_equal(b.data, "01234567890123456789");
    assert_fails(sec_read_file("/nonexistent", &b), SEC_EFAIL,
                 "/nonexistent: cannot open: No such");
    assert_fails(sec_read_file(dir, &b), SEC_EFAIL, "is a directory");
    assert_fails(sec_write_file("/nonexistent/f", "", 0), SEC_EFAIL,
                 "/nonexistent/f: cannot create");
    sec_buf_free(&b);
    fd = open("/dev/full", O_WRONLY);
    assert_fails(sec_write_all(fd, "x", 1, "full"), SEC_EFAIL, "full: cannot write 1 bytes");
    close(fd);
    free(path);
    scratch_free(dir);
}

static void test_lock(void **state)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "LOCK"), pid[32];
    int first, second, status;
    assert_ok(sec_lock_file(path, &first));
    snprintf(pid, sizeof pid, "in use by process %ld;", (long)getpid());
    assert_fails(sec_lock_file(path, &second), SEC_EFAIL, pid);
    assert_int_equal(second, -1);
    pid_t child = fork();
    if (!child)
        _exit(sec_lock_file(path, &second) == SEC_EFAIL && strstr(sec_error(), pid) ? 0 : 1);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    sec_unlock_file(first);
    assert_ok(sec_lock_file(path, &second));
    sec_unlock_file(second);
    child = fork(); /* a holder that dies leaves nothing locked */
    if (!child) {
        if (sec_lock_file(path, &first))
            _exit(1);
        raise(SIGKILL);
    }
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_ok(sec_lock_file(path, &first));
    sec_unlock_file(first);
    free(path);
    scratch_free(dir);
}

static void put(const char *dir, const char *name)
{
    char *path = sec_path_join(dir, name);
    assert_ok(sec_write_file(path, name, strlen(name)));
    free(path);
}

static void test_tree(void **state)
{
    char *dir = scratch_dir(), *outside = scratch_dir();
    char *deep = sec_path_join(dir, "t/a/b"), *tree = sec_path_join(dir, "t");
    char *loop = sec_path_join(dir, "t/a/loop"), *link = sec_path_join(dir, "t/z");
    char *away = sec_path_join(dir, "t/away"), *kept = sec_path_join(outside, "kept");
    assert_ok(sec_mkdir_p(deep));
    assert_ok(sec_mkdir_p(deep));
    put(deep, "2");
    put(deep, "10");
    put(tree, "a.log");
    put(outside, "kept");
    assert_int_equal(symlink("..", loop), 0);
    assert_int_equal(symlink("a.log", link), 0);
    assert_int_equal(symlink(outside, away), 0);
    struct sec_list files = {0};
    assert_ok(sec_walk(tree, &files));
    static const char *const expected[] = {"/a.log", "/a/b/10", "/a/b/2", "/z"};
    assert_int_equal(files.n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(sec_ends(files.v[i], expected[i]));
    sec_list_free(&files);
    assert_ok(sec_walk(kept, &files));
    assert_int_equal(files.n, 1);
    sec_list_free(&files);
    assert_fails(sec_walk("/nonexistent", &files), SEC_EFAIL, "/nonexistent");
    assert_fails(sec_mkdir_p(kept), SEC_EFAIL, "Not a directory");
    assert_ok(sec_remove_tree(tree));
    assert_false(sec_exists(tree));
    assert_true(sec_exists(kept)); /* links were removed, not followed */
    assert_ok(sec_remove_tree(tree));
    assert_string_equal(sec_basename("/x/y"), "y");
    assert_string_equal(sec_basename("y"), "y");
    char *paths[] = {deep, tree, loop, link, away, kept};
    for (size_t i = 0; i < 6; i++)
        free(paths[i]);
    scratch_free(dir);
    scratch_free(outside);
}

int main(void)
{
    for (int i = 0; i < PARTS * PART; i++)
        new_text[i] = (char)('a' + i % 26);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_atomic_faults),
        cmocka_unit_test(test_read_write),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
