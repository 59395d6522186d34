#include "data/split.h"

#include "base/error.h"
#include "base/rng.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static int parse_odts(char *globs, struct sec_split_options *out)
{
    char *save;
    for (char *g = strtok_r(globs, ":", &save); g; g = strtok_r(NULL, ":", &save)) {
        int rc = sec_list_add(&out->odts, g);
        if (rc)
            return rc;
    }
    return out->odts.n ? 0 : sec_fail(SEC_EUSAGE, "--split odts= names no source");
}

int sec_split_parse(const char *spec, struct sec_split_options *out)
{
    int rc = 0;
    char *save, *copy = strdup(spec);
    memset(out, 0, sizeof *out);
    if (!copy)
        return sec_fail(SEC_ENOMEM, "out of memory for --split");
    for (char *part = strtok_r(copy, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
        if (!strcmp(part, "none")) {
            continue;
        } else if (sec_starts(part, "idts=")) {
            SEC_TRY(sec_parse_f64(part + 5, &out->idts));
            if (!(out->idts >= 0 && out->idts < 1)) {
                rc = sec_fail(SEC_EUSAGE, "--split idts=%s: a share from 0 to below 1 is needed",
                              part + 5);
                goto fail;
            }
        } else if (sec_starts(part, "odts=")) {
            SEC_TRY(parse_odts(part + 5, out));
        } else {
            rc = sec_fail(SEC_EUSAGE,
                          "--split %s: not understood; write idts=SHARE,odts=GLOB[:GLOB...]", part);
            goto fail;
        }
    }
fail:
    free(copy);
    if (rc)
        sec_split_free(out);
    return rc;
}

void sec_split_free(struct sec_split_options *o)
{
    sec_list_free(&o->odts);
}

bool sec_split_is_odts(const struct sec_split_options *o, const char *source)
{
    for (size_t i = 0; i < o->odts.n; i++)
        if (sec_glob(o->odts.v[i], source))
            return true;
    return false;
}

enum sec_split sec_split_of_cluster(const struct sec_split_options *o, bool odts_source,
                                    uint64_t cluster)
{
    if (odts_source)
        return SEC_SPLIT_ODTS;
    double u = sec_u01(sec_rand64(o->seed, SEC_STREAM_SPLIT, cluster, 0));
    return u < o->idts ? SEC_SPLIT_IDTS : SEC_SPLIT_TRAIN;
}
