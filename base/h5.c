#include "base/h5.h"

#include "base/error.h"
#include "base/file.h"
#include "base/h5_driver.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* HDF5 chunks are below 4 GiB; a frame that claims more is damaged. */
#define MAX_CHUNK ((unsigned long long)UINT32_MAX)

/* Swap *buf for a block of `bytes` that `fill` has written; HDF5 owns blocks of its own allocator.
 */
static size_t replace_block(void **buf, size_t *buf_size, void *block, size_t capacity,
                            size_t result)
{
    if (!block || ZSTD_isError(result)) {
        if (block)
            H5free_memory(block);
        return 0;
    }
    H5free_memory(*buf);
    *buf = block;
    *buf_size = capacity;
    return result;
}

/* The callback of H5Zregister(): returns the bytes now in *buf, or 0 on failure. */
static size_t zstd_filter(unsigned flags, size_t n_params, const unsigned params[], size_t n_bytes,
                          size_t *buf_size, void **buf)
{
    size_t capacity, result = 0;
    if (flags & H5Z_FLAG_REVERSE) {
        unsigned long long size = ZSTD_getFrameContentSize(*buf, n_bytes);
        if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size == 0 ||
            size > MAX_CHUNK)
            return 0;
        capacity = (size_t)size;
        void *block = H5allocate_memory(capacity, false);
        if (block)
            result = ZSTD_decompress(block, capacity, *buf, n_bytes);
        if (block && result != capacity) {
            H5free_memory(block);
            return 0;
        }
        return replace_block(buf, buf_size, block, capacity, result);
    }
    capacity = ZSTD_compressBound(n_bytes);
    void *block = H5allocate_memory(capacity, false);
    if (block)
        result = ZSTD_compress(block, capacity, *buf, n_bytes, n_params ? (int)params[0] : 3);
    return replace_block(buf, buf_size, block, capacity, result);
}

static herr_t innermost(unsigned n, const H5E_error2_t *error, void *out)
{
    if (n == 0 && error->desc)
        snprintf(out, 256, "%s", error->desc);
    return 0;
}

/* A failure with the innermost line of HDF5's own stack. path NULL: the name HDF5 keeps for file,
 * asked for only after the stack was read, because every call clears it. */
static int h5_fail(int code, hid_t file, const char *path, const char *what, const char *object)
{
    char reason[256] = "", name[512] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    if (!path && H5Fget_name(file, name, sizeof name) <= 0)
        snprintf(name, sizeof name, "HDF5 file");
    return sec_fail(code, "%s: cannot %s%s%s%s%s", path ? path : name, what, object ? " " : "",
                    object ? object : "", *reason ? ": " : "", reason);
}

int sec_h5_init(void)
{
    static bool done;
    static const H5Z_class2_t filter = {.version = H5Z_CLASS_T_VERS,
                                        .id = SEC_H5_ZSTD,
                                        .encoder_present = 1,
                                        .decoder_present = 1,
                                        .name = "zstd",
                                        .filter = zstd_filter};
    if (done)
        return 0;
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0 || H5Zregister(&filter) < 0)
        return sec_fail(SEC_EFAIL, "cannot start the HDF5 library");
    done = true;
    return 0;
}

/* Closing the file closes every object in it: a forgotten handle cannot keep it open. */
static hid_t access_list(void)
{
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (fapl >= 0)
        H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    return fapl;
}

int sec_h5_create(const char *path, hid_t *file)
{
    *file = H5I_INVALID_HID;
    int rc = sec_h5_init();
    if (rc)
        return rc;
    hid_t fapl = access_list();
    errno = 0;
    if (sec_h5_driver_use(fapl) >= 0)
        *file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
    if (*file < 0 && errno)
        rc = sec_fail_errno(errno, "%s: cannot create", path);
    else if (*file < 0)
        rc = h5_fail(SEC_EFAIL, *file, path, "create", NULL);
    H5Pclose(fapl);
    return rc;
}

