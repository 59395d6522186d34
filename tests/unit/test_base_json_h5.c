/* base/json.h against cJSON, and base/h5.h. */
#include "testing.h"

#include "base/h5.h"
#include "base/json.h"
#include "base/rng.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_json_writer(void **state)
{
    struct sec_buf b = {0};
    struct sec_jw w;
    for (int pretty = 0; pretty < 2; pretty++) {
        sec_buf_clear(&b);
        sec_jw_init(&w, &b, pretty);
        sec_jw_obj(&w);
        sec_jw_kstr(&w, "text", "a\"b\\c\n\x01 \xC3\xA4");
        sec_jw_ki64(&w, "int", -5);
        sec_jw_kf64(&w, "nan", NAN);
        sec_jw_kf64(&w, "tenth", 0.1);
        sec_jw_kbool(&w, "yes", true);
        sec_jw_key(&w, "list");
        sec_jw_arr(&w);
        sec_jw_u64(&w, UINT64_MAX);
        sec_jw_obj(&w);
        sec_jw_obj_end(&w);
        sec_jw_null(&w);
        sec_jw_str(&w, NULL);
        sec_jw_arr_end(&w);
        sec_jw_obj_end(&w);
        assert_ok(sec_jw_end(&w));
        cJSON *tree;
        const char *text;
        int64_t i;
        double f;
        bool yes;
        assert_ok(sec_json_parse(b.data, b.len, "t", &tree));
        assert_ok(sec_json_str(tree, "text", "t", &text));
        assert_string_equal(text, "a\"b\\c\n\x01 \xC3\xA4");
        assert_ok(sec_json_i64(tree, "int", "t", &i));
        assert_int_equal(i, -5);
        assert_ok(sec_json_f64(tree, "tenth", "t", &f));
        assert_true(f == 0.1);
        assert_ok(sec_json_bool(tree, "yes", "t", &yes));
        assert_true(yes);
        assert_true(cJSON_IsNull(cJSON_GetObjectItem(tree, "nan")));
        assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(tree, "list")), 4);
        assert_fails(sec_json_i64(tree, "tenth", "t", &i), SEC_EDATA,
                     "t: key 'tenth' is not a whole number");
        assert_fails(sec_json_str(tree, "none", "t", &text), SEC_EDATA, "t: key 'none' is missing");
        assert_fails(sec_json_str(tree, "int", "t", &text), SEC_EDATA, "'int' is not a string");
        assert_string_equal(sec_json_str_opt(tree, "none", "d"), "d");
        assert_int_equal(sec_json_i64_opt(tree, "int", 7), -5);
        assert_true(sec_json_f64_opt(tree, "none", 2.5) == 2.5);
        if (!pretty)
            assert_string_equal(b.data, "{\"text\":\"a\\\"b\\\\c\\n\\u0001 \xC3\xA4\",\"int\":-5,"
                                        "\"nan\":null,\"tenth\":0.1,\"yes\":true,"
                                        "\"list\":[18446744073709551615,{},null,null]}");
        cJSON_Delete(tree);
    }
    sec_buf_clear(&b);
    sec_jw_init(&w, &b, false);
    for (int i = 0; i < 40; i++)
        sec_jw_arr(&w);
    assert_fails(sec_jw_end(&w), SEC_EFAIL, "nested deeper");
    sec_buf_free(&b);
}

static void test_json_numbers(void **state)
{
    struct sec_rng g = sec_rng_make(2, SEC_STREAM_SAMPLE, 0);
    struct sec_buf b = {0};
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = (uint64_t)sec_rng_u32(&g) << 32 | sec_rng_u32(&g);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        struct sec_jw w;
        sec_buf_clear(&b);
        sec_jw_init(&w, &b, false);
        sec_jw_f64(&w, v);
        assert_ok(sec_jw_end(&w));
        assert_true(strtod(b.data, NULL) == v);
    }
    sec_buf_free(&b);
}

static void test_json_errors(void **state)
{
    static const char *const bad[][2] = {{"{\"a\": 1,\n\"b\": }", "t:2: not valid JSON"},
                                         {"{} x", "t:1: not valid JSON at byte 3 of 4"},
                                         {"", "t:1: not valid JSON"},
                                         {"{\"a\": \"", "not valid JSON"}};
    cJSON *tree;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(sec_json_parse(bad[i][0], strlen(bad[i][0]), "t", &tree), SEC_EDATA,
                     bad[i][1]);
        assert_null(tree);
    }
    assert_fails(sec_json_read("/nonexistent", &tree), SEC_EFAIL, "/nonexistent");
}

