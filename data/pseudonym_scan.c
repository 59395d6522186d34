/* The walk over a record's words, and the values that their own form gives away: addresses, SIDs,
 * e-mail addresses, names of hosts with a known ending, secrets with a known prefix. */
#include "base/error.h"
#include "data/pseudonym_internal.h"

#include <arpa/inet.h>
#include <strings.h>

enum { MAIL_MAX = 64, HOST_MAX = 253 };

/* ---- IPv4 ---- */

size_t ipv4_at(const char *p, uint32_t *address)
{
    size_t i = 0;
    uint32_t v = 0;
    for (int k = 0; k < 4; k++) {
        if (k && p[i++] != '.')
            return 0;
        size_t start = i;
        uint32_t octet = 0;
        while (i < start + 4 && ch_is(p[i], CH_DIGIT))
            octet = octet * 10 + (uint32_t)(p[i++] - '0');
        if (i == start || octet > 255 || (p[start] == '0' && i > start + 1))
            return 0;
        v = v << 8 | octet;
    }
    *address = v;
    return i;
}

/* "version 1.2.3.4", "Chrome/133.0.0.0", "FileVersion":"1.2.3.4": is the word before one of those?
 */
static bool after_version(const struct sec_pseudo_ctx *c, uint32_t s)
{
    uint32_t e = s;
    while (s - e < 5 && !ch_is(c->text[e - 1], CH_WORD))
        e--;
    uint32_t at = e;
    while (e - at < 32 && ch_is(c->text[at - 1], CH_WORD))
        at--;
    if (e == s || e == at)
        return false;
    if (c->text[s - 1] == '/' && word_kinds_of(c->p->words, c->text + at, e - at) & WORD_VERSION)
        return true;
    static const char *const words[] = {"ver", "release", "build", "revision", "rev"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == e - at && !strncasecmp(c->text + at, words[i], e - at))
            return true;
    return e - at >= 7 && !strncasecmp(c->text + e - 7, "version", 7);
}

static int take_ipv4(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    const char *p = c->text;
    uint32_t address;
    uint32_t len = (uint32_t)ipv4_at(p + s, &address), end = s + len;
    if (!len || ch_is(p[end], CH_WORD) || (p[end] == '.' && ch_is(p[end + 1], CH_WORD)) ||
        (p[end] == '-' && ch_is(p[end + 1], CH_ALPHA)) || p[s - 1] == '.')
        return 0;
    if (p[end] == '-' || p[end] == '+') { /* the package version 1.2.3.4-5ubuntu1 */
        uint32_t at = end + 1;
        while (ch_is(p[at], CH_DIGIT))
            at++;
        if (ch_is(p[at], CH_ALPHA))
            return 0;
    }
    *next = end;
    /* This host, loopback, netmasks, multicast and what no host has. */
    if (address >> 24 == 0 || address >> 24 == 127 || address >> 24 >= 224 || after_version(c, s))
        return 0;
    return span_add(c, s, end, HOW_IPV4, SEC_PSEUDO_IPV4);
}

/* ---- IPv6 and MAC: runs of hex digits between separators ---- */

/* A MAC address (6 bytes, or 8 of an EUI-64) in pairs; the packet filter's MAC= gives both
 * addresses and the type of a frame in one run of 14. */
static int take_pairs(struct sec_pseudo_ctx *c, uint32_t s, char sep, uint32_t *next)
{
    const char *p = c->text;
    uint32_t e = s, pairs = 0;
    for (;;) {
        if (!ch_is(p[e], CH_HEX) || !ch_is(p[e + 1], CH_HEX) || ch_is(p[e + 2], CH_WORD))
            return 0;
        pairs++;
        e += 2;
        if (p[e] != sep || !ch_is(p[e + 1], CH_WORD))
            break;
        e++;
    }
    if (p[s - 1] == sep || (pairs != 6 && pairs != 8 && !(pairs == 14 && sep == ':')))
        return 0;
    *next = e;
    uint32_t width = pairs == 8 ? 23 : 17;
    for (uint32_t at = s, k = 0; k < (pairs == 14 ? 2u : 1u); k++, at += 18) {
        bool zeros = true, ones = true;
        for (uint32_t i = at; i < at + width; i++)
            if (p[i] != sep) {
                zeros &= p[i] == '0';
                ones &= ch_lower(p[i]) == 'f';
            }
        if (zeros || ones)
            continue;
        int rc = span_add(c, at, at + width, HOW_MAC, SEC_PSEUDO_MAC);
        if (rc)
            return rc;
    }
    return 0;
}

