/* Playing the beats of an incident: the lines that each step leaves in every log that sees it. */
#include "base/error.h"
#include "data/synth_incidents.h"

#include <stdio.h>

#define MS    INT64_C(1000)
#define SYS32 "C:\\\\Windows\\\\System32\\\\"
static const struct synth_str none = {"", 0};
static const struct synth_ip office = {203u << 24 | 113u << 8 | 1};

/* Everything a step needs to know. */
struct scene {
    struct synth_slice *s;
    const struct synth_incident *i;
    const struct synth_person *p;
    const struct synth_host *desk; /* the person's workstation */
    struct synth_account account;
    uint32_t value;
    int64_t t;
};

static void flow(const struct scene *c, struct synth_ip from, struct synth_ip to, uint32_t dport,
                 const char *service, const char *state, uint64_t out, uint64_t in)
{
    struct synth_flow f = {from,    to,    synth_range(&c->s->rng, 32768, 65500), dport, "tcp",
                           service, state, synth_range(&c->s->rng, 900, 4000000), out,   in};
    synth_conn(c->s, c->t, &f);
    if (to.v >> 24 != 10)
        synth_asa_flow(c->s, c->t, &f, true);
    else if (from.v >> 24 != 10 && state[0] == 'S' && state[1] == 'F')
        synth_asa_flow(c->s, c->t, &f, false);
}

static void guess(const struct scene *c, enum synth_step step)
{
    struct synth_slice *s = c->s;
    struct synth_rng *r = &s->rng;
    const struct synth_incident *i = c->i;
    const struct synth_world *w = s->world;
    bool known = c->value % 4 == 0;
    struct synth_str name = known ? c->p->user : synth_text(SYNTH_SKEWED(r, guesses));
    const struct synth_person *other = &w->person[synth_below(r, w->people)];
    const struct synth_host *vpn = &w->host[w->first[SYNTH_VPN]],
                            *rdp = &w->host[w->first[SYNTH_WINAPP]];
    switch (step) {
    case S_SSH_GUESS:
        flow(c, i->attacker, i->victim->ip, 22, "ssh", "SF", 1200, 1900);
        synth_ssh_fail(s, c->t, i->victim, name, known, i->attacker, synth_range(r, 32768, 60999),
                       synth_range(r, 1200, 410000));
        break;
    case S_SPRAY:
        synth_sign_in(s, c->t, other, i->attacker, synth_text(synth_bots[5]), other->place,
                      c->value % 9 ? 50126 : 50053, true);
        break;
    case S_VPN_GUESS:
        flow(c, i->attacker, vpn->ip, 1194, "-", "SF", 3100, 2700);
        synth_vpn_fail(s, c->t, i->attacker, synth_range(r, 1024, 65500), name);
        break;
    default:
        flow(c, i->attacker, rdp->ip, 3389, "rdp", "SF", 2300, 1800);
        synth_logon_fail(s, c->t, rdp, name, known, 3, i->attacker);
    }
}

static void get_in(const struct scene *c, enum synth_step step)
{
    struct synth_slice *s = c->s;
    const struct synth_incident *i = c->i;
    const struct synth_world *w = s->world;
    const struct synth_host *rdp = &w->host[w->first[SYNTH_WINAPP]];
    struct synth_session x = i->session;
    switch (step) {
    case S_SSH_IN:
        flow(c, i->attacker, i->victim->ip, 22, "ssh", "SF", 9000, 31000);
        synth_ssh_open(s, c->t, &x, false);
        break;
    case S_SSH_OUT:
        synth_ssh_close(s, c->t, &x);
        break;
    case S_SIGN_IN:
        synth_sign_in(s, c->t, c->p, i->attacker, synth_text(synth_agents[7]),
                      synth_text(synth_places[c->value % synth_n_places]), 0, true);
        break;
    case S_VPN_IN:
        synth_vpn_open(s, c->t, &x, i->attacker);
        break;
    default:
        flow(c, i->attacker, rdp->ip, 3389, "rdp", "SF", 410000, 5200000);
        synth_logon(s, c->t, rdp, &c->account, 10, rdp->upper, i->attacker, 0);
    }
}

