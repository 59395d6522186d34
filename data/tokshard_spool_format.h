/* Layout of spool files; see data/tokshard_spool.h. Little-endian.
 *
 *   encoded   struct spool_header, blocks, entries by bucket, one struct spool_row a bucket,
 *             struct spool_footer
 *   sorted    struct spool_header, blocks
 *   block     struct spool_block, then for every document a struct spool_record, its ids, zeros to
 *             a multiple of 8 bytes */
#ifndef SEC_DATA_TOKSHARD_SPOOL_FORMAT_H
#define SEC_DATA_TOKSHARD_SPOOL_FORMAT_H

#include "data/tokshard_spool.h"

#define SPOOL_MAGIC     "SECSPOL1"
#define SPOOL_END_MAGIC "SECSEND1"

enum { SPOOL_BLOCK = 1 << 20 }; /* bytes after which a block ends */

struct spool_header {
    char magic[8];
    uint64_t n_buckets;
    uint64_t check; /* XXH3 of the fields before, as all the checks below */
};

struct spool_block {
    uint32_t bucket, docs;
    uint64_t bytes, hash; /* of the documents */
    uint64_t check;
};

struct spool_record {
    uint64_t key;
    sec_h128 id;
    uint32_t n, bytes;
    uint16_t source, copy;
    uint32_t zero;
};

struct spool_entry { /* of a block */
    uint64_t offset, bytes;
    uint32_t bucket, docs;
};

struct spool_row { /* of a bucket: entries[first .. first + n) */
    uint32_t first, n;
    uint64_t hash; /* of these entries, seeded with the bucket */
    uint64_t check;
};

struct spool_footer {
    uint64_t entries_at, n_entries, tokens;
    uint64_t check;
    char magic[8];
};

#define SPOOL_CHECK(p) sec_hash64((p), offsetof(__typeof__(*(p)), check), 0)

static inline size_t spool_record_bytes(uint32_t n)
{
    return sizeof(struct spool_record) + (((size_t)n * sizeof(uint16_t) + 7) & ~(size_t)7);
}

static inline struct spool_block spool_block_of(uint32_t bucket, uint32_t docs, const void *p,
                                                size_t n)
{
    struct spool_block b = {.bucket = bucket, .docs = docs, .bytes = n};
    b.hash = sec_hash64(p, n, 0);
    b.check = SPOOL_CHECK(&b);
    return b;
}

/* Reads and checks the block at *at (of a file of `size` bytes); *at moves behind it. */
int spool_read_head(int fd, const char *path, uint64_t at, uint64_t size, struct spool_block *b);
int spool_read_block(int fd, const char *path, uint64_t *at, uint64_t size, struct spool_block *b,
                     struct sec_buf *out);
/* Checks that a block's payload consists of b->docs whole records. */
int spool_check_records(const char *path, uint64_t at, const struct spool_block *b, const char *p);
int spool_damaged(const char *path, uint64_t at, const char *what);
int spool_open_file(const char *path, int *fd, uint64_t *size, struct spool_header *h);

#endif
