/* Where logs name users, hosts and secrets: header of syslog, key=value in its many spellings, and
 * the set phrases of daemons. */
#include "base/error.h"
#include "data/pseudonym_internal.h"

#include <strings.h>

/* ---- keys ---- */

/* The word before s with one separator between; its length, 0 = none. */
static uint32_t word_before(const char *p, uint32_t s, uint32_t *start)
{
    uint32_t e = s;
    if (!e || !strchr(" ._-", p[e - 1]))
        return 0;
    e--;
    if (p[s - 1] == ' ' && e && p[e - 1] == ':')
        e--;
    *start = e;
    while (ch_is(p[*start - 1], CH_ALPHA))
        --*start;
    if (*start && p[*start - 1] == '\\' && *start < e && strchr("tnr", p[*start]))
        ++*start; /* the end of \t */
    return e - *start;
}

/* Keys of two words: Account Name, host.name, api-key. */
static uint32_t pair_kinds(const char *p, uint32_t s, uint32_t e)
{
    static const struct {
        const char *first, *last;
        uint32_t kind;
    } pairs[] = {{"account", "name", WORD_KEY_USER},      {"user", "name", WORD_KEY_USER},
                 {"logon", "name", WORD_KEY_USER},        {"login", "name", WORD_KEY_USER},
                 {"logon", "account", WORD_KEY_USER},     {"workstation", "name", WORD_KEY_HOST},
                 {"computer", "name", WORD_KEY_HOST},     {"host", "name", WORD_KEY_HOST},
                 {"machine", "name", WORD_KEY_HOST},      {"client", "name", WORD_KEY_HOST},
                 {"server", "name", WORD_KEY_HOST},       {"domain", "name", WORD_KEY_HOST},
                 {"device", "name", WORD_KEY_HOST},       {"account", "domain", WORD_KEY_HOST},
                 {"user", "domain", WORD_KEY_HOST},       {"logon", "domain", WORD_KEY_HOST},
                 {"client", "domain", WORD_KEY_HOST},     {"source", "workstation", WORD_KEY_HOST},
                 {"client", "workstation", WORD_KEY_HOST}};
    uint32_t start, n = word_before(p, s, &start);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && n; i++)
        if (strlen(pairs[i].first) == n && strlen(pairs[i].last) == e - s &&
            !strncasecmp(pairs[i].first, p + start, n) && !strncasecmp(pairs[i].last, p + s, e - s))
            return pairs[i].kind;
    return 0;
}

/* srcUserName=, db_user=, "smtp_password": keys that end like known ones. */
uint32_t suffix_kinds(const char *p, uint32_t e)
{
    static const struct {
        char text[9];
        uint32_t kind;
    } endings[] = {{"username", WORD_KEY_USER},   {"hostname", WORD_KEY_HOST},
                   {"password", WORD_KEY_SECRET}, {"_passwd", WORD_KEY_SECRET},
                   {"_secret", WORD_KEY_SECRET},  {"_token", WORD_KEY_SECRET},
                   {"_user", WORD_KEY_USER}};
    if (p[e] != '=' && p[e] != ':' && p[e] != '"' && p[e] != '\'' && p[e] != '\\')
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t n = strlen(endings[i].text);
        if (ch_lower(p[e - 1]) == endings[i].text[n - 1] &&
            !strncasecmp(p + e - n, endings[i].text, n))
            return endings[i].kind;
    }
    return 0;
}

/* A dot between letters, or a digit and a hyphen. */
static bool looks_like_host(const char *p, uint32_t s, uint32_t e)
{
    bool dot = false, digit = false, hyphen = false;
    for (uint32_t i = s; i < e; i++) {
        dot |= p[i] == '.' && i + 1 < e && ch_is(p[i + 1], CH_ALPHA);
        digit |= ch_is(p[i], CH_DIGIT);
        hyphen |= p[i] == '-';
    }
    return dot || (digit && hyphen);
}

