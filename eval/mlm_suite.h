/* The evaluation suite "mlm": masked-token prediction on the test splits of a token data set.
 *
 * 15 % of content tokens, each as [MASK], drawn from (seed, document, position) for the seeds 1..n;
 * or whole fields (eval/field.h) at the same rate. For every split: loss (nats), perplexity = exp
 * of it, top-1, top-5 and bits per byte, beside the baselines of eval/baseline.h on the same
 * positions; and loss and accuracy by class of field, by decile of training frequency and by
 * length of the sequence.
 *
 * Bits per byte = total nats at masked tokens / ln 2 / bytes of those tokens' own text. A loss
 * exists at masked tokens only, so this is no compression rate; but it does not depend on how many
 * bytes a tokenizer puts into a token, and so compares models of different tokenizers. */
#ifndef SEC_EVAL_MLM_SUITE_H
#define SEC_EVAL_MLM_SUITE_H

#include "eval/results.h"
#include "kernels/ops.h"

#include <stdbool.h>
#include <stdio.h>

struct sec_mlm_suite_options {
    const char *model, *data;
    const char *splits; /* "idts,odts"; "" = those of idts and odts that hold documents */
    int seeds;
    int64_t seq_len, batch_tokens; /* 0 = defaults of eval/infer.h */
    uint64_t docs;                 /* first documents of a split; 0 = all */
    bool whole_field;
    const char *backend;
    enum sec_dtype act;
    const char *dump; /* "" or a file for one JSON object a sequence: masked positions (indices
                         into the document), labels, losses, ranks, copy's guesses (-1 = none),
                         classes */
};

/* Results are appended to *out, whose data and model_sha are set. */
int sec_mlm_suite(const struct sec_mlm_suite_options *o, struct sec_results *out);

/* The means over seeds as tables of text, and as one page. */
int sec_mlm_print(const struct sec_results *r, FILE *to);
int sec_mlm_report(const struct sec_results *r, const char *title, const char *path);

#endif
