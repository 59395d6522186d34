/* Facts of what the data path makes. */
#include "base/error.h"
#include "base/file.h"
#include "base/h5.h"
#include "data/textshard.h"
#include "data/tokenizer.h"
#include "data/tokshard_manifest.h"
#include "eval/inspect_internal.h"

#include <stdlib.h>
#include <string.h>

static int count_object(cJSON *o, const char *key, uint64_t docs, uint64_t tokens, uint64_t bytes)
{
    cJSON *c;
    int rc = sec_fact_obj(o, key, &c);
    if (!rc)
        rc = sec_fact_num(c, "documents", (double)docs);
    if (!rc && tokens)
        rc = sec_fact_num(c, "tokens", (double)tokens);
    return rc ? rc : sec_fact_num(c, "bytes", (double)bytes);
}

int sec_inspect_corpus(const char *dir, cJSON *o)
{
    struct sec_corpus c;
    int rc = sec_corpus_open(dir, &c);
    if (rc)
        return rc;
    uint64_t docs[SEC_N_SPLITS] = {0}, bytes[SEC_N_SPLITS] = {0}, packed = 0;
    cJSON *sources;
    SEC_TRY(sec_fact_hex(o, "fingerprint", c.fingerprint));
    SEC_TRY(sec_fact_num(o, "seed", (double)c.seed));
    SEC_TRY(sec_fact_num(o, "shards", (double)c.n_shards));
    for (size_t i = 0; i < c.n_shards; i++) {
        docs[c.shards[i].split] += c.shards[i].documents;
        bytes[c.shards[i].split] += c.shards[i].bytes_text;
        packed += c.shards[i].bytes_packed;
    }
    SEC_TRY(sec_fact_num(o, "bytes_packed", (double)packed));
    for (int s = 0; s < SEC_N_SPLITS; s++)
        SEC_TRY(count_object(o, sec_split_names[s], docs[s], 0, bytes[s]));
    SEC_TRY(sec_fact_arr(o, "sources", &sources));
    for (size_t i = 0; i < c.n_shards;) { /* sorted by (split, source) */
        const struct sec_shard_info *first = &c.shards[i];
        uint64_t n = 0, size = 0;
        cJSON *row;
        for (; i < c.n_shards && c.shards[i].split == first->split &&
               !strcmp(c.shards[i].source, first->source);
             i++) {
            n += c.shards[i].documents;
            size += c.shards[i].bytes_text;
        }
        SEC_TRY(sec_fact_row(sources, &row));
        SEC_TRY(sec_fact_str(row, "source", first->source));
        SEC_TRY(sec_fact_str(row, "split", sec_split_names[first->split]));
        SEC_TRY(sec_fact_num(row, "documents", (double)n));
        SEC_TRY(sec_fact_num(row, "bytes", (double)size));
    }
fail:
    sec_corpus_close(&c);
    return rc;
}

int sec_inspect_tokens(const char *dir, cJSON *o)
{
    struct sec_tokmanifest m;
    int rc = sec_tokmanifest_read(dir, &m);
    if (rc)
        return rc;
    cJSON *sources, *row;
    SEC_TRY(sec_fact_hex(o, "fingerprint", m.fingerprint));
    SEC_TRY(sec_fact_str(o, "tokenizer", m.tokenizer));
    SEC_TRY(sec_fact_num(o, "vocab_size", m.vocab_size));
    SEC_TRY(sec_fact_hex(o, "corpus", m.corpus));
    SEC_TRY(sec_fact_num(o, "seed", (double)m.seed));
    SEC_TRY(sec_fact_num(o, "temperature", m.temperature));
    SEC_TRY(sec_fact_num(o, "shards", (double)m.n_shards));
    for (int s = 0; s < SEC_N_SPLITS; s++)
        SEC_TRY(count_object(o, sec_split_names[s], m.total[s].docs, m.total[s].tokens,
                             m.total[s].bytes));
    SEC_TRY(sec_fact_arr(o, "sources", &sources));
    for (size_t i = 0; i < m.n_sources; i++) {
        SEC_TRY(sec_fact_row(sources, &row));
        SEC_TRY(sec_fact_str(row, "source", m.sources[i].name));
        SEC_TRY(sec_fact_num(row, "factor", m.sources[i].factor));
        for (int s = 0; s < SEC_N_SPLITS; s++)
            if (m.sources[i].split[s].tokens)
                SEC_TRY(
                    sec_fact_num(row, sec_split_names[s], (double)m.sources[i].split[s].tokens));
    }
fail:
    sec_tokmanifest_free(&m);
    return rc;
}

