#!/bin/bash
# The layout's rules: includes point only down (base <- kernels <- model; base <- data; train over
# those; eval and tools on top), and no file is longer than 600 lines. Functions over 60 lines are
# only reported.
set -euo pipefail

LIMIT=600
FUNCTION_LIMIT=60

# allowed DIR: what files of a top-level folder may include.
allowed() {
    case $1 in
    base) echo base ;;
    kernels) echo base kernels ;;
    model) echo base kernels model ;;
    data) echo base data ;;
    train) echo base kernels model data train ;;
    eval | tools) echo base kernels model data train eval tools ;;
    esac
}

check_includes() { # ROOT DIR
    find "$1/$2" -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' \) |
        sort | xargs -r awk -v root="$1/" -v dir="$2" -v allowed="$(allowed "$2")" '
        BEGIN { n = split(allowed, list, " "); for (i = 1; i <= n; i++) ok[list[i]] = 1 }
        match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]+"/) {
            path = $0
            sub(/^[^"]*"/, "", path)
            sub(/".*$/, "", path)
            top = path
            sub(/\/.*$/, "", top)
            if (path ~ /\// && !(top in ok)) {
                printf "%s:%d: %s/ may not include \"%s\" (allowed: %s)\n",
                    substr(FILENAME, length(root) + 1), FNR, dir, path, allowed
                bad = 1
            }
        }
        END { exit bad }'
}

# Generated tables say so in their first lines and have no length limit.
check_lengths() { # ROOT DIR
    local file lines bad=0
    while read -r file; do
        if head -n 5 "$file" | grep -qi generated; then continue; fi
        lines=$(wc -l <"$file")
        if [ "$lines" -gt "$LIMIT" ]; then
            echo "${file#"$1"/}: $lines lines, more than $LIMIT: split it by jobs"
            bad=1
        fi
    done < <(find "$1/$2" -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) | sort)
    return $bad
}

# In our brace style a function, and nothing else, starts with { and ends with } in column one.
report_functions() { # ROOT DIR
    find "$1/$2" -type f \( -name '*.c' -o -name '*.cu' \) | sort |
        xargs -r awk -v root="$1/" -v limit="$FUNCTION_LIMIT" '
        /^\{/ { start = FNR; head = last }
        /^\}/ && start {
            if (FNR - start - 1 > limit)
                printf "warning: %s:%d: function of %d lines: %s\n",
                    substr(FILENAME, length(root) + 1), start, FNR - start - 1, head
            start = 0
        }
        { last = $0 }'
}

check_tree() { # ROOT
    local dir bad=0
    for dir in base kernels model data train eval tools; do
        [ -d "$1/$dir" ] || continue
        check_includes "$1" "$dir" || bad=1
        check_lengths "$1" "$dir" || bad=1
        report_functions "$1" "$dir"
    done
    return $bad
}

# The check must find what it looks for.
self_check() {
    local tree=$1 out
    mkdir -p "$tree/base" "$tree/model/sub"
    printf '#include "base/a.h"\n#include <stdio.h>\n#include "local.h"\n' >"$tree/model/sub/ok.c"
    check_tree "$tree" || { echo "self-check: a good tree was refused"; return 1; }
    printf '#include "base/a.h"\n  #  include "model/b.h"\n' >"$tree/base/bad.c"
    if out=$(check_tree "$tree"); then echo "self-check: an upward include was missed"; return 1; fi
    grep -q 'base/bad.c:2: base/ may not include "model/b.h"' <<<"$out" ||
        { echo "self-check: wrong message: $out"; return 1; }
    printf '#include "../model/b.h"\n' >"$tree/base/bad.c"
    if check_tree "$tree" >/dev/null; then echo "self-check: a ../ include was missed"; return 1; fi
    seq 601 | sed 's|.*|/* & */|' >"$tree/base/bad.c"
    if check_tree "$tree" >/dev/null; then echo "self-check: a long file was missed"; return 1; fi
    { echo "int long_one(void)"; echo "{"; seq 61 | sed 's|.*|    x();|'; echo "}"; } >"$tree/base/bad.c"
    out=$(check_tree "$tree") || { echo "self-check: a long function is no failure"; return 1; }
    grep -q 'function of 61 lines: int long_one' <<<"$out" ||
        { echo "self-check: a long function was missed"; return 1; }
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
self_check "$scratch"
check_tree "$PWD"
