/* What the files of the pseudonymiser share.
 *
 * A record goes through these steps: the scanner (pseudonym_scan.c) walks over its words once and
 * notes spans to replace, asking pseudonym_context.c where names stand; the user's patterns add
 * spans (pseudonym_pattern.c); names found are looked for in the rest of the record; the spans are
 * written as pseudonyms (pseudonym_emit.c, pseudonym_token.c). */
#ifndef SEC_DATA_PSEUDONYM_INTERNAL_H
#define SEC_DATA_PSEUDONYM_INTERNAL_H

#include "data/cryptopan.h"
#include "data/pseudonym.h"

#include <string.h>

/* ---- words known by heart (pseudonym_words.c) ---- */

enum {
    WORD_KEY_USER = 1 << 0,   /* its value is a user's name: user=NAME */
    WORD_KEY_HOST = 1 << 1,   /* a host's name */
    WORD_KEY_SECRET = 1 << 2, /* a secret */
    WORD_ACCOUNT = 1 << 3,    /* a well-known account, placeholder or local name: never replaced */
    WORD_STOP = 1 << 4,       /* follows "user", "for" or "by" in prose without being a name */
    WORD_TLD = 1 << 5,        /* ends a host's name */
    WORD_TLD_WEAK = 1 << 6, /* likewise, but also a file's ending or a word: more evidence wanted */
    WORD_VENDOR = 1 << 7,   /* NAME of a well-known public service NAME.com: kept whole */
    WORD_VERSION = 1 << 8,  /* a product: after it and a slash stands a version, no address */
    WORD_PROSE = 1 << 9,    /* "user", "for", "by": a name may follow after a blank */
    WORD_FOLDER = 1 << 10,  /* of homes: Users, home */
    WORD_LAST = 1 << 11,    /* last word of a key of two: Account Name */
    WORD_PACKAGE = 1 << 12, /* starts names of packages, not of hosts: org.apache */
    WORD_TENANT = 1 << 13,  /* as VENDOR, but labels below it may name its customers */
    WORD_SERVICE = 1 << 14, /* label kept below a TENANT's domain: s3 */
    WORD_KEY_LOOSE = 1 << 15, /* its value is a host's name if it looks like one */
    WORD_VERB = 1 << 16       /* after "user NAME" */
};

