/* Directories: making, removing, listing and walking; path helpers. */
#include "base/error.h"
#include "base/file.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_dir(const char *path)
{
    if (!mkdir(path, 0777))
        return 0;
    int err = errno;
    if (err == EEXIST && sec_is_dir(path))
        return 0;
    return sec_fail_errno(err == EEXIST ? ENOTDIR : err, "%s: cannot make the directory", path);
}

int sec_mkdir_p(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", path);
    int rc = 0;
    for (char *p = copy + 1; *copy && *p && !rc; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        rc = make_dir(copy);
        *p = '/';
    }
    if (!rc)
        rc = make_dir(copy);
    free(copy);
    return rc;
}

/* Removes name below the directory fd at; shown is the whole path, for messages. */
static int remove_at(int at, const char *name, const char *shown)
{
    if (!unlinkat(at, name, 0) || errno == ENOENT)
        return 0;
    int err = errno;
    if (err != EISDIR && err != EPERM)
        return sec_fail_errno(err, "%s: cannot remove", shown);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        err = fd < 0 && errno == ENOTDIR ? err : errno;
        if (fd >= 0)
            close(fd);
        return sec_fail_errno(err, "%s: cannot remove", shown);
    }
    int rc = 0;
    struct dirent *entry;
    while (!rc && (errno = 0, entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *below = sec_path_join(shown, entry->d_name);
        rc = below ? remove_at(dirfd(dir), entry->d_name, below) : SEC_ENOMEM;
        free(below);
    }
    closedir(dir);
    if (!rc && unlinkat(at, name, AT_REMOVEDIR) && errno != ENOENT)
        rc = sec_fail_errno(errno, "%s: cannot remove the directory", shown);
    return rc;
}

int sec_remove_tree(const char *path)
{
    return remove_at(AT_FDCWD, path, path);
}

bool sec_exists(const char *path)
{
    struct stat st;
    return !lstat(path, &st);
}

bool sec_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int64_t sec_file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : (int64_t)st.st_size;
}

char *sec_path_join(const char *a, const char *b)
{
    size_t len = strlen(a);
    const char *slash = len == 0 || a[len - 1] == '/' ? "" : "/";
    char *out;
    if (asprintf(&out, "%s%s%s", a, slash, b) < 0) {
        sec_fail(SEC_ENOMEM, "%s: out of memory", a);
        return NULL;
    }
    return out;
}

const char *sec_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int sec_list_add(struct sec_list *l, const char *s)
{
    /* Powers of two are the moments to grow: no capacity field is needed. */
    if ((l->n & (l->n - 1)) == 0) {
        char **v = realloc(l->v, (l->n ? 2 * l->n : 1) * sizeof *v);
        if (!v)
            return sec_fail(SEC_ENOMEM, "out of memory for a list of %zu names", l->n);
        l->v = v;
    }
    char *copy = strdup(s);
    if (!copy)
        return sec_fail(SEC_ENOMEM, "out of memory for a list of %zu names", l->n);
    l->v[l->n++] = copy;
    return 0;
}

void sec_list_free(struct sec_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (struct sec_list){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int sec_list_dir(const char *path, struct sec_list *out)
{
    DIR *dir = opendir(path);
    if (!dir)
        return sec_fail_errno(errno, "%s: cannot open the directory", path);
    int rc = 0;
    size_t first = out->n;
    struct dirent *entry;
    while (!rc && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            rc = sec_list_add(out, entry->d_name);
    }
    if (!rc && errno)
        rc = sec_fail_errno(errno, "%s: cannot read the directory", path);
    closedir(dir);
    if (out->n - first > 1)
        qsort(out->v + first, out->n - first, sizeof *out->v, compare_names);
    return rc;
}

static int walk_dir(const char *path, struct sec_list *out)
{
    struct sec_list names = {0};
    int rc = sec_list_dir(path, &names);
    for (size_t i = 0; i < names.n && !rc; i++) {
        char *below = sec_path_join(path, names.v[i]);
        struct stat st;
        if (!below)
            rc = SEC_ENOMEM;
        else if (lstat(below, &st))
            rc = sec_fail_errno(errno, "%s: cannot look at it", below);
        else if (S_ISDIR(st.st_mode)) /* a link to a directory is not one: no loops */
            rc = walk_dir(below, out);
        else if (!stat(below, &st) && S_ISREG(st.st_mode))
            rc = sec_list_add(out, below);
        free(below);
    }
    sec_list_free(&names);
    return rc;
}

int sec_walk(const char *path, struct sec_list *out)
{
    struct stat st;
    if (stat(path, &st))
        return sec_fail_errno(errno, "%s: cannot open", path);
    if (!S_ISDIR(st.st_mode))
        return sec_list_add(out, path);
    size_t first = out->n;
    int rc = walk_dir(path, out);
    if (out->n - first > 1)
        qsort(out->v + first, out->n - first, sizeof *out->v, compare_names);
    return rc;
}

/* path and everything below it, folders behind their content. */
static int list_tree(const char *path, struct sec_list *out)
{
    int rc = 0;
    struct sec_list names = {0};
    if (sec_is_dir(path))
        SEC_TRY(sec_list_dir(path, &names));
    for (size_t i = 0; i < names.n; i++) {
        char *below = sec_path_join(path, names.v[i]);
        rc = below ? list_tree(below, out) : SEC_ENOMEM;
        free(below);
        if (rc)
            goto fail;
    }
    rc = sec_list_add(out, path);
fail:
    sec_list_free(&names);
    return rc;
}

static int flush_one(void *ctx, size_t i)
{
    const struct sec_list *l = ctx;
    return sec_fsync_path(l->v[i]);
}

int sec_fsync_tree(const char *path)
{
    enum { AT_ONCE = 32 };
    struct sec_list all = {0};
    int rc = list_tree(path, &all);
    if (!rc)
        rc = sec_parallel_for(all.n, AT_ONCE, flush_one, &all);
    sec_list_free(&all);
    return rc;
}
