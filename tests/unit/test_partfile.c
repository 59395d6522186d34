/* data/partfile.h against qsort in memory: random and skewed records, any memory limit, damage in
 * every region of the file, full disk at every write, kill at every block. */
#include "testing.h"

#include "base/sort.h"
#include "data/partfile.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 200000, FAULT_RECORDS = 30000 };

static unsigned words_now;

static int compare(const void *a, const void *b)
{
    return sec_compare_u64(a, b, words_now);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state;
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    return x ^ x >> 29;
}

enum skew { UNIFORM, ONE_PARTITION, ONE_KEY, FEW_KEYS };

/* n records of `words` words in r; their partitions in part. */
static void make_records(enum skew skew, unsigned words, size_t n_parts, size_t n, uint64_t *r,
                         size_t *part)
{
    uint64_t state = 7 + words;
    for (size_t i = 0; i < n; i++) {
        for (unsigned w = 0; w < words; w++) {
            uint64_t x = next_random(&state);
            r[i * words + w] = skew == ONE_KEY ? 42 : skew == FEW_KEYS ? x % 5 : x;
        }
        part[i] =
            skew == ONE_PARTITION || skew == ONE_KEY ? n_parts / 2 : next_random(&state) % n_parts;
    }
}

static int write_file(const char *path, unsigned words, size_t n_parts, size_t memory, size_t n,
                      const uint64_t *r, const size_t *part)
{
    struct sec_part_writer *w = NULL;
    uint64_t records = 0;
    int rc = sec_part_create(path, words, n_parts, memory, &w);
    for (size_t i = 0; i < n && !rc; i++)
        rc = sec_part_add(w, part[i], r + i * words);
    if (rc)
        sec_part_abort(w);
    else
        rc = sec_part_seal(w, &records);
    if (!rc && records != n)
        rc = sec_fail(SEC_EDATA, "%llu records sealed", (unsigned long long)records);
    return rc;
}

/* Reads a partition of all files and compares it with the records themselves, sorted. */
static void check_partition(const struct sec_list *files, size_t p, unsigned words, size_t memory,
                            const char *dir, size_t n, const uint64_t *r, const size_t *part)
{
    uint64_t *want = malloc((n * words + 1) * sizeof *want);
    size_t n_want = 0;
    struct sec_part_stream *s;
    const uint64_t *got;
    int rc;
    for (size_t i = 0; i < n; i++)
        if (part[i] == p)
            memcpy(want + n_want++ * words, r + i * words, words * sizeof *r);
    words_now = words;
    qsort(want, n_want, words * sizeof *want, compare);
    assert_ok(sec_part_open(files, p, words, memory, dir, &s));
    assert_int_equal(sec_part_count(s), n_want);
    for (size_t i = 0; i < n_want; i++) {
        assert_ok(sec_part_next(s, &got));
        if (memcmp(got, want + i * words, words * sizeof *got))
            fail_msg("partition %zu, %u words, memory %zu: record %zu differs", p, words, memory,
                     i);
    }
    rc = sec_part_next(s, &got);
    assert_int_equal(rc, 1);
    assert_int_equal(sec_part_next(s, &got), 1); /* and stays there */
    sec_part_close(s);
    free(want);
}

/* n records spread over three files, read back at several memory limits. */
static void round_trip(enum skew skew, unsigned words, size_t n_parts, size_t n)
{
    static const size_t memory[] = {0, 64 << 10, 300 << 10, 16 << 20};
    char *dir = scratch_dir();
    uint64_t *r = malloc((n * words + 1) * sizeof *r), *counts = malloc(n_parts * sizeof *counts);
    size_t *part = malloc((n + 1) * sizeof *part), sum = 0;
    struct sec_list files = {0};
    make_records(skew, words, n_parts, n, r, part);
    for (size_t f = 0; f < 3; f++) {
        char path[256];
        size_t from = n * f / 3, to = n * (f + 1) / 3;
        snprintf(path, sizeof path, "%s/%zu.part", dir, f);
        assert_ok(sec_list_add(&files, path));
        assert_ok(
            write_file(path, words, n_parts, memory[f], to - from, r + from * words, part + from));
        assert_ok(sec_part_counts(path, n_parts, counts));
        for (size_t p = 0; p < n_parts; p++)
            sum += counts[p];
        for (size_t i = from; i < to; i++)
            assert_true(counts[part[i]]-- > 0);
    }
    assert_int_equal(sum, n);
    size_t step = n_parts > 40 ? n_parts / 7 : 1;
    for (size_t m = 0; m < 4; m++)
        for (size_t p = 0; p < n_parts; p += step)
            check_partition(&files, p, words, memory[m], dir, n, r, part);
    check_partition(&files, n_parts - 1, words, memory[1], dir, n, r, part);
    check_partition(&files, n_parts / 2, words, memory[1], dir, n, r, part);
    struct sec_list left = {0}; /* no run file stays */
    assert_ok(sec_list_dir(dir, &left));
    assert_int_equal(left.n, 3);
    sec_list_free(&left);
    sec_list_free(&files);
    free(r);
    free(part);
    free(counts);
    scratch_free(dir);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned words = 1; words <= SEC_PART_MAX_WORDS; words++)
        round_trip(UNIFORM, words, 7, 20000);
    round_trip(UNIFORM, 2, 1, MOST);
    round_trip(UNIFORM, 3, 5000, MOST);
    round_trip(UNIFORM, 2, 1 << 24, 2000);
    round_trip(FEW_KEYS, 3, 16, 50000);
}