/* 0050.56e3.dc0e, with a letter, for else it is a number */
static int take_dotted_mac(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    const char *p = c->text;
    bool letter = false;
    for (uint32_t i = 0; i < 14; i++) {
        bool dot = i == 4 || i == 9;
        if (dot ? p[s + i] != '.' : !ch_is(p[s + i], CH_HEX))
            return 0;
        letter |= ch_is(p[s + i], CH_ALPHA);
    }
    if (!letter || ch_is(p[s + 14], CH_WORD) || (p[s + 14] == '.' && ch_is(p[s + 15], CH_WORD)) ||
        p[s - 1] == '.')
        return 0;
    *next = s + 14;
    return span_add(c, s, s + 14, HOW_MAC, SEC_PSEUDO_MAC);
}

static int take_ipv6(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    const char *p = c->text;
    char text[INET6_ADDRSTRLEN];
    uint8_t address[16];
    uint32_t e = s, colons = 0, digits = 0;
    while (e - s < sizeof text && (ch_is(p[e], CH_HEX) || p[e] == ':' || p[e] == '.')) {
        colons += p[e] == ':';
        digits += ch_is(p[e], CH_DIGIT);
        e++;
    }
    while (e > s && (p[e - 1] == '.' || (p[e - 1] == ':' && e >= s + 2 && p[e - 2] != ':')))
        e--; /* the sentence's */
    if (colons < 2 || !digits || e - s >= sizeof text || ch_is(p[e], CH_WORD) || p[s - 1] == ':' ||
        ch_is(p[s - 1], CH_WORD))
        return 0;
    memcpy(text, p + s, e - s);
    text[e - s] = 0;
    if (inet_pton(AF_INET6, text, address) != 1)
        return 0;
    *next = e;
    static const uint8_t zeros[15];
    if (address[0] == 0xFF || (!memcmp(address, zeros, 15) && address[15] <= 1))
        return 0;
    return span_add(c, s, e, HOW_IPV6, SEC_PSEUDO_IPV6);
}

static int take_hex(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t *next)
{
    char d = c->text[e];
    int rc = 0;
    if (e - s == 2 && (d == ':' || d == '-'))
        rc = take_pairs(c, s, d, next);
    if (!rc && !*next && e - s == 4 && d == '.')
        rc = take_dotted_mac(c, s, next);
    if (!rc && !*next && d == ':')
        rc = take_ipv6(c, s, next);
    return rc;
}

/* ---- SIDs ---- */

/* S-1-5-21-a-b-c-RID: a-b-c is the domain; what follows tells well-known accounts (500, 512) and
 * stays. S-1-12-1-a-b-c-d is made from the account's id as a whole. */
static int take_sid(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    const char *p = c->text + s;
    uint32_t at = !strncmp(p, "S-1-5-21-", 9) ? 9 : !strncmp(p, "S-1-12-1-", 9) ? 9 : 0;
    uint32_t numbers = p[4] == '5' ? 3 : 4, start = s + at;
    if (!at)
        return 0;
    for (uint32_t k = 0; k < numbers; k++) {
        uint32_t first = at;
        while (ch_is(p[at], CH_DIGIT) && at - first < 10)
            at++;
        if (at == first || ch_is(p[at], CH_DIGIT))
            return 0;
        if (k + 1 < numbers && p[at++] != '-')
            return 0;
    }
    int rc = span_add(c, start, s + at, HOW_SID, SEC_PSEUDO_SID);
    while (p[at] == '-' && ch_is(p[at + 1], CH_DIGIT))
        for (at++; ch_is(p[at], CH_DIGIT); at++)
            ;
    *next = s + at;
    return rc;
}

