#include "base/error.h"
#include "base/file.h"
#include "base/h5.h"
#include "base/mem.h"
#include "data/tokshard_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define CHUNK_BYTES (SEC_TOK_CHUNK * sizeof(uint16_t))

struct sec_tokctx {
    ZSTD_DCtx *zstd;
    unsigned char *packed;
    size_t packed_cap;
    /* The chunk kept by sec_tokfile_cached(). */
    const struct sec_tokfile *file;
    uint64_t chunk;
    uint32_t n;
    uint16_t *tokens;
};

struct sec_tokctx *sec_tokctx_new(void)
{
    struct sec_tokctx *c = calloc(1, sizeof *c);
    if (!c) {
        sec_fail(SEC_ENOMEM, "no memory for a chunk decoder");
        return NULL;
    }
    c->packed_cap = ZSTD_compressBound(CHUNK_BYTES);
    c->zstd = ZSTD_createDCtx();
    c->packed = malloc(c->packed_cap);
    c->tokens = sec_alloc_aligned(CHUNK_BYTES);
    if (!c->zstd || !c->packed || !c->tokens) {
        sec_fail(SEC_ENOMEM, "no memory for a chunk decoder");
        sec_tokctx_free(c);
        return NULL;
    }
    return c;
}

void sec_tokctx_free(struct sec_tokctx *c)
{
    if (!c)
        return;
    ZSTD_freeDCtx(c->zstd);
    free(c->packed);
    sec_free_aligned(c->tokens);
    free(c);
}

/* Where a contiguous table lies in the file; it must hold n elements of the given size. */
static int find_table(struct sec_tokfile *f, hid_t file, const char *name, size_t size, uint64_t n,
                      const unsigned char **out)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0)
        return sec_fail(SEC_EDATA, "%s: no table /%s; the shard is damaged", f->path, name);
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    haddr_t addr = H5Dget_offset(set);
    bool ok = space >= 0 && type >= 0 && addr != HADDR_UNDEF &&
              H5Sget_simple_extent_ndims(space) == 1 &&
              H5Sget_simple_extent_npoints(space) == (hssize_t)n &&
              H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) == size &&
              H5Tget_order(type) == H5T_ORDER_LE && addr <= f->size && n <= (f->size - addr) / size;
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    H5Dclose(set);
    if (!ok)
        return sec_fail(SEC_EDATA,
                        "%s: table /%s does not hold %llu values of %zu bytes; the shard is "
                        "damaged",
                        f->path, name, (unsigned long long)n, size);
    *out = f->map + addr;
    return 0;
}

static int find_tables(struct sec_tokfile *f)
{
    int rc = 0;
    hid_t file = -1;
    uint64_t version, n_docs, n_tokens;
    SEC_TRY(sec_h5_open(f->path, &file));
    SEC_TRY(sec_h5_get_u64(file, "format_version", &version, f->path));
    if (version != SEC_TOK_FORMAT) {
        rc = sec_fail(SEC_EDATA, "%s: shard format %llu, this program reads %u", f->path,
                      (unsigned long long)version, SEC_TOK_FORMAT);
        goto fail;
    }
    SEC_TRY(sec_h5_get_u64(file, "n_docs", &n_docs, f->path));
    SEC_TRY(sec_h5_get_u64(file, "n_tokens", &n_tokens, f->path));
    if (n_docs != f->n_docs || n_tokens != f->n_tokens) {
        rc = sec_fail(SEC_EDATA,
                      "%s: %llu documents and %llu tokens, the manifest says %llu and %llu",
                      f->path, (unsigned long long)n_docs, (unsigned long long)n_tokens,
                      (unsigned long long)f->n_docs, (unsigned long long)f->n_tokens);
        goto fail;
    }
    SEC_TRY(find_table(f, file, "doc_off", 8, f->n_docs + 1, &f->doc_off));
    SEC_TRY(find_table(f, file, "doc_src", 2, f->n_docs, &f->doc_src));
    SEC_TRY(find_table(f, file, "doc_hash", 8, f->n_docs, &f->doc_hash));
    SEC_TRY(find_table(f, file, "doc_bytes", 4, f->n_docs, &f->doc_bytes));
    SEC_TRY(find_table(f, file, "chunk_addr", 8, f->n_chunks, &f->chunk_addr));
    SEC_TRY(find_table(f, file, "chunk_len", 4, f->n_chunks, &f->chunk_len));
    SEC_TRY(find_table(f, file, "chunk_xxh3", 8, f->n_chunks, &f->chunk_xxh3));
fail:
    if (file >= 0)
        sec_h5_close(file, f->path);
    return rc;
}

