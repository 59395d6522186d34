#include "data/tokenizer_corpus.h"

#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "data/bpe_train.h"
#include "data/pretok.h"
#include "data/reader.h"
#include "data/textshard.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)4 << 20)

/* Hands out work: chunks of text files, cut at line ends, then whole shards. Guarded by lock; a
 * chunk is read inside the lock, straight into the asking thread's buffer. */
struct source {
    pthread_mutex_t lock;
    struct sec_list files;  /* text files */
    struct sec_list shards; /* shard files of corpora */
    size_t next_file, next_shard;
    struct sec_reader *reader;
    struct sec_buf carry; /* start of a line whose end is not read yet */
    uint64_t bytes;
    double start;
};

struct job {
    struct source src;
    const struct sec_bpe_options *o;
    struct sec_bpe_trainer **trainers; /* one a thread */
};

static int add_corpus(struct source *s, const char *root)
{
    struct sec_corpus c;
    int rc = sec_corpus_open(root, &c);
    if (rc)
        return rc;
    for (size_t i = 0; i < c.n_shards && !rc; i++) {
        if (c.shards[i].split != SEC_SPLIT_TRAIN)
            continue;
        char *path = sec_path_join(c.root, c.shards[i].path);
        rc = path ? sec_list_add(&s->shards, path) : sec_fail(SEC_ENOMEM, "%s: no memory", root);
        free(path);
    }
    sec_corpus_close(&c);
    return rc;
}

static int add_input(struct source *s, const char *path)
{
    if (!sec_is_dir(path))
        return sec_list_add(&s->files, path);
    char *manifest = sec_path_join(path, "MANIFEST.jsonl");
    bool corpus = manifest && sec_exists(manifest);
    free(manifest);
    if (corpus)
        return add_corpus(s, path);
    struct sec_list found = {0};
    int rc = sec_walk(path, &found);
    for (size_t i = 0; i < found.n && !rc; i++)
        rc = sec_list_add(&s->files, found.v[i]);
    sec_list_free(&found);
    return rc;
}

static void close_file(struct source *s)
{
    const char *damage = sec_reader_damage(s->reader);
    if (damage)
        sec_warn("%s: %s; what comes before is used", s->files.v[s->next_file - 1], damage);
    sec_reader_close(s->reader);
    s->reader = NULL;
}

/* Fill out with whole lines of the current file; a line longer than a chunk comes in one piece. */
static int read_lines(struct source *s, struct sec_buf *out)
{
    int rc;
    SEC_TRY(sec_buf_add(out, s->carry.data, s->carry.len));
    size_t scanned = 0;
    for (;;) {
        size_t got;
        SEC_TRY(sec_buf_reserve(out, CHUNK));
        SEC_TRY(sec_reader_read(s->reader, out->data + out->len, CHUNK, &got));
        s->bytes += got;
        out->len += got;
        if (got < CHUNK) {
            sec_buf_clear(&s->carry);
            close_file(s);
            return 0;
        }
        char *end = memrchr(out->data + scanned, '\n', out->len - scanned);
        if (end) {
            size_t keep = (size_t)(end + 1 - out->data);
            sec_buf_clear(&s->carry);
            SEC_TRY(sec_buf_add(&s->carry, out->data + keep, out->len - keep));
            out->len = keep;
            return 0;
        }
        scanned = out->len;
    }
fail:
    return rc;
}

