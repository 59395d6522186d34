/* Complete reads and writes, atomic replacement, locks and fault points; directory trees are in
 * file_tree.c. */
#include "base/file.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool on;
    char name[32];
    unsigned long k;
    int err; /* 0 = signal */
    int signal;
} fault;
static atomic_ulong fault_count;
static pthread_once_t fault_once = PTHREAD_ONCE_INIT;

static void fault_init(void)
{
    const char *spec = getenv("SECENC_FAULT");
    if (!spec || !*spec)
        return;
    const char *colon = strchrnul(spec, ':');
    size_t len = (size_t)(colon - spec);
    if (len >= sizeof fault.name)
        return;
    memcpy(fault.name, spec, len);
    fault.k = 1;
    fault.err = ENOSPC;
    if (*colon) {
        char *end;
        fault.k = strtoul(colon + 1, &end, 10);
        if (!strcmp(end, ":eio"))
            fault.err = EIO;
        else if (!strcmp(end, ":kill") || !strcmp(end, ":stop"))
            fault.err = 0;
        fault.signal = !strcmp(end, ":stop") ? SIGSTOP : SIGKILL;
    }
    fault.on = true;
}

bool sec_fault(const char *name)
{
    pthread_once(&fault_once, fault_init);
    if (__builtin_expect(!fault.on, 1) || strcmp(name, fault.name))
        return false;
    if (atomic_fetch_add(&fault_count, 1) + 1 != fault.k)
        return false;
    if (!fault.err) {
        raise(fault.signal);
        return false;
    }
    errno = fault.err;
    return true;
}

static struct {
    void (*fn)(void *ctx, const char *name); /* NULL: no stalls */
    void *ctx;
    char name[32];
    unsigned long every;
    struct timespec time;
} stall;
static atomic_ulong stall_count;
static pthread_once_t stall_once = PTHREAD_ONCE_INIT;

static void stall_sleep(void *ctx, const char *name)
{
    if (!strcmp(name, stall.name) && (atomic_fetch_add(&stall_count, 1) + 1) % stall.every == 0)
        nanosleep(&stall.time, NULL);
}

static void stall_init(void)
{
    const char *spec = getenv("SECENC_STALL");
    unsigned long ms;
    if (!spec || sscanf(spec, "%31[^:]:%lu:%lums", stall.name, &stall.every, &ms) != 3 ||
        !stall.every)
        return;
    stall.time = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    stall.fn = stall_sleep;
}

void sec_stall(const char *name)
{
    pthread_once(&stall_once, stall_init);
    if (__builtin_expect(stall.fn != NULL, 0))
        stall.fn(stall.ctx, name);
}

void sec_set_stall(void (*fn)(void *ctx, const char *name), void *ctx)
{
    pthread_once(&stall_once, stall_init); /* else it would undo this one */
    stall.fn = fn;
    stall.ctx = ctx;
}

int sec_write_all(int fd, const void *p, size_t n, const char *name)
{
    const char *at = p;
    size_t done = 0;
    if (sec_fault("write"))
        return sec_fail_errno(errno, "%s: cannot write %zu bytes", name, n);
    while (done < n) {
        ssize_t got = write(fd, at + done, n - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sec_fail_errno(errno, "%s: cannot write %zu bytes (%zu of them written)", name,
                                  n, done);
        done += (size_t)got;
    }
    return 0;
}

int sec_read_full(int fd, void *p, size_t n, size_t *got, const char *name)
{
    size_t done = 0;
    *got = 0;
    while (done < n) {
        ssize_t r = read(fd, (char *)p + done, n - done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return sec_fail_errno(errno, "%s: cannot read", name);
        if (r == 0)
            break;
        done += (size_t)r;
    }
    *got = done;
    return 0;
}

int sec_pread_full(int fd, void *p, size_t n, uint64_t off, const char *name)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = pread(fd, (char *)p + done, n - done, (off_t)(off + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return sec_fail_errno(errno, "%s: cannot read at byte %llu", name,
                                  (unsigned long long)(off + done));
        if (r == 0)
            return sec_fail(SEC_EDATA,
                            "%s: truncated: %zu bytes expected at byte %llu, the file ends at %llu",
                            name, n, (unsigned long long)off, (unsigned long long)(off + done));
        done += (size_t)r;
    }
    return 0;
}

static int read_fd(int fd, const char *name, struct sec_buf *out)
{
    struct stat st;
    size_t step = (size_t)64 << 10, got = 0;
    if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
        return sec_fail(SEC_EFAIL, "%s: is a directory; give a file", name);
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0)
        step = (size_t)st.st_size + 1; /* one read reaches the end of the file */
    do {
        int rc = sec_buf_reserve(out, step);
        if (!rc)
            rc = sec_read_full(fd, out->data + out->len, step, &got, name);
        if (rc)
            return rc;
        out->len += got;
        out->data[out->len] = 0;
    } while (got == step);
    return 0;
}

int sec_read_file(const char *path, struct sec_buf *out)
{
    if (!strcmp(path, "-"))
        return read_fd(STDIN_FILENO, "standard input", out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sec_fail_errno(errno, "%s: cannot open", path);
    int rc = read_fd(fd, path, out);
    close(fd);
    return rc;
}

int sec_fsync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sec_fail_errno(errno, "%s: cannot open", path);
    int rc = 0;
    if (sec_fault("fsync") || fsync(fd))
        rc = sec_fail_errno(errno, "%s: cannot flush to disk", path);
    close(fd);
    return rc;
}

static int fsync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return sec_fsync_path(".");
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    char *dir = strndup(path, len);
    if (!dir)
        return sec_fail(SEC_ENOMEM, "cannot allocate %zu bytes", len + 1);
    int rc = sec_fsync_path(dir);
    free(dir);
    return rc;
}

