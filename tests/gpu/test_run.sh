# tests/gpu/run without a GPU: the steps on correctness in emulation, the others with stand-ins for
# nvidia-smi, cmake and secenc. BUILD = a build with the emulated programs.
set -euo pipefail
: "${BUILD:?}"
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

fail() {
    echo "FAIL: $*" >&2
    [ ! -s "$T/log" ] || cat "$T/log" >&2
    exit 1
}
# expect CODE REGEX COMMAND...: exit code, and a line that matches.
expect() {
    local code=$1 regex=$2 got=0
    shift 2
    "$@" >"$T/log" 2>&1 || got=$?
    [ "$got" = "$code" ] || fail "exit $got, expected $code: $*"
    grep -Eq "$regex" "$T/log" || fail "no line matches '$regex': $*"
}
json() {
    python3 -c "import json, sys; r = json.load(open('$T/out/result.json')); sys.exit(not ($1))" ||
        fail "result.json: $1"
}
stub() {
    cat >"$T/bin/$1"
    chmod +x "$T/bin/$1"
}

# No GPU: one line, 77.
mkdir -p "$T/bin" "$T/build" "$T/out"
stub nvidia-smi <<<'#!/bin/sh
exit 9'
export PATH=$T/bin:$PATH
expect 77 '^SKIP: no NVIDIA GPU' tests/gpu/run
[ "$(wc -l <"$T/log")" = 1 ] || fail "more than one line"

expect 0 '^train-speed +[0-9]+ s +speed' tests/gpu/run --list
expect 2 "no step 'spede': there are build, ops" tests/gpu/run --emulate --only spede

# In emulation: all that is about correctness.
expect 0 '^PASS trainer .*fp32 .*bf16 ' tests/gpu/run --emulate --build "$BUILD" --out "$T/out"
[ "$(grep -c '^PASS' "$T/log")" = 6 ] || fail "six steps should pass"
[ "$(grep -c '^SKIP' "$T/log")" = 5 ] || fail "five steps should be skipped"
json "[s['result'] for s in r['steps']].count('PASS') == 6"
grep -q '^| determinism | PASS |' "$T/out/result.md" || fail "no table"

# A step that fails makes the run fail, and does not stop it.
SECENC_CUDA_HOST=devices=0 expect 1 '^FAIL ops .*cuda: no NVIDIA driver' tests/gpu/run --emulate --build "$BUILD" --out "$T/out" \
    --only ops --only sanitizer
grep -q '^SKIP sanitizer' "$T/log" || fail "the steps after it did not run"

# With stand-ins for a card and for what is measured on it.
stub nvidia-smi <<<'#!/bin/sh
case "$*" in
*memory.used*) echo 1234 ;;
*) echo "NVIDIA H100 80GB HBM3, 580.65.06, 9.0, 81559" ;;
esac'
stub cmake <<<'#!/bin/sh
echo "no compiler"; exit ${STUB_CMAKE:-0}'
cat >"$T/build/secenc" <<'STUB'
#!/bin/sh
row() { printf '{"name": "%s", "unit": "%s", "median": %s, "best": 1, "runs": 3}%s' "$1" "$2" "$3" "$4"; }
echo '{"rows": ['
case "$2" in
peak) row "peak bf16" GFLOP/s 640000 ,; row copy GB/s 2900 ;;
attention)
    row "attention bf16 32x1024 h12 r512" tokens/s 32768000 ,
    row "attention backward bf16 32x1024 h12 r512" tokens/s 8192000 ;;
rows) row "gelu bf16" GB/s 2500 ;;
train)
    case "$*" in
    *large*8192x4*) echo "cuda: 1 bytes asked for, 0 MiB are free" >&2; exit 4 ;;
    esac
    row "train x bf16" tokens/s 400000 ;;
esac
echo ']}'
STUB
chmod +x "$T/build/secenc"
speed=(--only ceilings --only attention-speed --only train-speed --only kernels)
SECENC_PYTHON=/bin/false expect 0 '^PASS train-speed .* 8 of 9 shapes' \
    tests/gpu/run --build "$T/build" --out "$T/out" "${speed[@]}"
grep -q '^PASS ceilings .* 640 TFLOP/s bf16, 2.90 TB/s' "$T/log" || fail "ceilings"
grep -q 'eager: no PyTorch' "$T/log" || fail "a peer that is not there should be named"
json "r['card'].startswith('NVIDIA H100') and r['capability'] == '9.0' and r['ceilings']['tensor'] == 640e12"
# 3 x 237.1 MFLOP x 400,000 / 640 TFLOP/s
grep -Eq '^\| base, 1,024 \| 81.9 \| [0-9.]+ \| 400,000 \| 44\.5 % \| 0 \|' "$T/out/result.md" ||
    fail "$(grep 'base, 1,024' "$T/out/result.md")"
grep -Eq '^\| 12 heads, 32 x 1,024 \| 1.00 \| [0-9.]+ \| 4.00 \| [0-9.]+ \| - \| - \|' "$T/out/result.md" ||
    fail "$(grep 'heads' "$T/out/result.md")"

STUB_CMAKE=1 expect 1 '^FAIL build .*no compiler' tests/gpu/run --build "$T/build" --out "$T/out"
json "len(r['steps']) == 1"
echo "gpu/run: ok"
