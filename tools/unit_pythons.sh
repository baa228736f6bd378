#!/usr/bin/env bash
# Run the fast tests that need no Dragon on each Python from 3.11 to 3.14 that the machine has.
#
#   tools/unit_pythons.sh [FOLDER]        FOLDER gets an environment for each Python; default: .venv-pythons
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/pythons.sh

folder=$(realpath -m "${1:-.venv-pythons}")
failed=0

for version in 3.11 3.12 3.13 3.14; do
    if ! python=$(find_python "$version" "ensurepip, venv"); then
        echo "unit-pythons: no python$version here, skipped"
        continue
    fi
    venv=$folder/$version
    [ -x "$venv/bin/pytest" ] || {
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install -q -e '.[mpi,globus,dev]' numpy safetensors tokenizers matplotlib
    }
    echo "unit-pythons: $("$venv/bin/python" -V)"
    PATH=$venv/bin:$PATH "$venv/bin/python" -m pytest tests/unit -q -p no:cacheprovider -m "not dragon" || failed=1
done
exit "$failed"
