/* Pseudonyms: identifying values in log records replaced by values of the same shape, keyed. The
 * same key maps the same value to the same pseudonym on every rank and in every run; without the
 * key it cannot be undone. It is pseudonymisation, not anonymity: structure, times and rare
 * wordings stay and may still identify.
 *
 *   ip       IPv4, IPv6: Crypto-PAn (Xu et al., ICNP 2002): prefix-preserving under AES-128
 *   mac      MAC addresses; the vendor's half stays with keep_oui
 *   user, host, email, sid   HMAC-SHA-256 under the key to a token of the same shape (letters stay
 *            letters, digits digits, dots and domain depth stay)
 *   secret   known prefixes (AKIA..., ghp_..., eyJ... and others) and values of key=value keywords
 *            (password, token, secret, ...): a class mark, <secret>
 *   pattern  the user's regular expressions (PCRE2): group 1, or the whole match, as a token
 *
 * Users are found where logs name them: user=, "TargetUserName":, Account Name:, "for NAME from",
 * "session opened for user NAME", DOMAIN\name, sudo:, home folders and the like; a name found is
 * replaced in the rest of its record too. Hosts: header of syslog, host=, Computer and the like,
 * names with a known ending, of which the public suffix (com, co.uk, local) and "www" stay.
 * Tokens go by the lower-case value, and case is put on again: Web-01 and WEB-01 stay one host.
 *
 * Left as they are: 0/8, 127/8, 224/3 (multicast, netmasks), ::, ::1, ff00::/8; well-known accounts
 * (root, SYSTEM, www-data) and SIDs, the last number of S-1-5-21-a-b-c-RID; numeric ids; UUIDs;
 * well-known public services (microsoft.com; below amazonaws.com and others that name customers,
 * labels that name no service go). Four numbers joined by dots are a version, not an address, after
 * "version", "release", "build", "ver" or PRODUCT/, and before "-5ubuntu1"; else an address:
 * when in doubt it is replaced. Names in free text without a context are not found, and a
 * Crypto-PAn pseudonym can fall into the ranges that stay.
 *
 * Two different values of one shape with a letters and d digits get the same token with probability
 * 26^-a 10^-d: among m such values expect m^2 / (2 * 26^a * 10^d) collisions; for 1,000 names of
 * three letters 28, for 10,000 of seven 0.006.
 *
 * Threads: a sec_pseudo is constant after opening; each thread has its own context. Failure:
 * SEC_ECONFIG for key files and patterns naming file and line; SEC_ENOMEM. */
#ifndef SEC_DATA_PSEUDONYM_H
#define SEC_DATA_PSEUDONYM_H

#include "base/file.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

enum sec_pseudo_class {
    SEC_PSEUDO_IPV4,
    SEC_PSEUDO_IPV6,
    SEC_PSEUDO_MAC,
    SEC_PSEUDO_USER,
    SEC_PSEUDO_HOST,
    SEC_PSEUDO_EMAIL,
    SEC_PSEUDO_SID,
    SEC_PSEUDO_SECRET,
    SEC_PSEUDO_PATTERN,
    SEC_N_PSEUDO
};
extern const char *const sec_pseudo_names[SEC_N_PSEUDO];

struct sec_pseudo_options {
    const char *key_file; /* 32 bytes or more, or 64 hex digits; refused when others can read it */
    const char *patterns_file; /* one regular expression a line, # comments; NULL = none */
    bool keep_oui;
};

struct sec_pseudo;
int sec_pseudo_open(const struct sec_pseudo_options *o, struct sec_pseudo **out);
void sec_pseudo_close(struct sec_pseudo *p);
/* 16 hex digits that tell keys and options apart without revealing them: for manifests. */
const char *sec_pseudo_fingerprint(const struct sec_pseudo *p);

struct sec_pseudo_ctx; /* one thread's caches and counts */
struct sec_pseudo_ctx *sec_pseudo_ctx_new(const struct sec_pseudo *p); /* NULL + message */
void sec_pseudo_ctx_free(struct sec_pseudo_ctx *c);
/* The record text[0..n) with its values replaced, appended to out. *changed (may be NULL) tells
 * whether anything was. Pure in (key, options, text). */
int sec_pseudo_record(struct sec_pseudo_ctx *c, const char *text, size_t n, struct sec_buf *out,
                      bool *changed);
/* Values replaced since the context was made, by class; never the values. */
void sec_pseudo_counts(const struct sec_pseudo_ctx *c, uint64_t counts[SEC_N_PSEUDO]);

#endif
