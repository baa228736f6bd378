#!/bin/sh
# Stands before a rank's program: `before_a_rank.sh LIBRARIES PROGRAM...`, where "-" is for no libraries.
# The launcher's standard input is the first rank's alone, and ends for all others.
# Hydra leaves the others a pipe that never ends; Open MPI 5 leaves one to the first, also where it has nothing itself.
[ "$1" = - ] || export LD_LIBRARY_PATH="$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
shift
case ${1-} in
-*)
    echo "'$1' stands after \$PARSL_MPI_PREFIX: give the launcher's options by launcher_options, or MPIRuntime(options=...)" >&2
    exit 2
    ;;
esac
rank=${PMI_RANK:-${PMIX_RANK:-${OMPI_COMM_WORLD_RANK:-0}}}
if [ "$rank" = 0 ] && [ "$(readlink /proc/$PPID/fd/0)" != /dev/null ]; then
    exec "$@"
fi
exec "$@" </dev/null
