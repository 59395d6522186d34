#include "eval/vectors.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NPY_HEADER = 128 };

struct sec_vectors {
    struct sec_vectors_options o;
    struct sec_atomic file;
    bool to_file, keep;
    uint64_t n;
    float *kept; /* [n, width] */
    uint64_t *kept_tokens;
    size_t cap;
    float *scratch; /* [width] */
    struct sec_buf text;
};

static int put(struct sec_vectors *s, const void *p, size_t n)
{
    if (s->to_file)
        return sec_atomic_write(&s->file, p, n);
    if (fwrite(p, 1, n, stdout) != n)
        return sec_fail_errno(errno, "standard output: cannot write");
    return 0;
}

/* The magic string, version 1.0, the length of the dictionary, the dictionary padded with blanks to
 * a multiple of 64 (numpy.lib.format). */
static void npy_header(uint64_t rows, size_t width, unsigned char out[NPY_HEADER])
{
    memset(out, ' ', NPY_HEADER);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = NPY_HEADER - 10;
    out[9] = 0;
    char dict[NPY_HEADER];
    int n = snprintf(dict, sizeof dict,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ", %zu), }",
                     rows, width);
    memcpy(out + 10, dict, (size_t)n);
    out[NPY_HEADER - 1] = '\n';
}

static int put_npy_header(struct sec_vectors *s, uint64_t rows)
{
    unsigned char header[NPY_HEADER];
    npy_header(rows, s->o.width, header);
    return put(s, header, sizeof header);
}

int sec_vectors_open(const struct sec_vectors_options *o, struct sec_vectors **out)
{
    struct sec_vectors *s = calloc(1, sizeof *s);
    int rc = 0;
    if (!s)
        return sec_fail(SEC_ENOMEM, "no memory for vectors");
    s->o = *o;
    s->scratch = malloc(o->width * sizeof *s->scratch);
    if (!s->scratch) {
        rc = sec_fail(SEC_ENOMEM, "no memory for a vector of %zu numbers", o->width);
        goto fail;
    }
    if (*o->path && strcmp(o->path, "-")) {
        SEC_TRY(sec_atomic_open(&s->file, o->path));
        s->to_file = true;
    }
    s->keep = o->center || (o->format == SEC_VECTORS_NPY && !s->to_file);
    if (o->format == SEC_VECTORS_NPY && !s->keep)
        SEC_TRY(put_npy_header(s, 0)); /* written again when N is known */
    *out = s;
    return 0;
fail:
    sec_vectors_abort(s);
    return rc;
}

static void normalize(float *v, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += (double)v[i] * (double)v[i];
    if (sum > 0)
        for (size_t i = 0; i < width; i++)
            v[i] = (float)(v[i] / sqrt(sum));
}

static int put_json(struct sec_vectors *s, uint64_t index, uint64_t tokens, const float *v)
{
    int rc;
    sec_buf_clear(&s->text);
    SEC_TRY(sec_buf_printf(
        &s->text, "{\"index\":%" PRIu64 ",\"tokens\":%" PRIu64 ",\"embedding\":[", index, tokens));
    for (size_t i = 0; i < s->o.width; i++)
        SEC_TRY(sec_buf_printf(&s->text, "%s%.9g", i ? "," : "", (double)v[i]));
    SEC_TRY(sec_buf_adds(&s->text, "]}\n"));
    rc = put(s, s->text.data, s->text.len);
fail:
    return rc;
}

static int put_vector(struct sec_vectors *s, uint64_t index, uint64_t tokens, float *v)
{
    if (s->o.normalize)
        normalize(v, s->o.width);
    for (size_t i = 0; i < s->o.width; i++)
        if (!isfinite(v[i]))
            return sec_fail(SEC_EFAIL, "vector %" PRIu64 " is not finite: is the model damaged?",
                            index);
    return s->o.format == SEC_VECTORS_NPY ? put(s, v, s->o.width * sizeof *v)
                                          : put_json(s, index, tokens, v);
}

static int keep(struct sec_vectors *s, uint64_t tokens, const float *v)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 1024;
        float *more = realloc(s->kept, cap * s->o.width * sizeof *more);
        s->kept = more ? more : s->kept;
        uint64_t *counts = more ? realloc(s->kept_tokens, cap * sizeof *counts) : NULL;
        s->kept_tokens = counts ? counts : s->kept_tokens;
        if (!more || !counts)
            return sec_fail(SEC_ENOMEM,
                            "no memory for %zu vectors of %zu numbers: write to a file (-o) and "
                            "leave --center out, or give fewer lines",
                            cap, s->o.width);
        s->cap = cap;
    }
    memcpy(s->kept + s->n * s->o.width, v, s->o.width * sizeof *v);
    s->kept_tokens[s->n] = tokens;
    return 0;
}

int sec_vectors_add(void *ctx, uint64_t index, uint64_t n_tokens, const float *v)
{
    struct sec_vectors *s = ctx;
    int rc;
    if (s->keep) {
        rc = keep(s, n_tokens, v);
    } else {
        memcpy(s->scratch, v, s->o.width * sizeof *v);
        rc = put_vector(s, index, n_tokens, s->scratch);
    }
    s->n += !rc;
    return rc;
}

static int center(struct sec_vectors *s)
{
    double *mean = calloc(s->o.width, sizeof *mean);
    if (!mean)
        return sec_fail(SEC_ENOMEM, "no memory for the mean vector");
    for (size_t r = 0; r < s->n; r++)
        for (size_t i = 0; i < s->o.width; i++)
            mean[i] += s->kept[r * s->o.width + i];
    for (size_t r = 0; r < s->n; r++)
        for (size_t i = 0; i < s->o.width; i++) {
            float *x = &s->kept[r * s->o.width + i];
            *x = (float)(*x - mean[i] / (double)s->n);
        }
    free(mean);
    return 0;
}

static int write_kept(struct sec_vectors *s)
{
    int rc = 0;
    if (s->o.center)
        SEC_TRY(center(s));
    if (s->o.format == SEC_VECTORS_NPY)
        SEC_TRY(put_npy_header(s, s->n));
    for (size_t r = 0; r < s->n; r++)
        SEC_TRY(put_vector(s, r, s->kept_tokens[r], s->kept + r * s->o.width));
fail:
    return rc;
}

/* The header of a file that was written before N was known. */
static int rewrite_header(struct sec_vectors *s)
{
    unsigned char header[NPY_HEADER];
    npy_header(s->n, s->o.width, header);
    errno = 0;
    if (pwrite(s->file.fd, header, sizeof header, 0) != (ssize_t)sizeof header)
        return sec_fail_errno(errno, "%s: cannot write the header", s->o.path);
    return 0;
}

int sec_vectors_close(struct sec_vectors *s)
{
    int rc = 0;
    if (s->keep)
        SEC_TRY(write_kept(s));
    else if (s->o.format == SEC_VECTORS_NPY)
        SEC_TRY(rewrite_header(s));
    if (s->to_file) {
        rc = sec_atomic_commit(&s->file);
        s->to_file = false;
    }
fail:
    sec_vectors_abort(s);
    return rc;
}

void sec_vectors_abort(struct sec_vectors *s)
{
    if (!s)
        return;
    if (s->to_file)
        sec_atomic_abort(&s->file);
    free(s->kept);
    free(s->kept_tokens);
    free(s->scratch);
    sec_buf_free(&s->text);
    free(s);
}
