#include "data/synth_incidents.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

enum technique {
    T_GUESS,
    T_SPRAY,
    T_VALID,
    T_VALID_CLOUD,
    T_SHELL,
    T_RDP,
    T_SMB,
    T_SSH,
    T_ARCHIVE,
    T_DNS_OUT,
    T_C2_OUT,
    T_WEB_OUT,
    T_CLOUD_DATA,
    T_SUDO,
    T_UAC,
    T_EXPLOIT,
    T_ROLES,
    T_TASK,
    T_CRON,
    T_SERVICE,
    T_LOCAL_USER,
    T_RUN_KEY,
    T_CLOUD_KEY,
    T_BINDING,
    T_SCAN_IP,
    T_SCAN_WORDS,
    T_DISCOVERY
};
const struct synth_technique synth_techniques[] = {
    [T_GUESS] = {"T1110.001", "credential-access"},
    [T_SPRAY] = {"T1110.003", "credential-access"},
    [T_VALID] = {"T1078", "initial-access"},
    [T_VALID_CLOUD] = {"T1078.004", "initial-access"},
    [T_SHELL] = {"T1059.004", "execution"},
    [T_RDP] = {"T1021.001", "lateral-movement"},
    [T_SMB] = {"T1021.002", "lateral-movement"},
    [T_SSH] = {"T1021.004", "lateral-movement"},
    [T_ARCHIVE] = {"T1560.001", "collection"},
    [T_DNS_OUT] = {"T1048.003", "exfiltration"},
    [T_C2_OUT] = {"T1041", "exfiltration"},
    [T_WEB_OUT] = {"T1567.002", "exfiltration"},
    [T_CLOUD_DATA] = {"T1530", "collection"},
    [T_SUDO] = {"T1548.003", "privilege-escalation"},
    [T_UAC] = {"T1548.002", "privilege-escalation"},
    [T_EXPLOIT] = {"T1068", "privilege-escalation"},
    [T_ROLES] = {"T1098.003", "privilege-escalation"},
    [T_TASK] = {"T1053.005", "persistence"},
    [T_CRON] = {"T1053.003", "persistence"},
    [T_SERVICE] = {"T1543.003", "persistence"},
    [T_LOCAL_USER] = {"T1136.001", "persistence"},
    [T_RUN_KEY] = {"T1547.001", "persistence"},
    [T_CLOUD_KEY] = {"T1098.001", "persistence"},
    [T_BINDING] = {"T1098.006", "persistence"},
    [T_SCAN_IP] = {"T1595.001", "reconnaissance"},
    [T_SCAN_WORDS] = {"T1595.003", "reconnaissance"},
    [T_DISCOVERY] = {"T1046", "discovery"},
};

#define MS INT64_C(1000)

/* --- planning --- */

static int add(struct synth_plan *plan, const struct synth_incident *i, int64_t t,
               enum synth_step step, enum technique technique, uint32_t value)
{
    if (plan->beats == plan->beat_cap) {
        size_t cap = plan->beat_cap ? 2 * plan->beat_cap : 1024;
        struct synth_beat *p = realloc(plan->beat, cap * sizeof *p);
        if (!p)
            return sec_fail(SEC_ENOMEM, "no memory for the plan of %u incidents", plan->incidents);
        plan->beat = p;
        plan->beat_cap = cap;
    }
    int64_t last =
        ((int64_t)i->day + 1) * SYNTH_DAY - SYNTH_SECOND; /* an incident stays in its day */
    plan->beat[plan->beats++] = (struct synth_beat){.time = t < last ? t : last,
                                                    .incident = i->number - 1,
                                                    .value = value,
                                                    .step = (uint8_t)step,
                                                    .technique = (uint8_t)technique};
    return 0;
}
#define ADD(...)                                                                                   \
    do {                                                                                           \
        int rc_ = add(plan, i, __VA_ARGS__);                                                       \
        if (rc_)                                                                                   \
            return rc_;                                                                            \
    } while (0)

/* n beats of a step, `gap` milliseconds apart on average; moves *t on. */
static int repeat(struct synth_plan *plan, struct synth_rng *r, const struct synth_incident *i,
                  int64_t *t, uint32_t n, uint32_t gap, enum synth_step step,
                  enum technique technique)
{
    for (uint32_t k = 0; k < n; k++) {
        ADD(*t, step, technique, (uint32_t)(synth_next(r) >> 32));
        *t += synth_range(r, gap / 2, gap * 3 / 2) * MS;
    }
    return 0;
}
#define REPEAT(...)                                                                                \
    do {                                                                                           \
        int rc_ = repeat(plan, r, i, &t, __VA_ARGS__);                                             \
        if (rc_)                                                                                   \
            return rc_;                                                                            \
    } while (0)