/* ---- hosts ---- */

uint32_t host_suffix(const struct sec_pseudo *p, const char *text, uint32_t s, uint32_t e,
                     bool evidence)
{
    uint32_t last = e, before;
    while (last > s && text[last - 1] != '.')
        last--;
    if (last == s)
        return e;
    uint32_t kinds = word_kinds_of(p->words, text + last, e - last);
    if (!(kinds & (WORD_TLD | WORD_TLD_WEAK)))
        return e;
    for (before = last - 1; before > s && text[before - 1] != '.';)
        before--;
    uint32_t n = last - 1 - before;
    static const char second[][4] = {"co", "com", "org", "net", "ac", "gov", "edu", "or", "ne"};
    for (size_t i = 0; i < sizeof second / sizeof second[0] && e - last == 2 && before > s; i++)
        if (strlen(second[i]) == n && !strncasecmp(text + before, second[i], n))
            return before;
    /* Evidence does not make com of an ending; without it the weak ones want a third label. */
    static const char words[][8] = {"so", "id", "in", "is", "to", "name", "info"};
    bool word = false; /* libc-2.31.so, trace.span.id */
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        word |= strlen(words[i]) == e - last && !strncasecmp(words[i], text + last, e - last);
    return (kinds & WORD_TLD) || evidence || (before > s && !word) ? last : e;
}

/* eu-central-1 */
static bool is_region(const char *p, uint32_t n)
{
    return n >= 9 && n <= 16 && p[2] == '-' && p[n - 2] == '-' && ch_is(p[n - 1], CH_DIGIT) &&
           ch_is(p[0], CH_ALPHA) && ch_is(p[3], CH_ALPHA);
}

/* Spans over the labels of text[s..e) below a vendor's domain that do not name a service of it. */
static int below_vendor(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool *taken)
{
    int class = SEC_PSEUDO_HOST;
    for (uint32_t at = s; at < e;) {
        uint32_t end = at;
        while (end < e && c->text[end] != '.')
            end++;
        if (!(word_kinds_of(c->p->words, c->text + at, end - at) & WORD_SERVICE) &&
            !is_region(c->text + at, end - at)) {
            int rc = span_add(c, at, end, HOW_HOST, class);
            if (rc)
                return rc;
            class = SEC_N_PSEUDO;
            *taken = true;
        }
        at = end + 1;
    }
    return 0;
}

/* Labels of text[s..e): how many, and whether they can be a host's. */
static bool labels_ok(const char *p, uint32_t s, uint32_t e, uint32_t *labels, uint32_t *last)
{
    *labels = 1;
    *last = s;
    for (uint32_t i = s; i < e; i++)
        if (p[i] == '.') {
            if (i == *last || i - *last > 63)
                return false;
            ++*labels;
            *last = i + 1;
        }
    bool digits = true, lower = true, upper = true;
    for (uint32_t i = *last; i < e; i++) {
        digits &= ch_is(p[i], CH_DIGIT);
        lower &= !(p[i] >= 'A' && p[i] <= 'Z');
        upper &= !(p[i] >= 'a' && p[i] <= 'z');
    }
    return e > *last && e - s <= HOST_MAX && !digits && (*labels == 1 || lower || upper);
}

