/* Pretokenization: cutting text into the pieces inside which byte pairs may merge, exactly as the
 * named regular expression does in Hugging Face `tokenizers` (Split, behaviour "isolated";
 * Oniguruma with Unicode 16 classes). Hand-coded matchers on UTF-8 bytes; no state, no allocation,
 * no failure.
 *
 * Ill-formed UTF-8: every such byte is a character that is neither letter, number nor white space.
 */
#ifndef SEC_DATA_PRETOK_H
#define SEC_DATA_PRETOK_H

#include "data/tokenizer.h"

#define SEC_N_PRETOKS 3

/* "log", "gpt2", "cl100k", and the regular expression that tokenizer.json stores. */
extern const char *const sec_pretok_names[SEC_N_PRETOKS];
extern const char *const sec_pretok_patterns[SEC_N_PRETOKS];

/* No piece spans a newline followed by anything: lines may be cut apart and counted alone. */
bool sec_pretok_linewise(enum sec_pretok kind);

/* Length of the piece at the start of p[0..n), n > 0. */
size_t sec_pretok_piece(enum sec_pretok kind, const uint8_t *p, size_t n);

/* The next pieces of p[0..n), 0 < n <= UINT32_MAX: piece i ends before byte ends[i]. Returns their
 * number, at least 1 and at most cap (cap >= 128); call again from the last end. */
size_t sec_pretok_batch(enum sec_pretok kind, const uint8_t *p, size_t n, uint32_t *ends,
                        size_t cap);

/* Class of a code point, and of the first character of p[0..n) with its length. */
enum sec_char_class {
    SEC_CHAR_OTHER,
    SEC_CHAR_LETTER,
    SEC_CHAR_NUMBER,
    SEC_CHAR_SPACE,
    SEC_CHAR_PUNCTUATION,
    SEC_CHAR_CONTROL
};
enum sec_char_class sec_char_class(uint32_t cp);

#endif
