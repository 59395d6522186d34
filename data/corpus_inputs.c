#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "data/corpus_feed.h"
#include "data/reader.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Length of name[0..n) without a rotation's number or date: ".1", "-20240131", ".2024-01-31". */
static size_t strip_rotation(const char *name, size_t n)
{
    size_t i = n, digits = 0;
    while (i && (isdigit((unsigned char)name[i - 1]) ||
                 (name[i - 1] == '-' && digits && i < n && isdigit((unsigned char)name[i])))) {
        digits += isdigit((unsigned char)name[i - 1]) != 0;
        i--;
    }
    if (i && name[i - 1] == '.' && digits && (digits <= 3 || digits == 8 || digits == 10))
        return i - 1;
    /* The scan has taken the dash of "-20240131" along. */
    if (digits == 8 && n - i == 9 && name[i] == '-')
        return i;
    return n;
}

static size_t strip_name(const char *name, size_t n)
{
    static const char *const endings[] = {".gz",    ".zst",    ".zstd", ".log", ".txt", ".json",
                                          ".jsonl", ".ndjson", ".csv",  ".tsv", ".xml"};
    for (size_t before = 0; before != n;) {
        before = n;
        for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
            size_t len = strlen(endings[k]);
            if (n > len && !strncasecmp(name + n - len, endings[k], len))
                n -= len;
        }
        size_t shorter = strip_rotation(name, n);
        if (shorter)
            n = shorter;
    }
    return n;
}

static char *safe_name(const char *name, size_t n)
{
    char *out = malloc(n + 8);
    if (!out)
        return NULL;
    memcpy(out, name, n);
    out[n] = 0;
    if (!n)
        strcpy(out, "unnamed");
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c) && (*c == '.' ? c == out : *c != '_' && *c != '-'))
            *c = '_';
    return out;
}

char *sec_source_name(const char *path, bool from_dir)
{
    const char *slash = strrchr(path, '/');
    if (!strcmp(path, "-"))
        return strdup("stdin");
    if (!from_dir) {
        const char *name = slash ? slash + 1 : path;
        return safe_name(name, strip_name(name, strlen(name)));
    }
    const char *end = slash ? slash : path;
    while (end > path && end[-1] == '/')
        end--;
    const char *name = end;
    while (name > path && name[-1] != '/')
        name--;
    return safe_name(name, (size_t)(end - name));
}

static bool hidden_below(const char *path, size_t root_len)
{
    return strstr(path + root_len, "/.") != NULL;
}

static bool excluded(const struct sec_corpus_options *o, const char *path)
{
    for (size_t i = 0; o->exclude && i < o->exclude->n; i++)
        if (sec_glob(o->exclude->v[i], sec_basename(path)))
            return true;
    return false;
}

/* Whether a file that nobody named can be read at all; xz, zip and the like are passed over with a
 * warning, where a file that was named is refused. */
static int readable_kind(const char *path, bool *ok)
{
    struct sec_reader *r = NULL;
    int rc = sec_reader_open(path, &r);
    *ok = !rc;
    sec_reader_close(r);
    if (rc != SEC_EDATA)
        return rc;
    sec_warn("passed over: %s", sec_error());
    sec_error_clear();
    return 0;
}

/* Add one argument's files to list. */
static int collect(const struct sec_corpus_options *o, const char *arg, const char *out_real,
                   struct sec_list *list)
{
    int rc = 0;
    struct sec_list files = {0};
    struct stat st;
    if (!strcmp(arg, "-"))
        return sec_list_add(list, arg);
    if (stat(arg, &st))
        return sec_fail_errno(errno, "cannot read input %s", arg);
    if (S_ISREG(st.st_mode)) {
        struct sec_reader *r = NULL;
        SEC_TRY(sec_reader_open(arg, &r)); /* packings that cannot be read are refused at once */
        sec_reader_close(r);
    }
    if (!S_ISDIR(st.st_mode))
        return sec_list_add(list, arg);
    SEC_TRY(sec_walk(arg, &files));
    for (size_t i = 0; i < files.n; i++) {
        char real[PATH_MAX];
        size_t n = strlen(out_real);
        bool ours =
            realpath(files.v[i], real) && n && !strncmp(real, out_real, n) && real[n] == '/';
        bool ok = !ours && !hidden_below(files.v[i], strlen(arg)) && !excluded(o, files.v[i]);
        if (ok)
            SEC_TRY(readable_kind(files.v[i], &ok));
        if (ok)
            SEC_TRY(sec_list_add(list, files.v[i]));
    }
fail:
    sec_list_free(&files);
    return rc;
}

