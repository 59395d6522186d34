/* secenc completion bash|zsh|fish: a completion script from the tables. */
#include "base/error.h"
#include "base/str.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

/* Inside single quotes of a shell: ' is closed, escaped and opened again. */
static void put_quoted(const char *s)
{
    for (; *s; s++) {
        if (*s == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*s);
    }
}

static void put_choices(const char *choices)
{
    for (; *choices; choices++)
        putchar(*choices == '|' ? ' ' : *choices);
}

/* Length of a command's first word, and its second word or NULL. */
static const char *second_word(const char *name, int *first_len)
{
    *first_len = (int)strcspn(name, " ");
    return name[*first_len] ? name + *first_len + 1 : NULL;
}

/* First words without repeats ("corpus build" and "corpus stats" give "corpus" once). */
static bool first_of_word(size_t i)
{
    int n;
    second_word(sec_commands[i].command->name, &n);
    for (size_t k = 0; k < i; k++) {
        const char *name = sec_commands[k].command->name;
        if (!strncmp(name, sec_commands[i].command->name, (size_t)n) && strchr(" ", name[n]))
            return false;
    }
    return true;
}

static void bash_options(const struct sec_opt *o)
{
    for (; o && o->name; o++)
        printf(" --%s", o->name);
}

static void bash_choices(const char *command, const struct sec_opt *o)
{
    for (; o && o->name; o++) {
        if (!o->choices)
            continue;
        printf("    '%s --%s')\n        COMPREPLY=($(compgen -W '", command, o->name);
        put_choices(o->choices);
        fputs("' -- \"$cur\"))\n        return\n        ;;\n", stdout);
    }
}

static void bash_subcommands(size_t first)
{
    int n, m;
    second_word(sec_commands[first].command->name, &n);
    const char *word = sec_commands[first].command->name;
    bool any = false;
    for (size_t i = 0; i < sec_n_commands; i++) {
        const char *name = sec_commands[i].command->name, *sub = second_word(name, &m);
        if (!sub || m != n || strncmp(name, word, (size_t)n))
            continue;
        if (!any)
            printf("    '%.*s') words='", n, word);
        printf("%s%s", any ? " " : "", sub);
        any = true;
    }
    if (any)
        fputs("' ;;\n", stdout);
}

static void bash(void)
{
    fputs("# bash completion for secenc: eval \"$(secenc completion bash)\"\n"
          "_secenc() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local one=${COMP_WORDS[1]-} two=${COMP_WORDS[2]-} command words=\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '--help --version",
          stdout);
    for (size_t i = 0; i < sec_n_commands; i++)
        if (first_of_word(i))
            printf(" %.*s", (int)strcspn(sec_commands[i].command->name, " "),
                   sec_commands[i].command->name);
    fputs("' -- \"$cur\"))\n        return\n    fi\n    case $one in\n", stdout);
    for (size_t i = 0; i < sec_n_commands; i++)
        if (first_of_word(i))
            bash_subcommands(i);
    fputs("    esac\n"
          "    if [ -n \"$words\" ] && [ \"$COMP_CWORD\" -eq 2 ] && [[ $cur != -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n        return\n    fi\n"
          "    command=$one\n    if [ -n \"$words\" ]; then command=\"$one $two\"; fi\n"
          "    case \"$command $prev\" in\n",
          stdout);
    for (size_t i = 0; i < sec_n_commands; i++)
        bash_choices(sec_commands[i].command->name, sec_commands[i].command->opts);
    fputs("    esac\n    words=\n    case $command in\n", stdout);
    for (size_t i = 0; i < sec_n_commands; i++) {
        printf("    '%s') words='--help", sec_commands[i].command->name);
        bash_options(sec_global_opts);
        bash_options(sec_commands[i].command->opts);
        fputs("' ;;\n", stdout);
    }
    fputs("    esac\n"
          "    if [[ $cur == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "    fi\n}\n"
          "complete -o filenames -F _secenc secenc\n",
          stdout);
}

/* In an _arguments specification [ ] : and \ are markup. */
static void zsh_text(const char *s)
{
    for (; *s; s++) {
        if (strchr("[]:\\", *s))
            putchar('\\');
        if (*s == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*s);
    }
}

