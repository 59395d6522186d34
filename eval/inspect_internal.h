/* The parts of eval/inspect.c: each adds the facts of one kind to o. */
#ifndef SEC_EVAL_INSPECT_INTERNAL_H
#define SEC_EVAL_INSPECT_INTERNAL_H

#include "base/json.h"

int sec_inspect_corpus(const char *dir, cJSON *o);
int sec_inspect_tokens(const char *dir, cJSON *o);
int sec_inspect_text_shard(const char *path, cJSON *o);
int sec_inspect_h5(const char *path, cJSON *o); /* sets "kind" itself */
int sec_inspect_tokenizer(const char *path, cJSON *o);

int sec_inspect_run(const char *dir, cJSON *o);
int sec_inspect_checkpoint(const char *dir, cJSON *o);
int sec_inspect_exported(const char *dir, cJSON *o);
int sec_inspect_safetensors(const char *path, cJSON *o);

/* Checked additions. */
int sec_fact_str(cJSON *o, const char *key, const char *v);
int sec_fact_num(cJSON *o, const char *key, double v);
int sec_fact_hex(cJSON *o, const char *key, uint64_t v);
int sec_fact_obj(cJSON *o, const char *key, cJSON **child);
int sec_fact_arr(cJSON *o, const char *key, cJSON **child);
int sec_fact_row(cJSON *array, cJSON **row);

#endif
