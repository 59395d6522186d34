#include "data/tokwriter.h"

#include "base/error.h"
#include "base/h5.h"
#include "base/mem.h"
#include "base/thread.h"
#include "data/tokshard.h"
#include "data/tokshard_reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum {
    GROUP = 16, /* chunks compressed at once */
    ZSTD_LEVEL = 3
};
#define CHUNK_BYTES (SEC_TOK_CHUNK * sizeof(uint16_t))

struct sec_tokwriter {
    struct sec_tokwriter_options o;
    struct sec_tokshard_info *shards; /* sealed under their temporary names */
    size_t n_shards;

    /* The shard being written; file < 0 = none. */
    hid_t file, tokens;
    char *path;
    uint64_t n_docs, n_tokens, n_bytes;
    struct sec_buf doc_off, doc_src, doc_hash, doc_bytes, chunk_addr, chunk_len, chunk_xxh3;

    uint16_t *raw; /* [GROUP][SEC_TOK_CHUNK] tokens not yet written */
    size_t raw_len;
    unsigned char *packed; /* [GROUP][packed_cap] */
    size_t packed_cap, packed_len[GROUP];
    uint64_t packed_hash[GROUP];
};

uint64_t sec_tok_content_hash(const struct sec_tok_tables *t)
{
    uint64_t h[7] = {
        t->n_docs,
        t->n_chunks,
        sec_hash64(t->doc_off, (t->n_docs + 1) * 8, 0),
        sec_hash64(t->doc_src, t->n_docs * 2, 0),
        sec_hash64(t->doc_hash, t->n_docs * 8, 0),
        sec_hash64(t->doc_bytes, t->n_docs * 4, 0),
        sec_hash64(t->chunk_xxh3, t->n_chunks * 8, 0),
    };
    return sec_hash64(h, sizeof h, SEC_TOK_FORMAT);
}

/* HDF5 refused a call. A failed write of the file itself comes from sec_h5_check() and close. */
static int h5_failed(const struct sec_tokwriter *w, const char *what)
{
    return sec_fail(SEC_EFAIL, "%s: HDF5 cannot write %s (after %llu tokens)", w->path, what,
                    (unsigned long long)w->n_tokens);
}