static void test_skew(void **state)
{
    (void)state;
    round_trip(ONE_PARTITION, 3, 1000, MOST);
    round_trip(ONE_KEY, 3, 1000, MOST);
}

static void test_empty(void **state)
{
    (void)state;
    round_trip(UNIFORM, 2, 100, 0);
    round_trip(UNIFORM, 2, 1, 1);
}

static void test_sort(void **state)
{
    (void)state;
    for (unsigned words = 1; words <= SEC_SORT_MAX_WORDS; words++)
        for (int shape = 0; shape < 4; shape++) {
            size_t n = 30000;
            uint64_t rng = 3, *a = malloc(n * words * sizeof *a),
                     *b = malloc(n * words * sizeof *b);
            for (size_t i = 0; i < n * words; i++) {
                uint64_t x = next_random(&rng);
                a[i] = shape == 0   ? x
                       : shape == 1 ? x & 0xff00
                       : shape == 2 ? (i % words == words - 1 ? x % 3 : ~(uint64_t)0)
                                    : n * words - i;
            }
            memcpy(b, a, n * words * sizeof *a);
            words_now = words;
            qsort(b, n, words * sizeof *b, compare);
            sec_sort_u64(a, n, words);
            assert_memory_equal(a, b, n * words * sizeof *a);
            free(a);
            free(b);
        }
}

/* The bytes of a whole file with one bit flipped (at < n), put there without a flush. */
static void put_flipped(const char *path, const struct sec_buf *whole, size_t n, size_t at)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (at < n)
        whole->data[at] ^= 4;
    assert_int_equal(fwrite(whole->data, 1, n, f), n);
    if (at < n)
        whole->data[at] ^= 4;
    assert_int_equal(fclose(f), 0);
}

/* Reads every partition; stops at the first failure. */
static int read_all(const char *path, size_t n_parts, const char *dir)
{
    struct sec_list files = {0};
    int rc = sec_list_add(&files, path);
    for (size_t p = 0; p < n_parts && !rc; p++) {
        struct sec_part_stream *s = NULL;
        const uint64_t *record;
        rc = sec_part_open(&files, p, 2, 64 << 10, dir, &s);
        while (!rc && !(rc = sec_part_next(s, &record)))
            ;
        rc = rc == 1 ? 0 : rc;
        sec_part_close(s);
    }
    sec_list_free(&files);
    return rc;
}

static void test_damage(void **state)
{
    (void)state;
    enum { N = 3000, PARTS = 9 };
    char *dir = scratch_dir(), *path = sec_path_join(dir, "x.part"),
         *aside = sec_path_join(dir, "x.part.damaged");
    uint64_t *r = malloc(2 * N * sizeof *r);
    size_t *part = malloc(N * sizeof *part);
    make_records(UNIFORM, 2, PARTS, N, r, part);
    assert_ok(write_file(path, 2, PARTS, 0, N, r, part));
    struct sec_buf whole = {0};
    assert_ok(sec_read_file(path, &whole));
    size_t size = whole.len;
    /* Every byte of header and index, and a sample of the blocks. */
    for (size_t at = 0; at < size; at += at < 64 || at + 700 > size ? 1 : 97) {
        put_flipped(path, &whole, size, at);
        assert_fails(read_all(path, PARTS, dir), SEC_EDATA, path);
        assert_non_null(strstr(sec_error(), "byte"));
        assert_non_null(strstr(sec_error(), aside));
        assert_false(sec_exists(path));
        assert_true(sec_exists(aside));
        unlink(aside);
    }
    for (size_t length = 0; length < size; length += length < 64 ? 1 : 1009) {
        put_flipped(path, &whole, length, length);
        assert_fails(read_all(path, PARTS, dir), SEC_EDATA, path);
        assert_false(sec_exists(path));
        unlink(aside);
    }
    sec_buf_free(&whole);
    assert_fails(read_all(path, PARTS, dir), SEC_EFAIL, "No such file");
    free(r);
    free(part);
    free(path);
    free(aside);
    scratch_free(dir);
}