enum { CHUNK = 4096, N = 3 * CHUNK + 100 };

static int32_t number(int i)
{
    return i / 7 * 1000 - i / 500;
}

/* A chunked dataset through the filter. */
static void put_filtered(hid_t file, const char *name)
{
    static int32_t data[N];
    hsize_t dims[1] = {N}, chunk[1] = {CHUNK};
    unsigned level[1] = {3};
    for (int i = 0; i < N; i++)
        data[i] = number(i);
    hid_t space = H5Screate_simple(1, dims, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(list, 1, chunk) >= 0);
    assert_true(H5Pset_filter(list, SEC_H5_ZSTD, H5Z_FLAG_MANDATORY, 1, level) >= 0);
    hid_t set = H5Dcreate2(file, name, H5T_NATIVE_INT32, space, H5P_DEFAULT, list, H5P_DEFAULT);
    assert_true(set >= 0);
    assert_true(H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    assert_true(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
    assert_true(H5Dget_storage_size(set) < sizeof data / 2); /* it did compress */
    H5Dclose(set);
    H5Pclose(list);
    H5Sclose(space);
}

static void write_example(const char *path)
{
    hid_t file;
    static const float few[3] = {1.5f, -2, 0};
    assert_ok(sec_h5_create(path, &file));
    put_filtered(file, "filtered");
    assert_ok(sec_h5_put_array(file, "few", H5T_NATIVE_FLOAT, few, 3));
    assert_ok(sec_h5_put_array(file, "none", H5T_NATIVE_UINT16, NULL, 0));
    assert_ok(sec_h5_put_str(file, "format", "old"));
    assert_ok(sec_h5_put_str(file, "format", "gr\xC3\xBC\xC3\x9F"));
    assert_ok(sec_h5_put_u64(file, "count", UINT64_MAX));
    assert_ok(sec_h5_close(file, path));
}

static void check_filtered(hid_t file, const char *path)
{
    void *data;
    size_t n;
    assert_ok(sec_h5_get_array(file, "filtered", H5T_NATIVE_INT32, 4, &data, &n, path));
    assert_int_equal(n, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(((int32_t *)data)[i], number(i));
    free(data);
}

static void test_h5(void **state)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "a.h5"), *text;
    hid_t file;
    void *data;
    size_t n;
    uint64_t count;
    write_example(path);
    assert_ok(sec_h5_open(path, &file));
    check_filtered(file, path);
    assert_ok(sec_h5_get_array(file, "few", H5T_NATIVE_DOUBLE, 8, &data, &n, path));
    assert_true(n == 3 && ((double *)data)[0] == 1.5 && ((double *)data)[1] == -2);
    free(data);
    assert_ok(sec_h5_get_array(file, "none", H5T_NATIVE_UINT16, 2, &data, &n, path));
    assert_int_equal(n, 0);
    free(data);
    assert_ok(sec_h5_get_str(file, "format", &text, path));
    assert_string_equal(text, "gr\xC3\xBC\xC3\x9F");
    free(text);
    assert_ok(sec_h5_get_u64(file, "count", &count, path));
    assert_int_equal(count, UINT64_MAX);
    assert_fails(sec_h5_get_array(file, "filtered", H5T_NATIVE_INT16, 2, &data, &n, path),
                 SEC_EDATA, "another shape or type");
    assert_fails(sec_h5_get_array(file, "filtered", H5T_NATIVE_UINT32, 4, &data, &n, path),
                 SEC_EDATA, "another shape or type");
    assert_fails(sec_h5_get_array(file, "lost", H5T_NATIVE_INT32, 4, &data, &n, path), SEC_EDATA,
                 "cannot open dataset lost");
    assert_fails(sec_h5_get_str(file, "count", &text, path), SEC_EDATA, "is not one string");
    assert_fails(sec_h5_get_u64(file, "lost", &count, path), SEC_EDATA, "attribute lost");
    assert_ok(sec_h5_close(file, path));
    assert_fails(sec_h5_open("/nonexistent.h5", &file), SEC_EFAIL, "/nonexistent.h5: cannot open");
    free(path);
    scratch_free(dir);
}

/* Flip bytes all over the file: whatever happens is a status, never a crash; and a damaged zstd
 * frame is noticed. */
static void test_h5_damage(void **state)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "a.h5"),
         *bad = sec_path_join(dir, "b.h5");
    struct sec_buf b = {0};
    int noticed = 0;
    write_example(path);
    assert_ok(sec_read_file(path, &b));
    for (size_t at = 0; at < b.len; at += 61) {
        hid_t file;
        void *data = NULL;
        size_t n;
        b.data[at] ^= 0x55;
        assert_ok(sec_write_file(bad, b.data, b.len));
        b.data[at] ^= 0x55;
        int rc = sec_h5_open(bad, &file);
        if (!rc)
            rc = sec_h5_get_array(file, "filtered", H5T_NATIVE_INT32, 4, &data, &n, bad);
        if (rc)
            assert_true(*sec_error());
        noticed += rc != 0;
        free(data);
        if (file >= 0)
            sec_h5_close(file, bad);
    }
    assert_true(noticed > 5);
    assert_int_equal(truncate(path, (off_t)b.len / 2), 0);
    hid_t file;
    assert_fails(sec_h5_open(path, &file), SEC_EDATA, "a.h5: cannot open");
    sec_buf_free(&b);
    free(path);
    free(bad);
    scratch_free(dir);
}

