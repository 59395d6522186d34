/* Web: nginx and Apache access logs (combined format) and squid's native access.log. */
#include "data/synth_slice.h"

static const struct synth_str dash = {"-", 1};

static const char *asset_ending(const char *path)
{
    return strstr(path, "/css/")     ? ".css"
           : strstr(path, "/img/")   ? ".webp"
           : strstr(path, "/fonts/") ? ".woff2"
                                     : ".js";
}

/* Paths ending in one of / - . = take a number or a hash: the tail. */
static void put_path(struct synth_line *l, const char *path, uint32_t tail)
{
    bool asset = !strncmp(path, "/static/", 8);
    PUT(l, path);
    switch (l->p[-1]) {
    case '/':
    case '-':
        if (path[1])
            PUT(l, tail);
        break;
    case '.':
        PUT(l, HEXW(tail % 500 * 2654435761u & 0xFFFFFFFF, 8));
        break;
    default:
        if (tail % 5 == 0)
            PUT(l, "?page=", tail % 40 + 1, "&sort=", tail & 8 ? "price" : "name");
        else if (tail % 7 == 0)
            PUT(l, "?sid=", HEXW((uint64_t)tail * 0x9E3779B97F4A7C15u, 16));
        return;
    }
    if (asset)
        PUT(l, asset_ending(path));
}

void synth_access(struct synth_slice *s, enum synth_file f, int64_t t, struct synth_ip from,
                  struct synth_str user, const char *method, const char *path, uint32_t tail,
                  uint32_t status, uint32_t bytes, const char *referer, uint32_t referer_tail,
                  struct synth_str agent)
{
    struct synth_line l;
    int64_t now = t;
    if (!synth_begin(s, f, &now, &l))
        return;
    PUT(&l, from, " - ", user.n ? user : dash, " [", AT(SYNTH_CLF), "] \"", method, " ");
    put_path(&l, path, tail);
    PUT(&l, " HTTP/", f == SYNTH_F_NGINX && tail & 16 ? "2.0" : "1.1", "\" ", status, " ", bytes,
        " \"");
    if (referer[0] == '/') {
        PUT(&l, "https://", f == SYNTH_F_NGINX ? "www." : "intra.", s->world->domain);
        put_path(&l, referer, referer_tail);
    } else
        PUT(&l, referer);
    PUT(&l, "\" \"", agent, "\"");
    synth_end(s, now, &l);
}

static uint32_t draw_status(struct synth_rng *r, bool asset)
{
    uint32_t dice = synth_below(r, 1000);
    if (asset)
        return dice < 620 ? 200 : dice < 985 ? 304 : 404;
    return dice < 905   ? 200
           : dice < 945 ? 302
           : dice < 955 ? 301
           : dice < 975 ? 404
           : dice < 985 ? 401
           : dice < 993 ? 403
           : dice < 997 ? 500
                        : 502;
}

static uint32_t body_size(struct synth_rng *r, uint32_t status)
{
    return status == 304 || status == 204 ? 0
           : status == 200                ? synth_tailed(r, 420, 8)
                                          : synth_range(r, 150, 690);
}

/* A customer's page view with what the page pulls in. */
void synth_public_visit(struct synth_slice *s, int64_t t)
{
    struct synth_rng *r = &s->rng;
    uint32_t client = synth_skewed(r, 65536), hits = 1 + synth_below(r, 7);
    uint32_t page_tail = synth_skewed(r, 90000);
    struct synth_ip from = synth_client_ip(s->world, client);
    const struct synth_host *web = synth_any_host(s, SYNTH_WEB);
    bool phone = client % 5 < 2;
    struct synth_str agent = synth_text(phone ? synth_phone_agents[client % synth_n_phone_agents]
                                              : synth_agents[client % synth_n_agents]);
    const char *page = SYNTH_SKEWED(r, pages),
               *referer = synth_chance(r, 300) ? "https://www.google.com/" : "-";
    struct synth_flow flow = {from,
                              web->ip,
                              synth_range(r, 1024, 65500),
                              443,
                              "tcp",
                              "ssl",
                              "SF",
                              synth_tailed(r, 30000, 9),
                              synth_tailed(r, 700, 4),
                              synth_tailed(r, 3000, 9)};
    synth_asa_flow(s, t, &flow, false);
    synth_conn(s, t, &flow);
    for (uint32_t i = 0; i < hits; i++) {
        bool asset = i && synth_chance(r, 800), post = !asset && synth_chance(r, 140);
        uint32_t status = draw_status(r, asset);
        synth_access(s, SYNTH_F_NGINX, t, from, (struct synth_str){0}, post ? "POST" : "GET",
                     asset ? SYNTH_SKEWED(r, assets)
                     : i   ? SYNTH_SKEWED(r, pages)
                           : page,
                     i ? synth_skewed(r, 90000) : page_tail, status, body_size(r, status),
                     i ? page : referer, page_tail, agent);
        t += synth_range(r, 3000, i ? 90000 : 700000);
    }
}

