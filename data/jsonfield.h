/* What becomes of a JSON record: the record as it is, one field of it (by dotted path, the first of
 * several that exists), or the whole record as key=value pairs (nested keys joined by dots, array
 * elements numbered). At memory speed: structural characters are found by SIMD, strings are copied
 * in runs, and nothing else of the record is touched.
 *
 *   string   unescaped UTF-8; lone surrogates become U+FFFD; \r\n, \n or \r inside become a
 *            space; \u0000 gives nothing (cleaning removes NUL bytes in any case)
 *   number, true, false, null   as written
 *   object, array               as a field: their JSON text as written
 * In key=value form a value with blanks, quotes or '=' is quoted, with \" and \\ inside.
 *
 * Grammar: RFC 8259, UTF-8 (ill-formed bytes inside strings pass through; cleaning mends them). Of
 * equal keys the last counts. Depth to 64; a byte order mark in front is skipped. Constant after
 * opening; thread-safe. */
#ifndef SEC_DATA_JSONFIELD_H
#define SEC_DATA_JSONFIELD_H

#include "base/file.h"
#include "base/mem.h"

enum sec_json_take { SEC_JSON_AS_IS, SEC_JSON_FIELD, SEC_JSON_PAIRS };
#define SEC_JSON_TAKE_CHOICES "raw|field|pairs"

enum sec_json_result { SEC_JSON_OK, SEC_JSON_ABSENT, SEC_JSON_MALFORMED };

struct sec_jsonfield;
/* paths: "message", "event.original", "Event.EventData.Data.0"; a dot inside a key is written \. */
int sec_jsonfield_open(enum sec_json_take take, const struct sec_list *paths,
                       struct sec_jsonfield **out); /* SEC_EUSAGE naming the path */
void sec_jsonfield_close(struct sec_jsonfield *j);

/* line[0..n) without its newline; the text is appended to out. The whole record must be
 * well-formed, also behind the field. Negative = SEC_ENOMEM. */
int sec_jsonfield_get(const struct sec_jsonfield *j, const char *line, size_t n,
                      struct sec_buf *out);

#endif
