/* decode(encode(x)) == x for every byte string, with all three patterns; both encoders agree; what
 * is cached changes nothing. */
#include "base/mem.h"
#include "data/tokenizer.h"
#include "fuzz.h"

static const char sample[] =
    "Jan  3 10:11:12 host sshd[123]: Failed password for root from 10.0.0.1 port 22 ssh2\n"
    "{\"event\":\"login\",\"user\":\"alice\",\"n\":12345,\"ok\":true,\"path\":\"C:"
    "\\\\Windows\\\\x\"}\n"
    "GET /index.html?id=0xdeadbeef HTTP/1.1 200 - \"Mozilla/5.0 (it's)\"    na\xC3\xAFve "
    "\xE2\x82\xAC\n";

static struct sec_tokenizer *tokenizers[3];
static struct sec_encoder_ctx *contexts[3];

static void train(int k)
{
    struct sec_bpe_options o = {.vocab_size = 400, .pretok = (enum sec_pretok)k, .threads = 1};
    struct sec_bpe_trainer *t = sec_bpe_trainer_new(&o);
    fuzz_check(t && sec_bpe_trainer_add(t, sample, sizeof sample - 1) == 0);
    fuzz_check(sec_bpe_train(t, &tokenizers[k]) == 0);
    sec_bpe_trainer_free(t);
    contexts[k] = sec_encoder_ctx_new(tokenizers[k]);
    fuzz_check(contexts[k]);
}

static void check(int k, unsigned flags, const char *text, size_t n)
{
    uint16_t *ids = NULL, *same = NULL;
    uint32_t *offsets = NULL;
    size_t len = 0, cap = 0, len2 = 0, cap2 = 0;
    struct sec_buf back = {0};
    fuzz_check(sec_encode(contexts[k], text, n, flags, &ids, &len, &cap) == 0);
    fuzz_check(sec_encode_offsets(contexts[k], text, n, flags, &same, &offsets, &len2, &cap2) == 0);
    fuzz_check(len == len2 && len <= n && (!len || !memcmp(ids, same, len * sizeof *ids)));
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        size_t width;
        fuzz_check(offsets[i] == at && sec_tokenizer_bytes(tokenizers[k], ids[i], &width));
        at += width;
    }
    fuzz_check(at == n && sec_decode(tokenizers[k], ids, len, false, &back) == 0);
    fuzz_check(back.len == n && (!n || !memcmp(back.data, text, n)));
    free(ids);
    free(same);
    free(offsets);
    sec_buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!tokenizers[0])
        for (int k = 0; k < 3; k++)
            train(k);
    char *text = fuzz_copy(data, size);
    for (int k = 0; k < 3; k++) {
        check(k, 0, text, size);
        check(k, SEC_ENCODE_SPECIALS, text, size);
    }
    free(text);
    return 0;
}
