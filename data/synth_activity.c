/* What people and machines do: each activity is one short story told in every log that sees it. */
#include "data/synth_slice.h"

#define MS INT64_C(1000)

static const struct synth_str none = {"", 0};

/* --- people --- */

static void browse(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    const struct synth_person *p = &w->person[x->person];
    const struct synth_site *site = &w->site[synth_skewed(r, w->sites)];
    struct synth_ip to = site->ip[synth_below(r, 4)];
    uint32_t sport = synth_range(r, 49152, 65500), ms = synth_tailed(r, 20, 8);
    uint64_t in = synth_tailed(r, 1800, 10), out = synth_tailed(r, 600, 5);
    struct synth_flow flow = {x->from, to, sport, 443, "tcp", "ssl", "SF", ms * 1000u, out, in};
    if (synth_chance(r, 550)) {
        const struct synth_host *proxy = synth_any_host(s, SYNTH_PROXY);
        uint32_t n = 1 + synth_below(r, 4);
        synth_dns(s, t, proxy->ip, site->name, "A", to, true);
        flow.to = proxy->ip;
        flow.dport = 3128;
        flow.service = "http";
        synth_conn(s, t + 2 * MS, &flow);
        for (uint32_t i = 0; i < n; i++) {
            synth_squid(s, t + 5 * MS, x->from, p->user, site->name, to, !synth_chance(r, 300), ms,
                        in, SYNTH_SKEWED(r, assets), synth_skewed(r, 50000));
            t += synth_range(r, 10, 900) * MS;
            in = synth_tailed(r, 900, 9);
            ms = synth_tailed(r, 8, 7);
        }
        return;
    }
    struct synth_image browser = {&w->host[p->workstation], p->user,
                                  synth_processes[p->index & 1].image, x->pid + 1012, x->start};
    synth_dns(s, t, x->from, site->name, synth_chance(r, 250) ? "AAAA" : "A", to, true);
    if (synth_chance(r, 250))
        synth_sysmon_dns(s, t + MS, &browser, site->name, to);
    synth_conn(s, t + 12 * MS, &flow);
    synth_asa_flow(s, t + 12 * MS, &flow, true);
    if (synth_chance(r, 350))
        synth_sysmon_conn(s, t + 14 * MS, &browser, to, sport, 443, site->name);
}

static const struct synth_process *pick_process(struct synth_rng *r, uint32_t bit)
{
    const struct synth_process *p;
    do
        p = &synth_processes[synth_below(r, synth_n_processes)];
    while (!(p->roles & bit));
    return p;
}

static void start_process(struct synth_slice *s, int64_t t, const struct synth_host *h,
                          const struct synth_account *a, struct synth_str user, uint32_t role_bit)
{
    struct synth_rng *r = &s->rng;
    const struct synth_process *p = pick_process(r, role_bit);
    uint32_t pid = synth_range(r, 300, 6000) * 4, ppid = synth_range(r, 150, 2500) * 4;
    struct synth_image image = {h, user, p->image, pid, t};
    synth_win_process(s, t, h, a, p->image, p->command, p->parent, pid, ppid, role_bit == 0x80);
    synth_sysmon_create(s, t, &image, p, p->command, s->world->hashes[p - synth_processes],
                        a->logon_id, ppid, role_bit == 0x80);
    for (uint32_t i = synth_below(r, 4); i > 0; i--)
        synth_sysmon_load(s, t += 3 * MS, &image, synth_skewed(r, synth_n_dlls));
    if (synth_chance(r, 120))
        synth_sysmon_access(s, t + 9 * MS, &image, "C:\\\\Windows\\\\System32\\\\svchost.exe", 1048,
                            "0x1000");
}

static void run_program(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    const struct synth_person *p = &s->world->person[x->person];
    struct synth_account a = synth_person_account(s->world, p, x->logon_id);
    start_process(s, t, &s->world->host[p->workstation], &a, p->user, 1u << p->role);
}

static void touch_files(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    struct synth_rng *r = &s->rng;
    const struct synth_person *p = &s->world->person[x->person];
    const struct synth_process *program = pick_process(r, 1u << p->role);
    struct synth_image image = {&s->world->host[p->workstation], p->user, program->image,
                                (x->pid + 400 + 8 * (uint32_t)(program - synth_processes)) & ~3u,
                                x->start};
    if (synth_chance(r, 450))
        synth_sysmon_file(s, t, &image, "C:\\\\Users\\\\Public\\\\Documents\\\\",
                          SYNTH_SKEWED(r, documents), synth_skewed(r, 9000),
                          synth_chance(r, 500) ? ".docx" : ".tmp");
    else
        synth_sysmon_registry(s, t, &image, SYNTH_SKEWED(r, registry), p->sid,
                              synth_chance(r, 500) ? "DWORD (0x00000001)" : "Binary Data");
}

