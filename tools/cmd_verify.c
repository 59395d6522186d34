/* secenc verify: are two models the same? */
#include "base/error.h"
#include "base/json.h"
#include "model/compare.h"
#include "tools/commands.h"

#include <stdio.h>

struct options {
    bool json, all;
};

static const struct sec_opt options[] = {
    {"json", 0, SEC_T_BOOL, false, offsetof(struct options, json), NULL, 0, 0, NULL, NULL,
     "machine-readable result"},
    {"all", 'a', SEC_T_BOOL, false, offsetof(struct options, all), NULL, 0, 0, NULL, NULL,
     "list equal tensors too"},
    {0}};

static bool differs(const struct sec_tensor_diff *t)
{
    return t->only_in || t->n_diff;
}

static void print_text(const struct sec_model_diff *d, bool all)
{
    for (size_t i = 0; i < d->n; i++) {
        const struct sec_tensor_diff *t = &d->v[i];
        if (t->only_in)
            printf("%-70s only in %s, or of another shape\n", t->name, d->dir[t->only_in - 1]);
        else if (t->n_diff)
            printf("%-70s %lld of %lld values differ, at most by %.3g\n", t->name,
                   (long long)t->n_diff, (long long)t->n, t->max_abs);
        else if (all)
            printf("%-70s equal\n", t->name);
    }
    if (!d->n_diff)
        printf("equal, bit for bit: %zu tensors\n", d->n);
}

static int print_json(const struct sec_model_diff *d, bool all)
{
    struct sec_buf text = {0};
    struct sec_jw w;
    sec_jw_init(&w, &text, true);
    sec_jw_obj(&w);
    sec_jw_kbool(&w, "equal", !d->n_diff);
    sec_jw_ki64(&w, "tensors", (int64_t)d->n);
    sec_jw_ki64(&w, "different", (int64_t)d->n_diff);
    sec_jw_key(&w, "list");
    sec_jw_arr(&w);
    for (size_t i = 0; i < d->n; i++) {
        const struct sec_tensor_diff *t = &d->v[i];
        if (!all && !differs(t))
            continue;
        sec_jw_obj(&w);
        sec_jw_kstr(&w, "name", t->name);
        if (t->only_in)
            sec_jw_kstr(&w, "only_in", d->dir[t->only_in - 1]);
        sec_jw_ki64(&w, "values", t->n);
        sec_jw_ki64(&w, "differ", t->n_diff);
        sec_jw_kf64(&w, "max_abs", t->max_abs);
        sec_jw_obj_end(&w);
    }
    sec_jw_arr_end(&w);
    sec_jw_obj_end(&w);
    return sec_jw_print(&w);
}

static int run(const void *opts, char **args, int n)
{
    const struct options *o = opts;
    struct sec_model_diff d;
    if (n != 2)
        return sec_fail(SEC_EUSAGE, "usage: secenc verify A B");
    int rc = sec_model_compare(args[0], args[1], &d);
    if (rc)
        return rc;
    if (o->json)
        rc = print_json(&d, o->all);
    else
        print_text(&d, o->all);
    if (!rc && d.n_diff)
        rc = sec_fail(SEC_EFAIL, "%s and %s differ in %zu of %zu tensors", args[0], args[1],
                      d.n_diff, d.n);
    sec_model_diff_free(&d);
    return rc;
}

const struct sec_command sec_cmd_verify = {
    .name = "verify",
    .synopsis = "A B [options]",
    .summary = "compare two models tensor by tensor",
    .details =
        "A and B are run directories, checkpoints or exported folders. Checksums are verified "
        "on the way; two checkpoints are compared with their optimiser state. Exit code 0: "
        "equal bit for bit; 1: different.",
    .opts = options,
    .values_size = sizeof(struct options),
    .run = run,
};
