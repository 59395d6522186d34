/* The documents of a task that stay, and its part of the ledger, as zstd frames that shards are put
 * together of.
 *
 *   frames/TASK.zst    the frames one after the other, in order within each split
 *   frames/TASK.table  sealed: struct sec_frames_head, then struct sec_frames_entry a frame; it
 *                      says that the task is complete
 *
 * Every frame is verified when it is read, so nothing is flushed; a damaged one is SEC_EDATA, and
 * the task's files are set aside, so that running the job again makes them anew. */
#ifndef SEC_DATA_CORPUS_FRAMES_H
#define SEC_DATA_CORPUS_FRAMES_H

#include "data/corpus_near.h"

enum { SEC_FRAMES_LEDGER = SEC_N_SPLITS, SEC_N_FRAME_KINDS };

/* Reasons why whole documents go. */
enum { SEC_N_DOCUMENT_REASONS = SEC_N_REASONS - SEC_DROP_DOCUMENT };

struct sec_amount {
    uint64_t documents, records, bytes; /* of text */
};

struct sec_frames_head {
    uint64_t n;
    struct sec_amount gone[SEC_N_DOCUMENT_REASONS]; /* from SEC_DROP_DOCUMENT on */
};

struct sec_frames_entry {
    uint64_t at, xxh3; /* in the file; of the packed frame */
    uint64_t bytes_text;
    uint32_t kind; /* split, or SEC_FRAMES_LEDGER */
    uint32_t packed, raw;
    uint32_t documents;
    uint64_t records;
};

struct sec_frames {
    struct sec_frames_head head;
    struct sec_frames_entry *v; /* [head.n] */
};

/* The stage "frames"; collective. Needs gone/GROUP.part. */
int sec_corpus_frames(struct sec_corpus_work *w);

int sec_frames_load(const struct sec_corpus_work *w, size_t task, struct sec_frames *out);
void sec_frames_free(struct sec_frames *f);

/* The packed bytes of a frame, verified. */
int sec_frames_read(const struct sec_corpus_work *w, size_t task, const struct sec_frames_entry *e,
                    struct sec_buf *out);

#endif
