#include "base/opt.h"

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 96 };

struct globals {
    bool quiet;
    int64_t threads;
};

const struct sec_opt sec_global_opts[] = {
    {.name = "quiet",
     .type = SEC_T_BOOL,
     .offset = offsetof(struct globals, quiet),
     .help = "print errors only"},
    {.name = "threads",
     .type = SEC_T_INT,
     .offset = offsetof(struct globals, threads),
     .max = 1024,
     .metavar = "N",
     .help = "threads to use; 0 = one per usable core"},
    {0},
};

/* Where the parse puts values: the command's table first, the global one second. */
struct parse {
    const struct sec_command *cmd;
    void *values;
    struct globals globals;
    bool *given; /* per option of the command: seen on the command line */
};

static const struct sec_opt *find_opt(const struct sec_opt *opts, const char *name, size_t len)
{
    for (; opts && opts->name; opts++)
        if (strlen(opts->name) == len && !memcmp(opts->name, name, len))
            return opts;
    return NULL;
}

static const struct sec_opt *find_letter(const struct sec_opt *opts, char letter)
{
    for (; opts && opts->name; opts++)
        if (opts->letter == letter)
            return opts;
    return NULL;
}

static bool is_global(const struct sec_opt *opt)
{
    return opt >= sec_global_opts && opt < sec_global_opts + 2;
}

static void *field_of(struct parse *p, const struct sec_opt *opt)
{
    return (is_global(opt) ? (char *)&p->globals : (char *)p->values) + opt->offset;
}

static int set_value(struct parse *p, const struct sec_opt *opt, const char *text)
{
    const struct sec_key key = {.name = opt->name,
                                .type = opt->type,
                                .min = opt->min,
                                .max = opt->max,
                                .choices = opt->choices};
    if (opt->multi)
        return sec_list_add(field_of(p, opt), text);
    return sec_value_parse(&key, field_of(p, opt), text);
}

char *sec_opt_env_name(const struct sec_opt *opt)
{
    char *name;
    if (asprintf(&name, "SECENC_%s", opt->name) < 0) {
        sec_fail(SEC_ENOMEM, "out of memory");
        return NULL;
    }
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return name;
}

static int set_default(struct parse *p, const struct sec_opt *opt)
{
    const char *dflt = opt->dflt;
    if (opt->multi) {
        sec_list_free(field_of(p, opt));
        return dflt ? set_value(p, opt, dflt) : 0;
    }
    if (!dflt && opt->type == SEC_T_STRING)
        dflt = "";
    int rc = set_value(p, opt, dflt);
    return rc ? sec_fail_at(rc, "default of --%s", opt->name) : 0;
}

static int set_from_env(struct parse *p, const struct sec_opt *opt)
{
    char *name = sec_opt_env_name(opt);
    if (!name)
        return SEC_ENOMEM;
    const char *value = getenv(name);
    int rc = 0;
    if (value && *value) {
        if (opt->multi)
            sec_list_free(field_of(p, opt)); /* the environment replaces the default */
        rc = set_value(p, opt, value);
        if (rc)
            rc = sec_fail_at(rc, "environment variable %s", name);
    }
    free(name);
    return rc;
}

int sec_opt_unknown(const struct sec_command *cmd, const char *shown)
{
    const char *names[128];
    size_t n = 0, dashes = strspn(shown, "-");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(shown + dashes, "="), shown + dashes);
    for (const struct sec_opt *o = cmd ? cmd->opts : NULL; o && o->name && n < 120; o++)
        names[n++] = o->name;
    for (const struct sec_opt *o = sec_global_opts; o->name; o++)
        names[n++] = o->name;
    names[n++] = "help";
    const char *near = sec_nearest(name, names, n);
    if (near)
        return sec_fail(SEC_EUSAGE, "unknown option '%s'; did you mean '--%s'?", shown, near);
    return sec_fail(SEC_EUSAGE, "unknown option '%s'; see secenc %s%s--help", shown,
                    cmd ? cmd->name : "", cmd ? " " : "");
}

static int apply(struct parse *p, const struct sec_opt *opt, const char *text)
{
    if (!is_global(opt)) {
        bool *given = &p->given[opt - p->cmd->opts];
        if (opt->multi && !*given)
            sec_list_free(field_of(p, opt)); /* the command line replaces the environment */
        *given = true;
    }
    int rc = set_value(p, opt, text);
    return rc ? sec_fail_at(rc, "--%s", opt->name) : 0;
}

