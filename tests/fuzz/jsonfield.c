/* Any bytes as a JSON record: every scanner gives the same verdict and text, and what a field gives
 * is never longer than the record. */
#include "data/jsonfield_impl.h"
#include "fuzz.h"

static struct sec_jsonfield *open_take(enum sec_json_take take)
{
    static char *v[] = {"message", "a.b", "a.0", "x\\.y"};
    struct sec_list paths = {v, sizeof v / sizeof *v};
    struct sec_jsonfield *j;
    fuzz_check(sec_jsonfield_open(take, &paths, &j) == 0);
    return j;
}

static void try(struct sec_jsonfield *j, const char *line, size_t n, bool field)
{
    struct sec_buf first = {0}, out = {0};
    enum sec_isa best = sec_cpu_isa_detected();
    sec_jsonfield_set_isa(j, SEC_ISA_PORTABLE);
    int result = sec_jsonfield_get(j, line, n, &first);
    fuzz_check(result >= 0 && (result == SEC_JSON_OK || !first.len));
    fuzz_check(!field || first.len <= n);
    for (enum sec_isa isa = SEC_ISA_AVX2; isa <= SEC_ISA_AVX512 && isa <= best; isa++) {
        sec_jsonfield_set_isa(j, isa);
        sec_buf_clear(&out);
        fuzz_check(sec_jsonfield_get(j, line, n, &out) == result && out.len == first.len);
        fuzz_check(!out.len || !memcmp(out.data, first.data, out.len));
    }
    sec_buf_free(&first);
    sec_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sec_jsonfield *field, *pairs;
    if (!field) {
        field = open_take(SEC_JSON_FIELD);
        pairs = open_take(SEC_JSON_PAIRS);
    }
    char *line = fuzz_copy(data, size);
    try(field, line, size, true);
    try(pairs, line, size, false);
    free(line);
    return 0;
}
