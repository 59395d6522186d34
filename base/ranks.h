/* Ranks: the processes of one job, started by mpirun (or srun); a program started alone is rank 0
 * of 1. Only what stages of file-based work need: agreement, sums, broadcast. Data travels through
 * files that all ranks see, never through here.
 *
 * Calling sequence: sec_ranks_init() once at program start, sec_ranks_finalize() at its end. A
 * build without MPI has one rank and refuses to start under a launcher with more. Threads: the main
 * thread only. agree, sum, max and bcast are collective: all ranks make them, in the same order; a
 * rank that has failed may skip to agree, and the others learn of it in whichever call they are.
 * Waiting ranks sleep. Standard output of ranks above 0 leads nowhere. */
#ifndef SEC_BASE_RANKS_H
#define SEC_BASE_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* MPI is started only under a launcher, so that a lone start stays fast. */
int sec_ranks_init(void);
void sec_ranks_finalize(void);
int sec_rank(void);
int sec_world(void);
const char *sec_ranks_library(void); /* "Open MPI 4.1.4", or "none" in a build without */

/* Barrier that carries failures: every rank gives its status; if any failed, all get the status and
 * the message of the lowest rank that failed. */
int sec_ranks_agree(int rc);
bool sec_ranks_failed(void);              /* an agreement has found a failure */
bool sec_ranks_speaks(void);              /* this rank prints it: the one that failed, or rank 0 */
int sec_ranks_sum(uint64_t *v, size_t n); /* element-wise over all ranks, result everywhere */
int sec_ranks_max(uint64_t *v, size_t n);
int sec_ranks_bcast(void *p, size_t n); /* from rank 0 */

#endif
