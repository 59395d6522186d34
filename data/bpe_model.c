#include "data/bpe_model.h"

#include "base/error.h"
#include "base/hash.h"
#include "data/pretok.h"

#include <stdlib.h>
#include <string.h>

const char *const sec_special_names[SEC_TOK_SPECIALS] = {"[PAD]", "[CLS]", "[SEP]", "[UNK]",
                                                         "[MASK]"};

static bool prints_as_itself(unsigned b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
}

uint32_t sec_byte_symbol(uint8_t byte)
{
    if (prints_as_itself(byte))
        return byte;
    uint32_t cp = 256;
    for (unsigned b = 0; b < byte; b++)
        cp += !prints_as_itself(b);
    return cp;
}

int sec_symbol_byte(uint32_t cp)
{
    if (cp < 256)
        return prints_as_itself(cp) ? (int)cp : -1;
    for (unsigned b = 0, k = 256; b < 256; b++)
        if (!prints_as_itself(b) && k++ == cp)
            return (int)b;
    return -1;
}

void sec_byte_order(uint8_t order[256])
{
    int n = 0;
    for (int own = 1; own >= 0; own--)
        for (unsigned b = 0; b < 256; b++)
            if (prints_as_itself(b) == own)
                order[n++] = (uint8_t)b;
}

static int build_slots(struct sec_tokenizer *t)
{
    unsigned log2 = 10;
    while (((size_t)1 << log2) < (size_t)t->n_merges * 2 + 2)
        log2++;
    size_t n = (size_t)1 << log2;
    t->slot_shift = 32 - log2;
    t->slots = malloc(n * sizeof *t->slots);
    if (!t->slots)
        return sec_fail(SEC_ENOMEM, "tokenizer: no memory for %u merges", t->n_merges);
    memset(t->slots, 0xFF, n * sizeof *t->slots);
    for (uint32_t r = 0; r < t->n_merges; r++) {
        uint32_t key = (uint32_t)t->merges[r].a << 16 | t->merges[r].b;
        uint32_t i = (key * 0x9E3779B1u) >> t->slot_shift;
        while (t->slots[i].key != key && t->slots[i].key != SEC_BPE_NONE)
            i = (i + 1) & (uint32_t)(n - 1);
        t->slots[i] = (struct sec_bpe_slot){key, r << 16 | t->merges[r].id};
    }
    return 0;
}

/* Specials carry their names; every byte must have an entry of its own. */
static int find_bytes(struct sec_tokenizer *t, const char *name)
{
    bool seen[256] = {false};
    for (int i = 0; i < SEC_TOK_SPECIALS; i++) {
        size_t n;
        const uint8_t *p = sec_tokenizer_bytes(t, (uint16_t)i, &n);
        if (n != strlen(sec_special_names[i]) || memcmp(p, sec_special_names[i], n) != 0)
            return sec_fail(SEC_EDATA,
                            "%s: id %d must be %s, so this is not a secencoder vocabulary", name, i,
                            sec_special_names[i]);
    }
    for (int i = SEC_TOK_SPECIALS; i < t->vocab_size; i++) {
        if (t->off[i + 1] - t->off[i] != 1)
            continue;
        uint8_t b = t->bytes[t->off[i]];
        if (seen[b])
            return sec_fail(SEC_EDATA, "%s: byte 0x%02X has two entries, ids %u and %d", name, b,
                            t->byte_id[b], i);
        seen[b] = true;
        t->byte_id[b] = (uint16_t)i;
    }
    for (int b = 0; b < 256; b++)
        if (!seen[b])
            return sec_fail(SEC_EDATA,
                            "%s: no entry for byte 0x%02X; a byte-level vocabulary has all 256",
                            name, (unsigned)b);
    return 0;
}

static int add_u32(struct sec_buf *b, uint32_t v)
{
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    return sec_buf_add(b, le, 4);
}

/* Pattern, entries and merges as little-endian numbers, every string with its length. */
static int fingerprint(struct sec_tokenizer *t)
{
    struct sec_buf b = {0};
    int rc;
    SEC_TRY(sec_buf_printf(&b, "secenc-bpe 1\n%s\n", sec_pretok_patterns[t->pretok]));
    SEC_TRY(add_u32(&b, (uint32_t)t->vocab_size));
    for (int i = 0; i < t->vocab_size; i++) {
        SEC_TRY(add_u32(&b, t->off[i + 1] - t->off[i]));
        SEC_TRY(sec_buf_add(&b, t->bytes + t->off[i], t->off[i + 1] - t->off[i]));
    }
    SEC_TRY(add_u32(&b, t->n_merges));
    for (uint32_t r = 0; r < t->n_merges; r++)
        SEC_TRY(add_u32(&b, (uint32_t)t->merges[r].a << 16 | t->merges[r].b));
    sec_sha256_hex(b.data, b.len, t->fingerprint);
    rc = 0;
fail:
    sec_buf_free(&b);
    return rc;
}

int sec_tokenizer_build(int vocab_size, enum sec_pretok pretok, uint8_t *bytes, uint32_t *off,
                        struct sec_bpe_merge *merges, uint32_t n_merges, const char *name,
                        struct sec_tokenizer **out)
{
    int rc;
    struct sec_tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        free(bytes);
        free(off);
        free(merges);
        return sec_fail(SEC_ENOMEM, "tokenizer: no memory");
    }
    *t = (struct sec_tokenizer){.vocab_size = vocab_size,
                                .pretok = pretok,
                                .bytes = bytes,
                                .off = off,
                                .merges = merges,
                                .n_merges = n_merges};
    t->classes = malloc((size_t)vocab_size);
    if (!t->classes) {
        rc = sec_fail(SEC_ENOMEM, "tokenizer: no memory for %d entries", vocab_size);
        goto fail;
    }
    for (int i = 0; i < vocab_size; i++)
        t->classes[i] = (uint8_t)sec_token_class_of(i, bytes + off[i], off[i + 1] - off[i]);
    SEC_TRY(find_bytes(t, name));
    SEC_TRY(build_slots(t));
    SEC_TRY(fingerprint(t));
    *out = t;
    return 0;
fail:
    sec_tokenizer_free(t);
    return rc;
}

void sec_tokenizer_free(struct sec_tokenizer *t)
{
    if (!t)
        return;
    free(t->bytes);
    free(t->off);
    free(t->classes);
    free(t->merges);
    free(t->slots);
    free(t);
}

int sec_tokenizer_vocab_size(const struct sec_tokenizer *t)
{
    return t->vocab_size;
}

enum sec_token_class sec_tokenizer_class(const struct sec_tokenizer *t, uint16_t id)
{
    return id < t->vocab_size ? (enum sec_token_class)t->classes[id] : SEC_CLASS_SPECIAL;
}

const uint8_t *sec_tokenizer_classes(const struct sec_tokenizer *t)
{
    return t->classes;
}

const char *sec_tokenizer_fingerprint(const struct sec_tokenizer *t)
{
    return t->fingerprint;
}

const uint8_t *sec_tokenizer_bytes(const struct sec_tokenizer *t, uint16_t id, size_t *len)
{
    if (id >= t->vocab_size) {
        *len = 0;
        return (const uint8_t *)"";
    }
    *len = t->off[id + 1] - t->off[id];
    return t->bytes + t->off[id];
}