int host_add(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool evidence, bool *taken)
{
    const char *p = c->text;
    uint32_t labels, last;
    *taken = false;
    while (e > s && (p[e - 1] == '.' || p[e - 1] == '-'))
        e--;
    if (e <= s || !labels_ok(p, s, e, &labels, &last) ||
        word_kinds_of(c->p->words, p + s, e - s) & WORD_ACCOUNT)
        return 0;
    uint32_t first = s, suffix = host_suffix(c->p, p, s, e, evidence);
    while (first < e && p[first] != '.')
        first++;
    if (labels == 1 && (!evidence || e - s < 2))
        return 0;
    if (labels > 1 && !evidence &&
        (suffix == e || word_kinds_of(c->p->words, p + s, first - s) & WORD_PACKAGE))
        return 0;
    uint32_t end = suffix == e ? e : suffix - 1, vendor = end;
    while (vendor > s && p[vendor - 1] != '.')
        vendor--;
    uint32_t kinds = suffix < e ? word_kinds_of(c->p->words, p + vendor, end - vendor) : 0;
    if (kinds & WORD_VENDOR)
        return 0;
    if (kinds & WORD_TENANT)
        return below_vendor(c, s, vendor > s ? vendor - 1 : s, taken);
    bool digit = false;
    for (uint32_t i = s; i < first; i++)
        digit |= ch_is(p[i], CH_DIGIT) || p[i] == '-';
    if (digit) /* others would meet words of the text: mail, proxy */
        name_add(c, s, first, HOW_HOST, SEC_PSEUDO_HOST);
    *taken = true;
    return span_add(c, s, end, HOW_HOST, SEC_PSEUDO_HOST);
}

/* ---- e-mail ---- */

static bool unit_type(const char *p, uint32_t n)
{
    static const char *const types[] = {"service", "socket", "slice",  "scope",
                                        "timer",   "mount",  "target", "device"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i]) == n && !memcmp(p, types[i], n))
            return true;
    return false;
}

/* End of the domain after an @, 0 if what is there cannot be one. Systemd's units
 * (getty@tty1.service) and the names of ciphers (aes256-gcm@openssh.com) are no addresses. */
static uint32_t mail_domain(const char *p, uint32_t at)
{
    uint32_t e = at + 1, last = at + 1, dots = 0;
    while (ch_is(p[e], CH_HOST))
        e++;
    while (e > at + 1 && !ch_is(p[e - 1], CH_WORD))
        e--;
    for (uint32_t i = at + 1; i < e; i++)
        if (p[i] == '.') {
            dots++;
            last = i + 1;
        }
    uint32_t n = e - last;
    if (!dots || n < 2 || n > 24 || e - at > HOST_MAX || p[e] == '_')
        return 0;
    for (uint32_t i = last; i < e; i++)
        if (!ch_is(p[i], CH_ALPHA))
            return 0;
    uint32_t whole = e - at - 1;
    if (unit_type(p + last, n) || (whole == 11 && !memcmp(p + at + 1, "openssh.com", 11)) ||
        (whole == 10 && !memcmp(p + at + 1, "libssh.org", 10)))
        return 0;
    return e;
}

/* The next e-mail address from text[from] on. */
static void find_mail(struct sec_pseudo_ctx *c, uint32_t from)
{
    const char *p = c->text;
    c->next_mail = UINT32_MAX;
    for (uint32_t at = from; at < c->end; at++) {
        const char *found = memchr(p + at, '@', c->end - at);
        if (!found)
            return;
        at = (uint32_t)(found - p);
        uint32_t s = at;
        while (s > from && at - s < MAIL_MAX && ch_is(p[s - 1], CH_LOCAL))
            s--;
        if (c->json && s < at && p[s - 1] == '\\' && strchr("tnr", p[s]))
            s++;
        while (s < at && !ch_is(p[s], CH_WORD))
            s++;
        if (s < at && mail_domain(p, at)) {
            c->next_mail = s;
            c->mail_at = at;
            return;
        }
    }
}

static int take_mail(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    uint32_t at = c->mail_at, end = mail_domain(c->text, at);
    int class = SEC_PSEUDO_EMAIL;
    bool taken;
    size_t before = c->n_spans;
    if (!(word_kinds_of(c->p->words, c->text + s, at - s) & WORD_ACCOUNT)) {
        int rc = span_add(c, s, at, HOW_USER, class);
        if (rc)
            return rc;
        name_add(c, s, at, HOW_USER, SEC_PSEUDO_USER);
        class = SEC_N_PSEUDO;
    }
    size_t domain = c->n_spans;
    int rc = host_add(c, at + 1, end, true, &taken);
    for (size_t i = domain; i < c->n_spans; i++)
        c->spans[i].class = (uint8_t)(i == before ? class : SEC_N_PSEUDO);
    *next = end;
    return rc;
}