static void test_misuse(void **state)
{
    (void)state;
    char *dir = scratch_dir(), *path = sec_path_join(dir, "x.part");
    struct sec_list files = {0};
    struct sec_part_writer *w;
    struct sec_part_stream *s;
    uint64_t record[3] = {1, 2, 3}, counts[11];
    assert_ok(sec_list_add(&files, path));
    assert_fails(sec_part_create(path, 7, 10, 0, &w), SEC_EUSAGE, "7 words");
    assert_fails(sec_part_create(path, 2, (1 << 24) + 1, 0, &w), SEC_EUSAGE, "16777217 partitions");
    assert_ok(sec_part_create(path, 2, 10, 0, &w));
    assert_fails(sec_part_add(w, 10, record), SEC_EUSAGE, "no partition 10 of 10");
    sec_part_abort(w);
    assert_false(sec_exists(path));
    assert_ok(write_file(path, 2, 10, 0, 1, record, (size_t[]){3}));
    assert_fails(sec_part_open(&files, 3, 3, 0, dir, &s), SEC_EDATA, "2 words, expected 3");
    assert_ok(write_file(path, 2, 10, 0, 1, record, (size_t[]){3}));
    assert_fails(sec_part_open(&files, 10, 2, 0, dir, &s), SEC_EDATA, "10 partitions");
    assert_ok(write_file(path, 2, 10, 0, 1, record, (size_t[]){3}));
    assert_fails(sec_part_counts(path, 11, counts), SEC_EDATA, "expected 11");
    sec_part_close(NULL);
    sec_part_abort(NULL);
    sec_list_free(&files);
    free(path);
    scratch_free(dir);
}

/* Writes a file and reads it back through
 * runs on disk. Exit 0 = all well, 1 = a clean failure, 2 = anything else. */
static int fault_child(const char *dir, const char *path, const uint64_t *r, const size_t *part)
{
    int rc = write_file(path, 2, 3, 64 << 10, FAULT_RECORDS, r, part);
    if (rc)
        return rc == SEC_EFAIL && strstr(sec_error(), "No space left") && !sec_exists(path) ? 1 : 2;
    rc = read_all(path, 3, dir);
    if (rc)
        return rc == SEC_EFAIL && strstr(sec_error(), "No space left") ? 1 : 2;
    return 0;
}

/* The status of a child that does the job under SECENC_FAULT=spec (NULL = without). The parent
 * itself passes no fault point: the first one reads the variable for good. */
static int child_status(const char *spec, const char *dir, const char *path, const uint64_t *r,
                        const size_t *part)
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (spec)
            setenv("SECENC_FAULT", spec, 1);
        _exit(spec ? fault_child(dir, path, r, part) : read_all(path, 3, dir) != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void every_fault(const char *point, const char *action)
{
    char *dir = scratch_dir(), *path = sec_path_join(dir, "x.part");
    uint64_t *r = malloc(2 * FAULT_RECORDS * sizeof *r);
    size_t *part = malloc(FAULT_RECORDS * sizeof *part);
    int status = -1;
    unsigned k;
    make_records(UNIFORM, 2, 3, FAULT_RECORDS, r, part);
    for (k = 1; status && k < 1000; k++) {
        char spec[64];
        snprintf(spec, sizeof spec, "%s:%u%s", point, k, action);
        status = child_status(spec, dir, path, r, part);
        if (*action)
            assert_true(!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        else if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
            fail_msg("%s: status %x", spec, (unsigned)status);
        if (sec_exists(path)) /* what has the final name is whole */
            assert_int_equal(child_status(NULL, dir, path, r, part), 0);
        unlink(path);
    }
    assert_true(k > 4);
    assert_int_equal(status, 0);
    free(r);
    free(part);
    free(path);
    scratch_free(dir);
}

static void test_faults(void **state)
{
    (void)state;
    every_fault("spool", "");
    every_fault("write", "");
    every_fault("spool", ":kill");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults), /* first: its children read SECENC_FAULT anew */
        cmocka_unit_test(test_sort),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_skew),   cmocka_unit_test(test_empty),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
