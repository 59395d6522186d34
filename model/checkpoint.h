/* Checkpoints: the directory is the transaction (training.md).
 *   step-N/rank-0.h5       one dataset a tensor slice (contiguous, no filter), attribute "offset"
 *   step-N/manifest.json   sizes, CRC32C per dataset, config, fingerprints, counters, cursor
 * written as step-N.tmp-<id>/, every file fsynced, the manifest last, then one rename. LATEST is a
 * hint. A checkpoint is whole if its manifest parses and every size and CRC agrees. */
#ifndef SEC_MODEL_CHECKPOINT_H
#define SEC_MODEL_CHECKPOINT_H

#include "model/params.h"

#include <cjson/cJSON.h>

/* What is saved: named flat fp32 arenas over one parameter table ("param", "adam_m", "adam_v"), and
 * the caller's JSON object "state" (counters, cursor, ...), plus the model and run configuration.
 */
struct sec_ckpt_arena {
    const char *name;
    float *data; /* [params->total]; read: filled in place */
};

struct sec_ckpt_info {
    int64_t step;
    struct sec_model_config config;
    unsigned heads;
    int num_labels; /* of the classifier; 0 without */
    char tokenizer_fingerprint[65];
    char *dir;    /* of the checkpoint */
    cJSON *state; /* owned */
};

int sec_ckpt_save(const char *ckpt_root, const struct sec_ckpt_info *info,
                  const struct sec_params *params, const struct sec_ckpt_arena *arenas,
                  int n_arenas);

/* Newest whole checkpoint below root (falls back over damaged ones, each named in a warning);
 * SEC_EDATA if there is none. */
int sec_ckpt_find(const char *ckpt_root, char **dir);
int sec_ckpt_read_info(const char *dir, struct sec_ckpt_info *info);
/* Verifies sizes and CRCs of what it reads, names file and tensor on failure. Arenas that are not
 * asked for are skipped; tensors of the table that the checkpoint lacks are SEC_EDATA. */
int sec_ckpt_read(const char *dir, const struct sec_params *params,
                  const struct sec_ckpt_arena *arenas, int n_arenas);
int sec_ckpt_verify(const char *dir); /* all of it */
bool sec_ckpt_has(const char *dir, const char *arena);
void sec_ckpt_info_free(struct sec_ckpt_info *info);
/* Keep the newest `keep` whole ones and those whose step is in the list; never removes the newest.
 */
int sec_ckpt_retain(const char *ckpt_root, int keep, const int64_t *pinned, int n_pinned);

#endif
