#!/bin/bash
# tokenizer train: the same folder for any ranks, threads, memory and order of inputs; counts in
# files; a full disk, a killed rank, two at once.
source "$(dirname "$0")/fixture.sh"
find "$FIX/logs" -type f -name '*.log' | sort | xargs cat >"$T/text.log"
for _ in 1 2 3; do cat "$T/text.log"; done >"$T/long.log" # long enough to be cut into ranges
gzip -c "$T/text.log" >"$T/packed.gz"
inputs=("$FIX/corpus" "$T/long.log" "$T/packed.gz")
shuffled=("$T/packed.gz" "$T/long.log" "$FIX/corpus")

train() { # train OUT ARGS...
    local out=$1
    shift
    "$SECENC" tokenizer train -o "$out" -v 2000 --quiet "$@"
}
same() {
    diff -r "$T/one" "$1" || fail "$1 differs"
    [ "$(ls -A "$1" | wc -l)" = 4 ] || fail "$1 holds $(ls -A "$1" | tr '\n' ' ')"
}

train "$T/one" --threads 1 "${inputs[@]}"
train "$T/spilled" --memory 16M --threads 2 "${shuffled[@]}"
same "$T/spilled"
expect 2 "memory" train "$T/x" --memory 1M "${inputs[@]}"

# A full disk at every write of the counts, then a run that finds what a killed one left.
for kind in spool write rename; do
    for k in 1 2 3 $(seq 7 6 100); do
        code=0
        rm -rf "$T/x"
        SECENC_FAULT=$kind:$k train "$T/x" --memory 16M --threads 2 "${inputs[@]}" 2>"$T/err" || code=$?
        [ "$code" != 0 ] || break
        [ "$code" = 1 ] && [ "$(grep -c 'secenc: error: .*No space left' "$T/err")" = 1 ] ||
            fail "$kind:$k: exit $code: $(cat "$T/err")"
        [ ! -e "$T/x/.counting" ] || fail "$kind:$k left counts"
    done
done
code=0
SECENC_FAULT=spool:5:kill train "$T/x" --memory 16M "${inputs[@]}" 2>/dev/null || code=$?
[ "$code" = 137 ] && [ -d "$T/x/.counting" ] || fail "no counts left by a killed run (exit $code)"
train "$T/x" --memory 16M "${inputs[@]}"
same "$T/x"

"$SECENC" doctor >"$T/doctor" || true
if ! command -v mpirun >/dev/null || grep -q 'MPI  *none' "$T/doctor"; then
    echo "SKIP: no mpirun here, or a build without MPI; one rank is tested"
    exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { # ranks R OUT ARGS...
    local r=$1 out=$2
    shift 2
    timeout -k 5 120 mpirun --oversubscribe -n "$r" "$SECENC" tokenizer train -o "$out" -v 2000 --quiet "$@"
}
for r in 1 2 3 4; do
    ranks $r "$T/r$r" --threads $((1 + r % 2)) "${inputs[@]}"
    same "$T/r$r"
    ranks $r "$T/s$r" --memory 16M "${shuffled[@]}"
    same "$T/s$r"
done

for fault in spool:1 rename:1 spool:1:kill stage-merge:3 stage-merge:2:kill; do
    code=0
    rm -rf "$T/k"
    SECENC_FAULT=$fault ranks 2 "$T/k" "${inputs[@]}" 2>"$T/err" || code=$?
    [ "$code" != 0 ] && [ "$code" != 124 ] || fail "$fault: exit $code"
    [ ! -e "$T/k/tokenizer.json" ] || fail "$fault: a failed run published its output"
    case $fault in
    *:kill) ;;
    *) [ "$(grep -c 'secenc: error: .*No space left' "$T/err")" = 1 ] || fail "$fault: $(cat "$T/err")" ;;
    esac
    ranks 3 "$T/k" "${inputs[@]}"
    same "$T/k"
done

mkdir -p "$T/l/.counting"
flock "$T/l/.counting/lock" sleep 3 &
sleep 0.3
code=0
ranks 2 "$T/l" "${inputs[@]}" 2>"$T/err" || code=$?
[ "$code" = 1 ] && grep -q 'counting/lock: in use by process' "$T/err" || fail "two at once: $(cat "$T/err")"
wait
code=0
ranks 2 "$T/l" - </dev/null 2>"$T/err" || code=$?
[ "$code" = 2 ] && grep -q 'standard input cannot be shared' "$T/err" || fail "stdin: $(cat "$T/err")"
echo ok
