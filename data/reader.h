/* Byte streams: a file or stdin ("-"), plain, gzip (several members) or zstd (several frames,
 * windows up to 2 GiB), told apart by their first bytes and never by name; UTF-16 with a byte order
 * mark becomes UTF-8. What follows is always the decoded text.
 *
 * A file that is cut off or damaged gives everything before the damage: reading then ends as at the
 * end of the file, and sec_reader_damage() tells what was found. The caller must ask and count.
 *
 * Ownership: one thread a reader. Failure: SEC_EFAIL for I/O errors, SEC_EDATA for formats that
 * must be unpacked first (bzip2, xz, zip, ...), naming the file. */
#ifndef SEC_DATA_READER_H
#define SEC_DATA_READER_H

#include <stddef.h>
#include <stdint.h>

struct sec_reader;

int sec_reader_open(const char *path, struct sec_reader **out);
/* Fill buf[0..n); *got < n only at the end of the text. */
int sec_reader_read(struct sec_reader *r, void *buf, size_t n, size_t *got);
/* NULL, or one line about the damage met so far: "gzip data ends inside a member at byte 1234". */
const char *sec_reader_damage(const struct sec_reader *r);
uint64_t sec_reader_bytes_in(const struct sec_reader *r); /* bytes of the file taken so far */
void sec_reader_close(struct sec_reader *r);

#endif
