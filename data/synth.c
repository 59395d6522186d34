#include "data/synth.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "data/synth_incidents.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

_Static_assert(SYNTH_FILES == SEC_SYNTH_FORMATS, "one file a format");

/* Bytes a slice aims at: big enough that its sessions repeat, small enough to stay near the cache.
 */
#define SLICE_BYTES (UINT64_C(2) << 20)
#define LINE_BYTES  450 /* an average line, to turn --lines into sizes */

static const struct {
    const char *format, *name, *header;
} file_table[SYNTH_FILES] = {
    [SYNTH_F_SSHD] = {"sshd", "auth.log", ""},
    [SYNTH_F_SUDO] = {"sudo", "sudo.log", ""},
    [SYNTH_F_AUDITD] = {"auditd", "audit.log", ""},
    [SYNTH_F_WINSEC] = {"windows-security", "windows-security.jsonl", ""},
    [SYNTH_F_SYSMON] = {"sysmon", "windows-sysmon.jsonl", ""},
    [SYNTH_F_NGINX] = {"nginx", "nginx-access.log", ""},
    [SYNTH_F_APACHE] = {"apache", "apache-access.log", ""},
    [SYNTH_F_ZEEK_CONN] = {"zeek-conn", "zeek-conn.log",
                           "#separator "
                           "\\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#"
                           "path\tconn\n#fields\tts\tuid\tid.orig_h"
                           "\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_"
                           "bytes\tresp_bytes\tconn_state\tlocal_orig"
                           "\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_"
                           "pkts\tresp_ip_bytes\ttunnel_parents\tip_proto\n"
                           "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tc"
                           "ount\tcount\tstring\tbool\tbool\tcount\tstring"
                           "\tcount\tcount\tcount\tcount\tset[string]\tcount\n"},
    [SYNTH_F_ZEEK_DNS] = {"zeek-dns", "zeek-dns.log",
                          "#separator "
                          "\\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#"
                          "path\tdns\n#fields\tts\tuid\tid.orig_h"
                          "\tid.orig_p\tid.resp_h\tid.resp_p\tproto\ttrans_"
                          "id\trtt\tquery\tqclass\tqclass_name\tqtype\tqtype_name\trcode"
                          "\trcode_name\tAA\tTC\tRD\tRA\tZ\tanswers\tTTLs\trejected\n#"
                          "types\ttime\tstring\taddr\tport\taddr\tport\tenum\tcount"
                          "\tinterval\tstring\tcount\tstring\tcount\tstring\tcount\tstring\tbool\tb"
                          "ool\tbool\tbool\tcount\tvector[string]"
                          "\tvector[interval]\tbool\n"},
    [SYNTH_F_ASA] = {"cisco-asa", "cisco-asa.log", ""},
    [SYNTH_F_IPTABLES] = {"iptables", "iptables.log", ""},
    [SYNTH_F_CLOUDTRAIL] = {"cloudtrail", "aws-cloudtrail.jsonl", ""},
    [SYNTH_F_ENTRA] = {"entra-signin", "entra-signin.jsonl", ""},
    [SYNTH_F_KUBE] = {"kubernetes-audit", "kubernetes-audit.jsonl", ""},
    [SYNTH_F_NAMED] = {"bind-query", "bind-query.log", ""},
    [SYNTH_F_POSTFIX] = {"postfix", "postfix.log", ""},
    [SYNTH_F_OPENVPN] = {"openvpn", "openvpn.log", ""},
    [SYNTH_F_SQUID] = {"squid", "squid-access.log", ""},
};

const char *sec_synth_format(unsigned i, const char **file_name)
{
    if (i >= SYNTH_FILES)
        return NULL;
    if (file_name)
        *file_name = file_table[i].name;
    return file_table[i].format;
}

