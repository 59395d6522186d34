#include "data/synth_world.h"

#include "base/error.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

const char synth_digits2[201] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";

void synth_put_rand_hex(struct synth_line *l, struct synth_rng *r, int digits)
{
    for (; digits > 0; digits -= 16) {
        int n = digits < 16 ? digits : 16;
        uint64_t v = synth_next(r);
        synth_put_hex(l, HEXW(v, n));
    }
}

static void put_from(struct synth_line *l, struct synth_rng *r, int n, const char *set,
                     uint32_t len)
{
    uint64_t bits = 0;
    for (int i = 0; i < n; i++) {
        if (i % 4 == 0)
            bits = synth_next(r);
        l->p[i] = set[((bits & 0xFFFF) * len) >> 16];
        bits >>= 16;
    }
    l->p += n;
}

void synth_put_rand_base62(struct synth_line *l, struct synth_rng *r, int n)
{
    put_from(l, r, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 62);
}

void synth_put_rand_upper(struct synth_line *l, struct synth_rng *r, int n)
{
    put_from(l, r, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32);
}

void synth_put_uuid(struct synth_line *l, struct synth_rng *r)
{
    uint64_t a = synth_next(r), b = synth_next(r);
    PUT(l, HEXW(a >> 32, 8), "-", HEXW(a >> 16 & 0xFFFF, 4), "-4", HEXW(a & 0xFFF, 3), "-",
        HEXW((b >> 48 & 0x3FFF) | 0x8000, 4), "-", HEXW(b & 0xFFFFFFFFFFFF, 12));
}

struct synth_ip synth_public_ip(struct synth_rng *r, bool attacker)
{
    for (;;) {
        uint32_t v = (uint32_t)(synth_next(r) >> 32), a = v >> 24, b = v >> 16 & 255;
        if (a < 2 || a == 10 || a == 127 || a >= 220 || (a == 172 && b >= 16 && b < 32) ||
            (a == 192 && (b == 168 || b == 0)) || (a == 169 && b == 254) || (a == 100 && b < 128) ||
            (a == 198 && (b == 18 || b == 19 || b == 51)) || a == 203 || !(v & 255) ||
            (v & 255) == 255)
            continue;
        uint32_t low = v >> 8 & 7; /* third octet % 8 keeps attackers apart from everybody else */
        if (attacker)
            v = (v & ~UINT32_C(0x700)) | 0x500;
        else if (low == 5)
            continue;
        return (struct synth_ip){v};
    }
}

struct synth_ip synth_client_ip(const struct synth_world *w, uint32_t i)
{
    struct synth_rng r = {{w->seed ^ 0x9E3779B97F4A7C15u, i * UINT64_C(0xBF58476D1CE4E5B9) + 1,
                           (uint64_t)i << 32 | 0x94D049BBu, w->seed + i}};
    synth_next(&r);
    synth_next(&r);
    return synth_public_ip(&r, false);
}

/* Text made in a scratch line, then kept in the arena. A failure is remembered by the caller
 * through a NULL string. */
static struct synth_str keep(struct synth_world *w, const char *start, const struct synth_line *l)
{
    size_t n = (size_t)(l->p - start);
    return (struct synth_str){sec_arena_strdup(&w->arena, start, n), (uint32_t)n};
}

#define TEXT(w, dst, ...)                                                                          \
    do {                                                                                           \
        char scratch_[512];                                                                        \
        struct synth_line line_ = {scratch_};                                                      \
        PUT(&line_, __VA_ARGS__);                                                                  \
        (dst) = keep((w), scratch_, &line_);                                                       \
        if (!(dst).p)                                                                              \
            return SEC_ENOMEM;                                                                     \
    } while (0)
#define RANDOM_TEXT(w, dst, call)                                                                  \
    do {                                                                                           \
        char scratch_[512];                                                                        \
        struct synth_line line_ = {scratch_}, *l = &line_;                                         \
        call;                                                                                      \
        (dst) = keep((w), scratch_, &line_);                                                       \
        if (!(dst).p)                                                                              \
            return SEC_ENOMEM;                                                                     \
    } while (0)

