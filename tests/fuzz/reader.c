/* Byte streams of any packing, read in pieces of different sizes: the text does not depend on them.
 */
#include "data/reader.h"

#include "base/mem.h"
#include "fuzz.h"

enum { LIMIT = 1 << 20 }; /* of text: a small file may unpack to gigabytes */

/* Returns the status; the text goes to out, the presence of damage to *damaged. */
static int read_all(const char *path, size_t piece, struct sec_buf *out, bool *damaged)
{
    struct sec_reader *r = NULL;
    size_t got = piece;
    int rc = sec_reader_open(path, &r);
    while (!rc && got == piece && out->len < LIMIT) {
        fuzz_check(sec_buf_reserve(out, piece) == 0);
        memset(out->data + out->len, 0xA5, piece);
        rc = sec_reader_read(r, out->data + out->len, piece, &got);
        if (rc)
            break;
        fuzz_check(got <= piece);
        out->len += got;
    }
    *damaged = r && sec_reader_damage(r);
    if (*damaged)
        fuzz_check(*sec_reader_damage(r) && !strchr(sec_reader_damage(r), '\n'));
    sec_reader_close(r);
    fuzz_check_refusal(rc);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_buf a = {0}, b = {0};
    bool damage_a, damage_b;
    size_t piece = 1 + fuzz_byte(&data, &size);
    const char *path = fuzz_file(data, size);
    int rc_a = read_all(path, 1 << 19, &a, &damage_a), rc_b = read_all(path, piece, &b, &damage_b);
    fuzz_check(rc_a == rc_b);
    if (a.len < LIMIT && b.len < LIMIT) {
        fuzz_check(a.len == b.len && damage_a == damage_b);
        fuzz_check(!a.len || !memcmp(a.data, b.data, a.len));
    }
    sec_buf_free(&a);
    sec_buf_free(&b);
    return 0;
}
