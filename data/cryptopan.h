/* Crypto-PAn: prefix-preserving pseudonyms of addresses (Xu, Fan, Ammar, Moon: "Prefix-Preserving
 * IP Address Anonymization", ICNP 2002). Two addresses that share exactly k leading bits get
 * pseudonyms that share exactly k leading bits; under one key the map is a bijection. Bit i of an
 * address is flipped by the top bit of AES-128 of (its first i bits, then the pad's bits).
 *
 * The key is 32 bytes: 16 of AES-128, 16 that encrypted give the pad. IPv6 is the same construction
 * over 128 bits.
 *
 * A context belongs to one thread. It caches results, which never changes them. Failure: SEC_ENOMEM
 * when libcrypto cannot work. */
#ifndef SEC_DATA_CRYPTOPAN_H
#define SEC_DATA_CRYPTOPAN_H

#include <stdint.h>

struct sec_cryptopan;
struct sec_cryptopan *sec_cryptopan_new(const uint8_t key[32]); /* NULL + message */
void sec_cryptopan_free(struct sec_cryptopan *c);

/* a.b.c.d is a << 24 | b << 16 | c << 8 | d */
int sec_cryptopan_ipv4(struct sec_cryptopan *c, uint32_t address, uint32_t *out);
int sec_cryptopan_ipv6(struct sec_cryptopan *c, const uint8_t address[16], uint8_t out[16]);

#endif
