/* Text shards: SPLIT/SOURCE/NNNNNN.jsonl.zst, one JSON object a line
 *   {"id":"<32 hex>","source":"sshd","text":"...","ts":null,"meta":{...}}
 * in independent zstd frames of about 1 MiB of text cut at documents, content checksums on, a seek
 * table in a final skippable frame (zstd's seekable format): any `zstd -d` reads them, and a reader
 * can start at any frame. MANIFEST.jsonl at the corpus root lists every shard (path, split, source,
 * documents, bytes raw and packed, xxh3) plus one header line with the build's options and counts.
 *
 * Writer: one thread. Reader: each thread its own. A shard appears under its name only when
 * complete and fsynced. */
#ifndef SEC_DATA_TEXTSHARD_H
#define SEC_DATA_TEXTSHARD_H

#include "base/file.h"
#include "base/hash.h"

enum sec_split { SEC_SPLIT_TRAIN, SEC_SPLIT_IDTS, SEC_SPLIT_ODTS, SEC_N_SPLITS };
extern const char *const sec_split_names[SEC_N_SPLITS]; /* "train", "idts", "odts" */

struct sec_doc {
    sec_h128 id;        /* XXH3-128 of the canonical text */
    const char *source; /* source name; valid until the next read */
    const char *text;   /* UTF-8, records separated by \n, no final \n */
    size_t text_len;
    uint32_t records; /* log records in text; 0 = not known */
};

struct sec_shard_info {
    char *path; /* relative to the corpus root */
    enum sec_split split;
    char *source;
    uint64_t documents, bytes_raw, bytes_packed, xxh3; /* bytes_raw: of the JSON lines */
    uint64_t records, bytes_text; /* log records; bytes of the documents' text */
};

/* The corpus as its MANIFEST tells it; shards sorted by (split, source, path). */
struct sec_corpus {
    char *root;
    struct sec_shard_info *shards;
    size_t n_shards;
    uint64_t fingerprint; /* XXH3 of MANIFEST.jsonl */
    uint64_t seed;
};
#define SEC_MANIFEST "MANIFEST.jsonl"
int sec_corpus_open(const char *root, struct sec_corpus *c); /* SEC_EDATA: not a corpus, or empty */
void sec_corpus_close(struct sec_corpus *c);

struct sec_shard_writer;
int sec_shard_writer_open(const char *root, enum sec_split split, const char *source, int number,
                          struct sec_shard_writer **out);
/* Do not flush on close: the caller does, with sec_fsync_tree(), before it relies on the shard. */
void sec_shard_writer_unsynced(struct sec_shard_writer *w);
int sec_shard_writer_add(struct sec_shard_writer *w, const struct sec_doc *doc);
uint64_t sec_shard_writer_bytes(const struct sec_shard_writer *w);
int sec_shard_writer_close(struct sec_shard_writer *w, struct sec_shard_info *info); /* seals */
void sec_shard_writer_abort(struct sec_shard_writer *w);
/* A frame packed elsewhere (data/frame.h), after what was added so far. */
struct sec_frame;
int sec_shard_writer_add_frame(struct sec_shard_writer *w, const struct sec_frame *f);
/* The same of its packed bytes alone: contents tells documents, records, bytes_text, bytes_raw. */
int sec_shard_writer_add_packed(struct sec_shard_writer *w, const struct sec_buf *packed,
                                const struct sec_shard_info *contents);

/* Reads documents in order; 1 = end. Verifies frame checksums; a damaged frame is SEC_EDATA naming
 * file and byte. */
struct sec_shard_reader;
int sec_shard_reader_open(const char *path, struct sec_shard_reader **out);
int sec_shard_reader_next(struct sec_shard_reader *r, struct sec_doc *doc);
void sec_shard_reader_close(struct sec_shard_reader *r);

#endif
