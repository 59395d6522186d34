#include "data/sealed.h"

#include "base/error.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MAGIC = UINT64_C(0x31306c6165536365); /* "ecSeal01" */

int sec_sealed_write(const char *path, const void *p, size_t n)
{
    int rc;
    uint64_t tail[3] = {n, sec_hash64(p, n, 0), MAGIC};
    struct sec_atomic a;
    SEC_TRY(sec_atomic_open(&a, path));
    rc = n ? sec_atomic_write(&a, p, n) : 0;
    if (!rc)
        rc = sec_atomic_write(&a, tail, sizeof tail);
    if (rc)
        sec_atomic_abort(&a);
    else
        rc = sec_atomic_commit_unsynced(&a);
fail:
    return rc;
}

void sec_set_aside(const char *path)
{
    char *to;
    if (asprintf(&to, "%s.damaged", path) < 0)
        return;
    rename(path, to);
    free(to);
}

int sec_set_aside_damaged(int rc, const char *path)
{
    if (rc == SEC_EDATA)
        sec_set_aside(path);
    return rc;
}

int sec_if_set_aside(int rc, const char *path)
{
    char *aside;
    if (sec_exists(path) || asprintf(&aside, "%s.damaged", path) < 0)
        return rc;
    if (sec_exists(aside))
        rc = sec_fail(SEC_EDATA,
                      "%s is damaged and now %s; run the same command again, it is made anew", path,
                      sec_basename(aside));
    free(aside);
    return rc;
}

static int damaged(const char *path, const char *what)
{
    sec_set_aside(path);
    return sec_fail(SEC_EDATA, "%s is damaged (%s); run the same command again, it is made anew",
                    path, what);
}

int sec_sealed_read(const char *path, struct sec_buf *out)
{
    uint64_t tail[3];
    sec_buf_clear(out);
    int rc = sec_read_file(path, out);
    if (rc)
        return sec_if_set_aside(rc, path);
    if (out->len < sizeof tail)
        return damaged(path, "cut off");
    out->len -= sizeof tail;
    memcpy(tail, out->data + out->len, sizeof tail);
    if (tail[2] != MAGIC || tail[0] != out->len)
        return damaged(path, "no end mark");
    if (sec_hash64(out->data, out->len, 0) != tail[1])
        return damaged(path, "wrong checksum");
    return 0;
}

int sec_sealed_read_into(const char *path, void *p, size_t n)
{
    struct sec_buf b = {0};
    int rc = sec_sealed_read(path, &b);
    if (!rc && b.len != n)
        rc = damaged(path, "of another length");
    if (!rc && n)
        memcpy(p, b.data, n);
    sec_buf_free(&b);
    return rc;
}
