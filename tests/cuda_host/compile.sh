#!/bin/bash
# Compiles every CUDA source for every GPU architecture with nvcc (NVCC, or in PATH): no warning, no
# register spill. Prints registers, spills and shared memory of each kernel with -v.
# usage: compile.sh [-v] [FILE.cu...]     default: all of kernels/cuda and the emulation's kernels
set -euo pipefail
cd "$(dirname "$0")/../.."

NVCC=${NVCC:-$(command -v nvcc || true)}
[ -n "$NVCC" ] || { echo "SKIP: no nvcc: the CUDA sources are not compiled for a GPU"; exit 77; }

verbose=
if [ "${1-}" = -v ]; then verbose=,-v; shift; fi
files=("$@")
[ $# -gt 0 ] || mapfile -t files < <(find kernels/cuda tests/cuda_host/compile_kernels.cu -name '*.cu' | sort)

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bad=0
for file in "${files[@]}"; do
    for arch in 80 90 100 120; do
        if ! "$NVCC" -std=c++17 -O3 -arch="sm_$arch" -I. -Werror all-warnings \
            -Xptxas "-warn-spills,-warn-lmem-usage$verbose" -cubin -o "$out/k.cubin" "$file" \
            >"$out/log" 2>&1; then
            echo "$file, sm_$arch: does not compile"
            cat "$out/log"
            bad=1
        elif [ -n "$verbose" ]; then
            echo "$file, sm_$arch"
            grep -E 'Compiling|Used|spill' "$out/log" || true
        fi
    done
done
[ $bad = 0 ] && echo "${#files[@]} files compile for sm_80, sm_90, sm_100 and sm_120"
exit $bad
