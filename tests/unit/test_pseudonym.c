/* Pseudonyms: published vectors of Crypto-PAn, the RFC 4231 vectors of the HMAC underneath, the
 * promises of data/pseudonym.h (prefixes, shape, case, determinism, UTF-8), what is replaced and
 * what is left, line by line, and refusals of keys and patterns. */
#include "testing.h"

#include "data/cryptopan.h"
#include "data/pseudonym.h"
#include "data/pseudonym_internal.h"

#include <sys/stat.h>

static char *dir, *key_path;
static struct sec_pseudo *pseudo;
static struct sec_pseudo_ctx *ctx;

static char *write_in(const char *name, const void *p, size_t n, mode_t mode)
{
    char *path = sec_path_join(dir, name);
    assert_ok(sec_write_file(path, p, n));
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static int setup(void **state)
{
    dir = scratch_dir();
    key_path = write_in("key", "0123456789abcdefghijklmnopqrstuv", 32, 0600);
    assert_ok(sec_pseudo_open(&(struct sec_pseudo_options){.key_file = key_path}, &pseudo));
    assert_non_null(ctx = sec_pseudo_ctx_new(pseudo));
    return 0;
}

static int teardown(void **state)
{
    sec_pseudo_ctx_free(ctx);
    sec_pseudo_close(pseudo);
    free(key_path);
    scratch_free(dir);
    return 0;
}

/* ---- Crypto-PAn ---- */

/* The key and the traces of the authors' sample program (cryptopan 1.0). */
static void cryptopan_vectors(void **state)
{
    static const uint8_t key[32] = {21,  34, 23,  141, 51, 164, 207, 128, 19,  10,  91,
                                    22,  73, 144, 125, 16, 216, 152, 143, 131, 121, 121,
                                    101, 39, 98,  87,  76, 45,  42,  132, 34,  2};
    static const char *const pairs[][2] = {{"128.11.68.132", "135.242.180.132"},
                                           {"129.118.74.4", "134.136.186.123"},
                                           {"130.132.252.244", "133.68.164.234"},
                                           {"141.223.7.43", "141.167.8.160"},
                                           {"192.102.249.13", "252.138.62.131"}};
    struct sec_cryptopan *c = sec_cryptopan_new(key);
    assert_non_null(c);
    for (int round = 0; round < 2; round++) /* the second from the cache */
        for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
            uint32_t in, want, got;
            assert_true(ipv4_at(pairs[i][0], &in) && ipv4_at(pairs[i][1], &want));
            assert_ok(sec_cryptopan_ipv4(c, in, &got));
            assert_int_equal(got, want);
        }
    sec_cryptopan_free(c);
}

static int common_bits(const uint8_t *a, const uint8_t *b, int bits)
{
    int i = 0;
    while (i < bits && !((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1))
        i++;
    return i;
}

static void prefixes_stay(void **state)
{
    uint8_t key[32], a[16], b[16], x[16], y[16];
    srand(7);
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)rand();
    struct sec_cryptopan *c = sec_cryptopan_new(key);
    assert_non_null(c);
    for (int round = 0; round < 4000; round++) {
        for (int i = 0; i < 16; i++)
            a[i] = (uint8_t)rand();
        memcpy(b, a, 16);
        int bits = round % 2 ? 128 : 32, flip = rand() % bits;
        for (int i = flip / 8; i < 16; i++)
            b[i] = (uint8_t)rand();
        if (bits == 128) {
            assert_ok(sec_cryptopan_ipv6(c, a, x));
            assert_ok(sec_cryptopan_ipv6(c, b, y));
        } else {
            const uint8_t *from[2] = {a, b};
            uint8_t *to[2] = {x, y};
            for (int k = 0; k < 2; k++) {
                uint32_t v = 0;
                for (int i = 0; i < 4; i++)
                    v = v << 8 | from[k][i];
                assert_ok(sec_cryptopan_ipv4(c, v, &v));
                for (int i = 0; i < 4; i++)
                    to[k][i] = (uint8_t)(v >> (24 - 8 * i));
            }
        }
        assert_int_equal(common_bits(a, b, bits), common_bits(x, y, bits));
    }
    sec_cryptopan_free(c);
}

