# Resume is bitwise, signals save, bad input gives one clear line and loses nothing.
. tests/cli/fixture.sh
PRE=("$SECENC" pretrain "${NANO[@]}" --data "$FIX/data")
pre() { "${PRE[@]}" "$@"; }

# --- resumed = uninterrupted, bit for bit, with dropout, accumulation and both precisions
for precision in bf16 fp32; do
    opt=(--set train.steps=12 --set train.precision=$precision --set model.hidden_dropout_prob=0.1
        --set model.attention_probs_dropout_prob=0.1 --set train.accumulation=2
        --set checkpoint.keep=9 --set log.every=2 --quiet)
    pre --run "$T/a-$precision" "${opt[@]}" --set checkpoint.every=4
    cp -r "$T/a-$precision" "$T/b-$precision"
    rm -r "$T/b-$precision"/ckpt/step-12 "$T/b-$precision"/ckpt/step-8
    pre --run "$T/b-$precision" "${opt[@]}" --set checkpoint.every=4
    weights "$T/a-$precision/ckpt/step-12" "$T/b-$precision/ckpt/step-12"
    # metrics.jsonl was cut at the checkpoint: every step once
    [ "$(grep -c '"kind":"train"' "$T/b-$precision/metrics.jsonl")" = 6 ] ||
        fail "metrics.jsonl has $(grep -c '"kind":"train"' "$T/b-$precision/metrics.jsonl") lines"
done

# --- the result does not depend on threads
OMP_NUM_THREADS=1 pre --threads 1 --run "$T/t1" --set train.steps=4 --quiet
OMP_NUM_THREADS=2 pre --threads 2 --run "$T/t2" --set train.steps=4 --quiet
weights "$T/t1" "$T/t2"

# --- Ctrl-C and SIGUSR1 save and say so; the run goes on
for sig in INT:130 TERM:130 USR1:75; do
    run=$T/sig-${sig%:*}
    # not through pre: $! must be the program
    "${PRE[@]}" --run "$run" --set train.steps=1000000 --set log.every=1 2>"$T/err" &
    pid=$!
    for _ in $(seq 100); do
        [ "$(cat "$run/metrics.jsonl" 2>/dev/null | wc -l)" -ge 3 ] && break
        sleep 0.1
    done
    kill -"${sig%:*}" $pid
    code=0
    wait $pid || code=$?
    [ "$code" = "${sig#*:}" ] || fail "SIG${sig%:*}: exit $code, expected ${sig#*:}: $(cat "$T/err")"
    ls "$run"/ckpt | grep -q '^step-' || fail "SIG${sig%:*}: no checkpoint"
done
n=$(ls "$T/sig-INT/ckpt" | grep -oE '[0-9]+$' | sort -n | tail -1)
pre --run "$T/sig-INT" --set train.steps=$((n + 2)) 2>"$T/err"
grep -q "resuming from .*step-$n" "$T/err" || fail "did not resume from step $n: $(cat "$T/err")"

# --- a damaged checkpoint is passed over, by name (step 5 is the one before decay); --resume PATH never is
run=$T/damaged
pre --run "$run" --set train.steps=6 --set checkpoint.every=2 --quiet
h5=$run/ckpt/step-6/rank-0.h5
printf '\x5a' | dd of="$h5" bs=1 seek=$(($(stat -c %s "$h5") / 2)) conv=notrunc status=none
cp -r "$run" "$run-path"
pre --run "$run" --set train.steps=8 2>"$T/err"
grep -q "step-6" "$T/err" && grep -q "resuming from .*step-5" "$T/err" || fail "no fall-back: $(cat "$T/err")"
expect 3 'step-6.*(CRC|crc)' pre --run "$run-path" --set train.steps=8 --resume "$run-path/ckpt/step-6"

# --- bad input
expect 3 "learning_rat.*did you mean.*train.learning_rate|learning_rat.*train.learning_rate" \
    pre --run "$T/x" --set train.learning_rat=1
expect 3 "train.steps" pre --run "$T/x" --set train.steps=0
expect 3 "num_attention_heads" pre --run "$T/x" --set model.num_attention_heads=3
expect 3 "batch_tokens" pre --run "$T/x" --set data.batch_tokens=32
expect 3 "1024.*model.vocab_size" pre --run "$T/x" --set model.vocab_size=512
expect 3 "nowhere.*corpus tokenize" "$SECENC" pretrain "${NANO[@]}" --data "$T/nowhere" --run "$T/x"
expect 2 "data" "$SECENC" pretrain "${NANO[@]}" --run "$T/x"
expect 3 "hidden_size = 64 .*128" pre --run "$T/t1" --set model.hidden_size=128 --set model.intermediate_size=128
printf 'model:\n  hiden_size: 8\n' >"$T/bad.yaml"
expect 3 "bad.yaml:2.*hiden_size.*model.hidden_size" "$SECENC" pretrain --config "$T/bad.yaml" --data "$FIX/data" --run "$T/x"

# a run directory in use
"${PRE[@]}" --run "$T/busy" --set train.steps=1000000 --quiet &
pid=$!
for _ in $(seq 50); do [ -s "$T/busy/env.json" ] && break; sleep 0.1; done
expect 1 "in use" pre --run "$T/busy"
kill -INT $pid
wait $pid || true

# a full disk while saving: training goes on, the older checkpoint is unharmed, the end says so
run=$T/full
pre --run "$run" --set train.steps=2 --quiet
cp -r "$run/ckpt/step-2" "$T/before"
SECENC_FAULT=fsync:12 pre --run "$run" --set train.steps=6 --set checkpoint.every=4 2>"$T/err" || true
weights "$T/before" "$run/ckpt/step-2"
ls "$run/ckpt" | grep -q tmp && fail "a temporary checkpoint was left: $(ls "$run/ckpt")"

# --- dry run writes nothing and counts as the design does
pre --run "$T/dry" --dry-run --json >"$T/plan.json"
[ ! -e "$T/dry" ] || fail "--dry-run wrote $T/dry"
grep -q '"parameters"' "$T/plan.json"
echo "pretrain: ok"
