/* A text shard's bytes; or, by the first byte, its lines in frames cut anywhere. */
#include "data/textshard.h"

#include "base/mem.h"
#include "fuzz.h"

#include <zstd.h>

enum { LIMIT = 1 << 22 }; /* of text: a small frame may unpack to gigabytes */

static void pack(struct sec_buf *out, const uint8_t *data, size_t size, size_t frame)
{
    while (size) {
        size_t n = size < frame ? size : frame, room = ZSTD_compressBound(n);
        fuzz_check(sec_buf_reserve(out, room) == 0);
        size_t got = ZSTD_compress(out->data + out->len, room, data, n, 1);
        fuzz_check(!ZSTD_isError(got));
        out->len += got;
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_shard_reader *r;
    struct sec_doc doc;
    struct sec_buf packed = {0};
    uint8_t how = fuzz_byte(&data, &size);
    size_t total = 0;
    if (how)
        pack(&packed, data, size, (size_t)how * 8);
    const char *path = fuzz_file(how ? packed.data : (const char *)data, how ? packed.len : size);
    fuzz_check(sec_shard_reader_open(path, &r) == 0);
    int rc;
    while (!(rc = sec_shard_reader_next(r, &doc)) && total < LIMIT) {
        total += doc.text_len + 1;
        fuzz_check(doc.text[doc.text_len] == 0 && strlen(doc.source) < LIMIT);
    }
    fuzz_check(rc == 1 || (rc < 0 && strstr(sec_error(), path)) || total >= LIMIT);
    sec_shard_reader_close(r);
    sec_buf_free(&packed);
    return 0;
}
