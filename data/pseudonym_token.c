/* Tokens of the same shape: HMAC-SHA-256 as a stream of 16-bit numbers, one a character. */
#include "base/error.h"
#include "base/hash.h"
#include "data/pseudonym_internal.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

int token_open(struct sec_pseudo_ctx *c)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    c->mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    c->slots = calloc(TOKEN_SLOTS, sizeof *c->slots);
    if (!c->slots || !c->mac ||
        !EVP_MAC_init(c->mac, c->p->token_key, sizeof c->p->token_key, params))
        return sec_fail(SEC_ENOMEM, "no memory for HMAC-SHA-256 and its cache");
    return 0;
}

void token_close(struct sec_pseudo_ctx *c)
{
    EVP_MAC_CTX_free(c->mac);
    free(c->slots);
}

int token_block(struct sec_pseudo_ctx *c, int map, uint32_t block, const char *value, size_t n,
                uint8_t out[32])
{
    uint8_t head[5] = {(uint8_t)map, (uint8_t)block, (uint8_t)(block >> 8), (uint8_t)(block >> 16),
                       (uint8_t)(block >> 24)};
    size_t got = 0;
    if (!EVP_MAC_init(c->mac, NULL, 0, NULL) || !EVP_MAC_update(c->mac, head, sizeof head) ||
        !EVP_MAC_update(c->mac, (const uint8_t *)value, n) ||
        !EVP_MAC_final(c->mac, out, &got, 32) || got != 32)
        return sec_fail(SEC_ENOMEM, "HMAC-SHA-256 of libcrypto failed");
    return 0;
}

/* Which bytes of a well-formed UTF-8 sequence end it. Its last six bits are replaced, which leaves
 * it well-formed whatever its length; bytes that are no UTF-8 stay. */
static bool ends_sequence(const char *p, size_t i)
{
    const uint8_t *u = (const uint8_t *)p;
    if ((u[i] & 0xC0) != 0x80)
        return false;
    if (i >= 1 && u[i - 1] >= 0xC2 && u[i - 1] <= 0xDF)
        return true;
    if (i >= 2 && (u[i - 1] & 0xC0) == 0x80 && u[i - 2] >= 0xE0 && u[i - 2] <= 0xEF)
        return true;
    return i >= 3 && (u[i - 1] & 0xC0) == 0x80 && (u[i - 2] & 0xC0) == 0x80 && u[i - 3] >= 0xF0 &&
           u[i - 3] <= 0xF4;
}

static int make(struct sec_pseudo_ctx *c, int map, const char *lower, size_t n, char *out)
{
    uint8_t stream[32];
    for (size_t i = 0; i < n; i++) {
        if (i % 16 == 0) {
            int rc = token_block(c, map, (uint32_t)(i / 16), lower, n, stream);
            if (rc)
                return rc;
        }
        uint32_t r = (uint32_t)stream[i % 16 * 2] << 8 | stream[i % 16 * 2 + 1];
        char ch = lower[i];
        if (ch >= 'a' && ch <= 'z')
            ch = (char)('a' + (r * 26 >> 16));
        else if (ch >= '0' && ch <= '9')
            ch = (char)('0' + (r * 10 >> 16));
        else if (ends_sequence(lower, i))
            ch = (char)(0x80 | r >> 10);
        out[i] = ch;
    }
    return 0;
}

static void apply_case(const char *value, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        if (value[i] >= 'A' && value[i] <= 'Z')
            out[i] = (char)(out[i] & ~0x20);
}

int token_write(struct sec_pseudo_ctx *c, int map, const char *value, size_t n, char *out)
{
    char stack[TOKEN_MAX], *lower = stack;
    int rc;
    if (n > TOKEN_MAX && !(lower = malloc(n)))
        return sec_fail(SEC_ENOMEM, "no memory for a token of %zu bytes", n);
    for (size_t i = 0; i < n; i++)
        lower[i] = ch_lower(value[i]);
    if (n > TOKEN_MAX) {
        rc = make(c, map, lower, n, out);
        free(lower);
    } else {
        struct token_slot *s = &c->slots[sec_hash64(lower, n, (uint64_t)map) % TOKEN_SLOTS];
        if (s->len != n || s->map != map || memcmp(s->value, lower, n)) {
            s->len = 0; /* no slot is half filled when HMAC fails */
            if ((rc = make(c, map, lower, n, s->token)))
                return rc;
            memcpy(s->value, lower, n);
            s->len = (uint8_t)n;
            s->map = (uint8_t)map;
        }
        memcpy(out, s->token, n);
        rc = 0;
    }
    apply_case(value, n, out);
    return rc;
}
