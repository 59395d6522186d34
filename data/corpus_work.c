#include "data/corpus_work.h"

#include "base/error.h"
#include "data/partfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *sec_work_path(const struct sec_corpus_work *w, const char *stage, size_t i,
                    const char *suffix)
{
    char *path;
    if (asprintf(&path, "%s/%s/%06zu%s%s", w->dir, stage, i, *suffix ? "." : "", suffix) < 0) {
        sec_fail(SEC_ENOMEM, "out of memory for the path of a file of stage %s", stage);
        return NULL;
    }
    return path;
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

int sec_work_remove_stage(const struct sec_corpus_work *w, const char *stage)
{
    char *path = sec_path_join(w->dir, stage);
    int rc = path ? sec_remove_tree(path) : sec_fail(SEC_ENOMEM, "out of memory for %s", stage);
    free(path);
    return rc;
}

bool sec_work_have(const struct sec_corpus_work *w, const char *stage, size_t i, const char *suffix)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s/%06zu.%s", w->dir, stage, i, suffix);
    return n > 0 && n < (int)sizeof path && sec_exists(path);
}

int sec_work_create(const struct sec_corpus_work *w, const char *stage, size_t i,
                    const char *suffix, unsigned words, size_t memory, struct sec_part_writer **out)
{
    char *path = sec_work_path(w, stage, i, suffix);
    int rc = path ? sec_part_create(path, words, w->n_parts, memory, out) : SEC_ENOMEM;
    free(path);
    return rc;
}

void sec_corpus_work_free(struct sec_corpus_work *w)
{
    sec_jsonfield_close(w->json);
    sec_pseudo_close(w->pseudo);
    sec_inputs_free(&w->in);
    free(w->tasks);
    free(w->line_base);
    free(w->dir);
    free(w->cost);
    free(w->sums);
    free(w->doc_base);
    free(w->gone);
    memset(w, 0, sizeof *w);
}
