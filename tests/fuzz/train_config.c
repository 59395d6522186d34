/* The YAML of a training run; what is accepted is written out and reads back to the same text. */
#include "base/mem.h"
#include "fuzz.h"
#include "train/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_train_config c = {0}, again = {0};
    struct sec_buf a = {0}, b = {0};
    char *yaml = fuzz_copy(data, size);
    fuzz_check(sec_config_defaults(sec_train_schema, &c) == 0);
    fuzz_check(sec_config_defaults(sec_train_schema, &again) == 0);
    int rc = sec_config_load_text(sec_train_schema, &c, yaml, size, "run.yaml");
    fuzz_check_refusal(rc);
    if (!rc) {
        int bad = sec_train_config_check(&c);
        fuzz_check_refusal(bad);
        fuzz_check(sec_config_dump(sec_train_schema, &c, &a) == 0);
        fuzz_check(sec_config_load_text(sec_train_schema, &again, a.data, a.len, "again") == 0);
        fuzz_check(sec_config_dump(sec_train_schema, &again, &b) == 0);
        fuzz_check(a.len == b.len && !memcmp(a.data, b.data, a.len));
    }
    sec_config_free(sec_train_schema, &c);
    sec_config_free(sec_train_schema, &again);
    sec_buf_free(&a);
    sec_buf_free(&b);
    free(yaml);
    return 0;
}
