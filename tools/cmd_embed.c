/* secenc embed: lines to vectors. Options to eval/embed.h and eval/vectors.h. */
#include "base/error.h"
#include "base/log.h"
#include "data/tokenizer_stats.h"
#include "eval/embed.h"
#include "eval/vectors.h"
#include "tools/commands.h"

#include <string.h>

struct opts {
    int pool, format, precision;
    bool center, normalize;
    char *output, *device;
    int64_t seq_len, batch_tokens;
};

static const struct sec_opt options[] = {
    {"pool", 0, SEC_T_ENUM, false, offsetof(struct opts, pool), "mean", 0, 0, "mean|cls", NULL,
     "mean over all tokens with [CLS] and [SEP], or the vector of [CLS]"},
    {"center", 0, SEC_T_BOOL, false, offsetof(struct opts, center), NULL, 0, 0, NULL, NULL,
     "subtract the mean of this input's vectors (all are kept in memory)"},
    {"normalize", 0, SEC_T_BOOL, false, offsetof(struct opts, normalize), NULL, 0, 0, NULL, NULL,
     "scale to length 1, after centring"},
    {"out", 0, SEC_T_ENUM, false, offsetof(struct opts, format), "npy", 0, 0, "npy|jsonl", NULL,
     "npy: NumPy float32 [lines, hidden_size]; jsonl: one object a line"},
    {"output", 'o', SEC_T_STRING, false, offsetof(struct opts, output), NULL, 0, 0, NULL, "FILE",
     "where to write (default: standard output)"},
    {"seq-len", 0, SEC_T_INT, false, offsetof(struct opts, seq_len), "0", 0, 65535, NULL, "N",
     "longest window in tokens; 0 = 512, or what the model takes if that is less"},
    {"batch-tokens", 0, SEC_T_INT, false, offsetof(struct opts, batch_tokens), "8192", 3, 16777216,
     NULL, "N", "tokens at once; changes memory and speed, no result"},
    SEC_OPT_DEVICE(struct opts, "auto"),
    {"precision", 0, SEC_T_ENUM, false, offsetof(struct opts, precision), "fp32", 0, 0, "fp32|bf16",
     NULL, "type of activations"},
    {0}};

static int every_line(struct sec_embedder *e, const char *path)
{
    struct sec_lines *in;
    char *line;
    size_t n;
    int rc = sec_lines_open(path, &in);
    if (rc)
        return rc;
    double start = sec_now();
    while ((rc = sec_lines_next(in, &line, &n)) == 0) {
        n -= n && line[n - 1] == '\r';
        SEC_TRY(sec_embedder_add(e, line, n));
        if (sec_embedder_texts(e) % 256 == 0 && sec_progress_due())
            sec_progress("embed: %llu lines, %.0f a second",
                         (unsigned long long)sec_embedder_texts(e),
                         (double)sec_embedder_texts(e) / (sec_now() - start));
    }
    if (rc == 1)
        rc = sec_embedder_flush(e);
fail:
    sec_progress_done();
    sec_lines_close(in);
    return rc;
}

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_infer m = {0};
    struct sec_embedder *e = NULL;
    struct sec_vectors *out = NULL;
    if (n < 1 || n > 2)
        return sec_fail(SEC_EUSAGE, "usage: secenc embed MODEL [IN] (IN: one text a line)");
    struct sec_infer_options io = {.backend = o->device,
                                   .act = o->precision ? SEC_BF16 : SEC_F32,
                                   .seq_len = o->seq_len,
                                   .batch_tokens = o->batch_tokens};
    int rc;
    SEC_TRY(sec_infer_open(args[0], &io, &m));
    struct sec_vectors_options vo = {.path = o->output,
                                     .format = (enum sec_vector_format)o->format,
                                     .width = (size_t)m.model->config.hidden_size,
                                     .center = o->center,
                                     .normalize = o->normalize};
    SEC_TRY(sec_vectors_open(&vo, &out));
    SEC_TRY(sec_embedder_open(&m, (enum sec_pool)o->pool, sec_vectors_add, out, &e));
    SEC_TRY(every_line(e, n == 2 ? args[1] : "-"));
    if (sec_embedder_windowed(e))
        sec_info("%llu of %llu lines are longer than %d tokens: each is the mean of its windows",
                 (unsigned long long)sec_embedder_windowed(e),
                 (unsigned long long)sec_embedder_texts(e), m.seq_len);
    rc = sec_vectors_close(out);
    out = NULL;
fail:
    sec_embedder_close(e);
    sec_vectors_abort(out);
    sec_infer_close(&m);
    return rc;
}

const struct sec_command sec_cmd_embed = {
    .name = "embed",
    .synopsis = "MODEL [IN] [options]",
    .summary = "turn every line into a vector",
    .details =
        "MODEL is a run directory, a checkpoint or an exported folder; IN is plain, .gz or .zst "
        "(default: standard input). One line of input gives one vector, in the same order; an "
        "empty line is [CLS][SEP]. Lines longer than --seq-len are cut into windows, whose mean, "
        "weighted by tokens, is the vector. A vector never depends on the lines around it "
        "(--center apart).",
    .opts = options,
    .values_size = sizeof(struct opts),
    .run = run,
};
