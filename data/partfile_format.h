/* Layout of a part file, for its writer and its reader. All little-endian:
 *
 *   header   struct sec_part_header
 *   blocks   {struct sec_part_block, count records} in the order they were written
 *   pages    struct sec_part_entry for every block, by (part, offset), PAGE_ENTRIES to a page
 *   fences   struct sec_part_fence for every page
 *   footer   struct sec_part_footer
 *
 * Finding a partition reads the footer, the fences and one page or two, whatever n_parts is: only
 * blocks, which hold at least one record, take room. */
#ifndef SEC_DATA_PARTFILE_FORMAT_H
#define SEC_DATA_PARTFILE_FORMAT_H

#include "data/partfile.h"

#define SEC_PART_MAGIC     "SECPART1"
#define SEC_PART_END_MAGIC "SECPEND1"

enum {
    SEC_PART_PAGE = 256,       /* entries */
    SEC_PART_BLOCK = 16 << 10, /* most bytes of records in a block */
    SEC_PART_MAX_PARTS = 1 << 24,
    SEC_PART_LEAST_MEMORY = 64 << 10
};

struct sec_part_header {
    char magic[8];
    uint32_t words, reserved;
    uint64_t n_parts;
    uint64_t hash; /* XXH3 of the fields before */
};

struct sec_part_block {
    uint32_t part, count;
    uint64_t hash; /* XXH3 of the records, seeded with part and count */
};

struct sec_part_entry {
    uint64_t offset; /* of the block */
    uint32_t part, count;
};

struct sec_part_fence {
    uint64_t hash; /* XXH3 of the page */
    uint32_t first_part, entries;
};

struct sec_part_footer {
    uint64_t pages_at, n_blocks, n_records;
    uint64_t fences_hash; /* XXH3 of the fences */
    uint64_t hash;        /* XXH3 of the fields before */
    char magic[8];
};

static inline uint64_t sec_part_seed(uint32_t part, uint32_t count)
{
    return (uint64_t)part << 32 | count;
}

#endif
