/* Linux audit records (auditd with log_format = ENRICHED, node name in front). */
#include "data/synth_slice.h"

static void put_session(struct synth_line *l, uint32_t v)
{
    if (v == UINT32_MAX)
        synth_put_cstr(l, "4294967295");
    else
        synth_put_dec(l, v);
}

static uint32_t serial(const struct synth_host *h, int64_t t)
{
    return (uint32_t)(t / 400000) * 16 + h->index % 16; /* rises with time on every host */
}

#define AUDIT(a, type)                                                                             \
    "node=", (a)->host->name, " type=", type, " msg=audit(", AT(SYNTH_EPOCH_MS), ":",              \
        serial((a)->host, now), "):"
#define GS "\x1d" /* separates the raw from the enriched fields */

void synth_audit_user(struct synth_slice *s, int64_t t, const struct synth_audit *a,
                      const char *type, const char *operation, const char *exe,
                      struct synth_ip from, bool success)
{
    struct synth_line l;
    int64_t now = t;
    if (!synth_begin(s, SYNTH_F_AUDITD, &now, &l))
        return;
    PUT(&l, AUDIT(a, type), " pid=", a->pid, " uid=0 auid=");
    put_session(&l, a->uid);
    PUT(&l, " ses=");
    put_session(&l, a->session);
    PUT(&l, " subj=unconfined msg='", operation);
    if (success && operation[3] == 'P')
        PUT(&l, " grantors=pam_permit,pam_unix");
    PUT(&l, " acct=\"", a->user, "\" exe=\"", exe, "\" hostname=");
    if (from.v)
        PUT(&l, from, " addr=", from, " terminal=ssh");
    else
        PUT(&l, "? addr=? terminal=/dev/pts/", a->tty % 10);
    PUT(&l, success ? " res=success'" : " res=failed'", " UID=\"root\" AUID=\"");
    if (a->uid == UINT32_MAX)
        PUT(&l, "unset\"");
    else
        PUT(&l, a->user, "\"");
    synth_end(s, now, &l);
}

static const char *word_end(const char *p)
{
    while (*p && *p != ' ')
        p++;
    return p;
}

static void put_execve(struct synth_line *l, const char *command, struct synth_str extra)
{
    uint32_t argc = 1;
    for (const char *p = command; *p; p++)
        argc += *p == ' ';
    PUT(l, " argc=", argc);
    argc = 0;
    for (const char *p = command; *p;) {
        const char *end = word_end(p), *word = p;
        if (!argc) /* argv[0] is the bare name */
            for (const char *q = p; q < end; q++)
                if (*q == '/')
                    word = q + 1;
        PUT(l, " a", argc++, "=\"", ((struct synth_str){word, (uint32_t)(end - word)}));
        if (!*end)
            PUT(l, extra);
        PUT(l, "\"");
        p = *end ? end + 1 : end;
    }
}

static void put_title(struct synth_line *l, const char *command, struct synth_str extra)
{
    for (const char *p = command; *p; p++)
        synth_put_hex(l, HEXUP(*p == ' ' ? 0 : (uint8_t)*p, 2));
    for (uint32_t i = 0; i < extra.n; i++)
        synth_put_hex(l, HEXUP((uint8_t)extra.p[i], 2));
}

static void syscall_record(struct synth_slice *s, int64_t t, const struct synth_audit *a,
                           struct synth_str exe, struct synth_str comm, const char *key)
{
    struct synth_line l;
    int64_t now = t;
    if (!synth_begin(s, SYNTH_F_AUDITD, &now, &l))
        return;
    uint64_t address = synth_next(&s->rng);
    PUT(&l, AUDIT(a, "SYSCALL"), " arch=c000003e syscall=59 success=yes exit=0 a0=",
        HEX(0x55d000000000 | (address & 0xFFFFFFFF0)),
        " a1=", HEX(0x55d000000000 | (address >> 20 & 0xFFFFFFFF0)),
        " a2=", HEX(0x55d000000000 | (address >> 28 & 0xFFFFFFFF0)), " a3=8 items=2 ppid=", a->ppid,
        " pid=", a->pid, " auid=", a->uid, " uid=", a->uid, " gid=", a->uid, " euid=", a->euid,
        " suid=", a->euid, " fsuid=", a->euid, " egid=", a->uid, " sgid=", a->uid,
        " fsgid=", a->uid, " tty=");
    if (a->tty == UINT32_MAX)
        PUT(&l, "(none)");
    else
        PUT(&l, "pts", a->tty);
    PUT(&l, " ses=", a->session, " comm=\"", comm, "\" exe=\"", exe, "\" subj=unconfined key=");
    if (key)
        PUT(&l, "\"", key, "\"");
    else
        PUT(&l, "(null)");
    PUT(&l, GS "ARCH=x86_64 SYSCALL=execve AUID=\"", a->user, "\" UID=\"", a->user, "\" GID=\"",
        a->user, "\" EUID=\"", a->euid == a->uid ? a->user : synth_text("root"), "\"");
    synth_end(s, now, &l);
}

void synth_audit_exec(struct synth_slice *s, int64_t t, const struct synth_audit *a,
                      const char *command, struct synth_str extra, const char *key,
                      const char *directory)
{
    const char *end = word_end(command), *base = command;
    struct synth_line l;
    int64_t now = t;
    if (!(s->formats & SYNTH_BIT(SYNTH_F_AUDITD)))
        return;
    for (const char *p = command; p < end; p++)
        if (*p == '/')
            base = p + 1;
    struct synth_str exe = {command, (uint32_t)(end - command)};
    struct synth_str comm = {base, (uint32_t)(end - base) > 15 ? 15 : (uint32_t)(end - base)};
    syscall_record(s, t, a, exe, comm, key);
    if (synth_begin(s, SYNTH_F_AUDITD, &now, &l)) {
        PUT(&l, AUDIT(a, "EXECVE"));
        put_execve(&l, command, extra);
        synth_end(s, now, &l);
    }
    if (synth_begin(s, SYNTH_F_AUDITD, &now, &l)) {
        PUT(&l, AUDIT(a, "CWD"), " cwd=\"", directory);
        if (directory[1])
            PUT(&l, a->user);
        PUT(&l, "\"");
        synth_end(s, now, &l);
    }
    for (uint32_t item = 0; item < 2; item++)
        if (synth_begin(s, SYNTH_F_AUDITD, &now, &l)) {
            PUT(&l, AUDIT(a, "PATH"), " item=", item, " name=\"",
                item ? synth_text("/lib64/ld-linux-x86-64.so.2") : exe, "\" inode=",
                a->host->inode + (item ? 17 : exe.n * 131u + (uint8_t)exe.p[exe.n - 1]),
                " dev=fe:01 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 "
                "cap_fi=0 "
                "cap_fe=0 cap_fver=0 cap_frootid=0" GS "OUID=\"root\" OGID=\"root\"");
            synth_end(s, now, &l);
        }
    if (synth_begin(s, SYNTH_F_AUDITD, &now, &l)) {
        PUT(&l, AUDIT(a, "PROCTITLE"), " proctitle=");
        put_title(&l, command, extra);
        synth_end(s, now, &l);
    }
}
