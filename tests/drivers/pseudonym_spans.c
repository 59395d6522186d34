/* What test_pseudonym.py measures with:
 *   pseudonym_spans world SEED PEOPLE HOSTS   the entities of a generated world, "KIND\tVALUE"
 *   pseudonym_spans spans KEY FILE            what is replaced,
 * "LINE\tSTART\tEND\tHOW\tCLASS\tTEXT" pseudonym_spans bench KEY FILE...         the lines of the
 * files through one thread, MB/s HOW: u user, h host, 4, 6, m mac, s sid, x secret, p pattern.
 * CLASS: -1 = part of the one before.
 */
#include "base/error.h"
#include "data/pseudonym_internal.h"
#include "data/synth_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void put(const char *kind, struct synth_str s)
{
    printf("%s\t%.*s\n", kind, (int)s.n, s.p);
}
static void put_ip(struct synth_ip ip)
{
    printf("ipv4\t%u.%u.%u.%u\n", ip.v >> 24, ip.v >> 16 & 255, ip.v >> 8 & 255, ip.v & 255);
}
static void put_mac(uint64_t mac)
{
    printf("mac");
    for (int i = 40; i >= 0; i -= 8)
        printf("%c%02x", i == 40 ? '\t' : ':', (unsigned)(mac >> i & 255));
    puts("");
}

static int print_world(char **argv)
{
    struct synth_world w;
    int rc = synth_world_make(&w, strtoull(argv[0], NULL, 10), (uint32_t)atoi(argv[1]),
                              (uint32_t)atoi(argv[2]));
    if (rc)
        return rc;
    for (uint32_t i = 0; i < w.people; i++) {
        const struct synth_person *p = &w.person[i];
        put("user", p->user);
        put("fullname", p->name);
        put("email", p->mail);
        put("sid", p->sid);
        put("secret", p->access_key);
        put_ip(p->home_ip);
        put_ip(p->phone_ip);
        put_ip(p->vpn_ip);
        put_mac(p->phone_mac);
    }
    for (uint32_t i = 0; i < w.hosts; i++) {
        put("host", w.host[i].name);
        put("host", w.host[i].fqdn);
        put_ip(w.host[i].ip);
        put_mac(w.host[i].mac);
    }
    for (uint32_t i = 0; i < w.sites; i++) {
        put("site", w.site[i].name);
        for (int k = 0; k < 4; k++)
            put_ip(w.site[i].ip[k]);
    }
    for (uint32_t i = 0; i < 65536; i++)
        put_ip(synth_client_ip(&w, i));
    for (uint32_t i = 0; i < SYNTH_BUCKETS; i++)
        put("bucket", w.bucket[i]);
    put("domain", w.domain);
    put("host", w.domain);
    put("host", w.ad_domain);
    put("netbios", w.netbios);
    put("domain_sid", w.domain_sid);
    for (uint32_t i = 0; i < synth_n_guesses; i++)
        printf("guess\t%s\n", synth_guesses[i]);
    synth_world_free(&w);
    return 0;
}

static int each_line(struct sec_pseudo_ctx *c, const char *path, bool print)
{
    static const char how[] = "uh46msxp";
    struct sec_buf text = {0}, out = {0};
    uint64_t number = 0;
    int rc;
    SEC_TRY(sec_read_file(path, &text));
    for (size_t at = 0; at < text.len;) {
        const char *p = text.data + at, *end = memchr(p, '\n', text.len - at);
        size_t n = end ? (size_t)(end - p) : text.len - at;
        at += n + 1;
        number++;
        sec_buf_clear(&out);
        SEC_TRY(sec_pseudo_record(c, p, n, &out, NULL));
        for (size_t i = 0; i < c->n_results && print; i++) {
            const struct span *s = &c->result[i];
            printf("%" PRIu64 "\t%u\t%u\t%c\t%d\t%.*s\n", number, s->start - PAD, s->end - PAD,
                   how[s->how], s->class == SEC_N_PSEUDO ? -1 : s->class, (int)(s->end - s->start),
                   c->text + s->start);
        }
    }
fail:
    sec_buf_free(&text);
    sec_buf_free(&out);
    return rc;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A file at a time; the best of three rounds, with the caches as the round before left them. */
static int bench(struct sec_pseudo_ctx *c, char **files, int n)
{
    double total = 0, bytes = 0;
    for (int i = 0; i < n; i++) {
        double best = 1e9;
        for (int round = 0; round < 3; round++) {
            double start = cpu_seconds();
            int rc = each_line(c, files[i], false);
            if (rc)
                return rc;
            double took = cpu_seconds() - start;
            best = took < best ? took : best;
        }
        double size = (double)sec_file_size(files[i]);
        printf("%-28s %7.1f MB %7.1f MB/s\n", sec_basename(files[i]), size / 1e6,
               size / 1e6 / best);
        total += best;
        bytes += size;
    }
    printf("%-28s %7.1f MB %7.1f MB/s\n", "all", bytes / 1e6, bytes / 1e6 / total);
    return 0;
}

int main(int argc, char **argv)
{
    struct sec_pseudo *p = NULL;
    struct sec_pseudo_ctx *c = NULL;
    int rc = SEC_EUSAGE;
    if (argc == 5 && !strcmp(argv[1], "world")) {
        rc = print_world(argv + 2);
    } else if (argc >= 4) {
        SEC_TRY(sec_pseudo_open(&(struct sec_pseudo_options){.key_file = argv[2]}, &p));
        if (!(c = sec_pseudo_ctx_new(p)))
            rc = SEC_ENOMEM;
        else
            rc = !strcmp(argv[1], "bench") ? bench(c, argv + 3, argc - 3)
                                           : each_line(c, argv[3], true);
    }
fail:
    if (rc)
        fprintf(stderr, "pseudonym_spans: %s\n", sec_error());
    sec_pseudo_ctx_free(c);
    sec_pseudo_close(p);
    return rc ? 1 : 0;
}
