/* Token shards: what is written is read back, also through HDF5; damage and full disks are
 * reported. */
#include "token_fixture.h"

#include "base/h5.h"
#include "base/log.h"
#include "data/tokshard_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST = 300000 }; /* some documents are longer than two chunks */
static const uint64_t n_docs[SEC_N_SPLITS] = {60, 7, 0};
static struct sec_tokenizer *tok;
static char *dir;

static int set_up(void **state)
{
    sec_set_quiet(true);
    tok = fixture_tokenizer();
    dir = scratch_dir();
    fixture_dataset(dir, tok, n_docs, LONGEST, 700000);
    return 0;
}

static int tear_down(void **state)
{
    scratch_free(dir);
    sec_tokenizer_free(tok);
    return 0;
}

static void reads_back_every_token(void **state)
{
    const int vocab = sec_tokenizer_vocab_size(tok);
    for (int s = 0; s < 2; s++) {
        struct sec_tokens *t;
        uint64_t pos = 0, bytes = 0, in_chunks = 0;
        assert_ok(sec_tokens_open(dir, (enum sec_split)s, &t));
        const struct sec_tokens_info *info = sec_tokens_info(t);
        assert_int_equal(info->n_docs, n_docs[s]);
        assert_int_equal(info->vocab_size, vocab);
        assert_string_equal(info->tokenizer_fingerprint, sec_tokenizer_fingerprint(tok));
        assert_int_equal(info->n_sources, 3);
        assert_string_equal(info->sources[2], "gamma");
        uint16_t *ids = malloc(LONGEST * sizeof *ids);
        uint16_t *stream = malloc((info->n_chunks + 1) * SEC_TOK_CHUNK * sizeof *ids);
        assert_true(ids && stream);
        for (uint64_t c = 0; c < info->n_chunks; c++) {
            uint32_t n;
            assert_ok(sec_tokens_chunk(t, c, stream + in_chunks, &n));
            assert_int_equal(sec_tokens_chunk_first(t, c), in_chunks);
            in_chunks += n;
        }
        assert_int_equal(in_chunks, info->n_tokens);
        for (uint64_t d = 0; d < n_docs[s]; d++) {
            uint64_t first, hash;
            uint32_t len;
            uint16_t source;
            sec_tokens_doc(t, d, &first, &len, &source, &hash);
            assert_int_equal(first, pos);
            assert_int_equal(len, fixture_len(d, LONGEST));
            assert_int_equal(source, d % 3);
            assert_int_equal(hash, d * 0x9E3779B97F4A7C15u);
            assert_int_equal(sec_tokens_doc_bytes(t, d), d % 1000 + 1);
            assert_ok(sec_tokens_read(t, first, len, ids));
            for (uint32_t i = 0; i < len; i++)
                assert_int_equal(ids[i], fixture_id(d, i, vocab));
            assert_memory_equal(ids, stream + first, len * sizeof *ids);
            pos += len;
            bytes += d % 1000 + 1;
        }
        assert_int_equal(info->n_tokens, pos);
        assert_int_equal(info->n_bytes, bytes);
        assert_true(s || info->n_chunks > pos / SEC_TOK_CHUNK + 1); /* several shards */
        assert_int_equal(sec_tokens_read(t, pos - 1, 2, ids), SEC_EFAIL);
        free(stream);
        free(ids);
        sec_tokens_close(t);
    }
}

/* The same tokens by HDF5's own way through the filter, and no time stamps: two builds are equal.
 */
static void hdf5_reads_the_same(void **state)
{
    struct sec_tokens *t;
    struct sec_tokmanifest m;
    uint64_t at = 0;
    assert_ok(sec_tokens_open(dir, SEC_SPLIT_TRAIN, &t));
    assert_ok(sec_tokmanifest_read(dir, &m));
    for (size_t i = 0; i < m.n_shards && m.shards[i].split == SEC_SPLIT_TRAIN; i++) {
        hid_t file;
        char path[512];
        size_t n = m.shards[i].tokens;
        uint16_t *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
        assert_true(a && b);
        snprintf(path, sizeof path, "%s/%s", dir, m.shards[i].path);
        assert_ok(sec_h5_open(path, &file));
        hid_t set = H5Dopen2(file, "tokens", H5P_DEFAULT);
        assert_true(set >= 0);
        hid_t space = H5Dget_space(set);
        assert_int_equal(H5Sget_simple_extent_npoints(space), n);
        assert_true(H5Dread(set, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, a) >= 0);
        assert_ok(sec_tokens_read(t, at, (uint32_t)n, b));
        assert_memory_equal(a, b, n * sizeof *a);
        H5Sclose(space);
        H5Dclose(set);
        assert_ok(sec_h5_close(file, path));
        at += n;
        free(a);
        free(b);
    }
    sec_tokmanifest_free(&m);
    sec_tokens_close(t);
}

