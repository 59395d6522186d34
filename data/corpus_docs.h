/* The middle of a build: records in corpus order -> decisions -> documents -> frames to be packed,
 * and the ledger of what was removed. One thread. */
#ifndef SEC_DATA_CORPUS_DOCS_H
#define SEC_DATA_CORPUS_DOCS_H

#include "data/corpus_feed.h"
#include "data/dedup.h"
#include "data/frame.h"

enum { SEC_JOB_LEDGER = SEC_N_SPLITS, SEC_N_JOB_KINDS };

/* A frame to pack and then to write. */
struct sec_job {
    struct sec_frame *frame;
    int kind; /* split, or SEC_JOB_LEDGER */
};
struct sec_jobs {
    struct sec_job *v;
    size_t n, cap;
};

struct sec_assembler {
    const struct sec_corpus_options *o;
    struct sec_inputs *in;
    struct sec_dedup *dedup;
    struct sec_jobs *jobs; /* where full frames go */

    bool deciding;  /* false in a counting pass */
    bool masked;    /* records carry template hashes */
    int source;     /* current, -1 = none */
    int input;      /* whose lines are being counted, -1 = none */
    uint64_t lines; /* of the input so far */
    struct sec_buf doc;
    uint32_t doc_records;
    int doc_input; /* where its first record is */
    uint64_t doc_line;
    sec_h128 *doc_masked;
    size_t doc_cap;
    struct sec_frame *open[SEC_N_JOB_KINDS];
    struct sec_buf place; /* ","source":...,"file":...,"line": of place_input, for the ledger */
    int place_input;
    struct sec_frame **spare; /* frames to use again */
    size_t n_spare, cap_spare;
};

void sec_assembler_init(struct sec_assembler *a, const struct sec_corpus_options *o,
                        struct sec_inputs *in, struct sec_dedup *dedup);
void sec_assembler_begin(struct sec_assembler *a, bool deciding);
int sec_assembler_block(struct sec_assembler *a, const struct sec_block *b);
int sec_assembler_end(struct sec_assembler *a); /* everything open becomes jobs */
int sec_assembler_recycle(struct sec_assembler *a, struct sec_frame *f);
void sec_assembler_free(struct sec_assembler *a);

#endif
