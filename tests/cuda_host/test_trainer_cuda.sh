# The whole trainer on emulated CUDA: nano against ref, resume, faults, evaluation, export.
# SECENC is a program with the emulated backend.
. tests/cli/fixture.sh
SMALL=("${NANO[@]}" --set data.batch_tokens=128 --set eval.docs=3 --set log.every=1 --quiet)
# pre DEVICE RUN OPTIONS...
pre() {
    local device=$1 run=$2
    shift 2
    "$SECENC" pretrain "${SMALL[@]}" --data "$FIX/data" --run "$run" --device "$device" "$@"
}
part() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

# column RUN KIND KEY: that value of every such line of the metrics.
column() { grep "\"kind\":\"$2\"" "$1/metrics.jsonl" | grep -oE "\"$3\":[^,}]*" | cut -d: -f2; }
# near BOUND NAME A B: numbers of two files, relative to the larger of the two.
near() {
    paste "$3" "$4" | awk -v bound="$1" -v name="$2" '
        function abs(x) { return x < 0 ? -x : x }
        NF != 2 { print name ": " $0 " without a partner"; bad = 1; exit }
        { m = abs($1) > abs($2) ? abs($1) : abs($2); e = m ? abs($1 - $2) / m : 0
          if (!(e <= worst)) worst = e }
        END { if (!bad) printf "       %s: %d values, worst relative difference %.1e (bound %s)\n", name, NR, worst, bound
              exit bad || NR == 0 || !(worst <= bound) }' || fail "$2: $3 and $4 differ"
}

# --- ten steps against ref, evaluation included
declare -A loss_bound=([fp32]=1e-5 [bf16]=5e-3) norm_bound=([fp32]=1e-5 [bf16]=2e-2)
for precision in fp32 bf16; do
    for device in ref cuda; do
        pre $device "$T/$device-$precision" --set train.steps=10 --set train.precision=$precision \
            --set train.warmup=0 --set train.decay=0 --set checkpoint.every=4 --set checkpoint.keep=9
        column "$T/$device-$precision" train loss >"$T/$device-$precision.loss"
        column "$T/$device-$precision" train grad_norm >"$T/$device.norm"
        column "$T/$device-$precision" eval loss >"$T/$device.eval"
    done
    [ "$(wc -l <"$T/cuda-$precision.loss")" = 10 ] || fail "not ten losses in $T/cuda-$precision"
    near ${loss_bound[$precision]} "$precision losses" "$T/ref-$precision.loss" "$T/cuda-$precision.loss"
    near ${norm_bound[$precision]} "$precision gradient norms" "$T/ref.norm" "$T/cuda.norm"
    near ${loss_bound[$precision]} "$precision evaluation" "$T/ref.eval" "$T/cuda.eval"
done
part "ten steps as ref"

# --- the same bits: activations computed again, another schedule of the device, several threads
for way in recompute order=reverse,streams=deferred order=random,seed=3,threads=2; do
    opt=(--set train.steps=4 --set train.precision=bf16 --set train.warmup=0 --set train.decay=0)
    if [ $way = recompute ]; then
        pre cuda "$T/way" "${opt[@]}" --set train.recompute=true
    else
        SECENC_CUDA_HOST=$way pre cuda "$T/way" "${opt[@]}"
    fi
    weights "$T/cuda-bf16/ckpt/step-4" "$T/way/ckpt/step-4"
    rm -r "$T/way"
done
part "same bits: recompute, other schedules, two threads"

# --- killed and resumed = uninterrupted, with dropout and accumulation
opt=(--set model.hidden_dropout_prob=0.1 --set model.attention_probs_dropout_prob=0.1
    --set train.accumulation=2 --set checkpoint.keep=9 --set checkpoint.every=2 --set train.steps=6)
for precision in fp32 bf16; do
    whole=$T/whole-$precision run=$T/killed-$precision
    pre cuda "$whole" "${opt[@]}" --set train.precision=$precision
    SECENC_FAULT=fsync:22:kill pre cuda "$run" "${opt[@]}" --set train.precision=$precision \
        2>"$T/err" && fail "not killed"
    n=$(ls "$run/ckpt" | grep -c '^step-[0-9]*$' || true)
    [ "$n" = 1 ] || fail "not killed in the second checkpoint: $(ls "$run/ckpt")"
    pre cuda "$run" "${opt[@]}" --set train.precision=$precision
    weights "$whole/ckpt/step-6" "$run/ckpt/step-6"
    [ "$(column "$run" train step | tr '\n' ' ')" = "1 2 3 4 5 6 " ] || fail "steps of $run/metrics.jsonl"
    part "killed in the second save and resumed, $precision"
done

