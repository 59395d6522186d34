# Sourced by tests that need a data set: builds one, once per build folder, from generated logs.
# Afterwards: $FIX/corpus $FIX/tok $FIX/data, vocabulary 1,024; ODTS = the mail and VPN logs.
# secenc is run as "$SECENC".
set -euo pipefail
: "${SECENC:?}" "${BUILD:?}"
FIX=$BUILD/fixture
mkdir -p "$FIX"
(
    flock 9
    if [ ! -e "$FIX/done" ]; then
        rm -rf "$FIX"/{logs,corpus,tok,data}
        "$SECENC" synth -o "$FIX/logs" --size 4M --seed 7 --quiet
        "$SECENC" corpus build "$FIX/logs" --exclude labels.jsonl --exclude incidents.jsonl \
            -o "$FIX/corpus" --split "idts=.05,odts=postfix:openvpn" --quiet
        "$SECENC" tokenizer train "$FIX/corpus" -o "$FIX/tok" --vocab-size 1024 --quiet
        "$SECENC" corpus tokenize "$FIX/corpus" --tokenizer "$FIX/tok" -o "$FIX/data" --quiet
        touch "$FIX/done"
    fi
) 9>"$FIX.lock" >/dev/null

T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

# A model that takes a fraction of a second a step.
NANO=(--config configs/nano.yaml --set model.vocab_size=1024 --set data.seq_len=64
    --set data.batch_tokens=512 --set eval.docs=20)

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# expect CODE REGEX COMMAND...: exit code, and exactly one line on stderr that matches.
expect() {
    local code=$1 regex=$2 got=0
    shift 2
    "$@" >"$T/out" 2>"$T/err" || got=$?
    [ "$got" = "$code" ] || fail "exit $got, expected $code: $* ($(tail -n 2 "$T/err"))"
    grep -Eq "$regex" "$T/err" || fail "no line matches '$regex': $(cat "$T/err")"
    [ "$(grep -c '^secenc: error' "$T/err")" -le 1 ] || fail "more than one error line: $(cat "$T/err")"
}

# Hash of the parameters and moments of a checkpoint, read by name.
weights() {
    "$SECENC" verify "$1" "$2" >/dev/null || fail "$1 and $2 differ"
}