/* A disk that fills up, in a child: limits stay. The failure is a status with the file's name, and
 * the library goes on working. */
static int write_on_full_disk(const char *path)
{
    static float data[30000];
    struct rlimit limit = {50000, 50000};
    hid_t file;
    signal(SIGXFSZ, SIG_IGN); /* the write fails instead, as on a full disk */
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int round = 0; round < 3; round++) {
        bool seen = false;
        if (sec_h5_create(path, &file))
            return 1;
        for (int i = 0; i < 3; i++) {
            char name[8];
            snprintf(name, sizeof name, "d%d", i);
            int rc = sec_h5_put_array(file, name, H5T_NATIVE_FLOAT, data, 30000);
            seen |= rc == SEC_EFAIL && strstr(sec_error(), path) != NULL;
        }
        if (!seen || sec_h5_close(file, path) != SEC_EFAIL || !strstr(sec_error(), path))
            return 2;
    }
    if (sec_h5_create(path, &file) || sec_h5_put_array(file, "x", H5T_NATIVE_FLOAT, data, 100))
        return 3;
    return sec_h5_close(file, path) ? 4 : 0;
}

/* The k-th write or sync fails, for every k. */
static int write_with_fault(const char *path)
{
    float data[100] = {0};
    hid_t file;
    int rc = sec_h5_create(path, &file);
    if (!rc)
        rc = sec_h5_put_array(file, "x", H5T_NATIVE_FLOAT, data, 100);
    if (!rc)
        rc = sec_h5_put_str(file, "format", "x");
    int closed = sec_h5_close(file, path);
    rc = rc ? rc : closed;
    return !rc ? 0 : strstr(sec_error(), "No space left on device") ? 1 : 2;
}

static int in_child(int (*fn)(const char *path), const char *path)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        _exit(fn(path));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* First of the tests: its children must be the first to look at SECENC_FAULT, and to start HDF5. */
static void test_h5_failures(void **state)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "a.h5"), fault[32];
    assert_int_equal(in_child(write_on_full_disk, path), 0);
    for (int i = 0; i < 2; i++) {
        int status = 1;
        for (int k = 1; status; k++) {
            snprintf(fault, sizeof fault, "%s:%d", i ? "fsync" : "write", k);
            setenv("SECENC_FAULT", fault, 1);
            status = in_child(write_with_fault, path);
            if (status != 1 && (status || k == 1))
                fail_msg("%s: exit status %d", fault, status);
        }
    }
    unsetenv("SECENC_FAULT");
    free(path);
    scratch_free(dir);
}

/* With arguments: one half of the exchange with h5py in tests/parity/test_h5.py. */
int main(int argc, char **argv)
{
    if (argc == 3) {
        hid_t file;
        if (!strcmp(argv[1], "write")) {
            write_example(argv[2]);
            return 0;
        }
        if (sec_h5_open(argv[2], &file))
            return 1;
        check_filtered(file, argv[2]);
        return sec_h5_close(file, argv[2]) != 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h5_failures),  cmocka_unit_test(test_json_writer),
        cmocka_unit_test(test_json_numbers), cmocka_unit_test(test_json_errors),
        cmocka_unit_test(test_h5),           cmocka_unit_test(test_h5_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