static int plan_brute_force(struct synth_plan *plan, struct synth_rng *r, struct synth_incident *i,
                            int64_t t, uint32_t variant)
{
    uint32_t n = synth_range(r, 20, 90);
    switch (variant % 4) {
    case 0:
        REPEAT(n, 1400, S_SSH_GUESS, T_GUESS);
        ADD(t, S_SSH_IN, T_VALID, 0);
        t += 5 * SYNTH_SECOND;
        REPEAT(synth_range(r, 3, 8), 6000, S_COMMAND, T_SHELL);
        ADD(t, S_SSH_OUT, T_VALID, 0);
        break;
    case 1:
        REPEAT(n, 4000, S_SPRAY, T_SPRAY);
        REPEAT(3, 15000, S_SIGN_IN, T_VALID_CLOUD);
        break;
    case 2:
        REPEAT(n / 2 + 5, 5000, S_VPN_GUESS, T_GUESS);
        ADD(t, S_VPN_IN, T_VALID, 0);
        break;
    default:
        REPEAT(n, 1100, S_RDP_GUESS, T_GUESS);
        ADD(t, S_RDP_IN, T_VALID, 0);
    }
    return 0;
}

static int plan_lateral(struct synth_plan *plan, struct synth_rng *r, struct synth_incident *i,
                        int64_t t, uint32_t variant)
{
    REPEAT(synth_range(r, 3, 8), 40000, variant % 2 ? S_RDP : S_SMB, variant % 2 ? T_RDP : T_SMB);
    REPEAT(synth_range(r, 2, 4), 60000, S_SSH_HOP, T_SSH);
    return 0;
}

static int plan_exfiltration(struct synth_plan *plan, struct synth_rng *r, struct synth_incident *i,
                             int64_t t, uint32_t variant)
{
    REPEAT(2, 30000, S_ARCHIVE, T_ARCHIVE);
    switch (variant % 4) {
    case 0:
        REPEAT(synth_range(r, 40, 150), 900, S_DNS_OUT, T_DNS_OUT);
        break;
    case 1:
        REPEAT(synth_range(r, 4, 12), 60000, S_UPLOAD, T_C2_OUT);
        break;
    case 2:
        REPEAT(synth_range(r, 4, 12), 45000, S_WEB_OUT, T_WEB_OUT);
        break;
    default:
        REPEAT(synth_range(r, 30, 90), 1500, S_BUCKET, T_CLOUD_DATA);
        REPEAT(3, 60000, S_UPLOAD, T_C2_OUT);
    }
    return 0;
}

static int plan_escalation(struct synth_plan *plan, struct synth_rng *r, struct synth_incident *i,
                           int64_t t, uint32_t variant)
{
    switch (variant % 3) {
    case 0:
        REPEAT(synth_range(r, 2, 5), 12000, S_SUDO_DENIED, T_SUDO);
        REPEAT(synth_range(r, 1, 3), 20000, S_EXPLOIT, T_EXPLOIT);
        break;
    case 1:
        REPEAT(synth_range(r, 1, 3), 20000, S_UAC, T_UAC);
        break;
    default:
        REPEAT(synth_range(r, 2, 4), 25000, S_POLICY, T_ROLES);
    }
    REPEAT(synth_range(r, 2, 5), 9000, S_COMMAND, T_SHELL);
    return 0;
}

static int plan_persistence(struct synth_plan *plan, struct synth_rng *r, struct synth_incident *i,
                            int64_t t, uint32_t variant)
{
    static const struct {
        enum synth_step step;
        enum technique technique;
    } ways[] = {{S_TASK, T_TASK},
                {S_SERVICE, T_SERVICE},
                {S_WIN_USER, T_LOCAL_USER},
                {S_RUN_KEY, T_RUN_KEY},
                {S_USERADD, T_LOCAL_USER},
                {S_CRONTAB, T_CRON},
                {S_ACCESS_KEY, T_CLOUD_KEY},
                {S_BINDING, T_BINDING}};
    for (uint32_t k = 0; k < 3; k++) {
        uint32_t way = (variant * 3 + k) % 8;
        ADD(t, ways[way].step, ways[way].technique, (uint32_t)synth_next(r));
        t += synth_range(r, 20, 200) * SYNTH_SECOND;
    }
    return 0;
}

static int plan_scanning(struct synth_plan *plan, struct synth_rng *r, struct synth_incident *i,
                         int64_t t, uint32_t variant)
{
    switch (variant % 3) {
    case 0:
        REPEAT(synth_range(r, 80, 300), 250, S_SCAN_IP, T_SCAN_IP);
        break;
    case 1:
        REPEAT(synth_range(r, 60, 250), 400, S_SCAN_WEB, T_SCAN_WORDS);
        break;
    default:
        REPEAT(synth_range(r, 80, 300), 120, S_SCAN_INSIDE, T_DISCOVERY);
    }
    return 0;
}

