#!/bin/bash
# corpus tokenize and tokenizer train under mpirun: the same bytes for 1, 2, 3 and 4 ranks and any
# order of inputs; a rank killed, a spool file damaged, a full disk. And --source-cap.
source "$(dirname "$0")/fixture.sh"
"$SECENC" doctor >"$T/doctor" || true
if ! command -v mpirun >/dev/null || grep -q 'MPI  *none' "$T/doctor"; then
    echo "SKIP: no mpirun here, or a build without MPI"
    exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { # ranks R ARGS...
    local r=$1
    shift
    timeout -k 5 120 mpirun --oversubscribe -n "$r" "$SECENC" "$@"
}
tokenize=(corpus tokenize "$FIX/corpus" --tokenizer "$FIX/tok" --tokens-per-shard 100000 --quiet)

# corpus tokenize: the whole tree.
for options in "" "--temperature 0.5 --source-cap 0.12"; do
    rm -rf "$T"/r?
    for r in 1 2 3 4; do
        ranks $r "${tokenize[@]}" -o "$T/r$r" $options --memory 64M --threads $((1 + r % 2)) >"$T/table$r"
        diff -r "$T/r1" "$T/r$r" || fail "$r ranks make something else ($options)"
        [ "$(grep -c '^train ' "$T/table$r")" = 1 ] || fail "$r ranks print $(cat "$T/table$r")"
    done
done
"$SECENC" "${tokenize[@]}" -o "$T/alone" $options >/dev/null
diff -r "$T/alone" "$T/r1" || fail "a lone process makes something else"
rm -rf "$T"/r?

# A full disk on one of the ranks, a rank killed: all end; the same command on another number of
# ranks goes on.
"$SECENC" "${tokenize[@]}" -o "$T/a" >/dev/null
for fault in spool:3 write:9 rename:5 spool:4:kill write:30:kill stage-sort:1 stage-write:2:kill; do
    for r in 2 3; do
        code=0
        rm -rf "$T"/k "$T"/k.partial
        SECENC_FAULT=$fault ranks $r "${tokenize[@]}" -o "$T/k" >/dev/null 2>"$T/err" || code=$?
        [ "$code" != 0 ] && [ "$code" != 124 ] || fail "$fault on $r ranks: exit $code"
        [ ! -e "$T/k" ] || fail "$fault: a failed run published its output"
        case $fault in
        *:kill) ;;
        *) [ "$(grep -c 'secenc: error: .*No space left' "$T/err")" = 1 ] || fail "$fault: $(cat "$T/err")" ;;
        esac
        ranks $((5 - r)) "${tokenize[@]}" -o "$T/k" >/dev/null
        diff -r "$T/a" "$T/k" || fail "$fault on $r ranks: the second run made something else"
    done
done

# A flipped bit in a spool file: exit 3 naming it; the next run makes it anew.
for stage in sort write; do
    rm -rf "$T"/k "$T"/k.partial
    SECENC_FAULT=stage-$stage:1 "$SECENC" "${tokenize[@]}" -o "$T/k" >/dev/null 2>&1 && fail "no fault"
    victim=$(find "$T/k.partial/.work" -name 'train-encoded-*' -o -name 'train-sorted-*' | sort | head -n 1)
    [ -n "$victim" ] || fail "no spool file before stage $stage"
    printf '\377' | dd of="$victim" bs=1 seek=$(($(stat -c %s "$victim") / 3)) conv=notrunc status=none
    code=0
    ranks 2 "${tokenize[@]}" -o "$T/k" >/dev/null 2>"$T/err" || code=$?
    [ "$code" = 3 ] && grep -q "$(basename "$victim").*damaged" "$T/err" || fail "exit $code: $(cat "$T/err")"
    ranks 2 "${tokenize[@]}" -o "$T/k" >/dev/null
    diff -r "$T/a" "$T/k" || fail "after damage before $stage: something else"
done

# The cap holds to 1 %, as the manifest and the table say.
"$SECENC" "${tokenize[@]}" -o "$T/cap" --source-cap 0.1 >"$T/table"
grep -q 'share before' "$T/table" || fail "no shares: $(cat "$T/table")"
head -n 1 "$T/cap/MANIFEST.jsonl" | grep -o '"share":[0-9.e-]*' | cut -d: -f2 |
    awk '$1 > 0.101 { print "share " $1; bad = 1 } { n++; sum += $1 }
        END { if (n < 10 || sum < 0.999 || sum > 1.001) { print n, sum; bad = 1 } exit bad }' ||
    fail "the cap does not hold: $(cat "$T/table")"
expect 3 "no mix of .* sources keeps each at most 0.001" "$SECENC" "${tokenize[@]}" -o "$T/cap2" --source-cap 0.001
echo ok
