# tokenizer train|encode|decode|stats: inputs of every form, determinism, round trips, bad input.
set -euo pipefail
: "${SECENC:?}"
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
tok() { "$SECENC" tokenizer "$@"; }
fail() {
    echo "FAIL: $*" >&2
    exit 1
}
# expect CODE REGEX COMMAND...: exit code, and exactly one line of error that matches.
expect() {
    local code=$1 regex=$2 got=0
    shift 2
    "$@" >"$T/out" 2>"$T/err" </dev/null || got=$?
    [ "$got" = "$code" ] || fail "exit $got, expected $code: $* ($(tail -n 2 "$T/err"))"
    grep -Eq "$regex" "$T/err" || fail "no line matches '$regex': $(cat "$T/err")"
    [ "$(grep -c '^secenc: error' "$T/err")" = 1 ] || fail "not one error line: $(cat "$T/err")"
}

# --- training: same result for every packing, order, number of threads and way of naming the input
for i in $(seq 3000); do
    printf 'Mar %2d 10:%02d:%02d host%d sshd[%d]: Failed password for user%d from 10.0.%d.%d\n' \
        $((i % 28 + 1)) $((i % 60)) $((i * 7 % 60)) $((i % 5)) $((i * 31 % 65536)) $((i % 17)) \
        $((i % 256)) $((i * 13 % 256))
done >"$T/a.log"
tac "$T/a.log" | sed 's/Failed/Accepted/' >"$T/b.log"
printf 'no newline at the end \xff\xfe caf\xc3\xa9' >>"$T/b.log"
mkdir "$T/in"
gzip -c "$T/a.log" >"$T/in/a.log.gz"
zstd -qc "$T/b.log" >"$T/in/b.log.zst"
tok train "$T/a.log" "$T/b.log" -o "$T/t1" --vocab-size 600 --threads 1 2>"$T/err"
grep -q '600 entries, 339 merges' "$T/err" || fail "no summary: $(cat "$T/err")"
tok train "$T/b.log" "$T/a.log" -o "$T/t2" --vocab-size 600 --threads 3 --quiet
tok train "$T/in" -o "$T/t3" --vocab-size 600 --threads 2 --quiet
cat "$T/b.log" <(echo) "$T/a.log" >"$T/all.log"
tok train - -o "$T/t4" --vocab-size 600 --quiet <"$T/all.log"
for t in t2 t3 t4; do
    for f in tokenizer.json tokenizer_config.json special_tokens_map.json token_classes.json; do
        cmp "$T/t1/$f" "$T/$t/$f" || fail "$t/$f differs from t1/$f"
    done
done
tok train "$T/a.log" -o "$T/few" --vocab-size 60000 --quiet
tok train "$T/a.log" -o "$T/often" --vocab-size 60000 --min-frequency 1000 2>"$T/err"
grep -q 'too few pairs' "$T/err" || fail "no warning of a small vocabulary: $(cat "$T/err")"

# --- encode and decode: byte for byte, all forms agree
tok encode "$T/all.log" -t "$T/t1" >"$T/ids"
[ "$(wc -l <"$T/ids")" = "$(tok encode "$T/in/b.log.zst" -t "$T/t1" | cat - <(tok encode "$T/a.log" -t "$T/t1") | wc -l)" ] ||
    fail "number of lines"
tok decode "$T/ids" -t "$T/t1" >"$T/back"
cmp "$T/all.log" "$T/back" || fail "decode(encode(x)) differs from x"
tok encode --binary -t "$T/t1/tokenizer.json" <"$T/all.log" | od -An -v -tu2 -w2 | wc -l >"$T/n"
[ "$(cat "$T/n")" = $(($(wc -w <"$T/ids") + 2 * $(wc -l <"$T/ids"))) ] || fail "binary form"
printf '%s\n' '"a\nb \u00e9 [MASK]"' '""' >"$T/j"
tok encode --json -t "$T/t1" "$T/j" | tok decode --json -t "$T/t1" >"$T/j2"
printf '%s\n' '"a\nb é [MASK]"' '""' | cmp - "$T/j2" || fail "JSON round trip: $(cat "$T/j2")"
[ "$(echo '[MASK]' | tok encode -t "$T/t1" --specials)" = 4 ] || fail "--specials"
[ "$(echo '[MASK]' | tok encode -t "$T/t1" | wc -w)" -gt 1 ] || fail "[MASK] in text is text"
[ "$(echo '1 4 2 38' | tok decode -t "$T/t1" --skip-specials)" = B ] || fail "--skip-specials"
[ -z "$(tok encode -t "$T/t1" </dev/null)" ] || fail "empty input"

# --- stats
tok stats "$T/a.log" -t "$T/t1" | grep -q '^bytes per token' || fail "stats"
tok stats "$T/a.log" -t "$T/t1" --json >"$T/s.json"
grep -q '"lines":3000,' "$T/s.json" || fail "stats --json: $(cat "$T/s.json")"

# --- bad input
expect 2 'usage' tok train "$T/a.log"
expect 2 'vocab-size' tok train "$T/a.log" -o "$T/x" --vocab-size 200
expect 2 'pattern' tok train "$T/a.log" -o "$T/x" --pattern bert
expect 1 'no-such' tok train "$T/no-such" -o "$T/x"
: >"$T/empty"
expect 3 'no text' tok train "$T/empty" -o "$T/x"
[ ! -e "$T/x" ] || fail "a failed training left files"
expect 2 'tokenizer' tok encode "$T/a.log"
expect 1 'no-such' tok encode "$T/a.log" -t "$T/no-such"
expect 1 'no-such' tok encode "$T/no-such" -t "$T/t1"
head -c 5000 "$T/t1/tokenizer.json" >"$T/cut.json"
expect 3 'cut.json' tok encode "$T/a.log" -t "$T/cut.json"
sed 's/"!": 5,/"!": 6,/' "$T/t1/tokenizer.json" >"$T/twice.json"
expect 3 'twice.json: id 6 is given to both' tok encode "$T/a.log" -t "$T/twice.json"
cp "$T/few/token_classes.json" "$T/t2/"
expect 3 'made for tokenizer' tok encode "$T/a.log" -t "$T/t2"
printf '1 2\n600\n' >"$T/ids"
expect 3 'line 2: .*outside the vocabulary' tok decode "$T/ids" -t "$T/t1"
printf '1 x\n' >"$T/ids"
expect 3 'line 1: character 3' tok decode "$T/ids" -t "$T/t1"
printf '"a"\n"b\n' >"$T/j"
expect 3 'line 2' tok encode --json "$T/j" -t "$T/t1"
head -c -300 "$T/in/b.log.zst" >"$T/cut.zst"
tok train "$T/cut.zst" -o "$T/t5" --vocab-size 300 2>"$T/err" || fail "a cut file must be used up to the cut"
grep -q 'cut.zst' "$T/err" || fail "no warning of the cut: $(cat "$T/err")"
expect 1 'space' env SECENC_FAULT=write "$SECENC" tokenizer train "$T/a.log" -o "$T/full" --vocab-size 300
[ ! -e "$T/full/tokenizer.json" ] || fail "half a tokenizer.json was left"
echo OK
