/* Parts of near-duplicate removal, one core: masks, signatures, verification. */
#include "base/error.h"
#include "data/minhash.h"
#include "data/template.h"
#include "tools/bench.h"

#include <stdlib.h>
#include <string.h>

enum { DOCUMENT = 4096, SETS = 1024 };

struct dedup_run {
    const struct sec_buf *text;
    size_t *at; /* [n + 1] where documents begin */
    size_t n, n_sets;
    char *masked;
    struct sec_minhash_options o;
    struct sec_shingler shingler;
    struct sec_shingle_set *set;
};

/* Documents of whole lines, 4 KiB at most unless a line is longer. */
static int cut(struct dedup_run *r)
{
    const struct sec_buf *t = r->text;
    r->at = malloc((t->len + 1) * sizeof *r->at);
    if (!r->at)
        return sec_fail(SEC_ENOMEM, "out of memory for documents");
    for (size_t at = 0; at < t->len; r->n++) {
        r->at[r->n] = at;
        size_t room = t->len - at < DOCUMENT ? t->len - at : DOCUMENT;
        const char *from = t->data + at, *end = memrchr(from, '\n', room);
        if (!end)
            end = memchr(from + room - 1, '\n', t->len - at - room + 1);
        at = end ? (size_t)(end - t->data) + 1 : t->len;
    }
    r->at[r->n] = t->len;
    return 0;
}

static int mask_all(void *ctx)
{
    struct dedup_run *r = ctx;
    for (size_t i = 0; i < r->n; i++)
        sec_template_mask(r->text->data + r->at[i], r->at[i + 1] - r->at[i], r->masked);
    return 0;
}

static int sign_all(void *ctx)
{
    struct dedup_run *r = ctx;
    uint32_t signature[SEC_MINHASH_N];
    uint64_t keys[16];
    for (size_t i = 0; i < r->n; i++) {
        int rc =
            sec_shingle(&r->shingler, &r->o, r->text->data + r->at[i], r->at[i + 1] - r->at[i]);
        if (rc)
            return rc;
        sec_minhash_sign(r->shingler.hash, r->shingler.n, signature);
        sec_minhash_keys(signature, r->o.bands, r->o.rows, keys);
    }
    return 0;
}

static int sign_only(void *ctx)
{
    struct dedup_run *r = ctx;
    uint32_t signature[SEC_MINHASH_N];
    for (size_t i = 0; i < SETS; i++)
        sec_minhash_sign(r->shingler.hash, r->shingler.n, signature);
    return 0;
}

static int make_sets(void *ctx)
{
    struct dedup_run *r = ctx;
    for (size_t i = 0; i < r->n_sets; i++) {
        size_t d = r->n * i / r->n_sets;
        sec_shingle_set_free(&r->set[i]);
        int rc =
            sec_shingle(&r->shingler, &r->o, r->text->data + r->at[d], r->at[d + 1] - r->at[d]);
        if (!rc)
            rc = sec_shingle_set_make(r->shingler.hash, r->shingler.n, &r->set[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int compare_sets(void *ctx)
{
    struct dedup_run *r = ctx;
    double sum = 0;
    for (size_t i = 0; i < r->n_sets; i++)
        sum += sec_shingle_jaccard(&r->set[i], &r->set[(i + 1) % r->n_sets]);
    return sum < 0 ? SEC_EFAIL : 0;
}

int sec_bench_dedup(struct sec_bench *b, const struct sec_buf *text)
{
    struct dedup_run r = {.text = text, .o = {5, false, 16, 8, 0.8}};
    double mb = 1e-6 * (double)text->len;
    int rc;
    SEC_TRY(cut(&r));
    r.n_sets = r.n < SETS ? r.n : SETS;
    r.masked = malloc(text->len + 1);
    r.set = calloc(r.n_sets, sizeof *r.set);
    if (!r.masked || !r.set) {
        rc = sec_fail(SEC_ENOMEM, "out of memory for masked text");
        goto fail;
    }
    SEC_TRY(sec_bench_time(b, "mask values, 1 thread", "MB/s", mb, 0, mask_all, &r));
    SEC_TRY(sec_bench_time(b, "mask, shingle and sign, 1 thread", "MB/s", mb, 0, sign_all, &r));
    SEC_TRY(sec_bench_time(b, "128 hashes alone, 1 thread", "M shingles/s",
                           1e-6 * (double)r.shingler.n * SETS, 0, sign_only, &r));
    SEC_TRY(sec_bench_time(b, "make shingle set, 1 thread", "sets/s", (double)r.n_sets, 0,
                           make_sets, &r));
    SEC_TRY(sec_bench_time(b, "verify (exact similarity), 1 thread", "pairs/s", (double)r.n_sets, 0,
                           compare_sets, &r));
fail:
    for (size_t i = 0; r.set && i < r.n_sets; i++)
        sec_shingle_set_free(&r.set[i]);
    free(r.set);
    free(r.masked);
    free(r.at);
    sec_shingler_free(&r.shingler);
    return rc;
}
