#!/usr/bin/env bash
# Make the environment of Parsl's own test suite (pytest < 8): tools/parsl_suite_env.sh PYTHON FOLDER. Idempotent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1 venv=$2
stamp=$(cat requirements/parsl-suite.txt tools/parsl_suite_env.sh | sha256sum)
[ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
echo "parsl-suite: new environment $venv (60 packages, about 30 s)"
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --progress-bar off --no-deps -r requirements/parsl-suite.txt
"$venv/bin/python" -m pip install -qq --progress-bar off --no-deps -e .
echo "$stamp" >"$venv/.stamp"
