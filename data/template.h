/* Masked templates: what a record looks like when its values are taken out, for hashing only
 * (template cap, clusters of near-duplicates). Each value becomes one class mark:
 *
 *   SEC_MARK_NUMBER  digits, with their sign     SEC_MARK_TIME   dates, weekdays, times of day
 *   SEC_MARK_HEX     0x..., hex of 8+ digits     SEC_MARK_IP     IPv4, IPv6, MAC
 *   SEC_MARK_UUID    8-4-4-4-12                  SEC_MARK_BASE64 40+ characters of base64
 *
 * Pure; thread-safe; cannot fail. */
#ifndef SEC_DATA_TEMPLATE_H
#define SEC_DATA_TEMPLATE_H

#include "base/hash.h"

enum {
    SEC_MARK_NUMBER = 1,
    SEC_MARK_HEX,
    SEC_MARK_UUID,
    SEC_MARK_IP,
    SEC_MARK_TIME,
    SEC_MARK_BASE64
};

/* Masked form of p[0..n) to out, which has room for n bytes; returns its length. */
size_t sec_template_mask(const char *p, size_t n, char *out);

/* Hash of the masked form; scratch has room for n bytes. */
sec_h128 sec_template_hash(const char *p, size_t n, char *scratch);

#endif
