/* Open MODEL: an exported Hugging Face folder, a run directory (newest whole checkpoint) or a
 * checkpoint directory, alike. */
#ifndef SEC_MODEL_OPEN_H
#define SEC_MODEL_OPEN_H

#include "model/params.h"

struct sec_opened {
    struct sec_model_config config;
    unsigned heads; /* what the file has */
    struct sec_params params;
    float *master;                  /* [params.total], malloc'd */
    char *dir;                      /* where the weights were read */
    char *tokenizer_dir;            /* holds tokenizer.json */
    char tokenizer_fingerprint[65]; /* "" if not recorded */
    int64_t step;                   /* -1 for an exported folder */
};
int sec_model_open(const char *path, struct sec_opened *out);
void sec_opened_free(struct sec_opened *o);

#endif
