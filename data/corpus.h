/* Raw logs -> corpus of text shards: read, clean, deduplicate, gather into documents, split, write.
 *
 * A build is a sequence of stages (corpus_work.h) whose tasks spread over threads and ranks. Its
 * bytes depend on the inputs and the options alone: not on threads, ranks, memory, or the order of
 * the arguments. A build that fails, is stopped or killed keeps what is complete in OUT/.build, and
 * the same call goes on from there. Plain files are read up to the size they have at the start.
 *
 * The new corpus is put in place when complete, its MANIFEST last: there is never half a corpus,
 * and an old one stays until then. OUT/.lock keeps two builds apart. All ranks call it together and
 * see the same files. Failure: one line; SEC_EDATA when no document is left, SEC_EINTR when
 * stopped. */
#ifndef SEC_DATA_CORPUS_H
#define SEC_DATA_CORPUS_H

#include "data/clean.h"
#include "data/jsonfield.h"
#include "data/minhash.h"
#include "data/pseudonym.h"
#include "data/records.h"
#include "data/split.h"

#include <signal.h>

struct sec_corpus_options {
    const struct sec_list *inputs;  /* files, folders, "-" */
    const struct sec_list *exclude; /* globs over base names of files found in folders; or NULL */
    const char *out;
    enum sec_format format;
    bool source_from_dir;              /* source = name of the file's folder, else of the file */
    const char *source;                /* one name for everything; NULL or "" = by rule */
    enum sec_json_take json_take;      /* of JSONL records */
    const struct sec_list *json_paths; /* for SEC_JSON_FIELD */
    struct sec_pseudo_options pseudo;  /* key_file NULL = off */
    bool exact;
    uint64_t template_cap; /* 0 = off, unless target_bytes */
    uint64_t target_bytes; /* template cap solved for each source so that about this much text
                              stays; 0 = off */
    bool minhash;          /* near-duplicate documents: first within each source, then over all */
    struct sec_minhash_options near;
    double
        decontaminate; /* training documents at least this similar to a test document go; 0 = off */
    uint64_t doc_bytes; /* a document is cut before it exceeds this; one record always fits */
    uint64_t max_record;
    uint64_t shard_bytes; /* raw */
    uint64_t memory;      /* resident memory of a rank, kept whatever the input; 0 = half of the
                             machine's */
    struct sec_split_options split;
    int threads;
    bool force;                        /* replace a corpus */
    bool ledger;                       /* write removed.jsonl.zst */
    const volatile sig_atomic_t *stop; /* may be NULL; nonzero = give up cleanly */
};

struct sec_corpus_counts {
    uint64_t records_read, bytes_read; /* bytes of text after unpacking */
    uint64_t reasons[SEC_N_REASONS];   /* [SEC_KEPT] = records in the corpus */
    uint64_t changes[SEC_N_CHANGES];
};

struct sec_corpus_report {
    size_t files, damaged_files, sources;
    uint64_t bytes_in; /* of the files as they are */
    struct sec_corpus_counts counts;
    struct sec_split_total {
        uint64_t documents, records, bytes_text, bytes_packed;
        size_t sources;
    } splits[SEC_N_SPLITS];
    double largest_similarity; /* left between a training and a test document; 0 = no pair is
                                  similar, -1 = not sought */
    double seconds;
};

int sec_corpus_build(const struct sec_corpus_options *o, struct sec_corpus_report *report);

/* The source name of a file: its base name (or its folder's, with from_dir) without .gz .zst .log
 * .txt .json .jsonl .ndjson .csv .tsv .xml and without a rotation's number or date; bytes other
 * than letters, digits, '.', '_' and '-' become '_'. malloc'd; NULL = out of memory. */
char *sec_source_name(const char *path, bool from_dir);

/* Totals by split and source, as text or JSON. */
int sec_corpus_stats(const char *root, bool json, struct sec_buf *out);

/* n documents drawn uniformly without replacement, in the order of the corpus, as JSON lines. split
 * < 0 and source NULL = all. */
int sec_corpus_sample(const char *root, uint64_t n, int split, const char *source, uint64_t seed,
                      struct sec_buf *out);

#endif
