#include "data/tokenizer_inputs.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/ranks.h"
#include "data/textshard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- listing ---- */

static int add_file(struct sec_train_inputs *in, const char *path, uint64_t from, uint64_t end)
{
    if (in->n_files == in->cap_files) {
        size_t cap = in->cap_files ? 2 * in->cap_files : 64;
        void *grown = realloc(in->files, cap * sizeof *in->files);
        if (!grown)
            return sec_fail(SEC_ENOMEM, "no memory for %zu inputs", cap);
        in->files = grown;
        in->cap_files = cap;
    }
    char *copy = strdup(path);
    if (!copy)
        return sec_fail(SEC_ENOMEM, "%s: no memory", path);
    in->files[in->n_files++] = (struct sec_train_file){copy, from, end};
    return 0;
}

static int add_corpus(struct sec_train_inputs *in, const char *root)
{
    struct sec_corpus c;
    int rc = sec_corpus_open(root, &c);
    if (rc)
        return rc;
    for (size_t i = 0; i < c.n_shards && !rc; i++) {
        if (c.shards[i].split != SEC_SPLIT_TRAIN)
            continue;
        char *path = sec_path_join(c.root, c.shards[i].path);
        rc = path ? sec_list_add(&in->shards, path) : sec_fail(SEC_ENOMEM, "%s: no memory", root);
        free(path);
    }
    sec_corpus_close(&c);
    return rc;
}

int sec_train_inputs_add(struct sec_train_inputs *in, const char *path)
{
    if (!sec_is_dir(path))
        return add_file(in, path, 0, UINT64_MAX);
    char *manifest = sec_path_join(path, "MANIFEST.jsonl");
    bool corpus = manifest && sec_exists(manifest);
    free(manifest);
    if (corpus)
        return add_corpus(in, path);
    struct sec_list found = {0};
    int rc = sec_walk(path, &found);
    for (size_t i = 0; i < found.n && !rc; i++)
        rc = add_file(in, found.v[i], 0, UINT64_MAX);
    sec_list_free(&found);
    return rc;
}

void sec_train_inputs_free(struct sec_train_inputs *in)
{
    for (size_t i = 0; i < in->n_files; i++)
        free(in->files[i].path);
    free(in->files);
    sec_list_free(&in->shards);
    *in = (struct sec_train_inputs){0};
}

/* ---- ranges ---- */

/* Whether a file is what it looks like from any line on: it begins with four characters of plain
 * text, which no packing or byte order mark that data/reader.h knows does, but bzip2. */
static bool is_plain(const char *path)
{
    unsigned char head[4] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool plain = fd >= 0 && read(fd, head, sizeof head) == sizeof head && memcmp(head, "BZh", 3);
    for (size_t i = 0; i < sizeof head; i++)
        plain = plain && (head[i] == '\t' || head[i] == '\n' || head[i] == '\r' ||
                          (head[i] >= ' ' && head[i] <= '~'));
    if (fd >= 0)
        close(fd);
    return plain;
}

/* The first start of a line at or after `at`. */
static int line_start(int fd, const char *path, uint64_t size, uint64_t *at)
{
    char buf[1 << 16];
    if (*at == 0)
        return 0;
    for (uint64_t pos = *at - 1; pos < size;) {
        size_t n = size - pos < sizeof buf ? (size_t)(size - pos) : sizeof buf;
        int rc = sec_pread_full(fd, buf, n, pos, path);
        if (rc)
            return rc;
        const char *nl = memchr(buf, '\n', n);
        if (nl) {
            *at = pos + (uint64_t)(nl - buf) + 1;
            return 0;
        }
        pos += n;
    }
    *at = size;
    return 0;
}

int sec_train_range_open(const struct sec_train_file *f, int *fd, uint64_t *at, uint64_t *end)
{
    *fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return sec_fail_errno(errno, "%s: cannot open", f->path);
    uint64_t size = (uint64_t)lseek(*fd, 0, SEEK_END);
    *at = f->from;
    *end = f->end;
    int rc = line_start(*fd, f->path, size, at);
    return rc ? rc : line_start(*fd, f->path, size, end);
}

/* ---- sharing out ---- */

enum { LEAST_RANGE = 1 << 20, MOST_RANGE = 1 << 30, RANGES_A_RANK = 8 };

struct unit {
    uint64_t cost;
    size_t number; /* of the file, or n_files + that of the shard */
    uint64_t from, end;
};

