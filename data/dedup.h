/* Deduplication as a stage: it sees every record, then every document, in the order of the corpus
 * (source, path, offset) and says whether it stays. The order alone decides, so the result does not
 * depend on threads. The stages of a build: exact records, template cap, exact documents,
 * collisions of training documents with test documents. Near-duplicate documents fit in behind
 * sec_dedup_document(), with the same answers.
 *
 * Exact records are compared within a source: what one source keeps does not depend on another, so
 * adding a source never changes documents of an old one. Documents are compared over the whole
 * corpus.
 *
 * The template cap needs two passes over the input: count, then decide. Of the n records of a
 * template in a source it keeps k, spread evenly: record i (from 0) stays if (i+1)k/n and ik/n
 * differ in their whole part.
 *
 * Memory: 16 bytes a distinct record of one source, 16 a document, 32 a template, each table at
 * most 70 % full. Threads: one. Failure: SEC_ENOMEM beyond the budget, with advice. */
#ifndef SEC_DATA_DEDUP_H
#define SEC_DATA_DEDUP_H

#include "base/hash.h"
#include "data/clean.h"

struct sec_dedup_options {
    bool exact;
    uint64_t template_cap; /* 0 = off */
    uint64_t memory;       /* bytes for all tables */
};

struct sec_dedup;
int sec_dedup_new(const struct sec_dedup_options *o, struct sec_dedup **out);
void sec_dedup_free(struct sec_dedup *d);

/* Start a pass over the input; with a cap pass 0 counts and pass 1 decides, else there is one pass.
 */
int sec_dedup_passes(const struct sec_dedup *d);
void sec_dedup_begin(struct sec_dedup *d, int pass);
/* A new source begins; its number keeps templates of sources apart. */
int sec_dedup_source(struct sec_dedup *d, int source, const char *name);

/* Fetch the table lines of a record that is asked about soon. */
void sec_dedup_prefetch(const struct sec_dedup *d, sec_h128 record, sec_h128 masked);
/* SEC_KEPT, SEC_DROP_EXACT or SEC_DROP_TEMPLATE to *reason. */
int sec_dedup_record(struct sec_dedup *d, sec_h128 record, sec_h128 masked,
                     enum sec_reason *reason);
/* SEC_KEPT, SEC_DROP_DOCUMENT or SEC_DROP_COLLISION. cluster: of near-duplicates (split.h).
 * Test-only sources come first, so that training documents meet their clusters. */
int sec_dedup_document(struct sec_dedup *d, sec_h128 id, sec_h128 cluster, bool odts, bool train,
                       enum sec_reason *reason);

#endif
