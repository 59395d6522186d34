/* secenc pretrain: options and configuration to train/trainer.h. */
#include "base/error.h"
#include "base/str.h"
#include "tools/commands.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    char *config, *data, *run, *resume, *device;
    struct sec_list set;
    bool recompute, dry_run, json;
};

static const struct sec_opt opts[] = {
    {"config", 'c', SEC_T_STRING, false, offsetof(struct opts, config), NULL, 0, 0, NULL, "FILE",
     "configuration, YAML; see configs/"},
    {"data", 'd', SEC_T_STRING, false, offsetof(struct opts, data), NULL, 0, 0, NULL, "DIR",
     "token data set made by `corpus tokenize`"},
    {"run", 'r', SEC_T_STRING, false, offsetof(struct opts, run), NULL, 0, 0, NULL, "DIR",
     "run directory: configuration, metrics, checkpoints, report"},
    {"set", 0, SEC_T_STRING, true, offsetof(struct opts, set), NULL, 0, 0, NULL, "KEY=VALUE",
     "override one key of the configuration"},
    SEC_OPT_DEVICE(struct opts, NULL),
    {"resume", 0, SEC_T_STRING, false, offsetof(struct opts, resume), "auto", 0, 0, NULL,
     "auto|none|DIR", "auto: newest whole checkpoint of the run if there is one; or a checkpoint"},
    {"recompute", 0, SEC_T_BOOL, false, offsetof(struct opts, recompute), NULL, 0, 0, NULL, NULL,
     "less memory for a third more work: the same as --set train.recompute=true"},
    {"dry-run", 'n', SEC_T_BOOL, false, offsetof(struct opts, dry_run), NULL, 0, 0, NULL, NULL,
     "print parameters, memory, disk, speed and time, and do nothing; without --data the memory of "
     "every model size as well"},
    {"json", 0, SEC_T_BOOL, false, offsetof(struct opts, json), NULL, 0, 0, NULL, NULL,
     "with --dry-run: machine-readable"},
    {0}};

/* SECENC_TRAIN_STEPS=... for train.steps: between the file and --device, --set. */
static int apply_environment(struct sec_train_config *c)
{
    char name[128];
    for (const struct sec_key *k = sec_train_schema; k->name; k++) {
        snprintf(name, sizeof name, "SECENC_%s", k->name);
        for (char *p = name; *p; p++)
            *p = *p == '.' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
        const char *v = getenv(name);
        int rc = v ? sec_config_set(sec_train_schema, c, k->name, v, name) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static int configure(const struct opts *o, struct sec_train_config *c)
{
    int rc;
    SEC_TRY(sec_config_defaults(sec_train_schema, c));
    if (o->config[0])
        SEC_TRY(sec_config_load(sec_train_schema, c, o->config));
    SEC_TRY(apply_environment(c));
    if (o->device[0])
        SEC_TRY(sec_config_set(sec_train_schema, c, "train.device", o->device, "--device"));
    for (size_t i = 0; i < o->set.n; i++)
        SEC_TRY(sec_config_set_pair(sec_train_schema, c, o->set.v[i]));
fail:
    return rc;
}

static int run(const void *values, char **args, int n)
{
    const struct opts *o = values;
    struct sec_train_config c = {0};
    struct sec_pretrain_args a = {.data_dir = o->data, .run_dir = o->run, .resume = o->resume};
    int rc;
    if (n) {
        rc = sec_fail(SEC_EUSAGE, "pretrain takes no argument '%s': see secenc pretrain --help",
                      args[0]);
        goto fail;
    }
    if (!o->dry_run && (!o->data[0] || !o->run[0])) {
        rc = sec_fail(SEC_EUSAGE, "pretrain needs --%s DIR: see secenc pretrain --help",
                      o->data[0] ? "run" : "data");
        goto fail;
    }
    SEC_TRY(configure(o, &c));
    c.recompute |= o->recompute;
    rc = o->dry_run ? sec_pretrain_plan(&c, &a, o->json) : sec_pretrain(&c, &a);
fail:
    sec_config_free(sec_train_schema, &c);
    return rc;
}

const struct sec_command sec_cmd_pretrain = {
    .name = "pretrain",
    .synopsis = "--config FILE --data DIR --run DIR [--set KEY=VALUE]...",
    .summary = "train an encoder with the masked-language-model loss",
    .details =
        "Runs until train.steps. The same command goes on after an interruption (Ctrl-C saves "
        "first); the resumed run gives the same weights, bit for bit. Stops with exit code 130 "
        "on Ctrl-C, 75 on SIGUSR1 (saved: run again), 5 when the gradient stays non-finite.",
    .opts = opts,
    .values_size = sizeof(struct opts),
    .schema = sec_train_schema,
    .run = run,
};
