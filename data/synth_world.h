/* The made-up organisation: entities, the sessions of a day, and the text lists. All read-only once
 * made, so threads share it. Strings live in the world's arena and are valid JSON string content.
 */
#ifndef SEC_DATA_SYNTH_WORLD_H
#define SEC_DATA_SYNTH_WORLD_H

#include "base/mem.h"
#include "data/synth_fmt.h"

#define SYNTH_SECOND INT64_C(1000000)
#define SYNTH_MINUTE (60 * SYNTH_SECOND)
#define SYNTH_HOUR   (3600 * SYNTH_SECOND)
#define SYNTH_DAY    (24 * SYNTH_HOUR)

enum synth_role { /* of a person */
                  SYNTH_OFFICE,
                  SYNTH_SALES,
                  SYNTH_DEVELOPER,
                  SYNTH_ADMIN,
                  SYNTH_ROLES
};

enum synth_duty { /* of a host */
                  SYNTH_WORKSTATION,
                  SYNTH_DC,      /* Windows: domain controller */
                  SYNTH_FILESRV, /* Windows: file server */
                  SYNTH_WINAPP,  /* Windows: application server */
                  SYNTH_WEB,     /* Linux: public web server, nginx */
                  SYNTH_INTRA,   /* Linux: intranet, Apache */
                  SYNTH_DB,      /* Linux */
                  SYNTH_APP,     /* Linux */
                  SYNTH_JUMP,    /* Linux: ssh bastion */
                  SYNTH_MAIL,    /* Linux: postfix */
                  SYNTH_DNS,     /* Linux: BIND, also DHCP */
                  SYNTH_VPN,     /* Linux: OpenVPN, also the packet filter */
                  SYNTH_PROXY,   /* Linux: squid */
                  SYNTH_KUBE,    /* Linux: cluster node */
                  SYNTH_DUTIES
};

struct synth_person {
    struct synth_str user, name, mail, sid, object_id;
    struct synth_str iam_id, access_key, key_print; /* cloud principal, key id, SHA256 of ssh key */
    struct synth_str agent, phone_agent;            /* user agents */
    struct synth_str place;                         /* JSON members of the sign-in location */
    struct synth_ip home_ip, phone_ip, vpn_ip;
    uint64_t phone_mac;
    enum synth_role role;
    uint32_t index, uid, workstation, asn;
    uint32_t start_minute, end_minute; /* usual office hours, UTC */
};

struct synth_host {
    struct synth_str name, fqdn, upper; /* web-01, web-01.ad..., WEB-01 */
    struct synth_ip ip;
    uint64_t mac;
    uint32_t guid; /* first group of its ProcessGuids */
    enum synth_duty duty;
    uint32_t index, inode;
};

struct synth_site { /* somewhere on the Internet */
    struct synth_str name;
    struct synth_ip ip[4];
};

struct synth_process { /* one Windows program start; texts are JSON content */
    const char *image, *command, *description, *product, *company, *original, *parent,
        *parent_command;
    uint8_t roles; /* bit per role; 0x80 = the system's */
};

struct synth_world {
    struct sec_arena arena;
    uint64_t seed;
    struct synth_person *person;
    struct synth_host *host;
    struct synth_site *site;
    uint32_t people, hosts, sites;
    uint32_t first[SYNTH_DUTIES], count[SYNTH_DUTIES]; /* hosts of a duty lie together */
    struct synth_str company;                          /* "brightwell" */
    struct synth_str domain, ad_domain, netbios;  /* brightwell.example, ad.brightwell.example */
    struct synth_str ad_upper;                    /* AD.BRIGHTWELL.EXAMPLE */
    struct synth_str domain_sid, tenant, account; /* S-1-5-21-..., UUID, 12 digits */
    struct synth_str *hashes;                     /* Sysmon hashes of each synth_process */
    struct synth_str *bucket;                     /* cloud object stores */
    struct synth_str *instance;                   /* cloud machines */
    struct synth_str *pod;                        /* pod names, by namespace and app */
};
#define SYNTH_BUCKETS   24
#define SYNTH_INSTANCES 64
#define SYNTH_PODS      96

enum synth_session_kind { SYNTH_DESK, SYNTH_REMOTE, SYNTH_SHELL };

struct synth_session {
    int64_t start, end; /* microseconds of the day */
    uint64_t logon_id;
    uint32_t person, host; /* host: workstation, or the server of a shell */
    uint32_t pid, number;  /* sshd or winlogon pid; audit session number */
    uint16_t port;
    uint8_t kind;
    uint8_t tty;
    struct synth_ip from; /* where the person comes from */
};

struct synth_day {
    struct synth_date date;
    struct synth_session *session; /* by start */
    size_t sessions;
};

/* Made from the seed; free with synth_world_free() also after a failure. */
int synth_world_make(struct synth_world *w, uint64_t seed, uint32_t people, uint32_t hosts);
void synth_world_free(struct synth_world *w);

/* Sessions of day number `day` (0 = SYNTH_FIRST_DAY, a Monday). presence in (0,1] thins people out
 * when the wanted size is too small for everybody's log-ins. */
int synth_day_make(const struct synth_world *w, uint32_t day, double presence, struct synth_day *d);
void synth_day_free(struct synth_day *d);

/* Activity of people at a time of the day, 0..100, and of machines; the sum is the log rate. */
uint32_t synth_human_rate(uint32_t day, uint32_t hour);
uint32_t synth_machine_rate(uint32_t hour);

/* Benign Internet client i (0 <= i < 65536): the same address for ever. No benign address has
 * third octet % 8 == 5; every attacker's has. */
struct synth_ip synth_client_ip(const struct synth_world *w, uint32_t i);
struct synth_ip synth_public_ip(struct synth_rng *r, bool attacker);

#define SYNTH_FIRST_DAY 20150 /* days since 1970-01-01: Monday, 3 March 2025 */

/* Lists (synth_words.c); each ends with NULL and has its length beside it. */
#define SYNTH_LIST(name)                                                                           \
    extern const char *const synth_##name[];                                                       \
    extern const uint32_t synth_n_##name
SYNTH_LIST(given_names);
SYNTH_LIST(surnames);
SYNTH_LIST(companies);
SYNTH_LIST(sites);
SYNTH_LIST(site_words);
SYNTH_LIST(agents);
SYNTH_LIST(phone_agents);
SYNTH_LIST(bots);
SYNTH_LIST(places);
SYNTH_LIST(pages); /* public web site */
SYNTH_LIST(assets);
SYNTH_LIST(intranet);
SYNTH_LIST(probes);   /* what Internet scanners ask a web server for */
SYNTH_LIST(commands); /* shell commands, absolute path first */
SYNTH_LIST(sudo_commands);
SYNTH_LIST(attack_commands);
SYNTH_LIST(cron_jobs);
SYNTH_LIST(guesses);   /* user names tried by scanners */
SYNTH_LIST(documents); /* file names on shares */
SYNTH_LIST(shares);
SYNTH_LIST(dlls);
SYNTH_LIST(dll_titles); /* descriptions, beside dlls */
SYNTH_LIST(registry);
SYNTH_LIST(namespaces);
SYNTH_LIST(kube_apps);
SYNTH_LIST(cloud_apps); /* sign-in: "application|resource" */
extern const struct synth_process synth_processes[];
extern const uint32_t synth_n_processes;

#define SYNTH_PICK(r, name)   (synth_##name[synth_below((r), synth_n_##name)])
#define SYNTH_SKEWED(r, name) (synth_##name[synth_skewed((r), synth_n_##name)])

#endif
