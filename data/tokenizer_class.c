#include "base/str.h"
#include "data/bpe_model.h"
#include "data/pretok.h"

#include <string.h>

static bool is_delimiter(uint32_t cp)
{
    if (cp < 0x80) {
        bool alnum = (cp >= '0' && cp <= '9') || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z');
        return !alnum;
    }
    enum sec_char_class k = sec_char_class(cp);
    return k == SEC_CHAR_SPACE || k == SEC_CHAR_PUNCTUATION || k == SEC_CHAR_CONTROL;
}

enum sec_token_class sec_token_class_of(int id, const uint8_t *p, size_t n)
{
    if (id < SEC_TOK_SPECIALS)
        return SEC_CLASS_SPECIAL;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool ok;
        i += sec_utf8_decode(p + i, n - i, &cp, &ok);
        if (!ok || !is_delimiter(cp))
            return SEC_CLASS_CONTENT;
    }
    return SEC_CLASS_DELIMITER;
}
