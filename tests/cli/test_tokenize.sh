#!/bin/bash
# secenc corpus tokenize: output, reproducibility, bad input, a full disk at every write.
source "$(dirname "$0")/fixture.sh"

tokenize() {
    "$SECENC" corpus tokenize "$FIX/corpus" --tokenizer "$FIX/tok" --quiet "$@"
}

# The table and the JSON tell the same, and the tokenizer lies beside the shards.
tokenize -o "$T/a" >"$T/table"
grep -Eq '^train +[0-9]+ +[0-9]+ ' "$T/table" || fail "no row for train: $(cat "$T/table")"
tokenize -o "$T/b" --json >"$T/json"
docs=$(awk '$1 == "train" { print $2 }' "$T/table")
tr -d ' \n' <"$T/json" | grep -q "\"train\":{\"docs\":$docs," || fail "JSON differs from the table"
for f in tokenizer.json token_classes.json tokenizer_config.json MANIFEST.jsonl; do
    [ -s "$T/a/$f" ] || fail "$f is missing"
done
[ ! -e "$T/a.partial" ] || fail "the working directory was left"

# Byte-identical with other thread counts and whatever the memory; another seed differs.
cmp "$T/a/MANIFEST.jsonl" "$T/b/MANIFEST.jsonl"
tokenize -o "$T/c" --threads 1
cmp "$T/a/MANIFEST.jsonl" "$T/c/MANIFEST.jsonl"
cmp "$T/a/train-00000-of-00001.h5" "$T/c/train-00000-of-00001.h5"
tokenize -o "$T/d" --seed 2
! cmp -s "$T/a/MANIFEST.jsonl" "$T/d/MANIFEST.jsonl" || fail "the seed changes nothing"

# Existing output.
expect 2 "already holds a token data set; --force replaces it" tokenize -o "$T/a"
tokenize -o "$T/d/" --force
cmp "$T/a/MANIFEST.jsonl" "$T/d/MANIFEST.jsonl"
mkdir "$T/mine" && echo precious >"$T/mine/notes"
expect 2 "is no token data set; choose another" tokenize -o "$T/mine" --force
[ "$(cat "$T/mine/notes")" = precious ] || fail "a foreign directory was touched"
mkdir "$T/empty"
tokenize -o "$T/empty"

# Bad input.
expect 2 "required" "$SECENC" corpus tokenize "$FIX/corpus" -o "$T/x"
expect 2 "one corpus directory" "$SECENC" corpus tokenize --tokenizer "$FIX/tok" -o "$T/x"
expect 2 "temperature" tokenize -o "$T/x" --temperature 1.5
expect 3 "$T/nothing.*corpus" "$SECENC" corpus tokenize "$T/nothing" --tokenizer "$FIX/tok" -o "$T/x"
expect 1 "$T/nothing" "$SECENC" corpus tokenize "$FIX/corpus" --tokenizer "$T/nothing" -o "$T/x"
cp -r "$FIX/corpus" "$T/bad"
shard=$(find "$T/bad/train" -name '*.jsonl.zst' -size +8k | sort | head -n 1)
printf 'XXXX' | dd of="$shard" bs=1 seek=5000 conv=notrunc status=none
expect 3 "$(basename "$shard").*byte" "$SECENC" corpus tokenize "$T/bad" --tokenizer "$FIX/tok" -o "$T/x"
[ ! -e "$T/x" ] || fail "a failed run published its output"

# A full disk at the k-th write, fsync, rename and spool block: one line, exit 1, the old data whole;
# the same command then goes on, to the same bytes.
for kind in write fsync rename spool; do
    for k in $(seq 1 3) $(seq 8 7 400); do
        code=0
        SECENC_FAULT=$kind:$k tokenize -o "$T/d" --force >/dev/null 2>"$T/err" || code=$?
        [ "$code" != 0 ] || break
        [ "$code" = 1 ] || fail "$kind:$k: exit $code: $(cat "$T/err")"
        [ "$(wc -l <"$T/err")" = 1 ] && grep -q 'No space left' "$T/err" || fail "$kind:$k: $(cat "$T/err")"
        [ -e "$T/d" ] || mv "$T/d.old" "$T/d" # killed between the two renames: both are whole
        cmp "$T/a/MANIFEST.jsonl" "$T/d/MANIFEST.jsonl"
        rm -rf "$T/d.old"
        [ $((k % 2)) = 0 ] || tokenize -o "$T/d" --force >/dev/null
        rm -rf "$T/d.partial"
        diff -r "$T/a" "$T/d" || fail "$kind:$k: the second run made something else"
    done
    [ "$code" = 0 ] || fail "$kind: never reached the end"
done

# Killed in the middle, then run again; the leftovers of another seed are not used.
for k in 1 5 40 90; do
    code=0
    SECENC_FAULT=write:$k:kill tokenize -o "$T/k$k" 2>/dev/null || code=$?
    [ "$code" != 0 ] && [ ! -e "$T/k$k" ] || fail "a killed run published its output"
    tokenize -o "$T/k$k" --memory 64M --threads 1 >/dev/null
    diff -r "$T/a" "$T/k$k" || fail "killed at write $k: the second run made something else"
    [ ! -e "$T/k$k.partial" ] || fail "the working directory was left"
done
code=0
SECENC_FAULT=write:60:kill tokenize -o "$T/s" --seed 9 2>/dev/null || code=$?
tokenize -o "$T/s" >/dev/null
diff -r "$T/a" "$T/s" || fail "work for another seed was used"

# One at a time.
mkdir -p "$T/l.partial/.work"
flock "$T/l.partial/.work/lock" sleep 3 &
sleep 0.3
expect 1 "l.partial/.work/lock: in use by process" tokenize -o "$T/l"
wait
tokenize -o "$T/l" >/dev/null