static struct synth_audit attacker_shell(const struct scene *c, uint32_t euid)
{
    return (struct synth_audit){.host = c->i->victim,
                                .user = c->p->user,
                                .uid = c->p->uid,
                                .euid = euid,
                                .session = c->i->session.number,
                                .pid = synth_range(&c->s->rng, 1200, 410000),
                                .ppid = c->i->session.pid};
}

static void shell_command(const struct scene *c)
{
    struct synth_slice *s = c->s;
    const struct synth_incident *i = c->i;
    struct synth_audit a = attacker_shell(c, c->p->uid);
    const char *command = synth_attack_commands[c->value % synth_n_attack_commands];
    char ip[24];
    struct synth_line l = {ip};
    PUT(&l, i->attacker, "/x");
    bool fetches = command[strlen(command) - 1] == '/';
    synth_audit_exec(s, c->t, &a, command,
                     fetches ? (struct synth_str){ip, (uint32_t)(l.p - ip)} : none, "exec",
                     "/home/");
    if (fetches)
        flow(c, i->victim->ip, i->attacker, 80, "http", "SF", 180, 48000);
}

static void windows_program(const struct scene *c, const struct synth_host *h,
                            struct synth_process p, const char *command, bool elevated)
{
    struct synth_slice *s = c->s;
    uint32_t pid = synth_range(&s->rng, 300, 6000) * 4, ppid = synth_range(&s->rng, 150, 2500) * 4;
    struct synth_image image = {h, c->p->user, p.image, pid, c->t};
    synth_win_process(s, c->t, h, &c->account, p.image, command, p.parent, pid, ppid, elevated);
    synth_sysmon_create(s, c->t, &image, &p, command,
                        s->world->hashes[c->value % synth_n_processes], c->account.logon_id, ppid,
                        elevated);
}

#define CMD_PARENT SYS32 "cmd.exe", SYS32 "cmd.exe /Q"
#define MICROSOFT  "Microsoft\u00ae Windows\u00ae Operating System", "Microsoft Corporation"

static void move(const struct scene *c, enum synth_step step)
{
    struct synth_slice *s = c->s;
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    enum synth_duty duty = c->value % 3 ? SYNTH_WINAPP : SYNTH_FILESRV;
    const struct synth_host *to = &w->host[w->first[duty] + (c->value >> 8) % w->count[duty]];
    uint32_t port = synth_range(r, 49152, 65500);
    if (step == S_SSH_HOP) {
        struct synth_session x = c->i->session;
        x.host = c->i->next->index;
        x.from = c->i->victim->ip;
        x.pid = synth_range(r, 1200, 410000);
        x.port = (uint16_t)port;
        flow(c, x.from, c->i->next->ip, 22, "ssh", "SF", 5200, 18000);
        synth_ssh_open(s, c->t, &x, true);
        return;
    }
    synth_kerberos(s, c->t, &w->host[w->first[SYNTH_DC]], c->p, c->desk->ip, to);
    if (step == S_RDP) {
        flow(c, c->desk->ip, to->ip, 3389, "rdp", "SF", 300000, 4100000);
        synth_logon(s, c->t + 40 * MS, to, &c->account, 10, to->upper, c->desk->ip, 0);
        return;
    }
    flow(c, c->desk->ip, to->ip, 445, "gssapi,smb,dce_rpc,krb", "SF", 62000, 9100);
    synth_logon(s, c->t + 30 * MS, to, &c->account, 3, (struct synth_str){"-", 1}, c->desk->ip,
                port);
    synth_share(s, c->t + 40 * MS, to, &c->account, c->desk->ip, port, "ADMIN$", NULL, 0);
    synth_service_installed(s, c->t + 60 * MS, to, &c->account, "PSEXESVC",
                            "%SystemRoot%\\\\PSEXESVC.exe");
    struct synth_process p = {SYS32 "cmd.exe",
                              "cmd.exe",
                              "Windows Command Processor",
                              MICROSOFT,
                              "Cmd.Exe",
                              "C:\\\\Windows\\\\PSEXESVC.exe",
                              "C:\\\\Windows\\\\PSEXESVC.exe",
                              0};
    windows_program(c, to, p, "cmd.exe /c whoami /all & net group \\\"Domain Admins\\\" /domain",
                    true);
}

