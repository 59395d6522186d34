/* Network: Zeek conn.log and dns.log (with BIND's query log), Cisco ASA, netfilter, OpenVPN. */
#include "data/synth_slice.h"

#define MS INT64_C(1000)

const struct synth_host *synth_any_host(struct synth_slice *s, enum synth_duty duty)
{
    const struct synth_world *w = s->world;
    return &w->host[w->first[duty] + synth_skewed(&s->rng, w->count[duty])];
}

static bool is_local(struct synth_ip ip)
{
    return ip.v >> 24 == 10;
}

static void put_uid(struct synth_line *l, struct synth_rng *r)
{
    *l->p++ = 'C';
    synth_put_rand_base62(l, r, 16 + (int)(synth_next(r) & 1));
}

static void put_interval(struct synth_line *l, uint64_t us)
{
    PUT(l, us / 1000000, ".", PAD((uint32_t)(us % 1000000), 6));
}

void synth_conn(struct synth_slice *s, int64_t t, const struct synth_flow *f)
{
    struct synth_line l;
    int64_t now = t;
    bool udp = f->proto[0] == 'u', complete = f->state[0] == 'S' && f->state[1] == 'F';
    bool refused = f->state[0] == 'R', silent = !complete && !refused;
    uint64_t out_packets = complete ? f->out_bytes / 1200 + (udp ? 1 : 5) : 1;
    uint64_t in_packets = silent ? 0 : complete ? f->in_bytes / 1400 + (udp ? 1 : 4) : 1;
    uint32_t header = udp ? 28 : complete ? 52 : 44;
    if (!synth_begin(s, SYNTH_F_ZEEK_CONN, &now, &l))
        return;
    PUT(&l, AT(SYNTH_EPOCH_US), "\t");
    put_uid(&l, &s->rng);
    PUT(&l, "\t", f->from, "\t", f->sport, "\t", f->to, "\t", f->dport, "\t", f->proto, "\t",
        f->service, "\t");
    if (silent && !udp)
        PUT(&l, "-\t-\t-");
    else if (silent)
        PUT(&l, "-\t", f->out_bytes, "\t-");
    else {
        put_interval(&l, f->duration_us);
        PUT(&l, "\t", complete ? f->out_bytes : 0, "\t", complete ? f->in_bytes : 0);
    }
    PUT(&l, "\t", f->state, "\t", is_local(f->from) ? "T" : "F", "\t", is_local(f->to) ? "T" : "F",
        "\t0\t",
        udp                  ? (silent ? "D" : "Dd")
        : silent             ? "S"
        : refused            ? "Sr"
        : f->duration_us & 4 ? "ShADadFf"
                             : "ShADadfF",
        "\t", out_packets, "\t", (complete || udp ? f->out_bytes : 0) + out_packets * header, "\t",
        in_packets, "\t", complete ? f->in_bytes + in_packets * header : in_packets * 40, "\t-\t",
        udp ? "17" : "6");
    synth_end(s, now, &l);
}

static void named_query(struct synth_slice *s, int64_t t, struct synth_ip from, uint32_t port,
                        struct synth_str query, const char *type, const struct synth_host *server)
{
    EMIT(SYNTH_F_NAMED, t, AT(SYNTH_BIND), " queries: info: client @0x7f",
         HEXW(synth_next(&s->rng) >> 24 & 0xFFFFFFFF8u, 10), " ", from, "#", port, " (", query,
         "): query: ", query, " IN ", type, " +E(0)K (", server->ip, ")");
}

