# Ranks under mpirun: sums, agreement, one message, no hang when a rank fails, leaves or dies.
set -euo pipefail
: "${SECENC:?}" "${BUILD:?}"
RANKS=$BUILD/tests/ranks
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

[ "$("$RANKS" sum)" = "1 ranks: 1 0 1099511627776, 0 1" ] || fail "alone: $("$RANKS" sum)"

"$SECENC" doctor >"$T/doctor" || true
if ! command -v mpirun >/dev/null || grep -q 'MPI  *none' "$T/doctor"; then
    echo "SKIP: no mpirun here, or a build without MPI"
    exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
run() { # run R ARGS...: output in $T/out and $T/err, exit code in $got; a hang is killed
    local r=$1
    shift
    got=0
    timeout -k 5 60 mpirun --oversubscribe -n "$r" "$@" >"$T/out" 2>"$T/err" || got=$?
    [ "$got" != 124 ] || fail "hangs: $*"
}

for r in 1 2 3 4; do
    run $r "$RANKS" sum
    [ "$got" = 0 ] || fail "sum on $r: $(cat "$T/err")"
    want="$r ranks: $r $((r * (r - 1) / 2)) $((r << 40)), $((r - 1)) $r"
    [ "$(cat "$T/out")" = "$want" ] || fail "sum on $r: $(cat "$T/out"); expected $want"
    [ "$(grep -c 'info from rank' "$T/err")" = 1 ] || fail "info lines: $(cat "$T/err")"
done

# failed CODE MESSAGE ARGS...: on 4 ranks; one error line.
failed() {
    local code=$1 message=$2
    shift 2
    run 4 "$RANKS" "$@"
    [ "$got" = "$code" ] || fail "$*: exit $got, expected $code: $(cat "$T/err")"
    [ "$(grep -c 'ranks: error' "$T/err")" = 1 ] || fail "$*: not one line: $(cat "$T/err")"
    grep -q "ranks: error: $message" "$T/err" || fail "$*: $(cat "$T/err")"
}
for k in 0 1 3; do
    failed 3 "bad byte at rank $k" fail $k
    failed 4 "no memory at rank $k" leave $k
    failed 77 "ranks are in different calls" differ $k
done
failed 2 "no such mode" nonsense
for k in 0 2; do
    run 3 "$RANKS" kill $k
    [ "$got" != 0 ] || fail "kill $k: mpirun says all is well"
done

# Commands that cannot share their work say so; numbers of ranks below 2 are no matter.
run 2 "$SECENC" synth -o "$T/logs" --size 1M
[ "$got" = 2 ] && grep -q 'secenc synth runs as one process' "$T/err" || fail "synth: $(cat "$T/err")"
[ "$(grep -c 'secenc: error' "$T/err")" = 1 ] || fail "synth: $(cat "$T/err")"
run 1 "$SECENC" --version
[ "$(wc -l <"$T/out")" = 1 ] || fail "--version: $(cat "$T/out")"
run 3 "$SECENC" --version
[ "$(wc -l <"$T/out")" = 1 ] || fail "--version on 3: $(cat "$T/out")"
echo ok
