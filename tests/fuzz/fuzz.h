/* What the fuzz targets share. A target gives arbitrary bytes to a parser: it may refuse them, with
 * a message, but not crash, leak, hang or break a promise of its header, which fuzz_check() states.
 *
 * Files are given as memory files under /proc/self/fd, so that nothing is written to a disk. */
#ifndef SEC_TESTS_FUZZ_H
#define SEC_TESTS_FUZZ_H

#include "base/error.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_check(cond)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: broken promise: %s (%s)\n", __FILE__, __LINE__, #cond,         \
                    sec_error());                                                                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A failure is one line and names something. */
#define fuzz_check_refusal(rc)                                                                     \
    fuzz_check(!(rc) || ((rc) < 0 && sec_error()[0] && !strchr(sec_error(), '\n')))

/* Path of a file with these bytes, valid until the next call. */
static inline const char *fuzz_file(const void *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        fuzz_check(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    fuzz_check(ftruncate(fd, 0) == 0);
    fuzz_check(pwrite(fd, data, size, 0) == (ssize_t)size);
    return path;
}

/* A folder in which `name` is such a file. The folder stays behind: tools/fuzz gives a TMPDIR of
 * its own and removes it. */
static inline const char *fuzz_folder(const char *name, const void *data, size_t size)
{
    static char *folder;
    const char *file = fuzz_file(data, size), *tmp = getenv("TMPDIR");
    if (!folder) {
        folder = sec_path_join(tmp && *tmp ? tmp : "/tmp", "secenc-fuzz-XXXXXX");
        fuzz_check(folder && mkdtemp(folder));
        char *link = sec_path_join(folder, name);
        fuzz_check(link && symlink(file, link) == 0);
        free(link);
    }
    return folder;
}

/* The next byte of an input, 0 at its end. */
static inline uint8_t fuzz_byte(const uint8_t **data, size_t *size)
{
    if (!*size)
        return 0;
    --*size;
    return *(*data)++;
}

/* Exactly these bytes on the heap, so that reading past them is seen. */
static inline char *fuzz_copy(const void *data, size_t size)
{
    char *copy = malloc(size ? size : 1);
    fuzz_check(copy);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* As text that ends with 0. */
static inline char *fuzz_text(const void *data, size_t size)
{
    char *copy = malloc(size + 1);
    fuzz_check(copy);
    if (size)
        memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}

#endif