void synth_dns(struct synth_slice *s, int64_t t, struct synth_ip from, struct synth_str query,
               const char *type, struct synth_ip answer, bool found)
{
    struct synth_rng *r = &s->rng;
    const struct synth_host *server = synth_any_host(s, SYNTH_DNS);
    uint32_t port = synth_range(r, 1024, 65500), id = synth_below(r, 65536), kind, rtt;
    struct synth_line l;
    int64_t now = t;
    named_query(s, t + 200, from, port, query, type, server);
    kind = type[0] == 'P'   ? 12
           : type[0] == 'M' ? 15
           : type[0] == 'T' ? 16
           : type[0] == 'S' ? 33
           : type[1]        ? 28
                            : 1;
    rtt = synth_tailed(r, 300, 8);
    if (!synth_begin(s, SYNTH_F_ZEEK_DNS, &now, &l))
        return;
    PUT(&l, AT(SYNTH_EPOCH_US), "\t");
    put_uid(&l, r);
    PUT(&l, "\t", from, "\t", port, "\t", server->ip, "\t53\tudp\t", id, "\t");
    put_interval(&l, rtt);
    PUT(&l, "\t", query, "\t1\tC_INTERNET\t", kind, "\t", type, "\t",
        found ? "0\tNOERROR\tF\tF\tT\tT\t0\t" : "3\tNXDOMAIN\tF\tF\tT\tT\t0\t");
    if (found && kind == 1)
        PUT(&l, answer, "\t", synth_range(r, 5, 3600), ".000000\tF");
    else if (found && kind == 16)
        PUT(&l, "TXT 32 ", HEXW(synth_next(r), 16), HEXW(synth_next(r), 16), "\t60.000000\tF");
    else
        PUT(&l, "-\t-\tF");
    synth_end(s, now, &l);
}

#define ASA(time, level_id, ...)                                                                   \
    EMIT(SYNTH_F_ASA, time, AT(SYNTH_SYSLOG), " fw-01 : %ASA-" level_id ": ", __VA_ARGS__)

void synth_asa_flow(struct synth_slice *s, int64_t t, const struct synth_flow *f, bool outbound)
{
    uint32_t id = synth_range(&s->rng, 100000000, 999999999);
    uint32_t seconds = (uint32_t)(f->duration_us / 1000000);
    struct synth_ip inside = outbound ? f->from : f->to, outside = outbound ? f->to : f->from;
    struct synth_ip nat = {203u << 24 | 113u << 8 | (10 + inside.v % 200)};
    uint32_t inside_port = outbound ? f->sport : f->dport,
             outside_port = outbound ? f->dport : f->sport;
    const char *zone = outbound ? "inside:" : "dmz:";
    if (f->proto[0] == 'u') {
        ASA(t, "6-302015", "Built outbound UDP connection ", id, " for outside:", outside, "/",
            outside_port, " (", outside, "/", outside_port, ") to ", zone, inside, "/", inside_port,
            " (", nat, "/", inside_port, ")");
        ASA(t + (int64_t)f->duration_us, "6-302016", "Teardown UDP connection ", id,
            " for outside:", outside, "/", outside_port, " to ", zone, inside, "/", inside_port,
            " duration ", seconds / 3600, ":", PAD(seconds / 60 % 60, 2), ":", PAD(seconds % 60, 2),
            " bytes ", f->out_bytes + f->in_bytes);
        return;
    }
    ASA(t, "6-302013", "Built ", outbound ? "outbound" : "inbound", " TCP connection ", id,
        " for outside:", outside, "/", outside_port, " (", outside, "/", outside_port, ") to ",
        zone, inside, "/", inside_port, " (", nat, "/", inside_port, ")");
    ASA(t + (int64_t)f->duration_us, "6-302014", "Teardown TCP connection ", id,
        " for outside:", outside, "/", outside_port, " to ", zone, inside, "/", inside_port,
        " duration ", seconds / 3600, ":", PAD(seconds / 60 % 60, 2), ":", PAD(seconds % 60, 2),
        " bytes ", f->out_bytes + f->in_bytes, f->duration_us & 7 ? " TCP FINs" : " TCP Reset-I");
}

