/* The bytes of a document store, shared by its writer and its reader (docstore.h). Little-endian.
 */
#ifndef SEC_DATA_DOCSTORE_FILE_H
#define SEC_DATA_DOCSTORE_FILE_H

#include "data/docstore.h"

#include <string.h>

enum { SEC_DOC_FRAME_TEXT = 1 << 16 };

/* In front of each frame: a skippable frame of zstd. */
struct sec_doc_head {
    uint32_t magic, size; /* of what follows in this struct: 16 */
    uint32_t packed, text;
    uint64_t check; /* XXH3 of the packed frame, seeded with packed and text */
};
#define SEC_DOC_HEAD_MAGIC 0x184D2A5Du
_Static_assert(sizeof(struct sec_doc_head) == 24, "heads are read as they lie");

struct sec_doc_trailer {
    uint64_t count, checks, docs_bytes, magic;
};
#define SEC_DOC_MAGIC UINT64_C(0x3153574F52434553) /* "SECROWS1" */

static inline uint64_t sec_doc_frame_check(const struct sec_doc_head *h, const void *packed)
{
    return sec_hash64(packed, h->packed, (uint64_t)h->text << 32 | h->packed);
}

static inline uint32_t sec_doc_row_check(const struct sec_docrow *row, uint64_t number)
{
    return (uint32_t)sec_hash64(row, offsetof(struct sec_docrow, check), number);
}

static inline uint64_t sec_doc_chain(uint64_t checks, uint32_t check)
{
    return sec_hash64(&check, sizeof check, checks);
}

#endif
