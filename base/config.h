/* Configuration keys, declared once in a table: parser, --set, environment, --help, man page,
 * completion, validation and documentation all come from it.
 *
 * A schema is an array of struct sec_key ending in {0}; a value set is a plain C struct that the
 * offsets point into. Precedence is the caller's order of calls: defaults, file, environment,
 * --set. Unknown key = SEC_ECONFIG naming the file and line and the nearest known key. */
#ifndef SEC_BASE_CONFIG_H
#define SEC_BASE_CONFIG_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sec_type {
    SEC_T_BOOL,   /* bool */
    SEC_T_INT,    /* int64_t; accepts 1k, 2M */
    SEC_T_SIZE,   /* uint64_t bytes; accepts 64M, 2G */
    SEC_T_FLOAT,  /* double */
    SEC_T_TIME,   /* double seconds; accepts 90, 15m, 2h */
    SEC_T_STRING, /* char *, owned by the struct */
    SEC_T_ENUM    /* int, index into a |-separated list in choices */
};

struct sec_key {
    const char *name; /* dotted, e.g. "train.learning_rate" */
    enum sec_type type;
    size_t offset;
    const char *dflt; /* text form; NULL string = unset */
    double min, max;  /* inclusive, for numbers; both 0 = no range */
    const char *choices;
    const char *help; /* one line, with unit */
};

/* One value from its text form, checked against type, range and choices; and back to the text form
 * that reads back to the same value. Messages name neither key nor place: the caller adds them. A
 * string's old value is freed; text NULL unsets a string and zeroes anything else. */
int sec_value_parse(const struct sec_key *key, void *field, const char *text);
int sec_value_format(const struct sec_key *key, const void *field, struct sec_buf *out);
/* Index of text in a |-separated list, or -1; and what the key allows ("0 to 1", "a|b"), "" if
 * anything. */
int sec_choice_index(const char *choices, const char *text);
int sec_value_allowed(const struct sec_key *key, struct sec_buf *out);

/* All keys to their defaults (strings are freed first; zero the struct before the first call). */
int sec_config_defaults(const struct sec_key *schema, void *values);

/* Nested YAML mappings are joined with dots. where = text for messages. */
int sec_config_load(const struct sec_key *schema, void *values, const char *yaml_path);
int sec_config_load_text(const struct sec_key *schema, void *values, const char *yaml, size_t len,
                         const char *where);
int sec_config_set(const struct sec_key *schema, void *values, const char *key, const char *value,
                   const char *where);
int sec_config_set_pair(const struct sec_key *schema, void *values, const char *key_eq_value);

/* Resolved values as nested YAML (reads back to the same values), and as help text. */
int sec_config_dump(const struct sec_key *schema, const void *values, struct sec_buf *out);
int sec_config_help(const struct sec_key *schema, struct sec_buf *out);
void sec_config_free(const struct sec_key *schema, void *values);

#endif
