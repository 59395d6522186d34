# secenc eval: outputs, independence of batch, threads and form of the model, bad input.
. tests/cli/fixture.sh
"$SECENC" pretrain "${NANO[@]}" --data "$FIX/data" --run "$T/run" --set train.steps=4 --quiet
"$SECENC" export "$T/run" -o "$T/hf" --quiet
ev() { "$SECENC" eval "$1" --suite mlm --data "$FIX/data" --docs 3 --seeds 2 --seq-len 128 --quiet "${@:2}"; }

# --- the table, the JSON lines and the page
ev "$T/run" --json "$T/a.jsonl" --report "$T/a.html" >"$T/table"
for row in IDTS ODTS 'model ' 'copy previous line' unigram untrained 'bits per byte' timestamp rarest; do
    grep -q "$row" "$T/table" || fail "no '$row' in the table: $(cat "$T/table")"
done
grep -q '"split":"odts","seed":null,"metric":"copy/top1"' "$T/a.jsonl" || fail "no mean of copy/top1"
grep -q '"seed":2,"metric":"bits_per_byte"' "$T/a.jsonl" || fail "no bits per byte of seed 2"
[ "$(grep -c '"metric":"loss"' "$T/a.jsonl")" = 6 ] || fail "2 splits x (2 seeds + mean) losses expected"
grep -q '<svg' "$T/a.html" && grep -q 'IDTS masked accuracy' "$T/a.html" || fail "report lacks a part"

# --- run, checkpoint and export are one model; batches and threads change nothing
ev "$T/hf" --json "$T/b.jsonl" --batch-tokens 300 --threads 1 >/dev/null
cmp "$T/a.jsonl" "$T/b.jsonl"
ev "$T/run/ckpt/step-4" --json - | cmp - "$T/a.jsonl"

# --- one split, whole fields, bf16 near fp32, the page of the run lists the results
ev "$T/run" --split odts --whole-field --json "$T/w.jsonl" >/dev/null
! grep -qv '"task":"mlm-whole-field".*"split":"odts"' "$T/w.jsonl" || fail "another task or split"
ev "$T/run" --split idts --precision bf16 --json "$T/run/eval-mlm.jsonl" >/dev/null
mean() { grep '"split":"idts","seed":null,"metric":"loss"' "$1" | grep -oE '"value":[0-9.]+' | cut -d: -f2; }
awk -v a="$(mean "$T/a.jsonl")" -v b="$(mean "$T/run/eval-mlm.jsonl")" \
    'BEGIN { exit !(a > 1 && a - b < 0.02 && b - a < 0.02) }' || fail "bf16 is far from fp32"
"$SECENC" report "$T/run" >/dev/null
grep -q 'bits_per_byte' "$T/run/report.html" || fail "the run's report lacks the evaluation"

# --- bad input
expect 2 "usage" "$SECENC" eval "$T/run"
expect 2 "'idt' is no split" ev "$T/run" --split idt
expect 1 "nowhere" ev "$T/nowhere"
expect 3 "nowhere is no token data set" "$SECENC" eval "$T/run" --data "$T/nowhere"
expect 3 "48000 tokens, not 60000" ev "$T/run" --seq-len 60000
mkdir "$T/empty"
expect 3 "not a model" ev "$T/empty"
"$SECENC" tokenizer train "$FIX/corpus" -o "$T/tok2" --vocab-size 600 --quiet
"$SECENC" corpus tokenize "$FIX/corpus" --tokenizer "$T/tok2" -o "$T/data2" --quiet >/dev/null
expect 3 "1024 entries.*has 600" "$SECENC" eval "$T/run" --data "$T/data2"
expect 1 "No space left" env SECENC_FAULT=write:1 "$SECENC" eval "$T/run" --data "$FIX/data" \
    --docs 2 --seeds 1 --seq-len 64 --json "$T/full.jsonl" --quiet
[ ! -e "$T/full.jsonl" ] || fail "half a file was left"
echo "eval: ok"
