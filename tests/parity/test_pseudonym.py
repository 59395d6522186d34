"""Pseudonyms against independent code and known truth.

1. Crypto-PAn over IPv6 and the derivation of keys: written again here, AES by the openssl program.
2. Same-shape tokens: written again here with hmac and hashlib.
3. Precision and recall by class on generated logs: what names whom is known from their world.
4. Any number of threads and any order of lines give the same pseudonyms.
"""
import collections
import hashlib
import hmac
import ipaddress
import json
import os
import random
import re
import subprocess
import sys
import tempfile

SECENC = os.environ["SECENC"]
SPANS = os.path.join(os.environ["BUILD"], "tests", "pseudonym_spans")
KEY = bytes(range(7, 47))
CLASSES = ["ipv4", "ipv6", "mac", "user", "host", "email", "sid", "secret", "pattern"]


def check(ok, message):
    if not ok:
        sys.exit(f"FAIL: {message}")


def run(*args, stdin=None):
    r = subprocess.run(args, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(r.returncode == 0, f"{args}: {r.stderr.decode()}")
    return r.stdout


def pseudonymize(folder, lines, *options):
    text = "".join(line + "\n" for line in lines).encode()
    return run(SECENC, "pseudonymize", f"{folder}/key", *options, stdin=text).decode().split("\n")[:-1]


# ---- the definitions, once more ----

def derived(label):
    return hmac.new(KEY, b"secencoder pseudonyms 1: " + label, hashlib.sha256).digest()


def aes(key, blocks):
    return run("openssl", "enc", "-aes-128-ecb", "-nopad", "-K", key.hex(), stdin=blocks)


def cryptopan(key, address, bits):
    """Xu et al. 2002: bit i is flipped by the top bit of AES(first i bits, rest of the pad)."""
    pad = int.from_bytes(aes(key[:16], key[16:]), "big")
    blocks = b""
    for i in range(bits):
        rest = (1 << (128 - i)) - 1
        blocks += (((address << (128 - bits)) & ~rest) | (pad & rest)).to_bytes(16, "big")
    out = aes(key[:16], blocks)
    flips = 0
    for i in range(bits):
        flips = flips << 1 | out[16 * i] >> 7
    return address ^ flips


def token(kind, value):
    """Two bytes of the HMAC stream a byte of the value; case is put on again afterwards."""
    raw = bytes(b | 0x20 if 65 <= b <= 90 else b for b in value.encode())
    key = derived(b"token")
    stream = b"".join(hmac.new(key, kind + block.to_bytes(4, "little") + raw, hashlib.sha256).digest()
                      for block in range(len(raw) // 16 + 1))
    out = bytearray()
    for i, b in enumerate(raw):
        r = stream[2 * i] << 8 | stream[2 * i + 1]
        if 97 <= b <= 122:
            b = 97 + (r * 26 >> 16)
        elif 48 <= b <= 57:
            b = 48 + (r * 10 >> 16)
        elif b >= 0x80:
            # the last byte of a character changes in its low six bits
            n = len(raw[:i + 1].decode(errors="ignore").encode())
            if n == i + 1:
                b = 0x80 | r >> 10
        if 65 <= value.encode()[i] <= 90:
            b &= ~0x20
        out.append(b)
    return out.decode()


def test_reference(folder):
    rng = random.Random(1)
    pan = derived(b"cryptopan")
    v4 = [rng.randrange(1 << 24, 127 << 24) for _ in range(12)]
    v6 = [rng.getrandbits(125) | 1 << 125 for _ in range(6)]
    got = pseudonymize(folder, [str(ipaddress.IPv4Address(a)) for a in v4] +
                       [str(ipaddress.IPv6Address(a)) for a in v6])
    want = [str(ipaddress.IPv4Address(cryptopan(pan, a, 32))) for a in v4]
    want += [str(ipaddress.IPv6Address(cryptopan(pan, a, 128))) for a in v6]
    for g, w in zip(got[:12], want[:12]):
        check(g == w, f"IPv4: {g}, reference {w}")
    for g, w in zip(got[12:], want[12:]):
        check(ipaddress.IPv6Address(g) == ipaddress.IPv6Address(w), f"IPv6: {g}, reference {w}")

    users = ["jdoe", "JDoe", "ann.o-brien", "müller", "李小龙x", "a_b-c.d_e-f.g_h-i.j_k-l.m_n-o.p_q1234"]
    for user, line in zip(users, pseudonymize(folder, [f"user={u} ok" for u in users])):
        check(line == f"user={token(b'u', user)} ok", f"user {user}: {line}, reference {token(b'u', user)}")
    check(token(b"u", "JDoe").lower() == token(b"u", "jdoe"), "case changes the token")
    got = pseudonymize(folder, ["host=Web-01.Dmz.example.co.uk up", "to=<ann@Dmz.example.co.uk>"])
    label = lambda name: ".".join(token(b"h", part) for part in name.split("."))
    check(got[0] == f"host={label('Web-01.Dmz.example')}.co.uk up", got[0])
    check(got[1] == f"to=<{token(b'u', 'ann')}@{label('Dmz.example')}.co.uk>", got[1])
    print("Crypto-PAn (IPv4, IPv6) and tokens agree with an independent implementation")


# ---- precision and recall ----

def world(seed, people, hosts):
    w = collections.defaultdict(set)
    for line in run(SPANS, "world", str(seed), str(people), str(hosts)).decode().splitlines():
        kind, value = line.split("\t")
        w[kind].add(value)
    return w


WORD = r"[A-Za-z0-9_]"
QUAD = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
MAC = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
# Labels before the public suffix of services that are documented to stay.
KEPT = set("""microsoft amazonaws office365 office google googleapis gstatic github windowsupdate microsoftonline
youtube apple icloud mozilla firefox ubuntu debian docker k8s githubusercontent npmjs pypi cloudflare adobe bing
spamhaus digicert amazon live windows outlook letsencrypt msftncsi msftconnecttest slack cloudfront sharepoint skype
elastic redhat visualstudio azure zoom atlassian gitlab okta verisign""".split())


def kept(name):
    return any(label in KEPT for label in name.split("."))


class Truth:
    """Where the world's values stand in a line, by class: (start, end)."""

    def __init__(self, w):
        self.ips = w["ipv4"] | {"10.0.0.0", "10.30.0.1"}  # pushed by the VPN
        self.macs = w["mac"] | {"00:1b:17:00:01:30"}
        names = {}
        for u in w["user"]:
            names[u] = "user"
        for n in w["fullname"]:
            names[n] = "user"
        for h in w["host"] | w["netbios"] | {s for s in w["site"]}:
            if not kept(h):
                names[h] = "host"
        for s in w["domain_sid"]:
            names[s] = "sid"
        for s in w["secret"]:
            names[s] = "secret"
        for b in w["bucket"]:
            names[b] = "host"
        self.names = {k.lower(): v for k, v in names.items()}
        # A host's name may stand before .domain; a user's may not be part of a longer name.
        longest = sorted(self.names, key=len, reverse=True)
        self.re = re.compile(r"(?<![A-Za-z0-9_])(?<![A-Za-z0-9][.@-])((?:" + "|".join(map(re.escape, longest)) +
                             r")(?![A-Za-z0-9_-])|" + re.escape(next(iter(w["domain_sid"]))) + r"|[a-z0-9.-]+\." +
                             re.escape(next(iter(w["domain"]))) + ")", re.I)
        self.mail = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*@(?:[a-z0-9-]+\.)+[a-z]{2,}", re.I)

    def find(self, line):
        found = []
        for m in self.mail.finditer(line):
            # system accounts stay, their domain does not
            found.append((m.start(), m.end(), "email", m.group()))
        taken = [(s, e) for s, e, _, _ in found]
        inside = lambda s, e: any(a <= s and e <= b for a, b in taken)
        for m in QUAD.finditer(line):
            ip = m.group()
            if ip in self.ips or (all(int(x) < 256 for x in ip.split(".")) and int(ip.split(".")[2]) % 8 == 5 and
                                  not line[:m.start()].endswith("/") and not ip.startswith("0.")):
                found.append((m.start(), m.end(), "ipv4", ip))
        for m in MAC.finditer(line):
            if m.group() in self.macs:
                found.append((m.start(), m.end(), "mac", m.group()))
        # \t, \n and \r of JSON end before a name
        plain = re.sub(r"\\(.)", lambda m: "//" if m[1] == "\\" else "  ", line) if line.startswith("{") else line
        for m in self.re.finditer(plain):
            if not inside(m.start(1), m.end(1)):
                found.append((m.start(1), m.end(1), self.names.get(m.group(1).lower(), "host"), m.group(1)))
        return found


def test_accuracy(folder):
    seed, people, hosts = 11, 60, 40
    run(SECENC, "synth", "-o", f"{folder}/logs", "--size", "16M", "--seed", str(seed), "--people", str(people),
        "--hosts", str(hosts), "--quiet")
    w = world(seed, people, hosts)
    truth = Truth(w)
    true, hit, replaced, right = (collections.Counter() for _ in range(4))
    misses, extras = collections.Counter(), collections.Counter()
    for name in sorted(os.listdir(f"{folder}/logs")):
        if name in ("labels.jsonl", "incidents.jsonl"):
            continue
        path = f"{folder}/logs/{name}"
        spans = collections.defaultdict(list)
        for row in run(SPANS, "spans", f"{folder}/key", path).decode().splitlines():
            number, start, end, how, cls, text = row.split("\t", 5)
            spans[int(number)].append((int(start), int(end), how, int(cls), text))
        for number, raw in enumerate(open(path, "rb"), 1):
            line = raw.decode("latin-1").rstrip("\n")
            if number % 5 and name not in ("auth.log", "sudo.log", "iptables.log", "openvpn.log"):
                continue
            got = spans[number]
            wanted = truth.find(line)
            for s, e, cls, text in wanted:
                true[cls] += 1
                # All of it is gone: no letter or digit of what names somebody stays.
                left = e
                covered = any(a < e and s < b for a, b, *_ in got)
                if cls in ("ipv4", "mac", "user", "secret"):
                    covered = any(a <= s and e <= b for a, b, *_ in got)
                hit[cls] += covered
                if not covered:
                    misses[cls, name, text] += 1
            for a, b, how, cls, text in got:
                if cls < 0:
                    continue
                kind = CLASSES[cls]
                replaced[kind] += 1
                ok = any(s < b and a < e for s, e, *_ in wanted)
                if not ok and kind == "user": # names that scanners try, accounts that incidents make, roles
                    ok = text.lower() in w["guess"] or text in OTHER_USERS
                if not ok and kind == "host":
                    ok = text in OTHER_HOSTS or line[:a].endswith("://") or kept_site(w, line, a, b)
                if not ok and kind == "secret":
                    ok = text.startswith("ASIA")
                if not ok and kind == "ipv6":
                    ok = text.lower().startswith("::ffff:")
                if not ok and kind == "ipv4":
                    ok = text.startswith("203.0.113.") # the firewall's own
                right[kind] += ok
                if not ok:
                    extras[kind, name, text] += 1
    print(f"{'class':8} {'true':>8} {'recall':>8} {'replaced':>9} {'precision':>9}")
    for cls in CLASSES[:8]:
        recall = hit[cls] / true[cls] if true[cls] else float("nan")
        precision = right[cls] / replaced[cls] if replaced[cls] else float("nan")
        print(f"{cls:8} {true[cls]:8} {recall:8.4f} {replaced[cls]:9} {precision:9.4f}")
    if os.environ.get("VERBOSE"):
        print("missed:", *misses.most_common(40), sep="\n  ")
        print("too much:", *extras.most_common(60), sep="\n  ")
    for cls, floor_recall, floor_precision in FLOORS:
        check(true[cls] >= 50, f"{cls}: only {true[cls]} values in the generated logs")
        check(hit[cls] >= floor_recall * true[cls], f"{cls}: recall below {floor_recall}: {misses.most_common(5)}")
        check(right[cls] >= floor_precision * replaced[cls],
              f"{cls}: precision below {floor_precision}: {extras.most_common(5)}")


def kept_site(w, line, a, b):
    """Part of a name of the world's sites below a domain that stays, or a mail server mxN of one."""
    run = re.search(r"[A-Za-z0-9.-]*$", line[:a])[0] + re.match(r"[A-Za-z0-9.-]*", line[a:])[0]
    return any(run == site or run.split(".", 1)[-1] == site for site in w["site"])


# Roles of the cloud and accounts that the planted incidents create or try.
OTHER_USERS = {"app-runtime", "ci-deploy", "backup-writer", "lambda-exec", "svc_backup1", "helpdesk2", "wsusupd",
               "sysmaint", "defaultuser1", "mssqlsvc2"}
OTHER_HOSTS = {"fw-01"}
FLOORS = [("ipv4", 0.999, 0.999), ("mac", 0.999, 0.999), ("user", 0.99, 0.99), ("host", 0.99, 0.99),
          ("email", 0.999, 0.99), ("sid", 0.999, 0.999), ("secret", 0.999, 0.999)]


def test_independence(folder):
    lines = open(f"{folder}/logs/postfix.log").read().split("\n")[:4000]
    plain = pseudonymize(folder, lines, "--threads", "1")
    check(plain == pseudonymize(folder, lines, "--threads", "3"), "threads change the result")
    order = list(range(len(lines)))
    random.Random(2).shuffle(order)
    shuffled = pseudonymize(folder, [lines[i] for i in order], "--threads", "1")
    check(all(plain[i] == shuffled[k] for k, i in enumerate(order)), "the order of lines changes the result")
    other = pseudonymize(folder, lines)
    check(other == plain, "two runs differ")


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.open(f"{folder}/key", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(KEY)
        test_reference(folder)
        test_accuracy(folder)
        test_independence(folder)


main()
