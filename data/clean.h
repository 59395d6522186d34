/* One record in canonical form: CR before LF, trailing blanks, ANSI escapes, NUL bytes and byte
 * order marks removed, ill-formed UTF-8 replaced by U+FFFD (WHATWG: one for each maximal subpart).
 * Records that are empty, or more than 5 % control characters, are dropped. Nothing else is
 * changed.
 *
 * Pure; thread-safe; cannot fail: the caller gives room. */
#ifndef SEC_DATA_CLEAN_H
#define SEC_DATA_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why a record is not in the corpus. The order is that of tables and of the manifest. */
enum sec_reason {
    SEC_KEPT,
    SEC_DROP_EMPTY,     /* nothing left */
    SEC_DROP_CONTROL,   /* more than 5 % control characters */
    SEC_DROP_LONG,      /* longer than --max-record */
    SEC_DROP_WRAPPER,   /* XML outside events */
    SEC_DROP_JSON,      /* malformed JSON where a field was asked for */
    SEC_DROP_FIELD,     /* JSON without the field asked for */
    SEC_DROP_EXACT,     /* the same record again in its source */
    SEC_DROP_TEMPLATE,  /* over the template cap of its source */
    SEC_DROP_DOCUMENT,  /* records of a document that exists already */
    SEC_DROP_NEAR,      /* records of a document that is nearly another one */
    SEC_DROP_COLLISION, /* records of a training document that matches a test document */
    SEC_N_REASONS
};
extern const char *const sec_reason_names[SEC_N_REASONS];

/* What cleaning changed, counted in records. */
enum sec_change {
    SEC_CHANGE_CRLF,
    SEC_CHANGE_BLANKS,
    SEC_CHANGE_ANSI,
    SEC_CHANGE_NUL,
    SEC_CHANGE_BOM,
    SEC_CHANGE_UTF8,
    SEC_N_CHANGES
};
extern const char *const sec_change_names[SEC_N_CHANGES];

/* A record's clean text goes to *out, *out_len: it is p itself when nothing had to be changed, else
 * it is written to side, which has room for 3 n bytes. join: white space around newlines becomes
 * one space (XML events). changes[] is counted up. */
enum sec_reason sec_clean(const char *p, size_t n, bool join, char *side, const char **out,
                          size_t *out_len, uint64_t changes[SEC_N_CHANGES]);

#endif
