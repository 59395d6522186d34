/* Small text helpers: sizes, numbers, nearest match, UTF-8. */
#ifndef SEC_BASE_STR_H
#define SEC_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool sec_starts(const char *s, const char *prefix);
bool sec_ends(const char *s, const char *suffix);

/* Shell-style match of * ? [..] over the whole string. */
bool sec_glob(const char *pattern, const char *s);

/* "2G", "64 MiB", "1500", "0.5k" -> bytes or counts (binary multiples for sizes, decimal for
 * counts). Return 0 or SEC_EUSAGE with a message naming what was read. */
int sec_parse_size(const char *s, uint64_t *out);
int sec_parse_count(const char *s, uint64_t *out);
int sec_parse_f64(const char *s, double *out); /* whole string, finite */
int sec_parse_i64(const char *s, int64_t *out);
int sec_parse_seconds(const char *s, double *out); /* "90", "15m", "2h", "1d" */

/* Human forms into buf (at least 32 bytes); they return buf. */
char *sec_human_bytes(double bytes, char *buf); /* 1.4 GiB */
char *sec_human_count(double n, char *buf);     /* 52.1k */
char *sec_human_seconds(double s, char *buf);   /* 3h12m */

/* Candidate with the least edit distance to s, or NULL if none is near enough to suggest. */
const char *sec_nearest(const char *s, const char *const *candidates, size_t n);

/* Decode one UTF-8 sequence (WHATWG rules: ill-formed input yields U+FFFD for each maximal
 * subpart). Returns the bytes consumed, at least 1; *cp is the code point, *ok says whether it was
 * well-formed. */
size_t sec_utf8_decode(const uint8_t *p, size_t n, uint32_t *cp, bool *ok);
size_t sec_utf8_encode(uint32_t cp, uint8_t out[4]);

#endif