int context_key(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t kinds, uint32_t *next)
{
    const char *p = c->text;
    struct value v;
    bool taken = false;
    uint32_t keys = kinds & (WORD_KEY_USER | WORD_KEY_HOST | WORD_KEY_SECRET);
    int rc = 0;
    if (!find_value(c, s, e, keys & WORD_KEY_SECRET, &v))
        return 0;
    if (kinds & WORD_LAST) {
        uint32_t pair = pair_kinds(p, s, e);
        keys = pair ? pair : keys;
        if (!keys && e - s == 6 && (v.sep == '=' || v.key_end)) /* domain=CORP */
            keys = WORD_KEY_HOST;
    }
    bool prose = v.sep == ':' && v.blank && !v.quoted && !v.key_end;
    if (e - s == 4 && !strncasecmp(p + s, "node", 4) && v.sep != '=')
        return 0; /* of a cluster's or a program's object */
    if (v.sep == ' ' && keys & WORD_KEY_HOST)
        return 0;
    if (prose && (p[s - 1] == '-' || word_kinds_of(c->p->words, p + v.s, v.e - v.s) & WORD_STOP))
        return 0; /* "imap-login: Aborted" */
    if (keys & WORD_KEY_HOST && v.blank && !v.quoted && p[v.e] == ' ' &&
        ch_is(p[v.e + 1], CH_ALPHA))
        return 0; /* a name of several words is a product's */
    if (keys & WORD_KEY_SECRET && p[s - 1] == ':')
        return 0; /* arn:aws:secretsmanager:...:secret:NAME */
    if (keys & WORD_KEY_SECRET)
        rc = secret_value(c, v, &taken);
    else if (keys & WORD_KEY_USER)
        rc = user_value(c, v.s, v.e, &taken);
    else if (keys & WORD_KEY_HOST || (kinds & WORD_KEY_LOOSE && looks_like_host(p, v.s, v.e)))
        rc = host_value(c, v.s, v.e, &taken);
    if (taken)
        *next = keys & WORD_KEY_SECRET && c->n_spans ? c->spans[c->n_spans - 1].end : v.e;
    return rc;
}

/* ---- prose ---- */

static uint32_t blank_word(const char *p, uint32_t s, uint32_t *end)
{
    uint32_t at = s + (p[s] == ' ');
    for (*end = at; ch_is(p[*end], CH_WORD);)
        ++*end;
    return at;
}

/* "user NAME": in words that logs put around it, or in quotes. */
static int after_user(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t *next)
{
    static const char *const before[] = {
        "for", "invalid", "illegal",        "unknown", "by",     "of",
        "as",  "from",    "authenticating", "local",   "remote", "disconnected"};
    const char *p = c->text;
    uint32_t at = e + 1, end, start, n, after_end;
    bool taken = false;
    bool escaped = p[at] == '\\' && p[at + 1] == '"',
         quoted = escaped || p[at] == '"' || p[at] == '\'';
    if (quoted) {
        uint32_t value = at + escaped + 1;
        end = quoted_end(p, value, p[at + escaped], escaped);
        if (!end)
            return 0;
        at = value;
    } else {
        end = name_end(c, at);
        while (end > at && (p[end - 1] == '-' || p[end - 1] == '_'))
            end--;
        if (end == at || word_kinds_of(c->p->words, p + at, end - at) & WORD_STOP)
            return 0;
        bool known = p[end] == '(' || p[end] == '\n' || end == c->end;
        n = p[s - 1] == ' ' ? word_before(p, s, &start) : 0;
        for (size_t i = 0; i < sizeof before / sizeof before[0] && n && !known; i++)
            known = strlen(before[i]) == n && !strncasecmp(before[i], p + start, n);
        uint32_t after = blank_word(p, end, &after_end);
        known = known || (p[end] == ' ' && after_end > after && p[s - 1] != '-' &&
                          word_kinds_of(c->p->words, p + after, after_end - after) & WORD_VERB);
        if (!known)
            return 0;
    }
    int rc = user_value(c, at, end, &taken);
    if (taken)
        *next = end;
    return rc;
}

int context_prose(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t kinds, uint32_t *next)
{
    const char *p = c->text;
    uint32_t at = e + 1, end;
    bool taken = false;
    if (kinds & WORD_FOLDER && (p[e] == '\\' || (p[e] == '/' && p[s - 1] == '/'))) {
        while (p[at] == '\\')
            at++;
        if (p[e] == '/' && p[s] == 'u') /* /users of a web service */
            return 0;
        for (end = at; ch_is(p[end], CH_USER);)
            end++;
    } else if ((p[s] | 0x20) == 'u' && e - s == 4 && p[e] == '/' && p[s - 1] == ':') {
        for (end = at; ch_is(p[end], CH_USER) || p[end] == '@';) /* arn:aws:iam::1:user/NAME */
            end++;
    } else if (p[e] != ' ' || !(kinds & WORD_PROSE)) {
        return 0;
    } else if ((p[s] | 0x20) == 'u') {
        return after_user(c, s, e, next);
    } else {
        end = name_end(c, at);
        bool by = (p[s] | 0x20) == 'b';
        if (end == at || word_kinds_of(c->p->words, p + at, end - at) & WORD_STOP)
            return 0;
        if (by ? !starts(p + end, "(uid=")
               : !starts(p + end, " from ") || !(ch_is(p[end + 6], CH_HEX) || p[end + 6] == ':' ||
                                                 starts(p + end + 6, "UNKNOWN")))
            return 0;
    }
    if (end == at)
        return 0;
    int rc = user_value(c, at, end, &taken);
    if (taken)
        *next = end;
    return rc;
}

/* ---- shapes ---- */

