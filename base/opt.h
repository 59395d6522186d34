/* Command-line options of one command, from one table: parsing, environment (SECENC_<OPTION>),
 * --help, completion and man page. Values land in a plain struct through offsets, as in config.h.
 *
 * Accepted: --name value, --name=value, -x value, --flag, --no-flag, "--" ends options. Precedence:
 * command line, environment, default. Unknown options get a nearest-match suggestion (SEC_EUSAGE).
 */
#ifndef SEC_BASE_OPT_H
#define SEC_BASE_OPT_H

#include "base/config.h"
#include "base/file.h"

struct sec_opt {
    const char *name; /* without dashes: "seq-len" */
    char letter;      /* 0 = none */
    enum sec_type type;
    bool multi; /* SEC_T_STRING only: field is a struct sec_list, one entry an occurrence */
    size_t offset;
    const char *dflt; /* NULL: "" or 0 */
    double min, max;
    const char *choices;
    const char *metavar;
    const char *help;
};

struct sec_command {
    const char *name;             /* "corpus build" */
    const char *synopsis;         /* "IN... -o DIR [options]" */
    const char *summary;          /* one line for the list of commands */
    const char *details;          /* paragraph(s) for --help, may be NULL */
    const struct sec_opt *opts;   /* ends with {0}; may be NULL */
    size_t values_size;           /* size of the option struct */
    const struct sec_key *schema; /* configuration keys the command takes with --set, or NULL */
    /* args: positional arguments, n of them. Returns 0 or SEC_E*. */
    int (*run)(const void *opts, char **args, int n);
};

/* Options every command takes; sec_opt_parse() applies them itself. Ends with {0}. */
extern const struct sec_opt sec_global_opts[];

/* Parse argv[0..argc) into values (zeroed by the caller before the first call); positionals are
 * copied to args, which the caller frees. A string option that is not given is its default or "",
 * never NULL. Returns 1 when --help was printed to stdout. */
int sec_opt_parse(const struct sec_command *cmd, int argc, char **argv, void *values,
                  struct sec_list *args);
void sec_opt_free(const struct sec_command *cmd, void *values);
/* The variable that stands for an option: "seq-len" -> "SECENC_SEQ_LEN", malloc'd. */
char *sec_opt_env_name(const struct sec_opt *opt);
/* The failure for an unknown option, with the nearest known one. cmd NULL: only the global ones. */
int sec_opt_unknown(const struct sec_command *cmd, const char *shown);

int sec_opt_help(const struct sec_command *cmd, struct sec_buf *out);

#endif
