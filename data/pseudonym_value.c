/* Values after keys: where they end, and whether they name a user, a host or a secret. */
#include "base/error.h"
#include "data/pseudonym_internal.h"

#include <strings.h>

enum { VALUE_MAX = 256, NAME_MAX_LEN = 64 };

/* End of a quoted value; 0 if it does not end within reach. */
uint32_t quoted_end(const char *p, uint32_t s, char quote, bool escaped)
{
    for (uint32_t i = s; i < s + VALUE_MAX && p[i]; i++) {
        if (escaped && p[i] == '\\' && p[i + 1] == quote)
            return i;
        if (p[i] == '\\' && p[i + 1])
            i++;
        else if (p[i] == quote)
            return escaped ? 0 : i;
        else if (p[i] == '\n')
            return 0;
    }
    return 0;
}

/* A name's end. A backslash belongs to DOMAIN\name; in JSON it comes twice. */
uint32_t name_end(const struct sec_pseudo_ctx *c, uint32_t s)
{
    const char *p = c->text;
    uint32_t e = s;
    for (;;) {
        if (ch_is(p[e], CH_USER) || p[e] == '@' || p[e] == '+')
            e++;
        else if (p[e] == '\\' && p[e + 1] == '\\' && ch_is(p[e + 2], CH_USER) && e > s)
            e += 2;
        else if (p[e] == '\\' && !c->json && ch_is(p[e + 1], CH_USER) && e > s)
            e++;
        else
            break;
    }
    while (e > s && (p[e - 1] == '.' || p[e - 1] == '@' || p[e - 1] == '+'))
        e--;
    return e;
}

static uint32_t secret_end(const struct sec_pseudo_ctx *c, uint32_t s)
{
    const char *p = c->text;
    uint32_t e = s;
    while (p[e] && !strchr(" \t\r\n,;\"'&<>)]}|", p[e]) &&
           !(p[e] == '\\' && strchr("\"nrt", p[e + 1])))
        e++;
    return e;
}

/* The value after a key that ends at e: key=v, key="v", "key": "v", \"key\":\"v\", 'key'>v<. */
bool find_value(const struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool secret,
                struct value *v)
{
    const char *p = c->text;
    uint32_t at = e;
    *v = (struct value){0};
    if (p[at] == '\\' && p[at + 1] == '"')
        at += 2;
    else if (p[at] == '"' || p[at] == '\'')
        at++;
    v->key_end = at != e;
    while (p[at] == ' ' && at < e + 4)
        at++;
    if (p[at] == '=' || p[at] == ':' || (p[at] == '>' && p[s - 1] != '/')) {
        v->sep = p[at++];
        if ((v->sep == '=' && p[at] == '>') || (v->sep == ':' && (p[at] == ':' || p[at] == '=')))
            at++;
        if (v->sep == ':' && p[at] == '/' && p[at + 1] == '/')
            return false;
    } else if (at == e + 1 && !v->key_end && s >= 2 && p[s - 1] == '-') {
        uint32_t back = s - 1; /* --client-secret VALUE */
        while (ch_is(p[back - 1], CH_WORD) || p[back - 1] == '-')
            back--;
        if (p[back] != '-' || (p[back + 1] != '-' && back + 1 != s))
            return false;
        v->sep = ' ';
    } else {
        return false;
    }
    uint32_t blanks = at;
    bool tight = v->sep == '=' && p[at - 2] != ' '; /* "logname= uid=0": no value */
    while (at < blanks + 16 && !tight) {
        if (p[at] == ' ' || p[at] == '\t')
            at++;
        else if (p[at] == '\\' && p[at + 1] == 't' && c->json)
            at += 2;
        else
            break;
    }
    v->blank = at > blanks;
    v->s = at;
    bool escaped = p[at] == '\\' && p[at + 1] == '"';
    if (escaped || p[at] == '"' || p[at] == '\'') {
        char quote = p[at + escaped];
        v->quoted = true;
        v->s = at + escaped + 1;
        v->e = quoted_end(p, v->s, quote, escaped);
    } else if (v->sep == '>') {
        const char *end = memchr(p + at, '<', VALUE_MAX < c->end - at ? VALUE_MAX : c->end - at);
        v->quoted = true;
        v->e = end ? (uint32_t)(end - p) : 0;
    } else {
        v->e = secret ? secret_end(c, at) : name_end(c, at);
    }
    return v->e > v->s && v->e <= c->end;
}

/* ---- what a value is ---- */

bool has_letter(const char *p, uint32_t s, uint32_t e)
{
    for (uint32_t i = s; i < e; i++)
        if (ch_is(p[i], CH_ALPHA) || (uint8_t)p[i] >= 0x80)
            return true;
    return false;
}

/* 8-4-4-4-12 */
static bool is_uuid(const char *p, uint32_t n)
{
    if (n != 36)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? p[i] != '-' : !ch_is(p[i], CH_HEX))
            return false;
    return true;
}

