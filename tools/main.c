/* secenc COMMAND [SUBCOMMAND] [options]: finds the command, parses its options, runs it, and turns
 * its status into one line and an exit code. */
#include "base/error.h"
#include "base/log.h"
#include "base/ranks.h"
#include "base/str.h"
#include "base/version.h"
#include "tools/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A new command is one line here: its heading and NAME of its sec_cmd_NAME. */
#define COMMANDS(COMMAND)                                                                          \
    COMMAND("Corpus", synth)                                                                       \
    COMMAND("Corpus", corpus_build)                                                                \
    COMMAND("Corpus", corpus_stats)                                                                \
    COMMAND("Corpus", corpus_sample)                                                               \
    COMMAND("Corpus", corpus_report)                                                               \
    COMMAND("Corpus", corpus_tokenize)                                                             \
    COMMAND("Corpus", corpus_export)                                                               \
    COMMAND("Corpus", pseudonymize)                                                                \
    COMMAND("Tokenizer", tokenizer_train)                                                          \
    COMMAND("Tokenizer", tokenizer_encode)                                                         \
    COMMAND("Tokenizer", tokenizer_decode)                                                         \
    COMMAND("Tokenizer", tokenizer_stats)                                                          \
    COMMAND("Model", pretrain)                                                                     \
    COMMAND("Model", eval)                                                                         \
    COMMAND("Model", embed)                                                                        \
    COMMAND("Model", fill_mask)                                                                    \
    COMMAND("Model", report)                                                                       \
    COMMAND("Model", export)                                                                       \
    COMMAND("Model", import)                                                                       \
    COMMAND("Model", inspect)                                                                      \
    COMMAND("Model", verify)                                                                       \
    COMMAND("Environment", bench)                                                                  \
    COMMAND("Environment", doctor)                                                                 \
    COMMAND("Environment", completion)                                                             \
    COMMAND("Environment", man)

#define DECLARE(heading, name) extern const struct sec_command sec_cmd_##name;
#define ENTRY(heading, name)   {heading, &sec_cmd_##name},

COMMANDS(DECLARE)
const struct sec_command_entry sec_commands[] = {COMMANDS(ENTRY)};
const size_t sec_n_commands = sizeof sec_commands / sizeof sec_commands[0];

enum { MAX_COMMANDS = sizeof sec_commands / sizeof sec_commands[0], MAX_LEADING = 16 };

static void print_commands(FILE *to, const char *prefix)
{
    const char *group = "";
    for (size_t i = 0; i < sec_n_commands; i++) {
        const struct sec_command *c = sec_commands[i].command;
        if (!sec_starts(c->name, prefix))
            continue;
        if (strcmp(group, sec_commands[i].group))
            fprintf(to, "\n%s:\n", sec_commands[i].group);
        group = sec_commands[i].group;
        fprintf(to, "  %-20s %s\n", c->name, c->summary);
    }
}

static void print_help(FILE *to)
{
    fputs("Usage: secenc COMMAND [SUBCOMMAND] [options]\n"
          "Pretrain a language-model encoder on security logs, and use it.\n",
          to);
    print_commands(to, "");
    fputs("\nOptions of every command:\n", to);
    for (const struct sec_opt *o = sec_global_opts; o->name; o++)
        fprintf(to, "  --%s%s%-*s %s\n", o->name, o->metavar ? " " : "",
                (int)(18 - strlen(o->name) - (o->metavar != NULL)), o->metavar ? o->metavar : "",
                o->help);
    fputs("  --help               the options of a command: secenc COMMAND --help\n"
          "  --version            the version\n",
          to);
}

static const struct sec_command *find_command(const char *name)
{
    for (size_t i = 0; i < sec_n_commands; i++)
        if (!strcmp(sec_commands[i].command->name, name))
            return sec_commands[i].command;
    return NULL;
}

/* No command has this name: say which one may have been meant. prefix is "" or "corpus ". */
static int unknown_command(const char *prefix, const char *word)
{
    char full[128], groups[MAX_COMMANDS][32];
    const char *names[2 * MAX_COMMANDS];
    size_t n = 0;
    snprintf(full, sizeof full, "%s%s", prefix, word);
    for (size_t i = 0; i < sec_n_commands; i++) {
        const char *name = sec_commands[i].command->name;
        if (!sec_starts(name, prefix))
            continue;
        names[n++] = name;
        if (*prefix || !strchr(name, ' '))
            continue;
        snprintf(groups[i], sizeof groups[i], "%.*s", (int)strcspn(name, " "), name);
        names[n++] = groups[i];
    }
    const char *near = sec_nearest(full, names, n);
    if (near)
        return sec_fail(SEC_EUSAGE, "unknown command '%s'; did you mean '%s'?", full, near);
    return sec_fail(SEC_EUSAGE, "unknown command '%s'; see secenc %s--help", full, prefix);
}

