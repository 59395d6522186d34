/* Shared by the checkpoint's writer and reader: the manifest. Its text ends with its own CRC32C,
 * taken with the eight digits as zeros, so that no bit of it can flip unseen. */
#ifndef SEC_MODEL_CKPT_INTERNAL_H
#define SEC_MODEL_CKPT_INTERNAL_H

#include "base/mem.h"
#include "model/checkpoint.h"

#define CKPT_FORMAT   "secenc-checkpoint"
#define CKPT_VERSION  1
#define CKPT_FILE     "rank-0.h5"
#define CKPT_MANIFEST "manifest.json"
#define CKPT_SELF     "\"self_crc32c\":\t\"00000000\"\n}\n" /* how a manifest ends */

/* The fields of struct sec_model_config by their names, for both directions. */
struct sec_ckpt_field {
    const char *name;
    size_t offset;
    bool is_int;
};
extern const struct sec_ckpt_field sec_ckpt_fields[]; /* ends with {0} */

/* The digits of the self CRC start here; NULL if the text does not end like a manifest. */
char *sec_ckpt_self_digits(char *text, size_t len);

#endif