static void take_out(const struct scene *c, enum synth_step step)
{
    static const char *const drops[] = {"mega.nz", "transfer.sh", "www.dropbox.com",
                                        "pastebin.com"};
    static const struct synth_api get_object = {"s3", "GetObject", true, "bucketName",
                                                SYNTH_H_BUCKET};
    struct synth_slice *s = c->s;
    struct synth_rng *r = &s->rng;
    const struct synth_incident *i = c->i;
    uint64_t bytes = synth_tailed(r, 40000000, 5);
    char text[80];
    struct synth_line l = {text};
    struct synth_process rar = {"C:\\\\Users\\\\Public\\\\rar.exe",
                                "",
                                "Command line RAR",
                                "WinRAR",
                                "Alexander Roshal",
                                "rar.exe",
                                CMD_PARENT,
                                0};
    switch (step) {
    case S_ARCHIVE:
        windows_program(
            c, c->desk, rar,
            "rar.exe a -hp -m5 C:\\\\Users\\\\Public\\\\d.rar H:\\\\Finance H:\\\\Projects", false);
        break;
    case S_DNS_OUT:
        synth_put_rand_hex(&l, r, 48);
        PUT(&l, ".ns1.", synth_site_words[i->number % synth_n_site_words],
            synth_site_words[i->number / 7 % synth_n_site_words], ".example");
        synth_dns(s, c->t, c->desk->ip, (struct synth_str){text, (uint32_t)(l.p - text)}, "TXT",
                  i->attacker, true);
        break;
    case S_UPLOAD:
        flow(c, c->desk->ip, i->attacker, 443, "ssl", "SF", bytes, 91000);
        break;
    case S_WEB_OUT:
        flow(c, c->desk->ip, i->attacker, 443, "ssl", "SF", bytes, 70000);
        synth_squid(s, c->t, c->desk->ip, c->p->user, synth_text(drops[i->number % 4]), i->attacker,
                    true, synth_range(r, 20000, 900000), bytes, "", 0);
        break;
    default:
        synth_cloud_call(s, c->t, c->p, i->attacker, &get_object, none, NULL);
    }
}

static void escalate(const struct scene *c, enum synth_step step)
{
    static const struct synth_api policies[] = {
        {"iam", "AttachUserPolicy", false, "userName", SYNTH_H_USER},
        {"iam", "PutUserPolicy", false, "userName", SYNTH_H_USER},
        {"iam", "CreatePolicyVersion", false, "policyArn", SYNTH_H_TEXT}};
    struct synth_slice *s = c->s;
    const struct synth_incident *i = c->i;
    struct synth_audit a = attacker_shell(c, 0);
    struct synth_image image = {c->desk, c->p->user, SYS32 "reg.exe",
                                synth_range(&s->rng, 300, 6000) * 4, c->t};
    struct synth_process fod = {SYS32 "fodhelper.exe",
                                "",
                                "Features On Demand Helper",
                                MICROSOFT,
                                "FodHelper.EXE",
                                CMD_PARENT,
                                0};
    switch (step) {
    case S_SUDO_DENIED:
        synth_sudo(s, c->t, i->victim, c->p->user, c->p->uid, 0,
                   c->value % 2 ? "user NOT in sudoers" : "3 incorrect password attempts",
                   "/usr/bin/bash");
        break;
    case S_EXPLOIT:
        synth_audit_exec(s, c->t, &a, "/usr/bin/pkexec --version", none, "priv_esc", "/tmp/.");
        synth_audit_exec(s, c->t + 70 * MS, &a, "/usr/bin/bash -p", none, "priv_esc", "/tmp/.");
        break;
    case S_UAC:
        synth_sysmon_registry(s, c->t, &image, "HKU\\\\", c->p->sid,
                              "cmd.exe /c start C:\\\\Users\\\\Public\\\\u.exe "
                              "(ms-settings\\\\Shell\\\\Open\\\\command)");
        windows_program(c, c->desk, fod, SYS32 "fodhelper.exe", true);
        break;
    default:
        synth_cloud_call(
            s, c->t, c->p, i->attacker, &policies[c->value % 3],
            c->value % 3 == 2 ? synth_text("arn:aws:iam::aws:policy/AdministratorAccess") : none,
            NULL);
    }
}

