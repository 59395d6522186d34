/* Masking of arbitrary bytes, which clean records are not. */
#include "data/template.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_copy(data, size), *out = malloc(size + 1);
    fuzz_check(out && sec_template_mask(text, size, out) <= size);
    sec_h128 h = sec_template_hash(text, size, out);
    fuzz_check(h.lo || h.hi);
    free(text);
    free(out);
    return 0;
}
