#!/bin/bash
# corpus build at scale: the same bytes on any number of ranks and threads, within any memory, and
# after kills, full disks, flipped bits and changed inputs; template caps against Python.
set -uo pipefail
: "${SECENC:?}"
command -v python3 > /dev/null && command -v zstd > /dev/null || { echo "SKIP: needs python3 and zstd"; exit 77; }
tmp=$(mktemp -d)
trap 'kill -KILL ${stopped:-} 2> /dev/null; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
fails=0
bad() { echo "FAIL: $*" >&2; fails=1; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks="1"
if command -v mpirun > /dev/null && ! "$SECENC" doctor | grep -q 'MPI  *none'; then ranks="1 2 3 4"; fi
on() { # on R COMMAND...; the leaks of MPI are not ours
    local r=$1; shift
    if [ "$r" = 1 ]; then timeout 120 "$@"; return; fi
    ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" timeout -k 5 120 mpirun --oversubscribe -n "$r" "$@"
}
limit=256 # MiB; a sanitizer's own memory does not count
(ulimit -v 500000; "$SECENC" --version) > /dev/null 2>&1 || limit=100000
same() { diff -r -x .lock "$1" "$2" > /dev/null; }
expect() { # expect CODE PATTERN COMMAND...: that exit code and one error line that matches
    local code=$1 pattern=$2 got; shift 2
    "$@" > out 2> err; got=$?
    [ $got = "$code" ] || bad "exit $got, not $code: $* ($(tail -1 err))"
    [ "$(grep -c 'error:' err)" = 1 ] || bad "not one error line: $* ($(cat err))"
    grep -q -- "$pattern" err || bad "no '$pattern': $* ($(cat err))"
}

cat > make.py <<'PY'
import os, random
r = random.Random(11)
words = [''.join(r.choice('ghijklmnopqrstuvwxyz') for _ in range(r.randrange(4, 9))) for _ in range(300)]
shapes = [' '.join(r.choice(words) for _ in range(r.randrange(3, 9))) for _ in range(60)]
def line():
    s = r.choice(shapes[:int(60 ** r.random())])
    return '%s %s=%d' % (s, r.choice(words[:4]), r.randrange(10 ** r.randrange(1, 7)))
os.makedirs('in/sub')
for name, n in (('auth.log', 6000), ('auth.log.1', 3000), ('mail.log', 4000), ('sub/proxy.log', 3500), ('vpn.log', 900)):
    with open('in/' + name, 'w') as f:
        for _ in range(n): f.write(line() + '\n')
with open('in/app.jsonl', 'w') as f:
    for i in range(1500): f.write('{"n":%d,"event":{"message":"%s","host":"h%d"}}\n' % (i, line(), i % 9))
with open('more.log', 'w') as f:
    for _ in range(400): f.write(line() + '\n')
PY
python3 make.py
opts=(--dedup exact,template,minhash --target-bytes 500K --split 'idts=.1,odts=vpn*' --doc-bytes 1K --seed 3 --quiet)
build() { "$SECENC" corpus build "${inputs[@]}" "${opts[@]}" "$@" > out 2> err; }
inputs=(in)
build -o want --threads 1 || { bad "build: $(cat err)"; exit 1; }
[ ! -e want/.build ] || bad "work is left behind after success"

echo "== ranks, threads, memory, order of the arguments"
shuffled=(in/vpn.log in/sub in/auth.log.1 in/mail.log in/app.jsonl in/auth.log)
n=0
for r in $ranks; do for t in 1 2; do
    rm -rf got; n=$((n + 1))
    memory=$((280 + 240 * (n % 3)))M
    on $r "$SECENC" corpus build "${shuffled[@]}" "${opts[@]}" -o got --threads $t --memory $memory > out 2> err ||
        bad "$r ranks, $t threads: $(cat err)"
    same want got || bad "$r ranks, $t threads, $memory: another corpus"
done; done
expect 2 'is the least' "$SECENC" corpus build in -o small --memory 20M
[ ! -e small ] || bad "a refused --memory left a folder"

echo "== killed at every stage, then run again"
for stage in scan exact templates cap documents near-exact gone frames shards; do
    for k in 1 4; do
        rm -rf got
        { SECENC_FAULT=stage-$stage:$k:kill build -o got --threads 2; } 2> /dev/null; code=$?
        [ $code = 137 ] || [ $k != 1 ] || bad "stage $stage was not met: exit $code"
        [ ! -e got/MANIFEST.jsonl ] || [ $code = 0 ] || bad "killed at $stage: a manifest"
        [ $code = 0 ] || build -o got --threads 1 || bad "after a kill at $stage: $(cat err)"
        same want got || bad "killed at $stage:$k: another corpus"
    done
done
rm -rf got
{ SECENC_FAULT=stage-documents:1:kill build -o got; } 2> /dev/null
"$SECENC" corpus build in "${opts[@]/--quiet/--ledger}" -o got > out 2> err
grep -q 'going on where' err || bad "a resumed build does not say so: $(cat err)"
same want got || bad "a resumed build differs"

if [ "$ranks" != 1 ]; then
    echo "== a rank that dies takes the others along; any number of ranks goes on"
    for stage in scan documents frames; do
        rm -rf got
        on 3 bash -c "[ \$OMPI_COMM_WORLD_RANK = 1 ] && export SECENC_FAULT=stage-$stage:1:kill; exec \"\$@\"" - \
            "$SECENC" corpus build in "${opts[@]}" -o got > out 2> err && bad "a dead rank was not noticed ($stage)"
        [ ! -e got/MANIFEST.jsonl ] || bad "dead rank at $stage: a manifest"
        on 2 "$SECENC" corpus build in "${opts[@]}" -o got > out 2> err || bad "after a dead rank: $(cat err)"
        same want got || bad "dead rank at $stage: another corpus"
    done
    rm -rf got
    expect 1 'No space' on 3 bash -c "[ \$OMPI_COMM_WORLD_RANK = 2 ] && export SECENC_FAULT=spool:1; exec \"\$@\"" - \
        "$SECENC" corpus build in "${opts[@]}" -o got
    on 4 "$SECENC" corpus build in "${opts[@]}" -o got > out 2> err || bad "after a full disk of a rank: $(cat err)"
    same want got || bad "full disk of a rank: another corpus"
fi

echo "== a full disk, at any write"
for fault in spool:1 spool:20 spool:200 write:1 write:2 write:9 write:30 write:70 fsync:3 fsync:25 rename:8 rename:40; do
    rm -rf got
    SECENC_FAULT=$fault build -o got --threads 1; code=$?
    if [ $code = 0 ]; then same want got || bad "fault $fault: another corpus"; continue; fi
    [ $code = 1 ] && [ "$(grep -c error: err)" = 1 ] || bad "fault $fault: exit $code, $(cat err)"
    [ ! -e got/MANIFEST.jsonl ] || bad "fault $fault: a manifest"
    build -o got --threads 1 || bad "after fault $fault: $(cat err)"
    same want got || bad "fault $fault: another corpus"
done

echo "== flipped bits in what a killed build left"
flip() { # FILE: in its middle
    python3 -c 'import sys
p = sys.argv[1]; b = bytearray(open(p, "rb").read()); b[len(b) // 2] ^= 4; open(p, "wb").write(b)' "$1"
}
while read -r stage file; do
    rm -rf got
    { SECENC_FAULT=stage-$stage:1:kill build -o got --threads 1; } 2> /dev/null
    [ -s got/.build/$file ] || { bad "$file is not there at $stage"; continue; }
    flip got/.build/$file
    expect 3 "$file" "$SECENC" corpus build in "${opts[@]}" -o got
    grep -q 'byte\|run' err || bad "$file: no byte: $(cat err)"
    build -o got || bad "after a flipped bit in $file: $(cat err)"
    same want got || bad "flipped bit in $file: another corpus"
done << 'LIST'
exact scan/000001.part
exact scan/000001.sum
templates scan/000001.tmpl
templates exact/000001.tmpl
documents exact/000001.part
documents cap/000001.part
near-exact docs/000001.sum
near-exact ids/000001.part
frames docs/000001.docs
frames docs/000001.rows
shards removed/000001.zst
LIST

echo "== inputs that change"
cp -r in in2; inputs=(in2)
rm -rf got; { SECENC_FAULT=stage-exact:1:kill build -o got; } 2> /dev/null
cat more.log >> in2/mail.log
build -o fresh || bad "$(cat err)"
"$SECENC" corpus build in2 "${opts[@]/--quiet/--ledger}" -o got > out 2> err || bad "changed input: $(cat err)"
grep -q 'starting anew' err || bad "a changed input is not noticed: $(cat err)"
same fresh got || bad "changed input: another corpus than a fresh build"
changes() { # PATTERN COMMAND...: while a build stands between two stages
    local pattern=$1; shift
    rm -rf got in2; cp -r in in2
    SECENC_FAULT=stage-documents:1:stop "$SECENC" corpus build in2 "${opts[@]}" -o got > out 2> err & stopped=$!
    for _ in $(seq 200); do
        [ "$(awk '{print $3}' /proc/$stopped/stat 2> /dev/null)" = T ] && break; sleep 0.05; done
    "$@"
    kill -CONT $stopped; wait $stopped; code=$?; stopped=
    [ $code = 1 ] || [ $code = 3 ] || bad "$*: exit $code ($(cat err))"
    [ "$(grep -c error: err)" = 1 ] || bad "$*: not one line: $(cat err)"
    grep -q -- "$pattern" err || bad "$*: no '$pattern': $(cat err)"
    [ ! -e got/MANIFEST.jsonl ] || bad "$*: a corpus"
    rm -rf in2; cp -r in in2
    build -o got || bad "after $*: $(cat err)"
    same want2 got || bad "after $*: another corpus"
}
rm -rf in2 got; cp -r in in2; build -o want2 || bad "$(cat err)"
changes 'mail.log' truncate -s 1000 in2/mail.log
changes 'auth.log' rm in2/auth.log
changes 'changed while the corpus was being built' sed -i 's/=\([0-9]\)/=x/' in2/mail.log
inputs=(in)

echo "== two builds into one folder"
rm -rf got
SECENC_FAULT=stage-documents:1:stop "$SECENC" corpus build in "${opts[@]}" -o got > out1 2> err1 & stopped=$!
for _ in $(seq 200); do [ "$(awk '{print $3}' /proc/$stopped/stat 2> /dev/null)" = T ] && break; sleep 0.05; done
expect 1 'in use' "$SECENC" corpus build in "${opts[@]}" -o got
kill -CONT $stopped; wait $stopped || bad "the first of two builds: $(cat err1)"; stopped=
same want got || bad "the first of two builds differs"

echo "== interrupted"
rm -rf got
SECENC_FAULT=stage-documents:1:stop "$SECENC" corpus build in "${opts[@]}" -o got > out 2> err & stopped=$!
for _ in $(seq 200); do [ "$(awk '{print $3}' /proc/$stopped/stat 2> /dev/null)" = T ] && break; sleep 0.05; done
kill -INT $stopped; kill -CONT $stopped; wait $stopped; code=$?; stopped=
[ $code = 130 ] && [ "$(grep -c error: err)" = 1 ] || bad "interrupt: exit $code ($(cat err))"
build -o got || bad "after an interrupt: $(cat err)"
same want got || bad "interrupted: another corpus"

echo "== caps and targets against Python"
cat > caps.py <<'PY'
import json, os, re, subprocess, sys
def die(m): sys.exit('FAIL: ' + m)
def corpus(root):
    with open(root + '/MANIFEST.jsonl') as f: head, *shards = [json.loads(l) for l in f]
    docs = {}
    for s in shards:
        raw = subprocess.run(['zstd', '-dcq', os.path.join(root, s['path'])], check=True, stdout=subprocess.PIPE).stdout
        for l in raw.decode().split('\n')[:-1]:
            d = json.loads(l); docs.setdefault(d['source'], []).extend(d['text'].split('\n'))
    return head, docs
files = {'auth': ['auth.log', 'auth.log.1'], 'mail': ['mail.log'], 'proxy': ['sub/proxy.log'], 'vpn': ['vpn.log']}
mask = lambda t: re.sub('[0-9]+', '#', t)
def load(source):
    seen, out = set(), []
    for f in files[source]:
        for l in open('in/' + f).read().split('\n')[:-1]:
            if l not in seen: seen.add(l); out.append(l)
    return out
def capped(records, k):
    n, i, out = {}, {}, []
    for l in records: n[mask(l)] = n.get(mask(l), 0) + 1
    for l in records:
        m = mask(l); c = n[m]; j = i.get(m, 0); i[m] = j + 1
        if c <= k or (j + 1) * k // c != j * k // c: out.append(l)
    return out
size = lambda records: sum(len(l) + 1 for l in records)
head, got = corpus('cap')
for s in files:
    if got[s] != capped(load(s), 25): die('cap 25: %s differs' % s)
target = 160000
head, got = corpus('target')
caps = {s['name']: s.get('template_cap', 0) for s in head['sources']}
total = 0
for s in files:
    k = caps[s] or 10**9
    want = capped(load(s), k)
    if got[s] != want: die('target: %s differs at k = %d' % (s, k))
    total += size(want)
# The level that fills the target, by the definition.
sizes = sorted(size(load(s)) for s in files); left = target
for i, b in enumerate(sizes):
    level = left / (len(sizes) - i)
    if b > level: break
    left -= b
for s in files:
    records = load(s)
    if (size(records) > level * 1.02) != bool(caps[s]) and abs(size(records) / level - 1) > .02: die('%s: cap %d' % (s, caps[s]))
    if caps[s]:
        if size(capped(records, caps[s])) > 1.1 * level: die('%s: above its budget of %d' % (s, level))
        if size(capped(records, caps[s] + max(2, caps[s] // 8))) < .98 * level: die('%s: k = %d could be larger' % (s, caps[s]))
if not .8 * target < total < 1.05 * target: die('target %d, got %d' % (target, total))
PY
plain=(in/auth.log in/auth.log.1 in/mail.log in/sub/proxy.log in/vpn.log --format lines --split none --quiet)
"$SECENC" corpus build "${plain[@]}" -o cap --dedup exact,template --template-cap 25 > out 2> err || bad "cap: $(cat err)"
"$SECENC" corpus build "${plain[@]}" -o target --dedup exact,template --target-bytes 160000 > out 2> err || bad "target: $(cat err)"
# Exact documents would take repetitions of documents too; these have none.
python3 caps.py || fails=1

echo "== fields of JSON records, pseudonyms"
"$SECENC" corpus build in/app.jsonl -o json --json-take field --json-field nothing --json-field event.message --split none --quiet > out 2> err || bad "json: $(cat err)"
python3 - <<'PY' || fails=1
import json, subprocess
want = []
for l in open('in/app.jsonl'):
    m = json.loads(l)['event']['message']
    if m not in want: want.append(m)
raw = subprocess.run('zstd -dcq json/train/app/*.zst', shell=True, check=True, stdout=subprocess.PIPE).stdout.decode()
got = '\n'.join(json.loads(l)['text'] for l in raw.split('\n')[:-1]).split('\n')
assert got == want, (len(got), len(want))
PY
head -c 32 /dev/urandom > key; chmod 600 key
for i in $(seq 300); do echo "sshd: Failed password for root from 10.1.$((i % 7)).$((i % 250)) port $i"; done > ssh.log
"$SECENC" corpus build ssh.log -o p1 --pseudonymize key --split none --quiet > out 2> err || bad "pseudonyms: $(cat err)"
on 1 "$SECENC" corpus build ssh.log -o p2 --pseudonymize key --split none --quiet --threads 1 > out 2> err || bad "$(cat err)"
same p1 p2 || bad "pseudonyms of one key differ"
zstd -dcq p1/train/ssh/*.zst | grep -q '10\.1\.' && bad "an address is left"
expect 2 'no effect without' "$SECENC" corpus build ssh.log -o p3 --keep-oui
expect 2 'needs --json-field' "$SECENC" corpus build ssh.log -o p3 --json-take field
expect 2 'two numbers' "$SECENC" corpus build ssh.log -o p3 --bands 16
expect 2 'at most 128' "$SECENC" corpus build ssh.log -o p3 --bands 16x9

echo "== standard input and pipes"
"$SECENC" corpus build in/mail.log -o plain --split none --quiet > out 2> err
"$SECENC" corpus build - --source mail -o piped --split none --quiet < in/mail.log > out 2> err || bad "stdin: $(cat err)"
same plain/train piped/train || bad "standard input differs"
mkfifo mail.log; cat in/mail.log > mail.log & "$SECENC" corpus build mail.log -o fifo --split none --quiet > out 2> err || bad "pipe: $(cat err)"
same plain/train fifo/train || bad "a pipe differs"
wait; rm mail.log

echo "== a large file: by parts as in one piece, within the memory"
"$SECENC" synth -o big --size 150M --formats sshd --seed 5 > /dev/null 2>&1 || bad "synth"
big=$(ls big/*.log | head -1); mkdir packed; zstd -q -1 "$big" -o packed/$(basename "$big").zst
bopts=(--dedup exact,minhash --split idts=.02 --quiet --memory 256M --threads 1)
python3 - $limit "$SECENC" "$big" "${bopts[@]}" <<'PY' || fails=1
import resource, subprocess, sys
limit, secenc, big, *opts = sys.argv[1:]
p = subprocess.run([secenc, 'corpus', 'build', big, '-o', 'b1', *opts], stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print('   peak %d MiB' % (peak >> 10))
sys.exit(p.returncode or (peak > int(limit) << 10 and 'FAIL: %d KiB resident, %s MiB allowed' % (peak, limit)))
PY
"$SECENC" corpus build packed "${bopts[@]}" -o b2 > out 2> err || bad "packed: $(cat err)"
for d in train idts; do # frames are cut by task, documents are the same
    cmp -s <(cat b1/$d/*/* | zstd -dcq) <(cat b2/$d/*/* | zstd -dcq) || bad "packed and plain differ: $d"; done
for d in b1 b2; do zstd -dcq $d/removed.jsonl.zst | sed 's/"file":"[^"]*"/F/' > $d.ledger; done
cmp -s b1.ledger b2.ledger || bad "packed and plain: another ledger"
if [ "$ranks" != 1 ]; then
    on 3 "$SECENC" corpus build "$big" "${bopts[@]}" -o b3 > out 2> err || bad "3 ranks: $(cat err)"
    same b1 b3 || bad "a large file on 3 ranks: another corpus"
fi

[ $fails = 0 ] && echo ok
exit $((fails > 0))
