/* The loader: order -> pack -> mask, in its own threads, into a ring of ready batches.
 *
 * Order is a pure function of (fingerprint, seed, epoch, index): epoch e permutes windows and
 * samples within a window with keyed Feistel networks, so sample g is found in O(1) and every
 * document's every token is seen exactly once an epoch. A sample is a document, or a piece of at
 * most seq_len - 2 tokens of one, as [CLS] tokens [SEP].
 *
 * The samples of all epochs in a row are cut into one global sequence of micro-batches: a
 * micro-batch takes samples in order and is closed by the first that would pass batch_tokens, which
 * opens the next one (an epoch's end closes nothing). A step is the next world * micro_batches of
 * them, and rank r takes the r-th run of micro_batches. So any world of the same product sees the
 * same steps, and every rank computes all cuts itself, from lengths only. State is 64 bytes and
 * carries no world size; it may be resumed by any world of the same product.
 *
 * A corrupt chunk is read three times. Then the run ends, or (substitute) each sample that touches
 * the chunk is replaced by the next good one of its window's order, cut to the length of the one it
 * stands for. So a substitution moves no cut: should one rank alone fail to read a chunk, the
 * others' batches are still the same, and so is the state. Every damaged window is reported by
 * sec_loader_damage() at the same step on every rank.
 *
 * Look-ahead: every rank decodes the whole stream (200 M tokens/s a thread), in windows of 2.1 M
 * tokens (SEC_ORDER_WINDOW), one in use and windows - 1 ahead. The reading of a window begins when
 * the one `windows` places before it is done with, and an epoch's last window may be short, so
 * reads may hang for as long as
 *     (windows - 2) * 2.1 M tokens / (tokens/s of all ranks) - time to decode one window
 * and no rank waits: 4 windows cover 0.5 s up to 8 M tokens/s, 32 cover it up to 120 M.
 * Memory: a window takes 4.5 MB and 24 bytes a sample; a ring place 16 bytes a token.
 *
 * Threads: one consumer. Failure: SEC_EDATA for a corrupt chunk unless on_error is substitute, and
 * for a window without any good sample. */
#ifndef SEC_DATA_LOADER_H
#define SEC_DATA_LOADER_H

#include "base/batch.h"
#include "data/masking.h"
#include "data/tokshard.h"

struct sec_loader_options {
    uint64_t seed;
    int seq_len;       /* longest sequence incl. [CLS] and [SEP] */
    int batch_tokens;  /* token budget of one micro-batch: T never exceeds it */
    int micro_batches; /* micro-batches of a step on this rank */
    int rank, world;   /* 0, 1 */
    int ring;          /* ready batches kept; 4 */
    int threads;       /* decode threads; 1 */
    int windows;       /* decoded or being decoded, with the one in use; 0 = 4 */
    bool substitute;   /* on a corrupt chunk: next good sample, recorded */
    struct sec_mask_options mask;
};

/* 64 bytes; a checkpoint stores them as they are (little-endian u64 each). */
struct sec_loader_state {
    uint64_t fingerprint, seed, epoch, next; /* next = samples consumed in this epoch */
    uint64_t seq_len, batch_tokens, step;
    uint64_t masks; /* fingerprint of the mask options and their seed; 0 = not recorded */
};

struct sec_loader;
/* state NULL = from the start. A state of another data set, seed, shape or masks is SEC_ECONFIG
 * naming both values. */
int sec_loader_open(const struct sec_tokens *t, const struct sec_tokenizer *tok,
                    const struct sec_loader_options *o, const struct sec_loader_state *state,
                    struct sec_loader **out);
/* The next micro-batch; valid until the next call. Waits; the time waited is added to the counter.
 */
int sec_loader_next(struct sec_loader *l, const struct sec_batch **batch);
/* State after the last whole step that was handed out. */
void sec_loader_state(const struct sec_loader *l, struct sec_loader_state *out);
double sec_loader_wait_seconds(const struct sec_loader *l);
/* Samples of the batches handed out that were replaced, since the loader was opened. */
uint64_t sec_loader_substituted(const struct sec_loader *l);
/* The next report of a damaged window that the last whole step or one before it has entered: its
 * step (counted from 0) and what was replaced and why, malloc'd. False = no more. */
bool sec_loader_damage(struct sec_loader *l, uint64_t *step, char **text);
void sec_loader_close(struct sec_loader *l);

/* Evaluation batches: documents [0, n_docs) of a split in order, cut at seq_len, evaluation masks
 * of one seed, packed to batch_tokens. 1 = end. Batch order and size never change a document's
 * masks. */
struct sec_eval_loader;
int sec_eval_loader_open(const struct sec_tokens *t, const struct sec_tokenizer *tok,
                         uint64_t mask_seed, int seq_len, int batch_tokens, uint64_t max_docs,
                         struct sec_eval_loader **out);
/* As sec_eval_loader_open(), with other masks (whole fields, say). */
int sec_eval_loader_open_masks(const struct sec_tokens *t, const struct sec_tokenizer *tok,
                               const struct sec_mask_options *mask, int seq_len, int batch_tokens,
                               uint64_t max_docs, struct sec_eval_loader **out);
int sec_eval_loader_next(struct sec_eval_loader *l, const struct sec_batch **batch);
void sec_eval_loader_close(struct sec_eval_loader *l);

/* Samples of an epoch and where sample i of epoch e lies: exposed for tests and `inspect`. */
uint64_t sec_order_samples(const struct sec_loader *l);
int sec_order_sample(const struct sec_loader *l, uint64_t epoch, uint64_t i, uint64_t *first_token,
                     uint32_t *len, uint64_t *doc);

#endif