/* Start of the name that ends at e, not before what is already a span. */
static uint32_t name_start(const struct sec_pseudo_ctx *c, uint32_t e)
{
    uint32_t least = c->n_spans ? c->spans[c->n_spans - 1].end : PAD, s = e;
    while (s > least && ch_is(c->text[s - 1], CH_USER))
        s--;
    return s;
}

/* DOMAIN\name outside keys: the domain in capitals, no path around it. */
static int domain_user(struct sec_pseudo_ctx *c, uint32_t e, uint32_t *next)
{
    const char *p = c->text;
    uint32_t s = name_start(c, e), at = e + 1 + (p[e + 1] == '\\'), end = at;
    bool taken;
    if (e - s < 2 || e - s > 15 || (c->json && p[e + 1] != '\\') || starts(p + s, "HK"))
        return 0;
    if (c->json && p[s - 1] == '\\' && strchr("tnr", p[s]))
        s++;
    for (uint32_t i = s; i < e; i++)
        if (!(p[i] >= 'A' && p[i] <= 'Z') && !ch_is(p[i], CH_DIGIT) && p[i] != '-')
            return 0;
    bool first = strchr(" \"'=(>[,;\t\n", p[s - 1]) ||
                 (c->json && s >= 2 && p[s - 2] == '\\' && strchr("tnr", p[s - 1]));
    while (ch_is(p[end], CH_USER))
        end++;
    while (end > at && p[end - 1] == '.')
        end--;
    if (!first || end == at || (p[end] == '\\' && (!c->json || p[end + 1] == '\\')) ||
        p[end] == '/' || !has_letter(p, s, e) ||
        word_kinds_of(c->p->words, p + s, e - s) & WORD_ACCOUNT)
        return 0;
    int rc = user_value(c, s, end, &taken);
    if (taken)
        *next = end;
    return rc;
}

/* \\SERVER\share */
static int unc_host(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    const char *p = c->text;
    uint32_t back = s, end = s;
    bool taken;
    while (p[back - 1] == '\\')
        back--;
    while (ch_is(p[end], CH_HOST))
        end++;
    if (s - back != (c->json ? 4 : 2) || p[end] != '\\' || ch_is(p[back - 1], CH_WORD))
        return 0;
    int rc = host_value(c, s, end, &taken);
    if (taken)
        *next = end;
    return rc;
}

/* CN=NAME and DC=LABEL of distinguished names */
static int distinguished(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t *next)
{
    const char *p = c->text;
    uint32_t end = e + 1;
    bool taken;
    while (ch_is(p[end], CH_USER))
        end++;
    if (p[end] == ' ' || p[end] == '@' || memchr(p + e + 1, '.', end - e - 1))
        return 0;
    bool label = p[s] == 'D';
    if (label && word_kinds_of(c->p->words, p + e + 1, end - e - 1) & (WORD_TLD | WORD_TLD_WEAK))
        return 0;
    int rc = label ? host_value(c, e + 1, end, &taken) : user_value(c, e + 1, end, &taken);
    if (taken)
        *next = end;
    return rc;
}

/* WS-0042$: with a digit or a hyphen, for a share ends likewise (ADMIN$). */
static int machine_account(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t *next)
{
    const char *p = c->text;
    bool sure = false, taken;
    for (s = name_start(c, e); s < e && !ch_is(p[s], CH_WORD);)
        s++;
    if (c->json && p[s - 1] == '\\' && strchr("tnr", p[s]))
        s++;
    for (uint32_t i = s; i < e; i++) {
        sure |= ch_is(p[i], CH_DIGIT) || p[i] == '-';
        if (!ch_is(p[i], CH_HOST) || p[i] == '.' || (p[i] >= 'a' && p[i] <= 'z'))
            return 0;
    }
    if (!sure || e - s < 3 || e - s > 15 || ch_is(p[e + 1], CH_WORD))
        return 0;
    int rc = host_value(c, s, e, &taken);
    if (taken)
        *next = e;
    return rc;
}

/* A user's name as the daemons write it: "NAME : TTY=" (sudo), "- NAME [03/Mar/..." (web servers),
 * "NAME HIER_DIRECT/" (squid), "(NAME) CMD" (cron), "NAME/1.2.3.4:1194" (openvpn). */