static void stay_on_windows(const struct scene *c, enum synth_step step)
{
    struct synth_slice *s = c->s;
    const struct synth_incident *i = c->i;
    struct synth_image image = {c->desk, c->p->user, SYS32 "reg.exe",
                                synth_range(&s->rng, 300, 6000) * 4, c->t};
    struct synth_process task = {
        SYS32 "schtasks.exe", "", "Task Scheduler Configuration Tool", MICROSOFT, "schtasks.exe",
        CMD_PARENT,           0};
    struct synth_process net = {SYS32 "net.exe", "", "Net Command", MICROSOFT, "net.exe",
                                CMD_PARENT,      0};
    uint32_t rid = 9000 + i->number % 900;
    char command[80];
    switch (step) {
    case S_TASK:
        windows_program(
            c, c->desk, task,
            "schtasks /create /tn OneDriveSync /tr C:\\\\Users\\\\Public\\\\u.exe /sc onlogon /f",
            true);
        synth_task_created(s, c->t + 90 * MS, c->desk, &c->account, "OneDriveSync",
                           "C:\\\\Users\\\\Public\\\\u.exe");
        break;
    case S_SERVICE:
        synth_service_installed(s, c->t, c->desk, &c->account, "WinHelpSvc",
                                "C:\\\\ProgramData\\\\whs\\\\whs.exe -k run");
        synth_sysmon_registry(
            s, c->t + 20 * MS, &image,
            "HKLM\\\\System\\\\CurrentControlSet\\\\Services\\\\WinHelpSvc\\\\ImagePath", none,
            "C:\\\\ProgramData\\\\whs\\\\whs.exe -k run");
        break;
    case S_WIN_USER:
        snprintf(command, sizeof command, "net user %s Winter2025! /add", i->created);
        windows_program(c, c->desk, net, command, true);
        synth_account_created(s, c->t + 80 * MS, c->desk, &c->account, i->created, rid);
        synth_group_added(s, c->t + 2000 * MS, c->desk, &c->account, i->created, rid);
        break;
    default:
        synth_sysmon_registry(
            s, c->t, &image,
            "HKU\\\\Software\\\\Microsoft\\\\Windows\\\\CurrentVersion\\\\Run\\\\OneDriveUpd", none,
            "C:\\\\Users\\\\Public\\\\u.exe");
    }
}

static void stay_elsewhere(const struct scene *c, enum synth_step step)
{
    static const struct synth_api create_key = {"iam", "CreateAccessKey", false, "userName",
                                                SYNTH_H_USER};
    struct synth_slice *s = c->s;
    const struct synth_incident *i = c->i;
    struct synth_audit a = attacker_shell(c, 0);
    char command[80];
    switch (step) {
    case S_USERADD:
        snprintf(command, sizeof command, "/usr/sbin/useradd -m -G sudo %s", i->created);
        synth_sudo(s, c->t, i->victim, c->p->user, c->p->uid, 0, NULL, command);
        synth_useradd(s, c->t + 40 * MS, i->victim, i->created, 2000 + i->number % 500);
        break;
    case S_CRONTAB:
        synth_audit_exec(s, c->t, &a, "/usr/bin/crontab /tmp/.c", none, "cron", "/tmp/.");
        break;
    case S_ACCESS_KEY:
        synth_cloud_call(s, c->t, c->p, i->attacker, &create_key, none, NULL);
        break;
    default:
        synth_kube(s, c->t, c->p->mail, "developers", office,
                   "kubectl/v1.32.2 (linux/amd64) kubernetes/67a30c0", "create",
                   "clusterrolebindings", "rbac.authorization.k8s.io", "", synth_text(i->created),
                   201);
    }
}

