/* Postfix, as rsyslog writes it. */
#include "data/synth_slice.h"

#define MS INT64_C(1000)
#define MAIL(time, daemon, pid, ...)                                                               \
    EMIT(SYNTH_F_POSTFIX, time, AT(SYNTH_SYSLOG), " ", h->name, " postfix/" daemon "[", pid,       \
         "]: ", __VA_ARGS__)

/* The queue id: ten capital hex digits; one mail keeps its own. */
struct envelope {
    uint64_t id;
    uint32_t smtpd, cleanup, qmgr, smtp;
};

static struct envelope new_envelope(struct synth_rng *r, const struct synth_host *h)
{
    return (struct envelope){.id = synth_next(r) & 0xFFFFFFFFFF,
                             .smtpd = synth_range(r, 2000, 400000),
                             .cleanup = synth_range(r, 2000, 400000),
                             .qmgr = 1100 + h->index % 50,
                             .smtp = synth_range(r, 2000, 400000)};
}
#define ID(e) HEXUP((e).id, 10)

void synth_mail_out(struct synth_slice *s, int64_t t, const struct synth_person *p,
                    struct synth_ip from, struct synth_str to_domain, struct synth_ip to,
                    uint32_t bytes)
{
    struct synth_rng *r = &s->rng;
    const struct synth_host *h = synth_any_host(s, SYNTH_MAIL);
    struct envelope e = new_envelope(r, h);
    uint64_t message = synth_next(r);
    uint32_t delay = synth_range(r, 250, 4800), recipients = 1 + synth_below(r, 3);
    const char *rcpt = synth_given_names[synth_skewed(r, synth_n_given_names)];
    struct synth_flow flow = {
        h->ip,         to,    synth_range(r, 32768, 60999), 25, "tcp", "smtp", "SF",
        delay * 1000u, bytes, synth_range(r, 400, 900)};
    MAIL(t, "submission/smtpd", e.smtpd, "connect from unknown[", from, "]");
    MAIL(t + 60 * MS, "submission/smtpd", e.smtpd, ID(e), ": client=unknown[", from,
         "], sasl_method=PLAIN, sasl_username=", p->user);
    MAIL(t + 75 * MS, "cleanup", e.cleanup, ID(e), ": message-id=<", HEXW(message, 16), "@",
         s->world->domain, "> from=<", p->mail, ">");
    MAIL(t + 90 * MS, "qmgr", e.qmgr, ID(e), ": from=<", p->mail, ">, size=", bytes,
         ", nrcpt=", recipients, " (queue active)");
    synth_conn(s, t + 120 * MS, &flow);
    for (uint32_t i = 0; i < recipients; i++) {
        MAIL(t + (delay + i) * MS, "smtp", e.smtp, ID(e), ": to=<", rcpt, "@", to_domain,
             ">, relay=mx", 1 + i % 2, ".", to_domain, "[", to, "]:25, delay=", delay / 1000, ".",
             PAD(delay % 1000 / 10, 2), ", delays=0.09/0.01/", delay / 3000, ".",
             PAD(delay % 97, 2), "/0.", PAD(delay % 89, 2),
             ", dsn=2.0.0, status=sent (250 2.0.0 OK ", HEXW(message >> 20, 11), " - gsmtp)");
        rcpt = synth_given_names[synth_skewed(r, synth_n_given_names)];
    }
    MAIL(t + (delay + 20) * MS, "qmgr", e.qmgr, ID(e), ": removed");
    MAIL(t + 300 * MS, "submission/smtpd", e.smtpd, "disconnect from unknown[", from,
         "] ehlo=2 starttls=1 auth=1 mail=1 rcpt=", recipients,
         " data=1 quit=1 commands=", 7 + recipients);
}

void synth_mail_in(struct synth_slice *s, int64_t t, const struct synth_person *p)
{
    struct synth_rng *r = &s->rng;
    const struct synth_host *h = synth_any_host(s, SYNTH_MAIL);
    const struct synth_site *site = &s->world->site[synth_skewed(r, s->world->sites)];
    struct synth_ip from = site->ip[synth_below(r, 4)];
    struct envelope e = new_envelope(r, h);
    uint64_t message = synth_next(r);
    uint32_t delay = synth_range(r, 120, 1900);
    const char *sender = SYNTH_SKEWED(r, given_names);
    MAIL(t, "smtpd", e.smtpd, "connect from mail.", site->name, "[", from, "]");
    MAIL(t + 240 * MS, "smtpd", e.smtpd, "Anonymous TLS connection established from mail.",
         site->name, "[", from, "]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)");
    MAIL(t + 380 * MS, "smtpd", e.smtpd, ID(e), ": client=mail.", site->name, "[", from, "]");
    MAIL(t + 400 * MS, "cleanup", e.cleanup, ID(e), ": message-id=<", HEXW(message, 16), "@",
         site->name, ">");
    MAIL(t + 460 * MS, "qmgr", e.qmgr, ID(e), ": from=<", sender, "@", site->name,
         ">, size=", synth_tailed(r, 2400, 8), ", nrcpt=1 (queue active)");
    MAIL(t + 470 * MS, "smtpd", e.smtpd, "disconnect from mail.", site->name, "[", from,
         "] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7");
    MAIL(t + (460 + delay) * MS, "lmtp", e.smtp, ID(e), ": to=<", p->mail, ">, relay=", h->name,
         "[private/dovecot-lmtp], delay=", delay / 1000, ".", PAD(delay % 1000 / 10, 2),
         ", delays=0.3/0.01/0.02/0.", PAD(delay % 97, 2), ", dsn=2.0.0, status=sent (250 2.0.0 <",
         p->mail, "> ", HEXW(message >> 8, 14), " Saved)");
    MAIL(t + (470 + delay) * MS, "qmgr", e.qmgr, ID(e), ": removed");
}

/* Spam and address guessing, refused. */
void synth_mail_reject(struct synth_slice *s, int64_t t)
{
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    const struct synth_host *h = synth_any_host(s, SYNTH_MAIL);
    struct synth_ip from = synth_client_ip(w, 40000 + synth_below(r, 20000));
    const struct synth_str victim = w->person[synth_skewed(r, w->people)].mail;
    const char *word = SYNTH_PICK(r, site_words);
    uint32_t pid = synth_range(r, 2000, 400000);
    MAIL(t, "smtpd", pid, "connect from unknown[", from, "]");
    switch (synth_below(r, 3)) {
    case 0:
        MAIL(t + 500 * MS, "smtpd", pid, "NOQUEUE: reject: RCPT from unknown[", from,
             "]: 554 5.7.1 Service unavailable; Client host [", from,
             "] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/", from,
             "; from=<info@", word, pid % 100, ".example> to=<", victim, "> proto=ESMTP helo=<",
             word, pid % 100, ".example>");
        break;
    case 1:
        MAIL(t + 500 * MS, "smtpd", pid, "NOQUEUE: reject: RCPT from unknown[", from,
             "]: 550 5.1.1 <", SYNTH_PICK(r, guesses), "@", w->domain,
             ">: Recipient address rejected: User unknown in virtual mailbox table; from=<", word,
             "@", word, pid % 100, ".example> proto=ESMTP helo=<", word, ">");
        break;
    default:
        MAIL(t + 500 * MS, "smtpd", pid, "warning: unknown[", from,
             "]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=",
             SYNTH_PICK(r, guesses), "@", w->domain);
        MAIL(t + 600 * MS, "smtpd", pid, "lost connection after AUTH from unknown[", from, "]");
    }
    MAIL(t + 700 * MS, "smtpd", pid, "disconnect from unknown[", from,
         "] ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4");
}
