#!/usr/bin/env bash
# Build the sdist and the wheel, check them, and try the wheel in empty environments, outside the checkout: each extra
# alone and all together, on each Python that the machine has.
#
#   tools/package.sh UV [EXTRAS...]    EXTRAS as in "dragon,mpi", "-" for none; default: all but those of vLLM
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/pythons.sh

uv=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- - mpi dragon globus telemetry,mcp,openai dragon,mpi,globus
root=$PWD folder=$PWD/build/package
rm -rf "$folder"
mkdir -p "$folder/tree"

git archive --format=tar HEAD | tar -x -C "$folder/tree" # what is committed, and nothing else
"$uv" build -q "$folder/tree" -o "$folder/dist"
"$uv" tool run -q "twine@6.2.0" check --strict "$folder"/dist/*.whl "$folder"/dist/*.tar.gz
wheel=$(echo "$folder"/dist/*.whl)

failed=0 tried=0
cd "$folder" # nothing of the checkout is importable here
for version in 3.11 3.12 3.13 3.14; do
    if ! base=$(find_python "$version"); then
        echo "package: no python$version here, skipped"
        continue
    fi
    for extras in "$@"; do
        tried=$((tried + 1)) venv=$folder/$version-$extras
        wanted=$wheel
        [ "$extras" = - ] || wanted="$wheel[$extras]"
        "$uv" venv -q -p "$base" "$venv"
        if "$uv" pip install -q -p "$venv/bin/python" "$wanted" &&
            env -u PYTHONPATH VIRTUAL_ENV="$venv" PATH="$venv/bin:$PATH" \
                timeout 120 "$venv/bin/python" "$root/tests/package/installed.py" "$extras" >"$venv.log" 2>&1; then
            tail -n 1 "$venv.log"
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
