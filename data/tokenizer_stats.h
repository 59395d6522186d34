/* Lines of a text, and figures about how a tokenizer fits it. One thread an object. */
#ifndef SEC_DATA_TOKENIZER_STATS_H
#define SEC_DATA_TOKENIZER_STATS_H

#include "data/tokenizer.h"

/* Lines of a file or of stdin ("-"), without the final \n; pointers are valid until the next call.
 * Reads of a file without a newline at its end give the rest as a line. */
struct sec_lines;
int sec_lines_open(const char *path, struct sec_lines **out);
int sec_lines_next(struct sec_lines *l, char **line, size_t *n); /* 1 = end */
void sec_lines_close(struct sec_lines *l);

struct sec_tokenizer_stats {
    uint64_t lines, bytes, words, tokens; /* words: runs of non-blank bytes */
    uint64_t by_class[3];
    uint64_t *used; /* [vocab] */
};
/* Adds one line's figures. used is allocated by the caller. */
int sec_tokenizer_stats_add(struct sec_encoder_ctx *c, const struct sec_tokenizer *t,
                            const char *line, size_t n, struct sec_tokenizer_stats *s);

struct sec_entry_counts {
    uint64_t by_class[3], unused; /* unused: special tokens are not counted */
};
void sec_tokenizer_entries(const struct sec_tokenizer *t, const struct sec_tokenizer_stats *s,
                           struct sec_entry_counts *out);

/* Ids of the n longest entries (longest first, then by id) without special tokens; returns how
 * many. */
size_t sec_tokenizer_longest(const struct sec_tokenizer *t, uint16_t *ids, size_t n);

#endif