static void equal_builds_have_equal_fingerprints(void **state)
{
    char *other = scratch_dir();
    struct sec_tokmanifest a, b;
    fixture_dataset(other, tok, n_docs, LONGEST, 700000);
    assert_ok(sec_tokmanifest_read(dir, &a));
    assert_ok(sec_tokmanifest_read(other, &b));
    assert_int_equal(a.fingerprint, b.fingerprint);
    sec_tokmanifest_free(&a);
    sec_tokmanifest_free(&b);
    scratch_free(other);
}

static void empty_split_is_named(void **state)
{
    struct sec_tokens *t;
    assert_int_equal(sec_tokens_open(dir, SEC_SPLIT_ODTS, &t), SEC_EDATA);
    assert_non_null(strstr(sec_error(), "'odts' is empty"));
    assert_int_not_equal(sec_tokens_open("/nonexistent", SEC_SPLIT_TRAIN, &t), 0);
    assert_non_null(strstr(sec_error(), "/nonexistent"));
}

/* ---- damage ---- */

/* All of the idts split, hashed; or the error. */
static int read_all(const char *where, uint64_t *hash)
{
    struct sec_tokens *t;
    static uint16_t chunk[SEC_TOK_CHUNK];
    int rc = sec_tokens_open(where, SEC_SPLIT_IDTS, &t);
    if (rc)
        return rc;
    *hash = sec_tokens_info(t)->n_docs;
    for (uint64_t d = 0; d < sec_tokens_info(t)->n_docs; d++) {
        uint64_t doc[5] = {sec_tokens_doc_bytes(t, d)};
        uint32_t len;
        uint16_t source;
        sec_tokens_doc(t, d, &doc[1], &len, &source, &doc[2]);
        doc[3] = len;
        doc[4] = source;
        *hash = sec_hash64(doc, sizeof doc, *hash);
    }
    for (uint64_t c = 0; c < sec_tokens_info(t)->n_chunks && !rc; c++) {
        uint32_t n;
        rc = sec_tokens_chunk(t, c, chunk, &n);
        if (!rc)
            *hash = sec_hash64(chunk, n * sizeof *chunk, *hash);
    }
    sec_tokens_close(t);
    return rc;
}

static uint64_t true_hash;

static void flip_bit(const char *path, uint64_t byte, unsigned bit)
{
    uint8_t v;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &v, 1, (off_t)byte), 1);
    v ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(fd, &v, 1, (off_t)byte), 1);
    close(fd);
}

/* A flipped bit is either reported or does not change a single value that is read. */
static bool flip_is_safe(const char *path, uint64_t byte, unsigned bit)
{
    uint64_t hash = 0;
    flip_bit(path, byte, bit);
    int rc = read_all(dir, &hash);
    if (rc)
        assert_true(strlen(sec_error()) > 10 && !strchr(sec_error(), '\n'));
    else
        assert_int_equal(hash, true_hash);
    flip_bit(path, byte, bit);
    return rc != 0;
}

static void every_region_is_guarded(void **state)
{
    struct sec_tokmanifest m;
    struct sec_tokfile f;
    char path[512];
    size_t k = 0;
    assert_ok(read_all(dir, &true_hash));
    assert_ok(sec_tokmanifest_read(dir, &m));
    while (m.shards[k].split != SEC_SPLIT_IDTS)
        k++;
    snprintf(path, sizeof path, "%s/%s", dir, m.shards[k].path);
    assert_ok(sec_tokfile_open(path, &m.shards[k], &f));
    const struct {
        const unsigned char *table;
        uint64_t bytes;
    } tables[] = {
        {f.doc_off, 8 * (f.n_docs + 1)}, {f.doc_src, 2 * f.n_docs},
        {f.doc_hash, 8 * f.n_docs},      {f.doc_bytes, 4 * f.n_docs},
        {f.chunk_addr, 8 * f.n_chunks},  {f.chunk_len, 4 * f.n_chunks},
        {f.chunk_xxh3, 8 * f.n_chunks},
    };
    uint64_t at[7], n[7], addr;
    uint32_t len;
    for (int i = 0; i < 7; i++) {
        at[i] = (uint64_t)(tables[i].table - f.map);
        n[i] = tables[i].bytes;
    }
    memcpy(&addr, f.chunk_addr, 8);
    memcpy(&len, f.chunk_len, 4);
    uint64_t size = f.size;
    sec_tokfile_close(&f);
    for (int i = 0; i < 7; i++)
        for (uint64_t b = 0; b < n[i]; b += n[i] / 5 + 1)
            assert_true(flip_is_safe(path, at[i] + b, (unsigned)(b % 8)));
    for (uint32_t b = 0; b < len; b += len / 9 + 1) /* zstd's frame flags may hold an unused bit */
        assert_true(flip_is_safe(path, addr + b, 3) || b == 0);
    for (uint64_t b = 0; b < size; b += size / 400 + 1) /* anywhere, HDF5's own structures too */
        flip_is_safe(path, b, (unsigned)(b % 8));
    for (uint64_t b = 0; b < 96; b++) /* the superblock */
        flip_is_safe(path, b, (unsigned)(b % 8));
    sec_tokmanifest_free(&m);
    assert_ok(read_all(dir, &n[0]));
    assert_int_equal(n[0], true_hash);
}