static int create_tokens(struct sec_tokwriter *w)
{
    hsize_t zero = 0, unlimited = H5S_UNLIMITED, chunk = SEC_TOK_CHUNK;
    const unsigned level = ZSTD_LEVEL;
    hid_t space = H5Screate_simple(1, &zero, &unlimited);
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    bool ok = space >= 0 && plist >= 0 && H5Pset_chunk(plist, 1, &chunk) >= 0 &&
              H5Pset_obj_track_times(plist, false) >= 0 &&
              H5Pset_filter(plist, SEC_H5_ZSTD, H5Z_FLAG_MANDATORY, 1, &level) >= 0;
    if (ok)
        w->tokens =
            H5Dcreate2(w->file, "tokens", H5T_STD_U16LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (space >= 0)
        H5Sclose(space);
    if (plist >= 0)
        H5Pclose(plist);
    return ok && w->tokens >= 0 ? 0 : h5_failed(w, "/tokens");
}

static void forget_shard(struct sec_tokwriter *w)
{
    w->file = w->tokens = -1;
    free(w->path);
    w->path = NULL;
    w->n_docs = w->n_tokens = w->n_bytes = 0;
    w->raw_len = 0;
    struct sec_buf *bufs[] = {&w->doc_off,    &w->doc_src,   &w->doc_hash,  &w->doc_bytes,
                              &w->chunk_addr, &w->chunk_len, &w->chunk_xxh3};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        sec_buf_clear(bufs[i]);
}

static int start_shard(struct sec_tokwriter *w)
{
    int rc = 0;
    struct sec_buf name = {0};
    const uint64_t zero = 0;
    forget_shard(w);
    SEC_TRY(sec_buf_printf(&name, "%s/.%s-%05zu.tmp", w->o.dir, sec_split_names[w->o.split],
                           w->o.first + w->n_shards));
    w->path = name.data;
    name.data = NULL;
    SEC_TRY(sec_h5_create(w->path, &w->file));
    SEC_TRY(create_tokens(w));
    SEC_TRY(sec_buf_add(&w->doc_off, &zero, sizeof zero));
fail:
    sec_buf_free(&name);
    return rc;
}

static int compress_chunk(void *ctx, size_t i)
{
    struct sec_tokwriter *w = ctx;
    const uint16_t *raw = w->raw + i * SEC_TOK_CHUNK;
    size_t n =
        ZSTD_compress(w->packed + i * w->packed_cap, w->packed_cap, raw, CHUNK_BYTES, ZSTD_LEVEL);
    if (ZSTD_isError(n))
        return sec_fail(SEC_EFAIL, "%s: cannot compress a chunk: %s", w->path,
                        ZSTD_getErrorName(n));
    w->packed_len[i] = n;
    w->packed_hash[i] = sec_hash64(raw, CHUNK_BYTES, 0);
    return 0;
}

/* Write what is in raw; only the last chunk of a shard may be partial, it is padded with zeros. */
static int flush_group(struct sec_tokwriter *w)
{
    int rc = 0;
    size_t n = (w->raw_len + SEC_TOK_CHUNK - 1) / SEC_TOK_CHUNK;
    if (!n)
        return 0;
    memset(w->raw + w->raw_len, 0, n * CHUNK_BYTES - w->raw_len * sizeof(uint16_t));
    SEC_TRY(sec_parallel_for(n, w->o.threads, compress_chunk, w));
    /* The extent is exact from the start: shrinking it later would make HDF5 rewrite the last
     * chunk. */
    hsize_t extent = w->n_tokens;
    if (H5Dset_extent(w->tokens, &extent) < 0)
        return h5_failed(w, "/tokens");
    for (size_t i = 0; i < n; i++) {
        hsize_t at = w->chunk_len.len / sizeof(uint32_t) * SEC_TOK_CHUNK, size = 0;
        haddr_t addr = HADDR_UNDEF;
        unsigned filters = 0;
        uint32_t len = (uint32_t)w->packed_len[i];
        if (H5Dwrite_chunk(w->tokens, H5P_DEFAULT, 0, &at, len, w->packed + i * w->packed_cap) <
                0 ||
            H5Dget_chunk_info_by_coord(w->tokens, &at, &filters, &addr, &size) < 0)
            return h5_failed(w, "/tokens");
        uint64_t addr64 = addr;
        SEC_TRY(sec_buf_add(&w->chunk_addr, &addr64, sizeof addr64));
        SEC_TRY(sec_buf_add(&w->chunk_len, &len, sizeof len));
        SEC_TRY(sec_buf_add(&w->chunk_xxh3, &w->packed_hash[i], sizeof(uint64_t)));
    }
    SEC_TRY(sec_h5_check(w->file));
    w->raw_len = 0;
fail:
    return rc;
}

static int put_sources(struct sec_tokwriter *w)
{
    size_t width = 1;
    for (int i = 0; i < w->o.n_sources; i++) {
        size_t n = strlen(w->o.sources[i]);
        width = n > width ? n : width;
    }
    char *names = calloc(w->o.n_sources, width);
    if (!names)
        return sec_fail(SEC_ENOMEM, "%s: no memory for %d source names", w->path, w->o.n_sources);
    for (int i = 0; i < w->o.n_sources; i++)
        memcpy(names + (size_t)i * width, w->o.sources[i], strlen(w->o.sources[i]));
    hid_t type = H5Tcopy(H5T_C_S1);
    int rc = type >= 0 && H5Tset_size(type, width) >= 0 &&
                     H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
                     H5Tset_cset(type, H5T_CSET_UTF8) >= 0
                 ? sec_h5_put_array(w->file, "sources", type, names, w->o.n_sources)
                 : h5_failed(w, "/sources");
    if (type >= 0)
        H5Tclose(type);
    free(names);
    return rc;
}

static int put_tables(struct sec_tokwriter *w)
{
    int rc = 0;
    const struct {
        const char *name;
        hid_t type;
        const struct sec_buf *buf;
        size_t size;
    } t[] = {
        {"doc_off", H5T_NATIVE_UINT64, &w->doc_off, 8},
        {"doc_src", H5T_NATIVE_UINT16, &w->doc_src, 2},
        {"doc_hash", H5T_NATIVE_UINT64, &w->doc_hash, 8},
        {"doc_bytes", H5T_NATIVE_UINT32, &w->doc_bytes, 4},
        {"chunk_addr", H5T_NATIVE_UINT64, &w->chunk_addr, 8},
        {"chunk_len", H5T_NATIVE_UINT32, &w->chunk_len, 4},
        {"chunk_xxh3", H5T_NATIVE_UINT64, &w->chunk_xxh3, 8},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        SEC_TRY(sec_h5_put_array(w->file, t[i].name, t[i].type, t[i].buf->data,
                                 t[i].buf->len / t[i].size));
    }
    SEC_TRY(put_sources(w));
    SEC_TRY(sec_h5_put_u64(w->file, "format_version", SEC_TOK_FORMAT));
    SEC_TRY(sec_h5_put_str(w->file, "tokenizer", w->o.tokenizer_fingerprint));
    SEC_TRY(sec_h5_put_u64(w->file, "vocab_size", (uint64_t)w->o.vocab_size));
    SEC_TRY(sec_h5_put_str(w->file, "split", sec_split_names[w->o.split]));
    SEC_TRY(sec_h5_put_u64(w->file, "n_docs", w->n_docs));
    SEC_TRY(sec_h5_put_u64(w->file, "n_tokens", w->n_tokens));
    SEC_TRY(sec_h5_put_u64(w->file, "n_bytes", w->n_bytes));
    SEC_TRY(sec_h5_put_u64(w->file, "seed", w->o.seed));
fail:
    return rc;
}

/* Finish the open shard: write, close, fsync, read back. It keeps its temporary name. */
static int seal_shard(struct sec_tokwriter *w)
{
    int rc = 0;
    struct sec_tokshard_info info = {.split = w->o.split};
    SEC_TRY(flush_group(w));
    SEC_TRY(put_tables(w));
    herr_t closed = H5Dclose(w->tokens);
    w->tokens = -1;
    if (closed < 0) {
        rc = h5_failed(w, "/tokens");
        goto fail;
    }
    hid_t file = w->file;
    w->file = -1;
    SEC_TRY(sec_h5_close(file, w->path));

    struct sec_tok_tables tables = {w->doc_off.data,
                                    w->doc_src.data,
                                    w->doc_hash.data,
                                    w->doc_bytes.data,
                                    w->chunk_xxh3.data,
                                    w->n_docs,
                                    w->chunk_len.len / sizeof(uint32_t)};
    info.docs = w->n_docs;
    info.tokens = w->n_tokens;
    info.bytes = w->n_bytes;
    info.bytes_packed = (uint64_t)sec_file_size(w->path);
    info.content = sec_tok_content_hash(&tables);
    SEC_TRY(sec_tokfile_verify(w->path, &info));

    struct sec_tokshard_info *v = realloc(w->shards, (w->n_shards + 1) * sizeof *v);
    if (!v) {
        rc = sec_fail(SEC_ENOMEM, "no memory for the list of %zu shards", w->n_shards + 1);
        goto fail;
    }
    w->shards = v;
    info.path = w->path;
    w->path = NULL;
    w->shards[w->n_shards++] = info;
fail:
    return rc;
}

int sec_tokwriter_open(const struct sec_tokwriter_options *o, struct sec_tokwriter **out)
{
    int rc = 0;
    struct sec_tokwriter *w = calloc(1, sizeof *w);
    if (!w)
        return sec_fail(SEC_ENOMEM, "no memory for a shard writer");
    w->o = *o;
    if (!w->o.tokens_per_shard)
        w->o.tokens_per_shard = UINT64_C(256) << 20;
    w->file = w->tokens = -1;
    w->packed_cap = ZSTD_compressBound(CHUNK_BYTES);
    w->raw = sec_alloc_aligned(GROUP * CHUNK_BYTES);
    w->packed = sec_alloc_aligned(GROUP * w->packed_cap);
    if (!w->raw || !w->packed) {
        rc = SEC_ENOMEM;
        goto fail;
    }
    SEC_TRY(sec_h5_init());
    *out = w;
    return 0;
fail:
    sec_tokwriter_abort(w);
    return rc;
}

static int add_tokens(struct sec_tokwriter *w, const uint16_t *ids, size_t n)
{
    while (n) {
        size_t room = (size_t)GROUP * SEC_TOK_CHUNK - w->raw_len, k = n < room ? n : room;
        memcpy(w->raw + w->raw_len, ids, k * sizeof *ids);
        w->raw_len += k;
        w->n_tokens += k;
        ids += k;
        n -= k;
        if (w->raw_len == (size_t)GROUP * SEC_TOK_CHUNK) {
            int rc = flush_group(w);
            if (rc)
                return rc;
        }
    }
    return 0;
}

int sec_tokwriter_add(struct sec_tokwriter *w, const struct sec_tokdoc *doc)
{
    int rc = 0;
    if (!doc->n || doc->source >= w->o.n_sources)
        return sec_fail(SEC_EFAIL, "%s: document with %u tokens of source %u of %u", w->o.dir,
                        doc->n, doc->source, w->o.n_sources);
    if (w->file >= 0 && w->n_tokens + doc->n > w->o.tokens_per_shard)
        SEC_TRY(seal_shard(w));
    if (w->file < 0)
        SEC_TRY(start_shard(w));
    SEC_TRY(add_tokens(w, doc->ids, doc->n));
    SEC_TRY(sec_buf_add(&w->doc_off, &w->n_tokens, sizeof w->n_tokens));
    SEC_TRY(sec_buf_add(&w->doc_src, &doc->source, sizeof doc->source));
    SEC_TRY(sec_buf_add(&w->doc_hash, &doc->hash, sizeof doc->hash));
    SEC_TRY(sec_buf_add(&w->doc_bytes, &doc->bytes, sizeof doc->bytes));
    w->n_docs++;
    w->n_bytes += doc->bytes;
fail:
    return rc;
}

int sec_tokwriter_close(struct sec_tokwriter *w, struct sec_tokshard_info **shards, size_t *n)
{
    int rc = 0;
    struct sec_buf name = {0}, path = {0};
    if (w->file >= 0)
        SEC_TRY(seal_shard(w));
    for (size_t i = 0; i < w->n_shards; i++) {
        sec_buf_clear(&name);
        sec_buf_clear(&path);
        SEC_TRY(sec_buf_printf(&name, "%s-%05zu-of-%05zu.h5", sec_split_names[w->o.split],
                               w->o.first + i, w->o.of ? w->o.of : w->n_shards));
        SEC_TRY(sec_buf_printf(&path, "%s/%s", w->o.dir, name.data));
        rc = sec_rename_durable(w->shards[i].path, path.data);
        if (rc) {
            unlink(path.data); /* the rename may have been done and not its fsync */
            goto fail;
        }
        free(w->shards[i].path);
        w->shards[i].path = path.data;
        path = (struct sec_buf){0};
    }
    for (size_t i = 0; i < w->n_shards; i++) {
        char *p = w->shards[i].path;
        const char *base = sec_basename(p);
        memmove(p, base, strlen(base) + 1);
    }
    *shards = w->shards;
    *n = w->n_shards;
    w->shards = NULL;
    w->n_shards = 0;
fail:
    sec_buf_free(&name);
    sec_buf_free(&path);
    sec_tokwriter_abort(w);
    return rc;
}

void sec_tokwriter_abort(struct sec_tokwriter *w)
{
    if (!w)
        return;
    if (w->tokens >= 0)
        H5Dclose(w->tokens);
    if (w->file >= 0)
        H5Fclose(w->file);
    if (w->path)
        unlink(w->path);
    for (size_t i = 0; i < w->n_shards; i++) {
        unlink(w->shards[i].path); /* sealed, but the split is not complete */
        free(w->shards[i].path);
    }
    free(w->shards);
    forget_shard(w);
    sec_buf_free(&w->doc_off);
    sec_buf_free(&w->doc_src);
    sec_buf_free(&w->doc_hash);
    sec_buf_free(&w->doc_bytes);
    sec_buf_free(&w->chunk_addr);
    sec_buf_free(&w->chunk_len);
    sec_buf_free(&w->chunk_xxh3);
    sec_free_aligned(w->raw);
    sec_free_aligned(w->packed);
    free(w);
}
