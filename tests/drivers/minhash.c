/* MinHash of given documents, for comparison with other programs:
 *
 *   minhash sign DOCS OUT [SHINGLE]
 *   minhash draws DOCS OUT PAIRS DRAWS
 *
 * DOCS: u32 n, u32 lengths[n], the texts.
 *
 * sign leaves
 *   OUT.masked      u32 lengths[n], the masked texts
 *   OUT.signatures  u32 [n][128]
 *   OUT.keys        u64 [n][16]
 *   OUT.pairs       {u32 a, b; f64 similarity}: every pair a < b that shares a band key, with its
 *                   exact similarity
 * and prints the seconds that masking and signing took, and those of the pairs.
 *
 * draws: PAIRS holds {u32 a, b, group}. The functions are drawn anew DRAWS times; OUT.draws gets
 * u64 [DRAWS][groups][2]: pairs of the group that share a band key, equal minima of its pairs. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "data/minhash_impl.h"
#include "data/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BANDS = 16, ROWS = 8 };

struct work {
    struct sec_buf in;
    const char *out;
    struct sec_minhash_options o;
    uint32_t n;
    const uint32_t *len;
    const char **text;
    struct sec_shingler shingler;
    uint32_t (*signature)[SEC_MINHASH_N];
    uint64_t (*keys)[BANDS];
    struct sec_shingle_set *set;
    size_t n_pairs;
};

static int open_out(const struct work *w, const char *suffix, FILE **f)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.%s", w->out, suffix);
    *f = fopen(path, "wb");
    return *f ? 0 : sec_fail(SEC_EFAIL, "%s: cannot write", path);
}

static int read_documents(struct work *w, const char *path)
{
    int rc = sec_read_file(path, &w->in);
    if (rc)
        return rc;
    w->n = *(uint32_t *)w->in.data;
    w->len = (uint32_t *)w->in.data + 1;
    const char *p = (const char *)(w->len + w->n);
    w->text = calloc(w->n + 1u, sizeof *w->text);
    w->signature = calloc(w->n + 1u, sizeof *w->signature);
    w->keys = calloc(w->n + 1u, sizeof *w->keys);
    w->set = calloc(w->n + 1u, sizeof *w->set);
    if (!w->text || !w->signature || !w->keys || !w->set)
        return sec_fail(SEC_ENOMEM, "out of memory for %u documents", w->n);
    for (uint32_t i = 0; i < w->n; p += w->len[i++])
        w->text[i] = p;
    return p == w->in.data + w->in.len ? 0 : sec_fail(SEC_EDATA, "%s: wrong lengths", path);
}

static int mask(struct work *w)
{
    struct sec_buf all = {0};
    FILE *f = NULL;
    int rc;
    SEC_TRY(open_out(w, "masked", &f));
    for (uint32_t i = 0; i < w->n; i++) {
        SEC_TRY(sec_buf_reserve(&all, w->len[i] + 1));
        uint32_t len = (uint32_t)sec_template_mask(w->text[i], w->len[i], all.data + all.len);
        all.len += len;
        fwrite(&len, sizeof len, 1, f);
    }
    if (fwrite(all.data, 1, all.len, f) != all.len)
        rc = sec_fail(SEC_EFAIL, "%s.masked: cannot write", w->out);
fail:
    if (f && fclose(f) && !rc)
        rc = sec_fail(SEC_EFAIL, "%s.masked: cannot write", w->out);
    sec_buf_free(&all);
    return rc;
}

static const struct work *sorting;
static unsigned sorting_band;

static int by_key(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    uint64_t x = sorting->keys[i][sorting_band], y = sorting->keys[j][sorting_band];
    return x < y ? -1 : x > y ? 1 : i < j ? -1 : i > j;
}

static bool shared_before(const struct work *w, uint32_t i, uint32_t j, unsigned band)
{
    for (unsigned b = 0; b < band; b++)
        if (w->keys[i][b] == w->keys[j][b])
            return true;
    return false;
}

static int write_pair(struct work *w, FILE *f, uint32_t i, uint32_t j)
{
    struct {
        uint32_t a, b;
        double similarity;
    } pair = {i, j, sec_shingle_jaccard(&w->set[i], &w->set[j])};
    w->n_pairs++;
    return fwrite(&pair, sizeof pair, 1, f) == 1 ? 0 : sec_fail(SEC_EFAIL, "cannot write pairs");
}

static int pairs(struct work *w)
{
    int rc = 0;
    FILE *f = NULL;
    uint32_t *order = malloc((w->n + 1u) * sizeof *order);
    if (!order)
        return sec_fail(SEC_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < w->n; i++) {
        SEC_TRY(sec_shingle(&w->shingler, &w->o, w->text[i], w->len[i]));
        SEC_TRY(sec_shingle_set_make(w->shingler.hash, w->shingler.n, &w->set[i]));
        order[i] = i;
    }
    SEC_TRY(open_out(w, "pairs", &f));
    sorting = w;
    for (sorting_band = 0; sorting_band < BANDS; sorting_band++) {
        unsigned b = sorting_band;
        qsort(order, w->n, sizeof *order, by_key);
        for (uint32_t i = 0; i < w->n; i++)
            for (uint32_t j = i + 1; j < w->n && w->keys[order[i]][b] == w->keys[order[j]][b]; j++)
                if (!shared_before(w, order[i], order[j], b))
                    SEC_TRY(write_pair(w, f, order[i], order[j]));
    }
fail:
    if (f && fclose(f) && !rc)
        rc = sec_fail(SEC_EFAIL, "cannot write pairs");
    free(order);
    return rc;
}

static int write_file(const struct work *w, const char *suffix, const void *p, size_t size)
{
    FILE *f;
    int rc = open_out(w, suffix, &f);
    if (rc)
        return rc;
    bool ok = fwrite(p, 1, size, f) == size;
    return !fclose(f) && ok ? 0 : sec_fail(SEC_EFAIL, "%s.%s: cannot write", w->out, suffix);
}

static int sign(struct work *w)
{
    int rc;
    double t0 = sec_now();
    for (uint32_t i = 0; i < w->n; i++) {
        SEC_TRY(sec_shingle(&w->shingler, &w->o, w->text[i], w->len[i]));
        sec_minhash_sign(w->shingler.hash, w->shingler.n, w->signature[i]);
        sec_minhash_keys(w->signature[i], BANDS, ROWS, w->keys[i]);
    }
    double t1 = sec_now();
    SEC_TRY(pairs(w));
    printf("sign_seconds %.6f\npair_seconds %.6f\npairs %zu\n", t1 - t0, sec_now() - t1,
           w->n_pairs);
    SEC_TRY(mask(w));
    SEC_TRY(write_file(w, "signatures", w->signature, w->n * sizeof *w->signature));
    SEC_TRY(write_file(w, "keys", w->keys, w->n * sizeof *w->keys));
fail:
    return rc;
}

struct pair {
    uint32_t a, b, group;
};

static void count(const struct work *w, const struct pair *pair, size_t n, uint64_t (*hits)[2])
{
    for (size_t k = 0; k < n; k++) {
        const uint32_t *x = w->signature[pair[k].a], *y = w->signature[pair[k].b];
        uint32_t equal = 0;
        bool shared = false;
        for (int b = 0; b < BANDS; b++) {
            uint32_t rows = 0;
            for (int r = 0; r < ROWS; r++)
                rows += x[b * ROWS + r] == y[b * ROWS + r];
            equal += rows;
            shared |= rows == ROWS;
        }
        hits[pair[k].group][0] += shared;
        hits[pair[k].group][1] += equal;
    }
}

static int draws(struct work *w, const char *pairs_path, unsigned long n_draws)
{
    int rc = 0;
    struct sec_buf in = {0};
    uint32_t groups = 0, **shingles = calloc(w->n, sizeof *shingles);
    size_t *n = calloc(w->n, sizeof *n);
    uint64_t(*hits)[2] = NULL;
    if (!shingles || !n) {
        rc = sec_fail(SEC_ENOMEM, "out of memory");
        goto fail;
    }
    SEC_TRY(sec_read_file(pairs_path, &in));
    const struct pair *pair = (const struct pair *)in.data;
    size_t n_pairs = in.len / sizeof *pair;
    for (size_t k = 0; k < n_pairs; k++)
        groups = pair[k].group >= groups ? pair[k].group + 1 : groups;
    hits = calloc(n_draws * groups, sizeof *hits);
    for (uint32_t i = 0; i < w->n; i++) { /* each takes the shingler's array over */
        SEC_TRY(sec_shingle(&w->shingler, &w->o, w->text[i], w->len[i]));
        shingles[i] = w->shingler.hash;
        n[i] = w->shingler.n;
        w->shingler.hash = NULL;
        w->shingler.cap = 0;
    }
    for (unsigned long d = 0; hits && d < n_draws; d++) {
        struct sec_minhash_functions f;
        sec_minhash_draw(d + 1, &f);
        for (uint32_t i = 0; i < w->n; i++)
            sec_minhash_sign_with(&f, shingles[i], n[i], w->signature[i]);
        count(w, pair, n_pairs, hits + d * groups);
    }
    rc = hits ? write_file(w, "draws", hits, n_draws * groups * sizeof *hits)
              : sec_fail(SEC_ENOMEM, "out of memory");
