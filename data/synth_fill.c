/* The mix of activities, and a slice filled with them until its share of the output is made. */
#include "base/error.h"
#include "data/synth_slice.h"

#include <stdlib.h>

#define BIT(f) SYNTH_BIT(SYNTH_F_##f)

static const struct {
    uint32_t formats;
    uint16_t weight[SYNTH_ROLES]; /* office, sales, developer, admin */
} human_table[SYNTH_HUMAN_KINDS] = {
    {BIT(NAMED) | BIT(ZEEK_DNS) | BIT(ZEEK_CONN) | BIT(ASA) | BIT(SQUID) | BIT(SYSMON),
     {34, 38, 28, 20}},
    {BIT(APACHE) | BIT(ZEEK_CONN) | BIT(ZEEK_DNS) | BIT(NAMED), {18, 16, 16, 12}},
    {BIT(WINSEC) | BIT(SYSMON), {3, 2, 4, 5}},
    {BIT(WINSEC) | BIT(ZEEK_CONN), {4, 3, 2, 3}},
    {BIT(POSTFIX) | BIT(ZEEK_CONN), {12, 18, 6, 6}},
    {BIT(CLOUDTRAIL), {0, 0, 9, 11}},
    {BIT(KUBE), {0, 0, 9, 9}},
    {BIT(ENTRA), {4, 5, 3, 4}},
    {BIT(OPENVPN), {7, 7, 7, 7}},
    {BIT(SYSMON), {4, 3, 5, 5}}};

static const struct {
    uint32_t formats;
    uint32_t weight;
} machine_table[SYNTH_MACHINE_KINDS] = {{BIT(SSHD) | BIT(AUDITD), 30},
                                        {BIT(NGINX) | BIT(ASA) | BIT(ZEEK_CONN), 80},
                                        {BIT(NGINX) | BIT(APACHE), 40},
                                        {BIT(IPTABLES) | BIT(ASA) | BIT(ZEEK_CONN), 130},
                                        {BIT(SSHD) | BIT(AUDITD), 50},
                                        {BIT(WINSEC) | BIT(SYSMON) | BIT(ZEEK_CONN), 14},
                                        {BIT(KUBE), 45},
                                        {BIT(CLOUDTRAIL), 16},
                                        {BIT(ZEEK_DNS) | BIT(ZEEK_CONN) | BIT(NAMED), 90},
                                        {BIT(SUDO) | BIT(AUDITD), 50},
                                        {BIT(POSTFIX), 22},
                                        {BIT(POSTFIX), 30},
                                        {BIT(OPENVPN), 60},
                                        {BIT(ENTRA), 10},
                                        {BIT(SQUID), 50}};

void synth_mix_make(struct synth_mix *mix, uint32_t formats)
{
    *mix = (struct synth_mix){.shell = formats & (BIT(AUDITD) | BIT(SUDO))};
    for (int role = 0; role < SYNTH_ROLES; role++) {
        uint32_t sum = 0;
        for (int k = 0; k < SYNTH_HUMAN_KINDS; k++)
            mix->human[role][k] = sum +=
                human_table[k].formats & formats ? human_table[k].weight[role] : 0;
    }
    uint32_t sum = 0;
    for (int k = 0; k < SYNTH_MACHINE_KINDS; k++)
        mix->machine[k] = sum += machine_table[k].formats & formats ? machine_table[k].weight : 0;
}

static int find_active(struct synth_slice *s)
{
    const struct synth_day *d = s->day;
    s->actives = 0;
    for (size_t i = 0; i < d->sessions && d->session[i].start < s->t1; i++) {
        const struct synth_session *x = &d->session[i];
        if (x->end < s->t0)
            continue;
        if (s->actives == s->active_cap) {
            size_t cap = s->active_cap ? 2 * s->active_cap : 256;
            uint32_t *p = realloc(s->active, cap * sizeof *p);
            if (!p)
                return sec_fail(SEC_ENOMEM, "no memory for %zu sessions", cap);
            s->active = p;
            s->active_cap = cap;
        }
        s->active[s->actives++] = (uint32_t)i;
        if (x->start >= s->t0)
            synth_session_open(s, x);
        if (x->end < s->t1)
            synth_session_close(s, x);
    }
    return 0;
}

static bool try_person(struct synth_slice *s, const struct synth_mix *mix)
{
    struct synth_rng *r = &s->rng;
    uint32_t n = (uint32_t)s->actives;
    const struct synth_session *x =
        &s->day->session[s->active[synth_chance(r, 500) ? synth_below(r, n) : synth_skewed(r, n)]];
    int64_t from = x->start + 15 * SYNTH_SECOND, to = x->end - 5 * SYNTH_SECOND;
    if (from < s->t0)
        from = s->t0;
    if (to > s->t1)
        to = s->t1;
    bool able = x->kind == SYNTH_SHELL
                    ? mix->shell != 0
                    : mix->human[s->world->person[x->person].role][SYNTH_HUMAN_KINDS - 1] != 0;
    if (!able || to <= from)
        return false;
    synth_person_activity(s, mix, from + (int64_t)(sec_u01(synth_next(r)) * (double)(to - from)),
                          x);
    return true;
}

int synth_slice_fill(struct synth_slice *s, const struct synth_mix *mix)
{
    int rc = find_active(s);
    uint32_t hour = (uint32_t)((s->t0 + s->t1) / 2 / SYNTH_HOUR);
    uint32_t day = (uint32_t)(s->day->date.epoch / 86400) - SYNTH_FIRST_DAY;
    uint32_t human = synth_human_rate(day, hour), machine = synth_machine_rate(hour);
    uint64_t before = s->used;
    uint32_t idle = 0;
    while (!rc && !s->rc && s->used < s->budget) {
        bool person = s->actives && synth_below(&s->rng, human + machine) < human;
        if (!person || !try_person(s, mix))
            synth_machine_activity(
                s, mix, s->t0 + (int64_t)(sec_u01(synth_next(&s->rng)) * (double)(s->t1 - s->t0)));
        idle = s->used == before ? idle + 1 : 0;
        before = s->used;
        if (idle > 1000000)
            return sec_fail(SEC_EFAIL, "internal error: no activity writes the chosen formats");
    }
    return rc ? rc : s->rc;
}