static void scan(const struct scene *c, enum synth_step step)
{
    struct synth_slice *s = c->s;
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    const struct synth_incident *i = c->i;
    struct synth_flow f = {i->attacker,
                           {203u << 24 | 113u << 8 | (2 + c->value % 250)},
                           synth_range(r, 32768, 65500),
                           1 + (c->value >> 8) % 10000,
                           "tcp",
                           "-",
                           "S0",
                           0,
                           0,
                           0};
    switch (step) {
    case S_SCAN_IP:
        synth_asa_deny(s, c->t, &f);
        synth_iptables(s, c->t + MS, &f, "BLOCK");
        synth_conn(s, c->t, &f);
        break;
    case S_SCAN_WEB:
        synth_access(s, SYNTH_F_NGINX, c->t, i->attacker, none, "GET", SYNTH_PICK(r, probes),
                     c->value % 100000, c->value % 11 ? 404 : 403, synth_range(r, 150, 690), "-", 0,
                     synth_text(synth_bots[4 + c->value % 4]));
        if (c->value % 3 == 0)
            synth_access(s, SYNTH_F_APACHE, c->t + 90 * MS, i->attacker, none, "GET",
                         SYNTH_PICK(r, probes), c->value % 100000, 404, synth_range(r, 150, 690),
                         "-", 0, synth_text(synth_bots[4 + c->value % 4]));
        break;
    default:
        f.from = c->desk->ip;
        f.to = w->host[c->value % w->hosts].ip;
        f.state = c->value % 4 ? "REJ" : "S0";
        f.duration_us = 400 + c->value % 900;
        synth_conn(s, c->t, &f);
    }
}

static void play(const struct scene *c, enum synth_step step)
{
    if (step == S_COMMAND)
        shell_command(c);
    else if (step == S_SSH_GUESS || step == S_SPRAY || step == S_VPN_GUESS || step == S_RDP_GUESS)
        guess(c, step);
    else if (step <= S_RDP_IN)
        get_in(c, step);
    else if (step <= S_SSH_HOP)
        move(c, step);
    else if (step <= S_BUCKET)
        take_out(c, step);
    else if (step <= S_POLICY)
        escalate(c, step);
    else if (step == S_TASK || step == S_SERVICE || step == S_WIN_USER || step == S_RUN_KEY)
        stay_on_windows(c, step);
    else if (step <= S_BINDING)
        stay_elsewhere(c, step);
    else
        scan(c, step);
}

int synth_plan_play(const struct synth_plan *plan, uint32_t day, struct synth_slice *s)
{
    int64_t from = (int64_t)day * SYNTH_DAY + s->t0, to = (int64_t)day * SYNTH_DAY + s->t1;
    size_t low = 0, high = plan->beats;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (plan->beat[mid].time < from)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < plan->beats && plan->beat[low].time < to; low++) {
        const struct synth_beat *b = &plan->beat[low];
        const struct synth_incident *i = &plan->incident[b->incident];
        const struct synth_person *p = &s->world->person[i->person];
        struct scene c = {s,
                          i,
                          p,
                          &s->world->host[p->workstation],
                          synth_person_account(s->world, p, i->session.logon_id),
                          b->value,
                          b->time - (int64_t)day * SYNTH_DAY};
        s->beat = (uint32_t)low + 1;
        s->actors = &i->actors;
        play(&c, (enum synth_step)b->step);
    }
    s->beat = 0;
    return s->rc;
}