static void lower(char *dst, const char *src)
{
    while ((*dst++ = (char)tolower((unsigned char)*src++)))
        ;
}

static int make_organisation(struct synth_world *w, struct synth_rng *r)
{
    const char *name = SYNTH_PICK(r, companies);
    char upper[32];
    size_t i = 0;
    for (; name[i]; i++)
        upper[i] = (char)toupper((unsigned char)name[i]);
    upper[i] = 0;
    TEXT(w, w->company, name);
    TEXT(w, w->domain, name, ".example");
    TEXT(w, w->ad_domain, "ad.", name, ".example");
    TEXT(w, w->ad_upper, "AD.", (const char *)upper, ".EXAMPLE");
    TEXT(w, w->netbios, (const char *)upper);
    TEXT(w, w->domain_sid, "S-1-5-21-", synth_range(r, 1000000000, 4200000000u), "-",
         synth_range(r, 1000000000, 4200000000u), "-", synth_range(r, 1000000000, 4200000000u));
    RANDOM_TEXT(w, w->tenant, synth_put_uuid(l, r));
    TEXT(w, w->account, PAD(synth_range(r, 100000, 999999), 6), PAD(synth_range(r, 0, 999999), 6));
    return 0;
}

static const struct {
    const char *prefix;
    uint32_t share; /* of a hundred servers */
} duty_table[SYNTH_DUTIES] = {
    [SYNTH_WORKSTATION] = {"ws", 0}, [SYNTH_DC] = {"dc", 4},     [SYNTH_FILESRV] = {"fs", 4},
    [SYNTH_WINAPP] = {"winapp", 12}, [SYNTH_WEB] = {"web", 12},  [SYNTH_INTRA] = {"intra", 8},
    [SYNTH_DB] = {"db", 10},         [SYNTH_APP] = {"app", 22},  [SYNTH_JUMP] = {"jump", 2},
    [SYNTH_MAIL] = {"mail", 3},      [SYNTH_DNS] = {"ns", 2},    [SYNTH_VPN] = {"vpn", 2},
    [SYNTH_PROXY] = {"proxy", 3},    [SYNTH_KUBE] = {"kube", 16}};

static int make_host(struct synth_world *w, struct synth_rng *r, enum synth_duty duty, uint32_t k,
                     struct synth_host *h)
{
    char upper[32];
    h->duty = duty;
    h->index = (uint32_t)(h - w->host);
    h->guid = (uint32_t)synth_next(r);
    h->inode = synth_range(r, 130000, 4000000);
    h->mac = UINT64_C(0x005056000000) | (synth_next(r) & 0xFFFFFF);
    if (duty == SYNTH_WORKSTATION)
        h->ip.v = 10u << 24 | (20 + k / 51200) << 16 | (k / 200 % 256) << 8 | (20 + k % 200);
    else
        h->ip.v = 10u << 24 | 10u << 16 | ((uint32_t)duty + 16 * (k / 240)) << 8 | (10 + k % 240);
    TEXT(w, h->name, duty_table[duty].prefix, "-",
         PAD(k + 1, duty == SYNTH_WORKSTATION ? (k < 9999 ? 4 : 5) : (k < 99 ? 2 : 4)));
    TEXT(w, h->fqdn, h->name, ".", w->ad_domain);
    for (uint32_t i = 0; i < h->name.n; i++)
        upper[i] = (char)toupper((unsigned char)h->name.p[i]);
    upper[h->name.n] = 0;
    TEXT(w, h->upper, (const char *)upper);
    return 0;
}

static int make_hosts(struct synth_world *w, struct synth_rng *r, uint32_t servers)
{
    uint32_t used = 0;
    for (int d = 0; d < SYNTH_DUTIES; d++) {
        w->count[d] = d == SYNTH_WORKSTATION ? w->people : servers * duty_table[d].share / 100;
        if (!w->count[d])
            w->count[d] = 1;
        if (d != SYNTH_WORKSTATION)
            used += w->count[d];
    }
    if (used < servers)
        w->count[SYNTH_APP] += servers - used;
    w->hosts = 0;
    for (int d = 0; d < SYNTH_DUTIES; d++) {
        w->first[d] = w->hosts;
        w->hosts += w->count[d];
    }
    w->host = sec_arena_zalloc(&w->arena, w->hosts * sizeof *w->host);
    if (!w->host)
        return SEC_ENOMEM;
    for (int d = 0; d < SYNTH_DUTIES; d++)
        for (uint32_t k = 0; k < w->count[d]; k++) {
            int rc = make_host(w, r, (enum synth_duty)d, k, &w->host[w->first[d] + k]);
            if (rc)
                return rc;
        }
    return 0;
}

