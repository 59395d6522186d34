#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/str.h"
#include "data/synth.h"

#include <stdio.h>
#include <stdlib.h>

struct synth_values {
    char *out, *formats;
    uint64_t size;
    int64_t lines, seed, days, people, hosts, incidents;
    bool force, json;
};

#define FIELD(f) offsetof(struct synth_values, f)
static const struct sec_opt options[] = {
    {.name = "output",
     .letter = 'o',
     .type = SEC_T_STRING,
     .offset = FIELD(out),
     .metavar = "DIR",
     .help = "directory to fill"},
    {.name = "size",
     .type = SEC_T_SIZE,
     .offset = FIELD(size),
     .dflt = "64M",
     .min = 1,
     .max = 1e15,
     .metavar = "BYTES",
     .help = "size of all log files together"},
    {.name = "lines",
     .type = SEC_T_INT,
     .offset = FIELD(lines),
     .dflt = "0",
     .min = 0,
     .max = 1e13,
     .metavar = "N",
     .help = "lines of all log files together, instead of --size"},
    {.name = "seed",
     .type = SEC_T_INT,
     .offset = FIELD(seed),
     .dflt = "1",
     .min = 0,
     .max = 9e18,
     .metavar = "N",
     .help = "same seed and options, same bytes"},
    {.name = "days",
     .type = SEC_T_INT,
     .offset = FIELD(days),
     .dflt = "0",
     .min = 0,
     .max = 3650,
     .metavar = "N",
     .help = "days from Monday, 3 March 2025; 0 = by size, at most 14"},
    {.name = "formats",
     .type = SEC_T_STRING,
     .offset = FIELD(formats),
     .dflt = "all",
     .metavar = "LIST",
     .help = "comma-separated formats, or all"},
    {.name = "people",
     .type = SEC_T_INT,
     .offset = FIELD(people),
     .dflt = "0",
     .min = 0,
     .max = 50000,
     .metavar = "N",
     .help = "people with accounts; 0 = by size"},
    {.name = "hosts",
     .type = SEC_T_INT,
     .offset = FIELD(hosts),
     .dflt = "0",
     .min = 0,
     .max = 3000,
     .metavar = "N",
     .help = "servers; 0 = by people"},
    {.name = "incidents",
     .type = SEC_T_INT,
     .offset = FIELD(incidents),
     .dflt = "-1",
     .min = -1,
     .max = 100000,
     .metavar = "N",
     .help = "planted incidents; -1 = by size, at least 6"},
    {.name = "force",
     .type = SEC_T_BOOL,
     .offset = FIELD(force),
     .help = "write into a directory that is not empty"},
    {.name = "json",
     .type = SEC_T_BOOL,
     .offset = FIELD(json),
     .help = "summary as JSON on stdout"},
    {0}};

static int print_json(const struct sec_synth_report *r, const struct synth_values *v)
{
    struct sec_buf b = {0};
    struct sec_jw w;
    sec_jw_init(&w, &b, true);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "directory", v->out);
    sec_jw_ki64(&w, "seed", v->seed);
    sec_jw_ki64(&w, "bytes", (int64_t)r->bytes);
    sec_jw_ki64(&w, "lines", (int64_t)r->lines);
    sec_jw_ki64(&w, "labelled_lines", (int64_t)r->labelled);
    sec_jw_ki64(&w, "incidents", (int64_t)r->incidents);
    sec_jw_ki64(&w, "days", r->days);
    sec_jw_ki64(&w, "people", r->people);
    sec_jw_ki64(&w, "hosts", r->hosts);
    sec_jw_kf64(&w, "seconds", r->seconds);
    sec_jw_kf64(&w, "megabytes_per_second", (double)r->bytes / 1e6 / r->seconds);
    sec_jw_key(&w, "files");
    sec_jw_arr(&w);
    for (int f = 0; f < SEC_SYNTH_FORMATS; f++) {
        if (!r->file[f].on)
            continue;
        sec_jw_obj(&w);
        sec_jw_kstr(&w, "format", r->file[f].format);
        sec_jw_kstr(&w, "file", r->file[f].name);
        sec_jw_ki64(&w, "bytes", (int64_t)r->file[f].bytes);
        sec_jw_ki64(&w, "lines", (int64_t)r->file[f].lines);
        sec_jw_ki64(&w, "labelled_lines", (int64_t)r->file[f].labelled);
        sec_jw_obj_end(&w);
    }
    sec_jw_arr_end(&w);
    sec_jw_obj_end(&w);
    return sec_jw_print(&w);
}

static int run(const void *values, char **args, int n)
{
    const struct synth_values *v = values;
    struct sec_synth_report report;
    char bytes[32], lines[32], time[32], speed[32];
    if (n)
        return sec_fail(SEC_EUSAGE, "unexpected argument '%s': synth takes options only", args[0]);
    if (!v->out || !*v->out)
        return sec_fail(SEC_EUSAGE, "say where to write: -o DIR");
    struct sec_synth_options o = {.dir = v->out,
                                  .size = v->lines ? 0 : v->size,
                                  .lines = (uint64_t)v->lines,
                                  .seed = (uint64_t)v->seed,
                                  .days = (uint32_t)v->days,
                                  .people = (uint32_t)v->people,
                                  .hosts = (uint32_t)v->hosts,
                                  .incidents = v->incidents,
                                  .formats = v->formats,
                                  .force = v->force};
    int rc = sec_synth_run(&o, &report);
    if (rc)
        return rc;
    sec_info("synth: %s in %s lines, %llu incidents on %llu labelled lines, %s, %s/s: %s",
             sec_human_bytes((double)report.bytes, bytes),
             sec_human_count((double)report.lines, lines), (unsigned long long)report.incidents,
             (unsigned long long)report.labelled, sec_human_seconds(report.seconds, time),
             sec_human_bytes((double)report.bytes / report.seconds, speed), v->out);
    return v->json ? print_json(&report, v) : 0;
}

const struct sec_command sec_cmd_synth = {
    .name = "synth",
    .synopsis = "-o DIR [--size 64M | --lines N] [--seed N] [options]",
    .summary =
        "generate realistic security logs of many sources with planted incidents and known labels",
    .details =
        "One made-up organisation seen by 18 kinds of log: sshd, sudo, auditd, windows-security, "
        "sysmon, nginx, apache, zeek-conn, zeek-dns, cisco-asa, iptables, cloudtrail, "
        "entra-signin, "
        "kubernetes-audit, bind-query, postfix, openvpn, squid.\n\n"
        "DIR gets one file a format in time order, labels.jsonl (file, line, incident, technique, "
        "tactic and actor of every line that belongs to a planted incident) and incidents.jsonl.",
    .opts = options,
    .values_size = sizeof(struct synth_values),
    .run = run,
};
