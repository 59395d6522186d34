/* MANIFEST.jsonl of a token data set; what was read is written and read again. */
#include "data/tokshard_manifest.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_tokmanifest m, again;
    const char *dir = fuzz_folder("MANIFEST.jsonl", data, size);
    int rc = sec_tokmanifest_read(dir, &m);
    fuzz_check_refusal(rc);
    if (rc)
        return 0;
    static char *copy;
    if (!copy) {
        copy = sec_path_join(dir, "copy");
        fuzz_check(copy && sec_mkdir_p(copy) == 0);
    }
    fuzz_check(sec_tokmanifest_write(copy, &m) == 0);
    fuzz_check(sec_tokmanifest_read(copy, &again) == 0);
    fuzz_check(again.n_shards == m.n_shards && again.n_sources == m.n_sources);
    fuzz_check(again.fingerprint == m.fingerprint && again.seed == m.seed);
    fuzz_check(!memcmp(again.total, m.total, sizeof m.total));
    sec_tokmanifest_free(&m);
    sec_tokmanifest_free(&again);
    return 0;
}
