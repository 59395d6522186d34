#include "base/error.h"
#include "data/synth_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint32_t synth_human_rate(uint32_t day, uint32_t hour)
{
    static const uint8_t workday[24] = {3,  2,  2,  2,  3,  8,  22, 58, 88, 100, 98, 90,
                                        70, 84, 94, 92, 84, 62, 32, 20, 16, 12,  8,  5};
    uint32_t rate = workday[hour % 24];
    return day % 7 < 5 ? rate : 2 + rate / 8;
}

uint32_t synth_machine_rate(uint32_t hour)
{
    return hour >= 1 && hour < 4 ? 42 : 26; /* nightly jobs */
}

static void make_date(uint32_t day, struct synth_date *d)
{
    struct tm tm;
    time_t t = (time_t)(SYNTH_FIRST_DAY + day) * 86400;
    gmtime_r(&t, &tm);
    d->epoch = (int64_t)t;
    strftime(d->iso, sizeof d->iso, "%Y-%m-%d", &tm);
    strftime(d->clf, sizeof d->clf, "%d/%b/%Y", &tm);
    strftime(d->bind, sizeof d->bind, "%d-%b-%Y", &tm);
    strftime(d->syslog, sizeof d->syslog, "%b %e", &tm);
}

static int by_start(const void *a, const void *b)
{
    const struct synth_session *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->person != y->person)
        return x->person < y->person ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static struct synth_session session(struct synth_rng *r, const struct synth_person *p,
                                    uint32_t host, enum synth_session_kind kind, int64_t start,
                                    int64_t end)
{
    return (struct synth_session){
        .start = start,
        .end = end < SYNTH_DAY - SYNTH_MINUTE ? end : SYNTH_DAY - SYNTH_MINUTE,
        .person = p->index,
        .host = host,
        .kind = (uint8_t)kind,
        .logon_id = 0x10000 + (synth_next(r) & 0x3FFFFFF),
        .pid = synth_range(r, 900, 410000) & ~3u,
        .number = synth_range(r, 20, 99999),
        .port = (uint16_t)synth_range(r, 49152, 65500),
        .tty = (uint8_t)synth_below(r, 6),
    };
}

/* Shells within a working session: to the bastion or straight to a server. */
static size_t make_shells(const struct synth_world *w, struct synth_rng *r,
                          const struct synth_person *p, const struct synth_session *desk,
                          struct synth_session *out)
{
    static const enum synth_duty duties[] = {SYNTH_JUMP, SYNTH_APP, SYNTH_WEB,  SYNTH_DB,
                                             SYNTH_KUBE, SYNTH_APP, SYNTH_INTRA};
    if (p->role != SYNTH_DEVELOPER && p->role != SYNTH_ADMIN)
        return 0;
    uint32_t n = synth_range(r, 1, p->role == SYNTH_ADMIN ? 5 : 3);
    for (uint32_t i = 0; i < n; i++) {
        enum synth_duty d = duties[synth_below(r, 7)];
        uint32_t host = w->first[d] + synth_skewed(r, w->count[d]);
        int64_t room = desk->end - desk->start;
        int64_t start =
            desk->start + SYNTH_MINUTE + (int64_t)(sec_u01(synth_next(r)) * 0.8 * (double)room);
        int64_t end = start + synth_range(r, 90, 5400) * SYNTH_SECOND;
        if (end > desk->end)
            end = desk->end - SYNTH_SECOND;
        out[i] = session(r, p, host, SYNTH_SHELL, start, end);
        out[i].from = desk->from;
    }
    return n;
}

static size_t make_sessions(const struct synth_world *w, struct synth_rng *r, uint32_t day,
                            const struct synth_person *p, double presence,
                            struct synth_session *out)
{
    bool weekend = day % 7 >= 5;
    uint32_t comes = weekend ? (p->role == SYNTH_ADMIN ? 200 : 60) : 930;
    if (sec_u01(synth_next(r)) * 1000.0 >= comes * presence)
        return 0;
    bool remote = weekend || synth_chance(r, 330);
    int64_t start = (int64_t)p->start_minute * SYNTH_MINUTE;
    int64_t end = (int64_t)p->end_minute * SYNTH_MINUTE;
    start += ((int64_t)synth_below(r, 40) - 20) * SYNTH_MINUTE + (int64_t)synth_below(r, 60000000);
    end += ((int64_t)synth_below(r, 90) - 45) * SYNTH_MINUTE + (int64_t)synth_below(r, 60000000);
    if (weekend)
        end = start + (int64_t)synth_range(r, 20, 180) * SYNTH_MINUTE;
    else if (synth_chance(r, 40)) /* late shift */
        start += 5 * SYNTH_HOUR, end += 5 * SYNTH_HOUR;
    out[0] = session(r, p, p->workstation, remote ? SYNTH_REMOTE : SYNTH_DESK, start, end);
    out[0].from = remote ? p->vpn_ip : w->host[p->workstation].ip;
    size_t n = 1 + make_shells(w, r, p, &out[0], out + 1);
    if (p->role == SYNTH_ADMIN && synth_chance(r, 150) && end < 21 * SYNTH_HOUR) { /* on call */
        int64_t again = 21 * SYNTH_HOUR + (int64_t)synth_below(r, 60) * SYNTH_MINUTE;
        out[n] = session(r, p, p->workstation, SYNTH_REMOTE, again, again + 40 * SYNTH_MINUTE);
        out[n++].from = p->vpn_ip;
    }
    return n;
}

int synth_day_make(const struct synth_world *w, uint32_t day, double presence, struct synth_day *d)
{
    enum { MOST = 8 }; /* sessions of one person */
    *d = (struct synth_day){0};
    make_date(day, &d->date);
    d->session = malloc((size_t)w->people * MOST * sizeof *d->session);
    if (!d->session)
        return sec_fail(SEC_ENOMEM, "no memory for the sessions of %u people; use fewer --people",
                        w->people);
    for (uint32_t i = 0; i < w->people; i++) {
        struct synth_rng r = synth_rng_make(w->seed, (uint64_t)day << 32 | i, 2);
        d->sessions += make_sessions(w, &r, day, &w->person[i], presence, d->session + d->sessions);
    }
    qsort(d->session, d->sessions, sizeof *d->session, by_start);
    return 0;
}

void synth_day_free(struct synth_day *d)
{
    free(d->session);
    *d = (struct synth_day){0};
}