# --- from one device to another
for way in cuda:cpu cpu:cuda; do
    run=$T/moved-${way%:*}
    opt=(--set train.precision=fp32 --set train.warmup=0 --set train.decay=0)
    pre "${way%:*}" "$run" "${opt[@]}" --set train.steps=4
    pre "${way#*:}" "$run" "${opt[@]}" --set train.steps=6
    column "$run" train loss >"$T/moved.loss"
    near 1e-5 "$way losses" <(head -n 6 "$T/ref-fp32.loss") "$T/moved.loss"
done
part "resumed on another device"

# --- export, evaluation and embedding on either device
"$SECENC" export "$T/cuda-fp32" -o "$T/hf" --quiet
for device in cpu cuda; do
    for model in "$T/cuda-fp32" "$T/hf"; do
        "$SECENC" eval "$model" --suite mlm --data "$FIX/data" --docs 3 --seeds 1 --device $device --batch-tokens 256 \
            --json "$T/eval.json" --quiet >/dev/null
        grep -oE '"value": *[-0-9.e]+' "$T/eval.json" | grep -oE '[-0-9.e]+$' >"$T/eval.$device.$(basename "$model")"
    done
    printf 'alpha beta 10.0.0.1\nsshd: accepted\n' |
        "$SECENC" embed "$T/hf" --device $device --out jsonl --quiet |
        grep -oE '[-]?[0-9]+\.[0-9]+(e[-+]?[0-9]+)?' >"$T/embed.$device"
    cmp "$T/eval.$device.cuda-fp32" "$T/eval.$device.hf" || fail "the export is not the run"
done
near 1e-5 "evaluation of the export" "$T/eval.cpu.hf" "$T/eval.cuda.hf"
near 1e-3 "embeddings" "$T/embed.cpu" "$T/embed.cuda"
part "export, eval, embed"

# --- the k-th call fails: 4, one line, and the run goes on to the same weights. Without the measured
# peak of the device (a failure there) training goes on.
opt=(--set train.steps=4 --set checkpoint.every=1 --set checkpoint.keep=9 --set train.precision=bf16)
pre cuda "$T/sound" "${opt[@]}"
k=1 faults=0 survived=0
while :; do
    code=0
    SECENC_FAULT=cuda:$k pre cuda "$T/faulty" "${opt[@]}" >"$T/out" 2>"$T/err" || code=$?
    grep -q "fault point" "$T/err" || break # there is no k-th call
    if [ $code = 0 ]; then
        weights "$T/sound/ckpt/step-4" "$T/faulty/ckpt/step-4"
        survived=$((survived + 1))
    else
        [ $code = 4 ] || fail "call $k: exit $code: $(cat "$T/err")"
        [ "$(grep -c '^secenc: error' "$T/err")" = 1 ] && grep -q "cuda: " "$T/err" || fail "call $k: $(cat "$T/err")"
        faults=$((faults + 1))
        if [ -e "$T/faulty/ckpt/LATEST" ]; then # resumed
            pre cuda "$T/faulty" "${opt[@]}"
            weights "$T/sound/ckpt/step-4" "$T/faulty/ckpt/step-4"
        fi
    fi
    rm -rf "$T/faulty"
    k=$((k * 9 / 5 + 1))
done
[ $code = 0 ] || fail "no fault, but exit $code: $(cat "$T/err")"
weights "$T/sound/ckpt/step-4" "$T/faulty/ckpt/step-4"
[ $faults -ge 8 ] || fail "only $faults faults"
part "$faults faults end the run, $survived do not; fewer than $k calls in all"

# --- devices that will not do
cuda_host() { (export SECENC_CUDA_HOST=$1; shift; "$@"); }
expect 4 'error.*no (NVIDIA driver|device).*--device cpu' cuda_host devices=0 pre cuda "$T/x"
expect 4 'error.*CUDA 12.8.*needs 13.0' cuda_host driver=12080 pre cuda "$T/x"
expect 4 'error.*batch_tokens.*fits' cuda_host memory=64000000 pre cuda "$T/x" --set data.batch_tokens=16384
cuda_host devices=0 pre auto "$T/auto" --set train.steps=1
[ -e "$T/auto/ckpt/step-1" ] || fail "auto without a device: no checkpoint"
part "devices that will not do"

# --- weights that overflow: three bad steps end the run, the checkpoint before is unharmed
pre cuda "$T/nan" --set train.steps=2
cp -r "$T/nan/ckpt/step-2" "$T/before"
expect 5 'error.*not finite 3 steps in a row' pre cuda "$T/nan" --set train.steps=60 \
    --set train.learning_rate=10 --set train.weight_decay=10 --set train.warmup=0 --set train.decay=0
weights "$T/before" "$T/nan/ckpt/step-2"
grep -q '"skipped"' "$T/nan/events.jsonl" || fail "no event of a skipped step"
pre cuda "$T/nan" --set train.steps=3
part "overflow"
