/* The end of a build: documents that stay -> frames (a file a task) -> shards (a run of frames
 * each), the ledger, the report, the manifest; then the corpus is put in place. Collective over
 * ranks; rank 0 does what is one file's. */
#ifndef SEC_DATA_CORPUS_WRITE_H
#define SEC_DATA_CORPUS_WRITE_H

#include "data/corpus_near.h"

int sec_corpus_write(struct sec_corpus_work *w, const struct sec_near_report *near,
                     struct sec_corpus_report *report);

#endif