int sec_rename_durable(const char *from, const char *to)
{
    if (sec_fault("rename") || rename(from, to))
        return sec_fail_errno(errno, "%s: cannot rename to %s", from, to);
    return fsync_parent(to);
}

int sec_atomic_open(struct sec_atomic *a, const char *path)
{
    static atomic_uint serial;
    *a = (struct sec_atomic){.fd = -1};
    a->path = strdup(path);
    if (!a->path || asprintf(&a->tmp, "%s.tmp.%ld.%u", path, (long)getpid(),
                             atomic_fetch_add(&serial, 1)) < 0) {
        a->tmp = NULL;
        sec_atomic_abort(a);
        return sec_fail(SEC_ENOMEM, "%s: out of memory", path);
    }
    /* O_TRUNC: a file of this name can only be the rest of a dead process that had our pid. */
    a->fd = open(a->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (a->fd < 0) {
        int err = errno;
        free(a->tmp);
        a->tmp = NULL; /* nothing of ours to remove */
        sec_atomic_abort(a);
        return sec_fail_errno(err, "%s: cannot create", path);
    }
    return 0;
}

int sec_atomic_write(struct sec_atomic *a, const void *p, size_t n)
{
    int rc = sec_write_all(a->fd, p, n, a->path);
    if (!rc)
        a->written += n;
    return rc;
}

int sec_atomic_commit_unsynced(struct sec_atomic *a)
{
    int rc = 0;
    int fd = a->fd;
    a->fd = -1;
    if (close(fd))
        rc = sec_fail_errno(errno, "%s: cannot close", a->path);
    else if (sec_fault("rename") || rename(a->tmp, a->path))
        rc = sec_fail_errno(errno, "%s: cannot rename to %s", a->tmp, a->path);
    sec_atomic_abort(a);
    return rc;
}

int sec_atomic_commit(struct sec_atomic *a)
{
    int rc = 0;
    if (sec_fault("fsync") || fsync(a->fd))
        rc = sec_fail_errno(errno, "%s: cannot flush to disk", a->path);
    int fd = a->fd;
    a->fd = -1;
    if (close(fd) && !rc)
        rc = sec_fail_errno(errno, "%s: cannot close", a->path);
    if (!rc)
        rc = sec_rename_durable(a->tmp, a->path);
    sec_atomic_abort(a); /* after a rename there is no such name, and unlink() does nothing */
    return rc;
}

void sec_atomic_abort(struct sec_atomic *a)
{
    if (a->fd >= 0)
        close(a->fd);
    if (a->tmp)
        unlink(a->tmp);
    free(a->tmp);
    free(a->path);
    *a = (struct sec_atomic){.fd = -1};
}

int sec_write_file(const char *path, const void *p, size_t n)
{
    struct sec_atomic a;
    int rc = sec_atomic_open(&a, path);
    if (rc)
        return rc;
    rc = sec_atomic_write(&a, p, n);
    if (rc) {
        sec_atomic_abort(&a);
        return rc;
    }
    return sec_atomic_commit(&a);
}

int sec_lock_file(const char *path, int *fd_out)
{
    *fd_out = -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return sec_fail_errno(errno, "%s: cannot open the lock", path);
    char text[32] = "";
    int rc = 0;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int err = errno;
        if (err != EWOULDBLOCK) {
            rc = sec_fail_errno(err, "%s: cannot lock", path);
        } else {
            ssize_t n = pread(fd, text, sizeof text - 1, 0);
            text[n > 0 ? n : 0] = 0;
            rc = sec_fail(SEC_EFAIL, "%s: in use by process %ld; wait for it or stop it", path,
                          strtol(text, NULL, 10));
        }
        close(fd);
        return rc;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) {
        rc = sec_fail_errno(errno, "%s: cannot write the lock", path);
        close(fd);
        return rc;
    }
    *fd_out = fd;
    return 0;
}

void sec_unlock_file(int fd)
{
    if (fd >= 0)
        close(fd);
}