static void zsh_options(const struct sec_opt *o)
{
    for (; o && o->name; o++) {
        printf(" \\\n            '%s--%s%s[", o->multi ? "*" : "", o->name,
               o->type == SEC_T_BOOL ? "" : "=");
        zsh_text(o->help ? o->help : "");
        putchar(']');
        if (o->type != SEC_T_BOOL) {
            putchar(':');
            zsh_text(o->metavar ? o->metavar : "value");
            putchar(':');
            if (o->choices) {
                putchar('(');
                put_choices(o->choices);
                putchar(')');
            } else if (o->type == SEC_T_STRING) {
                fputs("_files", stdout);
            }
        }
        putchar('\'');
    }
}

static void zsh(void)
{
    fputs("#compdef secenc\n"
          "# zsh completion for secenc: put this in a file _secenc of a folder in $fpath\n"
          "_secenc() {\n    local command=\"$words[2]\"\n    local -a subcommands\n"
          "    subcommands=(\n",
          stdout);
    for (size_t i = 0; i < sec_n_commands; i++) {
        fputs("        '", stdout);
        zsh_text(sec_commands[i].command->name);
        putchar(':');
        zsh_text(sec_commands[i].command->summary);
        fputs("'\n", stdout);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        local -aU first\n        first=(${${subcommands%%:*}%% *})\n"
          "        compadd -a first\n        return\n    fi\n"
          "    if (( ${#${(M)subcommands:#$command *}} )); then\n"
          "        if (( CURRENT == 3 )); then\n"
          "            local -a second\n"
          "            second=(${${(M)subcommands:#$command *}#$command })\n"
          "            _describe subcommand second\n            return\n        fi\n"
          "        command=\"$command $words[3]\"\n    fi\n"
          "    case $command in\n",
          stdout);
    for (size_t i = 0; i < sec_n_commands; i++) {
        printf("    ('%s')\n        _arguments '--help[show the options]'",
               sec_commands[i].command->name);
        zsh_options(sec_global_opts);
        zsh_options(sec_commands[i].command->opts);
        fputs(" \\\n            '*:file:_files'\n        ;;\n", stdout);
    }
    fputs("    esac\n}\nif [ \"$funcstack[1]\" = _secenc ]; then _secenc \"$@\"; "
          "else compdef _secenc secenc; fi\n",
          stdout);
}

static void fish_options(const char *condition, const struct sec_opt *o)
{
    for (; o && o->name; o++) {
        printf("complete -c secenc%s -l %s", condition, o->name);
        if (o->letter)
            printf(" -s %c", o->letter);
        if (o->choices) {
            fputs(" -x -a '", stdout);
            put_choices(o->choices);
            putchar('\'');
        } else if (o->type != SEC_T_BOOL) {
            fputs(" -r", stdout);
        }
        fputs(" -d '", stdout);
        put_quoted(o->help ? o->help : "");
        fputs("'\n", stdout);
    }
}

static void fish(void)
{
    fputs("# fish completion for secenc: secenc completion fish | source\n"
          "function __secenc_at\n"
          "    set -l words (commandline -opc)\n"
          "    test \"$words[2..]\" = \"$argv\"\n"
          "end\n"
          "function __secenc_in\n"
          "    set -l words (commandline -opc)\n"
          "    string match -q -- \"$argv*\" \"$words[2..]\"\n"
          "end\n",
          stdout);
    for (size_t i = 0; i < sec_n_commands; i++) {
        const struct sec_command *c = sec_commands[i].command;
        int n;
        const char *sub = second_word(c->name, &n);
        char condition[128];
        if (!sub || first_of_word(i)) {
            printf("complete -c secenc -f -n __secenc_at -a %.*s -d '", n, c->name);
            put_quoted(sub ? "" : c->summary);
            fputs("'\n", stdout);
        }
        if (sub) {
            printf("complete -c secenc -f -n '__secenc_at %.*s' -a %s -d '", n, c->name, sub);
            put_quoted(c->summary);
            fputs("'\n", stdout);
        }
        snprintf(condition, sizeof condition, " -n '__secenc_in %s'", c->name);
        fish_options(condition, c->opts);
    }
    fish_options("", sec_global_opts);
}

static int run(const void *opts, char **args, int n)
{
    if (n == 1 && !strcmp(args[0], "bash"))
        bash();
    else if (n == 1 && !strcmp(args[0], "zsh"))
        zsh();
    else if (n == 1 && !strcmp(args[0], "fish"))
        fish();
    else
        return sec_fail(SEC_EUSAGE, "completion needs one of bash, zsh, fish");
    return 0;
}

const struct sec_command sec_cmd_completion = {
    .name = "completion",
    .synopsis = "bash|zsh|fish",
    .summary = "print a completion script for a shell",
    .details = "For bash, add this to ~/.bashrc:\n  eval \"$(secenc completion bash)\"",
    .run = run,
};