/* Case-folded hash of a word; text has 16 readable bytes after its end. */
static inline uint64_t word_hash(const char *p, size_t n)
{
    uint64_t a, b;
    const uint64_t fold = UINT64_C(0x2020202020202020);
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else {
        memcpy(&a, p, 8);
        a &= (UINT64_C(1) << 8 * n) - 1;
        b = 0;
    }
    a = ((a | fold) + n) * UINT64_C(0x9E3779B97F4A7C15);
    b = ((b | fold) ^ a >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
    return a ^ b ^ b >> 32;
}

struct word_table;
int word_table_new(struct word_table **out);
void word_table_free(struct word_table *t);
/* WORD_* of p[0..n), case-folded; 0 for words not in the table. Text is padded as above. */
uint32_t word_kinds(const struct word_table *t, const char *p, size_t n, uint64_t hash);
uint32_t word_kinds_of(const struct word_table *t, const char *p, size_t n);

/* ---- characters ---- */

enum {
    CH_WORD = 1,
    CH_DIGIT = 2,
    CH_HEX = 4,
    CH_ALPHA = 8,
    CH_USER = 16,
    CH_HOST = 32,
    CH_LOCAL = 64
};
extern const uint8_t ch_table[256];
static inline bool ch_is(char c, int classes)
{
    return ch_table[(uint8_t)c] & classes;
}
static inline char ch_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static inline bool starts(const char *p, const char *text)
{
    return !strncmp(p, text, strlen(text));
}

/* ---- spans ---- */

enum span_how {
    HOW_USER,
    HOW_HOST, /* label by label, the public suffix kept */
    HOW_IPV4,
    HOW_IPV6,
    HOW_MAC,
    HOW_SID, /* the numbers between S-1-5-21- and the last one */
    HOW_SECRET,
    HOW_PATTERN
};
struct span {
    uint32_t start, end;
    uint8_t how;
    uint8_t class; /* counted under; SEC_N_PSEUDO = not counted: part of a span that is */
};
struct word {
    uint32_t start, hash;
};
enum { MAX_NAMES = 16, TOKEN_MAX = 40, TOKEN_SLOTS = 1 << 12, PAD = 64 };
struct name {
    uint32_t start, len, hash; /* of its first word */
    uint8_t how, class;
};

struct token_slot { /* of the token cache */
    uint8_t len, map;
    char value[TOKEN_MAX], token[TOKEN_MAX]; /* lower case */
};

struct pattern_set;
struct pattern_ctx;

struct sec_pseudo {
    struct word_table *words;
    struct pattern_set *patterns; /* NULL: none */
    bool keep_oui;
    uint8_t pan_key[32], token_key[32];
    char fingerprint[17];
};

struct sec_pseudo_ctx {
    const struct sec_pseudo *p;
    struct sec_cryptopan *pan;
    struct pattern_ctx *patterns;
    void *mac; /* EVP_MAC_CTX, keyed */
    struct token_slot *slots;
    uint64_t counts[SEC_N_PSEUDO];

    /* The record: text[PAD..end) of a copy with PAD zero bytes before and after it, so that looking
     * at a neighbour needs no check. */
    char *text;
    size_t text_cap;
    uint32_t end;
    bool json;          /* backslashes are escapes */
    uint32_t run_end;   /* host-like run already looked at */
    uint32_t next_mail; /* start of the next e-mail address, UINT32_MAX = none */
    uint32_t mail_at;   /* its @ */

    struct span *spans;
    size_t n_spans, cap_spans;
    bool unsorted;
    struct span *merged;
    size_t cap_merged;
    struct word *words;
    size_t n_words, cap_words;
    struct name names[MAX_NAMES];
    int n_names;
    uint64_t name_bloom;
    const struct span *result; /* of the last record, in order and apart */
    size_t n_results;
};

/* Notes a span and, when it is a name, what to look for in the rest of the record. */
int span_add(struct sec_pseudo_ctx *c, uint32_t start, uint32_t end, enum span_how how, int class);
void name_add(struct sec_pseudo_ctx *c, uint32_t start, uint32_t end, enum span_how how, int class);

/* ---- scanner ---- */

int pseudo_scan(struct sec_pseudo_ctx *c);
/* Length of the IPv4 address in digits and dots at p, 0 = none. */
size_t ipv4_at(const char *p, uint32_t *address);
/* A host's name text[s..e), with evidence (URL, key) or without; notes it if it is one. */
int host_add(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool evidence, bool *taken);
/* Start of the public suffix of the name ("co.uk" of "a.b.co.uk"), its end if there is none. */
uint32_t host_suffix(const struct sec_pseudo *p, const char *text, uint32_t s, uint32_t e,
                     bool evidence);

/* ---- contexts: each sets *next past what it took, or leaves it ---- */

int context_header(struct sec_pseudo_ctx *c);
/* WORD_KEY_* of a word that ends at e like a known key. */
uint32_t suffix_kinds(const char *p, uint32_t e);
int context_key(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t kinds, uint32_t *next);
int context_prose(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t kinds, uint32_t *next);
int context_shape(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t *next);
/* ---- values (pseudonym_value.c) ---- */

struct value {
    uint32_t s, e;
    char sep;     /* = : > or a blank (--key value) */
    bool quoted;  /* the value is */
    bool blank;   /* between separator and value */
    bool key_end; /* the key was quoted */
};
/* The value after a key text[s..e): key=v, key="v", "key": "v", \"key\":\"v\", 'key'>v<, --key v.
 */
bool find_value(const struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool secret,
                struct value *v);
/* End of a quoted value; 0 if it does not end within reach. */
uint32_t quoted_end(const char *p, uint32_t s, char quote, bool escaped);
/* End of a name, DOMAIN\name included. */
uint32_t name_end(const struct sec_pseudo_ctx *c, uint32_t s);
bool has_letter(const char *p, uint32_t s, uint32_t e);
/* Note the spans of a value, possibly DOMAIN\user or an e-mail address. *taken: nothing more is to
 * be looked for there, which is also so for well-known accounts. */
int user_value(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool *taken);
int host_value(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool *taken);
int secret_value(struct sec_pseudo_ctx *c, struct value v, bool *taken);

/* ---- pseudonyms ---- */

enum token_map { MAP_USER = 'u', MAP_HOST = 'h', MAP_SID = 's', MAP_MAC = 'm', MAP_PATTERN = 'p' };
int token_open(struct sec_pseudo_ctx *c);
void token_close(struct sec_pseudo_ctx *c);
/* HMAC-SHA-256 of (map, block, value in lower case) under the token key. */
int token_block(struct sec_pseudo_ctx *c, int map, uint32_t block, const char *value, size_t n,
                uint8_t out[32]);
/* The same-shape token of value[0..n) to out, which has room for n. */
int token_write(struct sec_pseudo_ctx *c, int map, const char *value, size_t n, char *out);

int emit_record(struct sec_pseudo_ctx *c, const struct span *spans, size_t n, struct sec_buf *out);

/* ---- patterns ---- */

int pattern_set_read(const char *path, struct pattern_set **out, struct sec_buf *text);
void pattern_set_free(struct pattern_set *s);
struct pattern_ctx *pattern_ctx_new(const struct pattern_set *s); /* NULL + message */
void pattern_ctx_free(struct pattern_ctx *x);
int pattern_spans(struct sec_pseudo_ctx *c);

#endif
