#!/bin/bash
# Near-duplicates, decontamination and the end of a build, against brute force in Python; kills,
# full disks and flipped bits in every stage of it.
set -euo pipefail
: "${SECENC:?}"
command -v python3 >/dev/null && command -v zstd >/dev/null || { echo "SKIP: needs python3 and zstd"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
fail() { echo "FAIL: $*" >&2; exit 1; }

cat > make.py <<'PY'
import os, random
r = random.Random(5)
# Words without digits and hexadecimal letters: of these lines masking takes numbers only.
words = [''.join(r.choice('ghijklmnopqrstuvwxyz') for _ in range(r.randrange(4, 9))) for _ in range(900)]
families = [[r.choice(words) for _ in range(44)] for _ in range(70)]
def line():
    f = list(r.choice(families))
    for _ in range(r.randrange(0, 7)): f[r.randrange(len(f))] = r.choice(words)
    for k in range(5, 40, 10): f[k] = str(r.randrange(10**6))
    return ' '.join(f)[:360]
os.makedirs('in'); os.makedirs('more')
for name, n in (('kernel', 260), ('mail', 240), ('proxy', 230), ('test-vpn', 120)):
    lines = [line() + '\n' for _ in range(n)]
    open(f'in/{name}.log', 'w').write(''.join(lines + lines[:20]))
open('more/added.log', 'w').write(''.join(line() + '\n' for _ in range(200)))
PY
python3 make.py

# Two lines never fit: every line is a document.
opts=(--format lines --doc-bytes 400 --dedup exact,minhash --decontaminate .8 --split idts=.1,odts=test-* --seed 4 --quiet)
build() { # OUT INPUTS... -- MORE OPTIONS
    local out=$1 in=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do in+=("$1"); shift; done
    [ $# -eq 0 ] || shift
    "$SECENC" corpus build "${in[@]}" -o "$out" "${opts[@]}" "$@"
}
sum() { (cd "$1" && find . -type f ! -name .lock | sort | xargs sha256sum | sha256sum); }

echo "== against brute force"
build a in
cat > check.py <<'PY'
import json, re, subprocess, sys
root, source_dirs = sys.argv[1], sys.argv[2:]
def unzstd(p): return subprocess.run(['zstd', '-dcq', p], check=True, stdout=subprocess.PIPE).stdout.decode()
manifest = [json.loads(l) for l in open(root + '/MANIFEST.jsonl')]
report = json.load(open(root + '/report.json'))
kept = {}
for s in manifest[1:]:
    for l in unzstd(root + '/' + s['path']).splitlines():
        d = json.loads(l); kept[d['text']] = (s['split'], d['source'], d['id'])
lines = {}
for d in source_dirs:
    import os
    for f in os.listdir(d):
        for i, l in enumerate(open(f'{d}/{f}')): lines[f, i + 1] = l.rstrip('\n').rstrip()
ledger = [json.loads(l) for l in unzstd(root + '/removed.jsonl.zst').splitlines()]
assert len(kept) + len(ledger) == len(lines), (len(kept), len(ledger), len(lines))
def grams(t):
    t = re.sub('[0-9]+', '\x01', t)
    return {t[i:i + 5] for i in range(len(t) - 4)}
sets = {t: grams(t) for t in kept}
by_id = {v[2][:16]: t for t, v in kept.items()}
jaccard = lambda a, b: len(a & b) / len(a | b)
# Everything removed is as similar to its keeper as the ledger says. (Keepers may go themselves.)
known = {'near-duplicate': 0, 'test-collision': 0}
reasons = {}
for e in ledger:
    reasons[e['reason']] = reasons.get(e['reason'], 0) + 1
    if e['reason'] not in known: continue
    assert e['similarity'] >= .8, e
    text = lines[e['file'].split('/')[-1], e['line']]
    assert text not in kept
    k = by_id.get(e['keeper'])
    if e['reason'] == 'test-collision': assert k and kept[k][0] != 'train', e
    if not k: continue
    known[e['reason']] += 1
    assert abs(jaccard(grams(text), sets[k]) - e['similarity']) < 1e-4, e
assert known['near-duplicate'] > 100, (known, reasons)
assert known['test-collision'] >= 3, (known, reasons)
# No equal masked texts are left, and few near ones (candidates are missed with (1-J^8)^16).
masked = [re.sub('[0-9]+', '#', t) for t in kept]
assert len(set(masked)) == len(masked)
texts = list(kept); missed = total = 0
largest = 0
for i, a in enumerate(texts):
    for b in texts[:i]:
        j = jaccard(sets[a], sets[b])
        if j >= .8: missed += 1
        if (kept[a][0] == 'train') != (kept[b][0] == 'train'): largest = max(largest, j)
assert missed <= .05 * len(ledger), (missed, len(ledger))
assert largest < .8
said = manifest[0]['largest_train_test_similarity']
assert abs(said - largest) < 1e-9, (said, largest)
assert said == report['decontamination']['largest_similarity']
removed = {e['stage']: e for e in report['removed']}
for k in ('near-duplicate', 'test-collision'):
    assert removed[k]['records'] == removed[k]['documents'] == reasons[k] == manifest[0]['removed'][k], k
near = report['near_duplicates']
assert near['within_sources']['rounds'] >= 1 and near['over_all']['verified'] > 0
assert sum(near['similarity_histogram']) == near['within_sources']['candidates'] + near['over_all']['candidates']
assert 1 <= len(near['examples']) <= 16 and all(e['similarity'] >= .8 for e in near['examples'])
for e in near['examples']: assert lines[e['removed']['file'].split('/')[-1], e['removed']['line']].startswith(e['removed']['text'])
json.dump({t: v[0] for t, v in kept.items()}, open(root + '.splits', 'w'))
print(len(kept), 'kept', reasons, 'missed', missed, 'largest', round(largest, 4))
PY
python3 check.py a in
"$SECENC" corpus stats a | grep -Eq '^removed +[0-9]+ near-duplicate: [0-9]+ documents' || fail "stats without near-duplicates"
"$SECENC" corpus stats a | grep -Eq '^largest +0\.7' || fail "stats without the largest similarity"

echo "== an added source moves no document"
build b in more
python3 check.py b in more
python3 - <<'PY'
import json
a, b = (json.load(open(f + '.splits')) for f in 'ab')
both = a.keys() & b.keys()
assert len(both) > .8 * len(a) and all(a[t] == b[t] for t in both)
assert all(t in b for t, s in a.items() if s == 'odts')
PY

echo "== threads, memory, ranks"
want=$(sum a)
for way in "--threads 1" "--threads 3" "--threads 2 --memory 256M"; do
    build c in -- $way
    [ "$(sum c)" = "$want" ] || fail "another corpus with $way"
    rm -rf c
done
if command -v mpirun >/dev/null && "$SECENC" doctor 2>/dev/null | grep -qi "open mpi"; then
    for r in 2 3; do
        mpirun --allow-run-as-root --oversubscribe -n $r "$SECENC" corpus build in -o c "${opts[@]}" --threads 1
        [ "$(sum c)" = "$want" ] || fail "another corpus with $r ranks"
        rm -rf c
    done
fi

stages="near-exact near-exact-bits near-edges near-verify near-resolve tests-keys tests-edges tests-verify gone frames shards"
echo "== killed and resumed in every stage"
rm -rf c
for s in $stages; do # one build, killed again and again
    got=0
    SECENC_FAULT=stage-$s:1:kill build c in 2>/dev/null || got=$?
    [ $got = 137 ] || fail "stage $s was not killed: $got"
    [ ! -e c/MANIFEST.jsonl ] || fail "a corpus after a kill in $s"
done
build c in
[ "$(sum c)" = "$want" ] || fail "another corpus after kills"
[ ! -e c/.build ] || fail ".build is left"

echo "== full disk in every stage; an old corpus survives"
build old in/mail.log -- --dedup none
old=$(sum old)
for s in $stages; do
    got=0
    SECENC_FAULT=stage-$s:1 build old in -- --force 2>err || got=$?
    [ $got = 1 ] && [ "$(wc -l <err)" = 1 ] || fail "stage $s on a full disk: $got $(cat err)"
    [ "$(cd old && find . -type f ! -name .lock ! -path './.build/*' | sort | xargs sha256sum | sha256sum)" = "$old" ] || fail "$s: the old corpus changed"
done
build old in -- --force
[ "$(sum old)" = "$want" ] || fail "another corpus after full disks"

echo "== flipped bits"
# STAGE to stop at; files of the stages before, of which the largest is damaged.
flip() {
    local stage=$1 glob=$2 file got=0
    rm -rf c
    SECENC_FAULT=stage-$stage:1:kill build c in 2>/dev/null || true
    file=$(find c/.build -path "c/.build/$glob" -type f -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
    [ -n "$file" ] || fail "no file $glob before $stage"
    python3 - "$file" <<'PY'
import sys
b = bytearray(open(sys.argv[1], 'rb').read()); b[len(b) // 2] ^= 4
open(sys.argv[1], 'wb').write(b)
PY
    build c in 2>err || got=$?
    [ $got = 3 ] && grep -qF "${file#c/}" err && [ "$(wc -l <err)" = 1 ] || fail "a flipped bit in $file: exit $got: $(cat err)"
    build c in 2>err || fail "no recovery from a flipped bit in $file: $(cat err)"
    [ "$(sum c)" = "$want" ] || fail "another corpus after a flipped bit in $file"
}
flip near-exact 'ids/*.part'
flip near-edges 'bands/*.part'
flip near-verify 'bands/*.sketch'
flip near-verify 'near/source0/edges/*.part'
flip near-verify 'docs/*.docs'
flip near-resolve 'near/source0/verified/*.part'
flip near-resolve 'near/source0/verified/*.sum'
flip tests-keys 'docs/*.rows'
flip tests-keys 'near/source0/*.bits'
flip tests-edges 'near/tests/keys/*.part'
flip tests-verify 'near/tests/edges/*.part'
flip frames 'gone/*.part'
flip shards 'frames/*.zst'
flip shards 'frames/*.table'
flip shards 'removed/*.zst'

echo "== no test split: no decontamination; no --dedup minhash: decontamination alone"
build d in -- --split none
grep -q largest_train_test d/MANIFEST.jsonl && fail "a similarity to no test"
build e in -- --dedup none
python3 - <<'PY'
import json
r = json.load(open('e/report.json'))
assert [e['stage'] for e in r['removed']] == ['test-collision'], r['removed']
assert .7 < r['decontamination']['largest_similarity'] < .8
PY
echo OK
