#!/bin/bash
# --device and what doctor says about CUDA: of the program as built (with or without CUDA, on a machine
# with or without a GPU), and of the one in emulation on machines that lack something.
. tests/cli/fixture.sh
set +e
failed=0

# shows WHAT EXIT PATTERN COMMAND...: the exit code, and a line of the output.
shows() {
    local what=$1 code=$2 pattern=$3 got
    shift 3
    "$@" >"$T/out" 2>&1
    got=$?
    if [ $got != "$code" ] || ! grep -qE -- "$pattern" "$T/out"; then
        echo "FAIL: $what: exit $got, want $code and /$pattern/:"
        head -30 "$T/out"
        failed=1
    fi
}

json=$("$SECENC" doctor --json) || { echo "FAIL: doctor --json"; exit 1; }
built=$(grep -c '"built": true' <<<"$json")
usable=$(grep -c '"usable": true' <<<"$json")
if [ "$built" = 0 ]; then
    shows "doctor without CUDA" 0 '^ok +CUDA +not built in .*--device auto is cpu' "$SECENC" doctor
    no_cuda='^secenc: error: cuda: this secenc was built without CUDA: build it with -DSECENC_CUDA=on'
elif [ "$usable" = 0 ]; then
    shows "doctor with CUDA" 0 '^ok +CUDA +built in: toolkit 1[3-9]\.[0-9]+, code for sm_80 ' "$SECENC" doctor
    shows "why auto is cpu" 0 '(ok|warn) +device auto +cpu, for cuda: ' "$SECENC" doctor
    no_cuda='^secenc: error: cuda: .*use --device cpu'
else
    shows "doctor with a GPU" 0 '^ok +device auto +cuda' "$SECENC" doctor
    no_cuda=
fi
if [ -n "$no_cuda" ]; then
    shows "bench --device cuda" 4 "$no_cuda" "$SECENC" bench peak --device cuda
    shows "SECENC_DEVICE" 4 "$no_cuda" env SECENC_DEVICE=cuda "$SECENC" bench peak
    shows "the command line goes first" 0 'peak fp32' \
        env SECENC_DEVICE=cuda "$SECENC" bench peak --device cpu --seconds 0.01
fi
shows "unknown device" 3 'device "tpu" is not known: use auto, cuda, cpu or ref' "$SECENC" bench peak --device tpu
for command in pretrain eval embed fill-mask bench; do
    shows "$command --help" 0 '--device' "$SECENC" $command --help
done

# Training itself, on a machine without the device.
if [ -n "$no_cuda" ]; then
    shows "pretrain --device cuda" 4 "$no_cuda" "$SECENC" pretrain "${NANO[@]}" --data "$FIX/data" --run "$T/run" \
        --device cuda
fi

EMULATED=$BUILD/secenc_emulated
if [ -x "$EMULATED" ]; then
    emulated() { env SECENC_CUDA_HOST="$1" "$EMULATED" "${@:2}"; }
    shows "a GPU" 0 '^ok +GPU 0 +host emulation, sm_90, .* free' emulated "" doctor
    shows "auto with a GPU" 0 '^ok +device auto +cuda$' emulated "" doctor
    shows "no device" 0 'device auto +cpu, for cuda: ' emulated devices=0 doctor
    shows "old driver" 0 '^warn +NVIDIA driver +supports CUDA 12\.8, this build needs 13\.0' \
        emulated driver=12080 doctor
    shows "old driver, bench" 4 'the driver supports CUDA 12\.8' emulated driver=12080 bench peak --device cuda
    shows "little memory" 0 '^warn +device auto +cpu, for cuda: opening the device' emulated memory=1000000,quiet=1 doctor
    shows "JSON" 0 '"auto": "cuda"' emulated "" doctor --json
    shows "JSON, old driver" 0 '"driver": 12080' emulated driver=12080 doctor --json
    shows "peak" 0 '^peak bf16 .*GFLOP/s' emulated "" bench peak --device cuda --seconds 0.01
fi

[ $failed = 0 ] && echo "devices: all as expected"
exit $failed
