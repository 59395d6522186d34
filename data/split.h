/* Which split a document belongs to.
 *   odts  whole sources by name, taken out before any decision about duplicates
 *   idts  a share of the clusters of near-duplicate documents, by hash of (cluster, seed)
 *   train the rest
 * A document's cluster is the hash of its masked text, so documents that differ in values only are
 * in one split. The answer depends on the document, the seed and the
 * share alone: adding a source never moves an old document. Immutable after parsing; thread-safe.
 */
#ifndef SEC_DATA_SPLIT_H
#define SEC_DATA_SPLIT_H

#include "base/file.h"
#include "data/textshard.h"

struct sec_split_options {
    double idts;          /* share of clusters, 0..1 */
    struct sec_list odts; /* globs over source names */
    uint64_t seed;
};

/* "idts=.01,odts=zeek-*:sshd"; "none" = all training. SEC_EUSAGE. */
int sec_split_parse(const char *spec, struct sec_split_options *out);
void sec_split_free(struct sec_split_options *o);

bool sec_split_is_odts(const struct sec_split_options *o, const char *source);
enum sec_split sec_split_of_cluster(const struct sec_split_options *o, bool odts_source,
                                    uint64_t cluster);

#endif