int sec_h5_open(const char *path, hid_t *file)
{
    *file = H5I_INVALID_HID;
    int rc = sec_h5_init();
    if (rc)
        return rc;
    hid_t fapl = access_list();
    *file = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    if (*file < 0)
        rc = h5_fail(sec_file_size(path) < 0 ? SEC_EFAIL : SEC_EDATA, *file, path, "open", NULL);
    H5Pclose(fapl);
    return rc;
}

int sec_h5_check(hid_t file)
{
    int error = sec_h5_driver_error(file);
    if (!error)
        return 0;
    char name[512];
    if (H5Fget_name(file, name, sizeof name) <= 0)
        snprintf(name, sizeof name, "HDF5 file");
    return sec_fail_errno(error, "%s: cannot write", name);
}

int sec_h5_close(hid_t file, const char *path)
{
    if (file < 0)
        return 0;
    sec_h5_driver_take_closed();
    herr_t status = H5Fclose(file);
    int error = sec_h5_driver_take_closed();
    if (error)
        return sec_fail_errno(error, "%s: cannot write", path);
    return status < 0 ? h5_fail(SEC_EFAIL, file, path, "close", NULL) : 0;
}

static hid_t string_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0) {
        H5Tset_size(type, H5T_VARIABLE);
        H5Tset_cset(type, H5T_CSET_UTF8);
    }
    return type;
}

static int put_attribute(hid_t file, const char *key, hid_t type, const void *value)
{
    int rc = 0;
    hid_t space = H5Screate(H5S_SCALAR);
    if (H5Aexists(file, key) > 0)
        H5Adelete(file, key);
    hid_t attr = H5Acreate2(file, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attr < 0 || H5Awrite(attr, type, value) < 0)
        rc = h5_fail(SEC_EFAIL, file, NULL, "write attribute", key);
    if (attr >= 0)
        H5Aclose(attr);
    H5Sclose(space);
    return rc ? rc : sec_h5_check(file);
}

int sec_h5_put_str(hid_t file, const char *key, const char *value)
{
    hid_t type = string_type();
    int rc = put_attribute(file, key, type, &value);
    H5Tclose(type);
    return rc;
}

int sec_h5_put_u64(hid_t file, const char *key, uint64_t value)
{
    return put_attribute(file, key, H5T_NATIVE_UINT64, &value);
}

/* Opens an attribute that holds one value of the class. */
static int open_attribute(hid_t file, const char *key, H5T_class_t want, const char *path,
                          hid_t *attr, hid_t *type)
{
    *type = H5I_INVALID_HID;
    *attr = H5Aopen(file, key, H5P_DEFAULT);
    if (*attr < 0)
        return h5_fail(SEC_EDATA, file, path, "find attribute", key);
    *type = H5Aget_type(*attr);
    hid_t space = H5Aget_space(*attr);
    hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    if (*type < 0 || n != 1 || H5Tget_class(*type) != want) {
        H5Aclose(*attr);
        if (*type >= 0)
            H5Tclose(*type);
        return sec_fail(SEC_EDATA, "%s: attribute %s is not one %s", path, key,
                        want == H5T_STRING ? "string" : "integer");
    }
    return 0;
}

int sec_h5_get_str(hid_t file, const char *key, char **out, const char *path)
{
    hid_t attr, type;
    *out = NULL;
    int rc = open_attribute(file, key, H5T_STRING, path, &attr, &type);
    if (rc)
        return rc;
    char *text = NULL;
    if (H5Tis_variable_str(type) > 0) {
        if (H5Aread(attr, type, &text) < 0)
            rc = h5_fail(SEC_EDATA, file, path, "read attribute", key);
        else
            *out = strdup(text ? text : "");
        H5free_memory(text);
    } else {
        *out = calloc(1, H5Tget_size(type) + 1);
        if (*out && H5Aread(attr, type, *out) < 0)
            rc = h5_fail(SEC_EDATA, file, path, "read attribute", key);
    }
    if (!rc && !*out)
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory", path);
    if (rc) {
        free(*out);
        *out = NULL;
    }
    H5Tclose(type);
    H5Aclose(attr);
    return rc;
}