static void open_share(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    const struct synth_person *p = &w->person[x->person];
    const struct synth_host *server = synth_any_host(s, SYNTH_FILESRV),
                            *dc = synth_any_host(s, SYNTH_DC);
    struct synth_account a = synth_person_account(w, p, 0x10000 + (synth_next(r) & 0xFFFFFFF));
    uint32_t port = synth_range(r, 49152, 65500), files = 1 + synth_below(r, 4);
    const char *share = SYNTH_SKEWED(r, shares);
    struct synth_flow flow = {x->from,
                              server->ip,
                              port,
                              445,
                              "tcp",
                              "gssapi,smb,krb",
                              "SF",
                              synth_tailed(r, 40000, 10),
                              synth_tailed(r, 2000, 8),
                              synth_tailed(r, 4000, 12)};
    if (synth_chance(r, 300))
        synth_kerberos(s, t, dc, p, x->from, server);
    synth_conn(s, t + 2 * MS, &flow);
    synth_logon(s, t + 4 * MS, server, &a, 3, (struct synth_str){"-", 1}, x->from, port);
    synth_share(s, t + 6 * MS, server, &a, x->from, port, share, NULL, 0);
    for (uint32_t i = 0; i < files; i++)
        synth_share(s, t += synth_range(r, 8, 900) * MS, server, &a, x->from, port, share,
                    SYNTH_SKEWED(r, documents), synth_skewed(r, 9000));
    synth_logoff(s, t + synth_range(r, 1000, 12000) * MS, server, &a, 3);
}

static void send_mail(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    struct synth_rng *r = &s->rng;
    const struct synth_site *site = &s->world->site[synth_skewed(r, s->world->sites)];
    synth_mail_out(s, t, &s->world->person[x->person], x->from, site->name, site->ip[0],
                   synth_tailed(r, 2200, 9));
}

static void use_app(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    const struct synth_person *p = &s->world->person[x->person];
    struct synth_ip office = {203u << 24 | 113u << 8 | 1};
    bool interactive = synth_chance(&s->rng, 180);
    synth_sign_in(s, t, p, x->kind == SYNTH_REMOTE ? p->home_ip : office, p->agent, p->place,
                  interactive && synth_chance(&s->rng, 90) ? 50126 : 0, interactive);
}

static void shell_work(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    struct synth_rng *r = &s->rng;
    const struct synth_person *p = &s->world->person[x->person];
    struct synth_audit a = {.host = &s->world->host[x->host],
                            .user = p->user,
                            .uid = p->uid,
                            .euid = p->uid,
                            .session = x->number,
                            .tty = x->tty,
                            .pid = synth_range(r, 1200, 410000),
                            .ppid = x->pid + 3};
    if (synth_chance(r, p->role == SYNTH_ADMIN ? 450 : 200)) {
        const char *command = SYNTH_SKEWED(r, sudo_commands);
        bool wrong = synth_chance(r, 20);
        synth_sudo(s, t, a.host, p->user, p->uid, x->tty,
                   wrong ? "1 incorrect password attempt" : NULL, command);
        if (wrong)
            return;
        synth_audit_user(s, t, &a, "USER_CMD", "op=PAM:sudo", "/usr/bin/sudo", (struct synth_ip){0},
                         true);
        a.euid = 0;
        synth_audit_exec(s, t + 8 * MS, &a, command, none, "rootcmd", "/home/");
        return;
    }
    for (uint32_t i = 1 + synth_below(r, 3); i > 0; i--) {
        synth_audit_exec(s, t, &a, SYNTH_SKEWED(r, commands), none,
                         synth_chance(r, 800) ? NULL : "exec", "/home/");
        a.pid += 1 + synth_below(r, 9);
        t += synth_range(r, 90, 5000) * MS;
    }
}

