#include "data/tokenizer_corpus.h"

#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "base/thread.h"
#include "data/bpe_spill.h"
#include "data/bpe_train.h"
#include "data/pretok.h"
#include "data/reader.h"
#include "data/textshard.h"
#include "data/tokenizer_inputs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK ((size_t)4 << 20)

/* Hands out work: chunks of text files, cut at line ends, then whole shards. Guarded by lock; a
 * chunk is read inside the lock, straight into the asking thread's buffer. */
struct source {
    pthread_mutex_t lock;
    struct sec_train_inputs in;
    size_t next_file, next_shard;
    struct sec_reader *reader; /* of a whole file */
    int fd;                    /* of a range of lines: [at, end) is left; -1 = none */
    uint64_t at, end;
    struct sec_buf carry; /* start of a line whose end is not read yet */
    uint64_t bytes;
    double start;
};

struct job {
    struct source src;
    const struct sec_bpe_options *o;
    struct sec_bpe_trainer **trainers; /* one a thread */
    size_t limit;                      /* of a thread's counts; 0 = none */
    struct sec_bpe_spill spill;
};

static int open_file(struct source *s)
{
    const struct sec_train_file *f = &s->in.files[s->next_file++];
    if (f->end == UINT64_MAX)
        return sec_reader_open(f->path, &s->reader);
    return sec_train_range_open(f, &s->fd, &s->at, &s->end);
}

static int read_some(struct source *s, char *p, size_t n, size_t *got)
{
    if (s->reader)
        return sec_reader_read(s->reader, p, n, got);
    *got = s->end - s->at < n ? (size_t)(s->end - s->at) : n;
    int rc = sec_pread_full(s->fd, p, *got, s->at, s->in.files[s->next_file - 1].path);
    s->at += *got;
    return rc;
}

static void close_file(struct source *s)
{
    const char *damage = s->reader ? sec_reader_damage(s->reader) : NULL;
    if (damage)
        sec_warn("%s: %s; what comes before is used", s->in.files[s->next_file - 1].path, damage);
    sec_reader_close(s->reader);
    s->reader = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
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
        SEC_TRY(read_some(s, out->data + out->len, CHUNK, &got));
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
        if (s->reader || s->fd >= 0)
            rc = read_lines(s, out);
        else if (s->next_file < s->in.n_files)
            rc = open_file(s);
        else
            break;
    }
    if (!rc && !out->len && s->next_shard < s->in.shards.n)
        *shard = s->in.shards.v[s->next_shard++];
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

static int spill_counts(void *ctx, struct sec_piece_counts *c)
{
    return sec_bpe_spill_write(ctx, c);
}

static int spill_rest(void *ctx, size_t i)
{
    struct job *j = ctx;
    int rc =
        j->trainers[i] ? sec_bpe_spill_write(&j->spill, sec_bpe_trainer_counts(j->trainers[i])) : 0;
    sec_bpe_trainer_free(j->trainers[i]);
    j->trainers[i] = NULL;
    return rc;
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
    if (j->limit)
        sec_bpe_trainer_limit(t, j->limit, spill_counts, &j->spill);
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

/* All threads' counts into the first one's: in memory, if they are all there. */
static int gather(struct job *j, int threads)
{
    int rc = 0;
    if (sec_world() == 1 && !j->spill.begun) {
        sec_bpe_trainer_counts(j->trainers[0])->limit = 0;
        for (int i = 1; i < threads && !rc; i++) {
            rc = sec_bpe_trainer_merge(j->trainers[0], j->trainers[i]);
            sec_bpe_trainer_free(j->trainers[i]);
            j->trainers[i] = NULL;
        }
        return rc;
    }
    rc = sec_ranks_agree(sec_parallel_for((size_t)threads, threads, spill_rest, j));
    if (rc)
        return rc;
    j->trainers[0] = sec_bpe_trainer_new(j->o);
    rc = sec_ranks_agree(j->trainers[0] ? 0 : SEC_ENOMEM);
    return rc ? rc
              : sec_bpe_spill_merge(&j->spill, threads, sec_bpe_trainer_counts(j->trainers[0]));
}

/* What is left of a thread's share of the memory: its chunk of text (twice, while a line is carried
 * on), and room to write counts. */
static size_t count_limit(uint64_t memory, int threads)
{
    uint64_t share = memory / (uint64_t)threads, text = 3 * CHUNK;
    uint64_t rest = share > text ? (share - text) / 4 * 3 : 0;
    return !memory ? 0 : rest > (1 << 20) ? rest : 1 << 20;
}

static int count_all(struct job *j, int threads, struct sec_bpe_summary *sum)
{
    double start = j->src.start = sec_now();
    j->limit = count_limit(j->o->memory, threads);
    int rc = sec_ranks_agree(sec_parallel_for((size_t)threads, threads, count_thread, j));
    sec_progress_done();
    if (!rc)
        rc = gather(j, threads);
    sum->bytes = j->src.bytes;
    if (!rc)
        rc = sec_ranks_sum(&sum->bytes, 1);
    sum->count_seconds = sec_now() - start;
    if (!rc && !sum->bytes)
        rc = sec_fail(SEC_EDATA, "no text to train on: the inputs are empty");
    return rc;
}

/* The inputs, and with several ranks this one's share of them. */
static int list_inputs(struct job *j, char *const *inputs, int n)
{
    int rc = 0;
    for (int i = 0; i < n && !rc; i++)
        rc = sec_train_inputs_add(&j->src.in, inputs[i]);
    rc = sec_ranks_agree(rc);
    if (rc || sec_world() == 1)
        return rc;
    rc = sec_ranks_agree(sec_rank() == 0 ? sec_bpe_spill_begin(&j->spill) : 0);
    return rc ? rc : sec_train_inputs_share(&j->src.in);
}

static int learn(struct job *j, struct sec_tokenizer **out, struct sec_bpe_summary *sum)
{
    double start = sec_now();
    if (sec_rank() > 0)
        return sec_ranks_agree(0);
    sum->pieces = sec_bpe_trainer_pieces(j->trainers[0]);
    int rc = sec_bpe_train(j->trainers[0], out);
    sum->merge_seconds = sec_now() - start;
    return sec_ranks_agree(rc);
}

int sec_bpe_train_inputs(char *const *inputs, int n, const struct sec_bpe_options *o,
                         struct sec_tokenizer **out, struct sec_bpe_summary *sum)
{
    int rc, threads = o->threads > 0 ? o->threads : sec_threads();
    struct job j = {.src = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1}, .o = o};
    *out = NULL;
    *sum = (struct sec_bpe_summary){0};
    j.trainers = calloc((size_t)threads, sizeof *j.trainers);
    if (!j.trainers)
        return sec_fail(SEC_ENOMEM, "no memory for %d threads", threads);
    sec_bpe_spill_init(&j.spill, o->scratch);
    SEC_TRY(list_inputs(&j, inputs, n));
    SEC_TRY(count_all(&j, threads, sum));
    SEC_TRY(learn(&j, out, sum));
fail:
    for (int i = 0; i < threads; i++)
        sec_bpe_trainer_free(j.trainers[i]);
    free(j.trainers);
    sec_bpe_spill_end(&j.spill);
    sec_reader_close(j.src.reader);
    if (j.src.fd >= 0)
        close(j.src.fd);
    sec_buf_free(&j.src.carry);
    sec_train_inputs_free(&j.src.in);
    return rc;
}
