#include "data/corpus_place.h"

#include "base/error.h"
#include "data/corpus_manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a corpus consists of; the manifest last, it makes a corpus of the rest. */
static const char *const parts[] = {"train",       "idts",      "odts", "removed.jsonl.zst",
                                    "report.json", SEC_MANIFEST};
enum { N_PARTS = sizeof parts / sizeof *parts };

/* .build/PLACING: every part of the old corpus is in .build/old, so what the root holds is new. */
#define PLACING "PLACING"

static char *join3(const char *a, const char *b, const char *c)
{
    char *path;
    if (asprintf(&path, "%s/%s%s", a, b, c) < 0) {
        sec_fail(SEC_ENOMEM, "out of memory for %s/%s%s", a, b, c);
        return NULL;
    }
    return path;
}

static bool have(const char *dir, const char *sub, const char *name)
{
    char *path = join3(dir, sub, name);
    bool yes = path && sec_exists(path);
    free(path);
    return yes;
}

/* ROOT/from NAME -> ROOT/to NAME, if it is there. */
static int move(const char *root, const char *from, const char *to, const char *name)
{
    char *a = join3(root, from, name), *b = join3(root, to, name);
    int rc = !a || !b ? SEC_ENOMEM : sec_exists(a) ? sec_rename_durable(a, b) : 0;
    free(a);
    free(b);
    return rc;
}

static int remove_path(const char *root, const char *sub, const char *name)
{
    char *path = join3(root, sub, name);
    int rc = path ? sec_remove_tree(path) : SEC_ENOMEM;
    free(path);
    return rc;
}

/* Undo a commit that did not come to its end. */
static int roll_back(const char *root)
{
    int rc = 0;
    if (have(root, ".build/", PLACING)) {
        for (int i = N_PARTS; i-- > 0;)
            SEC_TRY(move(root, "", ".build/stage/", parts[i]));
        SEC_TRY(remove_path(root, ".build/", PLACING));
    }
    for (int i = 0; i < N_PARTS; i++)
        SEC_TRY(move(root, ".build/old/", "", parts[i]));
fail:
    return rc;
}

static int commit(const char *root)
{
    int rc = SEC_ENOMEM;
    char *old = join3(root, ".build/", "old"), *placing = join3(root, ".build/", PLACING);
    if (!old || !placing)
        goto fail;
    SEC_TRY(sec_mkdir_p(old));
    for (int i = N_PARTS; i-- > 0;)
        SEC_TRY(move(root, "", ".build/old/", parts[i]));
    SEC_TRY(sec_write_file(placing, "", 0));
    for (int i = 0; i < N_PARTS; i++)
        SEC_TRY(move(root, ".build/stage/", "", parts[i]));
fail:
    free(old);
    free(placing);
    return rc;
}

int sec_place_commit(const char *root)
{
    int rc = commit(root);
    if (rc && !have(root, "", SEC_MANIFEST)) {
        char *message = sec_error_take();
        roll_back(root);
        sec_error_put(rc, message);
    }
    return rc;
}

static bool is_part(const char *name)
{
    for (int i = 0; i < N_PARTS; i++)
        if (!strcmp(name, parts[i]))
            return true;
    return !strcmp(name, ".lock") || !strcmp(name, ".build");
}

/* Is the manifest that of a text corpus (and not, say, of token shards)? */
static bool is_corpus(const char *root)
{
    struct sec_buf text = {0};
    char *path = join3(root, "", SEC_MANIFEST);
    bool yes = path && !sec_read_file(path, &text) && text.len &&
               memmem(text.data, text.len < 200 ? text.len : 200, SEC_CORPUS_FORMAT,
                      strlen(SEC_CORPUS_FORMAT));
    free(path);
    sec_buf_free(&text);
    sec_error_clear();
    return yes;
}

/* The root is empty, or --force was given and it holds nothing but a corpus. */
static int check_root(const char *root, bool force)
{
    struct sec_list names = {0};
    int rc = sec_list_dir(root, &names);
    bool any = false;
    for (size_t i = 0; !rc && i < names.n; i++) {
        if (!is_part(names.v[i]) && strcmp(names.v[i], "lost+found"))
            rc = sec_fail(SEC_EUSAGE,
                          "%s holds other files (%s): choose an empty or new folder for -o", root,
                          names.v[i]);
        any = any || names.v[i][0] != '.';
    }
    if (!rc && have(root, "", SEC_MANIFEST) && !is_corpus(root))
        rc = sec_fail(SEC_EUSAGE, "%s holds another data set, not a corpus: choose another folder",
                      root);
    else if (!rc && any && !force)
        rc = sec_fail(SEC_EUSAGE, "%s already holds a corpus: give --force to replace it", root);
    sec_list_free(&names);
    return rc;
}

/* What a commit left: to be undone when the manifest is missing, else the rest of .build is of no
 * use any more. */
static int recover(const char *root)
{
    if (!have(root, "", SEC_MANIFEST))
        return roll_back(root);
    return have(root, ".build/", PLACING) ? remove_path(root, "", ".build") : 0;
}

int sec_place_open(const struct sec_corpus_options *o, struct sec_place *p)
{
    int rc = SEC_ENOMEM;
    char *lock = NULL;
    memset(p, 0, sizeof *p);
    p->lock = -1;
    p->root = strdup(o->out);
    p->build = join3(o->out, "", ".build");
    lock = join3(o->out, "", ".lock");
    if (!p->root || !p->build || !lock) {
        sec_fail(rc, "out of memory for %s", o->out);
        goto fail;
    }
    if (sec_exists(o->out) && !sec_is_dir(o->out)) {
        rc = sec_fail(SEC_EUSAGE, "-o %s is a file, a folder is needed", o->out);
        goto fail;
    }
    p->made_root = !sec_exists(o->out);
    SEC_TRY(sec_mkdir_p(o->out));
    SEC_TRY(sec_lock_file(lock, &p->lock));
    SEC_TRY(recover(p->root));
    SEC_TRY(check_root(p->root, o->force));
    SEC_TRY(sec_mkdir_p(p->build));
fail:
    free(lock);
    if (rc)
        sec_place_close(p, true);
    return rc;
}

void sec_place_close(struct sec_place *p, bool keep)
{
    char *message = sec_error_take(); /* cleaning up must not hide why */
    if (p->lock >= 0) {               /* else the folder is another build's */
        if (!keep)
            sec_remove_tree(p->build);
        if (p->made_root && !keep && !have(p->root, "", SEC_MANIFEST))
            sec_remove_tree(p->root);
        sec_unlock_file(p->lock);
    }
    sec_error_clear();
    if (message)
        sec_error_put(SEC_EFAIL, message);
    free(p->root);
    free(p->build);
    memset(p, 0, sizeof *p);
    p->lock = -1;
}
