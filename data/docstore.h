/* Documents on their way from the cleaning of a corpus to its shards: one store file a task,
 * written once in order, read in order or by number.
 *
 * NAME.docs: the texts in zstd frames of about 64 KiB (level 1, checksums on), one after the other,
 * each behind a skippable frame {bytes of the frame, bytes of its text, XXH3 of the frame}, so that
 * `zstd -d` reads the file. NAME.rows: one 64-byte row a document, in order, each with its own
 * check, then a trailer {count, XXH3 chained over all rows' checks and the next word, bytes of
 * NAME.docs, magic}. Both appear under their names when complete and fsynced, the rows last: rows
 * exist = the store is complete. Opening verifies all rows, reading a text verifies its frame.
 * Damage is SEC_EDATA naming file and byte, and both files are renamed to NAME.docs.damaged and
 * NAME.rows.damaged, so that a rerun makes them anew.
 *
 * A writer: one thread. A store open for reading may be shared by threads, each with its own
 * sec_docreader (which keeps the last frames it decoded). Memory does not grow with the store. */
#ifndef SEC_DATA_DOCSTORE_H
#define SEC_DATA_DOCSTORE_H

#include "base/hash.h"
#include "base/mem.h"

#include <stdint.h>

struct sec_docrow {
    sec_h128 id;      /* XXH3-128 of the text */
    uint64_t cluster; /* of the masked record sequence (split.h) */
    uint64_t line;    /* of the first record in its file, from 1 */
    uint64_t frame;   /* byte of the frame in NAME.docs */
    uint32_t at, len; /* of the text in the decoded frame */
    uint32_t records;
    uint32_t input; /* index of the first record's file */
    uint32_t zero;
    uint32_t check; /* low half of XXH3 of the 60 bytes before, seeded with the document's number */
};
_Static_assert(sizeof(struct sec_docrow) == 64, "rows are read as they lie");

struct sec_docwriter;
int sec_docwriter_open(const char *name, struct sec_docwriter **out); /* without .docs, .rows */
/* row: id, cluster, line, records, input; the rest is filled in. */
int sec_docwriter_add(struct sec_docwriter *w, const struct sec_docrow *row, const char *text,
                      size_t len);
int sec_docwriter_seal(struct sec_docwriter *w, uint64_t *documents); /* frees w in any case */
void sec_docwriter_abort(struct sec_docwriter *w);

struct sec_docstore;
int sec_docstore_open(const char *name, struct sec_docstore **out);
void sec_docstore_close(struct sec_docstore *s);
uint64_t sec_docstore_count(const struct sec_docstore *s);

/* Zero-initialise. */
struct sec_docreader {
    struct sec_docstore *store; /* whose frame is decoded below */
    uint64_t opening;           /* which opening of the store: another may get its address */
    uint64_t frame;
    struct sec_buf packed, text;
    void *zstd;
};
/* Row i and its text, which stays valid until the reader is used again. text may be NULL (row
 * only).
 */
int sec_docstore_get(struct sec_docstore *s, struct sec_docreader *r, uint64_t i,
                     struct sec_docrow *row, const char **text);
void sec_docreader_free(struct sec_docreader *r);

#endif