static bool user_shape(const struct sec_pseudo_ctx *c, uint32_t s, uint32_t e)
{
    const char *p = c->text;
    uint32_t address, n;
    switch (p[e]) {
    case ' ':
        if (p[e + 1] == ':' && p[e + 2] == ' ')
            return starts(p + e + 3, "TTY=") || starts(p + e + 3, "command not allowed") ||
                   starts(p + e + 3, "user NOT in sudoers") ||
                   (ch_is(p[e + 3], CH_DIGIT) && starts(p + e + 4, " incorrect password"));
        if (p[e + 1] == '[')
            return ch_is(p[e + 2], CH_DIGIT) && ch_is(p[e + 3], CH_DIGIT) && p[e + 4] == '/' &&
                   starts(p + name_start(c, e) - 3, " - ");
        return p[e + 1] == 'H' && starts(p + e + 1, "HIER_");
    case ')':
        return p[s - 1] == '(' && starts(p + e, ") CMD");
    case ']':
        return starts(p + e, "] Peer Connection") && p[name_start(c, e) - 1] == '[';
    case '/':
        n = (uint32_t)ipv4_at(p + e + 1, &address);
        return n && p[e + 1 + n] == ':' && ch_is(p[e + 2 + n], CH_DIGIT) &&
               p[name_start(c, e) - 1] == ' ' &&
               !(word_kinds_of(c->p->words, p + s, e - s) & WORD_STOP);
    }
    return false;
}

int context_shape(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t *next)
{
    const char *p = c->text;
    bool taken = false;
    int rc = 0;
    if (p[s - 1] == '\\' && p[s - 2] == '\\')
        rc = unc_host(c, s, next);
    if (rc || *next)
        return rc;
    switch (p[e]) {
    case '\\':
        return domain_user(c, e, next);
    case '=':
        return e - s == 2 && (starts(p + s, "CN") || starts(p + s, "DC"))
                   ? distinguished(c, s, e, next)
                   : 0;
    case ':': /* a node's account in Kubernetes */
        if (e - s == 4 && starts(p + s - 7, "system:node:")) {
            uint32_t end = e + 1;
            while (ch_is(p[end], CH_HOST))
                end++;
            rc = host_value(c, e + 1, end, &taken);
            if (taken)
                *next = end;
        }
        return rc;
    case '$':
        return machine_account(c, s, e, next);
    case ' ':
    case ')':
    case ']':
    case '/':
        if (user_shape(c, s, e)) {
            uint32_t start = name_start(c, e);
            /* Hadoop writes HOST/1.2.3.4:9000; openvpn's name follows the time or an arrow. */
            bool host = p[e] == '/' && !ch_is(p[start - 2], CH_DIGIT) && p[start - 2] != '>';
            rc = host ? host_value(c, start, e, &taken) : user_value(c, start, e, &taken);
            if (taken)
                *next = e;
        }
    }
    return rc;
}

/* ---- syslog's header ---- */

/* Follows a form in which d is a digit, b a digit or a blank, a a letter; its length or 0. */
static uint32_t form(const char *p, const char *f)
{
    uint32_t i = 0;
    for (; f[i]; i++) {
        bool ok = f[i] == 'd'   ? ch_is(p[i], CH_DIGIT)
                  : f[i] == 'b' ? p[i] == ' ' || ch_is(p[i], CH_DIGIT)
                  : f[i] == 'a' ? ch_is(p[i], CH_ALPHA)
                                : p[i] == f[i];
        if (!ok)
            return 0;
    }
    return i;
}

/* RFC 3164, RFC 5424 and the form of today's daemons; the host's name follows the time. */
int context_header(struct sec_pseudo_ctx *c)
{
    const char *p = c->text;
    uint32_t at = PAD, n, end;
    bool taken, version = false;
    if (p[at] == '<') {
        for (at++; ch_is(p[at], CH_DIGIT) && at < PAD + 4;)
            at++;
        if (p[at++] != '>')
            return 0;
    }
    if (p[at] == '1' && p[at + 1] == ' ') {
        version = true;
        at += 2;
    }
    bool classic = (n = form(p + at, "aaa bd dd:dd:dd")) != 0;
    if (!n && !(n = form(p + at, "dddd-dd-ddTdd:dd:dd")))
        return 0;
    at += n;
    if (p[at] == '.')
        for (at++; ch_is(p[at], CH_DIGIT);)
            at++;
    if (p[at] == 'Z')
        at++;
    else if ((n = form(p + at + 1, "dd:dd")) || (n = form(p + at + 1, "dddd")))
        at += p[at] == '+' || p[at] == '-' ? n + 1 : 0;
    if (p[at++] != ' ')
        return 0;
    for (end = at; ch_is(p[end], CH_HOST) || p[end] == '_';)
        end++;
    if (end == at || p[end] != ' ' || word_kinds_of(c->p->words, p + at, end - at) & WORD_STOP)
        return 0;
    if (!classic &&
        !version) { /* a level or a thread may stand there: want PROGRAM[1]: or PROGRAM: */
        uint32_t tag = end + 1;
        while (p[tag] && p[tag] != ' ' && p[tag] != '[' && p[tag] != ':')
            tag++;
        if (tag == end + 1 || p[tag] == ' ' || !p[tag])
            return 0;
    }
    return host_value(c, at, end, &taken);
}