/* Crawlers, and scanners that try one or two well-known paths. */
void synth_public_noise(struct synth_slice *s, int64_t t)
{
    struct synth_rng *r = &s->rng;
    struct synth_ip from = synth_client_ip(s->world, 60000 + synth_below(r, 5536));
    struct synth_str agent = synth_text(SYNTH_PICK(r, bots));
    bool crawler = synth_chance(r, 600);
    uint32_t n = synth_range(r, 1, crawler ? 6 : 2);
    enum synth_file f = synth_chance(r, 800) ? SYNTH_F_NGINX : SYNTH_F_APACHE;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t status = crawler ? draw_status(r, false) : synth_chance(r, 900) ? 404 : 403;
        synth_access(s, f, t, from, (struct synth_str){0}, "GET",
                     crawler ? SYNTH_PICK(r, pages) : SYNTH_PICK(r, probes), synth_skewed(r, 90000),
                     status, body_size(r, status), "-", 0, agent);
        t += synth_range(r, 300, 4000) * INT64_C(1000);
    }
}

void synth_intranet_visit(struct synth_slice *s, int64_t t, const struct synth_session *x)
{
    struct synth_rng *r = &s->rng;
    const struct synth_person *p = &s->world->person[x->person];
    const struct synth_host *server = synth_any_host(s, SYNTH_INTRA),
                            *dns = synth_any_host(s, SYNTH_DNS);
    const char *page = SYNTH_SKEWED(r, intranet);
    uint32_t hits = 1 + synth_below(r, 8), page_tail = synth_skewed(r, 30000);
    struct synth_flow flow = {x->from,
                              server->ip,
                              synth_range(r, 49152, 65500),
                              443,
                              "tcp",
                              "ssl",
                              "SF",
                              synth_tailed(r, 20000, 10),
                              synth_tailed(r, 900, 5),
                              synth_tailed(r, 4000, 9)};
    synth_dns(s, t, x->from, server->fqdn, "A", server->ip, dns != NULL);
    synth_conn(s, t + 2000, &flow);
    for (uint32_t i = 0; i < hits; i++) {
        bool asset = i && synth_chance(r, 550);
        uint32_t status = draw_status(r, asset);
        t += synth_range(r, 4000, 160000);
        synth_access(s, SYNTH_F_APACHE, t, x->from, p->user, synth_chance(r, 160) ? "POST" : "GET",
                     asset ? SYNTH_SKEWED(r, assets)
                     : i   ? SYNTH_SKEWED(r, intranet)
                           : page,
                     i ? synth_skewed(r, 30000) : page_tail, status, body_size(r, status),
                     i ? page : "-", page_tail, p->agent);
    }
}

void synth_squid(struct synth_slice *s, int64_t t, struct synth_ip from, struct synth_str user,
                 struct synth_str site, struct synth_ip to, bool tunnel, uint32_t ms,
                 uint64_t bytes, const char *path, uint32_t tail)
{
    struct synth_line l;
    int64_t now = t;
    static const char blanks[] = "      ";
    uint32_t digits = ms < 10       ? 1
                      : ms < 100    ? 2
                      : ms < 1000   ? 3
                      : ms < 10000  ? 4
                      : ms < 100000 ? 5
                                    : 6;
    if (!synth_begin(s, SYNTH_F_SQUID, &now, &l))
        return;
    PUT(&l, AT(SYNTH_EPOCH_MS), " ", ((struct synth_str){blanks, 6 - digits}), ms, " ", from, " ");
    if (tunnel) {
        PUT(&l, "TCP_TUNNEL/200 ", bytes, " CONNECT ", site, ":443 ", user, " HIER_DIRECT/", to,
            " -");
    } else {
        bool hit = tail % 4 == 0;
        PUT(&l, hit ? "TCP_MEM_HIT/200 " : "TCP_MISS/200 ", bytes, " GET http://", site);
        put_path(&l, path, tail);
        PUT(&l, " ", user);
        if (hit)
            PUT(&l, " HIER_NONE/- ");
        else
            PUT(&l, " HIER_DIRECT/", to, " ");
        PUT(&l, tail & 1 ? "text/html" : tail & 2 ? "image/png" : "application/javascript");
    }
    synth_end(s, now, &l);
}
