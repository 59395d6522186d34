/* Which records of a task the template cap leaves out, asked record by record in order.
 *
 * One thread. Memory: the capped templates of 64 MiB of text. */
#ifndef SEC_DATA_CORPUS_CAPTABLE_H
#define SEC_DATA_CORPUS_CAPTABLE_H

#include "data/corpus_work.h"

struct sec_captable;
/* files: of the cap stage. */
int sec_captable_open(const struct sec_corpus_work *w, const struct sec_list *files, size_t task,
                      size_t memory, struct sec_captable **out);
/* The next record of the template in the segment; segments come in ascending order. */
int sec_captable_ask(struct sec_captable *t, uint64_t segment, uint64_t template, bool *drop);
void sec_captable_close(struct sec_captable *t);

#endif
