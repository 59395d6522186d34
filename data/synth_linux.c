/* sshd, PAM, logind, cron, useradd and sudo as rsyslog writes them on Debian. */
#include "data/synth_slice.h"

#define HEAD(h)         AT(SYNTH_SYSLOG), " ", (h)->name, " "
#define AUTH(time, ...) EMIT(SYNTH_F_SSHD, time, __VA_ARGS__)
#define MS              INT64_C(1000)

static struct synth_audit auditor(struct synth_slice *s, const struct synth_session *x)
{
    const struct synth_person *p = &s->world->person[x->person];
    return (struct synth_audit){.host = &s->world->host[x->host],
                                .user = p->user,
                                .uid = p->uid,
                                .session = x->number,
                                .tty = x->tty,
                                .pid = x->pid,
                                .ppid = 1 + x->pid % 900};
}

static uint32_t logind_pid(const struct synth_host *h)
{
    return 400 + h->index % 700;
}

void synth_ssh_open(struct synth_slice *s, int64_t t, const struct synth_session *x, bool key)
{
    const struct synth_person *p = &s->world->person[x->person];
    const struct synth_host *h = &s->world->host[x->host];
    struct synth_audit a = auditor(s, x);

    AUTH(t, HEAD(h), "sshd[", x->pid, "]: Accepted ", key ? "publickey" : "password", " for ",
         p->user, " from ", x->from, " port ", x->port, " ssh2",
         !key           ? ""
         : p->index % 3 ? ": ED25519 "
                        : ": RSA ",
         key ? p->key_print : synth_text(""));
    synth_audit_user(s, t, &a, "USER_AUTH", key ? "op=pubkey_auth" : "op=PAM:authentication",
                     "/usr/sbin/sshd", x->from, true);
    synth_audit_user(s, t + 2 * MS, &a, "USER_ACCT", "op=PAM:accounting", "/usr/sbin/sshd", x->from,
                     true);
    synth_audit_user(s, t + 3 * MS, &a, "CRED_ACQ", "op=PAM:setcred", "/usr/sbin/sshd", x->from,
                     true);
    AUTH(t + 4 * MS, HEAD(h), "sshd[", x->pid,
         "]: pam_unix(sshd:session): session opened for user ", p->user, "(uid=", p->uid, ") by ",
         p->user, "(uid=0)");
    AUTH(t + 9 * MS, HEAD(h), "systemd-logind[", logind_pid(h), "]: New session ", x->number,
         " of user ", p->user, ".");
    synth_audit_user(s, t + 10 * MS, &a, "USER_START", "op=PAM:session_open", "/usr/sbin/sshd",
                     x->from, true);
}

void synth_ssh_close(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    const struct synth_person *p = &s->world->person[x->person];
    const struct synth_host *h = &s->world->host[x->host];
    struct synth_audit a = auditor(s, x);

    AUTH(t, HEAD(h), "sshd[", x->pid, "]: Received disconnect from ", x->from, " port ", x->port,
         ":11: disconnected by user");
    AUTH(t, HEAD(h), "sshd[", x->pid, "]: Disconnected from user ", p->user, " ", x->from, " port ",
         x->port);
    AUTH(t + MS, HEAD(h), "sshd[", x->pid, "]: pam_unix(sshd:session): session closed for user ",
         p->user);
    synth_audit_user(s, t + 2 * MS, &a, "USER_END", "op=PAM:session_close", "/usr/sbin/sshd",
                     x->from, true);
    synth_audit_user(s, t + 3 * MS, &a, "CRED_DISP", "op=PAM:setcred", "/usr/sbin/sshd", x->from,
                     true);
    AUTH(t + 6 * MS, HEAD(h), "systemd-logind[", logind_pid(h), "]: Session ", x->number,
         " logged out. Waiting for processes to exit.");
    AUTH(t + 7 * MS, HEAD(h), "systemd-logind[", logind_pid(h), "]: Removed session ", x->number,
         ".");
}

