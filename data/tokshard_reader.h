/* One shard file of a token data set, as the reader of a split and the writer's check see it.
 *
 * HDF5 is used to open a file and find its tables; after that everything is pread and a read-only
 * mapping, so any number of threads may read one struct. Failure: SEC_EDATA naming file and byte.
 */
#ifndef SEC_DATA_TOKSHARD_READER_H
#define SEC_DATA_TOKSHARD_READER_H

#include "data/tokshard.h"
#include "data/tokwriter.h"

struct sec_tokfile {
    char *path;
    int fd;
    unsigned char *map; /* the whole file; only the pages of the tables are ever touched */
    size_t size;
    /* Little-endian tables inside map, of any alignment. */
    const unsigned char *doc_off, *doc_src, *doc_hash, *doc_bytes;
    const unsigned char *chunk_addr, *chunk_len, *chunk_xxh3;
    uint64_t n_docs, n_tokens, n_chunks;
    uint64_t doc_base, token_base, chunk_base; /* of this file in its split */
};

/* Opens and checks the tables against info (counts and content hash). */
int sec_tokfile_open(const char *path, const struct sec_tokshard_info *info, struct sec_tokfile *f);
void sec_tokfile_close(struct sec_tokfile *f);
/* SEC_EDATA if the file has lost bytes since it was opened: touching a mapping beyond a file's end
 * would kill the process. Asked before tables are read. */
int sec_tokfile_intact(const struct sec_tokfile *f);
int sec_tokens_intact(const struct sec_tokens *t); /* all files of the split */
/* Opens path, decodes every chunk and checks every hash. */
int sec_tokfile_verify(const char *path, const struct sec_tokshard_info *info);

/* What a thread needs to decode chunks: allocated once, so that decoding allocates nothing. */
struct sec_tokctx;
struct sec_tokctx *sec_tokctx_new(void); /* NULL + message */
void sec_tokctx_free(struct sec_tokctx *c);
/* Chunk i of the file into out[SEC_TOK_CHUNK]; ids >= vocab_size are SEC_EDATA. */
int sec_tokfile_chunk(const struct sec_tokfile *f, struct sec_tokctx *c, uint64_t i, int vocab_size,
                      uint16_t *out, uint32_t *n);
/* The same through a buffer in the context, which keeps the last chunk. */
int sec_tokfile_cached(const struct sec_tokfile *f, struct sec_tokctx *c, uint64_t i,
                       int vocab_size, const uint16_t **chunk, uint32_t *n);

/* As sec_tokens_chunk() and sec_tokens_read(), with the thread's own context; read keeps the last
 * chunk in it. */
int sec_tokens_chunk_ctx(const struct sec_tokens *t, struct sec_tokctx *c, uint64_t chunk,
                         uint16_t *out, uint32_t *n);
int sec_tokens_read_ctx(const struct sec_tokens *t, struct sec_tokctx *c, uint64_t first,
                        uint32_t n, uint16_t *out);

/* Where document d lies, its first token at chunk * SEC_TOK_CHUNK + offset: every file starts a new
 * chunk, so this differs from the position in the split's stream once there are several files. */
struct sec_docpos {
    uint64_t at;
    uint32_t len;
};
/* Of documents [d, d + n). Read with pread, so that a file which shrinks meanwhile is SEC_EDATA. */
int sec_tokens_docpos(const struct sec_tokens *t, uint64_t d, uint64_t n, struct sec_docpos *out);
/* First token, in the split's stream, of chunk c. */
uint64_t sec_tokens_chunk_first(const struct sec_tokens *t, uint64_t c);

#endif