/* ---- secrets that their prefix gives away ---- */

static const struct prefix {
    const char *text;
    uint8_t len, least; /* of what follows */
    bool dots;          /* parts between dots belong to it */
} prefixes[] = {
    {"AKIA", 4, 16, false},     {"ASIA", 4, 16, false},         {"ghp_", 4, 30, false},
    {"gho_", 4, 30, false},     {"ghu_", 4, 30, false},         {"ghs_", 4, 30, false},
    {"ghr_", 4, 30, false},     {"github_pat_", 11, 30, false}, {"glpat-", 6, 20, false},
    {"xoxb-", 5, 10, false},    {"xoxa-", 5, 10, false},        {"xoxp-", 5, 10, false},
    {"xoxr-", 5, 10, false},    {"xoxs-", 5, 10, false},        {"sk_live_", 8, 16, false},
    {"rk_live_", 8, 16, false}, {"sk_test_", 8, 16, false},     {"AIza", 4, 35, false},
    {"eyJ", 3, 17, true},       {"SG.", 3, 30, true},           {"npm_", 4, 36, false},
    {"dop_v1_", 7, 60, false},  {"hvs.", 4, 20, false},         {"pypi-AgEI", 9, 30, false}};

static int take_prefix(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    const char *p = c->text + s;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const struct prefix *x = &prefixes[i];
        if (p[0] != x->text[0] || p[1] != x->text[1] || memcmp(p, x->text, x->len))
            continue;
        uint32_t e = x->len, dots = 0;
        while (ch_is(p[e], CH_WORD) || p[e] == '-' || p[e] == '=' ||
               (x->dots && p[e] == '.' && ch_is(p[e + 1], CH_WORD)))
            dots += p[e++] == '.';
        /* A JSON Web Token has three parts; one part of it is base64 of any JSON object. */
        if (e < (uint32_t)x->len + x->least || (x->dots && !dots))
            continue;
        *next = s + e;
        return span_add(c, s, s + e, HOW_SECRET, SEC_PSEUDO_SECRET);
    }
    return 0;
}

/* -----BEGIN ... PRIVATE KEY----- up to its END, or of what there is of it */
static int take_pem(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    static const char key[] = "PRIVATE KEY-----", end[] = "-----END";
    const char *p = c->text;
    const char *at = memmem(p + s, c->end - s < 48 ? c->end - s : 48, key, sizeof key - 1);
    if (!at)
        return 0;
    uint32_t start = (uint32_t)(at - p) + (uint32_t)sizeof key - 1;
    const char *stop = memmem(p + start, c->end - start, end, sizeof end - 1);
    uint32_t e = stop ? (uint32_t)(stop - p) : c->end;
    if (e <= start)
        return 0;
    *next = e;
    return span_add(c, start, e, HOW_SECRET, SEC_PSEUDO_SECRET);
}

/* ---- the walk ---- */

static int take_form(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, uint32_t *next)
{
    const char *p = c->text;
    int rc = 0;
    if (s >= c->next_mail) {
        if (s > c->next_mail)
            find_mail(c, s);
        if (s == c->next_mail) {
            rc = take_mail(c, s, next);
            find_mail(c, *next);
            return rc;
        }
    }
    if (ch_is(p[s], CH_HEX)) {
        if (e - s <= 3 && p[e] == '.' && ch_is(p[s], CH_DIGIT))
            rc = take_ipv4(c, s, next);
        if (!rc && !*next && e - s <= 4)
            rc = take_hex(c, s, e, next);
        if (rc || *next)
            return rc;
    }
    switch (p[s]) {
    case 'S':
        if (p[e] == '-' && e == s + 1)
            rc = take_sid(c, s, next);
        /* fall through */
    case 'A':
    case 'd':
    case 'e':
    case 'g':
    case 'h':
    case 'n':
    case 'p':
    case 'r':
    case 's':
    case 'x':
        if (!rc && !*next)
            rc = take_prefix(c, s, next);
        break;
    case 'B':
        if (p[s - 1] == '-' && !strncmp(p + s, "BEGIN", 5))
            rc = take_pem(c, s, next);
    }
    return rc;
}

