/* Which documents of a build go: exact repetitions, near-duplicates within each source and then
 * over all sources, training documents that are too similar to a test document.
 *
 * Near-duplicates. Documents that share a band key form a bucket; in each bucket every later
 * document is a candidate against the earliest one that still stands (a star, not a chain).
 * A document's candidates are compared in the order of their estimated similarity (data/sketch.h),
 * those that cannot reach the threshold left out, until two are verified: exact Jaccard of the
 * shingle sets. In document order, a document goes if a verified candidate of it stays; the more
 * similar one is its keeper. If its verified candidates all went, or the earliest of one of its
 * buckets went, it is tried again in a further round, until nothing changes. So every document that
 * went has J >= similarity with one that stayed in its round, its keeper, which may itself go in a
 * later round; and no document that is left is as similar to the first one left of any of its
 * buckets. The result depends on documents and options only. First with buckets of one source (what
 * a source keeps by itself does not depend on others), then over all.
 *
 * Decontamination. Training documents against documents of idts and odts, with more and shorter
 * bands (32 x 4: at J = 0.8 one pair in 10^7 is missed, at J = 0.5 one in eight); a training
 * document at least `decontaminate` similar goes; the largest similarity that remains is found and
 * reported.
 *
 *   stage     leaves
 *   near-*    near/..., removed at the end of each round; near/buckets/PART.part: {band key,
 *             document} of documents that share a key, for the rounds after the first
 *   gone      gone/GROUP.part  {document, reason, keeper document, bits of the similarity (double)}
 *             in a partition a task
 *
 * Documents are worked on in groups of consecutive tasks, so that many small tasks do not make many
 * small files. Groups follow from the documents alone.
 *
 * Collective over ranks. Memory: four bits a document, and task_memory a thread. */
#ifndef SEC_DATA_CORPUS_NEAR_H
#define SEC_DATA_CORPUS_NEAR_H

#include "data/corpus_work.h"

enum { SEC_SIMILARITY_BINS = 20 };

struct sec_near_report {
    uint64_t candidates[2],
        verified[2]; /* pairs within sources, over all; verified: J >= threshold */
    uint64_t histogram[SEC_SIMILARITY_BINS]; /* candidates: J in [i/20, (i+1)/20), 1 in the last;
                                                estimates where not compared, and below the
                                                threshold */
    unsigned rounds[2];
    double largest; /* similarity left between a training and a test document; -1 = not sought */
    uint64_t largest_pair[2]; /* training, test document */
    struct sec_near_example {
        double similarity;
        uint64_t gone, keeper; /* documents */
    } examples[16];            /* spread over similarities */
    size_t n_examples;
};
int sec_corpus_near(struct sec_corpus_work *w, struct sec_near_report *report);

struct sec_groups {
    size_t *first; /* [n + 1] tasks: group g holds [first[g], first[g + 1]) */
    size_t *of;    /* [n_tasks] */
    size_t n;
};
int sec_groups_make(const struct sec_corpus_work *w, struct sec_groups *out);
void sec_groups_free(struct sec_groups *g);

/* The split of a document that stays: a function of its source, its cluster, seed and share. */
enum sec_split sec_corpus_split(const struct sec_corpus_work *w, size_t task, uint64_t cluster);

#endif
