/* manifest.json of a checkpoint: as it is, and with the tail that makes its own checksum right. */
#include "base/hash.h"
#include "base/mem.h"
#include "fuzz.h"
#include "model/ckpt_internal.h"

static void try(const void *data, size_t size)
{
    struct sec_ckpt_info info;
    struct sec_params params;
    const char *dir = fuzz_folder(CKPT_MANIFEST, data, size);
    int rc = sec_ckpt_read_info(dir, &info);
    fuzz_check_refusal(rc);
    sec_ckpt_has(dir, "param");
    if (!rc && sec_model_config_count(&info.config) < 1 << 24) {
        rc = sec_params_build(&info.config, info.heads, info.num_labels, &params);
        fuzz_check_refusal(rc);
        if (!rc)
            sec_params_free(&params);
    }
    sec_ckpt_info_free(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_buf text = {0};
    try(data, size);
    fuzz_check(sec_buf_add(&text, data, size) == 0);
    fuzz_check(sec_buf_adds(&text, CKPT_SELF) == 0);
    char *digits = sec_ckpt_self_digits(text.data, text.len), hex[9];
    fuzz_check(digits);
    snprintf(hex, sizeof hex, "%08x", sec_crc32c(0, text.data, text.len));
    memcpy(digits, hex, 8);
    try(text.data, text.len);
    sec_buf_free(&text);
    return 0;
}