/* ---- HMAC ---- */

/* RFC 4231, case 2, cut so that what stands before the value is ours: token_block() is HMAC of
 * (map, block, value); with map and block as the first five bytes of the published text the rest is
 * the value. Its key is 4 bytes, padded with zeros as HMAC itself does. */
static void hmac_vector(void **state)
{
    static const uint8_t want[32] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e,
                                     0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
                                     0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83,
                                     0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
    static const char text[] = "what do ya want for nothing?";
    struct sec_pseudo p = {.token_key = "Jefe"};
    struct sec_pseudo_ctx c = {.p = &p};
    uint8_t got[32];
    uint32_t block = 0;
    for (int i = 3; i >= 0; i--)
        block = block << 8 | (uint8_t)text[1 + i];
    assert_ok(token_open(&c));
    for (int round = 0; round < 2; round++) {
        assert_ok(token_block(&c, text[0], block, text + 5, sizeof text - 6, got));
        assert_memory_equal(got, want, 32);
    }
    token_close(&c);
}

/* ---- lines ---- */

static char *apply(struct sec_pseudo_ctx *c, const char *text)
{
    static char result[4][8192];
    static int turn;
    struct sec_buf out = {0};
    bool changed;
    assert_ok(sec_pseudo_record(c, text, strlen(text), &out, &changed));
    char *to = result[turn++ % 4];
    assert_true(out.len < sizeof result[0]);
    memcpy(to, out.data, out.len);
    to[out.len] = 0;
    assert_true(changed || !strcmp(to, text));
    sec_buf_free(&out);
    return to;
}

/* In each line the text between [[ and ]] is replaced, and nothing else. */
static const char *const lines[] = {
    /* syslog's headers */
    "Mar  3 09:00:01 [[web-01]] sshd[1]: Failed password for invalid user [[bob]] from [[8.8.4.4]] "
    "port 1 ssh2",
    "Mar  3 09:00:01 sshd[1]: Accepted publickey for root from [[2001:db8::12]] port 1 ssh2",
    "<34>1 2025-03-03T09:00:01.003Z [[mx.corp.example]].com su - ID47 - 'su root' failed",
    "2025-03-03T09:00:01+01:00 [[db-2]] postgres[77]: FATAL: password authentication failed for "
    "user \"[[carol]]\"",
    "2025-03-03T09:00:01Z INFO worker started",
    "Mar  3 09:00:01 [[gw1]] last message repeated 2 times",
    /* daemons */
    "sudo:   [[alice]] : TTY=pts/0 ; PWD=/home/[[alice]] ; USER=root ; COMMAND=/bin/ls",
    "pam_unix(sshd:session): session opened for user [[dave.smith]](uid=1001) by (uid=0)",
    "(root) CMD (run-parts)",
    "([[erin]]) CMD (/home/[[erin]]/x.sh)",
    "[[1.1.1.9]] - [[frank]] [03/Mar/2025:09:00:01 +0000] \"GET /a HTTP/1.1\" 200 5",
    "9 1 [[10.1.2.3]] TCP_MISS/200 5 GET http://[[intra]]/a [[grace]] HIER_DIRECT/[[10.1.2.4]] -",
    "2025-03-03 09:00:01 [[heidi]]/[[5.6.7.8]]:1194 VERIFY OK: depth=0, CN=[[heidi]]",
    "Access denied for user '[[ivan]]'@'[[10.9.8.7]]' (using password: YES)",
    "The user interface has failed for users in this group",
    "waiting for data from 1 of 3 servers",
    "imap-login: Aborted login",
    "logname= uid=0 euid=0 tty=ssh ruser= rhost=[[10.3.2.1]]  user=root",
    /* key and value */
    "user=[[judy]] USER=\"[[Judy]]\" suser=[[kim]] uid=1001 account=-",
    "{\"user\":\"[[judy]]\",\"host.name\":\"[[ws-9]]\",\"userAgent\":\"curl/8.5.0\",\"uid\":12}",
    "{\"Message\":\"Account Name:\\t\\t[[mallory]]\\r\\n\\tAccount "
    "Domain:\\t\\t[[CORP]]\\r\\n\\tLogon ID:\\t\\t0x3E7\"}",
    "{\"User\":\"[[CORP]]\\\\[[mallory]]\",\"Path\":\"C:\\\\Users\\\\[[mallory]]\\\\a.txt\"}",
    "<Data Name='TargetUserName'>[[mallory]]</Data><Data Name='X'>LOCAL SERVICE</Data>",
    "<User>NT AUTHORITY\\SYSTEM</User> <Computer>[[pc7.corp]].local</Computer>",
    "User: NT AUTHORITY\\LOCAL SERVICE, then [[CORP]]\\[[niaj]] on C:\\Windows\\System32\\cmd.exe",
    "arn:aws:iam::1234:user/[[olivia]] did it",
    "\"username\":\"system:node:[[kube-1]]\"",
    "machine [[WS-0042]]$ and share ADMIN$",
    "open \\\\[[filer]]\\share\\a.doc",
    /* hosts */
    "GET https://[[shop.acme]].co.uk/a and [[Db3.Acme]].com. Also nginx.conf, report.tar.gz, "
    "libc-2.31.so",
    "org.apache.hadoop.net.Foo at java.net.Socket; s3.eu-central-1.amazonaws.com; "
    "www.microsoft.com",
    "[[bucket-x]].s3.us-east-1.amazonaws.com",
    /* e-mail */
    "from=<[[peggy.sue]]@[[mail.acme]].org> to=<root@[[acme]].org> aes256-gcm@openssh.com "
    "getty@tty1.service",
    "user=[[peggy]]@[[corp]] logged in",
    /* addresses */
    "MAC=[[00:50:56:e3:dc:0e]]:[[00:1b:17:00:01:30]]:08:00 [[00-50-56-E3-DC-0E]] "
    "[[0050.56e3.dc0e]] ff:ff:ff:ff:ff:ff",
    "at 12:34:56 on [[::ffff:10.0.0.9]] and [[fe80::1ff:fe23:4567:890a]]%eth0, not ::1, :: or "
    "std::cab::add",
    "version 1.2.3.4, Chrome/133.0.0.0, FileVersion: 6.1.2.3 and 2.3.4.5-6ubuntu1 are no "
    "addresses; [[10.2.3.4]]/24 is",
    "1.2.3.4.5 and 300.1.1.1 and 1.02.3.4 neither; 127.0.0.1 0.0.0.0 255.255.255.0 224.0.0.251 "
    "stay",
    "fingerprint 16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
    "S-1-5-18 S-1-5-32-544 S-1-5-21-[[1004336348-1177238915-682003330]]-512",
};