/* A word such as "corpus" that only has commands below it: list them, or complain. */
static int run_group(const char *word, int argc, char **argv)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s ", word);
    bool any = false;
    for (size_t i = 0; i < sec_n_commands && !any; i++)
        any = sec_starts(sec_commands[i].command->name, prefix);
    if (!any)
        return unknown_command("", word);
    if (argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
        printf("Usage: secenc %s COMMAND [options]\n", word);
        print_commands(stdout, prefix);
        return 0;
    }
    if (argc && argv[0][0] != '-')
        return unknown_command(prefix, argv[0]);
    return sec_fail(SEC_EUSAGE, "%s needs a subcommand; see secenc %s --help", word, word);
}

/* Commands that share their work between ranks; the others would do it once a rank, and write over
 * each other. */
static bool takes_ranks(const struct sec_command *c)
{
    static const char *const names[] = {"corpus build", "corpus tokenize", "tokenizer train"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(c->name, names[i]))
            return true;
    return false;
}

static int run_command(const struct sec_command *c, int argc, char **argv)
{
    struct sec_list args = {0};
    if (sec_world() > 1 && !takes_ranks(c))
        return sec_fail(SEC_EUSAGE, "secenc %s runs as one process; start it without mpirun",
                        c->name);
    void *values = calloc(1, c->values_size + 1);
    if (!values)
        return sec_fail(SEC_ENOMEM, "out of memory");
    int rc = sec_opt_parse(c, argc, argv, values, &args);
    if (!rc)
        rc = c->run(values, args.v, (int)args.n);
    else if (rc == 1)
        rc = 0; /* --help */
    sec_opt_free(c, values);
    sec_list_free(&args);
    free(values);
    return rc;
}

static bool is_global_option(const char *arg)
{
    for (const struct sec_opt *o = sec_global_opts; o->name; o++)
        if (sec_starts(arg + 2, o->name) && strchr("=", arg[2 + strlen(o->name)]))
            return true;
    return false;
}

/* argv without its first `lead` options and the command's words: options before the command are
 * those of every command, and are handed on as if they came after it. */
static int dispatch(int argc, char **argv)
{
    int lead = 1;
    while (lead < argc && argv[lead][0] == '-') {
        const char *arg = argv[lead];
        if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
            print_help(stdout);
            return 0;
        }
        if (!strcmp(arg, "--version")) {
            puts("secenc " SEC_VERSION);
            return 0;
        }
        if (arg[1] != '-' || !is_global_option(arg) || lead >= MAX_LEADING)
            return sec_opt_unknown(NULL, arg);
        lead += !strcmp(arg, "--threads") ? 2 : 1;
    }
    if (lead >= argc) {
        print_help(stderr);
        return sec_fail(SEC_EUSAGE, "no command given");
    }
    char name[128];
    int words = lead + 1 < argc ? 2 : 1;
    snprintf(name, sizeof name, words == 2 ? "%s %s" : "%s", argv[lead],
             words == 2 ? argv[lead + 1] : "");
    const struct sec_command *c = find_command(name);
    if (!c && words == 2) {
        words = 1;
        c = find_command(argv[lead]);
    }
    if (!c)
        return run_group(argv[lead], argc - lead - 1, argv + lead + 1);
    /* Move the leading options next to the rest, over the command's words. */
    memmove(argv + words + 1, argv + 1, (size_t)(lead - 1) * sizeof *argv);
    return run_command(c, argc - words - 1, argv + words + 1);
}

/* With descriptor 0, 1 or 2 closed, the first file opened would take its place and be written over.
 * Read-only /dev/null holds the place and still makes every write fail. */
static void hold_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            _exit(1);
}

int main(int argc, char **argv)
{
    hold_standard_files();
    signal(SIGPIPE, SIG_DFL); /* a reader that has seen enough ends us quietly */
    int rc = sec_ranks_init();
    if (!rc)
        rc = dispatch(argc, argv);
    if (!sec_ranks_failed())
        rc = sec_ranks_agree(rc); /* a rank that failed alone takes the others along */
    sec_progress_done();
    if (rc && sec_ranks_speaks())
        fprintf(stderr, "secenc: error: %s\n", *sec_error() ? sec_error() : "failed");
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "secenc: error: standard output: cannot write: %s\n",
                errno ? strerror(errno) : "an earlier write failed");
        if (!rc)
            rc = SEC_EFAIL;
    }
    sec_ranks_finalize(); /* after the message: once a rank is gone mpirun may kill the others */
    return sec_exit_code(rc);
}
