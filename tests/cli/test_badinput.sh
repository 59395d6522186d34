#!/bin/bash
# Bad input that no other test covers: damaged token data sets, tokenizers and models that do not
# belong together, a single source, full disks. Each gives one line and its exit code; nothing that
# was there is harmed, nothing half made is left.
source "$(dirname "$0")/fixture.sh"
# The disk that gets full, if this process may mount one.
unmount() { mountpoint -q "$T/disk" && umount "$T/disk"; rm -rf "$T"; }
trap unmount EXIT

pre() {
    "$SECENC" pretrain "${NANO[@]}" --quiet --set train.steps=3 "$@"
}

# --- one source only: no ODTS, and too few documents for the default share of IDTS
head -n 3000 "$FIX/logs/auth.log" >"$T/auth.log"
"$SECENC" corpus build "$T/auth.log" -o "$T/one" --split idts=.3 --quiet >"$T/out"
"$SECENC" corpus build "$T/auth.log" -o "$T/no-idts" --split none --quiet >"$T/out"
"$SECENC" tokenizer train "$T/one" -o "$T/one.tok" --vocab-size 512 --quiet
"$SECENC" corpus tokenize "$T/one" --tokenizer "$T/one.tok" -o "$T/one.data" --quiet >"$T/out"
"$SECENC" pretrain --config configs/nano.yaml --quiet --set data.seq_len=64 --set data.batch_tokens=512 \
    --set eval.docs=20 --set train.steps=2 --data "$T/one.data" --run "$T/one.run"
"$SECENC" corpus tokenize "$T/no-idts" --tokenizer "$T/one.tok" -o "$T/no-idts.data" --quiet >"$T/out"
pre --data "$T/no-idts.data" --set model.vocab_size=512 --run "$T/no-idts.run"
expect 3 "1024.*model.vocab_size|model.vocab_size.*512|512.*1024" pre --data "$T/one.data" --run "$T/x"

"$SECENC" eval "$T/one.run" --data "$T/one.data" --seeds 1 --docs 2 --seq-len 64 --quiet >"$T/out"
grep -q IDTS "$T/out" || fail "one source: no evaluation of IDTS"
expect 3 "no documents in split odts" "$SECENC" eval "$T/one.run" --data "$T/one.data" --split odts

# --- a packing that is not read: refused when named, passed over with a word in a folder
mkdir "$T/mixed"
cp "$T/auth.log" "$T/mixed"
printf '\3757zXZ\0\0\0' >"$T/mixed/old.log.xz"
expect 3 "old.log.xz is xz-compressed" "$SECENC" corpus build "$T/mixed/old.log.xz" -o "$T/x"
"$SECENC" corpus build "$T/mixed" -o "$T/mixed.corpus" >"$T/out" 2>"$T/err"
grep -q "passed over: .*old.log.xz" "$T/err" || fail "no word about old.log.xz: $(cat "$T/err")"

# --- damaged token data sets
cp -r "$FIX/data" "$T/d"
shard=$(ls "$T"/d/train*.h5)
size=$(stat -c %s "$shard")
printf XXXXXXXX | dd of="$shard" bs=1 seek=$((size / 3)) conv=notrunc 2>/dev/null
expect 3 "train-00000.*chunk [0-9]+ at byte [0-9]+ is damaged.*again" \
    pre --data "$T/d" --run "$T/damaged" --set train.steps=2000
truncate -s $((size / 2)) "$shard"
expect 3 "train-00000.*wrong size.*$size" pre --data "$T/d" --run "$T/x"
rm "$shard"
expect 3 "train-00000.*missing" pre --data "$T/d" --run "$T/x"
head -c 300 "$FIX/data/MANIFEST.jsonl" >"$T/d/MANIFEST.jsonl"
expect 3 "MANIFEST.jsonl:1: cut off or damaged; tokenize" pre --data "$T/d" --run "$T/x"
: >"$T/d/MANIFEST.jsonl"
expect 3 "MANIFEST.jsonl:1: cut off or damaged; tokenize" pre --data "$T/d" --run "$T/x"
expect 3 "not a token data set" pre --data "$FIX/corpus" --run "$T/x"

# --- a tokenizer of another vocabulary, of the same size and of another
pre --data "$FIX/data" --run "$T/run"
"$SECENC" tokenizer train "$FIX/corpus" -o "$T/tok2" --vocab-size 1024 --pattern gpt2 --quiet
"$SECENC" corpus tokenize "$FIX/corpus" --tokenizer "$T/tok2" -o "$T/d2" --quiet >"$T/out"
expect 3 "trained with tokenizer [0-9a-f]+ but" pre --data "$T/d2" --run "$T/run" --set train.steps=4
expect 3 "trained with tokenizer [0-9a-f]+ but" "$SECENC" eval "$T/run" --suite mlm --data "$T/d2"
cp -r "$FIX/data" "$T/d3"
cp "$T/tok2/tokenizer.json" "$T/d3/"
expect 3 "token_classes.json: made for tokenizer" pre --data "$T/d3" --run "$T/x"
"$SECENC" export "$T/run" --to hf -o "$T/hf" --quiet
cp -r "$T/hf" "$T/hf2"
cp "$T/one.tok"/* "$T/hf2/"
expect 3 "512.*1024|1024.*512" "$SECENC" fill-mask "$T/hf2" "a [MASK] b"

# --- damaged models; what stands at the destination stays
cp -r "$T/hf" "$T/hf3"
truncate -s -100 "$T/hf3/model.safetensors"
expect 3 "model.safetensors: truncated" "$SECENC" import "$T/hf3" -o "$T/m"
expect 3 "model.safetensors: truncated" "$SECENC" verify "$T/hf" "$T/hf3"
echo '{' >"$T/hf3/config.json"
expect 3 "config.json:[0-9]+: not valid JSON" "$SECENC" import "$T/hf3" -o "$T/m"
[ ! -e "$T/m" ] || fail "a failed import left a folder"
cp -r "$T/run/ckpt/step-3" "$T/step"
truncate -s -1000 "$T/step/rank-0.h5"
expect 3 "rank-0.h5: has [0-9]+ bytes, expected" "$SECENC" export "$T/step" --to hf -o "$T/m"
: >"$T/step/manifest.json"
expect 3 "manifest.json: truncated" "$SECENC" export "$T/step" --to hf -o "$T/m"

# --- a real full disk
mkdir "$T/disk"
if mount -t tmpfs -o size=4m tmpfs "$T/disk" 2>/dev/null; then
    expect 1 "No space left" "$SECENC" synth -o "$T/disk/logs" --size 20M --quiet
    rm -rf "$T/disk"/*
    head -c 3900000 /dev/zero >"$T/disk/fill"
    expect 1 "No space left" "$SECENC" corpus tokenize "$FIX/corpus" --tokenizer "$FIX/tok" -o "$T/disk/d" --quiet
    expect 1 "No space left" "$SECENC" export "$T/run" --to hf -o "$T/disk/hf"
    [ ! -e "$T/disk/hf/config.json" ] || fail "a half export looks like a model"
    rm -rf "$T/disk"/*
    pre --data "$FIX/data" --run "$T/disk/run" --set train.steps=2
    cp -r "$T/disk/run/ckpt/step-2" "$T/before"
    head -c 4000000 /dev/zero >"$T/disk/fill" 2>/dev/null || true
    expect 1 "No space left" pre --data "$FIX/data" --run "$T/disk/run" --set train.steps=6
    weights "$T/before" "$T/disk/run/ckpt/step-2"
fi
echo ok
