/* The front of a build: input files in corpus order, and blocks of whole records from them.
 *
 * One thread fills blocks; any thread may process a filled one. A block's records point into the
 * block and are valid until it is filled again. */
#ifndef SEC_DATA_CORPUS_FEED_H
#define SEC_DATA_CORPUS_FEED_H

#include "base/hash.h"
#include "data/corpus.h"

struct sec_source {
    char *name;
    bool odts;
    size_t files;
    struct sec_corpus_counts counts;
};

struct sec_input {
    char *path; /* as shown */
    char *open; /* what to open: path, or where standard input was spooled */
    int source;
};

struct sec_inputs {
    struct sec_input *v;
    size_t n;
    struct sec_source *sources; /* in corpus order */
    size_t n_sources;
};
/* All files below the arguments but hidden ones and those below o->out; twice named = once read. */
int sec_inputs_find(const struct sec_corpus_options *o, struct sec_inputs *out);
void sec_inputs_free(struct sec_inputs *in);

struct sec_record {
    const char *p;
    uint32_t len;
    uint32_t line; /* from the start of the block */
    enum sec_reason reason;
    sec_h128 hash, masked; /* of kept ones */
};

struct sec_block {
    int input;
    enum sec_format format;
    struct sec_buf raw;
    size_t n;            /* bytes of raw that are whole records */
    uint64_t first_line; /* lines thrown away just before the block */
    uint64_t lines;      /* in the block */
    uint64_t bytes;      /* of text, with what was thrown away */
    uint32_t too_long;   /* records thrown away while reading, before the block */
    bool last;           /* of its file */
    uint64_t bytes_in;   /* last: size of the file as it is */
    char damage[200];    /* last: "" or what was wrong with the file */

    struct sec_buf side, scratch; /* changed texts; masked forms */
    struct sec_record *records;
    size_t n_records, cap_records;
    uint64_t changes[SEC_N_CHANGES];
};

struct sec_feed;
int sec_feed_new(const struct sec_inputs *in, const struct sec_corpus_options *o,
                 struct sec_feed **out);
int sec_feed_next(struct sec_feed *f, struct sec_block *b); /* 1 = no more */
void sec_feed_free(struct sec_feed *f);

/* Take the block's records apart, clean them, hash them (exact) and their templates (masked). */
int sec_block_process(struct sec_block *b, const struct sec_corpus_options *o, bool exact,
                      bool masked);
void sec_block_free(struct sec_block *b);

#endif
