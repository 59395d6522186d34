# embed, fill-mask and inspect: independence of batch, inputs, windows, bad input.
. tests/cli/fixture.sh
"$SECENC" pretrain "${NANO[@]}" --data "$FIX/data" --run "$T/run" --set train.steps=4 --quiet
"$SECENC" export "$T/run" -o "$T/hf" --quiet
em() { "$SECENC" embed "$T/hf" --quiet "$@"; }
for f in "$FIX"/logs/*; do [ -f "$f" ] && head -n 6 "$f"; done | cut -c 1-3000 >"$T/in"
printf '\n\nno newline at the end' >>"$T/in"
lines=$(($(grep -c '' "$T/in")))

# --- embed: a vector does not depend on its neighbours, in any bit
em "$T/in" -o "$T/a.npy"
head -c 128 "$T/a.npy" | grep -aq "'shape': ($lines, 64)" || fail "shape: $(head -c 128 "$T/a.npy")"
[ "$(stat -c %s "$T/a.npy")" = $((128 + lines * 64 * 4)) ] || fail "size of the .npy"
em "$T/in" --batch-tokens 600 >"$T/b.npy"
cmp "$T/a.npy" "$T/b.npy"
OMP_NUM_THREADS=2 em "$T/in" -o "$T/b.npy" --threads 2
cmp "$T/a.npy" "$T/b.npy"
em "$T/in" --out jsonl >"$T/a.jsonl"
sort "$T/in" | em - --out jsonl | sed 's/"index":[0-9]*/"index":0/' | sort >"$T/s1"
sed 's/"index":[0-9]*/"index":0/' "$T/a.jsonl" | sort >"$T/s2"
cmp "$T/s1" "$T/s2"
while read -r i; do
    sed -n "${i}p" "$T/in" | em - --out jsonl | sed 's/"index":0/"index":'$((i - 1))'/' |
        cmp - <(sed -n "${i}p" "$T/a.jsonl") || fail "line $i alone has another vector"
done < <(printf '1\n%s\n%s\n' $((lines / 2)) "$lines")

# --- compressed input, CRLF, standard input
gzip -k "$T/in"
zstd -q "$T/in" -o "$T/in.zst"
sed 's/$/\r/' "$T/in" >"$T/crlf"
for f in "$T/in.gz" "$T/in.zst" "$T/crlf"; do
    em "$f" -o "$T/b.npy"
    cmp "$T/a.npy" "$T/b.npy" || fail "$f gives other vectors"
done
em <"$T/in" | cmp - "$T/a.npy"
em /dev/null -o "$T/none.npy"
grep -aq "'shape': (0, 64)" "$T/none.npy" || fail "no lines: shape (0, 64) expected"

# --- a line longer than the window is said to be, and is not truncated
{ head -c 20000 /dev/zero | tr '\0' 'x'; printf ' %s\n' a; } >"$T/long1"
{ head -c 20000 /dev/zero | tr '\0' 'x'; printf ' %s\n' b; } >"$T/long2"
"$SECENC" embed "$T/hf" "$T/long1" --seq-len 64 -o "$T/l1.npy" 2>"$T/err"
grep -q "1 of 1 lines are longer than 64 tokens" "$T/err" || fail "windows are not mentioned"
em "$T/long2" --seq-len 64 -o "$T/l2.npy"
! cmp -s "$T/l1.npy" "$T/l2.npy" || fail "the end of a long line changes nothing"

# --- any bytes
head -c 5000 /dev/urandom >"$T/noise"
em "$T/noise" --out jsonl >"$T/noise.out"
[ "$(wc -l <"$T/noise.out")" = "$(grep -ac '' "$T/noise")" ] || fail "noise: a line was lost"

# --- fill-mask
"$SECENC" fill-mask "$T/run" 'Failed [MASK] for root' -k 3 --quiet >"$T/fill"
[ "$(wc -l <"$T/fill")" = 3 ] || fail "three guesses expected: $(cat "$T/fill")"
grep -q 'Failed .* for root$' "$T/fill" || fail "the filled text is missing"
printf '[MASK]\na [MASK] [MASK]\n' | "$SECENC" fill-mask "$T/hf" - --json --quiet >"$T/fill"
[ "$(grep -o '"score"' "$T/fill" | wc -l)" = 15 ] || fail "3 masks x 5 guesses expected"

