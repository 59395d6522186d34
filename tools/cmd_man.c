/* secenc man: the manual page as roff, from the tables. */
#include "base/error.h"
#include "base/version.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

/* Text in which nothing is markup: a hyphen that can be searched for, no line that starts with a
 * control character. */
static void put_text(const char *s)
{
    bool line_start = true;
    for (; *s; s++) {
        if (line_start && (*s == '.' || *s == '\''))
            fputs("\\&", stdout);
        line_start = *s == '\n';
        if (*s == '\\')
            fputs("\\e", stdout);
        else if (*s == '-')
            fputs("\\-", stdout);
        else
            putchar(*s);
    }
}

static void put_option(const struct sec_opt *o)
{
    fputs(".TP\n.B ", stdout);
    if (o->letter)
        printf("\\-%c, ", o->letter);
    fputs("\\-\\-", stdout);
    put_text(o->name);
    if (o->metavar || o->type != SEC_T_BOOL) {
        fputs(" \\fI", stdout);
        put_text(o->metavar ? o->metavar : "VALUE");
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_text(o->help && *o->help ? o->help : "no description");
    if (o->choices) {
        fputs(" (", stdout);
        put_text(o->choices);
        putchar(')');
    }
    if (o->dflt && *o->dflt) {
        fputs("; default ", stdout);
        put_text(o->dflt);
    }
    putchar('\n');
}

static void put_key(const struct sec_key *k)
{
    fputs(".TP\n.B ", stdout);
    put_text(k->name);
    putchar('\n');
    put_text(k->help);
    fputs("; default ", stdout);
    put_text(k->dflt && *k->dflt ? k->dflt : "unset");
    putchar('\n');
}

/* An empty line is a paragraph; roff wants a request for it. */
static void put_details(const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (!n) {
            fputs(".PP\n", stdout);
        } else {
            char line[1024];
            snprintf(line, sizeof line, "%.*s", (int)n, text);
            if (*line == ' ')
                fputs(".br\n", stdout);
            put_text(line + strspn(line, " "));
            putchar('\n');
        }
        text += n + (text[n] == '\n');
    }
}

static void put_command(const struct sec_command *c)
{
    fputs(".SS secenc ", stdout);
    put_text(c->name);
    putchar(' ');
    put_text(c->synopsis ? c->synopsis : "");
    putchar('\n');
    put_text(c->summary);
    fputs(".\n", stdout);
    if (c->details) {
        fputs(".PP\n", stdout);
        put_details(c->details);
    }
    for (const struct sec_opt *o = c->opts; o && o->name; o++)
        put_option(o);
    if (c->schema)
        fputs(".PP\nConfiguration keys (file or \\-\\-set KEY=VALUE):\n", stdout);
    for (const struct sec_key *k = c->schema; k && k->name; k++)
        put_key(k);
}

static int run(const void *opts, char **args, int n)
{
    if (n)
        return sec_fail(SEC_EUSAGE, "man takes no argument, but got '%s'", args[0]);
    fputs(".TH SECENC 1 \"\" \"secenc " SEC_VERSION "\" \"User Commands\"\n"
          ".SH NAME\nsecenc \\- pretrain and use a language\\-model encoder for security logs\n"
          ".SH SYNOPSIS\n.B secenc\n.I COMMAND\n[\\fISUBCOMMAND\\fR] [\\fIoptions\\fR]\n"
          ".SH DESCRIPTION\n"
          "Data goes to standard output, messages to standard error. Every option can be given as\n"
          "an environment variable SECENC_OPTION; the command line comes first, then the\n"
          "environment, then the configuration file, then the default.\n"
          ".SH OPTIONS\nEvery command takes these:\n",
          stdout);
    for (const struct sec_opt *o = sec_global_opts; o->name; o++)
        put_option(o);
    fputs(".TP\n.B \\-\\-help\nthe options of a command\n.SH COMMANDS\n", stdout);
    for (size_t i = 0; i < sec_n_commands; i++)
        put_command(sec_commands[i].command);
    fputs(".SH EXIT STATUS\n"
          "0 done; 1 run\\-time failure; 2 usage; 3 bad data or configuration (do not retry);\n"
          "4 device or memory; 5 diverged; 75 preempted and saved (retry); 76 hang detected;\n"
          "77 ranks disagree; 130 interrupted.\n",
          stdout);
    return 0;
}

const struct sec_command sec_cmd_man = {
    .name = "man",
    .synopsis = "> secenc.1",
    .summary = "print the manual page (view it with: secenc man | man -l -)",
    .run = run,
};
