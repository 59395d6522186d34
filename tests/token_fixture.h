/* A small tokenizer and token data sets for the tests of shards, order, masking and loader. The ids
 * of document d are a pure function of d, so that a test can say what any token must be. */
#ifndef SEC_TESTS_TOKEN_FIXTURE_H
#define SEC_TESTS_TOKEN_FIXTURE_H

#include "testing.h"

#include "base/rng.h"
#include "data/tokenizer.h"
#include "data/tokshard.h"
#include "data/tokshard_manifest.h"
#include "data/tokwriter.h"

static inline struct sec_tokenizer *fixture_tokenizer(void)
{
    struct sec_bpe_options o = {.vocab_size = 700, .pretok = SEC_PRETOK_LOG, .threads = 1};
    struct sec_bpe_trainer *trainer = sec_bpe_trainer_new(&o);
    struct sec_tokenizer *t = NULL;
    char line[256];
    assert_non_null(trainer);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t w[4];
        sec_rand4(1, SEC_STREAM_SAMPLE, i, 0, w);
        int n = snprintf(line, sizeof line,
                         "Oct %2u 03:%02u:07 host%u sshd[%u]: Failed password for (user%u) from "
                         "10.%u.%u.7 port %u; path=\"/var/log/x_%u.log\"",
                         w[0] % 31, w[1] % 60, w[2] % 50, w[3] % 30000, w[0] % 97, w[1] % 250,
                         w[2] % 250, w[3] % 65536, w[0] % 400);
        assert_ok(sec_bpe_trainer_add(trainer, line, (size_t)n));
    }
    assert_ok(sec_bpe_train(trainer, &t));
    sec_bpe_trainer_free(trainer);
    return t;
}

/* Lengths are mixed: most short, some long, a few of one token. */
static inline uint32_t fixture_len(uint64_t d, uint32_t longest)
{
    uint32_t w[4];
    sec_rand4(7, SEC_STREAM_SAMPLE, d, 1, w);
    return w[0] % 16 == 0 ? 1 : w[0] % 16 < 13 ? 1 + w[1] % (longest / 8 + 1) : 1 + w[1] % longest;
}

static inline uint16_t fixture_id(uint64_t d, uint32_t i, int vocab)
{
    uint32_t w[4];
    sec_rand4(7, SEC_STREAM_SAMPLE, d << 20 | i, 2, w);
    return (uint16_t)(SEC_TOK_SPECIALS + sec_below(w[0], (uint32_t)vocab - SEC_TOK_SPECIALS));
}

/* A data set with n_docs[split] documents in each split. */
static inline void fixture_dataset(const char *dir, const struct sec_tokenizer *t,
                                   const uint64_t n_docs[SEC_N_SPLITS], uint32_t longest,
                                   uint64_t tokens_per_shard)
{
    static const char *const sources[] = {"alpha", "beta", "gamma"};
    struct sec_tokmanifest m = {.vocab_size = sec_tokenizer_vocab_size(t),
                                .seed = 5,
                                .temperature = 1,
                                .tokens_per_shard = tokens_per_shard,
                                .n_sources = 3};
    struct sec_tok_source list[3] = {{.name = (char *)"alpha", .factor = 1},
                                     {.name = (char *)"beta", .factor = 1},
                                     {.name = (char *)"gamma", .factor = 1}};
    struct sec_tokshard_info all[64];
    uint16_t *ids = malloc(longest * sizeof *ids);
    assert_non_null(ids);
    snprintf(m.tokenizer, sizeof m.tokenizer, "%s", sec_tokenizer_fingerprint(t));
    m.sources = list;
    m.shards = all;
    for (int s = 0; s < SEC_N_SPLITS; s++) {
        struct sec_tokwriter_options o = {.dir = dir,
                                          .split = (enum sec_split)s,
                                          .tokenizer_fingerprint = m.tokenizer,
                                          .vocab_size = m.vocab_size,
                                          .seed = 5,
                                          .tokens_per_shard = tokens_per_shard,
                                          .sources = sources,
                                          .n_sources = 3,
                                          .threads = 2};
        struct sec_tokwriter *w;
        struct sec_tokshard_info *made;
        size_t n_made;
        assert_ok(sec_tokwriter_open(&o, &w));
        for (uint64_t d = 0; d < n_docs[s]; d++) {
            struct sec_tokdoc doc = {.ids = ids,
                                     .n = fixture_len(d, longest),
                                     .source = (uint16_t)(d % 3),
                                     .hash = d * 0x9E3779B97F4A7C15u,
                                     .bytes = (uint32_t)(d % 1000 + 1)};
            for (uint32_t i = 0; i < doc.n; i++)
                ids[i] = fixture_id(d, i, m.vocab_size);
            m.total[s].docs++;
            m.total[s].tokens += doc.n;
            m.total[s].bytes += doc.bytes;
            assert_ok(sec_tokwriter_add(w, &doc));
        }
        assert_ok(sec_tokwriter_close(w, &made, &n_made));
        assert_true(m.n_shards + n_made <= 64);
        if (n_made)
            memcpy(all + m.n_shards, made, n_made * sizeof *made);
        m.n_shards += n_made;
        free(made);
    }
    assert_ok(sec_tokmanifest_write(dir, &m));
    for (size_t i = 0; i < m.n_shards; i++)
        free(all[i].path);
    free(ids);
}

#endif
