/* What a build tells: totals, the checks of its result, the manifest, report.json. None of it holds
 * times, ranks, threads or limits: equal builds tell the same. */
#ifndef SEC_DATA_CORPUS_REPORT_H
#define SEC_DATA_CORPUS_REPORT_H

#include "base/json.h"
#include "data/corpus_feed.h"
#include "data/corpus_shards.h"

void sec_corpus_add_counts(struct sec_corpus_counts *into, const struct sec_corpus_counts *c);
/* Files, sources, counts and splits from the inputs and the shards, which are sorted. */
void sec_corpus_sum(const struct sec_inputs *in, const struct sec_shard_info *shards,
                    size_t n_shards, struct sec_corpus_report *report);
/* SEC_EDATA when nothing is left; warnings for splits that were asked for and are empty. */
int sec_corpus_check(const struct sec_corpus_options *o, const struct sec_inputs *in,
                     const struct sec_corpus_report *report);
/* pseudonyms: fingerprint of key and options, NULL = off. */
int sec_corpus_manifest(const struct sec_corpus_options *o, const struct sec_inputs *in,
                        const struct sec_shard_info *shards, size_t n_shards,
                        const struct sec_corpus_report *report, const char *pseudonyms,
                        struct sec_buf *text);
/* "options": those that decide about the content. */
void sec_corpus_put_options(struct sec_jw *w, const struct sec_corpus_options *o,
                            const char *pseudonyms);

int sec_corpus_report_json(const struct sec_corpus_work *w, const struct sec_near_report *near,
                           const struct sec_shards *shards, const struct sec_corpus_report *report,
                           const char *pseudonyms, struct sec_buf *text);

#endif
