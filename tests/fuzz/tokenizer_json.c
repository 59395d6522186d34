/* tokenizer.json; what is accepted is written, read again and encodes any text to ids that decode
 * to it. */
#include "base/mem.h"
#include "data/bpe_model.h"
#include "fuzz.h"

static void round_trip(const struct sec_tokenizer *t, const char *text, size_t n)
{
    struct sec_encoder_ctx *ctx = sec_encoder_ctx_new(t);
    struct sec_buf back = {0};
    uint16_t *ids = NULL;
    size_t len = 0, cap = 0;
    fuzz_check(ctx && sec_encode(ctx, text, n, 0, &ids, &len, &cap) == 0);
    fuzz_check(sec_decode(t, ids, len, false, &back) == 0);
    fuzz_check(back.len == n && (!n || !memcmp(back.data, text, n)));
    free(ids);
    sec_buf_free(&back);
    sec_encoder_ctx_free(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_tokenizer *t = NULL, *again = NULL;
    struct sec_buf json = {0};
    char *text = fuzz_copy(data, size);
    int rc = sec_tokenizer_parse(text, size, "tokenizer.json", &t);
    fuzz_check_refusal(rc);
    if (!rc) {
        fuzz_check(sec_tokenizer_json(t, &json) == 0);
        fuzz_check(sec_tokenizer_parse(json.data, json.len, "again", &again) == 0);
        fuzz_check(!strcmp(sec_tokenizer_fingerprint(t), sec_tokenizer_fingerprint(again)));
        round_trip(t, text, size);
    }
    sec_tokenizer_free(t);
    sec_tokenizer_free(again);
    sec_buf_free(&json);
    free(text);
    return 0;
}
