/* The front of a build: input files in corpus order, and blocks of whole records from them.
 *
 * A feed and its block belong to one thread. A block's records point into the block and are valid
 * until it is filled again. */
#ifndef SEC_DATA_CORPUS_FEED_H
#define SEC_DATA_CORPUS_FEED_H

#include "base/hash.h"
#include "data/corpus.h"

struct sec_source {
    char *name;
    bool odts;
    size_t files;
    uint64_t template_cap; /* in force; 0 = none */
    struct sec_corpus_counts counts;
};

struct sec_input {
    char *path;    /* as shown */
    char *open;    /* what to open: path, or where standard input was spooled */
    uint64_t size; /* of the file when the build was planned */
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

struct sec_task {
    int source;
    size_t first_input, n_inputs;
    uint64_t begin,
        end;       /* of one plain file: records that start in [begin, end); else 0, UINT64_MAX */
    uint64_t cost; /* bytes of file */
    enum sec_format format; /* of a part of a file */
};

struct sec_record {
    const char *p;
    uint32_t len;
    uint32_t line; /* from the start of the block */
    uint32_t at;   /* first byte, from the start of the block */
    enum sec_reason reason;
    bool aside;    /* p is in the block's side buffer */
    sec_h128 hash; /* of kept ones */
};

struct sec_block {
    size_t input;
    enum sec_format format;
    struct sec_buf raw;
    size_t n;            /* bytes of raw that are whole records */
    uint64_t offset;     /* of raw in the task's text */
    uint64_t first_line; /* lines thrown away just before the block */
    uint64_t lines;      /* in the block */
    uint64_t bytes;      /* of text, with what was thrown away */
    uint32_t too_long;   /* records thrown away while reading, before the block */
    bool last;           /* of its file, as far as the task goes */
    uint64_t bytes_in;   /* last: size of the file as it is, or of the task's part */
    char damage[200];    /* last: "" or what was wrong with the file */

    struct sec_buf side, field; /* changed texts; one field */
    struct sec_record *records;
    size_t n_records, cap_records;
    uint64_t changes[SEC_N_CHANGES];
};

/* The records of a task. Plain files are read up to the size they had when the build was planned,
 * so that logs may grow meanwhile; one that shrank is SEC_EFAIL. */
struct sec_feed;
int sec_feed_new(const struct sec_inputs *in, const struct sec_corpus_options *o,
                 const struct sec_task *task, struct sec_feed **out);
int sec_feed_next(struct sec_feed *f, struct sec_block *b); /* 1 = no more */
/* XXH3 chained over the text read so far, for a second reading to compare. */
uint64_t sec_feed_hash(const struct sec_feed *f);
void sec_feed_free(struct sec_feed *f);

/* Is a file that begins so neither packed nor UTF-16? */
bool sec_plain_text(const char *head, size_t n);

/* What becomes of a record on its way; each thread its own. */
struct sec_filter {
    const struct sec_corpus_options *o;
    const struct sec_jsonfield *json; /* NULL = records as they are */
    struct sec_pseudo_ctx *pseudo;    /* NULL = names and addresses stay */
    bool hash;
};
/* Take the block's records apart, clean them, put pseudonyms in, hash them. */
int sec_block_process(struct sec_block *b, const struct sec_filter *f);
void sec_block_free(struct sec_block *b);

#endif
