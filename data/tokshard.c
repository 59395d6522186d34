#include "data/tokshard.h"

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/tokshard_manifest.h"
#include "data/tokshard_reader.h"

#include <stdlib.h>
#include <string.h>

struct sec_tokens {
    struct sec_tokmanifest manifest;
    struct sec_tokfile *files;
    size_t n_files;
    char *dir;
    const char **sources;
    struct sec_tokens_info info;
};

static uint64_t load64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t load32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint16_t load16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static int open_files(struct sec_tokens *t, const char *dir, enum sec_split split)
{
    int rc = 0;
    struct sec_tokens_info *in = &t->info;
    char *path = NULL;
    for (size_t i = 0; i < t->manifest.n_shards; i++) {
        const struct sec_tokshard_info *s = &t->manifest.shards[i];
        if (s->split != split)
            continue;
        struct sec_tokfile *f = &t->files[t->n_files];
        free(path);
        path = sec_path_join(dir, s->path);
        if (!path) {
            rc = sec_fail(SEC_ENOMEM, "no memory for the path of %s", s->path);
            goto fail;
        }
        SEC_TRY(sec_tokfile_open(path, s, f));
        t->n_files++;
        for (uint64_t d = 0; d < f->n_docs; d++)
            if (load16(f->doc_src + 2 * d) >= t->manifest.n_sources) {
                rc = sec_fail(SEC_EDATA, "%s: document %llu has source %u of %zu", path,
                              (unsigned long long)d, load16(f->doc_src + 2 * d),
                              t->manifest.n_sources);
                goto fail;
            }
        f->doc_base = in->n_docs;
        f->token_base = in->n_tokens;
        f->chunk_base = in->n_chunks;
        in->n_docs += f->n_docs;
        in->n_tokens += f->n_tokens;
        in->n_chunks += f->n_chunks;
        in->n_bytes += s->bytes;
    }
fail:
    free(path);
    return rc;
}

int sec_tokens_open(const char *dir, enum sec_split split, struct sec_tokens **out)
{
    int rc = 0;
    struct sec_tokens *t = calloc(1, sizeof *t);
    if (!t)
        return sec_fail(SEC_ENOMEM, "no memory to open %s", dir);
    SEC_TRY(sec_tokmanifest_read(dir, &t->manifest));
    t->files = calloc(t->manifest.n_shards + 1, sizeof *t->files);
    t->sources = calloc(t->manifest.n_sources + 1, sizeof *t->sources);
    t->dir = strdup(dir);
    if (!t->files || !t->sources || !t->dir) {
        rc = sec_fail(SEC_ENOMEM, "no memory to open %s", dir);
        goto fail;
    }
    for (size_t i = 0; i < t->manifest.n_sources; i++)
        t->sources[i] = t->manifest.sources[i].name;
    t->info = (struct sec_tokens_info){.fingerprint = t->manifest.fingerprint,
                                       .tokenizer_fingerprint = t->manifest.tokenizer,
                                       .dir = t->dir,
                                       .vocab_size = t->manifest.vocab_size,
                                       .n_sources = (uint16_t)t->manifest.n_sources,
                                       .sources = t->sources};
    SEC_TRY(open_files(t, dir, split));
    if (!t->info.n_docs) {
        rc = sec_fail(SEC_EDATA, "%s: split '%s' is empty; build the corpus with such documents",
                      dir, sec_split_names[split]);
        goto fail;
    }
    *out = t;
    return 0;
fail:
    sec_tokens_close(t);
    return rc;
}

void sec_tokens_close(struct sec_tokens *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_files; i++)
        sec_tokfile_close(&t->files[i]);
    sec_tokmanifest_free(&t->manifest);
    free(t->files);
    free(t->sources);
    free(t->dir);
    free(t);
}

int sec_tokens_intact(const struct sec_tokens *t)
{
    int rc = 0;
    for (size_t i = 0; i < t->n_files && !rc; i++)
        rc = sec_tokfile_intact(&t->files[i]);
    return rc;
}

const struct sec_tokens_info *sec_tokens_info(const struct sec_tokens *t)
{
    return &t->info;
}

/* The last file whose base is not above key: bases rise strictly, the first is 0. */
#define FIND_FILE(t, base, key, out)                                                               \
    do {                                                                                           \
        size_t lo_ = 0, hi_ = (t)->n_files;                                                        \
        while (hi_ - lo_ > 1) {                                                                    \
            size_t mid_ = lo_ + (hi_ - lo_) / 2;                                                   \
            if ((t)->files[mid_].base <= (key))                                                    \
                lo_ = mid_;                                                                        \
            else                                                                                   \
                hi_ = mid_;                                                                        \
        }                                                                                          \
        (out) = &(t)->files[lo_];                                                                  \
    } while (0)

