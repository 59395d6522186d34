/* data/tokshard_spool.h: the same order whatever the buckets, files, memory and order of arrival;
 * damage anywhere in a file; skipping; full disk at every write. */
#include "testing.h"

#include "base/rng.h"
#include "data/tokshard_spool.h"

#include <sys/wait.h>
#include <unistd.h>

enum { DOCS = 2000, NAME = 512 };

static uint16_t ids[100];

static struct sec_spool_doc make_doc(uint64_t v)
{
    return (struct sec_spool_doc){.key = sec_rand64(1, SEC_STREAM_SAMPLE, v / 2, 0),
                                  .id = {v, v % 7},
                                  .n = 1 + (uint32_t)(v % 99),
                                  .bytes = (uint32_t)v,
                                  .source = (uint16_t)(v % 5),
                                  .copy = (uint16_t)(v % 3),
                                  .ids = ids + v % 2};
}

static int write_encoded(const char *path, size_t n_buckets, size_t memory, uint64_t from,
                         uint64_t to, bool backwards)
{
    struct sec_spool_writer *w;
    int rc = sec_spool_create(path, n_buckets, memory, &w);
    for (uint64_t i = from; i < to && !rc; i++) {
        struct sec_spool_doc d = make_doc(backwards ? from + to - 1 - i : i);
        rc = sec_spool_add(w, &d);
    }
    if (!rc)
        return sec_spool_seal(w, to - from);
    sec_spool_abort(w);
    return rc;
}

struct collected {
    uint64_t hash, n, last_key;
};

static void collect(struct collected *c, const struct sec_spool_doc *d)
{
    uint64_t head[6] = {d->key, d->id.lo, d->id.hi,
                        d->n,   d->bytes, (uint64_t)d->source << 16 | d->copy};
    assert_true(!c->n || d->key >= c->last_key);
    c->last_key = d->key;
    c->n++;
    c->hash = sec_hash64(head, sizeof head, c->hash);
    c->hash = sec_hash64(d->ids, d->n * sizeof *d->ids, c->hash);
}

static bool odd_source(void *ctx, const struct sec_spool_doc *d)
{
    return d->source % 2;
}

/* All buckets sorted and read; lengths checked against the documents. */
static void sort_and_collect(const char *dir, const struct sec_list *encoded, size_t n_buckets,
                             struct collected *c)
{
    char a[NAME], b[NAME];
    struct sec_buf text = {0};
    for (size_t k = 0; k < n_buckets; k++) {
        struct sec_spool_reader *r;
        struct sec_spool_doc d;
        size_t i = 0;
        int rc;
        snprintf(a, sizeof a, "%s/sorted", dir);
        snprintf(b, sizeof b, "%s/lengths", dir);
        assert_ok(sec_spool_sort(encoded, k, a, b, NULL, NULL));
        sec_buf_clear(&text);
        assert_ok(sec_read_file(b, &text));
        const struct sec_spool_length *v = (const void *)text.data;
        assert_ok(sec_spool_open(a, &r));
        while (!(rc = sec_spool_next(r, &d))) {
            assert_true(v[i].n == d.n && v[i].bytes == d.bytes && v[i].source == d.source);
            collect(c, &d);
            i++;
        }
        assert_int_equal(rc, 1);
        sec_spool_close(r);
        assert_int_equal(text.len, i * sizeof *v + 24); /* and the seal */
    }
    sec_buf_free(&text);
}

static void sorts_the_same(void **state)
{
    (void)state;
    static const struct {
        size_t n_buckets, files, memory;
    } shapes[] = {{1, 1, 1 << 30}, {1, 3, 1000}, {64, 1, 0}, {64, 7, 100000}, {4096, 2, 1 << 20}};
    struct collected want = {0};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        char *dir = scratch_dir();
        struct sec_list encoded = {0};
        struct collected got = {0};
        size_t files = shapes[k].files;
        for (size_t f = 0; f < files; f++) {
            char path[NAME];
            uint64_t tokens;
            snprintf(path, sizeof path, "%s/encoded-%zu", dir, (k + f) % files);
            assert_ok(write_encoded(path, shapes[k].n_buckets, shapes[k].memory, DOCS * f / files,
                                    DOCS * (f + 1) / files, k % 2));
            assert_ok(sec_spool_tokens(path, &tokens));
            assert_int_equal(tokens, DOCS * (f + 1) / files - DOCS * f / files);
            assert_ok(sec_list_add(&encoded, path));
        }
        sort_and_collect(dir, &encoded, shapes[k].n_buckets, &got);
        assert_int_equal(got.n, DOCS);
        if (k == 0)
            want = got;
        assert_int_equal(got.hash, want.hash);
        sec_list_free(&encoded);
        scratch_free(dir);
    }
}

