#include "base/h5_driver.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What HDF5 hands to every callback: its own part comes first. */
struct driver_file {
    H5FD_t pub;
    int fd;
    int error;    /* errno of the first failure, 0 = none */
    bool written; /* HDF5 opens and closes a file once before it makes it anew */
    haddr_t eoa, eof;
    dev_t device;
    ino_t inode;
};

static int closed_error;

static struct driver_file *of(const H5FD_t *file)
{
    return (struct driver_file *)(uintptr_t)file; /* some callbacks get it const */
}

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t fapl, haddr_t max)
{
    struct stat st;
    struct driver_file *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    int mode = (flags & H5F_ACC_RDWR ? O_RDWR : O_RDONLY) | (flags & H5F_ACC_TRUNC ? O_TRUNC : 0) |
               (flags & H5F_ACC_CREAT ? O_CREAT : 0) | (flags & H5F_ACC_EXCL ? O_EXCL : 0);
    f->fd = open(name, mode | O_CLOEXEC, 0666);
    if (f->fd < 0 || fstat(f->fd, &st)) {
        if (f->fd >= 0)
            close(f->fd);
        free(f);
        return NULL;
    }
    f->eof = (haddr_t)st.st_size;
    f->device = st.st_dev;
    f->inode = st.st_ino;
    return &f->pub;
}

static herr_t driver_close(H5FD_t *file)
{
    struct driver_file *f = of(file);
    if (f->written && !f->error && (sec_fault("fsync") || fsync(f->fd)))
        f->error = errno;
    if (close(f->fd) && !f->error)
        f->error = errno;
    closed_error = f->error;
    free(f);
    return 0;
}

/* HDF5 asks whether two open files are one. */
static int driver_compare(const H5FD_t *a, const H5FD_t *b)
{
    const struct driver_file *x = of(a), *y = of(b);
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode == y->inode ? 0 : x->inode < y->inode ? -1 : 1;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    return of(file)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    of(file)->eoa = address;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    return of(file)->eof;
}

static herr_t driver_get_handle(H5FD_t *file, hid_t fapl, void **handle)
{
    *handle = file;
    return 0;
}

/* Bytes that were never written read as zero. */
static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t address, size_t size,
                          void *buffer)
{
    char *at = buffer;
    while (size) {
        ssize_t n = pread(of(file)->fd, at, size, (off_t)address);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0) {
            memset(at, 0, size);
            return 0;
        }
        at += n;
        address += (haddr_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static herr_t driver_write(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t address, size_t size,
                           const void *buffer)
{
    struct driver_file *f = of(file);
    const char *at = buffer;
    f->written = true;
    if (address + size > f->eof)
        f->eof = address + size; /* even if it fails: HDF5 is to believe that it did not */
    if (!f->error && sec_fault("write"))
        f->error = errno;
    while (size && !f->error) {
        ssize_t n = pwrite(f->fd, at, size, (off_t)address);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            f->error = errno;
            break;
        }
        at += n;
        address += (haddr_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static herr_t driver_truncate(H5FD_t *file, hid_t dxpl, hbool_t closing)
{
    struct driver_file *f = of(file);
    if (f->eoa == f->eof)
        return 0;
    if (!f->error && ftruncate(f->fd, (off_t)f->eoa))
        f->error = errno;
    f->eof = f->eoa;
    return 0;
}

static const H5FD_class_t driver_class = {
#ifdef H5FD_CLASS_VERSION /* HDF5 1.14 */
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)400,
#endif
    .name = "secencoder",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = driver_open,
    .close = driver_close,
    .cmp = driver_compare,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .get_handle = driver_get_handle,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_SINGLE,
};

static hid_t driver_id = H5I_INVALID_HID;

herr_t sec_h5_driver_use(hid_t access_list)
{
    if (driver_id < 0)
        driver_id = H5FDregister(&driver_class);
    return driver_id < 0 ? -1 : H5Pset_driver(access_list, driver_id, NULL);
}

int sec_h5_driver_error(hid_t file)
{
    int error = 0;
    void *handle;
    hid_t list = H5Fget_access_plist(file);
    if (list >= 0 && driver_id >= 0 && H5Pget_driver(list) == driver_id &&
        H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0)
        error = ((struct driver_file *)handle)->error;
    if (list >= 0)
        H5Pclose(list);
    return error;
}

int sec_h5_driver_take_closed(void)
{
    int error = closed_error;
    closed_error = 0;
    return error;
}