struct run {
    const struct sec_synth_options *o;
    struct sec_synth_report *report;
    struct synth_world world;
    struct synth_mix mix;
    struct synth_plan plan;
    uint32_t formats, days;
    uint64_t total;  /* bytes or lines */
    uint64_t filler; /* of these not taken up by incidents */
    bool by_lines;
    double presence;
    uint64_t *first_slice; /* [days + 1] */
    uint64_t *rate_before; /* [days + 1] activity of all days before */
    struct synth_day *day; /* [days], made when first needed */
    uint32_t day_kept;     /* days before this one are gone */
    struct synth_slice *slice;
    size_t slices; /* in one round */
    uint64_t round_first;
    struct sec_atomic out[SYNTH_FILES], labels, incidents;
    struct sec_buf text;
    double started;
};

/* --- what to make --- */

static int parse_formats(const char *list, uint32_t *formats)
{
    const char *names[SYNTH_FILES];
    for (int f = 0; f < SYNTH_FILES; f++)
        names[f] = file_table[f].format;
    *formats = 0;
    if (!list || !*list || !strcmp(list, "all")) {
        *formats = (UINT32_C(1) << SYNTH_FILES) - 1;
        return 0;
    }
    while (*list) {
        size_t n = strcspn(list, ",");
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)(n < 31 ? n : 31), list);
        int f = 0;
        while (f < SYNTH_FILES && strcmp(word, names[f]))
            f++;
        if (f == SYNTH_FILES) {
            const char *near = sec_nearest(word, names, SYNTH_FILES);
            return sec_fail(
                SEC_EUSAGE,
                "--formats: '%s' is unknown%s%s; the formats are sshd, sudo, auditd, "
                "windows-security, sysmon, nginx, apache, zeek-conn, zeek-dns, cisco-asa, "
                "iptables, "
                "cloudtrail, entra-signin, kubernetes-audit, bind-query, postfix, openvpn, squid",
                word, near ? ", did you mean " : "", near ? near : "");
        }
        *formats |= SYNTH_BIT(f);
        list += n + (list[n] == ',');
    }
    return 0;
}