static int make_person(struct synth_world *w, struct synth_rng *r, uint16_t *taken,
                       struct synth_person *p)
{
    uint32_t g = synth_below(r, synth_n_given_names), s = synth_below(r, synth_n_surnames);
    const char *given = synth_given_names[g], *surname = synth_surnames[s];
    char low_given[32], low_surname[32], initial[2], suffix[12] = "";
    lower(low_given, given);
    lower(low_surname, surname);
    initial[0] = low_given[0];
    initial[1] = 0;
    uint16_t *count = &taken[(uint32_t)(low_given[0] - 'a') * synth_n_surnames + s];
    if (*count)
        snprintf(suffix, sizeof suffix, "%u", *count + 1u);
    ++*count;

    uint32_t dice = synth_below(r, 100);
    p->role = dice < 45   ? SYNTH_OFFICE
              : dice < 65 ? SYNTH_SALES
              : dice < 92 ? SYNTH_DEVELOPER
                          : SYNTH_ADMIN;
    if (p->index < SYNTH_ROLES) /* every role exists in the smallest world */
        p->role = (enum synth_role)p->index;
    p->uid = 1001 + p->index;
    p->workstation = w->first[SYNTH_WORKSTATION] + p->index;
    p->asn = synth_range(r, 3200, 62000);
    p->start_minute = 390 + synth_below(r, 150);
    p->end_minute = p->start_minute + 470 + synth_below(r, 110);
    p->home_ip = synth_public_ip(r, false);
    p->phone_ip = synth_public_ip(r, false);
    p->vpn_ip.v = 10u << 24 | 30u << 16 | (p->index / 250) << 8 | (2 + p->index % 250);
    p->phone_mac = UINT64_C(0xA4CF99000000) | (synth_next(r) & 0xFFFFFF);
    TEXT(w, p->user, (const char *)initial, (const char *)low_surname, (const char *)suffix);
    TEXT(w, p->name, given, " ", surname);
    TEXT(w, p->mail, (const char *)low_given, ".", (const char *)low_surname, (const char *)suffix,
         "@", w->domain);
    TEXT(w, p->sid, w->domain_sid, "-", 1104 + p->index);
    RANDOM_TEXT(w, p->object_id, synth_put_uuid(l, r));
    RANDOM_TEXT(w, p->iam_id, synth_put_cstr(l, "AIDA"); synth_put_rand_upper(l, r, 17));
    RANDOM_TEXT(w, p->access_key, synth_put_cstr(l, "AKIA"); synth_put_rand_upper(l, r, 16));
    RANDOM_TEXT(w, p->key_print, synth_put_cstr(l, "SHA256:"); synth_put_rand_base62(l, r, 43));
    TEXT(w, p->agent, SYNTH_SKEWED(r, agents));
    TEXT(w, p->phone_agent, SYNTH_SKEWED(r, phone_agents));
    TEXT(w, p->place, SYNTH_SKEWED(r, places));
    return 0;
}

