/* A small file with its own check: payload, then {u64 length, u64 XXH3 of the payload, magic}. It
 * appears under its name when complete. For the summaries that a stage's task leaves; writing it
 * last makes it the sign that the task is complete. It is not flushed to disk: one that is lost
 * with the power is missing or found by its check. Thread-safe. */
#ifndef SEC_DATA_SEALED_H
#define SEC_DATA_SEALED_H

#include "base/file.h"

int sec_sealed_write(const char *path, const void *p, size_t n);
/* *out is replaced by the payload. Damage is SEC_EDATA naming the file, which is then renamed to
 * NAME.damaged, so that running the job again makes it anew. */
int sec_sealed_read(const char *path, struct sec_buf *out);
/* As above, into p; a payload of another length counts as damage. */
int sec_sealed_read_into(const char *path, void *p, size_t n);

/* Rename a file that was found damaged; keeps the message on the error chain. */
void sec_set_aside(const char *path);
/* The same when rc is SEC_EDATA; returns rc. */
int sec_set_aside_damaged(int rc, const char *path);
/* rc is the failure of opening path: if another thread or rank has just set the file aside, that is
 * SEC_EDATA with a message that says so, else rc. */
int sec_if_set_aside(int rc, const char *path);

#endif