static uint64_t limited(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static int settle(struct run *r, uint32_t *people, uint32_t *hosts, uint32_t *incidents)
{
    const struct sec_synth_options *o = r->o;
    r->by_lines = !o->size;
    r->total = r->by_lines ? o->lines : o->size;
    uint64_t bytes = r->by_lines ? o->lines * LINE_BYTES : o->size;
    if (bytes < 1 << 20)
        return sec_fail(SEC_EUSAGE,
                        "%s %llu is too small for a day of an organisation: give at least %s",
                        r->by_lines ? "--lines" : "--size", (unsigned long long)r->total,
                        r->by_lines ? "2331" : "1M");
    r->days = o->days ? o->days : (uint32_t)limited(bytes / (8 << 20), 1, 14);
    *people = o->people ? o->people : (uint32_t)limited(bytes / r->days / (200 << 10), 12, 20000);
    *hosts = o->hosts ? o->hosts : 16 + *people / 4;
    uint64_t usual = limited(bytes >> 21, bytes < 4 << 20 ? SYNTH_INCIDENT_KINDS : 12, 600);
    *incidents = o->incidents < 0 ? (uint32_t)usual : (uint32_t)o->incidents;
    if (*hosts < SYNTH_DUTIES - 1)
        return sec_fail(SEC_EUSAGE, "--hosts %u is too few: give at least %d, one a kind of server",
                        *hosts, SYNTH_DUTIES - 1);
    return 0;
}

/* The chance that somebody works on a day: below 1 when log-ins alone would fill the size. */
static double presence(const struct run *r, uint32_t people)
{
    const double start_bytes = 16e3;
    double bytes = (double)r->total * (r->by_lines ? LINE_BYTES : 1) / r->days;
    double wanted = 0.35 * bytes / (start_bytes * people);
    return wanted < 1 ? wanted : 1;
}

static uint64_t day_rate(uint32_t day)
{
    uint64_t sum = 0;
    for (uint32_t h = 0; h < 24; h++)
        sum += synth_human_rate(day, h) + synth_machine_rate(h);
    return sum;
}

/* Play all incidents once to nowhere, so that the rest of the output can make room for them. */
static int weigh_incidents(struct run *r)
{
    struct synth_slice s = {
        .world = &r->world, .t1 = SYNTH_DAY, .by_lines = r->by_lines, .formats = r->formats};
    struct synth_day day = {0};
    uint64_t used = 0;
    int rc = 0;
    for (uint32_t d = 0; d < r->days && r->plan.beats; d++) {
        synth_day_free(&day);
        synth_slice_clear(&s);
        SEC_TRY(synth_day_make(&r->world, d, 0, &day));
        s.day = &day;
        s.rng = synth_rng_make(r->o->seed, d, 4);
        SEC_TRY(synth_plan_play(&r->plan, d, &s));
        used += s.used;
    }
    r->filler = r->total - limited(used, 0, r->total);
    if (r->filler < r->total / 4)
        rc = sec_fail(SEC_EUSAGE,
                      "%u incidents do not fit: they take %llu of %llu %s; give a larger size or "
                      "fewer --incidents",
                      r->plan.incidents, (unsigned long long)used, (unsigned long long)r->total,
                      r->by_lines ? "lines" : "bytes");
fail:
    synth_day_free(&day);
    synth_slice_free(&s);
    return rc;
}

static int lay_out(struct run *r)
{
    r->first_slice = calloc(r->days + 1, sizeof *r->first_slice);
    r->rate_before = calloc(r->days + 1, sizeof *r->rate_before);
    r->day = calloc(r->days, sizeof *r->day);
    if (!r->first_slice || !r->rate_before || !r->day)
        return sec_fail(SEC_ENOMEM, "no memory for %u days", r->days);
    for (uint32_t d = 0; d < r->days; d++)
        r->rate_before[d + 1] = r->rate_before[d] + day_rate(d);
    double all = (double)r->rate_before[r->days];
    double slice = r->by_lines ? (double)SLICE_BYTES / LINE_BYTES : (double)SLICE_BYTES;
    for (uint32_t d = 0; d < r->days; d++) {
        double share = (double)(r->rate_before[d + 1] - r->rate_before[d]) / all;
        uint64_t n = (uint64_t)((double)r->total * share / slice);
        uint64_t least = (uint64_t)((double)r->total * share / slice * 64);
        least = limited(least, 1, 24); /* small days: about an hour, but at least 1/64 of a slice */
        r->first_slice[d + 1] = r->first_slice[d] + (n < least ? least : n);
    }
    return 0;
}

/* Time of the day by which the fraction k/n of the day's activity is over. */
static int64_t time_at(uint32_t day, uint64_t k, uint64_t n)
{
    double want = (double)day_rate(day) * (double)k / (double)n;
    for (uint32_t h = 0; h < 24; h++) {
        double rate = synth_human_rate(day, h) + synth_machine_rate(h);
        if (want < rate)
            return (int64_t)h * SYNTH_HOUR + (int64_t)(want / rate * (double)SYNTH_HOUR);
        want -= rate;
    }
    return SYNTH_DAY;
}

/* --- slices --- */

static uint32_t day_of(const struct run *r, uint64_t slice)
{
    uint32_t low = 0, high = r->days;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (r->first_slice[mid] <= slice)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static uint64_t amount_until(const struct run *r, uint32_t day, uint64_t k, uint64_t n)
{
    double rate = (double)(r->rate_before[day + 1] - r->rate_before[day]) * (double)k / (double)n;
    return (uint64_t)((double)r->filler *
                      (((double)r->rate_before[day] + rate) / (double)r->rate_before[r->days]));
}

static int make_slice(void *ctx, size_t index)
{
    struct run *r = ctx;
    struct synth_slice *s = &r->slice[index];
    uint64_t number = r->round_first + index;
    uint32_t day = day_of(r, number);
    uint64_t k = number - r->first_slice[day], n = r->first_slice[day + 1] - r->first_slice[day];
    int rc;
    synth_slice_clear(s);
    s->world = &r->world;
    s->day = &r->day[day];
    s->rng = synth_rng_make(r->o->seed, number, 0);
    s->t0 = time_at(day, k, n);
    s->t1 = time_at(day, k + 1, n);
    s->by_lines = r->by_lines;
    s->formats = r->formats;
    SEC_TRY(synth_plan_play(&r->plan, day, s));
    s->budget = s->used + amount_until(r, day, k + 1, n) - amount_until(r, day, k, n);
    SEC_TRY(synth_slice_fill(s, &r->mix));
    SEC_TRY(synth_slice_sort(s));
fail:
    return rc;
}

static int write_file(void *ctx, size_t f)
{
    struct run *r = ctx;
    int rc = 0;
    for (size_t i = 0; i < r->slices && !rc; i++)
        if (r->slice[i].out[f].len)
            rc = sec_atomic_write(&r->out[f], r->slice[i].out[f].data, r->slice[i].out[f].len);
    return rc;
}

static void put_label(struct sec_buf *b, const struct run *r, int f, uint64_t line,
                      const struct synth_ref *ref)
{
    const struct synth_beat *beat = &r->plan.beat[ref->beat - 1];
    const struct synth_incident *i = &r->plan.incident[beat->incident];
    const struct synth_technique *technique = &synth_techniques[beat->technique];
    sec_buf_printf(b,
                   "{\"file\":\"%s\",\"line\":%llu,\"incident\":\"INC-%04u\",\"technique\":\"%s\","
                   "\"tactic\":\"%s\","
                   "\"kind\":\"%s\",\"actor\":\"%s\"}\n",
                   file_table[f].name, (unsigned long long)line, i->number, technique->id,
                   technique->tactic, i->kind, i->actors.text[__builtin_ctz(ref->actors)]);
}

static void count_label(struct run *r, const struct synth_day *day, int f,
                        const struct synth_ref *ref)
{
    const struct synth_beat *beat = &r->plan.beat[ref->beat - 1];
    struct synth_incident *i = &r->plan.incident[beat->incident];
    int64_t when = day->date.epoch * SYNTH_SECOND + (int64_t)ref->time;
    if (!i->lines || when < i->first)
        i->first = when;
    if (!i->lines || when > i->last)
        i->last = when;
    i->lines++;
    i->files |= SYNTH_BIT(f);
    i->actors_seen |= ref->actors;
    i->techniques |= UINT64_C(1) << beat->technique;
}

/* Count the round's lines and write its labels: by slice, file, line. */
static int account(struct run *r)
{
    sec_buf_clear(&r->text);
    for (size_t i = 0; i < r->slices; i++)
        for (int f = 0; f < SYNTH_FILES; f++) {
            const struct synth_out *o = &r->slice[i].out[f];
            struct sec_synth_file *file = &r->report->file[f];
            for (size_t k = 0; o->labelled && k < o->lines; k++)
                if (o->ref[k].beat) {
                    put_label(&r->text, r, f, file->lines + k + 1, &o->ref[k]);
                    count_label(r, r->slice[i].day, f, &o->ref[k]);
                }
            file->lines += o->lines;
            file->bytes += o->len;
            file->labelled += o->labelled;
        }
    return r->text.len ? sec_atomic_write(&r->labels, r->text.data, r->text.len) : 0;
}

static int prepare_days(struct run *r, uint32_t first, uint32_t last)
{
    for (; r->day_kept < first; r->day_kept++)
        synth_day_free(&r->day[r->day_kept]);
    for (uint32_t d = first; d <= last; d++)
        if (!r->day[d].session) {
            int rc = synth_day_make(&r->world, d, r->presence, &r->day[d]);
            if (rc)
                return rc;
        }
    return 0;
}

static void show_progress(const struct run *r, uint64_t done, uint64_t all)
{
    char size[32], speed[32], left[32];
    double seconds = sec_now() - r->started, bytes = 0;
    if (!sec_progress_due())
        return;
    for (int f = 0; f < SYNTH_FILES; f++)
        bytes += (double)r->report->file[f].bytes;
    sec_progress(
        "synth: %s, %.0f %%, %s/s, %s left", sec_human_bytes(bytes, size),
        100.0 * (double)done / (double)all,
        sec_human_bytes(bytes / (seconds > 0.001 ? seconds : 0.001), speed),
        sec_human_seconds(seconds * (double)(all - done) / (double)(done ? done : 1), left));
}

static int generate(struct run *r)
{
    uint64_t all = r->first_slice[r->days];
    int threads = r->o->threads ? r->o->threads : sec_threads(), rc = 0;
    size_t most = (size_t)threads * 2;
    r->slice = calloc(most, sizeof *r->slice);
    if (!r->slice)
        return sec_fail(SEC_ENOMEM, "no memory for %zu slices", most);
    for (r->round_first = 0; r->round_first < all; r->round_first += r->slices) {
        uint64_t rest = all - r->round_first;
        r->slices = rest < most ? (size_t)rest : most;
        SEC_TRY(
            prepare_days(r, day_of(r, r->round_first), day_of(r, r->round_first + r->slices - 1)));
        SEC_TRY(sec_parallel_for(r->slices, threads, make_slice, r));
        SEC_TRY(account(r));
        SEC_TRY(sec_parallel_for(SYNTH_FILES, threads, write_file, r));
        show_progress(r, r->round_first + r->slices, all);
    }
fail:
    for (size_t i = 0; i < most; i++)
        synth_slice_free(&r->slice[i]);
    free(r->slice);
    return rc;
}

/* --- files --- */

static int check_dir(const struct sec_synth_options *o)
{
    struct sec_list list = {0};
    int rc;
    SEC_TRY(sec_mkdir_p(o->dir));
    SEC_TRY(sec_list_dir(o->dir, &list));
    if (list.n && !o->force)
        rc = sec_fail(SEC_EUSAGE,
                      "%s is not empty (%zu entries): choose another directory, or give --force to "
                      "write into it",
                      o->dir, list.n);
fail:
    sec_list_free(&list);
    return rc;
}

static int open_in(struct sec_atomic *a, const char *dir, const char *name)
{
    char *path = sec_path_join(dir, name);
    if (!path)
        return sec_fail(SEC_ENOMEM, "no memory for a path");
    int rc = sec_atomic_open(a, path);
    free(path);
    return rc;
}

static int open_files(struct run *r)
{
    int rc;
    for (int f = 0; f < SYNTH_FILES; f++) {
        struct sec_synth_file *file = &r->report->file[f];
        const char *header = file_table[f].header;
        *file = (struct sec_synth_file){.format = file_table[f].format, .name = file_table[f].name};
        file->on = r->formats >> f & 1;
        if (!file->on)
            continue;
        SEC_TRY(open_in(&r->out[f], r->o->dir, file->name));
        SEC_TRY(sec_atomic_write(&r->out[f], header, strlen(header)));
        for (const char *p = header; *p; p++)
            file->lines += *p == '\n';
        file->bytes = strlen(header);
    }
    SEC_TRY(open_in(&r->labels, r->o->dir, "labels.jsonl"));
    SEC_TRY(open_in(&r->incidents, r->o->dir, "incidents.jsonl"));
fail:
    return rc;
}

static void put_instant(struct sec_jw *w, const char *key, int64_t us)
{
    char text[32];
    time_t t = (time_t)(us / SYNTH_SECOND);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    sec_jw_kstr(w, key, text);
}

static int put_incident(struct sec_buf *b, const struct synth_incident *i)
{
    struct sec_jw w;
    char id[16];
    int rc;
    snprintf(id, sizeof id, "INC-%04u", i->number);
    sec_jw_init(&w, b, false);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "id", id);
    sec_jw_kstr(&w, "kind", i->kind);
    put_instant(&w, "start", i->first);
    put_instant(&w, "end", i->last);
    sec_jw_key(&w, "actors");
    sec_jw_obj(&w);
    for (int k = 0; k < SYNTH_ACTORS && i->actors.name[k]; k++)
        if (i->actors_seen >> k & 1)
            sec_jw_kstr(&w, i->actors.name[k], i->actors.text[k]);
    sec_jw_obj_end(&w);
    sec_jw_key(&w, "techniques");
    sec_jw_arr(&w);
    for (int k = 0; k < 64; k++)
        if (i->techniques >> k & 1)
            sec_jw_str(&w, synth_techniques[k].id);
    sec_jw_arr_end(&w);
    sec_jw_key(&w, "files");
    sec_jw_arr(&w);
    for (int f = 0; f < SYNTH_FILES; f++)
        if (i->files >> f & 1)
            sec_jw_str(&w, file_table[f].name);
    sec_jw_arr_end(&w);
    sec_jw_ki64(&w, "lines", (int64_t)i->lines);
    sec_jw_obj_end(&w);
    rc = sec_jw_end(&w);
    return rc ? rc : sec_buf_addc(b, '\n');
}

static int write_incidents(struct run *r)
{
    int rc = 0;
    sec_buf_clear(&r->text);
    for (uint32_t k = 0; k < r->plan.incidents; k++)
        if (r->plan.incident[k].lines) { /* its formats may all be off */
            SEC_TRY(put_incident(&r->text, &r->plan.incident[k]));
            r->report->incidents++;
        }
    if (r->text.len)
        rc = sec_atomic_write(&r->incidents, r->text.data, r->text.len);
fail:
    return rc;
}

/* Rename everything; then remove what an earlier run with other formats left under our names. */
static int commit(struct run *r)
{
    int rc;
    for (int f = 0; f < SYNTH_FILES; f++)
        if (r->formats >> f & 1)
            SEC_TRY(sec_atomic_commit(&r->out[f]));
    SEC_TRY(sec_atomic_commit(&r->labels));
    SEC_TRY(sec_atomic_commit(&r->incidents));
    for (int f = 0; f < SYNTH_FILES; f++)
        if (!(r->formats >> f & 1)) {
            char *path = sec_path_join(r->o->dir, file_table[f].name);
            if (path)
                remove(path);
            free(path);
        }
fail:
    return rc;
}

static void sum_up(struct run *r)
{
    struct sec_synth_report *p = r->report;
    for (int f = 0; f < SYNTH_FILES; f++) {
        p->bytes += p->file[f].bytes;
        p->lines += p->file[f].lines;
        p->labelled += p->file[f].labelled;
    }
    p->days = r->days;
    p->people = r->world.people;
    p->hosts = r->world.hosts;
    p->seconds = sec_now() - r->started;
}

int sec_synth_run(const struct sec_synth_options *o, struct sec_synth_report *report)
{
    struct run *r = calloc(1, sizeof *r);
    uint32_t people = 0, hosts = 0, incidents = 0;
    int rc;
    if (!r)
        return sec_fail(SEC_ENOMEM, "no memory for the generator");
    *report = (struct sec_synth_report){0};
    *r = (struct run){.o = o, .report = report, .started = sec_now()};
    SEC_TRY(parse_formats(o->formats, &r->formats));
    SEC_TRY(settle(r, &people, &hosts, &incidents));
    r->presence = presence(r, people);
    SEC_TRY(synth_world_make(&r->world, o->seed, people, hosts));
    SEC_TRY(synth_plan_make(&r->plan, &r->world, incidents, r->days));
    synth_mix_make(&r->mix, r->formats);
    SEC_TRY(weigh_incidents(r));
    SEC_TRY(check_dir(o));
    SEC_TRY(lay_out(r));
    SEC_TRY(open_files(r));
    SEC_TRY(generate(r));
    SEC_TRY(write_incidents(r));
    SEC_TRY(commit(r));
    sum_up(r);
fail:
    sec_progress_done();
    for (int f = 0; f < SYNTH_FILES; f++)
        sec_atomic_abort(&r->out[f]);
    sec_atomic_abort(&r->labels);
    sec_atomic_abort(&r->incidents);
    for (uint32_t d = 0; r->day && d < r->days; d++)
        synth_day_free(&r->day[d]);
    free(r->day);
    free(r->first_slice);
    free(r->rate_before);
    synth_plan_free(&r->plan);
    synth_world_free(&r->world);
    sec_buf_free(&r->text);
    free(r);
    return rc;
}
