#include "data/sketch.h"

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/sealed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct record {
    uint8_t v[SEC_MINHASH_N];
    uint64_t check;
};

enum { AT_ONCE = 512 };

struct sec_sketch_writer {
    struct sec_atomic file;
    struct record v[AT_ONCE];
    size_t n;
    uint64_t written;
};

int sec_sketch_create(const char *path, struct sec_sketch_writer **out)
{
    struct sec_sketch_writer *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return sec_fail(SEC_ENOMEM, "%s: out of memory for sketches", path);
    int rc = sec_atomic_open(&w->file, path);
    if (rc)
        free(w);
    else
        *out = w;
    return rc;
}

static int flush(struct sec_sketch_writer *w)
{
    int rc = w->n ? sec_atomic_write(&w->file, w->v, w->n * sizeof *w->v) : 0;
    w->written += w->n;
    w->n = 0;
    return rc;
}

static uint64_t check(const struct record *r, uint64_t i)
{
    return sec_hash64(r->v, sizeof r->v, i);
}

void sec_sketch_of(const uint32_t signature[SEC_MINHASH_N], uint8_t sketch[SEC_MINHASH_N])
{
    for (int i = 0; i < SEC_MINHASH_N; i++)
        sketch[i] = (uint8_t)signature[i];
}

void sec_sketch_keys(const uint8_t sketch[SEC_MINHASH_N], unsigned bands, unsigned rows,
                     uint64_t *keys)
{
    for (unsigned b = 0; b < bands; b++)
        keys[b] = sec_hash64(sketch + (size_t)b * rows, rows, b);
}

int sec_sketch_add(struct sec_sketch_writer *w, const uint32_t signature[SEC_MINHASH_N])
{
    struct record *r = &w->v[w->n];
    sec_sketch_of(signature, r->v);
    r->check = check(r, w->written + w->n);
    return ++w->n == AT_ONCE ? flush(w) : 0;
}

int sec_sketch_skip(struct sec_sketch_writer *w)
{
    static const uint32_t none[SEC_MINHASH_N];
    return sec_sketch_add(w, none);
}

int sec_sketch_seal(struct sec_sketch_writer *w)
{
    if (!w)
        return 0;
    int rc = flush(w);
    if (!rc)
        rc = sec_atomic_commit_unsynced(&w->file);
    sec_sketch_abort(w);
    return rc;
}

void sec_sketch_abort(struct sec_sketch_writer *w)
{
    if (!w)
        return;
    sec_atomic_abort(&w->file);
    free(w);
}

int sec_sketch_read(int fd, const char *path, uint64_t i, uint8_t sketch[SEC_MINHASH_N])
{
    struct record r;
    int rc = sec_pread_full(fd, &r, sizeof r, i * sizeof r, path);
    if (rc && rc != SEC_EDATA)
        return rc;
    if (rc || check(&r, i) != r.check) {
        sec_set_aside(path);
        return sec_fail(SEC_EDATA,
                        "%s: byte %llu: damaged sketch; set aside as %s.damaged, run the command "
                        "again to make it anew",
                        path, (unsigned long long)(i * sizeof r), path);
    }
    memcpy(sketch, r.v, sizeof r.v);
    return 0;
}

double sec_sketch_similarity(const uint8_t a[SEC_MINHASH_N], const uint8_t b[SEC_MINHASH_N])
{
    unsigned same = 0;
    for (int i = 0; i < SEC_MINHASH_N; i++)
        same += a[i] == b[i];
    return (same / (double)SEC_MINHASH_N - 1 / 256.) / (1 - 1 / 256.);
}

double sec_sketch_threshold(double least)
{
    double p = least + (1 - least) / 256;
    return least - 3.5 * sqrt(p * (1 - p) / SEC_MINHASH_N) / (1 - 1 / 256.);
}
