/* A file of zstd frames with a seek table in a final skippable frame (zstd's "seekable format",
 * contrib/seekable_format of zstd): little-endian
 *   u32 0x184D2A5E, u32 size, then per frame u32 packed and u32 raw size, then
 *   u32 number of frames, u8 descriptor (0: no checksums in the table), u32 0x8F92EAB1.
 * The file appears under its name when closed, complete and (unless unsynced) fsynced. One thread.
 */
#ifndef SEC_DATA_PACKFILE_H
#define SEC_DATA_PACKFILE_H

#include "base/file.h"

struct sec_packfile;
int sec_packfile_open(const char *path, struct sec_packfile **out);
/* Do not flush on close: for staged files that sec_fsync_tree() flushes together. */
void sec_packfile_unsynced(struct sec_packfile *p);
int sec_packfile_add(struct sec_packfile *p, const void *packed, size_t packed_len, size_t raw_len);
uint64_t sec_packfile_raw(const struct sec_packfile *p); /* bytes before compression */
/* Writes the table and seals; p is gone afterwards, also on failure. */
int sec_packfile_close(struct sec_packfile *p, uint64_t *bytes_packed, uint64_t *xxh3);
void sec_packfile_abort(struct sec_packfile *p);

#endif
