/* Filling of [MASK]: the most probable tokens at each mask of a text.
 *
 * The literal "[MASK]" in the text is the special token; [CLS] and [SEP] are added. Probabilities
 * are a softmax over the whole vocabulary; ties go to the smaller id. The caller frees with
 * sec_fills_free(). Failure: SEC_EUSAGE without a mask, SEC_EDATA when the text is too long. */
#ifndef SEC_EVAL_FILL_MASK_H
#define SEC_EVAL_FILL_MASK_H

#include "eval/infer.h"

struct sec_fill {
    uint16_t id;
    double probability;
    char *token; /* its text, well-formed UTF-8 */
    char *text;  /* the whole text with this mask filled in, other masks as [MASK] */
};

struct sec_fills {
    struct sec_fill *v; /* [n_masks * k], by mask, most probable first */
    int n_masks, k;
};

int sec_fill_mask(struct sec_infer *m, const char *text, size_t n, int k, struct sec_fills *out);
void sec_fills_free(struct sec_fills *f);

#endif
