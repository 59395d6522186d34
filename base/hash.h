/* Hashes: XXH3 (libxxhash) for content, CRC32C (ISA-L) for checkpoints, SHA-256 for fingerprints
 * that users compare. */
#ifndef SEC_BASE_HASH_H
#define SEC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t lo, hi;
} sec_h128;

uint64_t sec_hash64(const void *p, size_t n, uint64_t seed);
sec_h128 sec_hash128(const void *p, size_t n);

/* CRC32C (Castagnoli, reflected, init and xor 0xFFFFFFFF): sec_crc32c(0, "123456789", 9) ==
 * 0xE3069283; pass the last value to go on. */
uint32_t sec_crc32c(uint32_t crc, const void *p, size_t n);

/* Lower-case hex SHA-256 of bytes or of a file. */
void sec_sha256_hex(const void *p, size_t n, char out[65]);
int sec_sha256_file(const char *path, char out[65]);

#endif