/* --name, --name=value, --name value, --no-name. */
static int take_long(struct parse *p, char **argv, int argc, int *i)
{
    const char *name = argv[*i] + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    const struct sec_opt *opt = find_opt(p->cmd->opts, name, len);
    if (!opt)
        opt = find_opt(sec_global_opts, name, len);
    if (!opt && !value && sec_starts(name, "no-")) {
        opt = find_opt(p->cmd->opts, name + 3, len - 3);
        if (!opt)
            opt = find_opt(sec_global_opts, name + 3, len - 3);
        if (opt && opt->type == SEC_T_BOOL)
            return apply(p, opt, "false");
        opt = NULL;
    }
    if (!opt)
        return sec_opt_unknown(p->cmd, argv[*i]);
    if (!value && opt->type == SEC_T_BOOL)
        value = "true";
    else if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value)
        return sec_fail(SEC_EUSAGE, "--%s needs a value", opt->name);
    return apply(p, opt, value);
}

/* -x, -x value, -xvalue, and flags together: -xyz. */
static int take_letters(struct parse *p, char **argv, int argc, int *i)
{
    const char *arg = argv[*i];
    for (const char *c = arg + 1; *c; c++) {
        const struct sec_opt *opt = find_letter(p->cmd->opts, *c);
        if (!opt)
            return sec_opt_unknown(p->cmd, arg);
        if (opt->type == SEC_T_BOOL) {
            int rc = apply(p, opt, "true");
            if (rc)
                return rc;
            continue;
        }
        const char *value = c[1] ? c + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (!value)
            return sec_fail(SEC_EUSAGE, "-%c (--%s) needs a value", *c, opt->name);
        return apply(p, opt, value);
    }
    return 0;
}

static int print_help(const struct sec_command *cmd)
{
    struct sec_buf text = {0};
    int rc = sec_opt_help(cmd, &text);
    if (!rc)
        fputs(text.data, stdout);
    sec_buf_free(&text);
    return rc ? rc : 1;
}

static int take_arguments(struct parse *p, int argc, char **argv, struct sec_list *args)
{
    bool options = true;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        int rc;
        if (!options || arg[0] != '-' || !arg[1]) {
            rc = sec_list_add(args, arg);
        } else if (!strcmp(arg, "--")) {
            options = false;
            continue;
        } else if (!strcmp(arg, "--help") ||
                   (!strcmp(arg, "-h") && !find_letter(p->cmd->opts, 'h'))) {
            return print_help(p->cmd);
        } else if (arg[1] == '-') {
            rc = take_long(p, argv, argc, &i);
        } else {
            rc = take_letters(p, argv, argc, &i);
        }
        if (rc)
            return rc;
    }
    return 0;
}

static int defaults_and_environment(struct parse *p, const struct sec_opt *opts)
{
    int rc = 0;
    for (; opts && opts->name && !rc; opts++) {
        rc = set_default(p, opts);
        if (!rc)
            rc = set_from_env(p, opts);
    }
    return rc;
}

int sec_opt_parse(const struct sec_command *cmd, int argc, char **argv, void *values,
                  struct sec_list *args)
{
    struct parse p = {.cmd = cmd, .values = values};
    size_t n = 0;
    int rc;
    while (cmd->opts && cmd->opts[n].name)
        n++;
    p.given = calloc(n + 1, sizeof *p.given);
    if (!p.given)
        return sec_fail(SEC_ENOMEM, "out of memory");
    SEC_TRY(defaults_and_environment(&p, sec_global_opts));
    SEC_TRY(defaults_and_environment(&p, cmd->opts));
    SEC_TRY(take_arguments(&p, argc, argv, args));
    if (p.globals.quiet)
        sec_set_quiet(true);
    if (p.globals.threads)
        sec_set_threads((int)p.globals.threads);
fail:
    free(p.given);
    return rc;
}

void sec_opt_free(const struct sec_command *cmd, void *values)
{
    for (const struct sec_opt *o = cmd->opts; o && o->name; o++) {
        void *field = (char *)values + o->offset;
        if (o->multi) {
            sec_list_free(field);
        } else if (o->type == SEC_T_STRING) {
            free(*(char **)field);
            *(char **)field = NULL;
        }
    }
}

