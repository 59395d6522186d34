/* safetensors files; and, so that mutations of the JSON keep its length right, headers alone with
 * data behind them. */
#include "base/mem.h"
#include "fuzz.h"
#include "model/hf.h"

#include <math.h>

enum { LIMIT = 1 << 20, DATA = 4096 };

static void try(const void *data, size_t size)
{
    struct sec_safetensors st;
    int rc = sec_st_open(fuzz_file(data, size), &st);
    fuzz_check_refusal(rc);
    for (int i = 0; !rc && i < st.n; i++) {
        const struct sec_st_tensor *t = &st.v[i];
        uint64_t bytes = t->end - t->begin;
        fuzz_check(st.data_start + t->end <= size && t->ndim <= 4);
        fuzz_check(sec_st_find(&st, t->name) == t);
        if (bytes > LIMIT)
            continue;
        float *out = malloc(2 * bytes + 1); /* of two-byte values: the widest result */
        fuzz_check(out);
        int bad = sec_st_read_f32(&st, t, out);
        fuzz_check_refusal(bad);
        free(out);
    }
    sec_st_close(&st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_buf file = {0};
    uint8_t length[8], values[DATA];
    try(data, size);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)size >> 8 * i);
    memset(values, 0x3C, sizeof values);
    fuzz_check(sec_buf_add(&file, length, sizeof length) == 0);
    fuzz_check(sec_buf_add(&file, data, size) == 0);
    fuzz_check(sec_buf_add(&file, values, size * 4 % DATA) == 0);
    try(file.data, file.len);
    sec_buf_free(&file);
    return 0;
}
