/* HDF5 with the zstd filter (registered id 32015), and plain named datasets: the little that token
 * shards and checkpoints need. Every call fails with the file and object named; HDF5's own error
 * stack is silenced. One thread at a time may be inside (serial HDF5). */
#ifndef SEC_BASE_H5_H
#define SEC_BASE_H5_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#define SEC_H5_ZSTD 32015

int sec_h5_init(void); /* registers the filter, silences the stack; call before anything else */

int sec_h5_create(const char *path, hid_t *file);
int sec_h5_open(const char *path, hid_t *file); /* read-only */
/* A failed write shows here, and in the put functions, and at the latest when the file is closed;
 * HDF5's own calls succeed even then (h5_driver.h says why). Closing a created file syncs it. */
int sec_h5_check(hid_t file);
int sec_h5_close(hid_t file, const char *path);

/* Attributes of the root group. */
int sec_h5_put_str(hid_t file, const char *key, const char *value);
int sec_h5_put_u64(hid_t file, const char *key, uint64_t value);
int sec_h5_get_str(hid_t file, const char *key, char **out, const char *path); /* malloc'd */
int sec_h5_get_u64(hid_t file, const char *key, uint64_t *out, const char *path);

/* One-dimensional datasets of a native type (H5T_NATIVE_*), contiguous, no filter. read allocates
 * with malloc and checks that the stored type converts without loss. */
int sec_h5_put_array(hid_t file, const char *name, hid_t type, const void *data, size_t n);
int sec_h5_get_array(hid_t file, const char *name, hid_t type, size_t elem_size, void **data,
                     size_t *n, const char *path);

#endif
