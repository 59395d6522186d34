#!/bin/bash
# synth as a user sees it: same bytes for any number of threads, well-formed lines in every format,
# exact labels, time order, day rhythm, size, refusals.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

"$SECENC" synth -o "$work/a" --size 12M --seed 7 --days 2 --incidents 24 --threads 1 --json >"$work/a.json" 2>"$work/err" ||
    fail "synth: $(cat "$work/err")"
"$SECENC" synth -o "$work/b" --size 12M --seed 7 --days 2 --incidents 24 --threads 2 2>/dev/null || fail "two threads"
diff -r "$work/a" "$work/b" >/dev/null || fail "one thread and two threads give different bytes"
"$SECENC" synth -o "$work/c" --size 2M --seed 8 2>/dev/null || fail "another seed"
cmp -s "$work/a/auth.log" "$work/c/auth.log" && fail "two seeds give the same bytes"

python3 - "$work/a" "$work/a.json" <<'PY' || exit 1
import collections, datetime, glob, json, os, re, sys
folder, summary = sys.argv[1], json.load(open(sys.argv[2]))
lines = {}
for path in sorted(glob.glob(folder + "/*.log") + glob.glob(folder + "/*.jsonl")):
    name = os.path.basename(path)
    if name not in ("labels.jsonl", "incidents.jsonl"):
        data = open(path, "rb").read()
        assert data.endswith(b"\n"), name
        lines[name] = data.decode("utf-8").split("\n")[:-1]
assert len(lines) == 18, sorted(lines)

# Sizes: the summary is true and within 5 % of what was asked.
total = sum(os.path.getsize(f"{folder}/{n}") for n in lines)
assert total == summary["bytes"], (total, summary["bytes"])
assert abs(total - (12 << 20)) < 0.05 * (12 << 20), total
assert sum(map(len, lines.values())) == summary["lines"]

# Formats: JSON parses and has the members that consumers key on; text matches the grammar.
members = {
    "windows-security.jsonl": ["EventID", "Channel", "Hostname", "TimeCreated", "Message", "Task"],
    "windows-sysmon.jsonl": ["EventID", "Channel", "Hostname", "UtcTime", "Message"],
    "aws-cloudtrail.jsonl": ["eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion",
                             "sourceIPAddress", "requestID", "eventID", "recipientAccountId"],
    "entra-signin.jsonl": ["time", "category", "resultType", "callerIpAddress", "properties"],
    "kubernetes-audit.jsonl": ["kind", "auditID", "stage", "verb", "user", "requestURI", "objectRef", "responseStatus"],
}
syslog = r"[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d "
ip = r"\d+\.\d+\.\d+\.\d+"
grammar = {
    "auth.log": syslog + r"\S+ (sshd|CRON|systemd-logind|useradd)\[\d+\]: .+",
    "sudo.log": syslog + r"\S+ sudo: .*(COMMAND=/|pam_unix\(sudo:session\)).*",
    "audit.log": r"node=\S+ type=[A-Z_]+ msg=audit\(\d+\.\d{3}:\d+\): .+",
    "nginx-access.log": ip + r' - \S+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(GET|POST) \S.* HTTP/[12]\.[01]" \d{3} \d+ "[^"]*" "[^"]+"',
    "apache-access.log": ip + r' - \S+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(GET|POST) \S.* HTTP/1\.1" \d{3} \d+ "[^"]*" "[^"]+"',
    "cisco-asa.log": syslog + r"fw-01 : %ASA-\d-\d{6}: .+",
    "iptables.log": syslog + r"vpn-01 kernel: \[\d+\.\d{6}\] \[UFW \w+\] IN=eth0 OUT= MAC=([0-9a-f]{2}:){13}[0-9a-f]{2} SRC=" + ip + " DST=" + ip + r" LEN=\d+ .*PROTO=(TCP|UDP) SPT=\d+ DPT=\d+ .*",
    "bind-query.log": r"\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d\.\d{3} queries: info: client @0x[0-9a-f]+ " + ip + r"#\d+ \((\S+)\): query: \1 IN [A-Z]+ \S+ \(" + ip + r"\)",
    "postfix.log": syslog + r"mail-\d+ postfix/[a-z/]+\[\d+\]: .+",
    "openvpn.log": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .+",
    "squid-access.log": r"\d+\.\d{3} +\d+ " + ip + r" TCP_\w+/\d{3} \d+ (GET|CONNECT) \S+ \S+ HIER_\w+/\S+ \S+",
}
for name, keys in members.items():
    for n, line in enumerate(lines[name], 1):
        event = json.loads(line)
        missing = [k for k in keys if k not in event]
        assert not missing, (name, n, missing)