/* A run of letters, digits, dots and hyphens that may be a host's name. */
static int take_host(struct sec_pseudo_ctx *c, uint32_t s, uint32_t *next)
{
    const char *p = c->text;
    uint32_t e, dots = 0;
    if (p[s - 1] == '%' && ch_is(p[s], CH_HEX) && ch_is(p[s + 1], CH_HEX))
        s += 2; /* %2Fwww */
    for (e = s; ch_is(p[e], CH_HOST);)
        dots += p[e++] == '.';
    c->run_end = e;
    char before = p[s - 1];
    bool url = before == '/' && (p[s - 2] == '/' || (p[s - 2] == '\\' && p[s - 3] == '/'));
    if ((!dots && !url) || (!url && strchr("\\._$", before) && before) || p[e] == '_' ||
        p[e] == '(' || (uint8_t)p[e] >= 0x80)
        return 0;
    bool taken;
    int rc = host_add(c, s, e, url, &taken);
    if (taken)
        *next = e;
    return rc;
}

/* After a backslash of JSON, t is not the first letter of a word but the end of \t. */
static uint32_t after_escape(const struct sec_pseudo_ctx *c, uint32_t s, uint32_t e)
{
    uint32_t back = s;
    while (c->text[back - 1] == '\\')
        back--;
    if ((s - back) % 2 == 0)
        return s;
    if (c->text[s] == 'u')
        return e - s >= 5 ? s + 5 : e;
    return memchr("tnrbf", c->text[s], 5) ? s + 1 : s;
}

int pseudo_scan(struct sec_pseudo_ctx *c)
{
    const char *p = c->text;
    int rc;
    uint32_t s = PAD;
    while (p[s] == ' ')
        s++;
    c->json = p[s] == '{' || p[s] == '[';
    c->run_end = 0;
    find_mail(c, PAD);
    SEC_TRY(context_header(c));
    size_t header = 0, headers = c->n_spans;
    s = PAD;
    while (s < c->end) {
        if (header < headers && s >= c->spans[header].start) {
            s = c->spans[header++].end;
            continue;
        }
        if (!ch_is(p[s], CH_WORD)) {
            uint32_t next = 0;
            if (p[s] == ':' && p[s + 1] == ':' && ch_is(p[s + 2], CH_HEX))
                SEC_TRY(take_ipv6(c, s, &next));
            s = next ? next : s + 1;
            continue;
        }
        uint32_t e = s + 1, next = 0;
        while (ch_is(p[e], CH_WORD))
            e++;
        if (c->json && p[s - 1] == '\\')
            s = after_escape(c, s, e);
        if (s == e)
            continue;
        uint64_t hash = word_hash(p + s, e - s);
        c->words[c->n_words++] = (struct word){s, (uint32_t)hash};
        SEC_TRY(take_form(c, s, e, &next));
        uint32_t kinds = next ? 0 : word_kinds(c->p->words, p + s, e - s, hash);
        if (!next && !kinds && e - s > 5)
            kinds = suffix_kinds(p, e);
        if (!next && kinds &&
            (kinds &
             (WORD_KEY_USER | WORD_KEY_HOST | WORD_KEY_SECRET | WORD_LAST | WORD_KEY_LOOSE)))
            SEC_TRY(context_key(c, s, e, kinds, &next));
        if (!next && kinds & (WORD_PROSE | WORD_FOLDER))
            SEC_TRY(context_prose(c, s, e, kinds, &next));
        if (!next)
            SEC_TRY(context_shape(c, s, e, &next));
        if (!next && s >= c->run_end)
            SEC_TRY(take_host(c, s, &next));
        s = next ? next : e;
    }
fail:
    return rc;
}