struct named {
    char *path, *source;
    bool odts;
};

static int compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    if (x->odts != y->odts)
        return x->odts ? -1 : 1;
    int c = strcmp(x->source, y->source);
    return c ? c : strcmp(x->path, y->path);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted files into inputs and sources; takes the strings over. */
static int arrange(struct named *files, size_t n, struct sec_inputs *out)
{
    out->v = calloc(n + 1, sizeof *out->v);
    out->sources = calloc(n + 1, sizeof *out->sources);
    if (!out->v || !out->sources)
        return sec_fail(SEC_ENOMEM, "out of memory for %zu inputs", n);
    for (size_t i = 0; i < n; i++) {
        struct sec_source *s = out->n_sources ? &out->sources[out->n_sources - 1] : NULL;
        if (!s || strcmp(s->name, files[i].source)) {
            s = &out->sources[out->n_sources++];
            s->name = files[i].source;
            s->odts = files[i].odts;
            files[i].source = NULL;
        }
        s->files++;
        struct sec_input *in = &out->v[out->n++];
        in->source = (int)out->n_sources - 1;
        in->path = files[i].path;
        files[i].path = NULL;
        in->open = strdup(in->path);
        if (!in->open)
            return sec_fail(SEC_ENOMEM, "out of memory for %zu inputs", n);
    }
    return 0;
}

int sec_inputs_find(const struct sec_corpus_options *o, struct sec_inputs *out)
{
    int rc;
    struct sec_list list = {0};
    struct named *files = NULL;
    char out_real[PATH_MAX];
    memset(out, 0, sizeof *out);
    if (!realpath(o->out, out_real))
        out_real[0] = 0;
    for (size_t i = 0; i < o->inputs->n; i++)
        SEC_TRY(collect(o, o->inputs->v[i], out_real, &list));
    if (!list.n) {
        rc = sec_fail(SEC_EDATA, "no input files below %s",
                      o->inputs->n ? o->inputs->v[0] : "nothing");
        goto fail;
    }
    qsort(list.v, list.n, sizeof *list.v, compare_text);
    files = calloc(list.n, sizeof *files);
    if (!files) {
        rc = sec_fail(SEC_ENOMEM, "out of memory for %zu inputs", list.n);
        goto fail;
    }
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        if (i && !strcmp(list.v[i], list.v[i - 1]))
            continue;
        struct named *f = &files[n++];
        f->path = strdup(list.v[i]);
        f->source = o->source && *o->source ? safe_name(o->source, strlen(o->source))
                                            : sec_source_name(list.v[i], o->source_from_dir);
        if (!f->path || !f->source) {
            rc = sec_fail(SEC_ENOMEM, "out of memory for %zu inputs", list.n);
            goto fail;
        }
        f->odts = sec_split_is_odts(&o->split, f->source);
    }
    qsort(files, n, sizeof *files, compare_named);
    rc = arrange(files, n, out);
fail:
    for (size_t i = 0; files && i < list.n; i++) {
        free(files[i].path);
        free(files[i].source);
    }
    free(files);
    sec_list_free(&list);
    if (rc)
        sec_inputs_free(out);
    return rc;
}

void sec_inputs_free(struct sec_inputs *in)
{
    for (size_t i = 0; i < in->n; i++) {
        free(in->v[i].path);
        free(in->v[i].open);
    }
    for (size_t i = 0; i < in->n_sources; i++)
        free(in->sources[i].name);
    free(in->v);
    free(in->sources);
    memset(in, 0, sizeof *in);
}
