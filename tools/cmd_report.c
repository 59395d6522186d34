/* secenc report: the page of a run. */
#include "base/error.h"
#include "tools/commands.h"
#include "train/report.h"

#include <stdio.h>
#include <stdlib.h>

struct opts {
    char *output;
};

static const struct sec_opt opts[] = {{"output", 'o', SEC_T_STRING, false,
                                       offsetof(struct opts, output), NULL, 0, 0, NULL, "FILE",
                                       "where to write it (default RUN/report.html)"},
                                      {0}};

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    if (n != 1)
        return sec_fail(SEC_EUSAGE,
                        "report takes one run directory, not %d: see secenc report --help", n);
    char *path = o->output[0] ? sec_xstrdup(o->output) : sec_path_join(args[0], "report.html");
    int rc = sec_report_write(args[0], path);
    if (!rc)
        puts(path);
    free(path);
    return rc;
}

const struct sec_command sec_cmd_report = {
    .name = "report",
    .synopsis = "RUN [-o FILE]",
    .summary = "write a run's curves and tables as one HTML page",
    .opts = opts,
    .values_size = sizeof(struct opts),
    .run = run,
};
