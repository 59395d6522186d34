/* Records of every format: a file taken apart in two blocks gives the records of the whole; then
 * cleaning and masking of each. */
#include "data/records.h"

#include "base/str.h"
#include "data/clean.h"
#include "data/template.h"
#include "fuzz.h"

static void check_clean(const char *p, size_t n, bool join)
{
    uint64_t changes[SEC_N_CHANGES] = {0};
    char *in = fuzz_copy(p, n), *side = malloc(3 * n + 1);
    const char *out = NULL;
    size_t len = 0;
    fuzz_check(side);
    enum sec_reason reason = sec_clean(in, n, join, side, &out, &len, changes);
    fuzz_check(reason == SEC_KEPT || reason == SEC_DROP_EMPTY || reason == SEC_DROP_CONTROL);
    if (reason == SEC_KEPT) {
        fuzz_check(len && len <= 3 * n && (out == in || out == side));
        fuzz_check(out[len - 1] != ' ' && out[len - 1] != '\n' && !memchr(out, 0, len));
        for (size_t i = 0; i < len;) {
            uint32_t cp;
            bool ok;
            i += sec_utf8_decode((const uint8_t *)out + i, len - i, &cp, &ok);
            fuzz_check(ok);
        }
        char *clean = fuzz_copy(out, len), *masked = malloc(len);
        fuzz_check(masked && sec_template_mask(clean, len, masked) <= len);
        sec_h128 first = sec_template_hash(clean, len, masked);
        sec_h128 again = sec_template_hash(clean, len, masked);
        fuzz_check(first.lo == again.lo && first.hi == again.hi);
        free(clean);
        free(masked);
    }
    free(in);
    free(side);
}

/* The next record that is kept: XML between events may be cut anywhere. */
static bool next(struct sec_record_iter *it, struct sec_span *s)
{
    while (sec_records_next(it, s))
        if (!s->wrapper)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.log", "b.csv", "c.tsv.gz"};
    uint8_t choice = fuzz_byte(&data, &size);
    uint8_t share = fuzz_byte(&data, &size);
    size_t half = size * share / 256;
    char *text = fuzz_copy(data, size);
    enum sec_format format = sec_format_detect((enum sec_format)(choice % SEC_N_FORMATS),
                                               names[choice / 85 % 3], text, size);
    fuzz_check(format > SEC_FORMAT_AUTO && format < SEC_N_FORMATS);
    fuzz_check(sec_records_resync(format, text, size) <= size);
    size_t cut = sec_records_cut(format, text, half);
    fuzz_check(cut <= half);
    struct sec_record_iter whole = {format, text, text + size, 0},
                           part = {format, text, text + cut, 0};
    struct sec_span a, b;
    bool second = false;
    while (next(&whole, &a)) {
        fuzz_check(a.p >= text && a.len <= (size_t)(text + size - a.p));
        if (!next(&part, &b)) {
            fuzz_check(!second);
            second = true;
            part.end = text + size;
            fuzz_check(next(&part, &b));
        }
        fuzz_check(a.p == b.p && a.len == b.len && a.line == b.line);
        check_clean(a.p, a.len, format == SEC_FORMAT_XML);
    }
    part.end = text + size;
    fuzz_check(!next(&part, &b));
    free(text);
    return 0;
}