void synth_asa_deny(struct synth_slice *s, int64_t t, const struct synth_flow *f)
{
    if (synth_next(&s->rng) & 3)
        ASA(t, "4-106023", "Deny ", f->proto, " src outside:", f->from, "/", f->sport,
            " dst dmz:", f->to, "/", f->dport, " by access-group \"outside_in\" [0x",
            HEXW(f->to.v * 2654435761u, 8), ", 0x0]");
    else
        ASA(t, "2-106001", "Inbound TCP connection denied from ", f->from, "/", f->sport, " to ",
            f->to, "/", f->dport, " flags SYN on interface outside");
}

void synth_iptables(struct synth_slice *s, int64_t t, const struct synth_flow *f,
                    const char *verdict)
{
    struct synth_rng *r = &s->rng;
    const struct synth_host *vpn = &s->world->host[s->world->first[SYNTH_VPN]];
    uint64_t bits = synth_next(r),
             uptime = (uint64_t)(s->day->date.epoch - 1740000000) * 1000000 + (uint64_t)t;
    bool udp = f->proto[0] == 'u';
    struct synth_line l;
    int64_t now = t;
    if (!synth_begin(s, SYNTH_F_IPTABLES, &now, &l))
        return;
    PUT(&l, AT(SYNTH_SYSLOG), " ", vpn->name, " kernel: [", uptime / 1000000, ".",
        PAD((uint32_t)(uptime % 1000000), 6), "] [UFW ", verdict, "] IN=eth0 OUT= MAC=");
    for (int shift = 40; shift >= 0; shift -= 8)
        PUT(&l, HEXW(vpn->mac >> shift & 255, 2), ":");
    PUT(&l, "00:1b:17:00:01:30:08:00 SRC=", f->from, " DST=", f->to,
        " LEN=", udp ? 28 + (bits >> 8 & 255) : 40 + (bits & 20),
        " TOS=0x00 PREC=0x00 TTL=", 38 + (bits >> 40 & 15) + (bits >> 50 & 1) * 60,
        " ID=", bits >> 16 & 0xFFFF, bits & 64 ? " DF" : "", " PROTO=", udp ? "UDP" : "TCP",
        " SPT=", f->sport, " DPT=", f->dport);
    if (udp)
        PUT(&l, " LEN=", 8 + (bits >> 8 & 255), " ");
    else
        PUT(&l, " WINDOW=", bits & 128 ? 1024 : 64240, " RES=0x00 SYN URGP=0 ");
    synth_end(s, now, &l);
}

#define VPN(time, ...) EMIT(SYNTH_F_OPENVPN, time, AT(SYNTH_SPACE_S), " ", __VA_ARGS__)
#define PEER(ip, port) ip, ":", port

void synth_vpn_open(struct synth_slice *s, int64_t t, const struct synth_session *x,
                    struct synth_ip from)
{
    const struct synth_world *w = s->world;
    const struct synth_person *p = &w->person[x->person];
    uint64_t sid = synth_next(&s->rng);
    uint32_t port = x->port;
    VPN(t, PEER(from, port), " TLS: Initial packet from [AF_INET]", PEER(from, port),
        ", sid=", HEXW(sid >> 32, 8), " ", HEXW(sid & 0xFFFFFFFF, 8));
    VPN(t + 310 * MS, PEER(from, port), " VERIFY OK: depth=1, CN=", w->netbios, " VPN CA");
    VPN(t + 312 * MS, PEER(from, port), " VERIFY OK: depth=0, CN=", p->user);
    VPN(t + 420 * MS, PEER(from, port), " peer info: IV_VER=2.6.", 8 + x->person % 5);
    VPN(t + 420 * MS, PEER(from, port), " peer info: IV_PLAT=win");
    VPN(t + 424 * MS, PEER(from, port),
        " TLS: Username/Password authentication succeeded for username '", p->user, "'");
    VPN(t + 530 * MS, PEER(from, port),
        " Control Channel: TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384, peer certificate: 2048 "
        "bits RSA, "
        "signature: RSA-SHA256");
    VPN(t + 531 * MS, PEER(from, port), " [", p->user, "] Peer Connection Initiated with [AF_INET]",
        PEER(from, port));
    VPN(t + 540 * MS, p->user, "/", PEER(from, port), " MULTI_sva: pool returned IPv4=", p->vpn_ip,
        ", IPv6=(Not enabled)");
    VPN(t + 541 * MS, p->user, "/", PEER(from, port), " MULTI: Learn: ", p->vpn_ip, " -> ", p->user,
        "/", PEER(from, port));
    VPN(t + 1600 * MS, p->user, "/", PEER(from, port),
        " Data Channel: cipher 'AES-256-GCM', peer-id: ", x->number % 256);
    VPN(t + 1900 * MS, p->user, "/", PEER(from, port), " SENT CONTROL [", p->user,
        "]: 'PUSH_REPLY,route 10.0.0.0 255.0.0.0,dhcp-option DNS ", w->host[w->first[SYNTH_DNS]].ip,
        ",route-gateway 10.30.0.1,topology subnet,ping 10,ping-restart 120,ifconfig ", p->vpn_ip,
        " 255.255.0.0,peer-id ", x->number % 256, ",cipher AES-256-GCM' (status=1)");
}

