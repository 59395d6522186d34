/* What a build tells: totals, the checks of its result, the manifest. */
#ifndef SEC_DATA_CORPUS_REPORT_H
#define SEC_DATA_CORPUS_REPORT_H

#include "data/corpus_out.h"

void sec_corpus_sum(const struct sec_inputs *in, const struct sec_output *out,
                    struct sec_corpus_report *report);
/* SEC_EDATA when nothing is left; warnings for splits that were asked for and are empty. */
int sec_corpus_check(const struct sec_corpus_options *o, const struct sec_inputs *in,
                     const struct sec_corpus_report *report);
int sec_corpus_manifest(const struct sec_corpus_options *o, const struct sec_inputs *in,
                        const struct sec_output *out, const struct sec_corpus_report *report,
                        struct sec_buf *text);

#endif