fail:
    for (uint32_t i = 0; shingles && i < w->n; i++)
        free(shingles[i]);
    free(shingles);
    free(n);
    free(hits);
    sec_buf_free(&in);
    return rc;
}

int main(int argc, char **argv)
{
    struct work w = {.o = {5, false, BANDS, ROWS, 0.8}};
    int rc = SEC_EUSAGE;
    bool drawing = argc == 6 && !strcmp(argv[1], "draws");
    if (!drawing && (argc < 4 || argc > 5 || strcmp(argv[1], "sign") != 0)) {
        fputs("usage: minhash sign DOCS OUT [SHINGLE] | minhash draws DOCS OUT PAIRS DRAWS\n",
              stderr);
        return 2;
    }
    w.out = argv[3];
    if (argc == 5)
        SEC_TRY(sec_minhash_parse_shingle(argv[4], &w.o));
    SEC_TRY(read_documents(&w, argv[2]));
    SEC_TRY(drawing ? draws(&w, argv[4], strtoul(argv[5], NULL, 10)) : sign(&w));
fail:
    if (rc)
        fprintf(stderr, "minhash: %s\n", sec_error());
    for (uint32_t i = 0; w.set && i < w.n; i++)
        sec_shingle_set_free(&w.set[i]);
    sec_shingler_free(&w.shingler);
    free(w.set);
    free(w.text);
    free(w.signature);
    free(w.keys);
    sec_buf_free(&w.in);
    return sec_exit_code(rc);
}
