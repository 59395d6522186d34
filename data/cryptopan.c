#include "data/cryptopan.h"

#include "base/error.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS4 = 1 << 14, SLOTS6 = 1 << 10, BLOCK = 16 };

struct slot4 {
    uint32_t address, mapped;
    bool used;
};
struct slot6 {
    uint8_t address[16], mapped[16];
    bool used;
};

struct sec_cryptopan {
    EVP_CIPHER_CTX *aes;
    uint8_t pad[BLOCK];
    uint8_t in[128 * BLOCK], out[128 * BLOCK];
    /* Flips of the first half of an IPv4 address: they depend on that half alone. */
    uint16_t high[1 << 16];
    uint8_t high_known[1 << 13];
    struct slot4 slot4[SLOTS4];
    struct slot6 slot6[SLOTS6];
};

static int encrypt(struct sec_cryptopan *c, int blocks)
{
    int n = 0;
    if (!EVP_EncryptUpdate(c->aes, c->out, &n, c->in, blocks * BLOCK) || n != blocks * BLOCK)
        return sec_fail(SEC_ENOMEM, "AES-128 of libcrypto failed");
    return 0;
}

struct sec_cryptopan *sec_cryptopan_new(const uint8_t key[32])
{
    struct sec_cryptopan *c = calloc(1, sizeof *c);
    if (!c) {
        sec_fail(SEC_ENOMEM, "no memory for Crypto-PAn");
        return NULL;
    }
    c->aes = EVP_CIPHER_CTX_new();
    if (!c->aes || !EVP_EncryptInit_ex(c->aes, EVP_aes_128_ecb(), NULL, key, NULL) ||
        !EVP_CIPHER_CTX_set_padding(c->aes, 0)) {
        sec_fail(SEC_ENOMEM, "libcrypto has no AES-128");
        goto fail;
    }
    memcpy(c->in, key + 16, BLOCK);
    if (encrypt(c, 1))
        goto fail;
    memcpy(c->pad, c->out, BLOCK);
    return c;
fail:
    sec_cryptopan_free(c);
    return NULL;
}

void sec_cryptopan_free(struct sec_cryptopan *c)
{
    if (!c)
        return;
    EVP_CIPHER_CTX_free(c->aes);
    free(c);
}

/* Flips of bits [from, from + 16) of an IPv4 address, the first one on top. */
static int flips16(struct sec_cryptopan *c, uint32_t address, int from, uint32_t *flips)
{
    uint32_t pad = (uint32_t)c->pad[0] << 24 | (uint32_t)c->pad[1] << 16 |
                   (uint32_t)c->pad[2] << 8 | c->pad[3];
    for (int i = 0; i < 16; i++) {
        uint32_t keep = from + i ? ~UINT32_C(0) << (32 - from - i) : 0;
        uint32_t top = (address & keep) | (pad & ~keep);
        uint8_t *block = c->in + i * BLOCK;
        memcpy(block, c->pad, BLOCK);
        for (int b = 0; b < 4; b++)
            block[b] = (uint8_t)(top >> (24 - 8 * b));
    }
    int rc = encrypt(c, 16);
    *flips = 0;
    for (int i = 0; i < 16; i++)
        *flips = *flips << 1 | c->out[i * BLOCK] >> 7;
    return rc;
}

int sec_cryptopan_ipv4(struct sec_cryptopan *c, uint32_t address, uint32_t *out)
{
    int rc;
    uint32_t top = address >> 16, flips;
    struct slot4 *slot = &c->slot4[(address * UINT32_C(0x9E3779B1)) >> 18];
    if (slot->used && slot->address == address) {
        *out = slot->mapped;
        return 0;
    }
    if (!(c->high_known[top >> 3] & 1 << (top & 7))) {
        SEC_TRY(flips16(c, address, 0, &flips));
        c->high[top] = (uint16_t)flips;
        c->high_known[top >> 3] |= (uint8_t)(1 << (top & 7));
    }
    SEC_TRY(flips16(c, address, 16, &flips));
    *out = address ^ ((uint32_t)c->high[top] << 16 | flips);
    *slot = (struct slot4){address, *out, true};
    return 0;
fail:
    return rc;
}

int sec_cryptopan_ipv6(struct sec_cryptopan *c, const uint8_t address[16], uint8_t out[16])
{
    uint64_t hash = 0;
    for (int i = 0; i < 16; i++)
        hash = (hash ^ address[i]) * UINT64_C(0x9E3779B97F4A7C15);
    struct slot6 *slot = &c->slot6[hash >> 54];
    if (slot->used && !memcmp(slot->address, address, 16)) {
        memcpy(out, slot->mapped, 16);
        return 0;
    }
    for (int i = 0; i < 128; i++) {
        uint8_t *block = c->in + i * BLOCK;
        int whole = i / 8;
        uint8_t keep = (uint8_t)(0xFF00 >> i % 8);
        memcpy(block, address, (size_t)whole);
        block[whole] = (uint8_t)((address[whole] & keep) | (c->pad[whole] & ~keep));
        memcpy(block + whole + 1, c->pad + whole + 1, (size_t)(BLOCK - 1 - whole));
    }
    int rc = encrypt(c, 128);
    if (rc)
        return rc;
    for (int i = 0; i < 16; i++)
        for (int b = 0; b < 8; b++)
            slot->mapped[i] = (uint8_t)(slot->mapped[i] << 1 | c->out[(8 * i + b) * BLOCK] >> 7);
    for (int i = 0; i < 16; i++)
        slot->mapped[i] ^= address[i];
    memcpy(slot->address, address, 16);
    slot->used = true;
    memcpy(out, slot->mapped, 16);
    return 0;
}
