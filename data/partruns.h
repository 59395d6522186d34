/* Sorted runs of records in a file without a name (unlinked at once, so that nothing stays behind),
 * merged k ways: the overflow of a partition that does not fit into memory. One thread. Failures:
 * SEC_EFAIL (disk full), SEC_EDATA for a damaged block. */
#ifndef SEC_DATA_PARTRUNS_H
#define SEC_DATA_PARTRUNS_H

#include <stddef.h>
#include <stdint.h>

struct sec_runs;
/* memory: bytes for the buffers of the merge. */
int sec_runs_new(const char *dir, unsigned words, size_t memory, struct sec_runs **out);
int sec_runs_add(struct sec_runs *r, const uint64_t *sorted, size_t n);
int sec_runs_merge(struct sec_runs *r); /* after the last add, before the first next */
int sec_runs_next(struct sec_runs *r, const uint64_t **record); /* 1 = end */
void sec_runs_free(struct sec_runs *r);

#endif