/* Words of text from column `indent` on, with line breaks before HELP_WIDTH. */
static int add_wrapped(struct sec_buf *out, const char *text, int indent)
{
    int column = indent, rc = 0;
    for (const char *p = text; *p && !rc;) {
        int word = (int)strcspn(p, " ");
        if (column > indent && column + 1 + word > HELP_WIDTH) {
            rc = sec_buf_printf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            rc = sec_buf_addc(out, ' ');
            column++;
        }
        if (!rc)
            rc = sec_buf_add(out, p, (size_t)word);
        column += word;
        p += word;
        p += strspn(p, " ");
    }
    return rc ? rc : sec_buf_addc(out, '\n');
}

static int help_text(const struct sec_opt *opt, struct sec_buf *out)
{
    const struct sec_key key = {
        .type = opt->type, .min = opt->min, .max = opt->max, .choices = opt->choices};
    struct sec_buf notes = {0};
    int rc = sec_buf_adds(out, opt->help ? opt->help : "");
    if (!rc && opt->type != SEC_T_BOOL)
        rc = sec_value_allowed(&key, &notes);
    if (!rc && opt->dflt && *opt->dflt)
        rc = sec_buf_printf(&notes, "%sdefault %s", notes.len ? "; " : "", opt->dflt);
    if (!rc && opt->multi)
        rc = sec_buf_printf(&notes, "%smay be repeated", notes.len ? "; " : "");
    if (!rc && notes.len)
        rc = sec_buf_printf(out, " (%s)", notes.data);
    sec_buf_free(&notes);
    return rc;
}

static int option_line(const struct sec_opt *opt, struct sec_buf *out)
{
    struct sec_buf text = {0};
    const char *metavar = opt->metavar ? opt->metavar : opt->type == SEC_T_BOOL ? NULL : "VALUE";
    size_t start = out->len;
    int rc;
    SEC_TRY(opt->letter ? sec_buf_printf(out, "  -%c, --%s", opt->letter, opt->name)
                        : sec_buf_printf(out, "      --%s", opt->name));
    if (metavar)
        SEC_TRY(sec_buf_printf(out, " %s", metavar));
    int width = (int)(out->len - start);
    if (width + 2 > HELP_COLUMN)
        SEC_TRY(sec_buf_printf(out, "\n%*s", HELP_COLUMN, ""));
    else
        SEC_TRY(sec_buf_printf(out, "%*s", HELP_COLUMN - width, ""));
    SEC_TRY(help_text(opt, &text));
    SEC_TRY(add_wrapped(out, text.data, HELP_COLUMN));
fail:
    sec_buf_free(&text);
    return rc;
}

/* Paragraphs are separated by line feeds; each is wrapped, indented lines are kept. */
static int add_details(struct sec_buf *out, const char *text)
{
    int rc = 0;
    while (*text && !rc) {
        size_t n = strcspn(text, "\n");
        char *line = strndup(text, n);
        if (!line)
            return sec_fail(SEC_ENOMEM, "out of memory");
        rc = *line == ' ' ? sec_buf_printf(out, "%s\n", line) : add_wrapped(out, line, 0);
        free(line);
        text += n + (text[n] == '\n');
    }
    return rc ? rc : sec_buf_addc(out, '\n');
}

int sec_opt_help(const struct sec_command *cmd, struct sec_buf *out)
{
    int rc;
    SEC_TRY(sec_buf_printf(out, "Usage: secenc %s%s%s\n\n%s.\n\n", cmd->name,
                           cmd->synopsis && *cmd->synopsis ? " " : "",
                           cmd->synopsis ? cmd->synopsis : "", cmd->summary));
    if (cmd->details)
        SEC_TRY(add_details(out, cmd->details));
    SEC_TRY(sec_buf_adds(out, "Options (each also as SECENC_<OPTION> in the environment):\n"));
    for (const struct sec_opt *o = cmd->opts; o && o->name; o++)
        SEC_TRY(option_line(o, out));
    for (const struct sec_opt *o = sec_global_opts; o->name; o++)
        SEC_TRY(option_line(o, out));
    SEC_TRY(sec_buf_printf(out, "      --help%*sthis text\n", HELP_COLUMN - 12, ""));
    if (cmd->schema) {
        SEC_TRY(sec_buf_adds(out, "\nConfiguration keys (file or --set KEY=VALUE):\n"));
        SEC_TRY(sec_config_help(cmd->schema, out));
    }
fail:
    return rc;
}
