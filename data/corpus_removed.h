/* The records' part of a task's ledger: removed/TASK.zst, zstd frames of JSON lines
 *   {"reason":...,"source":...,"file":...,"line":N,"keeper":"16 hex"}
 * One thread; the file appears when sealed. */
#ifndef SEC_DATA_CORPUS_REMOVED_H
#define SEC_DATA_CORPUS_REMOVED_H

#include "data/corpus_work.h"

struct sec_removed;
int sec_removed_open(const struct sec_corpus_work *w, size_t task, struct sec_removed **out);
/* keeper: high half of the hash of what stays instead (the record, or its template); NULL when the
 * record itself is at fault. */
int sec_removed_record(struct sec_removed *r, enum sec_reason reason, size_t input, uint64_t line,
                       const uint64_t *keeper);
int sec_removed_seal(struct sec_removed *r); /* frees r in any case */
void sec_removed_abort(struct sec_removed *r);

#endif
