/* A slice: some minutes of one day, made by one thread from its own generator into one buffer a
 * file, then sorted by time. Emitters below write one event each; times are microseconds of the day
 * and are clamped into the slice, so slices can simply be joined.
 *
 * Failure: the first one sticks in slice->rc; emitters go on harmlessly. */
#ifndef SEC_DATA_SYNTH_SLICE_H
#define SEC_DATA_SYNTH_SLICE_H

#include "data/synth_world.h"

enum synth_file {
    SYNTH_F_SSHD,
    SYNTH_F_SUDO,
    SYNTH_F_AUDITD,
    SYNTH_F_WINSEC,
    SYNTH_F_SYSMON,
    SYNTH_F_NGINX,
    SYNTH_F_APACHE,
    SYNTH_F_ZEEK_CONN,
    SYNTH_F_ZEEK_DNS,
    SYNTH_F_ASA,
    SYNTH_F_IPTABLES,
    SYNTH_F_CLOUDTRAIL,
    SYNTH_F_ENTRA,
    SYNTH_F_KUBE,
    SYNTH_F_NAMED,
    SYNTH_F_POSTFIX,
    SYNTH_F_OPENVPN,
    SYNTH_F_SQUID,
    SYNTH_FILES
};
#define SYNTH_BIT(f) (UINT32_C(1) << (f))

struct synth_ref { /* one line */
    uint64_t time;
    uint32_t offset, length;
    uint32_t beat;   /* 1 + index into the plan's beats; 0 = not labelled */
    uint32_t actors; /* bit per actor that the line names, for a labelled line */
};

struct synth_out {
    char *data, *sorted;
    size_t len, cap, sorted_cap;
    struct synth_ref *ref;
    size_t lines, ref_cap, labelled;
};

/* Strings of which a labelled line must hold at least one, the most telling first. */
#define SYNTH_ACTORS 10
struct synth_actors {
    const char *name[SYNTH_ACTORS]; /* "attacker_ip", "user", ...; NULL ends */
    char text[SYNTH_ACTORS][48];
};

struct synth_slice {
    const struct synth_world *world;
    const struct synth_day *day;
    struct synth_rng rng;
    int64_t t0, t1;
    uint64_t budget, used; /* bytes or lines */
    bool by_lines;
    uint32_t formats; /* bit per synth_file */
    uint32_t beat;    /* as in synth_ref, while a planned event is written */
    const struct synth_actors *actors;
    struct synth_out out[SYNTH_FILES];
    enum synth_file file; /* of the line being written */
    uint32_t *active;     /* sessions that overlap the slice */
    size_t actives, active_cap;
    int rc;
};

/* Begin a line of a file at time t: false when the format is off, the slice is full (labelled lines
 * always fit) or memory ran out. The caller writes at most SYNTH_LINE_MAX bytes and ends the line.
 */
bool synth_begin(struct synth_slice *s, enum synth_file f, int64_t *t, struct synth_line *l);
void synth_end(struct synth_slice *s, int64_t t, const struct synth_line *l);

/* Sort every file's lines by time, in place of data. */
int synth_slice_sort(struct synth_slice *s);
void synth_slice_clear(struct synth_slice *s);
void synth_slice_free(struct synth_slice *s);

/* Which activities may be drawn, by role and for machines, given the formats wanted. */
#define SYNTH_HUMAN_KINDS   10
#define SYNTH_MACHINE_KINDS 15
struct synth_mix {
    uint32_t human[SYNTH_ROLES][SYNTH_HUMAN_KINDS];
    uint32_t shell;
    uint32_t machine[SYNTH_MACHINE_KINDS]; /* cumulative weights */
};
void synth_mix_make(struct synth_mix *mix, uint32_t formats);

/* One activity of a session's person or of some machine, and a session's first and last lines
 * (synth_activity.c). */
void synth_person_activity(struct synth_slice *s, const struct synth_mix *mix, int64_t t,
                           const struct synth_session *x);
void synth_machine_activity(struct synth_slice *s, const struct synth_mix *mix, int64_t t);
void synth_session_open(struct synth_slice *s, const struct synth_session *x);
void synth_session_close(struct synth_slice *s, const struct synth_session *x);

/* Fill the slice with sessions' beginnings and ends and with activities until the budget is used.
 */
int synth_slice_fill(struct synth_slice *s, const struct synth_mix *mix);

/* The time of the line being written, and a whole line at once: EMIT(file, time, parts...). */
#define AT(style) ((struct synth_time){&s->day->date, now, (style)})
#define EMIT(file, time, ...)                                                                      \
    do {                                                                                           \
        int64_t now = (time);                                                                      \
        struct synth_line l;                                                                       \
        if (synth_begin(s, (file), &now, &l)) {                                                    \
            PUT(&l, __VA_ARGS__);                                                                  \
            synth_end(s, now, &l);                                                                 \
        }                                                                                          \
    } while (0)

