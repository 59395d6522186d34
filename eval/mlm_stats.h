/* From tallies to results: figures of each seed, their mean and standard deviation over seeds, and
 * bootstrap intervals over documents (1,000 replicates, 2.5 and 97.5 percentiles, fixed seed, so
 * that the same tallies always give the same interval). A mean over seeds is bootstrapped with the
 * same documents drawn for all seeds. */
#ifndef SEC_EVAL_MLM_STATS_H
#define SEC_EVAL_MLM_STATS_H

#include "eval/mlm_tally.h"
#include "eval/results.h"

/* seeds: [n_seeds], tallied with the seeds 1 .. n_seeds over n_docs documents. */
int sec_mlm_results(const char *task, const char *split, const struct sec_mlm_seed *seeds,
                    int n_seeds, uint64_t n_docs, int vocab_size, struct sec_results *out);

#endif
