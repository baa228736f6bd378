#!/usr/bin/env bash
# Make the environment that builds the documentation's site: tools/docs_env.sh PYTHON FOLDER. Idempotent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1 venv=$2
stamp=$(cat requirements/docs.txt tools/docs_env.sh | sha256sum)
[ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
echo "docs: new environment $venv (35 packages, about 20 s)"
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --progress-bar off --no-deps -r requirements/docs.txt
echo "$stamp" >"$venv/.stamp"
