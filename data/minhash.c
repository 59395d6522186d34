/* Signatures and bands; shingles are made in minhash_shingle.c. */
#include "data/minhash.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "data/minhash_impl.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LENGTH = 64 };

int sec_minhash_check(const struct sec_minhash_options *o)
{
    if (o->length < 1 || o->length > MAX_LENGTH)
        return sec_fail(SEC_EUSAGE, "shingles of %u %s; 1 to %d are possible", o->length,
                        o->words ? "words" : "characters", MAX_LENGTH);
    if (o->bands < 1 || o->rows < 1 || o->bands > SEC_MINHASH_N ||
        o->bands * (uint64_t)o->rows > SEC_MINHASH_N)
        return sec_fail(SEC_EUSAGE,
                        "%u bands of %u rows; both from 1 and at most %d hashes in all (16 x 8)",
                        o->bands, o->rows, SEC_MINHASH_N);
    if (!(o->similarity > 0 && o->similarity <= 1))
        return sec_fail(SEC_EUSAGE, "similarity %g; it must be above 0 and at most 1",
                        o->similarity);
    return 0;
}

int sec_minhash_parse_shingle(const char *text, struct sec_minhash_options *o)
{
    bool words = !strncmp(text, "word", 4);
    if (words || !strncmp(text, "char", 4)) {
        char *end;
        const char *digits = text + 4;
        unsigned long length = strtoul(digits, &end, 10);
        if (*digits >= '0' && *digits <= '9' && !*end && length >= 1 && length <= MAX_LENGTH) {
            o->length = (unsigned)length;
            o->words = words;
            return 0;
        }
    }
    return sec_fail(SEC_EUSAGE, "shingle \"%s\"; it is charN or wordN, N from 1 to %d, like char5",
                    text, MAX_LENGTH);
}

/* Fixed once and for all: signatures in the spools of an interrupted build depend on it. */
#define FUNCTIONS_SEED UINT64_C(0x4D696E48617368)

static struct sec_minhash_functions functions;
static void (*sign)(const struct sec_minhash_functions *, const uint32_t *, size_t, uint32_t *);
static pthread_once_t once = PTHREAD_ONCE_INIT;

void sec_minhash_draw(uint64_t seed, struct sec_minhash_functions *out)
{
    for (uint32_t i = 0; i < SEC_MINHASH_N; i++) {
        uint64_t r = sec_rand64(seed, SEC_STREAM_SAMPLE, i, 0);
        out->a[i] = (uint32_t)r | 1;
        out->b[i] = (uint32_t)(r >> 32);
    }
}

static void init(void)
{
    sec_minhash_draw(FUNCTIONS_SEED, &functions);
    enum sec_isa isa = sec_cpu_isa();
    sign = isa >= SEC_ISA_AVX512 ? sec_minhash_sign_avx512
           : isa >= SEC_ISA_AVX2 ? sec_minhash_sign_avx2
                                 : sec_minhash_sign_portable;
}

const struct sec_minhash_functions *sec_minhash_functions(void)
{
    pthread_once(&once, init);
    return &functions;
}

void sec_minhash_sign_portable(const struct sec_minhash_functions *f, const uint32_t *shingles,
                               size_t n, uint32_t signature[SEC_MINHASH_N])
{
    memset(signature, 0xFF, SEC_MINHASH_N * sizeof *signature);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < SEC_MINHASH_N; k++) {
            uint32_t h = f->a[k] * shingles[i] + f->b[k];
            signature[k] = h < signature[k] ? h : signature[k];
        }
}

void sec_minhash_sign_with(const struct sec_minhash_functions *f, const uint32_t *shingles,
                           size_t n, uint32_t signature[SEC_MINHASH_N])
{
    pthread_once(&once, init);
    sign(f, shingles, n, signature);
}

void sec_minhash_sign(const uint32_t *shingles, size_t n, uint32_t signature[SEC_MINHASH_N])
{
    pthread_once(&once, init);
    sign(&functions, shingles, n, signature);
}

void sec_minhash_keys(const uint32_t signature[SEC_MINHASH_N], unsigned bands, unsigned rows,
                      uint64_t *keys)
{
    for (unsigned b = 0; b < bands; b++)
        keys[b] = sec_hash64(signature + (size_t)b * rows, rows * sizeof *signature, b);
}

double sec_minhash_estimate(const uint32_t a[SEC_MINHASH_N], const uint32_t b[SEC_MINHASH_N])
{
    int equal = 0;
    for (int k = 0; k < SEC_MINHASH_N; k++)
        equal += a[k] == b[k];
    return equal / (double)SEC_MINHASH_N;
}
