/* What the files of corpus_near.h share; of no use elsewhere. */
#ifndef SEC_DATA_CORPUS_NEAR_WORK_H
#define SEC_DATA_CORPUS_NEAR_WORK_H

#include "data/corpus_near.h"
#include "data/corpus_stores.h"
#include "data/partfile.h"
#include "data/sealed.h"

enum { SEC_EXAMPLES = 16 };
enum { SEC_SCOPE_SOURCE, SEC_SCOPE_ALL };

/* A record of gone/GROUP.part and of the files that go into it. */
enum { SEC_GONE_DOCUMENT, SEC_GONE_REASON, SEC_GONE_KEEPER, SEC_GONE_SIMILARITY, SEC_GONE_WORDS };

struct sec_near {
    struct sec_corpus_work *w;
    size_t bit_words;      /* of a map of documents */
    uint64_t *former;      /* w->gone as it was before the last round */
    uint64_t *again;       /* documents to be tried again, with all of their buckets */
    int scope;             /* of the round */
    unsigned round;        /* from 0 in each scope */
    char dir[32];          /* its folder below .build */
    struct sec_list bands; /* files of the documents stage */
    bool buckets;          /* near/buckets/PART.part holds all of them that matter */
    struct sec_list edges; /* files of the first stage, for the second */
    struct sec_list gone;  /* files of gone documents so far, partitioned by group */
    bool decontaminated;   /* near/tests/gone/GROUP.part is there */
    struct sec_groups groups;
    uint64_t *weights; /* [groups.n] bytes of documents: costs */
};

/* What one task of verification found, and a whole round. */
struct sec_near_sum {
    uint64_t candidates, verified;
    uint64_t histogram[SEC_SIMILARITY_BINS];
};
struct sec_round_sum {
    struct sec_near_sum pairs;
    uint64_t gone;
    struct sec_near_example examples[SEC_EXAMPLES]; /* by similarity; similarity 0 = none */
};

static inline uint64_t sec_bits_of(double v)
{
    union {
        double d;
        uint64_t u;
    } x = {.d = v};
    return x.u;
}
static inline double sec_of_bits(uint64_t v)
{
    union {
        uint64_t u;
        double d;
    } x = {.u = v};
    return x.d;
}
static inline bool sec_bit(const uint64_t *bits, uint64_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}
static inline void sec_set_bit(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}
static inline size_t sec_near_group(const struct sec_near *n, uint64_t document)
{
    return n->groups.of[sec_key_task(document)];
}
static inline int sec_similarity_bin(double j)
{
    int bin = (int)(j * SEC_SIMILARITY_BINS);
    return bin < SEC_SIMILARITY_BINS ? bin : SEC_SIMILARITY_BINS - 1;
}

/* .build/near.dir/SUB and the file of item i in it; *out is malloc'd. */
int sec_near_path(const struct sec_near *n, const char *sub, size_t i, const char *suffix,
                  char **out);
int sec_near_files(const struct sec_near *n, const char *sub, size_t count, const char *suffix,
                   struct sec_list *out);
int sec_near_dir(const struct sec_near *n, const char *sub); /* collective */
int sec_near_scratch(const struct sec_near *n, char **out);  /* folder of sorted runs */
bool sec_near_have(const struct sec_near *n, const char *sub, size_t i, const char *suffix);
/* A stage of the round over n items; collective. */
int sec_near_stage(struct sec_near *n, const char *name, size_t count, const uint64_t *cost,
                   bool (*done)(void *, size_t), int (*run)(void *, size_t));

/* The stages of a round (n->dir). Each needs the ones before. */
int sec_near_edges(struct sec_near *n);
int sec_near_verify(struct sec_near *n);
int sec_near_resolve(struct sec_near *n);
bool sec_near_round_done(const struct sec_near *n);

/* Exact repetitions: the smallest document stays. Marks in w->gone what goes. */
int sec_near_exact(struct sec_near *n);

/* All of decontamination. */
int sec_decontaminate(struct sec_near *n, struct sec_near_report *report);

#endif
