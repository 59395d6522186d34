/* Partitioned spool files: the exchange between two stages. A task of the first stage writes one
 * part file: records of a fixed number of u64 words, each put into one of n_parts partitions. A
 * task of the second stage reads one partition out of all part files, sorted. Both in bounded
 * memory, whatever the number of records and however they are spread over partitions.
 *
 * File: header (magic, version, words, parts), blocks {u32 part, u32 count, u64 xxh3 of payload,
 * payload}, index of blocks by partition with record counts, its XXH3, its length and a magic. All
 * little-endian. It appears under its name only when complete; it is not flushed to
 * disk, since one that is lost with the power is found by its hashes. A damaged block or index
 * is SEC_EDATA naming file and byte; the file is then renamed to NAME.damaged, so that running the
 * job again makes it anew.
 *
 * A writer belongs to one thread; a stream too. Fault points: "spool" at every block. */
#ifndef SEC_DATA_PARTFILE_H
#define SEC_DATA_PARTFILE_H

#include "base/file.h"

#include <stdint.h>

enum { SEC_PART_MAX_WORDS = 6 };

struct sec_part_writer;
/* memory: bytes of records kept before blocks are written. n_parts up to 2^24. */
int sec_part_create(const char *path, unsigned words, size_t n_parts, size_t memory,
                    struct sec_part_writer **out);
int sec_part_add(struct sec_part_writer *w, size_t part, const uint64_t *record);
/* Frees w in any case. *records (may be NULL) = how many the file holds. */
int sec_part_seal(struct sec_part_writer *w, uint64_t *records);
/* Seals *w and sets it to NULL; nothing if it is NULL. For writers that a failure may yet abort. */
int sec_part_finish(struct sec_part_writer **w);
void sec_part_abort(struct sec_part_writer *w);

/* The records of one partition of all files, ascending as sequences of words (word 0 first). Beyond
 * `memory` bytes sorted runs go to files in scratch_dir (removed on close). */
struct sec_part_stream;
int sec_part_open(const struct sec_list *files, size_t part, unsigned words, size_t memory,
                  const char *scratch_dir, struct sec_part_stream **out);
int sec_part_next(struct sec_part_stream *s, const uint64_t **record); /* 1 = end */
uint64_t sec_part_count(const struct sec_part_stream *s);              /* records in all */
void sec_part_close(struct sec_part_stream *s);

/* Records of one file by partition: counts[n_parts]. Verifies the index only. */
int sec_part_counts(const char *path, size_t n_parts, uint64_t *counts);

#endif