static void damaged_manifest_is_refused(void **state)
{
    struct sec_buf text = {0};
    char path[512];
    uint64_t hash;
    snprintf(path, sizeof path, "%s/MANIFEST.jsonl", dir);
    assert_ok(sec_read_file(path, &text));
    for (size_t n = 0; n < text.len; n += text.len / 40 + 1) { /* cut */
        assert_ok(sec_write_file(path, text.data, n));
        assert_int_not_equal(read_all(dir, &hash), 0);
        assert_non_null(strstr(sec_error(), "MANIFEST.jsonl"));
    }
    assert_ok(sec_write_file(path, text.data, text.len));
    for (size_t i = 0; i < text.len; i++) { /* no flipped bit is followed blindly */
        flip_bit(path, i, (unsigned)(i % 7));
        read_all(dir, &hash);
        flip_bit(path, i, (unsigned)(i % 7));
    }
    assert_ok(sec_write_file(path, "{\"format\":\"secencoder-corpus\"}\n", 31));
    assert_int_equal(read_all(dir, &hash), SEC_EDATA);
    assert_non_null(strstr(sec_error(), "not a token data set"));
    assert_ok(sec_write_file(path, text.data, text.len));
    assert_ok(read_all(dir, &hash));
    sec_buf_free(&text);
}

static void cut_shard_is_refused(void **state)
{
    struct sec_tokmanifest m;
    char path[512], moved[600];
    uint64_t hash;
    assert_ok(sec_tokmanifest_read(dir, &m));
    snprintf(path, sizeof path, "%s/%s", dir, m.shards[m.n_shards - 1].path);
    snprintf(moved, sizeof moved, "%s.moved", path);
    struct sec_buf whole = {0};
    assert_ok(sec_read_file(path, &whole));
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(read_all(dir, &hash), SEC_EDATA);
    assert_non_null(strstr(sec_error(), "missing"));
    assert_ok(sec_write_file(path, whole.data, whole.len - 1));
    assert_int_equal(read_all(dir, &hash), SEC_EDATA);
    assert_int_equal(rename(moved, path), 0);
    assert_ok(read_all(dir, &hash));
    sec_buf_free(&whole);
    sec_tokmanifest_free(&m);
}

/* ---- full disk ---- */

static int write_small(const char *where)
{
    static const char *const sources[] = {"one"};
    static const uint16_t ids[] = {7, 8, 9};
    struct sec_tokwriter_options o = {.dir = where,
                                      .tokenizer_fingerprint = "f",
                                      .vocab_size = 10,
                                      .tokens_per_shard = 4,
                                      .sources = sources,
                                      .n_sources = 1,
                                      .threads = 1};
    struct sec_tokwriter *w;
    struct sec_tokshard_info *made = NULL;
    size_t n = 0;
    int rc = sec_tokwriter_open(&o, &w);
    for (int d = 0; !rc && d < 3; d++) {
        struct sec_tokdoc doc = {ids, 3, 0, 1, 5};
        rc = sec_tokwriter_add(w, &doc);
        if (rc)
            sec_tokwriter_abort(w);
    }
    if (!rc)
        rc = sec_tokwriter_close(w, &made, &n);
    for (size_t i = 0; i < n; i++)
        free(made[i].path);
    free(made);
    return rc;
}

/* The k-th write fails, for every k until all succeed: each time one line with the cause, and
 * nothing left behind. Another process each time, because fault points are read once. */
static void full_disk_at_every_write(void **state)
{
    static const char *const kinds[] = {"write", "fsync", "rename"};
    for (size_t kind = 0; kind < 3; kind++)
        for (int k = 1;; k++) {
            char fault[32];
            char *where = scratch_dir();
            snprintf(fault, sizeof fault, "%s:%d", kinds[kind], k);
            pid_t pid = fork();
            assert_true(pid >= 0);
            if (!pid) {
                setenv("SECENC_FAULT", fault, 1);
                execl("/proc/self/exe", "test_tokshard", "write", where, (char *)NULL);
                _exit(9);
            }
            int status;
            assert_int_equal(waitpid(pid, &status, 0), pid);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
            struct sec_list left = {0};
            assert_ok(sec_list_dir(where, &left));
            assert_int_equal(left.n, WEXITSTATUS(status) == 0 ? 3 : 0);
            sec_list_free(&left);
            scratch_free(where);
            if (WEXITSTATUS(status) == 0) {
                assert_true(k > (kind == 0 ? 20 : 3));
                break;
            }
        }
}

int main(int argc, char **argv)
{
    if (argc == 3) { /* the child of full_disk_at_every_write */
        int rc = write_small(argv[2]);
        return !rc ? 0 : rc == SEC_EFAIL && strstr(sec_error(), "No space") ? 1 : 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_disk_at_every_write),
        cmocka_unit_test(reads_back_every_token),
        cmocka_unit_test(hdf5_reads_the_same),
        cmocka_unit_test(equal_builds_have_equal_fingerprints),
        cmocka_unit_test(empty_split_is_named),
        cmocka_unit_test(every_region_is_guarded),
        cmocka_unit_test(damaged_manifest_is_refused),
        cmocka_unit_test(cut_shard_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
