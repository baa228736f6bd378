#!/bin/sh
# Stands before a rank's program: `before_a_rank.sh LIBRARIES INPUT RANKS PYTHON PROGRAM...`.
# LIBRARIES is a folder, or "-" for none. RANKS says how many there are on the hosts, in order: "3x2,1x1" is 3, 3 and 1.
# It tells the rank what torch.distributed reads: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, NODE_RANK, GROUP_RANK.
# INPUT is "first" where the launcher's standard input is to be the first rank's alone, and to end for all others.
# Hydra leaves the others a pipe that never ends; Open MPI 5 leaves one to the first, also where it has nothing itself.
# PYTHON is "-" where the launcher itself names a rank that fails, and ends the others. Hydra does neither for an exit code.
# So the script stays before the program there, names it, and has the launcher end the others as MPI_Abort would.
[ "$1" = - ] || export LD_LIBRARY_PATH="$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
input=$2 ranks=$3 python=$4
shift 4
case ${1-} in
-*)
    echo "'$1' stands after \$PARSL_MPI_PREFIX: give the launcher's options by launcher_options, or MPIRuntime(options=...)" >&2
    exit 2
    ;;
esac
rank=${PMI_RANK:-${PMIX_RANK:-${OMPI_COMM_WORLD_RANK:-${PALS_RANKID:-${FLUX_TASK_RANK:-${SLURM_PROCID:-}}}}}}
first=0 node=0
while [ -n "$rank" ] && [ -n "$ranks" ]; do
    alike=${ranks%%,*}
    each=${alike%x*} nodes=${alike#*x}
    if [ "$rank" -ge "$first" ] && [ "$rank" -lt $((first + each * nodes)) ]; then
        export RANK="$rank" LOCAL_WORLD_SIZE="$each"
        export LOCAL_RANK=$(((rank - first) % each)) NODE_RANK=$((node + (rank - first) / each))
        export GROUP_RANK="$NODE_RANK"
    fi
    first=$((first + each * nodes)) node=$((node + nodes))
    case $ranks in
    *,*) ranks=${ranks#*,} ;;
    *) ranks= ;;
    esac
done
[ -z "$rank" ] || export WORLD_SIZE="$first"
if [ "$input" != all ] && { [ "${rank:-0}" != 0 ] || [ "$(readlink /proc/$PPID/fd/0)" = /dev/null ]; }; then
    exec </dev/null
fi
[ "$python" != - ] || exec "$@"
trap : HUP INT QUIT USR1 USR2 ALRM TERM # the program has them too, and decides
(exec "$@")
code=$?
[ $code != 0 ] || exit 0
how="left with exit code $code"
[ $code -le 128 ] || [ $code -gt 192 ] || how="was ended by signal $((code - 128))"
echo "rank ${rank:-?} of $first on $(uname -n) $how" >&2
"$python" -I -S -c "import os; os.write(int(os.environ['PMI_FD']), b'cmd=abort exitcode=$code\\n')" 2>/dev/null
exit $code
