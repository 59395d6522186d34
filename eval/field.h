/* Fields of a log and what they look like.
 *
 * A field is a maximal run of bytes other than white space, control characters and
 *   = , ; " ' ( ) [ ] { } < > |
 * the same cut as whole-field masking makes (data/masking.c). Its class goes by the first rule that
 * fits after trailing . : ! ? are dropped:
 *   timestamp  2026-11-24..., 2026/11/24..., 24/Nov/2026..., 9:12:01..., 09:12 alone
 *   ip         IPv4 or IPv6, with :port or /prefix if any
 *   path       begins with / ./ ../ ~ \ or a drive (C:\), or holds :// or a backslash
 *   number     digits with . between them; + or - before, % behind
 *   hex        0x...; or at least 6 hex digits, of both kinds (0-9 and a-f), alone or in groups
 *              joined by - or : (GUID, MAC)
 *   word       letters (ASCII, or any byte above 127), - _ . @ after the first one
 *   other      the rest
 * Pure functions; thread-safe. */
#ifndef SEC_EVAL_FIELD_H
#define SEC_EVAL_FIELD_H

#include <stdbool.h>
#include <stddef.h>

enum sec_field_class {
    SEC_FIELD_WORD,
    SEC_FIELD_NUMBER,
    SEC_FIELD_HEX,
    SEC_FIELD_IP,
    SEC_FIELD_PATH,
    SEC_FIELD_TIMESTAMP,
    SEC_FIELD_OTHER,
    SEC_N_FIELDS
};
extern const char *const sec_field_names[SEC_N_FIELDS];

bool sec_field_border(unsigned char c);
enum sec_field_class sec_field_classify(const char *p, size_t n);

#endif
