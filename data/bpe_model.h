/* Inside of struct sec_tokenizer, shared by the data/bpe_*.c and data/tokenizer_*.c files only.
 * Immutable once sec_tokenizer_build() has returned. */
#ifndef SEC_DATA_BPE_MODEL_H
#define SEC_DATA_BPE_MODEL_H

#include "data/tokenizer.h"

#define SEC_BPE_NONE       UINT32_MAX
#define SEC_BPE_BASE       (SEC_TOK_SPECIALS + 256) /* ids before the first merge */
#define SEC_BPE_MAX_VOCAB  65535
#define SEC_BPE_MAX_MERGES 65535
#define SEC_BPE_MAX_BYTES  (256u << 20) /* all entries together; bounds a hostile file or corpus */

struct sec_bpe_merge {
    uint16_t a, b, id;
};

struct sec_bpe_slot {
    uint32_t key;   /* a << 16 | b, SEC_BPE_NONE = empty */
    uint32_t value; /* rank << 16 | id */
};

struct sec_tokenizer {
    int vocab_size;
    enum sec_pretok pretok;
    uint8_t *bytes;               /* entry i is bytes[off[i] .. off[i + 1]) */
    uint32_t *off;                /* [vocab_size + 1] */
    uint8_t *classes;             /* [vocab_size] enum sec_token_class */
    struct sec_bpe_merge *merges; /* by rank; of two equal pairs the later one counts */
    uint32_t n_merges;
    uint16_t byte_id[256];
    struct sec_bpe_slot *slots;
    unsigned slot_shift; /* slots: 1 << (32 - slot_shift) */
    char fingerprint[65];
};

extern const char *const sec_special_names[SEC_TOK_SPECIALS];

/* The code point that stands for a byte in tokenizer.json (GPT-2's printable alphabet), its inverse
 * (-1: none), and the bytes in order of their ids. */
uint32_t sec_byte_symbol(uint8_t byte);
int sec_symbol_byte(uint32_t cp);
void sec_byte_order(uint8_t order[256]);

/* Takes over bytes, off and merges (malloc'd) whatever comes out. Derives everything else. The
 * caller vouches for the ranges of ids; off is ascending. name is for messages. */
int sec_tokenizer_build(int vocab_size, enum sec_pretok pretok, uint8_t *bytes, uint32_t *off,
                        struct sec_bpe_merge *merges, uint32_t n_merges, const char *name,
                        struct sec_tokenizer **out);

/* Class by rule: special names, then delimiter if the bytes are well-formed UTF-8 of nothing but
 * punctuation (ASCII symbols included), white space and control characters, else content. */
enum sec_token_class sec_token_class_of(int id, const uint8_t *p, size_t n);

/* tokenizer.json text <-> tokenizer; name is for messages. */
int sec_tokenizer_parse(const char *text, size_t len, const char *name, struct sec_tokenizer **out);
int sec_tokenizer_json(const struct sec_tokenizer *t, struct sec_buf *out);

/* Value of the merge of two ids, or SEC_BPE_NONE. */
static inline uint32_t sec_bpe_lookup(const struct sec_tokenizer *t, uint32_t a, uint32_t b)
{
    uint32_t key = a << 16 | b, mask = UINT32_MAX >> t->slot_shift;
    uint32_t i = (key * 0x9E3779B1u) >> t->slot_shift;
    for (;; i = (i + 1) & mask) {
        if (t->slots[i].key == key)
            return t->slots[i].value;
        if (t->slots[i].key == SEC_BPE_NONE)
            return SEC_BPE_NONE;
    }
}

/* Scratch memory of sec_bpe_merge_piece(). Zero-initialise; owned by the caller. */
struct sec_bpe_scratch {
    uint16_t *ids;
    uint32_t *next, *prev;
    uint64_t *heap;
    size_t cap, heap_cap;
};
void sec_bpe_scratch_free(struct sec_bpe_scratch *s);

/* Ids of one piece: lowest rank first, leftmost first. out has room for n ids. O(n log n).
 * Returns 0 or SEC_ENOMEM. */
int sec_bpe_merge_piece(const struct sec_tokenizer *t, struct sec_bpe_scratch *s, const uint8_t *p,
                        size_t n, uint16_t *out, size_t *n_out);

#endif