/* The next chunk into out, or the name of a shard; neither = nothing left. */
static int next_work(struct source *s, struct sec_buf *out, const char **shard)
{
    int rc = 0;
    *shard = NULL;
    sec_buf_clear(out);
    pthread_mutex_lock(&s->lock);
    while (!rc && !out->len) {
        if (!s->reader && s->next_file < s->files.n)
            rc = sec_reader_open(s->files.v[s->next_file++], &s->reader);
        else if (s->reader)
            rc = read_lines(s, out);
        else
            break;
    }
    if (!rc && !out->len && s->next_shard < s->shards.n)
        *shard = s->shards.v[s->next_shard++];
    if (sec_now() - s->start > 1 && sec_progress_due())
        sec_progress("counting: %.0f MB", (double)s->bytes / 1e6);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int add_chunk(struct sec_bpe_trainer *t, enum sec_pretok kind, const struct sec_buf *text)
{
    if (sec_pretok_linewise(kind))
        return sec_bpe_trainer_add(t, text->data, text->len);
    int rc = 0;
    for (size_t i = 0; i < text->len && !rc;) {
        const char *nl = memchr(text->data + i, '\n', text->len - i);
        size_t n = nl ? (size_t)(nl + 1 - text->data) - i : text->len - i;
        rc = sec_bpe_trainer_add(t, text->data + i, n);
        i += n;
    }
    return rc;
}

static int add_shard(struct source *s, struct sec_bpe_trainer *t, const char *path)
{
    struct sec_shard_reader *r = NULL;
    struct sec_doc doc;
    uint64_t bytes = 0;
    int rc = sec_shard_reader_open(path, &r);
    while (!rc && (rc = sec_shard_reader_next(r, &doc)) == 0) {
        bytes += doc.text_len;
        rc = sec_bpe_trainer_add(t, doc.text, doc.text_len);
    }
    sec_shard_reader_close(r);
    pthread_mutex_lock(&s->lock);
    s->bytes += bytes;
    pthread_mutex_unlock(&s->lock);
    return rc == 1 ? 0 : rc;
}

static int count_thread(void *ctx, size_t i)
{
    struct job *j = ctx;
    struct sec_buf text = {0};
    const char *shard;
    int rc = 0;
    struct sec_bpe_trainer *t = j->trainers[i] = sec_bpe_trainer_new(j->o);
    if (!t)
        return SEC_ENOMEM;
    for (;;) {
        rc = next_work(&j->src, &text, &shard);
        if (rc || (!text.len && !shard))
            break;
        rc = shard ? add_shard(&j->src, t, shard) : add_chunk(t, j->o->pretok, &text);
        if (rc)
            break;
    }
    sec_buf_free(&text);
    return rc;
}

static int count_all(struct job *j, int threads, struct sec_bpe_summary *sum)
{
    double start = j->src.start = sec_now();
    int rc = sec_parallel_for((size_t)threads, threads, count_thread, j);
    sec_progress_done();
    for (int i = 1; i < threads && !rc; i++) {
        rc = sec_bpe_trainer_merge(j->trainers[0], j->trainers[i]);
        sec_bpe_trainer_free(j->trainers[i]);
        j->trainers[i] = NULL;
    }
    sum->bytes = j->src.bytes;
    sum->count_seconds = sec_now() - start;
    if (!rc && !sum->bytes)
        rc = sec_fail(SEC_EDATA, "no text to train on: the inputs are empty");
    return rc;
}

int sec_bpe_train_inputs(char *const *inputs, int n, const struct sec_bpe_options *o,
                         struct sec_tokenizer **out, struct sec_bpe_summary *sum)
{
    int rc, threads = o->threads > 0 ? o->threads : sec_threads();
    struct job j = {.src.lock = PTHREAD_MUTEX_INITIALIZER, .o = o};
    j.trainers = calloc((size_t)threads, sizeof *j.trainers);
    if (!j.trainers)
        return sec_fail(SEC_ENOMEM, "no memory for %d threads", threads);
    for (int i = 0; i < n; i++)
        SEC_TRY(add_input(&j.src, inputs[i]));
    SEC_TRY(count_all(&j, threads, sum));
    sum->pieces = sec_bpe_trainer_pieces(j.trainers[0]);
    double start = sec_now();
    SEC_TRY(sec_bpe_train(j.trainers[0], out));
    sum->merge_seconds = sec_now() - start;
fail:
    for (int i = 0; i < threads; i++)
        sec_bpe_trainer_free(j.trainers[i]);
    free(j.trainers);
    sec_reader_close(j.src.reader);
    sec_buf_free(&j.src.carry);
    sec_list_free(&j.src.files);
    sec_list_free(&j.src.shards);
    return rc;
}
