#include "base/hash.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

uint64_t sec_hash64(const void *p, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(p, n, seed);
}

sec_h128 sec_hash128(const void *p, size_t n)
{
    XXH128_hash_t h = XXH3_128bits(p, n);
    return (sec_h128){.lo = h.low64, .hi = h.high64};
}

/* ISA-L's crc32_iscsi() takes an int length and leaves both inversions to its caller. */
uint32_t sec_crc32c(uint32_t crc, const void *p, size_t n)
{
    const size_t step = (size_t)1 << 30;
    unsigned char *at = (unsigned char *)(uintptr_t)p; /* its prototype lacks const */
    crc = ~crc;
    while (n) {
        size_t take = n < step ? n : step;
        crc = crc32_iscsi(at, (int)take, crc);
        at += take;
        n -= take;
    }
    return ~crc;
}

static void to_hex(const unsigned char digest[32], char out[65])
{
    for (int i = 0; i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[64] = 0;
}

void sec_sha256_hex(const void *p, size_t n, char out[65])
{
    unsigned char digest[32];
    /* Fails only without memory, and a made-up fingerprint would be worse than stopping. */
    if (!EVP_Digest(p, n, digest, NULL, EVP_sha256(), NULL)) {
        fprintf(stderr, "secenc: error: out of memory in SHA-256\n");
        exit(sec_exit_code(SEC_ENOMEM));
    }
    to_hex(digest, out);
}

int sec_sha256_file(const char *path, char out[65])
{
    enum { STEP = 1 << 16 };
    unsigned char digest[32], *block = malloc(STEP);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = 0, fd = -1;
    size_t got;
    if (!ctx || !block || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        rc = sec_fail_errno(errno, "%s: cannot open", path);
        goto fail;
    }
    do {
        SEC_TRY(sec_read_full(fd, block, STEP, &got, path));
        EVP_DigestUpdate(ctx, block, got);
    } while (got == STEP);
    EVP_DigestFinal_ex(ctx, digest, NULL);
    to_hex(digest, out);
fail:
    if (fd >= 0)
        close(fd);
    EVP_MD_CTX_free(ctx);
    free(block);
    return rc;
}
