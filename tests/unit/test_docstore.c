/* Document stores: what goes in comes out, in any order and from several threads; every damage is
 * found, named and set aside; a full disk leaves no store. */
#include "testing.h"

#include "base/hash.h"
#include "base/rng.h"
#include "data/docstore.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

enum { N_DOCS = 700 };

static char *dir, *name;

/* Document i: lengths around every border that matters. */
static void make_text(uint64_t i, struct sec_buf *b)
{
    struct sec_rng g = sec_rng_make(11, SEC_STREAM_SAMPLE, i << 32);
    size_t len = sec_rng_below(&g, 9000);
    if (i == 5 || i == 699)
        len = 1;
    else if (i == 6)
        len = 0;
    else if (i == 7 || i == 300)
        len = 1 << 20;
    else if (i == 8)
        len = 1 << 16;
    sec_buf_clear(b);
    assert_ok(sec_buf_reserve(b, len + 1));
    unsigned alphabet = i % 3 ? 20 : 256; /* some do not compress */
    for (size_t k = 0; k < len; k++)
        b->data[k] = (char)sec_rng_below(&g, alphabet);
    b->len = len;
}

static struct sec_docrow make_row(uint64_t i, const struct sec_buf *text)
{
    return (struct sec_docrow){.id = sec_hash128(text->data, text->len),
                               .cluster = i * UINT64_C(0x9E3779B97F4A7C15),
                               .line = i * 3 + 1,
                               .records = (uint32_t)i % 50,
                               .input = (uint32_t)i / 100};
}

static int write_store(uint64_t n, uint64_t *documents)
{
    struct sec_docwriter *w;
    struct sec_buf text = {0};
    int rc = sec_docwriter_open(name, &w);
    for (uint64_t i = 0; !rc && i < n; i++) {
        make_text(i, &text);
        struct sec_docrow row = make_row(i, &text);
        rc = sec_docwriter_add(w, &row, text.data, text.len);
    }
    sec_buf_free(&text);
    if (rc) {
        sec_docwriter_abort(w);
        return rc;
    }
    return sec_docwriter_seal(w, documents);
}

static void check_doc(struct sec_docstore *s, struct sec_docreader *r, uint64_t i,
                      struct sec_buf *want)
{
    struct sec_docrow row;
    const char *text;
    make_text(i, want);
    struct sec_docrow expected = make_row(i, want);
    assert_ok(sec_docstore_get(s, r, i, &row, &text));
    assert_int_equal(row.len, want->len);
    assert_memory_equal(text, want->data, want->len);
    assert_memory_equal(&row.id, &expected.id, sizeof row.id);
    assert_int_equal(row.cluster, expected.cluster);
    assert_int_equal(row.line, expected.line);
    assert_int_equal(row.records, expected.records);
    assert_int_equal(row.input, expected.input);
}

static void test_round_trip(void **state)
{
    uint64_t documents;
    struct sec_docstore *s;
    struct sec_docreader r = {0};
    struct sec_buf want = {0};
    assert_ok(write_store(N_DOCS, &documents));
    assert_int_equal(documents, N_DOCS);
    assert_ok(sec_docstore_open(name, &s));
    assert_int_equal(sec_docstore_count(s), N_DOCS);
    for (uint64_t i = 0; i < N_DOCS; i++)
        check_doc(s, &r, i, &want);
    assert_fails(sec_docstore_get(s, &r, N_DOCS, NULL, NULL), SEC_EDATA, "no document 700 of 700");
    sec_docstore_close(s);

    /* A reader that outlives its store must not serve the old frame for a new one. */
    assert_ok(write_store(9, &documents));
    assert_ok(sec_docstore_open(name, &s));
    for (uint64_t i = 9; i--;)
        check_doc(s, &r, i, &want);
    sec_docstore_close(s);

    assert_ok(write_store(0, &documents));
    assert_ok(sec_docstore_open(name, &s));
    assert_int_equal(sec_docstore_count(s), 0);
    sec_docstore_close(s);
    sec_docreader_free(&r);
    sec_buf_free(&want);
}

/* The texts are plain zstd: any decoder reads them, skipping the heads. */
static void test_plain_zstd(void **state)
{
    uint64_t documents;
    struct sec_buf file = {0}, want = {0}, all = {0};
    char path[400];
    assert_ok(write_store(40, &documents));
    for (uint64_t i = 0; i < 40; i++) {
        make_text(i, &want);
        assert_ok(sec_buf_add(&all, want.data, want.len));
    }
    snprintf(path, sizeof path, "%s.docs", name);
    assert_ok(sec_read_file(path, &file));
    char *text = malloc(all.len);
    assert_non_null(text);
    assert_int_equal(ZSTD_decompress(text, all.len, file.data, file.len), all.len);
    assert_memory_equal(text, all.data, all.len);
    free(text);
    sec_buf_free(&file);
    sec_buf_free(&want);
    sec_buf_free(&all);
}

struct random_reads {
    struct sec_docstore *s;
    uint64_t seed;
};

static void *read_randomly(void *arg)
{
    struct random_reads *a = arg;
    struct sec_docreader r = {0};
    struct sec_buf want = {0};
    struct sec_rng g = sec_rng_make(a->seed, SEC_STREAM_SAMPLE, 0);
    uintptr_t wrong = 0;
    for (int k = 0; k < 1500; k++) {
        uint64_t i = sec_rng_below(&g, N_DOCS);
        struct sec_docrow row;
        const char *text;
        make_text(i, &want);
        wrong += sec_docstore_get(a->s, &r, i, &row, &text) || row.len != want.len ||
                 (want.len && memcmp(text, want.data, want.len));
    }
    sec_docreader_free(&r);
    sec_buf_free(&want);
    return (void *)wrong;
}