/* A domain of Windows itself, with the accounts below it. */
static bool system_domain(const char *p, uint32_t n)
{
    static const char *const names[] = {"NT AUTHORITY",       "NT SERVICE",       "BUILTIN",
                                        "NT VIRTUAL MACHINE", "Font Driver Host", "Window Manager",
                                        "IIS APPPOOL"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == n && !strncasecmp(names[i], p, n))
            return true;
    return false;
}

int host_value(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool *taken)
{
    const char *p = c->text;
    uint32_t end = s;
    *taken = false;
    while (s < e && p[s] == '\\') /* \\SERVER */
        s++;
    for (end = s; end < e && (ch_is(p[end], CH_HOST) || p[end] == '_');)
        end++;
    if (end < e && p[end] == '$' && end + 1 == e)
        e = end;
    if (end == s || (end < e && p[end] != ':') || !has_letter(p, s, end) || is_uuid(p + s, end - s))
        return 0;
    return host_add(c, s, end, true, taken);
}

/* One account's name, no domain. Handled (*taken) means that nothing more is to be looked for. */
static int account(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool *taken)
{
    const char *p = c->text;
    uint32_t n = e - s, blanks = 0;
    *taken = false;
    if (!n || n > NAME_MAX_LEN || !has_letter(p, s, e) || starts(p + s, "0x") ||
        starts(p + s, "S-1-") || is_uuid(p + s, n))
        return 0;
    for (uint32_t i = s; i < e; i++) {
        blanks += p[i] == ' ';
        if (!ch_is(p[i], CH_USER) && !strchr(" '+", p[i]))
            return 0;
    }
    if (blanks > 3 || p[s] == ' ' || p[e - 1] == ' ' || !ch_is(p[s], CH_WORD))
        return 0;
    *taken = true;
    if (word_kinds_of(c->p->words, p + s, n) & WORD_ACCOUNT || starts(p + s, "DWM-") ||
        starts(p + s, "UMFD-") || !strncasecmp(p + s, "ANONYMOUS LOGON", n) ||
        !strncasecmp(p + s, "LOCAL SERVICE", n) || !strncasecmp(p + s, "NETWORK SERVICE", n))
        return 0;
    if (p[e - 1] == '$' && n > 1) /* a machine's account */
        return host_value(c, s, e - 1, taken);
    name_add(c, s, e, HOW_USER, SEC_PSEUDO_USER);
    return span_add(c, s, e, HOW_USER, SEC_PSEUDO_USER);
}

int user_value(struct sec_pseudo_ctx *c, uint32_t s, uint32_t e, bool *taken)
{
    const char *p = c->text;
    bool domain;
    *taken = false;
    uint32_t slash = s, name, at = s;
    while (slash < e && p[slash] != '\\')
        slash++;
    for (name = slash; name < e && p[name] == '\\';)
        name++;
    if (slash < e) {
        if (memchr(p + name, '\\', e - name) || name - slash > 2 || slash == s)
            return 0;
        if (system_domain(p + s, slash - s)) {
            *taken = true;
            return 0;
        }
        int rc = host_value(c, s, slash, &domain);
        return rc ? rc : account(c, name, e, taken);
    }
    while (at < e && p[at] != '@')
        at++;
    if (at == e)
        return account(c, s, e, taken);
    /* An address is the scanner's; name@REALM is not one. */
    if (memchr(p + at, '.', e - at) || at == s)
        return 0;
    int rc = account(c, s, at, taken);
    return rc || !*taken ? rc : host_value(c, at + 1, e, &domain);
}

int secret_value(struct sec_pseudo_ctx *c, struct value v, bool *taken)
{
    const char *p = c->text;
    static const char *const schemes[] = {"Bearer ", "Basic ",  "Digest ",
                                          "Token ",  "bearer ", "basic "};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (starts(p + v.s, schemes[i])) {
            v.s += (uint32_t)strlen(schemes[i]);
            if (!v.quoted)
                v.e = secret_end(c, v.s);
        } else if (!v.quoted && v.e - v.s + 1 == strlen(schemes[i]) &&
                   starts(p + v.s, schemes[i])) {
            return 0;
        }
    uint32_t n = v.e > v.s ? v.e - v.s : 0;
    *taken = false;
    if (!n || p[v.s] == '/' || p[v.s] == '<' || p[v.s] == '{' || p[v.s] == '[' ||
        (p[v.s + 1] == ':' && p[v.s + 2] == '\\') || (n < 4 && (!v.quoted || v.blank)) ||
        word_kinds_of(c->p->words, p + v.s, n) & (WORD_ACCOUNT | WORD_STOP))
        return 0;
    bool hidden = true; /* ***** */
    for (uint32_t i = v.s; i < v.e && hidden; i++)
        hidden = p[i] == '*' || p[i] == '.' || p[i] == '-';
    if (hidden || (v.sep == ':' && v.blank && !v.quoted && !v.key_end && p[v.e] == ' ' &&
                   ch_is(p[v.e + 1], CH_ALPHA)))
        return 0; /* the second is a sentence: "password: must be changed" */
    *taken = true;
    return span_add(c, v.s, v.e, HOW_SECRET, SEC_PSEUDO_SECRET);
}