# --- inspect
shard=$(find "$FIX/corpus" -name '*.jsonl.zst' | head -n 1)
while IFS='|' read -r path kind; do
    "$SECENC" inspect "$path" | grep -Eq "^kind +$kind\$" || fail "$path is not called $kind"
    "$SECENC" inspect "$path" --json | grep -q "\"kind\":.*\"$kind\"" || fail "$path: JSON"
done <<LIST
$FIX/corpus|corpus
$shard|text shard
$FIX/tok|tokenizer
$FIX/tok/tokenizer.json|tokenizer
$FIX/data|token data set
$FIX/data/idts-00000-of-00001.h5|token shard
$T/run|run
$T/run/ckpt/step-4|checkpoint
$T/run/ckpt/step-4/rank-0.h5|checkpoint file
$T/hf|exported model
$T/hf/model.safetensors|safetensors file
LIST
docs=$("$SECENC" inspect "$shard" | awk '$1 == "documents" { print $2 }')
[ "$docs" = "$(zstd -dcq "$shard" | wc -l)" ] || fail "documents of a shard"

# --- bad input
expect 2 "no \[MASK\] in the text" "$SECENC" fill-mask "$T/hf" "no mask"
expect 2 "line 2: no \[MASK\]" "$SECENC" fill-mask "$T/hf" - < <(printf '[MASK]\nnone\n')
expect 2 "usage" "$SECENC" fill-mask "$T/hf"
expect 3 "at most 512 are taken" "$SECENC" fill-mask "$T/hf" "[MASK] $(cat "$T/long1")"
expect 1 "nowhere" "$SECENC" embed "$T/nowhere" "$T/in"
expect 1 "nowhere" em "$T/nowhere"
expect 2 "usage" "$SECENC" embed
cp -r "$T/hf" "$T/other"
"$SECENC" tokenizer train "$FIX/corpus" -o "$T/tok2" --vocab-size 600 --quiet
cp "$T/tok2"/* "$T/other/"
expect 3 "1024 entries.*has 600" "$SECENC" embed "$T/other" "$T/in"
# one of the same size but other merges is told by its fingerprint, on loading, export and import
"$SECENC" tokenizer train "$FIX/logs" -o "$T/tok3" --vocab-size 1024 --quiet
! cmp -s "$FIX/tok/tokenizer.json" "$T/tok3/tokenizer.json" || fail "the two tokenizers are one"
cp -r "$T/hf" "$T/swapped"
cp "$T/tok3"/* "$T/swapped/"
expect 3 "swapped was trained with tokenizer [0-9a-f]+ but that of .* is [0-9a-f]+" "$SECENC" embed "$T/swapped" "$T/in"
expect 3 "swapped was trained with tokenizer" "$SECENC" export "$T/swapped" -o "$T/x"
expect 3 "swapped was trained with tokenizer" "$SECENC" import "$T/swapped" -o "$T/x"
sed -i '/secenc_tokenizer_sha256/d; s/"torch_dtype": "float32",/"torch_dtype": "float32"/' "$T/swapped/config.json"
"$SECENC" embed "$T/swapped" "$T/in" -o "$T/swapped.npy" --quiet # nothing recorded: taken as it is
sed -i 's/"secenc_tokenizer_sha256": "[0-9a-f]*"/"secenc_tokenizer_sha256": "12"/' "$T/hf/config.json"
expect 3 "config.json: secenc_tokenizer_sha256 is not a SHA-256" "$SECENC" embed "$T/hf" "$T/in"
"$SECENC" export "$T/run" -o "$T/hf" --quiet
rm "$T/other/tokenizer.json"
expect 1 "tokenizer.json" "$SECENC" embed "$T/other" "$T/in"
expect 1 "No space left" env SECENC_FAULT=write:2 "$SECENC" embed "$T/hf" "$T/in" -o "$T/full.npy"
[ ! -e "$T/full.npy" ] || fail "half a file was left"
expect 1 "no such file" "$SECENC" inspect "$T/nowhere"
expect 3 "not one that secenc" "$SECENC" inspect "$T/in"
head -c 400 "$shard" >"$T/cut.jsonl.zst"
expect 3 "cut.jsonl.zst" "$SECENC" inspect "$T/cut.jsonl.zst"
echo "infer: ok"
