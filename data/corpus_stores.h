/* Documents of any task by key, out of a few open document stores, and their shingle sets out of a
 * cache bounded in bytes. Each thread its own. */
#ifndef SEC_DATA_CORPUS_STORES_H
#define SEC_DATA_CORPUS_STORES_H

#include "data/corpus_work.h"
#include "data/docstore.h"

enum { SEC_OPEN_STORES = 16, SEC_STORE_READERS = 2 };

struct sec_stores {
    const struct sec_corpus_work *w;
    struct {
        size_t task;
        struct sec_docstore *store; /* NULL = free place */
        uint64_t used;
    } v[SEC_OPEN_STORES];
    uint64_t clock;
    struct sec_docreader reader[SEC_STORE_READERS];
};
void sec_stores_init(struct sec_stores *s, const struct sec_corpus_work *w);
/* Text and row of a document; either may be NULL. Reader r keeps the text until its next use: one
 * for documents in order, one for the others, so that frames are decoded once. */
int sec_stores_get(struct sec_stores *s, uint64_t document, int r, struct sec_docrow *row,
                   const char **text);
void sec_stores_free(struct sec_stores *s);

struct sec_set_cache;
int sec_set_cache_new(const struct sec_corpus_work *w, size_t memory, struct sec_set_cache **out);
/* The shingle set of the document's masked text, valid until the second call after this one. */
int sec_set_cache_get(struct sec_set_cache *c, uint64_t document, int r,
                      const struct sec_shingle_set **set);
void sec_set_cache_free(struct sec_set_cache *c);

#endif
