/* One token data set for the tests of the order and the loader: about 2.6 windows of training
 * samples in several shards. */
#ifndef SEC_TESTS_LOADER_FIXTURE_H
#define SEC_TESTS_LOADER_FIXTURE_H

#include "token_fixture.h"

#include "base/hash.h"
#include "base/log.h"
#include "data/loader.h"
#include "data/order.h"

enum { LONGEST = 3000, SEQ_LEN = 128, BUDGET = 1000, SEED = 11 };
static const uint64_t n_docs[SEC_N_SPLITS] = {15000, 40, 0};

static struct sec_tokenizer *tok;
static char *dir;
static struct sec_tokens *tokens;

static inline int loader_set_up(void **state)
{
    sec_set_quiet(true);
    tok = fixture_tokenizer();
    dir = scratch_dir();
    fixture_dataset(dir, tok, n_docs, LONGEST, 1500000);
    assert_ok(sec_tokens_open(dir, SEC_SPLIT_TRAIN, &tokens));
    return 0;
}

static inline int loader_tear_down(void **state)
{
    sec_tokens_close(tokens);
    scratch_free(dir);
    sec_tokenizer_free(tok);
    return 0;
}

static inline struct sec_loader_options loader_options(void)
{
    return (struct sec_loader_options){
        .seed = SEED,
        .seq_len = SEQ_LEN,
        .batch_tokens = BUDGET,
        .micro_batches = 2,
        .world = 1,
        .ring = 4,
        .threads = 1,
        .mask = {.seed = 3, .probability = 0.15, .p_mask = 0.8, .p_random = 0.1, .ngram_max = 1}};
}

static inline struct sec_loader *open_loader(const struct sec_loader_options *o,
                                             const struct sec_loader_state *from)
{
    struct sec_loader *l;
    assert_ok(sec_loader_open(tokens, tok, o, from, &l));
    return l;
}

static inline uint64_t hash_batch(uint64_t h, const struct sec_batch *b)
{
    size_t T = (size_t)b->n_tokens, M = (size_t)b->n_masked;
    h = sec_hash64(b->ids, T * sizeof *b->ids, h);
    h = sec_hash64(b->row_key, T * sizeof *b->row_key, h);
    h = sec_hash64(b->cu_seqlens, ((size_t)b->n_seqs + 1) * sizeof *b->cu_seqlens, h);
    h = sec_hash64(b->sample_id, (size_t)b->n_seqs * sizeof *b->sample_id, h);
    h = sec_hash64(b->masked_rows, M * sizeof *b->masked_rows, h);
    return sec_hash64(b->labels, M * sizeof *b->labels, h);
}

#endif
