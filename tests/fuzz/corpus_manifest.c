/* MANIFEST.jsonl of a text corpus. Its shards do not exist, except those of no bytes' length. */
#include "data/textshard.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_corpus c;
    int rc = sec_corpus_open(fuzz_folder("MANIFEST.jsonl", data, size), &c);
    fuzz_check_refusal(rc);
    fuzz_check(rc || c.n_shards);
    sec_corpus_close(&c);
    return 0;
}
