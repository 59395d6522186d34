/* One document as one JSON line, both ways, at memory speed.
 *
 * Ownership: encoding appends to the caller's buffer; decoding works in place, so that the strings
 * of the result point into the line. Thread-safe. Failure: SEC_ENOMEM; SEC_EDATA without the file's
 * name (the caller adds it). */
#ifndef SEC_DATA_DOCJSON_H
#define SEC_DATA_DOCJSON_H

#include "base/hash.h"
#include "base/mem.h"
#include "data/textshard.h"

void sec_h128_hex(sec_h128 h, char out[32]); /* not NUL-terminated; high half first */

/* Append s as a quoted JSON string; s is valid UTF-8. */
int sec_docjson_quote(struct sec_buf *out, const char *s, size_t n);

/* {"id":...,"source":...,"text":...,"ts":null,"meta":{"records":N}} and a newline. */
int sec_docjson_encode(struct sec_buf *out, const struct sec_doc *doc);

/* line[0..n) without its newline; line[n] may be overwritten. Keys may come in any order, unknown
 * ones are skipped. */
int sec_docjson_decode(char *line, size_t n, struct sec_doc *doc);

#endif
