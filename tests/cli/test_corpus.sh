#!/bin/bash
# corpus build, stats and sample against a second implementation in Python.
set -euo pipefail
: "${SECENC:?}"
command -v python3 >/dev/null && command -v zstd >/dev/null || { echo "SKIP: needs python3 and zstd"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export TMP_DIR=$tmp

cat > "$tmp/lib.py" <<'PY'
import json, os, subprocess, struct, sys
def shards(root):
    with open(os.path.join(root, 'MANIFEST.jsonl')) as f:
        lines = [json.loads(l) for l in f]
    return lines[0], lines[1:]
def unzstd(path):
    return subprocess.run(['zstd', '-dcq', path], check=True, stdout=subprocess.PIPE).stdout
def documents(root):
    """(split, source, id, text, records) of every document, read with zstd(1) and json."""
    out = []
    for s in shards(root)[1]:
        raw = unzstd(os.path.join(root, s['path']))
        assert len(raw) == s['bytes_raw'], s
        docs = [json.loads(l) for l in raw.decode('utf-8').split('\n')[:-1]]
        assert len(docs) == s['documents']
        assert sum(len(d['text'].encode()) for d in docs) == s['bytes_text']
        assert sum(d['meta']['records'] for d in docs) == s['records']
        for d in docs:
            assert d['source'] == s['source'] and d['ts'] is None
            out.append((s['split'], d['source'], d['id'], d['text'], d['meta']['records']))
    return out
def die(msg):
    sys.exit('FAIL: ' + msg)
PY
run_py() { (cd "$tmp" && python3 "$@"); }

echo "== cleaning, exact duplicates and documents against Python"
cat > "$tmp/make.py" <<'PY'
import random, os
r = random.Random(1)
os.makedirs('in/sub')
def line():
    k = r.randrange(12)
    if k < 6: return b'Jan %2d 03:04:05 web sshd[%d]: Failed password for u%d' % (r.randrange(28), r.randrange(400), r.randrange(40))
    if k == 6: return bytes(r.choice(b'abcdefghij \t') for _ in range(r.randrange(60))) + b' ' * r.randrange(3)
    if k == 7: return b'' if r.randrange(2) else b'  \t'
    if k == 8: return b'\x1b[%dmcolour\x1b[0m text %d' % (r.randrange(40), r.randrange(9))
    if k == 9: return bytes(r.randrange(0x80, 256) if r.randrange(3) else r.randrange(0x20, 0x7f) for _ in range(r.randrange(1, 40)))
    if k == 10: return bytes(r.randrange(1, 32) if r.randrange(9) == 0 else 0x61 for _ in range(r.randrange(1, 60))).translate(None, b'\n\r\x1b')
    return ('é漢😀 ok %d' % r.randrange(50)).encode()
for name, n in (('auth.log', 30000), ('web.log', 20000), ('sub/edge.txt', 200), ('tiny.log', 3)):
    eol = [b'\n', b'\r\n'][name == 'web.log']
    data = eol.join(line() for _ in range(n))
    if name == 'auth.log': data = b'\xef\xbb\xbf' + data
    open('in/' + name, 'wb').write(data)
PY
run_py make.py
"$SECENC" corpus build "$tmp/in" -o "$tmp/c1" --format lines --threads 1 --split none --doc-bytes 2K > "$tmp/report"
cat > "$tmp/check.py" <<'PY'
import re, os
from lib import *
ANSI = re.compile('\x1b(?:\\[[\x20-\x3f]*(?:[\x40-\x7e]|$)|[\x30-\x5a\\\\^_\x60-\x7e]|$)')
def canonical(raw):
    s = raw.decode('utf-8', 'replace')
    if s.startswith('\ufeff'): s = s[1:]
    if s.endswith('\r'): s = s[:-1]
    s = ANSI.sub('', s).rstrip(' \t')
    if not s: return 'empty'
    bad = sum(c < ' ' and c != '\t' or '\x7f' <= c < '\xa0' for c in s)
    return None if 20 * bad > len(s) else s
want, removed = {}, {'empty': 0, 'control-characters': 0, 'exact': 0}
for path in ('auth.log', 'web.log', 'sub/edge.txt', 'tiny.log'):
    raw = open('in/' + path, 'rb').read().split(b'\n')
    if raw[-1] == b'': raw.pop()
    seen, kept = set(), []
    for l in raw:
        c = canonical(l)
        if c == 'empty': removed['empty'] += 1
        elif c is None: removed['control-characters'] += 1
        elif c in seen: removed['exact'] += 1
        else: seen.add(c); kept.append(c)
    docs, size = [], None
    for c in kept:
        n = len(c.encode())
        if size is not None and size + 1 + n <= 2048: docs[-1].append(c); size += 1 + n
        else: docs.append([c]); size = n
    want[os.path.splitext(os.path.basename(path))[0]] = ['\n'.join(d) for d in docs]
got = {}
for split, source, id, text, n in documents('c1'):
    assert split == 'train' and n == text.count('\n') + 1
    got.setdefault(source, []).append(text)
if got.keys() != want.keys(): die('sources %s' % got.keys())
for s in want:
    for i, (a, b) in enumerate(zip(got[s], want[s])):
        if a != b: die('%s document %d:\n%r\n%r' % (s, i, a, b))
    if len(got[s]) != len(want[s]): die('%s has %d documents, not %d' % (s, len(got[s]), len(want[s])))
head = shards('c1')[0]
for k in removed:
    if head['removed'].get(k, 0) != removed[k]: die('%s: %s, not %d' % (k, head['removed'].get(k), removed[k]))
ledger = [json.loads(l) for l in unzstd('c1/removed.jsonl.zst').decode().split('\n')[:-1]]
for reason in ('exact', 'control-characters'):
    if sum(l['reason'] == reason for l in ledger) != removed[reason]: die('ledger: ' + reason)
raw = open('in/auth.log', 'rb').read().split(b'\n')
first = {}
for i, l in enumerate(raw):
    c = canonical(l)
    if c and c != 'empty': first.setdefault(c, i)
for l in ledger:  # the ledger names lines that are indeed repetitions
    if l['reason'] == 'exact' and l['source'] == 'auth':
        if first[canonical(raw[l['line'] - 1])] >= l['line'] - 1: die('ledger line %s' % l)
PY
run_py check.py

echo "== one result for any number of threads, order of arguments and packing"
"$SECENC" corpus build "$tmp/in/web.log" "$tmp/in/tiny.log" "$tmp/in/sub" "$tmp/in/auth.log" -o "$tmp/c2" \
    --format lines --threads 2 --split none --doc-bytes 2K > /dev/null
cmp "$tmp/c1/MANIFEST.jsonl" "$tmp/c2/MANIFEST.jsonl"
diff -r "$tmp/c1/train" "$tmp/c2/train"
mkdir "$tmp/packed"
gzip -c "$tmp/in/web.log" > "$tmp/packed/web.log.gz"
zstd -q --long=27 "$tmp/in/auth.log" -o "$tmp/packed/auth.log.zst"
cp "$tmp/in/sub/edge.txt" "$tmp/in/tiny.log" "$tmp/packed"
"$SECENC" corpus build "$tmp/packed" -o "$tmp/c3" --format lines --threads 2 --split none --doc-bytes 2K > /dev/null
diff -r "$tmp/c1/train" "$tmp/c3/train"
"$SECENC" corpus build - --source auth -o "$tmp/c4" --format lines --split none --doc-bytes 2K < "$tmp/in/auth.log" > /dev/null
diff -r "$tmp/c1/train/auth" "$tmp/c4/train/auth"

echo "== UTF-8 repair of random bytes against Python"
cat > "$tmp/utf8.py" <<'PY'
import random, sys
from lib import *
r = random.Random(2)
if sys.argv[1] == 'make':
    def seq():
        k = r.randrange(4)
        if k == 0: return bytes([r.randrange(0x80, 256) for _ in range(r.randrange(1, 5))])
        if k == 1: return chr(r.choice([r.randrange(0x20, 0x7f), r.randrange(0xa0, 0xd800), r.randrange(0xe000, 0x110000)])).encode()[:r.randrange(1, 5)]
        if k == 2: return bytes([r.choice([0xe0, 0xed, 0xf0, 0xf4, 0xc0, 0xc2, 0xf8]), r.randrange(0x80, 0xc0), 0x41])
        return b'text'
    open('utf8.log', 'wb').write(b'\n'.join(b'%d ' % i + b''.join(seq() for _ in range(12)) + b'.' for i in range(20000)))
else:
    want = []
    for l in open('utf8.log', 'rb').read().split(b'\n'):
        s = l.decode('utf-8', 'replace')
        if 20 * sum('\x7f' <= c < '\xa0' for c in s) <= len(s): want.append(s)
    got = '\n'.join(d[3] for d in documents('c5')).split('\n')
    for a, b in zip(got, want):
        if a != b: die('%r, not %r' % (a, b))
    assert len(got) == len(want), (len(got), len(want))
PY
run_py utf8.py make
"$SECENC" corpus build "$tmp/utf8.log" -o "$tmp/c5" --format lines --split none > /dev/null
run_py utf8.py check

echo "== seek table"
"$SECENC" corpus build "$tmp/in" -o "$tmp/c6" --format lines --split none > /dev/null
cat > "$tmp/seek.py" <<'PY'
from lib import *
frames = 0
for s in shards('c6')[1]:
    b = open('c6/' + s['path'], 'rb').read()
    n, flags, magic = struct.unpack('<IBI', b[-9:])
    assert magic == 0x8F92EAB1 and flags == 0 and len(b) == s['bytes_packed']
    table = b[-9 - 8 * n - 8:]
    assert struct.unpack('<II', table[:8]) == (0x184D2A5E, 8 * n + 9)
    at, raw = 0, b''
    for i in range(n):
        packed, size = struct.unpack_from('<II', table, 8 + 8 * i)
        part = subprocess.run(['zstd', '-dcq'], input=b[at:at + packed], check=True, stdout=subprocess.PIPE).stdout
        assert len(part) == size and part.endswith(b'\n')
        raw += part; at += packed
    assert at == len(b) - len(table) and raw == unzstd('c6/' + s['path'])
    frames += n
assert frames >= len(shards('c6')[1])
PY
run_py seek.py

echo "== formats"
mkdir "$tmp/f"
printf '{"a":1}\n{"a":"x\\ny"}\n' > "$tmp/f/j.jsonl"
printf 'h,i\n1,"two\nlines"\n2,b\n' > "$tmp/f/c.csv"
printf 'a\tb\n1\t2\n' > "$tmp/f/t.tsv"
printf '<?xml version="1.0"?>\n<Events>\n<Event>\n  <Id>1</Id>\n</Event>\n<Event><Id>2</Id></Event></Events>\n' > "$tmp/f/x.xml"
printf '30 <34>1 2003-10-11T22:14:15Z h a28 <34>1 2003-10-11T22:14:15Z b' > "$tmp/f/s.log"
printf 'E one\n\tat a\n\tat b\nE two\nE three\n' > "$tmp/f/m.log"
printf '\xff\xfew\x00i\x00d\x00e\x00\n\x00' > "$tmp/f/w.log"
"$SECENC" corpus build "$tmp/f" -o "$tmp/c7" --split none > /dev/null
cat > "$tmp/formats.py" <<'PY'
from lib import *
want = {'j': ('{"a":1}\n{"a":"x\\ny"}', 2), 'c': ('h,i\n1,"two\nlines"\n2,b', 3), 't': ('a\tb\n1\t2', 2),
        'x': ('<Event> <Id>1</Id> </Event>\n<Event><Id>2</Id></Event>', 2),
        's': ('<34>1 2003-10-11T22:14:15Z h a\n<34>1 2003-10-11T22:14:15Z b', 2),
        'm': ('E one\n\tat a\n\tat b\nE two\nE three', 3), 'w': ('wide', 1)}
got = {s: (t, n) for _, s, _, t, n in documents('c7')}
for k in want:
    if got.get(k) != want[k]: die('%s: %r, not %r' % (k, got.get(k), want[k]))
PY
run_py formats.py

echo "== records of every format across the borders of blocks"
cat > "$tmp/blocks.py" <<'PY'
import random, sys
from lib import *
r = random.Random(4)
word = lambda: ''.join(r.choice('abcdefgh') for _ in range(r.randrange(1, 900)))
n, big = 4000, {}
big['csv'] = ['%d,"%s\n%s",%s' % (i, word(), word(), word()) for i in range(n)]
big['xml'] = ['<Event n="%d">\n  <a>%s</a>\n  <b>%s</b>\n</Event>' % (i, word(), word()) for i in range(n)]
big['sys'] = ['<34>1 %d %s\n %s' % (i, word(), word()) for i in range(n)]
big['multi'] = ['%d %s' % (i, word()) + ''.join('\n\tat %s' % word() for _ in range(i % 4)) for i in range(n)]
big['long'] = ['%d %s' % (i, 'x' * (1200000 if i % 90 == 7 else 2000)) for i in range(600)]
if sys.argv[1] == 'make':
    os.makedirs('b')
    put = lambda name, text: open('b/' + name, 'w').write(text)
    put('csv.csv', '\n'.join(big['csv']) + '\n')
    put('xml.xml', '<?xml version="1.0"?><Events>' + '\n'.join(big['xml']) + '</Events>')
    put('sys.log', ''.join('%d %s' % (len(x), x) for x in big['sys']))
    put('multi.log', '\n'.join(big['multi']))
    put('long.log', '\n'.join(big['long']) + '\n')
else:
    big['xml'] = [x.replace('\n  ', ' ').replace('\n', ' ') for x in big['xml']]
    big['long'] = [x for x in big['long'] if len(x) <= 1 << 20]
    docs = documents('bb')
    for name, records in big.items():
        mine = [d for d in docs if d[1] == name]
        if '\n'.join(d[3] for d in mine) != '\n'.join(records): die(name + ' differs')
        if sum(d[4] for d in mine) != len(records): die('%s: %d records' % (name, sum(d[4] for d in mine)))
    assert shards('bb')[0]['removed']['too-long'] == 600 - len(big['long'])
    ledger = [json.loads(l) for l in unzstd('bb/removed.jsonl.zst').decode().split('\n')[:-1]]
    assert [l['line'] - 1 for l in ledger if l['reason'] == 'too-long'] == [i for i in range(600) if i % 90 == 7]
PY
run_py blocks.py make
"$SECENC" corpus build "$tmp/b" -o "$tmp/bb" --split none --threads 2 > /dev/null
run_py blocks.py check

echo "== source names"
mkdir -p "$tmp/n/fw"
for name in auth.log.1 auth.log-20240131.gz auth.log 'my app.jsonl' fw/part-0001.log; do
    echo "line of $name" | if [[ $name == *.gz ]]; then gzip; else cat; fi > "$tmp/n/$name"; done
"$SECENC" corpus build "$tmp/n" -o "$tmp/c8" --split none > /dev/null
test "$(ls "$tmp/c8/train" | tr '\n' ' ')" = "auth my_app part-0001 "
"$SECENC" corpus build "$tmp/n" --exclude 'part-*' --exclude '*.jsonl' -o "$tmp/c10" --split none > /dev/null
test "$(ls "$tmp/c10/train")" = auth
"$SECENC" corpus build "$tmp/n/fw/part-0001.log" --source-from dir -o "$tmp/c9" --split none > /dev/null
test "$(ls "$tmp/c9/train")" = fw

echo "== splits: near-duplicates together, test sources apart, old documents stay"
cat > "$tmp/split.py" <<'PY'
import random, re, sys
from lib import *
r = random.Random(3)
if sys.argv[1] == 'make':
    os.makedirs('s')
    words = ['alpha', 'beta', 'gamma', 'delta', 'login', 'logout', 'denied', 'ok']
    for name in 'abcd':
        with open('s/%s.log' % name, 'w') as f:
            for i in range(6000):
                if i % 100 < 40: f.write('%s copied %s %d\n' % (name, words[i // 100 % 8], i))
                else: f.write('%s %s %d\n' % (name, ' '.join(r.choice(words) for _ in range(6)), r.randrange(10**6)))
    os.makedirs('more')
    with open('more/0new.log', 'w') as f:
        for i in range(3000): f.write('new %s %d\n' % (' '.join(r.choice(words) for _ in range(6)), i))
    with open('more/d.log', 'w') as f: f.write(open('s/d.log').read())
else:
    old, new = documents('k1'), documents('k2')
    mask = lambda t: re.sub('[0-9]+', '#', t)
    where = {}
    for split, source, id, text, _ in old:
        if source == 'd': assert split == 'odts'
        else: assert split != 'odts'; assert where.setdefault(mask(text), split) == split, text
    idts = sum(d[0] == 'idts' for d in old); rest = sum(d[0] != 'odts' for d in old)
    assert 0.05 < idts / rest < 0.16, (idts, rest)
    place = {(d[1], d[2]): d[0] for d in new}
    for d in old: assert place[d[1], d[2]] == d[0]
    assert len(set(d[2] for d in old)) == len(old)
    # a copy of the odts source under another name must not be in training
    copied = {d[2] for d in documents('k3') if d[0] == 'odts'}
    assert copied and not any(d[0] == 'train' and d[2] in copied for d in documents('k3'))
    head = shards('k3')[0]
    # e is d again; f differs in values only, and in where its documents are cut
    assert head['removed']['document-duplicate'] == 6000, head['removed']
    assert head['removed'].get('test-collision', 0) > 2000, head['removed']
    ledger = [json.loads(l) for l in unzstd('k3/removed.jsonl.zst').decode().split('\n')[:-1]]
    collided = [l for l in ledger if l['reason'] == 'test-collision']
    assert sum(l.get('records', 1) for l in collided) == head['removed']['test-collision']
    at = 1  # all of a copied file goes, document by document: each line of the ledger starts one
    for l in ledger:
        if l['source'] == 'e': assert l['line'] == at, l; at += l.get('records', 1)
    assert at == 6001
PY
run_py split.py make
"$SECENC" corpus build "$tmp/s" -o "$tmp/k1" --split idts=.1,odts=d:zz* --doc-bytes 200 --seed 7 > /dev/null 2> "$tmp/err"
grep -q 'odts=zz\* matches none' "$tmp/err"
"$SECENC" corpus build "$tmp/s" "$tmp/more/0new.log" -o "$tmp/k2" --split idts=.1,odts=d --doc-bytes 200 --seed 7 > /dev/null
cp "$tmp/s/d.log" "$tmp/more/e.log"; sed 's/[0-9]*$/77/' "$tmp/s/d.log" > "$tmp/more/f.log"; rm "$tmp/more/0new.log" "$tmp/more/d.log"
"$SECENC" corpus build "$tmp/s" "$tmp/more" -o "$tmp/k3" --split idts=.1,odts=d --doc-bytes 200 --seed 7 > /dev/null
run_py split.py check

echo "== template cap"
"$SECENC" corpus build "$tmp/s" -o "$tmp/t1" --template-cap 7 --split none --threads 2 > /dev/null
"$SECENC" corpus build - --source a -o "$tmp/t2" --dedup exact,template --template-cap 7 --split none < "$tmp/s/a.log" > /dev/null
diff -r "$tmp/t1/train/a" "$tmp/t2/train/a"
cat > "$tmp/cap.py" <<'PY'
import re
from lib import *
for source in 'abcd':
    records, groups = list(dict.fromkeys(open('s/%s.log' % source).read().split('\n')[:-1])), {}
    for x in records: groups.setdefault(re.sub('[0-9]+', '#', x), []).append(x)
    keep = set()
    for g in groups.values():
        n, k = len(g), 7
        keep |= {x for i, x in enumerate(g) if n <= k or (i + 1) * k // n != i * k // n}
        assert len(keep & set(g)) == min(n, k)
    got = '\n'.join(d[3] for d in documents('t1') if d[1] == source).split('\n')
    assert got == [x for x in records if x in keep], source
PY
run_py cap.py

echo "== stats and sample"
"$SECENC" corpus stats "$tmp/k1" --json > "$tmp/stats.json"
"$SECENC" corpus stats "$tmp/k1" | grep -q '^train'
"$SECENC" corpus sample "$tmp/k1" -n 20 --seed 1 > "$tmp/a1"; "$SECENC" corpus sample "$tmp/k1" -n 20 --seed 1 > "$tmp/a2"
"$SECENC" corpus sample "$tmp/k1" -n 20 --seed 2 > "$tmp/a3"
cmp "$tmp/a1" "$tmp/a2"; ! cmp -s "$tmp/a1" "$tmp/a3"
"$SECENC" corpus sample "$tmp/k1" -n 1000000 > "$tmp/all"; "$SECENC" corpus sample "$tmp/k1" -n 5 --split odts > "$tmp/odts"
"$SECENC" corpus sample "$tmp/k1" -n 5 --source 'b' > "$tmp/only_b"
cat > "$tmp/stats.py" <<'PY'
from lib import *
docs, st = documents('k1'), json.load(open('stats.json'))
for s in st['splits']:
    mine = [d for d in docs if d[0] == s['split']]
    assert s['documents'] == len(mine) and s['records'] == sum(d[4] for d in mine)
for s in st['sources']:
    assert s['documents'] == sum((d[0], d[1]) == (s['split'], s['source']) for d in docs)
assert st['records_read'] == 24000 and st['records_kept'] == sum(d[4] for d in docs)
lines = lambda p: [json.loads(l) for l in open(p)]
assert [d['id'] for d in lines('all')] == [d[2] for d in docs]
ids = [d['id'] for d in lines('a1')]
assert len(set(ids)) == 20 and set(ids) <= {d[2] for d in docs}
assert {d['source'] for d in lines('odts')} == {'d'} and {d['source'] for d in lines('only_b')} == {'b'}
PY
run_py stats.py
echo ok
