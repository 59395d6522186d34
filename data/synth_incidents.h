/* Planted incidents: who does what to whom and when, worked out before any line is written, as a
 * list of beats in time order. A slice plays the beats that fall into it, every line of a beat is
 * labelled, and every labelled line names at least one actor of its incident (checked as it is
 * written). Attackers' addresses are used by nobody else. */
#ifndef SEC_DATA_SYNTH_INCIDENTS_H
#define SEC_DATA_SYNTH_INCIDENTS_H

#include "data/synth_slice.h"

struct synth_technique {
    const char *id, *tactic;
};
extern const struct synth_technique synth_techniques[];

struct synth_incident {
    const char *kind;
    uint32_t number; /* from 1 */
    uint32_t person, day;
    const struct synth_host *victim, *next; /* first host, and where the attacker goes from there */
    struct synth_ip attacker;
    const char *created;          /* account, task or service planted */
    struct synth_session session; /* the attacker's shell or VPN session */
    struct synth_actors actors;
    /* Filled while writing, by one thread: */
    uint64_t lines, techniques; /* bit per technique */
    uint32_t files, actors_seen;
    int64_t first, last; /* microseconds since 1970-01-01 */
};

/* What happens in a beat. */
enum synth_step {
    S_SSH_GUESS,
    S_SSH_IN,
    S_COMMAND,
    S_SSH_OUT,
    S_SPRAY,
    S_SIGN_IN,
    S_VPN_GUESS,
    S_VPN_IN,
    S_RDP_GUESS,
    S_RDP_IN,
    S_RDP,
    S_SMB,
    S_SSH_HOP,
    S_ARCHIVE,
    S_DNS_OUT,
    S_UPLOAD,
    S_WEB_OUT,
    S_BUCKET,
    S_SUDO_DENIED,
    S_UAC,
    S_EXPLOIT,
    S_POLICY,
    S_TASK,
    S_CRONTAB,
    S_SERVICE,
    S_WIN_USER,
    S_RUN_KEY,
    S_USERADD,
    S_ACCESS_KEY,
    S_BINDING,
    S_SCAN_IP,
    S_SCAN_WEB,
    S_SCAN_INSIDE
};

struct synth_beat {
    int64_t time; /* microseconds since the first day's midnight */
    uint32_t incident, value;
    uint8_t step, technique;
};

struct synth_plan {
    struct synth_incident *incident;
    struct synth_beat *beat;
    uint32_t incidents;
    size_t beats, beat_cap;
};

#define SYNTH_INCIDENT_KINDS 6

int synth_plan_make(struct synth_plan *plan, const struct synth_world *w, uint32_t incidents,
                    uint32_t days);
void synth_plan_free(struct synth_plan *plan);

/* Write the lines of every beat whose time falls into the slice. */
int synth_plan_play(const struct synth_plan *plan, uint32_t day, struct synth_slice *s);

#endif
