/* Counts of pieces that leave memory: files of counts in hash partitions, written when a thread's
 * map is full and at the end of a rank's share; each partition merged by the rank that owns it; the
 * merged partitions read by rank 0.
 *
 * The files lie in a folder that all ranks see. It is begun anew by every run: counting is not
 * resumed. Blocks carry an XXH3; damage is SEC_EDATA naming file and byte. Thread rule: write from
 * any thread, the rest on the main thread, collective over ranks. Fault point "spool" at every
 * block. */
#ifndef SEC_DATA_BPE_SPILL_H
#define SEC_DATA_BPE_SPILL_H

#include "base/file.h"
#include "data/bpe_count.h"

#include <pthread.h>

struct sec_bpe_spill {
    const char *dir;
    pthread_mutex_t lock;
    bool begun;      /* the folder is there and ours */
    int lock_fd;     /* of rank 0 */
    unsigned serial; /* of this rank's files */
};

void sec_bpe_spill_init(struct sec_bpe_spill *s, const char *dir);
/* Makes the folder and takes it. Only rank 0, before any other rank writes; a lone process may
 * leave it to the first write. */
int sec_bpe_spill_begin(struct sec_bpe_spill *s);
/* Writes the counts to a new file and empties them. */
int sec_bpe_spill_write(struct sec_bpe_spill *s, struct sec_piece_counts *c);
/* Merges the partitions, then adds all of them to *into on rank 0. */
int sec_bpe_spill_merge(struct sec_bpe_spill *s, int threads, struct sec_piece_counts *into);
void sec_bpe_spill_end(struct sec_bpe_spill *s); /* rank 0 removes the folder */

#endif