/* --- Linux (synth_linux.c) --- */
void synth_ssh_open(struct synth_slice *s, int64_t t, const struct synth_session *x, bool key);
void synth_ssh_close(struct synth_slice *s, int64_t t, const struct synth_session *x);
void synth_ssh_fail(struct synth_slice *s, int64_t t, const struct synth_host *h,
                    struct synth_str user, bool known, struct synth_ip from, uint32_t port,
                    uint32_t pid);
void synth_ssh_probe(struct synth_slice *s, int64_t t, const struct synth_host *h,
                     struct synth_ip from);
void synth_cron(struct synth_slice *s, int64_t t, const struct synth_host *h, const char *command);
void synth_useradd(struct synth_slice *s, int64_t t, const struct synth_host *h,
                   const char *created, uint32_t uid);
void synth_sudo(struct synth_slice *s, int64_t t, const struct synth_host *h, struct synth_str user,
                uint32_t uid, uint32_t tty, const char *refused, const char *command);

/* --- audit (synth_audit.c) --- */
struct synth_audit { /* who, for one audit record */
    const struct synth_host *host;
    struct synth_str user;
    uint32_t uid, euid, session, tty, pid, ppid;
};
void synth_audit_user(struct synth_slice *s, int64_t t, const struct synth_audit *a,
                      const char *type, const char *operation, const char *exe,
                      struct synth_ip from, bool success);
void synth_audit_exec(struct synth_slice *s, int64_t t, const struct synth_audit *a,
                      const char *command, struct synth_str extra, const char *key,
                      const char *directory);

/* --- Windows (synth_winsec.c, synth_sysmon.c) --- */
struct synth_account {
    struct synth_str sid, name, domain;
    uint64_t logon_id;
};
struct synth_account synth_person_account(const struct synth_world *w, const struct synth_person *p,
                                          uint64_t logon_id);
void synth_logon(struct synth_slice *s, int64_t t, const struct synth_host *h,
                 const struct synth_account *a, int type, struct synth_str workstation,
                 struct synth_ip from, uint32_t port);
void synth_logon_fail(struct synth_slice *s, int64_t t, const struct synth_host *h,
                      struct synth_str user, bool known, int type, struct synth_ip from);
void synth_logoff(struct synth_slice *s, int64_t t, const struct synth_host *h,
                  const struct synth_account *a, int type);
void synth_privileges(struct synth_slice *s, int64_t t, const struct synth_host *h,
                      const struct synth_account *a);
void synth_kerberos(struct synth_slice *s, int64_t t, const struct synth_host *dc,
                    const struct synth_person *p, struct synth_ip from,
                    const struct synth_host *service);
void synth_win_process(struct synth_slice *s, int64_t t, const struct synth_host *h,
                       const struct synth_account *a, const char *image, const char *command,
                       const char *parent, uint32_t pid, uint32_t ppid, bool elevated);
void synth_share(struct synth_slice *s, int64_t t, const struct synth_host *h,
                 const struct synth_account *a, struct synth_ip from, uint32_t port,
                 const char *share, const char *file, uint32_t number);
void synth_account_created(struct synth_slice *s, int64_t t, const struct synth_host *h,
                           const struct synth_account *a, const char *created, uint32_t rid);
void synth_group_added(struct synth_slice *s, int64_t t, const struct synth_host *h,
                       const struct synth_account *a, const char *created, uint32_t rid);
void synth_task_created(struct synth_slice *s, int64_t t, const struct synth_host *h,
                        const struct synth_account *a, const char *task, const char *command);
void synth_service_installed(struct synth_slice *s, int64_t t, const struct synth_host *h,
                             const struct synth_account *a, const char *service, const char *path);

struct synth_image { /* a running Windows program, for Sysmon */
    const struct synth_host *host;
    struct synth_str user; /* without domain; empty = NT AUTHORITY\SYSTEM */
    const char *image;
    uint32_t pid;
    int64_t started;
};
void synth_sysmon_create(struct synth_slice *s, int64_t t, const struct synth_image *i,
                         const struct synth_process *p, const char *command,
                         struct synth_str hashes, uint64_t logon_id, uint32_t ppid, bool elevated);
void synth_sysmon_conn(struct synth_slice *s, int64_t t, const struct synth_image *i,
                       struct synth_ip to, uint32_t sport, uint32_t dport,
                       struct synth_str to_name);
void synth_sysmon_load(struct synth_slice *s, int64_t t, const struct synth_image *i, uint32_t dll);
void synth_sysmon_access(struct synth_slice *s, int64_t t, const struct synth_image *i,
                         const char *target, uint32_t target_pid, const char *mask);
void synth_sysmon_file(struct synth_slice *s, int64_t t, const struct synth_image *i,
                       const char *folder, const char *name, uint32_t number, const char *ending);