void synth_vpn_close(struct synth_slice *s, int64_t t, const struct synth_session *x,
                     struct synth_ip from)
{
    const struct synth_person *p = &s->world->person[x->person];
    bool lost = x->number % 3 == 0;
    VPN(t, p->user, "/", PEER(from, x->port),
        lost ? " [" : " SIGTERM[soft,remote-exit] received, client-instance exiting",
        lost ? p->user : synth_text(""),
        lost ? "] Inactivity timeout (--ping-restart), restarting" : "");
    if (lost)
        VPN(t + MS, p->user, "/", PEER(from, x->port),
            " SIGUSR1[soft,ping-restart] received, client-instance restarting");
}

void synth_vpn_rekey(struct synth_slice *s, int64_t t, const struct synth_session *x,
                     struct synth_ip from)
{
    const struct synth_person *p = &s->world->person[x->person];
    VPN(t, p->user, "/", PEER(from, x->port),
        " TLS: soft reset sec=3600/3600 bytes=", synth_tailed(&s->rng, 100000, 12),
        "/-1 pkts=", synth_tailed(&s->rng, 900, 10), "/0");
    VPN(t + 210 * MS, p->user, "/", PEER(from, x->port), " VERIFY OK: depth=0, CN=", p->user);
    VPN(t + 330 * MS, p->user, "/", PEER(from, x->port),
        " Outgoing Data Channel: Cipher 'AES-256-GCM' initialized with 256 bit key");
}

void synth_vpn_fail(struct synth_slice *s, int64_t t, struct synth_ip from, uint32_t port,
                    struct synth_str user)
{
    uint64_t sid = synth_next(&s->rng);
    VPN(t, PEER(from, port), " TLS: Initial packet from [AF_INET]", PEER(from, port),
        ", sid=", HEXW(sid >> 32, 8), " ", HEXW(sid & 0xFFFFFFFF, 8));
    if (user.n) {
        VPN(t + 400 * MS, PEER(from, port),
            " PLUGIN_CALL: POST /usr/lib/openvpn/openvpn-plugin-auth-pam.so/"
            "PLUGIN_AUTH_USER_PASS_VERIFY status=1");
        VPN(t + 400 * MS, PEER(from, port),
            " TLS Auth Error: Auth Username/Password verification failed for peer");
        VPN(t + 401 * MS, PEER(from, port), " SENT CONTROL [", user, "]: 'AUTH_FAILED' (status=1)");
        return;
    }
    VPN(t + 60000 * MS, PEER(from, port),
        " TLS Error: TLS key negotiation failed to occur within 60 seconds (check your network "
        "connectivity)");
    VPN(t + 60000 * MS, PEER(from, port), " TLS Error: TLS handshake failed");
}