static const struct {
    const char *name;
    int (*plan)(struct synth_plan *, struct synth_rng *, struct synth_incident *, int64_t,
                uint32_t);
} kinds[SYNTH_INCIDENT_KINDS] = {
    {"brute_force", plan_brute_force},   {"lateral_movement", plan_lateral},
    {"exfiltration", plan_exfiltration}, {"privilege_escalation", plan_escalation},
    {"persistence", plan_persistence},   {"scanning", plan_scanning}};

static void actor(struct synth_incident *i, const char *name, const char *text, size_t n)
{
    for (int k = 0; k < SYNTH_ACTORS; k++)
        if (!i->actors.name[k]) {
            i->actors.name[k] = name;
            snprintf(i->actors.text[k], sizeof i->actors.text[k], "%.*s", (int)n, text);
            return;
        }
}

static void actor_ip(struct synth_incident *i, const char *name, struct synth_ip ip)
{
    char text[20];
    struct synth_line l = {text};
    synth_put_ip(&l, ip);
    actor(i, name, text, (size_t)(l.p - text));
}

static void cast(const struct synth_world *w, struct synth_rng *r, struct synth_incident *i)
{
    static const char *const planted[] = {"svc_backup1", "helpdesk2",    "wsusupd",
                                          "sysmaint",    "defaultuser1", "mssqlsvc2"};
    static const enum synth_duty duties[] = {SYNTH_WEB, SYNTH_APP, SYNTH_DB, SYNTH_JUMP,
                                             SYNTH_INTRA};
    const struct synth_person *p = &w->person[synth_below(r, w->people)];
    enum synth_duty d = duties[synth_below(r, 5)], d2 = duties[synth_below(r, 5)];
    i->person = p->index;
    i->attacker = synth_public_ip(r, true);
    i->victim = &w->host[w->first[d] + synth_below(r, w->count[d])];
    i->next = &w->host[w->first[d2] + synth_below(r, w->count[d2])];
    i->created = planted[synth_below(r, 6)];
    i->session = (struct synth_session){.person = p->index,
                                        .host = i->victim->index,
                                        .from = i->attacker,
                                        .pid = synth_range(r, 1200, 410000),
                                        .number = synth_range(r, 20, 99999),
                                        .port = (uint16_t)synth_range(r, 32768, 60999),
                                        .kind = SYNTH_SHELL,
                                        .logon_id = 0x10000 + (synth_next(r) & 0xFFFFFFF)};
    actor_ip(i, "attacker_ip", i->attacker);
    actor(i, "user", p->user.p, p->user.n);
    actor(i, "mail", p->mail.p, p->mail.n);
    actor_ip(i, "workstation_ip", w->host[p->workstation].ip);
    actor(i, "workstation", w->host[p->workstation].name.p, w->host[p->workstation].name.n);
    actor(i, "host", i->victim->name.p, i->victim->name.n);
    actor_ip(i, "host_ip", i->victim->ip);
    actor(i, "created", i->created, strlen(i->created));
    actor(i, "next_host", i->next->name.p, i->next->name.n);
    actor_ip(i, "next_host_ip", i->next->ip);
}

static int by_time(const void *a, const void *b)
{
    const struct synth_beat *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->incident < y->incident ? -1 : x->incident > y->incident;
}

int synth_plan_make(struct synth_plan *plan, const struct synth_world *w, uint32_t incidents,
                    uint32_t days)
{
    *plan = (struct synth_plan){.incidents = incidents};
    if (!incidents)
        return 0;
    plan->incident = calloc(incidents, sizeof *plan->incident);
    if (!plan->incident)
        return sec_fail(SEC_ENOMEM, "no memory for the plan of %u incidents", incidents);
    for (uint32_t k = 0; k < incidents; k++) {
        struct synth_incident *i = &plan->incident[k];
        struct synth_rng r = synth_rng_make(w->seed, k, 3);
        uint32_t kind = k % SYNTH_INCIDENT_KINDS;
        *i = (struct synth_incident){.kind = kinds[kind].name, .number = k + 1};
        cast(w, &r, i);
        i->day = synth_below(&r, days);
        int64_t start = (int64_t)(sec_u01(synth_next(&r)) * 22.5 * (double)SYNTH_HOUR);
        int rc = kinds[kind].plan(plan, &r, i, (int64_t)i->day * SYNTH_DAY + start,
                                  k / SYNTH_INCIDENT_KINDS);
        if (rc)
            return rc;
    }
    qsort(plan->beat, plan->beats, sizeof *plan->beat, by_time);
    return 0;
}

void synth_plan_free(struct synth_plan *plan)
{
    free(plan->incident);
    free(plan->beat);
    *plan = (struct synth_plan){0};
}