/* Offsets must rise from 0 to n_tokens, else reading a document could leave the buffer. */
static int check_offsets(const struct sec_tokfile *f)
{
    uint64_t prev = 0, off;
    for (uint64_t d = 0; d <= f->n_docs; d++, prev = off) {
        memcpy(&off, f->doc_off + 8 * d, sizeof off);
        if (d ? off <= prev || off - prev > UINT32_MAX : off != 0)
            return sec_fail(SEC_EDATA,
                            "%s: document %llu has no valid extent; the shard is damaged", f->path,
                            (unsigned long long)d);
    }
    if (prev != f->n_tokens)
        return sec_fail(SEC_EDATA, "%s: documents end at token %llu of %llu; the shard is damaged",
                        f->path, (unsigned long long)prev, (unsigned long long)f->n_tokens);
    return 0;
}

int sec_tokfile_open(const char *path, const struct sec_tokshard_info *info, struct sec_tokfile *f)
{
    int rc = 0;
    int64_t size = sec_file_size(path);
    *f = (struct sec_tokfile){.fd = -1, .n_docs = info->docs, .n_tokens = info->tokens};
    f->n_chunks = (info->tokens + SEC_TOK_CHUNK - 1) / SEC_TOK_CHUNK;
    f->path = strdup(path);
    if (!f->path)
        return sec_fail(SEC_ENOMEM, "no memory to open %s", path);
    if (size <= 0 || (uint64_t)size != info->bytes_packed) {
        rc = sec_fail(SEC_EDATA, "%s: %s; the manifest says %llu bytes: tokenize the corpus again",
                      path, size < 0 ? "missing" : "wrong size",
                      (unsigned long long)info->bytes_packed);
        goto fail;
    }
    f->size = (size_t)size;
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0) {
        rc = sec_fail_errno(errno, "%s: cannot open", path);
        goto fail;
    }
    void *map = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
    if (map == MAP_FAILED) {
        rc = sec_fail_errno(errno, "%s: cannot map %zu bytes", path, f->size);
        goto fail;
    }
    f->map = map;
    SEC_TRY(sec_h5_init());
    SEC_TRY(find_tables(f));
    struct sec_tok_tables tables = {f->doc_off,    f->doc_src, f->doc_hash, f->doc_bytes,
                                    f->chunk_xxh3, f->n_docs,  f->n_chunks};
    if (sec_tok_content_hash(&tables) != info->content) {
        rc = sec_fail(SEC_EDATA,
                      "%s: the document tables do not match the manifest's hash; tokenize "
                      "the corpus again",
                      path);
        goto fail;
    }
    SEC_TRY(check_offsets(f));
    return 0;
fail:
    sec_tokfile_close(f);
    return rc;
}

void sec_tokfile_close(struct sec_tokfile *f)
{
    if (f->map)
        munmap(f->map, f->size);
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (struct sec_tokfile){.fd = -1};
}

