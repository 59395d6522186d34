/* Files: complete reads and writes, durable replacement, directory walks, locks, fault points.
 *
 * Guarantee of a sec_atomic file: after sec_atomic_commit() returns 0 the new content is on disk
 * under its name, even if power fails; before that, or after sec_atomic_abort(), the old file (or
 * nothing) is there. Calling sequence: open -> write... -> commit | abort. The data is fsynced
 * before the rename (else the name may point at blocks never written) and the directory after it
 * (else the rename itself may be lost).
 *
 * Messages name the file, the byte where it matters, and strerror. */
#ifndef SEC_BASE_FILE_H
#define SEC_BASE_FILE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int sec_read_file(const char *path, struct sec_buf *out); /* appends; '-' is stdin */
int sec_write_all(int fd, const void *p, size_t n, const char *name);
int sec_read_full(int fd, void *p, size_t n, size_t *got, const char *name); /* short only at EOF */
int sec_pread_full(int fd, void *p, size_t n, uint64_t off,
                   const char *name); /* short = SEC_EDATA */

struct sec_atomic {
    int fd;
    char *path, *tmp;
    uint64_t written;
};

int sec_atomic_open(struct sec_atomic *a, const char *path);
int sec_atomic_write(struct sec_atomic *a, const void *p, size_t n);
int sec_atomic_commit(struct sec_atomic *a); /* on failure: aborted, message set */
/* As commit, but nothing is flushed: for a file in a folder that sec_fsync_tree() flushes later. */
int sec_atomic_commit_unsynced(struct sec_atomic *a);
void sec_atomic_abort(struct sec_atomic *a);                   /* harmless after commit */
int sec_write_file(const char *path, const void *p, size_t n); /* all of the above at once */

int sec_fsync_path(const char *path); /* a file or a directory */
/* All files and folders below path, many at a time: a file system commits such flushes together, so
 * that hundreds of files cost little more than one. */
int sec_fsync_tree(const char *path);
int sec_rename_durable(const char *from, const char *to); /* rename + fsync of the parent */

int sec_mkdir_p(const char *path);
int sec_remove_tree(const char *path); /* missing is fine; never follows links */
bool sec_exists(const char *path);
bool sec_is_dir(const char *path);
int64_t sec_file_size(const char *path);           /* -1 if missing */
char *sec_path_join(const char *a, const char *b); /* malloc'd */
const char *sec_basename(const char *path);

/* Names of a directory's entries without . and .., or all regular files below a path (following
 * links to files), both sorted bytewise. A plain file gives itself. */
struct sec_list {
    char **v;
    size_t n;
};
int sec_list_dir(const char *path, struct sec_list *out);
int sec_walk(const char *path, struct sec_list *out);
int sec_list_add(struct sec_list *l, const char *s);
void sec_list_free(struct sec_list *l);

/* Advisory lock held until close or process end. Busy gives SEC_EFAIL naming the holder's pid. */
int sec_lock_file(const char *path, int *fd_out);
void sec_unlock_file(int fd);

/* Fault points: SECENC_FAULT="name[:k]" makes the k-th (default first) sec_fault("name") of the
 * process fail with ENOSPC (or EIO with "name:k:eio"; "name:k:kill" raises SIGKILL; "name:k:stop"
 * raises SIGSTOP and goes on when continued). Compiled in always: one predictable branch. Every
 * write path passes through "write", "fsync" and "rename". */
bool sec_fault(const char *name); /* true: errno is set, behave as if the call had failed */

/* Stall points: SECENC_STALL="name:k:500ms" makes every k-th sec_stall("name") of the process sleep
 * that long, as a disk or a network file system does now and then. A test may put a function in the
 * place of the sleep (before it starts threads; NULL takes it away again). Reading a chunk of
 * tokens passes through the stall and the fault point "chunk". */
void sec_stall(const char *name);
void sec_set_stall(void (*fn)(void *ctx, const char *name), void *ctx);

#endif
