#!/bin/bash
# The outside of the command line: help, unknown words, exit codes, standard output, generated
# completion and manual page.
set -euo pipefail

fail() {
    echo "FAILED: $*"
    exit 1
}

# expect CODE TEXT ARGUMENTS...: exit code, and one line on stderr that contains TEXT.
expect() {
    local code=$1 text=$2 got=0 err
    shift 2
    err=$("$SECENC" "$@" 2>&1 >/dev/null) || got=$?
    [ "$got" = "$code" ] || fail "secenc $*: exit code $got, expected $code: $err"
    [[ $err == *"$text"* ]] || fail "secenc $*: \"$err\" lacks \"$text\""
    [ "$code" = 0 ] || [ "$(grep -c '^secenc: error: ' <<<"$err")" = 1 ] || fail "secenc $*: $err"
}

expect 0 "" --help
expect 0 "" --version
expect 0 "" doctor --help
expect 2 "no command given"
expect 2 "unknown command 'doctr'; did you mean 'doctor'?" doctr
expect 2 "unknown command 'xyzzy'; see secenc --help" xyzzy
expect 2 "unknown option '--jsno'; did you mean '--json'?" doctor --jsno
expect 2 "unknown option '--quite'; did you mean '--quiet'?" --quite doctor
expect 2 "doctor takes no argument" doctor x
expect 2 "--threads: \"no\" is not" doctor --threads no
expect 2 "needs one of bash, zsh, fish" completion tcsh

# Every listed command explains itself, with its name in the first line.
names=$("$SECENC" --help | sed -n 's/^  \([a-z][a-z-]*\( [a-z][a-z-]*\)\{0,1\}\)  .*/\1/p')
[ -n "$names" ] || fail "no commands listed"
while read -r name; do
    # shellcheck disable=SC2086 # two words
    help=$("$SECENC" $name --help) || fail "$name --help"
    [[ $help == "Usage: secenc $name"* ]] || fail "$name --help: $help"
done <<<"$names"

[[ $("$SECENC" --quiet --threads=3 doctor) == *" 3 threads used"* ]] || fail "--threads before"
[[ $("$SECENC" doctor --threads 3) == *" 3 threads used"* ]] || fail "--threads after"
[[ $(SECENC_THREADS=3 "$SECENC" doctor) == *" 3 threads used"* ]] || fail "SECENC_THREADS"
[[ $(SECENC_THREADS=3 "$SECENC" doctor --threads 2) == *" 2 threads used"* ]] || fail "precedence"
[[ $(SECENC_ISA=portable "$SECENC" doctor) == *"portable used"* ]] || fail "SECENC_ISA"
"$SECENC" doctor --json | python3 -c '
import json, sys
report = json.load(sys.stdin)
checks = {c["check"]: c for c in report["checks"]}
assert checks["zstd"]["ok"] and "works" in checks["HDF5"]["value"], report
assert report["warnings"] == sum(not c["ok"] for c in report["checks"])
'

# Output that cannot be written is a failure; a reader that stops early is none of our business.
for target in /dev/full closed; do
    got=0
    if [ $target = closed ]; then
        err=$("$SECENC" man 2>&1 >&-) || got=$?
    else
        err=$("$SECENC" man 2>&1 >/dev/full) || got=$?
    fi
    [ $got = 1 ] || fail "stdout $target: exit code $got"
    [[ $err == "secenc: error: standard output: cannot write"* ]] || fail "stdout $target: $err"
done
err=$({ "$SECENC" man || true; } 2>&1 >/dev/null | head -n 1)
[ -z "$err" ] || fail "man: $err"
set +o pipefail
err=$({ for _ in $(seq 50); do "$SECENC" man; done | head -n 1 >/dev/null; } 2>&1)
[ -z "$err" ] || fail "closed pipe: $err"
set -o pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$SECENC" man >"$scratch/secenc.1"
if command -v man >/dev/null; then
    MANWIDTH=100 man -E UTF-8 --warnings -l "$scratch/secenc.1" >"$scratch/page" 2>"$scratch/warnings"
    [ ! -s "$scratch/warnings" ] || fail "manual page: $(head -n 3 "$scratch/warnings")"
    grep -q 'EXIT STATUS' "$scratch/page" || fail "manual page lacks its end"
    while read -r name; do
        grep -q "secenc $name" "$scratch/page" || fail "manual page lacks $name"
    done <<<"$names"
fi

for shell in bash zsh fish; do
    "$SECENC" completion $shell >"$scratch/$shell"
    if command -v $shell >/dev/null; then $shell -n "$scratch/$shell" || fail "completion $shell"; fi
done
complete_line() { # WORDS...: what bash offers for the last of them
    (
        # shellcheck disable=SC1091
        source "$scratch/bash"
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _secenc
        echo "${COMPREPLY[*]}"
    )
}
[ "$(complete_line secenc doc)" = doctor ] || fail "completion of commands"
[ "$(complete_line secenc doctor --js)" = --json ] || fail "completion of options"
