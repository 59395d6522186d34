/* Lines of text shards: any bytes as a line; and any text through a line and back. */
#include "data/docjson.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_doc doc, back;
    struct sec_buf line = {0};
    char *text = fuzz_text(data, size);
    int rc = sec_docjson_decode(text, size, &doc);
    fuzz_check_refusal(rc);
    if (!rc) {
        fuzz_check(doc.text >= text && doc.text + doc.text_len <= text + size);
        fuzz_check(sec_docjson_encode(&line, &doc) == 0);
    }
    free(text);

    sec_buf_clear(&line);
    text = fuzz_copy(data, size);
    doc = (struct sec_doc){.id = {.lo = size, .hi = ~0ull},
                           .source = "a \"source\"",
                           .text = text,
                           .text_len = size,
                           .records = 7};
    fuzz_check(sec_docjson_encode(&line, &doc) == 0);
    fuzz_check(sec_docjson_decode(line.data, line.len - 1, &back) == 0);
    fuzz_check(back.id.lo == doc.id.lo && back.id.hi == doc.id.hi && back.records == 7);
    fuzz_check(!strcmp(back.source, doc.source) && back.text_len == size);
    fuzz_check(!memcmp(back.text, text, size));
    free(text);
    sec_buf_free(&line);
    return 0;
}
