/* From bytes to raw records. A record border is a pure function of the bytes of a file, so that
 * blocks of a file can be taken apart by any number of threads.
 *
 *   lines      a line is a record
 *   multiline  a line that starts with a blank continues the record before it (stack traces)
 *   jsonl      a line is a record
 *   csv, tsv   a line is a record, but a quoted field may hold newlines (csv); the header is kept
 *   xml        <Event ...> ... </Event> is a record; tags around events are skipped, other text
 *              around them is taken by line
 *   syslog     RFC 6587 octet counting ("83 <34>1 ..."), else a line is a record
 *
 * Pure functions over the caller's bytes; thread-safe, cannot fail. */
#ifndef SEC_DATA_RECORDS_H
#define SEC_DATA_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sec_format {
    SEC_FORMAT_AUTO,
    SEC_FORMAT_LINES,
    SEC_FORMAT_MULTILINE,
    SEC_FORMAT_JSONL,
    SEC_FORMAT_CSV,
    SEC_FORMAT_TSV,
    SEC_FORMAT_XML,
    SEC_FORMAT_SYSLOG,
    SEC_N_FORMATS
};
#define SEC_FORMAT_CHOICES "auto|lines|multiline|jsonl|csv|tsv|xml|syslog"

/* The format of a file by its name (csv and tsv only) and its first bytes; wanted = the user's
 * word. */
enum sec_format sec_format_detect(enum sec_format wanted, const char *name, const char *head,
                                  size_t n);

struct sec_span {
    const char *p;
    size_t len;    /* without the final line end; may hold newlines */
    uint32_t line; /* lines before it in the block */
    bool wrapper;  /* xml only: text that belongs to no event */
};

struct sec_record_iter {
    enum sec_format format;
    const char *p, *end;
    uint32_t line;
};
/* The block [p, p+n) starts and ends at record borders. */
bool sec_records_next(struct sec_record_iter *it, struct sec_span *out);

/* Bytes of p[0..n) up to the last record border, 0 if there is none yet; p starts at a border. */
size_t sec_records_cut(enum sec_format format, const char *p, size_t n);
/* Inside a record that is too long: bytes up to the next place where a record may start, 0 = none.
 */
size_t sec_records_resync(enum sec_format format, const char *p, size_t n);

#endif