void synth_person_activity(struct synth_slice *s, const struct synth_mix *mix, int64_t t,
                           const struct synth_session *x)
{
    const struct synth_person *p = &s->world->person[x->person];
    if (x->kind == SYNTH_SHELL) {
        shell_work(s, t, x);
        return;
    }
    const uint32_t *weight = mix->human[p->role];
    uint32_t dice = synth_below(&s->rng, weight[SYNTH_HUMAN_KINDS - 1]), kind = 0;
    while (dice >= weight[kind])
        kind++;
    switch (kind) {
    case 0:
        browse(s, t, x);
        break;
    case 1:
        synth_intranet_visit(s, t, x);
        break;
    case 2:
        run_program(s, t, x);
        break;
    case 3:
        open_share(s, t, x);
        break;
    case 4:
        send_mail(s, t, x);
        break;
    case 5:
        synth_cloud_work(s, t, p,
                         x->kind == SYNTH_REMOTE ? p->home_ip
                                                 : (struct synth_ip){203u << 24 | 113u << 8 | 1});
        break;
    case 6:
        synth_kube_work(s, t, p, x->from);
        break;
    case 7:
        use_app(s, t, x);
        break;
    case 8:
        if (x->kind == SYNTH_REMOTE)
            synth_vpn_rekey(s, t, x, p->home_ip);
        break;
    default:
        touch_files(s, t, x);
    }
}

void synth_session_open(struct synth_slice *s, const struct synth_session *x)
{
    const struct synth_world *w = s->world;
    const struct synth_person *p = &w->person[x->person];
    const struct synth_host *desk = &w->host[p->workstation], *dc = synth_any_host(s, SYNTH_DC);
    struct synth_account a = synth_person_account(w, p, x->logon_id);
    int64_t t = x->start;
    if (x->kind == SYNTH_SHELL) {
        struct synth_flow flow = {x->from,
                                  w->host[x->host].ip,
                                  x->port,
                                  22,
                                  "tcp",
                                  "ssh",
                                  "SF",
                                  (uint64_t)(x->end - x->start),
                                  synth_tailed(&s->rng, 4000, 8),
                                  synth_tailed(&s->rng, 6000, 9)};
        synth_dns(s, t - 30 * MS, x->from, w->host[x->host].fqdn, "A", w->host[x->host].ip, true);
        synth_conn(s, t - 20 * MS, &flow);
        synth_ssh_open(s, t, x, p->index % 8 != 0);
        return;
    }
    if (x->kind == SYNTH_REMOTE) {
        struct synth_flow flow = {p->home_ip,
                                  w->host[w->first[SYNTH_VPN]].ip,
                                  x->port,
                                  1194,
                                  "udp",
                                  "-",
                                  "SF",
                                  (uint64_t)(x->end - x->start),
                                  synth_tailed(&s->rng, 900000, 8),
                                  synth_tailed(&s->rng, 4000000, 8)};
        synth_conn(s, t, &flow);
        synth_vpn_open(s, t, x, p->home_ip);
        t += 4000 * MS;
    }
    synth_kerberos(s, t, dc, p, x->from, NULL);
    synth_kerberos(s, t + 30 * MS, dc, p, x->from, desk);
    synth_logon(s, t + 60 * MS, desk, &a, x->kind == SYNTH_REMOTE ? 11 : 2, desk->upper,
                (struct synth_ip){0x7F000001}, 0);
    if (p->role == SYNTH_ADMIN)
        synth_privileges(s, t + 61 * MS, desk, &a);
    synth_sign_in(s, t + 9000 * MS, p,
                  x->kind == SYNTH_REMOTE ? p->home_ip
                                          : (struct synth_ip){203u << 24 | 113u << 8 | 1},
                  p->agent, p->place, 0, true);
}

void synth_session_close(struct synth_slice *s, const struct synth_session *x)
{
    const struct synth_person *p = &s->world->person[x->person];
    if (x->kind == SYNTH_SHELL) {
        synth_ssh_close(s, x->end, x);
        return;
    }
    struct synth_account a = synth_person_account(s->world, p, x->logon_id);
    synth_logoff(s, x->end, &s->world->host[p->workstation], &a, x->kind == SYNTH_REMOTE ? 11 : 2);
    if (x->kind == SYNTH_REMOTE)
        synth_vpn_close(s, x->end + 800 * MS, x, p->home_ip);
}

/* --- machines --- */

static const struct synth_host *any_linux(struct synth_slice *s)
{
    const struct synth_world *w = s->world;
    return &w->host[w->first[SYNTH_WEB] + synth_below(&s->rng, w->hosts - w->first[SYNTH_WEB])];
}

