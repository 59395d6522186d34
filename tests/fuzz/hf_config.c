/* config.json of a Hugging Face folder; what is accepted is written and read again, and the table
 * of parameters can be built. */
#include "base/mem.h"
#include "fuzz.h"
#include "model/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_model_config c, again;
    struct sec_params params;
    struct sec_buf text = {0};
    int rc = sec_model_config_read_hf(fuzz_file(data, size), &c);
    fuzz_check_refusal(rc);
    if (rc)
        return 0;
    fuzz_check(sec_model_config_count(&c) > 0);
    fuzz_check(sec_model_config_hf_text(&c, "DebertaV2ForMaskedLM", "float32", 2, NULL, &text) ==
               0);
    fuzz_check(sec_model_config_read_hf(fuzz_file(text.data, text.len), &again) == 0);
    fuzz_check(again.hidden_size == c.hidden_size && again.layer_norm_eps == c.layer_norm_eps);
    fuzz_check(again.max_relative_positions == c.max_relative_positions);
    rc = sec_params_build(&c, SEC_HEAD_MLM | SEC_HEAD_CLASSIFY, 2, &params);
    fuzz_check_refusal(rc);
    if (!rc)
        sec_params_free(&params);
    sec_buf_free(&text);
    return 0;
}