void synth_sysmon_registry(struct synth_slice *s, int64_t t, const struct synth_image *i,
                           const char *key, struct synth_str tail, const char *details);
void synth_sysmon_dns(struct synth_slice *s, int64_t t, const struct synth_image *i,
                      struct synth_str query, struct synth_ip answer);

/* --- web (synth_web.c) --- */
void synth_access(struct synth_slice *s, enum synth_file f, int64_t t, struct synth_ip from,
                  struct synth_str user, const char *method, const char *path, uint32_t tail,
                  uint32_t status, uint32_t bytes, const char *referer, uint32_t referer_tail,
                  struct synth_str agent);
void synth_squid(struct synth_slice *s, int64_t t, struct synth_ip from, struct synth_str user,
                 struct synth_str site, struct synth_ip to, bool tunnel, uint32_t ms,
                 uint64_t bytes, const char *path, uint32_t tail);
void synth_public_visit(struct synth_slice *s, int64_t t);
void synth_public_noise(struct synth_slice *s, int64_t t);
void synth_intranet_visit(struct synth_slice *s, int64_t t, const struct synth_session *x);

/* --- network (synth_net.c) --- */
struct synth_flow {
    struct synth_ip from, to;
    uint32_t sport, dport;
    const char *proto;   /* tcp, udp */
    const char *service; /* ssl, http, ssh, dns, smb..., "-" */
    const char *state;   /* SF, S0, REJ... */
    uint64_t duration_us, out_bytes, in_bytes;
};
void synth_conn(struct synth_slice *s, int64_t t, const struct synth_flow *f);
void synth_dns(struct synth_slice *s, int64_t t, struct synth_ip from, struct synth_str query,
               const char *type, struct synth_ip answer, bool found);
void synth_asa_flow(struct synth_slice *s, int64_t t, const struct synth_flow *f, bool outbound);
void synth_asa_deny(struct synth_slice *s, int64_t t, const struct synth_flow *f);
void synth_iptables(struct synth_slice *s, int64_t t, const struct synth_flow *f,
                    const char *verdict);
void synth_vpn_open(struct synth_slice *s, int64_t t, const struct synth_session *x,
                    struct synth_ip from);
void synth_vpn_close(struct synth_slice *s, int64_t t, const struct synth_session *x,
                     struct synth_ip from);
void synth_vpn_rekey(struct synth_slice *s, int64_t t, const struct synth_session *x,
                     struct synth_ip from);
void synth_vpn_fail(struct synth_slice *s, int64_t t, struct synth_ip from, uint32_t port,
                    struct synth_str user);
const struct synth_host *synth_any_host(struct synth_slice *s, enum synth_duty duty);

/* --- mail (synth_mail.c) --- */
void synth_mail_out(struct synth_slice *s, int64_t t, const struct synth_person *p,
                    struct synth_ip from, struct synth_str to_domain, struct synth_ip to,
                    uint32_t bytes);
void synth_mail_in(struct synth_slice *s, int64_t t, const struct synth_person *p);
void synth_mail_reject(struct synth_slice *s, int64_t t);

/* --- cloud (synth_cloud.c, synth_identity.c, synth_kube.c) --- */
struct synth_api { /* one kind of CloudTrail event; request/response are JSON with one %-free hole
                    */
    const char *service, *name;
    bool read_only;
    const char *request_key; /* first member of requestParameters; NULL = null */
    uint8_t hole;            /* what it holds: enum synth_hole */
};
enum synth_hole { SYNTH_H_NONE, SYNTH_H_BUCKET, SYNTH_H_INSTANCE, SYNTH_H_USER, SYNTH_H_TEXT };
void synth_cloud_call(struct synth_slice *s, int64_t t, const struct synth_person *p,
                      struct synth_ip from, const struct synth_api *api, struct synth_str text,
                      const char *error);
void synth_cloud_work(struct synth_slice *s, int64_t t, const struct synth_person *p,
                      struct synth_ip from);
void synth_cloud_service(struct synth_slice *s, int64_t t);
void synth_sign_in(struct synth_slice *s, int64_t t, const struct synth_person *p,
                   struct synth_ip from, struct synth_str agent, struct synth_str place, int error,
                   bool interactive);
void synth_kube(struct synth_slice *s, int64_t t, struct synth_str user, const char *group,
                struct synth_ip from, const char *agent, const char *verb, const char *resource,
                const char *api_group, const char *name_space, struct synth_str name,
                uint32_t status);
void synth_kube_work(struct synth_slice *s, int64_t t, const struct synth_person *p,
                     struct synth_ip from);
void synth_kube_service(struct synth_slice *s, int64_t t);

static inline struct synth_str synth_text(const char *p)
{
    return (struct synth_str){p, (uint32_t)strlen(p)};
}

#endif