static void firewall_noise(struct synth_slice *s, int64_t t)
{
    static const uint16_t ports[] = {23, 445,  3389, 22,   8080, 1433, 5900, 6379,
                                     80, 8443, 2323, 5060, 3306, 5432, 9200, 25565};
    struct synth_rng *r = &s->rng;
    uint32_t k = synth_below(r, 256);
    bool udp = synth_chance(r, 120);
    struct synth_flow flow = {synth_client_ip(s->world, 50000 + synth_below(r, 15000)),
                              {203u << 24 | 113u << 8 | (2 + k % 250)},
                              synth_range(r, 1024, 65500),
                              synth_chance(r, 750) ? ports[synth_skewed(r, 16)]
                                                   : synth_range(r, 1, 65535),
                              udp ? "udp" : "tcp",
                              "-",
                              "S0",
                              0,
                              udp ? synth_range(r, 20, 400) : 0,
                              0};
    if (synth_chance(r, 400))
        synth_iptables(s, t, &flow, synth_chance(r, 900) ? "BLOCK" : "AUDIT");
    else
        synth_asa_deny(s, t, &flow);
    if (synth_chance(r, 300))
        synth_conn(s, t, &flow);
}

static void windows_service(struct synth_slice *s, int64_t t)
{
    static const enum synth_duty duties[] = {SYNTH_WORKSTATION, SYNTH_WINAPP, SYNTH_DC,
                                             SYNTH_FILESRV};
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    const struct synth_host *h = synth_any_host(s, duties[synth_below(r, 4)]);
    struct synth_account system = {{"S-1-5-18", 8}, {"SYSTEM", 6}, {"NT AUTHORITY", 12}, 0x3e7};
    uint32_t dice = synth_below(r, 100);
    if (dice < 30) {
        synth_logon(s, t, h, &system, 5, (struct synth_str){"-", 1}, (struct synth_ip){0x7F000001},
                    0);
        synth_privileges(s, t + MS, h, &system);
    } else if (dice < 65) {
        start_process(s, t, h, &system, none, 0x80);
    } else if (dice < 85) {
        const struct synth_process *p = pick_process(r, 0x80);
        struct synth_image image = {h, none, p->image, 900 + 8 * (uint32_t)(p - synth_processes),
                                    0};
        if (dice < 78)
            synth_sysmon_registry(s, t, &image, SYNTH_SKEWED(r, registry), h->upper,
                                  "DWORD (0x00000020)");
        else
            synth_sysmon_access(s, t, &image, "C:\\\\Windows\\\\System32\\\\lsass.exe", 684,
                                "0x1400");
    } else {
        const struct synth_host *dc = synth_any_host(s, SYNTH_DC);
        uint32_t port = synth_range(r, 49152, 65500);
        struct synth_account machine = {
            {"S-1-5-18", 8}, h->upper, w->netbios, 0x10000 + (synth_next(r) & 0xFFFFFFF)};
        struct synth_flow flow = {h->ip,
                                  dc->ip,
                                  port,
                                  389,
                                  "tcp",
                                  "ldap",
                                  "SF",
                                  synth_tailed(r, 2000, 6),
                                  synth_tailed(r, 300, 4),
                                  synth_tailed(r, 900, 5)};
        synth_conn(s, t, &flow);
        synth_logon(s, t + 3 * MS, dc, &machine, 3, (struct synth_str){"-", 1}, h->ip, port);
        synth_logoff(s, t + synth_range(r, 20, 9000) * MS, dc, &machine, 3);
    }
}

static void server_lookup(struct synth_slice *s, int64_t t)
{
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    const struct synth_host *h = any_linux(s), *peer = any_linux(s);
    const struct synth_site *site = &w->site[synth_skewed(r, w->sites)];
    static const char *const types[] = {"A", "AAAA", "PTR", "SRV", "MX"};
    bool inside = synth_chance(r, 550), found = !synth_chance(r, 60);
    struct synth_flow flow = {h->ip,
                              peer->ip,
                              synth_range(r, 32768, 60999),
                              443,
                              "tcp",
                              "ssl",
                              "SF",
                              synth_tailed(r, 1500, 9),
                              synth_tailed(r, 400, 8),
                              synth_tailed(r, 700, 9)};
    synth_dns(s, t, h->ip, inside ? peer->fqdn : site->name, types[synth_skewed(r, 5)],
              inside ? peer->ip : site->ip[0], found);
    if (synth_chance(r, 500)) {
        flow.dport = peer->duty == SYNTH_DB ? 5432 : 8080;
        flow.service = peer->duty == SYNTH_DB ? "postgresql" : "http";
        synth_conn(s, t + 2 * MS, &flow);
    }
}