for name, pattern in grammar.items():
    compiled = re.compile(pattern)
    for n, line in enumerate(lines[name], 1):
        assert compiled.fullmatch(line), (name, n, line)
for name in ("zeek-conn.log", "zeek-dns.log"):
    fields = next(l for l in lines[name] if l.startswith("#fields")).split("\t")[1:]
    types = next(l for l in lines[name] if l.startswith("#types")).split("\t")[1:]
    assert len(fields) == len(types), name
    for n, line in enumerate(lines[name], 1):
        assert line[0] == "#" or len(line.split("\t")) == len(fields), (name, n, line)
assert set(members) | set(grammar) | {"zeek-conn.log", "zeek-dns.log"} == set(lines)

# Time: never backwards in a file; work hours are busier than the night.
utc = datetime.timezone.utc
def when(name, line):
    if name in members:
        e = json.loads(line)
        text = e.get("TimeCreated") or e.get("eventTime") or e.get("time") or e["requestReceivedTimestamp"]
        return datetime.datetime.fromisoformat(text.rstrip("Z")[:26]).replace(tzinfo=utc)
    if name.startswith("zeek") or name == "squid-access.log":
        return datetime.datetime.fromtimestamp(float(line.split()[0]), utc)
    if name == "audit.log":
        return datetime.datetime.fromtimestamp(float(re.search(r"audit\((\d+\.\d+)", line).group(1)), utc)
    if name.endswith("access.log"):
        return datetime.datetime.strptime(re.search(r"\[([^]]+)\]", line).group(1), "%d/%b/%Y:%H:%M:%S %z")
    if name == "bind-query.log":
        return datetime.datetime.strptime(line[:24], "%d-%b-%Y %H:%M:%S.%f").replace(tzinfo=utc)
    if name == "openvpn.log":
        return datetime.datetime.fromisoformat(line[:19]).replace(tzinfo=utc)
    return datetime.datetime.strptime("2025 " + line[:15], "%Y %b %d %H:%M:%S").replace(tzinfo=utc)
hours = collections.Counter()
for name, text in lines.items():
    last = None
    for n, line in enumerate(text, 1):
        if line[0] == "#":
            continue
        now = when(name, line)
        assert last is None or now >= last, (name, n, line)
        last = now
        hours[now.hour] += 1
day, night = sum(hours[h] for h in range(9, 17)), sum(hours[h] for h in (22, 23, 0, 1, 2, 3, 4, 5))
assert day > 2 * night, hours

# Labels: every labelled line names its actor, no other line names an attacker, every kind is there.
incidents = {i["id"]: i for i in map(json.loads, open(folder + "/incidents.jsonl"))}
labels = [json.loads(l) for l in open(folder + "/labels.jsonl")]
assert len(labels) == summary["labelled_lines"] and len(incidents) == summary["incidents"] == 24
assert {i["kind"] for i in incidents.values()} == {
    "brute_force", "lateral_movement", "exfiltration", "privilege_escalation", "persistence", "scanning"}
seen, labelled = collections.Counter(), set()
for l in labels:
    line, incident = lines[l["file"]][l["line"] - 1], incidents[l["incident"]]
    assert l["actor"] in line and l["actor"] in incident["actors"].values(), l
    assert l["technique"] in incident["techniques"] and re.fullmatch(r"T\d{4}(\.\d{3})?", l["technique"]), l
    assert l["file"] in incident["files"] and l["kind"] == incident["kind"] and l["tactic"], l
    moment = when(l["file"], line).replace(microsecond=0)
    start, end = (datetime.datetime.fromisoformat(incident[k].rstrip("Z")).replace(tzinfo=utc) for k in ("start", "end"))
    assert start <= moment <= end, (l, incident)
    assert (l["file"], l["line"]) not in labelled, l
    labelled.add((l["file"], l["line"]))
    seen[l["incident"]] += 1
assert all(seen[k] == i["lines"] for k, i in incidents.items())
attackers = [re.compile(r"(?<![\d.])" + re.escape(i["actors"]["attacker_ip"]) + r"(?![\d.])")
             for i in incidents.values() if "attacker_ip" in i["actors"]]
assert attackers
anyone = re.compile("|".join(p.pattern for p in attackers))
for name, text in lines.items():
    for n, line in enumerate(text, 1):
        assert (name, n) in labelled or not anyone.search(line), ("unlabelled attacker", name, n, line)
