/* What the two passes over a task's records share; of no use elsewhere. Both must see the same
 * records and come to the same decisions about repetitions inside a task. */
#ifndef SEC_DATA_CORPUS_RECORDS_H
#define SEC_DATA_CORPUS_RECORDS_H

#include "data/corpus_work.h"
#include "data/template.h"

#include <string.h>

/* What the scan stage knows of a task at its end. */
struct sec_scan_sum {
    uint64_t hash; /* sec_feed_hash */
    uint64_t lines;
};

/* A task's records, block by block, filtered; one thread. */
struct sec_pass {
    const struct sec_corpus_work *w;
    size_t task;
    struct sec_feed *feed;
    struct sec_block block;
    struct sec_filter filter;
    struct sec_pseudo_ctx *pseudo_ctx;
    sec_h128 *seen; /* [SEC_SEEN] repetitions near each other are told by this cache, so that a hot
                       record does not fill a partition */
};
enum { SEC_SEEN = 1 << 18 };

int sec_pass_open(const struct sec_corpus_work *w, size_t task, struct sec_pass *p);
int sec_pass_next(struct sec_pass *p); /* 1 = end; else p->block holds records */
void sec_pass_close(struct sec_pass *p);

/* Is the record the same as one shortly before in this task? Asked once a record, in order. */
static inline bool sec_pass_seen(struct sec_pass *p, sec_h128 hash)
{
    sec_h128 *place = &p->seen[hash.hi % SEC_SEEN];
    bool same = place->lo == hash.lo && place->hi == hash.hi;
    *place = hash;
    return same;
}

static inline uint64_t sec_record_key(const struct sec_pass *p, const struct sec_record *r)
{
    return (uint64_t)p->task << SEC_TASK_SHIFT | (p->block.offset + r->at);
}

/* A source's own key, so that records and templates of sources do not meet. */
static inline uint64_t sec_source_key(const struct sec_corpus_work *w, size_t task)
{
    const char *name = w->in.sources[w->tasks[task].source].name;
    return sec_hash64(name, strlen(name), 0);
}

static inline bool sec_capped(const struct sec_corpus_options *o)
{
    return o->template_cap || o->target_bytes;
}

/* What the documents stage leaves of a task is there. */
bool sec_documents_done(const struct sec_corpus_work *w, size_t task);
/* The documents are complete: what was decided about records takes room for nothing. Collective. */
int sec_records_forget(const struct sec_corpus_work *w);

/* The stages of the records; each needs the ones before. Collective. */
int sec_records_scan(struct sec_corpus_work *w);
int sec_records_exact(struct sec_corpus_work *w);
int sec_records_templates(struct sec_corpus_work *w); /* sets sources[].template_cap */

#endif