static int make_people(struct synth_world *w, struct synth_rng *r)
{
    uint16_t *taken = sec_arena_zalloc(&w->arena, 26 * synth_n_surnames * sizeof *taken);
    w->person = sec_arena_zalloc(&w->arena, w->people * sizeof *w->person);
    if (!taken || !w->person)
        return SEC_ENOMEM;
    for (uint32_t i = 0; i < w->people; i++) {
        w->person[i].index = i;
        int rc = make_person(w, r, taken, &w->person[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int make_internet(struct synth_world *w, struct synth_rng *r)
{
    static const char *const endings[] = {"com", "net", "io", "org", "eu", "de"};
    w->sites = synth_n_sites + 300;
    w->site = sec_arena_zalloc(&w->arena, w->sites * sizeof *w->site);
    if (!w->site)
        return SEC_ENOMEM;
    for (uint32_t i = 0; i < w->sites; i++) {
        struct synth_site *s = &w->site[i];
        if (i < synth_n_sites)
            TEXT(w, s->name, synth_sites[i]);
        else
            TEXT(w, s->name, synth_below(r, 2) ? "www." : "cdn.", SYNTH_PICK(r, site_words),
                 SYNTH_PICK(r, site_words), ".", endings[synth_below(r, 6)]);
        for (int k = 0; k < 4; k++)
            s->ip[k] = synth_public_ip(r, false);
    }
    return 0;
}

static void put_upper_hex(struct synth_line *l, struct synth_rng *r, int digits)
{
    for (; digits > 0; digits -= 16) {
        uint64_t v = synth_next(r);
        synth_put_hex(l, HEXUP(v, digits < 16 ? digits : 16));
    }
}

static void put_hashes(struct synth_line *l, struct synth_rng *r)
{
    synth_put_cstr(l, "SHA1=");
    put_upper_hex(l, r, 40);
    synth_put_cstr(l, ",MD5=");
    put_upper_hex(l, r, 32);
    synth_put_cstr(l, ",SHA256=");
    put_upper_hex(l, r, 64);
    synth_put_cstr(l, ",IMPHASH=");
    put_upper_hex(l, r, 32);
}

static int make_catalogues(struct synth_world *w, struct synth_rng *r)
{
    static const char *const purposes[] = {"logs",      "backups", "assets", "reports",
                                           "data-lake", "exports", "builds", "terraform-state"};
    uint32_t hashes = synth_n_processes + synth_n_dlls;
    w->hashes = sec_arena_zalloc(&w->arena, hashes * sizeof *w->hashes);
    w->bucket = sec_arena_zalloc(&w->arena, SYNTH_BUCKETS * sizeof *w->bucket);
    w->instance = sec_arena_zalloc(&w->arena, SYNTH_INSTANCES * sizeof *w->instance);
    w->pod = sec_arena_zalloc(&w->arena, SYNTH_PODS * sizeof *w->pod);
    if (!w->hashes || !w->bucket || !w->instance || !w->pod)
        return SEC_ENOMEM;
    for (uint32_t i = 0; i < hashes; i++)
        RANDOM_TEXT(w, w->hashes[i], put_hashes(l, r));
    for (uint32_t i = 0; i < SYNTH_BUCKETS; i++)
        TEXT(w, w->bucket[i], w->company, "-", purposes[i % 8],
             i < 8    ? "-prod"
             : i < 16 ? "-stage"
                      : "-dev");
    for (uint32_t i = 0; i < SYNTH_INSTANCES; i++)
        RANDOM_TEXT(w, w->instance[i], synth_put_cstr(l, "i-0"); synth_put_rand_hex(l, r, 16));
    for (uint32_t i = 0; i < SYNTH_PODS; i++)
        RANDOM_TEXT(w, w->pod[i], synth_put_cstr(l, synth_kube_apps[i % synth_n_kube_apps]);
                    synth_put_cstr(l, "-"); synth_put_rand_hex(l, r, 10); synth_put_cstr(l, "-");
                    synth_put_rand_hex(l, r, 5));
    return 0;
}

int synth_world_make(struct synth_world *w, uint64_t seed, uint32_t people, uint32_t hosts)
{
    int rc;
    struct synth_rng r = synth_rng_make(seed, 0, 1);
    *w = (struct synth_world){.seed = seed, .people = people};
    sec_arena_init(&w->arena, 1 << 20);
    SEC_TRY(make_organisation(w, &r));
    SEC_TRY(make_hosts(w, &r, hosts));
    SEC_TRY(make_people(w, &r));
    SEC_TRY(make_internet(w, &r));
    SEC_TRY(make_catalogues(w, &r));
fail:
    return rc;
}

void synth_world_free(struct synth_world *w)
{
    sec_arena_free(&w->arena);
    *w = (struct synth_world){0};
}