int sec_inspect_text_shard(const char *path, cJSON *o)
{
    struct sec_shard_reader *r;
    struct sec_doc d;
    uint64_t docs = 0, bytes = 0, records = 0;
    char source[256] = "";
    int rc = sec_shard_reader_open(path, &r);
    if (rc)
        return rc;
    while ((rc = sec_shard_reader_next(r, &d)) == 0) {
        if (!docs)
            snprintf(source, sizeof source, "%s", d.source);
        docs++;
        bytes += d.text_len;
        records += d.records;
    }
    if (rc != 1)
        goto fail;
    SEC_TRY(sec_fact_str(o, "source", source));
    SEC_TRY(sec_fact_num(o, "documents", (double)docs));
    SEC_TRY(sec_fact_num(o, "records", (double)records));
    SEC_TRY(sec_fact_num(o, "bytes_text", (double)bytes));
    SEC_TRY(sec_fact_num(o, "bytes_packed", (double)sec_file_size(path)));
fail:
    sec_shard_reader_close(r);
    return rc;
}

static int token_shard(hid_t file, const char *path, cJSON *o)
{
    static const char *const numbers[] = {"format_version", "vocab_size", "n_docs",
                                          "n_tokens",       "n_bytes",    "seed"};
    char *split = NULL, *tokenizer = NULL;
    uint64_t v;
    int rc;
    SEC_TRY(sec_fact_str(o, "kind", "token shard"));
    SEC_TRY(sec_h5_get_str(file, "split", &split, path));
    SEC_TRY(sec_h5_get_str(file, "tokenizer", &tokenizer, path));
    SEC_TRY(sec_fact_str(o, "split", split));
    SEC_TRY(sec_fact_str(o, "tokenizer", tokenizer));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        SEC_TRY(sec_h5_get_u64(file, numbers[i], &v, path));
        SEC_TRY(sec_fact_num(o, numbers[i], (double)v));
    }
    SEC_TRY(sec_fact_num(o, "bytes_packed", (double)sec_file_size(path)));
fail:
    free(split);
    free(tokenizer);
    return rc;
}

static int checkpoint_file(hid_t file, const char *path, cJSON *o)
{
    static const char *const arenas[] = {"param", "adam_m", "adam_v"};
    int rc = sec_fact_str(o, "kind", "checkpoint file");
    for (size_t i = 0; i < 3 && !rc; i++) {
        H5G_info_t info;
        hid_t group = H5Lexists(file, arenas[i], H5P_DEFAULT) > 0
                          ? H5Gopen2(file, arenas[i], H5P_DEFAULT)
                          : H5I_INVALID_HID;
        if (group < 0)
            continue;
        if (H5Gget_info(group, &info) >= 0)
            rc = sec_fact_num(o, arenas[i], (double)info.nlinks);
        H5Gclose(group);
    }
    return rc ? rc : sec_fact_num(o, "bytes", (double)sec_file_size(path));
}

int sec_inspect_h5(const char *path, cJSON *o)
{
    hid_t file;
    int rc = sec_h5_init();
    if (!rc)
        rc = sec_h5_open(path, &file);
    if (rc)
        return rc;
    if (H5Lexists(file, "tokens", H5P_DEFAULT) > 0)
        rc = token_shard(file, path, o);
    else if (H5Lexists(file, "param", H5P_DEFAULT) > 0)
        rc = checkpoint_file(file, path, o);
    else
        rc = sec_fail(SEC_EDATA,
                      "%s: an HDF5 file, but neither a token shard nor part of a checkpoint", path);
    int closed = sec_h5_close(file, path);
    return rc ? rc : closed;
}

int sec_inspect_tokenizer(const char *path, cJSON *o)
{
    static const char *const names[] = {"special", "delimiter", "content"};
    struct sec_tokenizer *t;
    double n[3] = {0}, longest = 0;
    cJSON *entries;
    int rc = sec_tokenizer_load(path, &t);
    if (rc)
        return rc;
    for (int id = 0; id < sec_tokenizer_vocab_size(t); id++) {
        size_t len;
        sec_tokenizer_bytes(t, (uint16_t)id, &len);
        longest = (double)len > longest ? (double)len : longest;
        n[sec_tokenizer_class(t, (uint16_t)id)]++;
    }
    SEC_TRY(sec_fact_str(o, "fingerprint", sec_tokenizer_fingerprint(t)));
    SEC_TRY(sec_fact_num(o, "vocab_size", sec_tokenizer_vocab_size(t)));
    SEC_TRY(sec_fact_obj(o, "entries", &entries));
    for (int i = 0; i < 3; i++)
        SEC_TRY(sec_fact_num(entries, names[i], n[i]));
    SEC_TRY(sec_fact_num(o, "longest_entry_bytes", longest));
fail:
    sec_tokenizer_free(t);
    return rc;
}