void synth_ssh_fail(struct synth_slice *s, int64_t t, const struct synth_host *h,
                    struct synth_str user, bool known, struct synth_ip from, uint32_t port,
                    uint32_t pid)
{
    struct synth_audit a = {
        .host = h, .user = user, .uid = UINT32_MAX, .session = UINT32_MAX, .pid = pid};
    if (!known)
        AUTH(t, HEAD(h), "sshd[", pid, "]: Invalid user ", user, " from ", from, " port ", port);
    AUTH(t + 30 * MS, HEAD(h), "sshd[", pid,
         "]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= "
         "rhost=",
         from, known ? "  user=" : "", known ? user : synth_text(""));
    AUTH(t + 2100 * MS, HEAD(h), "sshd[", pid, "]: Failed password for ",
         known ? "" : "invalid user ", user, " from ", from, " port ", port, " ssh2");
    synth_audit_user(s, t + 2100 * MS, &a, "USER_AUTH", "op=PAM:authentication", "/usr/sbin/sshd",
                     from, false);
    AUTH(t + 2300 * MS, HEAD(h), "sshd[", pid, "]: Connection closed by ",
         known ? "authenticating" : "invalid", " user ", user, " ", from, " port ", port,
         " [preauth]");
}

/* One look by an Internet scanner that does not come back. */
void synth_ssh_probe(struct synth_slice *s, int64_t t, const struct synth_host *h,
                     struct synth_ip from)
{
    struct synth_rng *r = &s->rng;
    uint32_t port = synth_range(r, 32768, 60999), pid = synth_range(r, 1200, 410000);
    if (synth_chance(r, 550)) {
        synth_ssh_fail(s, t, h, synth_text(SYNTH_SKEWED(r, guesses)), false, from, port, pid);
        return;
    }
    switch (synth_below(r, 4)) {
    case 0:
        AUTH(t, HEAD(h), "sshd[", pid, "]: Connection closed by ", from, " port ", port,
             " [preauth]");
        break;
    case 1:
        AUTH(t, HEAD(h), "sshd[", pid, "]: banner exchange: Connection from ", from, " port ", port,
             ": invalid format");
        break;
    case 2:
        AUTH(t, HEAD(h), "sshd[", pid,
             "]: error: kex_exchange_identification: Connection closed by remote host");
        AUTH(t, HEAD(h), "sshd[", pid, "]: Connection closed by ", from, " port ", port);
        break;
    default:
        AUTH(t, HEAD(h), "sshd[", pid, "]: Unable to negotiate with ", from, " port ", port,
             ": no matching host key type found. Their offer: ssh-rsa,ssh-dss [preauth]");
    }
}

void synth_cron(struct synth_slice *s, int64_t t, const struct synth_host *h, const char *command)
{
    struct synth_rng *r = &s->rng;
    uint32_t pid = synth_range(r, 1200, 410000);
    struct synth_audit a = {.host = h,
                            .user = synth_text("root"),
                            .session = synth_range(r, 20, 99999),
                            .tty = UINT32_MAX,
                            .pid = pid + 1,
                            .ppid = pid};
    AUTH(t, HEAD(h), "CRON[", pid,
         "]: pam_unix(cron:session): session opened for user root(uid=0) by root(uid=0)");
    synth_audit_exec(s, t + MS, &a, command, synth_text(""), NULL, "/");
    AUTH(t + synth_range(r, 200, 4000) * MS, HEAD(h), "CRON[", pid,
         "]: pam_unix(cron:session): session closed for user root");
}

void synth_useradd(struct synth_slice *s, int64_t t, const struct synth_host *h,
                   const char *created, uint32_t uid)
{
    uint32_t pid = synth_range(&s->rng, 1200, 410000);
    AUTH(t, HEAD(h), "useradd[", pid, "]: new group: name=", created, ", GID=", uid);
    AUTH(t + MS, HEAD(h), "useradd[", pid, "]: new user: name=", created, ", UID=", uid,
         ", GID=", uid, ", home=/home/", created, ", shell=/bin/bash, from=/dev/pts/0");
}

void synth_sudo(struct synth_slice *s, int64_t t, const struct synth_host *h, struct synth_str user,
                uint32_t uid, uint32_t tty, const char *refused, const char *command)
{
    static const char blanks[] = "        ";
    struct synth_str indent = {blanks, user.n < 8 ? 8 - user.n : 0};
    EMIT(SYNTH_F_SUDO, t, HEAD(h), "sudo: ", indent, user, " : ", refused ? refused : "",
         refused ? " ; " : "", "TTY=pts/", tty, " ; PWD=/home/", user,
         " ; USER=root ; COMMAND=", command);
    if (refused)
        return;
    EMIT(SYNTH_F_SUDO, t + 3 * MS, HEAD(h),
         "sudo: pam_unix(sudo:session): session opened for user root(uid=0) by ", user,
         "(uid=", uid, ")");
    EMIT(SYNTH_F_SUDO, t + synth_range(&s->rng, 20, 3000) * MS, HEAD(h),
         "sudo: pam_unix(sudo:session): session closed for user root");
}