int sec_h5_get_u64(hid_t file, const char *key, uint64_t *out, const char *path)
{
    hid_t attr, type;
    int rc = open_attribute(file, key, H5T_INTEGER, path, &attr, &type);
    if (rc)
        return rc;
    int64_t number = 0;
    /* A negative number would silently become 0 on the way to an unsigned type. */
    if (H5Tget_sign(type) == H5T_SGN_2 &&
        (H5Aread(attr, H5T_NATIVE_INT64, &number) < 0 || number < 0))
        rc = sec_fail(SEC_EDATA, "%s: attribute %s is negative", path, key);
    else if (H5Aread(attr, H5T_NATIVE_UINT64, out) < 0)
        rc = h5_fail(SEC_EDATA, file, path, "read attribute", key);
    H5Tclose(type);
    H5Aclose(attr);
    return rc;
}

int sec_h5_put_array(hid_t file, const char *name, hid_t type, const void *data, size_t n)
{
    int rc = 0;
    hsize_t dims[1] = {n};
    hid_t space = H5Screate_simple(1, dims, NULL);
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(plist, false); /* equal content gives equal files */
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Pclose(plist);
    if (set < 0 || (n && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
        rc = h5_fail(SEC_EFAIL, file, NULL, "write dataset", name);
    if (set >= 0)
        H5Dclose(set);
    H5Sclose(space);
    return rc ? rc : sec_h5_check(file);
}

/* Does every value of the stored type exist in the wanted one? */
static bool converts(hid_t stored, hid_t wanted)
{
    H5T_class_t class = H5Tget_class(stored);
    size_t have = H5Tget_size(stored), want = H5Tget_size(wanted);
    if (class != H5Tget_class(wanted) || (class != H5T_INTEGER && class != H5T_FLOAT))
        return false;
    if (class == H5T_FLOAT || H5Tget_sign(stored) == H5Tget_sign(wanted))
        return have <= want;
    return H5Tget_sign(stored) == H5T_SGN_NONE && have < want;
}

int sec_h5_get_array(hid_t file, const char *name, hid_t type, size_t elem_size, void **data,
                     size_t *n, const char *path)
{
    int rc = 0;
    hsize_t dims[1] = {0};
    hid_t space = H5I_INVALID_HID, stored = H5I_INVALID_HID, set;
    *data = NULL;
    *n = 0;
    set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0) {
        rc = h5_fail(SEC_EDATA, file, path, "open dataset", name);
        goto fail;
    }
    space = H5Dget_space(set);
    stored = H5Dget_type(set);
    if (H5Sget_simple_extent_ndims(space) != 1 || H5Tget_size(type) != elem_size ||
        !converts(stored, type)) {
        rc = sec_fail(SEC_EDATA,
                      "%s: dataset %s has another shape or type than expected (one dimension, "
                      "%zu-byte elements)",
                      path, name, elem_size);
        goto fail;
    }
    H5Sget_simple_extent_dims(space, dims, NULL);
    *data = dims[0] <= SIZE_MAX / 2 / elem_size ? malloc(dims[0] * elem_size + 1) : NULL;
    if (!*data) {
        rc = sec_fail(SEC_ENOMEM, "%s: cannot allocate %llu elements of dataset %s", path,
                      (unsigned long long)dims[0], name);
        goto fail;
    }
    if (dims[0] && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *data) < 0) {
        rc = h5_fail(SEC_EDATA, file, path, "read dataset", name);
        free(*data);
        *data = NULL;
        goto fail;
    }
    *n = dims[0];
fail:
    if (stored >= 0)
        H5Tclose(stored);
    if (space >= 0)
        H5Sclose(space);
    if (set >= 0)
        H5Dclose(set);
    return rc;
}
