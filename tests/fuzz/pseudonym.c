/* Pseudonyms of arbitrary bytes: no crash, the same output twice, spans in
 * order and apart, well-formed UTF-8 when the input is. */
#include "base/str.h"
#include "data/pseudonym_internal.h"

#include "fuzz.h"

#include <sys/stat.h>

static bool well_formed(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool ok;
        i += sec_utf8_decode((const uint8_t *)p + i, n - i, &cp, &ok);
        if (!ok)
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sec_pseudo *p;
    static struct sec_pseudo_ctx *used;
    struct sec_buf a = {0}, b = {0};
    bool changed;
    if (!p) {
        const char *key = fuzz_file("0123456789abcdef0123456789abcdef", 32);
        fuzz_check(!chmod(key, 0600));
        fuzz_check(!sec_pseudo_open(&(struct sec_pseudo_options){.key_file = key}, &p));
        fuzz_check((used = sec_pseudo_ctx_new(p)) != NULL);
    }
    char *text = fuzz_copy(data, size);
    fuzz_check(!sec_pseudo_record(used, text, size, &a, &changed));
    uint32_t end = PAD;
    for (size_t i = 0; i < used->n_results; i++) {
        fuzz_check(used->result[i].start >= end && used->result[i].end > used->result[i].start);
        end = used->result[i].end;
    }
    fuzz_check(end <= size + PAD);
    fuzz_check(changed || (a.len == size && (!size || !memcmp(a.data, text, size))));
    fuzz_check(!well_formed(text, size) || well_formed(a.data, a.len));
    fuzz_check(!sec_pseudo_record(used, text, size, &b, NULL));
    fuzz_check(a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len)));
    free(text);
    sec_buf_free(&a);
    sec_buf_free(&b);
    return 0;
}