assert len({f for i in incidents.values() for f in i["files"]}) >= 12

# Sessions hang together: an sshd session that closes was opened by the same pid on the same host.
opened = set()
for line in lines["auth.log"]:
    m = re.match(syslog + r"(\S+ sshd\[\d+\]): (Accepted|Disconnected from user)", line)
    if m and m.group(2) == "Accepted":
        opened.add(m.group(1))
    elif m:
        assert m.group(1) in opened, line
# Everybody who logs on at a desk gets a Kerberos ticket first, at a domain controller.
tickets = set()
for e in map(json.loads, lines["windows-security.jsonl"]):
    if e["EventID"] == 4768:
        tickets.add(e["TargetUserName"])
    elif e["EventID"] == 4624 and e["LogonType"] == "2":
        assert e["TargetUserName"] in tickets, e
# Not one line said over and over: most lines differ when times are cut off.
for name, text in lines.items():
    bare = {re.sub(r"^[^a-z]*\d\d:\d\d:\d\d\S*", "", l) for l in text}
    assert len(bare) > 0.2 * len(text), (name, len(bare), len(text))
PY

# Windows events have the members of real ones (same forwarder's shape): some real event of that id
# has exactly the same set.
data=${SECENC_TEST_DATA:-../shared/data}/raw
if [ -e "$data/windows-security.jsonl.zst" ] && command -v zstd >/dev/null; then
    for name in windows-security windows-sysmon; do
        zstd -dcq "$data/$name.jsonl.zst" | python3 -c '
import json, sys
ours, real = {}, {}
for line in open(sys.argv[1]):
    e = json.loads(line)
    ours.setdefault(e["EventID"], frozenset(e))
for line in sys.stdin:
    if "\"@timestamp\"" in line and "\"port\":" not in line:
        e = json.loads(line)
        real.setdefault(e["EventID"], set()).add(frozenset(e))
common = [i for i in ours if i in real]
assert len(common) >= 6, common
for i in common:
    assert ours[i] in real[i], (i, sorted(min((ours[i] ^ k for k in real[i]), key=len)))' "$work/a/$name.jsonl" ||
            fail "$name: members differ from real events"
    done
else
    echo "no real logs at $data or no zstd: members of Windows events not compared"
fi

# --formats, --lines, refusals.
"$SECENC" synth -o "$work/f" --lines 5000 --formats sudo,openvpn 2>/dev/null || fail "--formats"
[ "$(cat "$work"/f/*.log | wc -l)" = 5000 ] || fail "--lines 5000 gave $(cat "$work"/f/*.log | wc -l)"
[ "$(ls "$work/f" | tr '\n' ' ')" = "incidents.jsonl labels.jsonl openvpn.log sudo.log " ] || fail "files: $(ls "$work/f")"
for format in sshd sudo auditd windows-security sysmon nginx apache zeek-conn zeek-dns cisco-asa iptables cloudtrail \
    entra-signin kubernetes-audit bind-query postfix openvpn squid; do
    "$SECENC" synth -o "$work/one-$format" --size 1M --formats $format --incidents 0 2>"$work/err" ||
        fail "$format alone: $(cat "$work/err")"
done

refused() { # CODE PATTERN ARGS...
    local code=$1 pattern=$2
    shift 2
    "$SECENC" synth "$@" >/dev/null 2>"$work/err"
    local got=$?
    [ $got = "$code" ] || fail "synth $*: exit $got, not $code: $(cat "$work/err")"
    [ "$(wc -l <"$work/err")" = 1 ] && grep -q "$pattern" "$work/err" || fail "synth $*: said $(cat "$work/err")"
}
refused 2 "not empty" -o "$work/f" --lines 5000
refused 2 "did you mean openvpn" -o "$work/g" --formats openvnp
refused 2 "too small" -o "$work/g" --size 1000
refused 2 "do not fit" -o "$work/g" --size 2M --incidents 5000
[ -e "$work/g" ] && fail "a refused run made its directory"
"$SECENC" synth -o "$work/f" --lines 5000 --formats sudo --force 2>/dev/null || fail "--force"
[ -e "$work/f/openvpn.log" ] && fail "--force left a stale openvpn.log"

# A full disk: one line, exit 1, nothing under a final name.
SECENC_FAULT=write:30 refused 1 "No space left" -o "$work/full" --size 4M --threads 1
[ -z "$(ls "$work/full" 2>/dev/null)" ] || fail "a full disk left $(ls "$work/full")"
echo ok
