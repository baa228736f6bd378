#!/usr/bin/env bash
# Make an environment of a complete list of packages: list_env.sh PYTHON FOLDER LIST WHAT [MORE...]. WHAT says it to
# people; MORE is what pip installs after the list (`-e .`). Idempotent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1 venv=$2 list=$3 what=$4
shift 4
stamp=$(cat "$list" tools/list_env.sh | sha256sum)
[ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
echo "$what: new environment $venv ($(grep -c == "$list") packages, less than a minute)"
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --progress-bar off --no-deps -r "$list"
[ $# = 0 ] || "$venv/bin/python" -m pip install -qq --progress-bar off --no-deps "$@"
echo "$stamp" >"$venv/.stamp"