static void automation(struct synth_slice *s, int64_t t)
{
    static const char *const users[] = {"nagios", "ansible", "zabbix", "telegraf"};
    struct synth_rng *r = &s->rng;
    const struct synth_host *h = any_linux(s);
    uint32_t k = synth_below(r, 4);
    const char *command = SYNTH_SKEWED(r, sudo_commands);
    struct synth_audit a = {.host = h,
                            .user = synth_text(users[k]),
                            .uid = 990 + k,
                            .session = synth_range(r, 20, 99999),
                            .pid = synth_range(r, 1200, 410000),
                            .ppid = 800 + k};
    synth_sudo(s, t, h, a.user, a.uid, 0, NULL, command);
    synth_audit_exec(s, t + 6 * MS, &a, command, none, "rootcmd", "/home/");
}

static void nightly_backup(struct synth_slice *s, int64_t t)
{
    struct synth_rng *r = &s->rng;
    const struct synth_host *h = any_linux(s),
                            *store = &s->world->host[s->world->first[SYNTH_FILESRV]];
    struct synth_flow flow = {h->ip,
                              store->ip,
                              synth_range(r, 32768, 60999),
                              873,
                              "tcp",
                              "-",
                              "SF",
                              synth_tailed(r, 4000000, 6),
                              (uint64_t)synth_tailed(r, 4000000, 9) * 4,
                              synth_tailed(r, 20000, 5)};
    synth_cron(s, t, h, "/usr/local/bin/backup.sh");
    synth_conn(s, t + 900 * MS, &flow);
}

static void software_update(struct synth_slice *s, int64_t t)
{
    struct synth_rng *r = &s->rng;
    const struct synth_host *h =
        synth_any_host(s, synth_chance(r, 500) ? SYNTH_WORKSTATION : SYNTH_APP);
    const struct synth_site *site = &s->world->site[synth_skewed(r, 40)];
    synth_squid(s, t, h->ip, (struct synth_str){"-", 1}, site->name, site->ip[1],
                synth_chance(r, 400), synth_tailed(r, 10, 8), synth_tailed(r, 900, 12),
                SYNTH_PICK(r, assets), synth_skewed(r, 5000));
}

static void cron_job(struct synth_slice *s, int64_t t)
{
    int64_t hour = t / SYNTH_HOUR;
    if (hour >= 1 && hour < 4 && synth_chance(&s->rng, 400))
        nightly_backup(s, t);
    else
        synth_cron(s, t - t % SYNTH_MINUTE + SYNTH_SECOND, any_linux(s),
                   SYNTH_SKEWED(&s->rng, cron_jobs));
}

static void ssh_scanner(struct synth_slice *s, int64_t t)
{
    synth_ssh_probe(s, t, synth_any_host(s, SYNTH_JUMP),
                    synth_client_ip(s->world, 45000 + synth_below(&s->rng, 9000)));
}

static void vpn_scanner(struct synth_slice *s, int64_t t)
{
    synth_vpn_fail(s, t, synth_client_ip(s->world, 55000 + synth_below(&s->rng, 3000)),
                   synth_range(&s->rng, 1024, 65500), none);
}

static const struct synth_person *any_person(struct synth_slice *s)
{
    return &s->world->person[synth_skewed(&s->rng, s->world->people)];
}

static void mail_arrives(struct synth_slice *s, int64_t t)
{
    synth_mail_in(s, t, any_person(s));
}

static void phone_refresh(struct synth_slice *s, int64_t t)
{
    const struct synth_person *p = any_person(s);
    synth_sign_in(s, t, p, p->phone_ip, p->phone_agent, p->place, 0, false);
}

/* In the order of the machine table in synth_fill.c. */
static void (*const machine_kinds[SYNTH_MACHINE_KINDS])(struct synth_slice *, int64_t) = {
    cron_job,        synth_public_visit, synth_public_noise,  firewall_noise, ssh_scanner,
    windows_service, synth_kube_service, synth_cloud_service, server_lookup,  automation,
    mail_arrives,    synth_mail_reject,  vpn_scanner,         phone_refresh,  software_update};

void synth_machine_activity(struct synth_slice *s, const struct synth_mix *mix, int64_t t)
{
    uint32_t dice = synth_below(&s->rng, mix->machine[SYNTH_MACHINE_KINDS - 1]), kind = 0;
    while (dice >= mix->machine[kind])
        kind++;
    machine_kinds[kind](s, t);
}