/* All ranks must mean the same files. */
static int check_same(const struct sec_train_inputs *in)
{
    uint64_t here[2] = {in->n_files + in->shards.n, 0}, first[2];
    for (size_t i = 0; i < in->n_files; i++)
        here[1] = sec_hash64(in->files[i].path, strlen(in->files[i].path), here[1]);
    for (size_t i = 0; i < in->shards.n; i++)
        here[1] = sec_hash64(in->shards.v[i], strlen(in->shards.v[i]), here[1]);
    memcpy(first, here, sizeof here);
    int rc = sec_ranks_bcast(first, sizeof first);
    if (!rc && memcmp(first, here, sizeof here))
        rc =
            sec_fail(SEC_EDISAGREE,
                     "rank %d sees %llu inputs, or others, than rank 0 (%llu); give files that all "
                     "ranks see",
                     sec_rank(), (unsigned long long)here[0], (unsigned long long)first[0]);
    return sec_ranks_agree(rc);
}

/* Bytes of every input, and whether it may be cut; as rank 0 finds them. */
static int look(const struct sec_train_inputs *in, uint64_t *size, unsigned char *plain)
{
    int rc = 0;
    for (size_t i = 0; i < in->n_files + in->shards.n && sec_rank() == 0; i++) {
        bool file = i < in->n_files;
        const char *path = file ? in->files[i].path : in->shards.v[i - in->n_files];
        int64_t bytes = sec_file_size(path);
        if (file && !strcmp(path, "-"))
            rc = sec_fail(SEC_EUSAGE, "standard input cannot be shared between ranks; give files");
        size[i] = bytes > 0 ? (uint64_t)bytes : 0;
        plain[i] = file && is_plain(path);
    }
    rc = sec_ranks_agree(rc);
    if (!rc)
        rc = sec_ranks_bcast(size, (in->n_files + in->shards.n) * sizeof *size);
    return rc ? rc : sec_ranks_bcast(plain, in->n_files + in->shards.n);
}

static int longest_first(const void *pa, const void *pb)
{
    const struct unit *a = pa, *b = pb;
    if (a->cost != b->cost)
        return a->cost > b->cost ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return (a->from > b->from) - (a->from < b->from);
}

static struct unit *cut(const uint64_t *size, const unsigned char *plain, size_t n, size_t *n_units)
{
    uint64_t total = 0, range;
    for (size_t i = 0; i < n; i++)
        total += size[i];
    range = total / ((uint64_t)sec_world() * RANGES_A_RANK);
    range = range < LEAST_RANGE ? LEAST_RANGE : range > MOST_RANGE ? MOST_RANGE : range;
    struct unit *units = malloc((n + total / range + 1) * sizeof *units);
    *n_units = 0;
    for (size_t i = 0; units && i < n; i++) {
        if (!plain[i] || size[i] <= range) {
            units[(*n_units)++] = (struct unit){size[i], i, 0, UINT64_MAX};
            continue;
        }
        for (uint64_t at = 0; at < size[i]; at += range) {
            uint64_t end = size[i] - at > range ? at + range : size[i];
            units[(*n_units)++] = (struct unit){end - at, i, at, end};
        }
    }
    if (units)
        qsort(units, *n_units, sizeof *units, longest_first);
    return units;
}

static int keep_mine(struct sec_train_inputs *in, const struct unit *units, size_t n,
                     uint64_t *load)
{
    struct sec_train_inputs mine = {0};
    size_t world = (size_t)sec_world();
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        size_t least = 0, k = units[i].number;
        for (size_t r = 1; r < world; r++)
            if (load[r] < load[least])
                least = r;
        load[least] += units[i].cost + 1;
        if (least != (size_t)sec_rank())
            continue;
        rc = k < in->n_files ? add_file(&mine, in->files[k].path, units[i].from, units[i].end)
                             : sec_list_add(&mine.shards, in->shards.v[k - in->n_files]);
    }
    sec_train_inputs_free(in);
    *in = mine;
    return rc;
}

int sec_train_inputs_share(struct sec_train_inputs *in)
{
    size_t n = in->n_files + in->shards.n, n_units = 0;
    struct unit *units = NULL;
    uint64_t *size = calloc(n + 1, sizeof *size), *load = calloc((size_t)sec_world(), sizeof *load);
    unsigned char *plain = calloc(n + 1, 1);
    int rc;
    SEC_TRY(check_same(in));
    rc = size && load && plain ? 0 : sec_fail(SEC_ENOMEM, "no memory for %zu inputs", n);
    SEC_TRY(sec_ranks_agree(rc));
    SEC_TRY(look(in, size, plain));
    units = cut(size, plain, n, &n_units);
    rc = units ? keep_mine(in, units, n_units, load)
               : sec_fail(SEC_ENOMEM, "no memory for %zu inputs", n);
    rc = sec_ranks_agree(rc);
fail:
    free(units);
    free(size);
    free(load);
    free(plain);
    return rc;
}
