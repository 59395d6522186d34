/* Hugging Face folders: config.json, model.safetensors, tokenizer files. Tensor names as in
 * model.md. Export writes rel_embeddings row 0 := row 1. All files are written durably, config.json
 * last. */
#ifndef SEC_MODEL_HF_H
#define SEC_MODEL_HF_H

#include "model/params.h"

/* safetensors, F32 BF16 F16 in, F32 out (BF16 by choice). */
struct sec_st_tensor {
    char name[128];
    int ndim;
    int64_t shape[4];
    char dtype[8];       /* "F32" */
    uint64_t begin, end; /* bytes in the data part */
};
struct sec_safetensors {
    struct sec_st_tensor *v;
    int n;
    int fd;
    uint64_t data_start;
    char *path;
};
int sec_st_open(const char *path, struct sec_safetensors *st); /* checks the whole header */
const struct sec_st_tensor *sec_st_find(const struct sec_safetensors *st, const char *name);
int sec_st_read_f32(const struct sec_safetensors *st, const struct sec_st_tensor *t, float *out);
void sec_st_close(struct sec_safetensors *st);
/* Durable. rel_embeddings row 0 is written as row 1 (model.md, "Row 0 trap"). */
int sec_st_write(const char *path, const struct sec_params *p, const float *master, bool bf16);

/* heads chooses the architecture: SEC_HEAD_MLM -> DebertaV2ForMaskedLM, ... tokenizer_dir: folder
 * whose tokenizer files are copied (NULL = none); tokenizer_sha256: its fingerprint, recorded in
 * config.json (NULL or "" = not recorded). */
int sec_hf_export(const struct sec_model_config *c, const struct sec_params *p, const float *master,
                  const char *tokenizer_dir, const char *tokenizer_sha256, const char *torch_dtype,
                  const char *dir);
/* The fingerprint that the folder's config.json records, "" if it records none. */
int sec_hf_tokenizer_sha256(const char *dir, char out[65]);
int sec_hf_copy_tokenizer(const char *from_dir, const char *to_dir);

/* Reads a Hugging Face DeBERTa-v2 folder: config.json and model.safetensors, or the shards that
 * model.safetensors.index.json names. Accepted besides our own form: names without the "deberta."
 * prefix (a bare encoder), the newer head layout (lm_predictions.lm_head.*), F16 and BF16 tensors,
 * a model without convolution or heads. *master is malloc'd [params->total]. On failure nothing is
 * left to free. */
int sec_hf_load(const char *dir, struct sec_model_config *c, unsigned *heads,
                struct sec_params *params, float **master);

#endif
