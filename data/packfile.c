#include "data/packfile.h"

#include "base/error.h"

#include <stdlib.h>
#include <xxhash.h>

struct sec_packfile {
    struct sec_atomic file;
    XXH3_state_t *hash;
    struct sec_buf table;
    uint32_t n_frames;
    uint64_t raw;
    bool unsynced;
};

static int put_u32(struct sec_buf *b, uint32_t v)
{
    unsigned char le[4] = {(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                           (unsigned char)(v >> 24)};
    return sec_buf_add(b, le, 4);
}

int sec_packfile_open(const char *path, struct sec_packfile **out)
{
    int rc;
    *out = NULL;
    struct sec_packfile *p = calloc(1, sizeof *p);
    if (!p)
        return sec_fail(SEC_ENOMEM, "out of memory for %s", path);
    p->hash = XXH3_createState();
    if (!p->hash) {
        free(p);
        return sec_fail(SEC_ENOMEM, "out of memory for %s", path);
    }
    XXH3_64bits_reset(p->hash);
    rc = sec_atomic_open(&p->file, path);
    if (rc) {
        XXH3_freeState(p->hash);
        free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void sec_packfile_unsynced(struct sec_packfile *p)
{
    p->unsynced = true;
}

static int append(struct sec_packfile *p, const void *data, size_t n)
{
    XXH3_64bits_update(p->hash, data, n);
    return sec_atomic_write(&p->file, data, n);
}

int sec_packfile_add(struct sec_packfile *p, const void *packed, size_t packed_len, size_t raw_len)
{
    int rc;
    SEC_TRY(append(p, packed, packed_len));
    SEC_TRY(put_u32(&p->table, (uint32_t)packed_len));
    SEC_TRY(put_u32(&p->table, (uint32_t)raw_len));
    p->n_frames++;
    p->raw += raw_len;
fail:
    return rc;
}

uint64_t sec_packfile_raw(const struct sec_packfile *p)
{
    return p->raw;
}

static void release(struct sec_packfile *p)
{
    XXH3_freeState(p->hash);
    sec_buf_free(&p->table);
    free(p);
}

void sec_packfile_abort(struct sec_packfile *p)
{
    if (!p)
        return;
    sec_atomic_abort(&p->file);
    release(p);
}

int sec_packfile_close(struct sec_packfile *p, uint64_t *bytes_packed, uint64_t *xxh3)
{
    int rc;
    struct sec_buf end = {0};
    SEC_TRY(put_u32(&end, 0x184D2A5Eu));
    SEC_TRY(put_u32(&end, (uint32_t)p->table.len + 9));
    if (p->table.len)
        SEC_TRY(sec_buf_add(&end, p->table.data, p->table.len));
    SEC_TRY(put_u32(&end, p->n_frames));
    SEC_TRY(sec_buf_addc(&end, 0));
    SEC_TRY(put_u32(&end, 0x8F92EAB1u));
    SEC_TRY(append(p, end.data, end.len));
    *bytes_packed = p->file.written;
    *xxh3 = XXH3_64bits_digest(p->hash);
    rc = p->unsynced ? sec_atomic_commit_unsynced(&p->file) : sec_atomic_commit(&p->file);
fail:
    sec_buf_free(&end);
    if (rc)
        sec_atomic_abort(&p->file);
    release(p);
    return rc;
}