int sec_tokfile_intact(const struct sec_tokfile *f)
{
    struct stat st;
    if (fstat(f->fd, &st))
        return sec_fail_errno(errno, "%s: cannot look at it", f->path);
    if (st.st_size < 0 || (uint64_t)st.st_size < f->size)
        return sec_fail(SEC_EDATA,
                        "%s: shrank from %zu to %lld bytes while it was open; tokenize the corpus "
                        "again",
                        f->path, f->size, (long long)st.st_size);
    return 0;
}

int sec_tokfile_chunk(const struct sec_tokfile *f, struct sec_tokctx *c, uint64_t i, int vocab_size,
                      uint16_t *out, uint32_t *n)
{
    uint64_t addr, hash;
    uint32_t len;
    int rc = sec_tokfile_intact(f);
    if (rc)
        return rc;
    memcpy(&addr, f->chunk_addr + 8 * i, sizeof addr);
    memcpy(&len, f->chunk_len + 4 * i, sizeof len);
    memcpy(&hash, f->chunk_xxh3 + 8 * i, sizeof hash);
    if (addr > f->size || len > f->size - addr || len > c->packed_cap)
        return sec_fail(SEC_EDATA,
                        "%s: chunk %llu would lie at byte %llu + %u of %zu; the shard is "
                        "damaged",
                        f->path, (unsigned long long)i, (unsigned long long)addr, len, f->size);
    sec_stall("chunk");
    if (sec_fault("chunk"))
        return sec_fail_errno(errno, "%s: cannot read chunk %llu at byte %llu", f->path,
                              (unsigned long long)i, (unsigned long long)addr);
    rc = sec_pread_full(f->fd, c->packed, len, addr, f->path);
    if (rc)
        return rc;
    size_t got = ZSTD_decompressDCtx(c->zstd, out, CHUNK_BYTES, c->packed, len);
    if (ZSTD_isError(got) || got != CHUNK_BYTES || sec_hash64(out, CHUNK_BYTES, 0) != hash)
        return sec_fail(SEC_EDATA,
                        "%s: chunk %llu at byte %llu is damaged (%s); tokenize the corpus "
                        "again",
                        f->path, (unsigned long long)i, (unsigned long long)addr,
                        ZSTD_isError(got) ? ZSTD_getErrorName(got) : "XXH3 differs");
    uint64_t left = f->n_tokens - i * SEC_TOK_CHUNK;
    *n = left < SEC_TOK_CHUNK ? (uint32_t)left : SEC_TOK_CHUNK;
    uint16_t top = 0;
    for (uint32_t k = 0; k < SEC_TOK_CHUNK; k++)
        top = out[k] > top ? out[k] : top;
    if (top >= vocab_size)
        return sec_fail(SEC_EDATA, "%s: chunk %llu at byte %llu holds id %u, the vocabulary has %d",
                        f->path, (unsigned long long)i, (unsigned long long)addr, top, vocab_size);
    return 0;
}

int sec_tokfile_cached(const struct sec_tokfile *f, struct sec_tokctx *c, uint64_t i,
                       int vocab_size, const uint16_t **chunk, uint32_t *n)
{
    if (c->file != f || c->chunk != i) {
        c->file = NULL;
        int rc = sec_tokfile_chunk(f, c, i, vocab_size, c->tokens, &c->n);
        if (rc)
            return rc;
        c->file = f;
        c->chunk = i;
    }
    *chunk = c->tokens;
    *n = c->n;
    return 0;
}

int sec_tokfile_verify(const char *path, const struct sec_tokshard_info *info)
{
    struct sec_tokfile f;
    int rc = sec_tokfile_open(path, info, &f);
    if (rc)
        return rc;
    const uint16_t *chunk;
    uint32_t n;
    struct sec_tokctx *c = sec_tokctx_new();
    rc = c ? 0 : SEC_ENOMEM;
    for (uint64_t i = 0; !rc && i < f.n_chunks; i++)
        rc = sec_tokfile_cached(&f, c, i, UINT16_MAX + 1, &chunk, &n);
    sec_tokctx_free(c);
    sec_tokfile_close(&f);
    return rc;
}