int sec_tokens_chunk_ctx(const struct sec_tokens *t, struct sec_tokctx *c, uint64_t chunk,
                         uint16_t *out, uint32_t *n)
{
    const struct sec_tokfile *f;
    FIND_FILE(t, chunk_base, chunk, f);
    return sec_tokfile_chunk(f, c, chunk - f->chunk_base, t->info.vocab_size, out, n);
}

int sec_tokens_chunk(const struct sec_tokens *t, uint64_t c, uint16_t *out, uint32_t *n)
{
    struct sec_tokctx *ctx = sec_tokctx_new();
    if (!ctx)
        return SEC_ENOMEM;
    int rc = sec_tokens_chunk_ctx(t, ctx, c, out, n);
    sec_tokctx_free(ctx);
    return rc;
}

uint64_t sec_tokens_chunk_first(const struct sec_tokens *t, uint64_t c)
{
    const struct sec_tokfile *f;
    FIND_FILE(t, chunk_base, c, f);
    return f->token_base + (c - f->chunk_base) * SEC_TOK_CHUNK;
}

int sec_tokens_docpos(const struct sec_tokens *t, uint64_t d, uint64_t n, struct sec_docpos *out)
{
    enum { BLOCK = 512 };
    uint64_t off[BLOCK + 1];
    while (n) {
        const struct sec_tokfile *f;
        FIND_FILE(t, doc_base, d, f);
        uint64_t local = d - f->doc_base, k = f->n_docs - local < n ? f->n_docs - local : n;
        k = k < BLOCK ? k : BLOCK;
        int rc = sec_pread_full(f->fd, off, (k + 1) * sizeof *off,
                                (uint64_t)(f->doc_off - f->map) + 8 * local, f->path);
        if (rc)
            return rc;
        for (uint64_t i = 0; i < k; i++) {
            if (off[i + 1] <= off[i] || off[i + 1] > f->n_tokens)
                return sec_fail(SEC_EDATA, "%s: document %llu has no valid extent any more",
                                f->path, (unsigned long long)(local + i));
            *out++ = (struct sec_docpos){f->chunk_base * SEC_TOK_CHUNK + off[i],
                                         (uint32_t)(off[i + 1] - off[i])};
        }
        d += k;
        n -= k;
    }
    return 0;
}

void sec_tokens_doc(const struct sec_tokens *t, uint64_t d, uint64_t *first, uint32_t *len,
                    uint16_t *source, uint64_t *hash)
{
    const struct sec_tokfile *f;
    FIND_FILE(t, doc_base, d, f);
    d -= f->doc_base;
    uint64_t off = load64(f->doc_off + 8 * d);
    if (first)
        *first = f->token_base + off;
    if (len)
        *len = (uint32_t)(load64(f->doc_off + 8 * d + 8) - off);
    if (source)
        *source = load16(f->doc_src + 2 * d);
    if (hash)
        *hash = load64(f->doc_hash + 8 * d);
}

uint32_t sec_tokens_doc_bytes(const struct sec_tokens *t, uint64_t d)
{
    const struct sec_tokfile *f;
    FIND_FILE(t, doc_base, d, f);
    return load32(f->doc_bytes + 4 * (d - f->doc_base));
}

int sec_tokens_read(const struct sec_tokens *t, uint64_t first, uint32_t n, uint16_t *out)
{
    struct sec_tokctx *ctx = sec_tokctx_new();
    if (!ctx)
        return SEC_ENOMEM;
    int rc = sec_tokens_read_ctx(t, ctx, first, n, out);
    sec_tokctx_free(ctx);
    return rc;
}

int sec_tokens_read_ctx(const struct sec_tokens *t, struct sec_tokctx *c, uint64_t first,
                        uint32_t n, uint16_t *out)
{
    if (first > t->info.n_tokens || n > t->info.n_tokens - first)
        return sec_fail(SEC_EFAIL, "%s: tokens %llu + %u of %llu", t->dir,
                        (unsigned long long)first, n, (unsigned long long)t->info.n_tokens);
    while (n) {
        const struct sec_tokfile *f;
        FIND_FILE(t, token_base, first, f);
        uint64_t local = first - f->token_base;
        const uint16_t *chunk;
        uint32_t have;
        int rc = sec_tokfile_cached(f, c, local / SEC_TOK_CHUNK, t->info.vocab_size, &chunk, &have);
        if (rc)
            return rc;
        uint32_t skip = (uint32_t)(local % SEC_TOK_CHUNK), k = have - skip < n ? have - skip : n;
        memcpy(out, chunk + skip, k * sizeof *out);
        out += k;
        first += k;
        n -= k;
    }
    return 0;
}
