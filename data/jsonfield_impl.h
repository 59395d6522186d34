/* What data/jsonfield.c and data/json_pairs.c share: strings of a record that is known to be
 * well-formed, and the choice of the scanner (for tests: every one gives the same). */
#ifndef SEC_DATA_JSONFIELD_IMPL_H
#define SEC_DATA_JSONFIELD_IMPL_H

#include "data/jsonfield.h"
#include "data/jsonscan.h"

enum { SEC_JSON_DEPTH = 64 };

void sec_jsonfield_set_isa(struct sec_jsonfield *j, enum sec_isa isa);

/* Append raw[0..n), the inside of a string, without its escapes; \u0000 gives nothing. With
 * one_line, \r\n, \n and \r give a space. */
int sec_json_unescape(struct sec_buf *out, const uint8_t *raw, size_t n, bool one_line);

/* Append a well-formed record as key=value pairs; s: its scan, finished. */
int sec_json_pairs(struct sec_jsonscan *s, struct sec_buf *out);

/* The place behind the inside of the string that opens at `open`; next is the place behind it. */
static inline uint32_t sec_json_string_end(const uint8_t *line, uint32_t next)
{
    do
        next--;
    while (line[next] != '"');
    return next;
}

#endif
