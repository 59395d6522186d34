#!/bin/bash
# Training data that is slow, damaged or made of long documents, through the commands.
source "$(dirname "$0")/fixture.sh"

pre() {
    "$SECENC" pretrain "${NANO[@]}" --set train.steps=4 --set log.every=2 --quiet "$@"
}

# Reads that hang change nothing; the time waited is in the metrics and the report.
pre --data "$FIX/data" --run "$T/plain"
SECENC_STALL=chunk:3:20ms pre --data "$FIX/data" --run "$T/slow"
weights "$T/plain" "$T/slow"
grep -Eq '"ms_data":[0-9.e-]+,"data_wait":[0-9.e-]+' "$T/slow/metrics.jsonl" || fail "no data_wait in metrics.jsonl"
grep -q 'waiting for data' "$T/slow/report.html" || fail "the report does not tell the time waited for data"

# One read that fails is read again.
SECENC_FAULT=chunk:2:eio pre --data "$FIX/data" --run "$T/again"
weights "$T/plain" "$T/again"

# A damaged chunk ends the run, or is replaced and recorded.
cp -r "$FIX/data" "$T/bad"
shard=$(ls "$T/bad"/train-*.h5 | head -n 1)
printf '\x5a\x5a' | dd of="$shard" bs=1 seek=$(($(stat -c %s "$shard") / 3)) conv=notrunc status=none
expect 3 "$(basename "$shard"): chunk [0-9]+ at byte [0-9]+ is damaged" pre --data "$T/bad" --run "$T/stop"
pre --data "$T/bad" --run "$T/go" --set data.on_error=substitute
[ "$(grep -c '"event":"substituted".*samples of chunks 0 to 15 replaced: .*at byte' "$T/go/events.jsonl")" = 1 ] ||
    fail "the damage is not in events.jsonl: $(cat "$T/go/events.jsonl")"
grep -Eq '"substituted":[1-9]' "$T/go/metrics.jsonl" || fail "the damage is not in metrics.jsonl"
grep -q 'damaged data windows' "$T/go/report.html" || fail "the damage is not in the report"

# Resuming with other masks is refused by name.
pre --data "$FIX/data" --run "$T/plain" --set train.steps=6
expect 3 'cannot resume: fingerprint of the mask options.*mlm_probability' \
    pre --data "$FIX/data" --run "$T/plain" --set train.steps=8 --set data.mlm_probability=0.2

# Documents of 168 KiB come through whole: some 40,000 tokens in one sequence.
"$SECENC" corpus build "$FIX/logs" --exclude labels.jsonl --exclude incidents.jsonl -o "$T/corpus" \
    --doc-bytes 168K --split none --quiet >/dev/null
"$SECENC" corpus tokenize "$T/corpus" --tokenizer "$FIX/tok" -o "$T/long" --quiet >"$T/table"
read -r docs tokens <<<"$(awk '$1 == "train" { print $2, $3 }' "$T/table")"
[ $((tokens / docs)) -gt 20000 ] || fail "$docs documents of $((tokens / docs)) tokens: the corpus has no long ones"
echo "loader: ok"
