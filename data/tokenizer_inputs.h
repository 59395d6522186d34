/* The inputs of tokenizer training, and their sharing out between ranks. Main thread. Ownership:
 * the struct owns its names; free it. */
#ifndef SEC_DATA_TOKENIZER_INPUTS_H
#define SEC_DATA_TOKENIZER_INPUTS_H

#include "base/file.h"

struct sec_train_file {
    char *path;
    /* UINT64_MAX as end: the whole file, packed or not. Else the lines of a plain file that begin
     * in [from, end). */
    uint64_t from, end;
};

struct sec_train_inputs {
    struct sec_train_file *files;
    size_t n_files, cap_files;
    struct sec_list shards; /* files of corpora */
};

/* A file, a folder of files, or a corpus (its train split). */
int sec_train_inputs_add(struct sec_train_inputs *in, const char *path);
/* Collective: keeps this rank's share. Long plain files are cut into ranges of lines; longest
 * first, least loaded rank. */
int sec_train_inputs_share(struct sec_train_inputs *in);
void sec_train_inputs_free(struct sec_train_inputs *in);

/* Opens a file of which a range was given; [*at, *end) are its whole lines. */
int sec_train_range_open(const struct sec_train_file *f, int *fd, uint64_t *at, uint64_t *end);

#endif