static void test_threads(void **state)
{
    uint64_t documents;
    struct sec_docstore *s;
    pthread_t thread[2];
    assert_ok(write_store(N_DOCS, &documents));
    assert_ok(sec_docstore_open(name, &s));
    struct random_reads a[2] = {{s, 1}, {s, 2}};
    for (int t = 0; t < 2; t++)
        assert_int_equal(pthread_create(&thread[t], NULL, read_randomly, &a[t]), 0);
    for (int t = 0; t < 2; t++) {
        void *wrong;
        pthread_join(thread[t], &wrong);
        assert_null(wrong);
    }
    sec_docstore_close(s);
}

static int read_all(uint64_t n)
{
    struct sec_docstore *s;
    struct sec_docreader r = {0};
    int rc = sec_docstore_open(name, &s);
    for (uint64_t i = 0; !rc && i < n; i++) {
        struct sec_docrow row;
        const char *text;
        rc = sec_docstore_get(s, &r, i, &row, &text);
    }
    sec_docreader_free(&r);
    sec_docstore_close(s);
    return rc;
}

/* Writes this content, reads the store and expects: SEC_EDATA naming the file, both set aside. */
static void expect_damage(const char *path, const char *data, size_t len, uint64_t n_docs)
{
    char named[500], aside[2][500];
    assert_ok(sec_write_file(path, data, len));
    snprintf(named, sizeof named, "%s: byte ", path);
    assert_fails(read_all(n_docs), SEC_EDATA, named);
    static const char *const suffix[] = {"docs", "rows"};
    for (int f = 0; f < 2; f++) {
        char plain[400];
        snprintf(plain, sizeof plain, "%s.%s", name, suffix[f]);
        snprintf(aside[f], sizeof aside[f], "%s.damaged", plain);
        assert_false(sec_exists(plain));
        assert_true(sec_exists(aside[f]));
        assert_int_equal(rename(aside[f], plain), 0);
    }
}

static void test_damage(void **state)
{
    enum { N = 60 };
    uint64_t documents;
    static const char *const suffix[] = {"docs", "rows"};
    assert_ok(write_store(N, &documents));
    for (int f = 0; f < 2; f++) {
        char path[400];
        struct sec_buf file = {0};
        struct sec_rng g = sec_rng_make(3, SEC_STREAM_SAMPLE, (uint64_t)f << 40);
        snprintf(path, sizeof path, "%s.%s", name, suffix[f]);
        assert_ok(sec_read_file(path, &file));
        /* The first head and frame header, the trailer, and bytes all over. */
        for (int k = 0; k < 260; k++) {
            size_t at = k < 60 ? (size_t)k : sec_rng_below(&g, (uint32_t)file.len);
            if (k >= 60 && k < 100)
                at = file.len - 1 - (size_t)(k - 60);
            char bit = (char)(1 << sec_rng_below(&g, 8));
            file.data[at] ^= bit;
            expect_damage(path, file.data, file.len, N);
            file.data[at] ^= bit;
        }
        size_t cuts[] = {0, 1, 31, 32, 64, file.len / 2, file.len - 64, file.len - 1};
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++)
            expect_damage(path, file.data, cuts[k], N);
        assert_ok(sec_write_file(path, file.data, file.len));
        assert_ok(read_all(N));
        sec_buf_free(&file);
    }
    char path[400];
    snprintf(path, sizeof path, "%s.docs", name);
    assert_int_equal(unlink(path), 0);
    assert_fails(read_all(N), SEC_EDATA, "the file is missing");
    snprintf(path, sizeof path, "%s.rows", name);
    assert_false(sec_exists(path));
}

/* In another process, as the fault point is read once: 0 = sealed, 3 = failed with a message. */
static int write_with_fault(const char *point, int k)
{
    pid_t pid = fork();
    if (!pid) {
        char spec[40];
        snprintf(spec, sizeof spec, "%s:%d", point, k);
        setenv("SECENC_FAULT", spec, 1);
        execl("/proc/self/exe", "test_docstore", name, NULL);
        _exit(5);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int write_as_child(char *store)
{
    name = store;
    int rc = write_store(N_DOCS, NULL);
    return rc == 0 ? 0 : rc == SEC_EFAIL && strstr(sec_error(), "No space left") ? 3 : 4;
}

static void test_disk_full(void **state)
{
    static const char *const points[] = {"write", "fsync", "rename"};
    char rows[400];
    snprintf(rows, sizeof rows, "%s.rows", name);
    for (int p = 0; p < 3; p++) {
        int k = 1, rc;
        for (;; k++) {
            sec_remove_tree(rows);
            rc = write_with_fault(points[p], k);
            if (rc != 3)
                break;
            /* The last flush, of the folder, comes when all is in its place. */
            if (sec_exists(rows))
                assert_ok(p == 1 ? read_all(N_DOCS) : SEC_EFAIL);
        }
        assert_int_equal(rc, 0);
        assert_true(k > (p ? 1 : 40));
        assert_ok(read_all(N_DOCS));
        struct sec_list left = {0};
        assert_ok(sec_list_dir(dir, &left));
        for (size_t i = 0; i < left.n; i++)
            assert_null(strstr(left.v[i], ".tmp."));
        sec_list_free(&left);
    }
}

static int setup(void **state)
{
    dir = scratch_dir();
    name = sec_path_join(dir, "000042");
    return name ? 0 : -1;
}

static int teardown(void **state)
{
    free(name);
    scratch_free(dir);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return write_as_child(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plain_zstd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