static void skips_and_filters(void **state)
{
    (void)state;
    char *dir = scratch_dir(), path[NAME], a[NAME], b[NAME];
    struct sec_list encoded = {0};
    static uint64_t keys[DOCS];
    size_t n = 0;
    struct sec_spool_reader *r;
    struct sec_spool_doc d;
    snprintf(path, sizeof path, "%s/encoded", dir);
    snprintf(a, sizeof a, "%s/sorted", dir);
    snprintf(b, sizeof b, "%s/lengths", dir);
    assert_ok(write_encoded(path, 1, 1 << 20, 0, DOCS, false));
    assert_ok(sec_list_add(&encoded, path));
    assert_ok(sec_spool_sort(&encoded, 0, a, b, odd_source, NULL));
    assert_ok(sec_spool_open(a, &r));
    for (; !sec_spool_next(r, &d); n++) {
        assert_true(d.source % 2);
        keys[n] = d.key ^ d.id.lo;
    }
    sec_spool_close(r);
    assert_int_equal(n, DOCS * 2 / 5);
    for (size_t skip = 0; skip < n; skip += 37) {
        assert_ok(sec_spool_open(a, &r));
        assert_ok(sec_spool_skip(r, skip / 3));
        assert_ok(sec_spool_skip(r, skip - skip / 3));
        assert_ok(sec_spool_next(r, &d));
        assert_true((d.key ^ d.id.lo) == keys[skip]);
        sec_spool_close(r);
    }
    sec_list_free(&encoded);
    scratch_free(dir);
}

/* The whole job on one bucket file after another; stops at the first failure. */
static int sort_all(const char *dir, const char *path, size_t n_buckets)
{
    char a[NAME], b[NAME];
    struct sec_list encoded = {0};
    uint64_t tokens;
    int rc = sec_list_add(&encoded, path);
    snprintf(a, sizeof a, "%s/sorted", dir);
    snprintf(b, sizeof b, "%s/lengths", dir);
    if (!rc)
        rc = sec_spool_tokens(path, &tokens);
    for (size_t k = 0; k < n_buckets && !rc; k++) {
        struct sec_spool_reader *r = NULL;
        struct sec_spool_doc d;
        rc = sec_spool_sort(&encoded, k, a, b, NULL, NULL);
        if (!rc)
            rc = sec_spool_open(a, &r);
        while (!rc)
            rc = sec_spool_next(r, &d);
        rc = rc == 1 ? 0 : rc;
        sec_spool_close(r);
    }
    sec_list_free(&encoded);
    return rc;
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

static void damage_is_found(void **state)
{
    (void)state;
    char *dir = scratch_dir(), path[NAME], aside[NAME + 16];
    struct sec_buf whole = {0};
    snprintf(path, sizeof path, "%s/encoded", dir);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    assert_ok(write_encoded(path, 4, 2000, 0, 60, false));
    assert_ok(sec_read_file(path, &whole));
    for (size_t at = 0; at < whole.len; at += 1 + (at > 200 && at + 900 < whole.len) * 12) {
        put_flipped(path, &whole, whole.len, at);
        assert_fails(sort_all(dir, path, 4), SEC_EDATA, path);
        assert_true(!sec_exists(path) && sec_exists(aside));
        unlink(aside);
    }
    for (size_t n = 0; n < whole.len; n += 11) {
        put_flipped(path, &whole, n, n);
        assert_fails(sort_all(dir, path, 4), SEC_EDATA, path);
        unlink(aside);
    }
    sec_buf_free(&whole);

    /* A sorted file: every bit is noticed by reading it through. */
    char sorted[NAME];
    snprintf(sorted, sizeof sorted, "%s/sorted", dir);
    assert_ok(write_encoded(path, 1, 1 << 20, 0, 60, false));
    assert_ok(sort_all(dir, path, 1));
    assert_ok(sec_read_file(sorted, &whole));
    for (size_t at = 0; at < whole.len; at += 5) {
        struct sec_spool_reader *r = NULL;
        struct sec_spool_doc d;
        put_flipped(sorted, &whole, whole.len, at);
        int rc = sec_spool_open(sorted, &r);
        while (!rc)
            rc = sec_spool_next(r, &d);
        assert_int_equal(rc, SEC_EDATA);
        assert_non_null(strstr(sec_error(), sorted));
        assert_false(sec_exists(sorted));
        sec_spool_close(r);
    }
    sec_buf_free(&whole);
    scratch_free(dir);
}

static void full_disk(void **state)
{
    (void)state;
    static const char *const points[] = {"spool", "write"};
    char *dir = scratch_dir(), path[NAME];
    snprintf(path, sizeof path, "%s/encoded", dir);
    for (size_t p = 0; p < 2; p++) {
        int status = -1;
        unsigned k;
        for (k = 1; status && k < 500; k++) {
            pid_t child = fork();
            assert_true(child >= 0);
            if (!child) {
                char spec[32];
                snprintf(spec, sizeof spec, "%s:%u", points[p], k);
                setenv("SECENC_FAULT", spec, 1);
                int rc = write_encoded(path, 4, 2000, 0, 200, false);
                if (rc && sec_exists(path))
                    _exit(2);
                if (!rc)
                    rc = sort_all(dir, path, 4);
                _exit(!rc ? 0 : rc == SEC_EFAIL && strstr(sec_error(), "No space") ? 1 : 2);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
            unlink(path);
        }
        assert_true(k > 8);
        assert_int_equal(status, 0);
    }
    scratch_free(dir);
}

int main(void)
{
    for (int i = 0; i < 100; i++)
        ids[i] = (uint16_t)(i * 31);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_disk), /* first: its children read SECENC_FAULT anew */
        cmocka_unit_test(sorts_the_same),
        cmocka_unit_test(skips_and_filters),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