/* What to expect of secrets, in full. */
static const char *const secrets[][2] = {
    {"password=hunter2 user_id=7", "password=<secret> user_id=7"},
    {"{\"password\":\"a\\\"b\",\"x\":1}", "{\"password\":\"<secret>\",\"x\":1}"},
    {"curl -H 'Authorization: Bearer abc.def.ghi' x", "curl -H 'Authorization: Bearer <secret>' x"},
    {"mysql --password s3cr3t!x -e 1", "mysql --password <secret> -e 1"},
    {"key AKIAIOSFODNN7EXAMPLE used", "key <secret> used"},
    {"ghp_0123456789abcdefghijABCDEFGHIJ012345", "<secret>"},
    {"t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl;", "t=<secret>;"},
    {"Failed password for root from port", "Failed password for root from port"},
    {"password: must be changed", "password: must be changed"},
    {"PWD=/root token=***** secret=null", "PWD=/root token=***** secret=null"},
    {"-----BEGIN PRIVATE KEY-----MIIEvQ-----END PRIVATE KEY-----",
     "-----BEGIN PRIVATE KEY-----<secret>-----END PRIVATE KEY-----"},
};

static void what_is_replaced(void **state)
{
    int wrong = 0;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[1024], got[2048];
        size_t n = 0, g = 0;
        for (const char *p = lines[i]; *p; p++) {
            if ((p[0] == '[' && p[1] == '[') || (p[0] == ']' && p[1] == ']'))
                p++;
            else
                text[n++] = *p;
        }
        text[n] = 0;
        apply(ctx, text);
        size_t at = 0;
        for (size_t k = 0; k < ctx->n_results; k++) {
            size_t s = ctx->result[k].start - PAD, e = ctx->result[k].end - PAD;
            /* user@realm and DOMAIN\user are two spans next to each other: shown as they are */
            g += (size_t)snprintf(got + g, sizeof got - g, "%.*s[[%.*s]]", (int)(s - at), text + at,
                                  (int)(e - s), text + s);
            at = e;
        }
        snprintf(got + g, sizeof got - g, "%s", text + at);
        if (strcmp(got, lines[i])) {
            print_error("line %zu:\n  %s\nexpected\n  %s\n", i, got, lines[i]);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        assert_string_equal(apply(ctx, secrets[i][0]), secrets[i][1]);
}

static void shape_and_relations(void **state)
{
    /* One user in three spellings, in two records. */
    char *a = apply(ctx, "user=Walter x");
    assert_int_equal(strlen(a), strlen("user=Walter x"));
    assert_true(a[5] >= 'A' && a[5] <= 'Z' && a[6] >= 'a' && a[6] <= 'z');
    char *b = apply(ctx, "user=WALTER x");
    assert_int_equal(strcasecmp(a, b), 0);
    assert_string_not_equal(a, b);
    /* The domain of a host, of an address and of an account are one. */
    a = apply(ctx, "host=pc.Acme.com");
    b = apply(ctx, "x@acme.com");
    assert_int_equal(strcasecmp(strchr(a, '.') + 1, strchr(b, '@') + 1), 0);
    /* A MAC address in three spellings. */
    a = apply(ctx, "00:50:56:e3:dc:0e");
    b = apply(ctx, "00-50-56-E3-DC-0E");
    for (int i = 0; i < 17; i++)
        assert_true(i % 3 == 2 || (a[i] | 0x20) == (b[i] | 0x20));
    /* Mapped addresses are the IPv4 ones. */
    a = apply(ctx, "10.0.0.9");
    b = apply(ctx, "::ffff:10.0.0.9");
    assert_string_equal(a, b + 7);
    /* SIDs of one domain stay together, with their last number. */
    a = apply(ctx, "S-1-5-21-1004336348-1177238915-682003330-512");
    b = apply(ctx, "S-1-5-21-1004336348-1177238915-682003330-1108");
    assert_memory_equal(a, b, 41);
    assert_string_equal(a + 40, "-512");
}

static void keep_oui(void **state)
{
    struct sec_pseudo *p;
    assert_ok(
        sec_pseudo_open(&(struct sec_pseudo_options){.key_file = key_path, .keep_oui = true}, &p));
    struct sec_pseudo_ctx *c = sec_pseudo_ctx_new(p);
    assert_non_null(c);
    char *a = apply(c, "00:50:56:e3:dc:0e");
    assert_memory_equal(a, "00:50:56:", 9);
    assert_string_not_equal(a, "00:50:56:e3:dc:0e");
    assert_string_not_equal(sec_pseudo_fingerprint(p), sec_pseudo_fingerprint(pseudo));
    sec_pseudo_ctx_free(c);
    sec_pseudo_close(p);
}

static void patterns(void **state)
{
    static const char text[] =
        "# tickets and badges\nTCK-\\d+\nbadge ([a-z]\\w+)\n\nuser=(\\w+)x\n";
    char *path = write_in("patterns", text, sizeof text - 1, 0644);
    struct sec_pseudo *p;
    uint64_t counts[SEC_N_PSEUDO];
    assert_ok(sec_pseudo_open(
        &(struct sec_pseudo_options){.key_file = key_path, .patterns_file = path}, &p));
    struct sec_pseudo_ctx *c = sec_pseudo_ctx_new(p);
    assert_non_null(c);
    char *a = apply(c, "TCK-1234 badge bob7 badge 7 user=abcx 10.0.0.1");
    assert_true(!strstr(a, "TCK") && !strstr(a, "1234") && strstr(a, "badge ") &&
                !strstr(a, "bob7"));
    assert_non_null(strstr(a, "badge 7 user="));
    assert_memory_equal(strchr(a, '=') + 4, "x ", 2); /* the pattern's span wins over user= */
    assert_null(strstr(a, "abc"));
    sec_pseudo_counts(c, counts);
    assert_int_equal(counts[SEC_PSEUDO_PATTERN], 3);
    assert_int_equal(counts[SEC_PSEUDO_IPV4], 1);
    assert_int_equal(counts[SEC_PSEUDO_USER], 0);
    sec_pseudo_ctx_free(c);
    sec_pseudo_close(p);
    free(path);
}

static void refusals(void **state)
{
    struct sec_pseudo *p;
    struct sec_pseudo_options o = {.key_file = "/nonexistent/key"};
    assert_fails(sec_pseudo_open(&o, &p), SEC_ECONFIG, "/dev/urandom");
    o.key_file = dir;
    assert_fails(sec_pseudo_open(&o, &p), SEC_ECONFIG, "a folder");
    char *open_key = write_in("open", "0123456789abcdefghijklmnopqrstuv", 32, 0640);
    o.key_file = open_key;
    assert_fails(sec_pseudo_open(&o, &p), SEC_ECONFIG, "chmod 600");
    char *small = write_in("small", "0123456789abcdefghijklmnopqrstu", 31, 0600);
    o.key_file = small;
    assert_fails(sec_pseudo_open(&o, &p), SEC_ECONFIG, "31 bytes");
    char *bad = write_in("bad", "# one\n\\d+\n(a[\n", 14, 0644);
    o = (struct sec_pseudo_options){.key_file = key_path, .patterns_file = bad};
    assert_fails(sec_pseudo_open(&o, &p), SEC_ECONFIG, "line 3");
    char *empty = write_in("empty", "# none\n", 7, 0644);
    o.patterns_file = empty;
    assert_fails(sec_pseudo_open(&o, &p), SEC_ECONFIG, "no pattern");
    char *slow = write_in("slow", "(a+)+$\n", 7, 0644);
    o.patterns_file = slow;
    assert_ok(sec_pseudo_open(&o, &p));
    struct sec_pseudo_ctx *c = sec_pseudo_ctx_new(p);
    struct sec_buf out = {0};
    assert_fails(
        sec_pseudo_record(c, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 49, &out, NULL),
        SEC_ECONFIG, "line 1");
    sec_buf_free(&out);
    sec_pseudo_ctx_free(c);
    sec_pseudo_close(p);
    free(open_key);
    free(small);
    free(bad);
    free(empty);
    free(slow);
}

/* 64 hex digits and the 32 bytes they stand for are one key. */
static void hex_key(void **state)
{
    char hex[66];
    struct sec_pseudo *p;
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02X", "0123456789abcdefghijklmnopqrstuv"[i]);
    hex[64] = '\n';
    char *path = write_in("hex", hex, 65, 0400);
    assert_ok(sec_pseudo_open(&(struct sec_pseudo_options){.key_file = path}, &p));
    assert_string_equal(sec_pseudo_fingerprint(p), sec_pseudo_fingerprint(pseudo));
    sec_pseudo_close(p);
    free(path);
}

/* The cache never shows: a fresh context gives what a used one gives, also for long values. */
static void caches_do_not_show(void **state)
{
    char text[400];
    for (int i = 0; i < 6000; i++)
        apply(ctx,
              (snprintf(text, sizeof text, "user=n%dx 10.%d.%d.9", i, i % 250, i / 250), text));
    for (int i = 0; i < 60; i++) {
        struct sec_pseudo_ctx *fresh = sec_pseudo_ctx_new(pseudo);
        assert_non_null(fresh);
        snprintf(text, sizeof text, "user=n%dx 10.%d.%d.9 host=h%0*d.com", 97 * i, 97 * i % 250,
                 97 * i / 250, 1 + i, i);
        assert_string_equal(apply(ctx, text), apply(fresh, text));
        sec_pseudo_ctx_free(fresh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cryptopan_vectors),
        cmocka_unit_test(prefixes_stay),
        cmocka_unit_test(hmac_vector),
        cmocka_unit_test(what_is_replaced),
        cmocka_unit_test(shape_and_relations),
        cmocka_unit_test(keep_oui),
        cmocka_unit_test(patterns),
        cmocka_unit_test(refusals),
        cmocka_unit_test(hex_key),
        cmocka_unit_test(caches_do_not_show),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
