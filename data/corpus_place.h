/* Where a corpus is made and how it is put in place. Everything is made below ROOT/.build, the new
 * corpus in ROOT/.build/stage. Commit moves an old corpus into .build, then the new one out of it,
 * the manifest last: a corpus is complete or has no manifest. A failure on the way undoes the
 * moves, and so does the next build after a crash; .build stays for it to go on with.
 *
 * ROOT/.lock keeps two builds apart. Rank 0, one thread. Sequence: open -> commit -> close, or open
 * -> close. Failure: one line. */
#ifndef SEC_DATA_CORPUS_PLACE_H
#define SEC_DATA_CORPUS_PLACE_H

#include "data/corpus.h"

struct sec_place {
    char *root, *build;
    bool made_root;
    int lock;
};

/* Locks, undoes a half commit, makes ROOT/.build. SEC_EUSAGE when root holds anything that must not
 * be replaced. What an earlier build left in .build is still there. */
int sec_place_open(const struct sec_corpus_options *o, struct sec_place *p);
/* The corpus in ROOT/.build/stage takes its place. (sec_corpus_write does it.) */
int sec_place_commit(const char *root);
/* keep: .build stays, for a later run to go on with; else it goes, and a root that was made for it
 * too. */
void sec_place_close(struct sec_place *p, bool keep);

#endif
