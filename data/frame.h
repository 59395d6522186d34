/* A zstd frame in the making: documents are gathered in order, then encoded and compressed on any
 * thread, then written in order. It is the unit of parallel work of the corpus builder.
 *
 * Ownership: a frame owns its text and its compressor and may be used again after reset. One thread
 * at a time. */
#ifndef SEC_DATA_FRAME_H
#define SEC_DATA_FRAME_H

#include "data/textshard.h"

#define SEC_FRAME_TEXT (1u << 20) /* bytes of text after which a frame is cut */

struct sec_frame_doc {
    sec_h128 id;
    size_t off, len;
    uint32_t records;
};

struct sec_frame {
    char *source;
    struct sec_buf text; /* the documents' texts one after the other */
    struct sec_frame_doc *docs;
    size_t n_docs, cap_docs;
    uint64_t records;
    struct sec_buf raw, packed; /* filled by sec_frame_pack */
    void *zstd;
};

int sec_frame_reset(struct sec_frame *f, const char *source);
int sec_frame_add(struct sec_frame *f, const struct sec_doc *doc);
static inline bool sec_frame_full(const struct sec_frame *f)
{
    return f->text.len >= SEC_FRAME_TEXT;
}
int sec_frame_pack(struct sec_frame *f);     /* documents -> raw -> packed */
int sec_frame_compress(struct sec_frame *f); /* raw -> packed, for frames that hold other lines */
void sec_frame_free(struct sec_frame *f);

#endif
