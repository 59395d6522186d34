/* What is this file or folder? Recognised: a corpus, a text shard (.jsonl.zst), a token data set, a
 * token shard (.h5), a tokenizer (folder or tokenizer.json), a run directory, a checkpoint, an
 * exported Hugging Face folder, a .safetensors file.
 *
 * The answer is a JSON object: "kind", "path", then the facts. Only what is needed is read; text
 * shards are decoded to the end (their frame checksums are verified by that). */
#ifndef SEC_EVAL_INSPECT_H
#define SEC_EVAL_INSPECT_H

#include "base/json.h"

/* *out is the caller's (cJSON_Delete). SEC_EFAIL: no such path; SEC_EDATA: not recognised, or
 * damaged. */
int sec_inspect(const char *path, cJSON **out);

/* As lines "key: value", nested objects indented, arrays of objects as rows. */
int sec_inspect_text(const cJSON *facts, struct sec_buf *out);

#endif
