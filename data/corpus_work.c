#include "data/corpus_work.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

char *sec_work_path(const struct sec_corpus_work *w, const char *stage, size_t i,
                    const char *suffix)
{
    char *path;
    if (asprintf(&path, "%s/%s/%06zu%s%s", w->dir, stage, i, *suffix ? "." : "", suffix) >= 0)
        return path;
    sec_fail(SEC_ENOMEM, "out of memory for a file of stage %s", stage);
    return NULL;
}

int sec_work_files(const struct sec_corpus_work *w, const char *stage, size_t n, const char *suffix,
                   struct sec_list *out)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        char *path = sec_work_path(w, stage, i, suffix);
        rc = path ? sec_list_add(out, path) : SEC_ENOMEM;
        free(path);
    }
    return rc;
}

int sec_work_stage_dir(const struct sec_corpus_work *w, const char *stage)
{
    char *path = sec_path_join(w->dir, stage);
    int rc = path ? sec_mkdir_p(path) : sec_fail(SEC_ENOMEM, "out of memory for stage %s", stage);
    free(path);
    return rc;
}
