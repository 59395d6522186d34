/* A build at work: what its stages share, and what they leave for each other below OUT/.build.
 *
 * The input is cut into tasks: a task is a run of consecutive small files of one source (to 64 MiB
 * of file), or one larger file, or 64 MiB of a larger plain file of lines. Cutting depends on the
 * input alone, never on ranks, threads or memory. Tasks are numbered in corpus order (test-only
 * sources first, source, path, byte), so that these keys order everything: record  task << 40 |
 * byte of its first byte in the task's text document  task << 40 | its number in the task A
 * document ends where its task ends, and at every 64 MiB of the task's text.
 *
 *   stage      leaves                      a file holds
 *   scan       scan/TASK.part              {hash lo, hi, record [, template]} by hash
 *              scan/TASK.tmpl              {template, segment, n, bytes} by template; with a cap
 *              scan/TASK.sum               struct sec_scan_sum
 *   exact      exact/PART.part             {record} of repetitions, by task
 *              exact/PART.tmpl             {template, segment, -1, 0} of them, by template
 *   templates  templates/PART.hist         sizes of templates by source; with target_bytes
 *   cap        cap/PART.part               {segment, template, first rank, n, cap} of capped
 *                                          templates, by task
 *   documents  docs/TASK.docs .rows        data/docstore.h
 *              ids/TASK.part               {id lo, id hi, document} by id
 *              bands/TASK.part             {band key, document} by key; only with minhash
 *              bands/TASK.sketch           data/sketch.h; without minhash the stage tests-keys
 *                                          leaves them
 *              removed/TASK.zst            the records' part of the ledger, zstd frames
 *              docs/TASK.sum               struct sec_task_sum
 *   (the rest is corpus_near.h's and corpus_write.h's)
 *
 * Every file appears when its task is complete (data/stage.h), so a killed build goes on where it
 * was, on any number of ranks; plan.txt tells whether the work there is of the same build. */
#ifndef SEC_DATA_CORPUS_WORK_H
#define SEC_DATA_CORPUS_WORK_H

#include "data/corpus_feed.h"
#include "data/stage.h"

enum { SEC_TASK_SHIFT = 40, SEC_SEGMENT_SHIFT = 26 };
#define SEC_PLAN       "plan.txt" /* OUT/.build/plan.txt */
#define SEC_TASK_BYTES (UINT64_C(1) << SEC_SEGMENT_SHIFT)

/* What the documents stage knows of a task at its end. */
struct sec_task_sum {
    struct sec_corpus_counts counts; /* of records; [SEC_KEPT] = records in documents */
    uint64_t pseudo[SEC_N_PSEUDO];
    uint64_t bytes_in, damaged_files;
    uint64_t text_hash; /* XXH3 over the decoded text, to notice files that change between stages */
    uint64_t documents, bytes_documents;
};

struct sec_corpus_work {
    const struct sec_corpus_options *o;
    struct sec_jsonfield *json; /* NULL = records as they are */
    struct sec_pseudo *pseudo;  /* NULL = names and addresses stay */
    struct sec_inputs in;
    struct sec_task *tasks;
    size_t n_tasks;
    size_t n_parts; /* partitions of hashes; from the size of the input, not of the memory */
    char *dir;      /* OUT/.build */
    int threads;
    size_t task_memory; /* bytes that a running task may hold */
    uint64_t *cost;     /* [n_tasks], for sec_stage */
    uint64_t
        *line_base; /* [n_tasks] lines of the task's file before it; filled by the records stage */

    /* After the documents stage, on every rank. */
    struct sec_task_sum *sums; /* [n_tasks] */
    uint64_t *doc_base;        /* [n_tasks + 1] documents of the tasks before */
    uint64_t *gone;            /* bit per document (doc_base[task] + number): removed */
};

static inline uint64_t sec_doc_key(size_t task, uint64_t number)
{
    return (uint64_t)task << SEC_TASK_SHIFT | number;
}
static inline size_t sec_key_task(uint64_t key)
{
    return (size_t)(key >> SEC_TASK_SHIFT);
}
static inline uint64_t sec_key_number(uint64_t key)
{
    return key & ((UINT64_C(1) << SEC_TASK_SHIFT) - 1);
}
/* The 64 MiB of a task's text that a record is in. */
static inline uint64_t sec_key_segment(uint64_t key)
{
    return (uint64_t)sec_key_task(key) << SEC_TASK_SHIFT | sec_key_number(key) >> SEC_SEGMENT_SHIFT;
}
static inline uint64_t sec_doc_dense(const struct sec_corpus_work *w, uint64_t key)
{
    return w->doc_base[sec_key_task(key)] + sec_key_number(key);
}
static inline bool sec_doc_gone(const struct sec_corpus_work *w, uint64_t key)
{
    uint64_t i = sec_doc_dense(w, key);
    return w->gone[i / 64] >> (i % 64) & 1;
}

/* OUT/.build/STAGE/NNNNNN.SUFFIX, malloc'd ("" = no suffix); NULL + message. And the list of such
 * files for i in [0, n). */
char *sec_work_path(const struct sec_corpus_work *w, const char *stage, size_t i,
                    const char *suffix);
int sec_work_files(const struct sec_corpus_work *w, const char *stage, size_t n, const char *suffix,
                   struct sec_list *out);
/* mkdir of OUT/.build/STAGE; any rank, any time. */
int sec_work_stage_dir(const struct sec_corpus_work *w, const char *stage);
int sec_work_remove_stage(const struct sec_corpus_work *w, const char *stage); /* one rank */
/* A part file of the stage, in w->n_parts partitions. */
struct sec_part_writer;
int sec_work_create(const struct sec_corpus_work *w, const char *stage, size_t i,
                    const char *suffix, unsigned words, size_t memory,
                    struct sec_part_writer **out);
bool sec_work_have(const struct sec_corpus_work *w, const char *stage, size_t i,
                   const char *suffix);

/* Front: inputs -> tasks -> documents. Collective over ranks; SEC_EINTR keeps what is complete. */
/* o and dir are set, the folder exists: json, pseudo, inputs, tasks; plan.txt, resume or start
 * anew. */
int sec_corpus_plan(struct sec_corpus_work *w);
int sec_corpus_records(struct sec_corpus_work *w);   /* scan, exact, templates */
int sec_corpus_documents(struct sec_corpus_work *w); /* documents; fills sums, doc_base, gone */
void sec_corpus_work_free(struct sec_corpus_work *w);

#endif
