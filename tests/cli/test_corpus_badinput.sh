#!/bin/bash
# Every bad input gets one clear line and the designed exit code, and nothing is lost.
set -uo pipefail
: "${SECENC:?}"
command -v zstd >/dev/null || { echo "SKIP: needs zstd"; exit 77; }
tmp=$(mktemp -d)
trap 'chmod -R u+rwx "$tmp" 2>/dev/null; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
fails=0
bad() { echo "FAIL: $*"; fails=$((fails + 1)); }

# expect CODE PATTERN COMMAND...: exit code, and a single error line that matches.
expect() {
    local code=$1 pattern=$2; shift 2
    "$@" > out 2> err; local got=$?
    [ $got = "$code" ] || bad "exit $got, not $code: $* ($(tail -1 err))"
    [ "$(grep -c 'error:' err)" = 1 ] || bad "not one error line: $* ($(cat err))"
    grep -q -- "$pattern" err || bad "no '$pattern': $* ($(cat err))"
}
# succeeds PATTERN COMMAND...: exit 0 with a warning (or report) that matches.
succeeds() {
    local pattern=$1; shift
    "$@" > out 2> err || bad "exit $?: $* ($(cat err))"
    cat out err | grep -- "$pattern" > /dev/null || bad "no '$pattern': $* ($(cat out err))"
}
texts() { cat "$1"/train/*/*.zst | zstd -dcq; }

for i in $(seq 1 20000); do echo "line $i of the log with some words $((i * 7919 % 10007))"; done > a.log
build() { "$SECENC" corpus build "$@"; }

echo "== usage"
expect 2 'needs inputs' "$SECENC" corpus build -o x
expect 2 'needs inputs' "$SECENC" corpus build a.log
expect 2 'unknown stage' build a.log -o x --dedup exact,fuzzy
expect 2 'needs --template-cap' build a.log -o x --dedup template
expect 2 'not understood' build a.log -o x --split test=1
expect 2 'share from 0' build a.log -o x --split idts=1.5
expect 2 'doc-bytes' build a.log -o x --doc-bytes 1G
expect 2 'one DIR' "$SECENC" corpus stats
[ ! -e x ] || bad "a refused command line left x behind"

echo "== missing and unreadable input"
expect 1 'missing.log' build missing.log -o x
expect 1 'No such file' build a.log missing-dir/ -o x
if [ "$(id -u)" != 0 ]; then
    mkdir locked; echo x > locked/b.log; chmod 000 locked/b.log
    expect 1 'locked/b.log' build locked -o x
fi
mkdir void
expect 3 'no input files' build void -o x
printf 'BZh91AY&SYxxxx' > b.log.bz2
expect 3 'bzip2' build b.log.bz2 -o x
[ ! -e x ] || bad "a failed build left x behind"
expect 3 'not a corpus' "$SECENC" corpus stats void
expect 3 'not a corpus' "$SECENC" corpus sample nowhere

echo "== truncated files are salvaged"
gzip -c a.log | head -c 30000 > cut.log.gz
succeeds 'gzip data ends inside a member at byte 30000' build cut.log.gz -o gz --split none
zstd -qc a.log | head -c 60000 > cut2.log.zst
succeeds 'zstd data ends inside a frame at byte 60000' build cut2.log.zst -o zst --split none --json
grep -q '"damaged_files": *1' out || bad "damage is not in the report"
gzip -c a.log > bits.log.gz
printf 'XXXXXXXX' | dd of=bits.log.gz bs=1 seek=40000 conv=notrunc 2> /dev/null
succeeds 'is damaged at byte\|wrong checksum' build bits.log.gz -o bits --split none
for d in gz bits; do
    texts $d | grep 'line 1000 of' > /dev/null || bad "$d: nothing was salvaged"
    "$SECENC" corpus stats $d > /dev/null || bad "$d is no corpus"
done

echo "== records that are dropped are counted"
{ echo before; head -c 100000000 /dev/zero | tr '\0' x; echo; echo after; } > long.log
limit=unlimited # a sanitizer's shadow memory does not fit below one
(ulimit -v 500000; "$SECENC" --version) > /dev/null 2>&1 && limit=500000
(ulimit -v $limit; succeeds 'too-long' build long.log -o long --split none --threads 1; exit $fails) || fails=1
texts long | tr -d '\n' | grep '"before".*"after"' > /dev/null || bad "the neighbours of a 100 MB line are gone"
head -c 30000000 /dev/zero | tr '\0' x > endless.log; cat a.log >> endless.log
succeeds 'too-long' build endless.log -o endless --split none
printf 'boot one\n\0\0\0\0\0\0boot two\n\1\2\3\4\n\n   \nlast\377\n' > nul.log
succeeds 'nul' build nul.log -o nul --split none --json
grep -q '"control-characters": *1' out && grep -q '"empty": *2' out && grep -q '"utf-8": *1' out ||
    bad "wrong counts: $(cat out)"
texts nul | grep 'boot one\\nboot two\\nlast' > /dev/null || bad "records with NUL bytes are lost"
: > empty.log; printf '\n\n \n' > blank.log
expect 3 'would be empty' build empty.log blank.log -o none
expect 3 'would be empty' build - -o none < /dev/null
[ ! -e none ] || bad "an empty corpus was left behind"

echo "== empty splits"
succeeds 'no training documents' build a.log -o one --split odts=a
succeeds 'matches none' build a.log -o two --split odts=nothing
head -3 a.log > tiny.log
succeeds 'idts split is empty' build tiny.log -o three --split idts=.01

echo "== existing data is not harmed"
build a.log -o c --split none > /dev/null || bad "build"
cp -r c before
expect 2 'give --force' build tiny.log -o c
mkdir mine; echo x > mine/notes.txt
expect 2 'holds other files' build a.log -o mine --force
mkdir tokens; echo '{"format":"other"}' > tokens/MANIFEST.jsonl
expect 2 'another data set' build a.log -o tokens --force
expect 2 'is a file' build a.log -o a.log
flock c/.lock sleep 30 & holder=$!
sleep 0.3
expect 1 'in use' build a.log -o c --force
kill $holder; wait $holder 2> /dev/null
for point in write fsync rename; do
    for k in 1 2 3 5 8; do
        SECENC_FAULT=$point:$k "$SECENC" corpus build tiny.log -o c --force --split none > out 2> err
        code=$?
        if [ $code = 0 ]; then [ $k -gt 4 ] || [ $point = write ] || bad "fault $point:$k was not felt"
            rm -rf c; cp -r before c; continue; fi
        [ $code = 1 ] && [ "$(grep -c error: err)" = 1 ] || bad "fault $point:$k: exit $code, $(cat err)"
        diff -r -x .lock -x .build c before > /dev/null || bad "fault $point:$k harmed the old corpus"
    done
done
for k in $(seq 1 4 90); do # killed at any rename: never a half corpus; the next build brings the old one back
    rm -rf c; cp -r before c
    { (SECENC_FAULT=rename:$k:kill exec "$SECENC" corpus build tiny.log -o c --force --split none) > /dev/null; } 2> /dev/null
    if "$SECENC" corpus stats c > out 2> err; then
        texts c > got; texts before > want
        cmp -s got want || [ "$(grep -o '"records":3}' got | wc -l)" = 1 ] || bad "kill at rename $k: neither old nor new"
    else
        grep -q 'not a corpus' err || bad "kill at rename $k: $(cat err)"
        expect 2 'give --force' build tiny.log -o c
        diff -r -x .lock -x .build c before > /dev/null || bad "kill at rename $k: the old corpus did not come back"
    fi
    build tiny.log -o c --force --split none > /dev/null || bad "kill at rename $k: no build afterwards"
done

echo "== a full disk"
if mkdir disk && mount -t tmpfs -o size=1m tmpfs disk 2> /dev/null; then
    head -c 30000000 /dev/urandom | base64 -w 100 > noise.log
    build tiny.log -o disk/c --split none > /dev/null || bad "build on a small disk"
    cp -r disk/c small
    expect 1 'No space left' build noise.log -o disk/c --force --split none
    diff -r -x .lock -x .build disk/c small > /dev/null || bad "a full disk harmed the old corpus"
    build tiny.log -o disk/c --force --split none > /dev/null || bad "no other build after a full disk"
    [ ! -e disk/c/.build ] || bad "a build leaves its work behind"
    umount disk
fi
head -c 3000000 /dev/urandom | base64 -w 100 > noise.log
(ulimit -f 100; trap '' XFSZ; expect 1 'File too large' build noise.log -o limit --split none; exit $fails) || fails=1
[ ! -e limit/MANIFEST.jsonl ] || bad "a failed write left a corpus"
build noise.log -o limit --split none > /dev/null || bad "no build after a failed write"

echo "== interruption"
mkfifo pipe
"$SECENC" corpus build pipe -o stopped --split none > out 2> err & job=$!
exec 3> pipe
for i in 1 2 3 4; do cat a.log >&3; done
kill -INT $job; cat a.log a.log a.log a.log >&3 2> /dev/null; exec 3>&-
wait $job; code=$?
[ $code = 130 ] && grep -q interrupted err || bad "interrupt: exit $code ($(cat err))"
[ ! -e stopped ] || bad "an interrupted build left a folder"

echo "== damaged corpora"
cp -r before d1; rm d1/train/a/000000.jsonl.zst
expect 3 'is missing' "$SECENC" corpus stats d1
cp -r before d2; printf x >> d2/train/a/000000.jsonl.zst
expect 3 'the manifest says' "$SECENC" corpus stats d2
cp -r before d3; printf 'XXXX' | dd of=d3/train/a/000000.jsonl.zst bs=1 seek=5000 conv=notrunc 2> /dev/null
expect 3 'damaged frame' "$SECENC" corpus sample d3 -n 1000000
cp -r before d4; head -c 300 before/MANIFEST.jsonl > d4/MANIFEST.jsonl
expect 3 'line 1' "$SECENC" corpus stats d4

[ $fails = 0 ] && echo ok
exit $((fails > 0))
