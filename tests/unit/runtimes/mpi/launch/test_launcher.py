"""Launch lines against recorded ones, and the variables made of them."""

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.annotations.groups import RankGroup
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.errors import MissingPackage, RuntimeUnavailable
from rhapsody_parsl.runtimes.mpi.launch import bind
from rhapsody_parsl.runtimes.mpi.launch.launcher import (
    Kind,
    Launcher,
    candidates,
    detect,
    identify,
)
from rhapsody_parsl.runtimes.mpi.launch.places import Place, places_of, plan
from rhapsody_parsl.runtimes.mpi.launch.prefix import variables
from rhapsody_parsl.runtimes.mpi.launch.preparation import preparing
from rhapsody_parsl.runtimes.mpi.rendezvous import variables_of_ranks
from rhapsody_parsl.runtimes.protocol import Node, Placed, Run
from rhapsody_parsl.wire.leases import Share

HYDRA_VERSION = """HYDRA build details:
    Version:                                 5.0.2
    Release Date:                            Fri Sep 25 20:45:26 UTC 2026
    Launchers available:                     ssh rsh fork slurm ll lsf sge manual persist
"""
INTEL_VERSION = "Intel(R) MPI Library for Linux* OS, Version 2021.11 Build 20231005"
OPENMPI_VERSION = "mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/community/help/\n"

PRIVATE = Path("/private")
TWO = (Place("a", ((0,), (1,))), Place("b", ((0,), (1,))))
UNEVEN = (Place("a", ((0,), (1,), (2,))), Place("b", ((0,),)))
HERE = (Place("a", ((0,), (1,), (0,), (1,))),)

LINES = [
    ("hydra", HERE, True, "/x/mpiexec -launcher fork -rmk user -bind-to none -n 4"),
    ("hydra", TWO, False, "/x/mpiexec -launcher ssh -rmk user -bind-to user:0,1 -n 4 -ppn 2 -hosts a,b"),
    ("hydra", UNEVEN, False, "/x/mpiexec -launcher ssh -rmk user -bind-to none -n 4 -hosts a:3,b:1"),
    ("openmpi", HERE, True, "/x/mpiexec --bind-to none --oversubscribe -n 4 --host localhost:4"),
    ("openmpi", UNEVEN, False, "/x/mpiexec --bind-to none --oversubscribe -n 4 --host a:3,b:1"),
    (
        "srun",
        TWO,
        False,
        "/x/mpiexec --mpi=pmi2 --overlap --kill-on-bad-exit=1 --export=ALL --ntasks 4 --ntasks-per-node 2 "
        "--nodelist a,b --nodes 2 "
        "--cpu-bind=mask_cpu:0x1,0x2",
    ),
    (
        "srun",
        UNEVEN,
        False,
        "/x/mpiexec --mpi=pmi2 --overlap --kill-on-bad-exit=1 --export=ALL --ntasks 4 --distribution=arbitrary "
        "--nodelist a,a,a,b "
        "--nodes 2 --cpu-bind=none",
    ),
    ("mpiexec", TWO, False, "/x/mpiexec -n 4 -ppn 2 -hosts a,b"),
    ("mpiexec", UNEVEN, False, "/x/mpiexec -n 4 -ppn 3 -hosts a,b"),
    ("aprun", TWO, False, "/x/mpiexec -n 4 -N 2 -L a,b"),
    ("pals", TWO, False, "/x/mpiexec -n 4 --ppn 2 --hosts a,b --cpu-bind list:0:1"),
    ("pals", UNEVEN, False, "/x/mpiexec -n 4 --ppn 1 --hosts a,a,a,b --cpu-bind none"),
    (
        "flux",
        UNEVEN,
        False,
        f"{sys.executable} -m rhapsody_parsl.runtimes.mpi.launch.flux_run /x/mpiexec a:3,b:1 -n 4 "
        "--setopt=cpu-affinity=off --setopt=gpu-affinity=off --setopt=exit-on-error",
    ),
]


@pytest.mark.parametrize(("kind", "places", "local", "line"), LINES)
def test_line(kind: Kind, places: tuple[Place, ...], local: bool, line: str) -> None:
    assert Launcher(kind, "/x/mpiexec").line(places, local) == shlex.split(line)


def test_several_cores_a_rank() -> None:
    places = [Place("a", ((0, 1), (2, 3)))]
    assert "user:0+1,2+3" in Launcher("hydra", "mpiexec").line(places, local=False)
    assert "--cpu-bind=mask_cpu:0x3,0xc" in Launcher("srun", "srun").line(places, local=False)


def test_what_the_user_says_replaces_our_word() -> None:
    launcher = Launcher("hydra", "mpiexec", ("-bind-to", "core"))
    line = launcher.line(HERE, True, ["-genv", "A", "1"])
    assert line == shlex.split("mpiexec -launcher fork -rmk user -n 4 -bind-to core -genv A 1")
    assert "--mpi=pmi2" not in Launcher("srun", "srun", ("--mpi=pmix",)).line(TWO, False)


def test_hydra_starts_its_proxies_as_a_step_inside_slurm() -> None:
    launcher = Launcher("hydra", "/x/mpiexec", node_launcher="srun")
    assert launcher.line(TWO, local=False)[:3] == ["/x/mpiexec", "-launcher", "slurm"]
    assert launcher.line(HERE, local=True)[:3] == ["/x/mpiexec", "-launcher", "fork"]
    words = "--overlap --mpi=none --cpu-bind=none --export=ALL"
    assert launcher.environment({}, PRIVATE) == {"HYDRA_LAUNCHER_EXTRA_ARGS": words}
    assert Launcher("srun", "/x/srun", node_launcher="srun").environment({}, PRIVATE) == {}


def test_launchers_that_would_take_ssh_take_flux_inside_flux() -> None:
    launcher = Launcher("hydra", "/x/mpiexec", node_launcher="flux", python="/elsewhere/python")
    assert launcher.line(TWO, local=False)[:3] == ["/x/mpiexec", "-launcher", "rsh"]
    assert launcher.line(HERE, local=True)[:3] == ["/x/mpiexec", "-launcher", "fork"]
    assert launcher.environment({}, PRIVATE) == {
        "HYDRA_LAUNCHER_EXEC": "/elsewhere/python",
        "HYDRA_LAUNCHER_EXTRA_ARGS": "-m rhapsody_parsl.cluster.shell",
    }
    agent = Launcher("openmpi", "/x/mpirun", node_launcher="flux", python="/elsewhere/python").environment({}, PRIVATE)
    assert agent["PRTE_MCA_plm_ssh_agent"] == "/elsewhere/python -m rhapsody_parsl.cluster.shell"
    assert Launcher("flux", "/x/flux", node_launcher="flux").environment({}, PRIVATE) == {}


def test_open_mpi_shares_the_nodes_of_a_slurm_job() -> None:
    said = Launcher("openmpi", "/x/mpirun", node_launcher="srun").environment({}, PRIVATE)
    assert said["SLURM_OVERLAP"] == said["PRTE_MCA_ras_slurm_use_entire_allocation"] == "1"


def test_open_mpi_has_its_folders_in_the_blocks_own_unless_the_user_says_where() -> None:
    five, four = "PRTE_MCA_prte_tmpdir_base", "OMPI_MCA_orte_tmpdir_base"
    launcher = Launcher("openmpi", "/x/mpirun")
    assert launcher.environment({}, PRIVATE) == {five: str(PRIVATE), four: str(PRIVATE)}
    assert launcher.environment({five: "/local"}, PRIVATE) == {four: str(PRIVATE)}


def test_a_program_binds_where_the_launcher_cannot() -> None:
    hydra, flux = Launcher("hydra", "mpiexec", python="py"), Launcher("flux", "flux", python="py")
    assert hydra.binding(TWO, local=False) == []
    assert hydra.binding(UNEVEN, local=True) == []
    assert hydra.binding(UNEVEN, local=False) == [
        "py", "-I", "-S", bind.__file__, "MPI_LOCALRANKID", "4", "-", "a=0/1/2,b=0",
    ]  # fmt: skip
    assert flux.binding(TWO, local=False)[4:] == ["FLUX_TASK_LOCAL_ID", "4", "-", "a=0/1,b=0/1"]
    assert flux.binding(TWO[:1], local=True)[4:] == ["FLUX_TASK_LOCAL_ID", "2", "-", "a=0/1"]


def test_ranks_with_gpus_of_their_own() -> None:
    node = Node(
        name="a.site",
        host="a.site",
        cores=tuple(range(8)),
        real_cores=tuple(range(8)),
        gpus=("4", "5", "6", "7"),
        gpu_vendor="amd",
    )
    placed = Placed(node, Share("a.site", (0, 1, 2, 3, 6, 7), (1, 2, 3)), 3)
    places = places_of([placed], 1.0)
    assert plan(places) == "a.site=0-1@5/2-3@6/6-7@7"
    assert shlex.quote(plan(places)) == plan(places), "a shell must have nothing to quote"
    words = Launcher("hydra", "mpiexec", python="py").binding(places, True, "ROCR_VISIBLE_DEVICES")
    assert words[4:] == ["MPI_LOCALRANKID", "3", "ROCR_VISIBLE_DEVICES", plan(places)]
    assert bind.share(plan(places), "a", 1) == ({2, 3}, "6")
    assert bind.share("a=0-2+8@0+1,b=5", "b.site", 3) == ({5}, "")
    with pytest.raises(SystemExit, match=r"started on c, and its lease has 10\.0\.0\.5, 10\.0\.0\.6"):
        bind.share("10.0.0.5=0,10.0.0.6=1", "c", 0)


def test_a_rank_finds_its_cores_by_slurms_name_of_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "q1-2")
    assert bind.share("q1-1=0,q1-2=1", "ip-10-0-0-8", 0) == ({1}, "")


@pytest.mark.parametrize("kind", ["srun", "hydra", "openmpi"])
def test_ranks_in_slurm_get_their_tasks_environment(kind: Any) -> None:
    """A job submitted with --export=NONE sets SLURM_EXPORT_ENV, which rules every srun in it."""
    launcher = Launcher(kind, "/x/mpiexec", node_launcher="srun")
    own = launcher.environment({"SLURM_EXPORT_ENV": "NONE"}, PRIVATE)
    said = [*launcher.line(TWO, local=False), *own.get("HYDRA_LAUNCHER_EXTRA_ARGS", "").split()]
    assert "--export=ALL" in said or own["SLURM_EXPORT_ENV"] == "ALL"
    if kind == "srun":
        assert "--export=ALL" not in Launcher(kind, "srun", ("--export=A",)).line(TWO, local=False)


def bound(rank: str, **env: str) -> "subprocess.CompletedProcess[str]":
    core = max(os.sched_getaffinity(0))
    code = "import os; print(sorted(os.sched_getaffinity(0)), os.environ.get('CUDA_VISIBLE_DEVICES'))"
    here = f"{os.uname().nodename}={min(os.sched_getaffinity(0))}@0/{core}@1+2"
    words = [sys.executable, "-I", "-S", bind.__file__, "MPI_LOCALRANKID", "2", "CUDA_VISIBLE_DEVICES", here]
    clean = {"PATH": os.environ["PATH"], **env, **({"MPI_LOCALRANKID": rank} if rank else {})}
    return subprocess.run([*words, sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean)


def test_the_program_is_bound_and_sees_its_gpus() -> None:
    done = bound("1")
    assert (done.returncode, done.stdout) == (0, f"[{max(os.sched_getaffinity(0))}] 1,2\n"), done.stderr


def test_ranks_of_which_mpi_knows_nothing_are_refused() -> None:
    done = bound("", SLURM_LOCALID="0")
    assert done.returncode == 1
    assert "2 ranks were asked for" in done.stderr
    assert "--mpi=pmi2" in done.stderr


def test_root_is_said_to_open_mpi_only() -> None:
    assert "--allow-run-as-root" in Launcher("openmpi", "mpirun", root=True).line(HERE, True)
    assert "--allow-run-as-root" not in Launcher("hydra", "mpiexec", root=True).line(HERE, True)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        (HYDRA_VERSION, "hydra"),
        (INTEL_VERSION, "hydra"),
        (OPENMPI_VERSION, "openmpi"),
        ("mpiexec (OpenRTE) 4.1.4", "openmpi"),
        ("slurm 22.05.8", "srun"),
        ("PALS mpiexec version 1.3.4", "pals"),
        ("commands:    \t\t0.66.0\nlibflux-core:\t\t0.66.0", "flux"),
        ("GNU bash, version 5.2", None),
        ("", None),
    ],
)
def test_identify(version: str, kind: Kind | None) -> None:
    assert identify(version) == kind


def fake(folder: Path, name: str, version: str) -> str:
    program = folder / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{version}\nE\n")
    program.chmod(0o755)
    return str(program)


def test_beside_the_python_comes_before_path(tmp_path: Path) -> None:
    own, other = fake(tmp_path / "env", "mpiexec", HYDRA_VERSION), fake(tmp_path / "sys", "mpirun", OPENMPI_VERSION)
    found = candidates(MPIRuntime(), str(tmp_path / "env" / "python"), str(tmp_path / "sys"))
    assert found == [own, other]


def test_detect_asks_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path / "env", "mpiexec", HYDRA_VERSION)
    other = fake(tmp_path / "sys", "mpirun", OPENMPI_VERSION)
    monkeypatch.setenv("PATH", f"{tmp_path / 'sys'}:/bin:/usr/bin")
    python = str(tmp_path / "env" / "python")
    assert asyncio.run(detect(MPIRuntime(), python)).kind == "hydra"
    chosen = asyncio.run(detect(MPIRuntime(launcher="openmpi", options=("--quiet",)), python))
    assert (chosen.kind, chosen.program, chosen.options) == ("openmpi", other, ("--quiet",))
    named = asyncio.run(detect(MPIRuntime(executable=other), python))
    assert (named.kind, named.program) == ("openmpi", other)


def test_detect_believes_a_user_who_says_both(tmp_path: Path) -> None:
    wrapper = fake(tmp_path, "my-mpiexec", "site wrapper 1.0")
    found = asyncio.run(detect(MPIRuntime(launcher="hydra", executable=wrapper), "/none/python"))
    assert (found.kind, found.program) == ("hydra", wrapper)


def test_detect_knows_an_mpiexec_by_its_words_and_takes_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for version, kind in ((OPENMPI_VERSION, "openmpi"), ("mpiexec version 1.2.12", "mpiexec")):
        fake(tmp_path, "mpiexec", version)
        assert asyncio.run(detect(MPIRuntime(launcher="mpiexec"), "/none/python")).kind == kind
    fake(tmp_path, "aprun", "aprun 5.2")
    assert asyncio.run(detect(MPIRuntime(launcher="aprun"), "/none/python")).kind == "aprun"


def test_detect_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackage, match=r"pip install 'rhapsody-parsl\[mpi\]'"):
        asyncio.run(detect(MPIRuntime(), "/none/python"))
    with pytest.raises(RuntimeUnavailable, match="srun was not found"):
        asyncio.run(detect(MPIRuntime(launcher="srun"), "/none/python"))


def test_libraries_are_found_without_activation(tmp_path: Path) -> None:
    bare, full = (
        Launcher("hydra", fake(tmp_path / name / "bin", "mpiexec", ""), python=str(tmp_path / name / "bin" / "python"))
        for name in ("bare", "full")
    )
    lib = tmp_path / "full" / "lib"
    lib.mkdir()
    (lib / "libmpi.so.12").touch()

    def found(launcher: Launcher, **own: str) -> str:
        words = [*preparing(launcher, HERE), "/bin/sh", "-c", "echo $LD_LIBRARY_PATH"]
        return subprocess.run(words, env=own, capture_output=True, text=True, check=True).stdout.strip()

    assert found(bare) == ""
    assert found(full) == str(lib)
    assert found(full, LD_LIBRARY_PATH="/x:/y") == f"{lib}:/x:/y"
    assert found(Launcher("hydra", full.program, python="/usr/bin/python3"), LD_LIBRARY_PATH="/x") == "/x"


@pytest.mark.parametrize(("kind", "variable"), [
    ("hydra", "PMI_RANK"), ("openmpi", "PMIX_RANK"), ("openmpi", "OMPI_COMM_WORLD_RANK"), ("srun", "SLURM_PROCID"),
    ("pals", "PALS_RANKID"), ("flux", "FLUX_TASK_RANK"),
])  # fmt: skip
def test_a_rank_is_told_what_torch_reads(kind: Kind, variable: str) -> None:
    places = [*UNEVEN, Place("c", ((0,), (1,), (2,))), Place("d", ((0,), (1,), (2,)))]
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK")
    words = [*preparing(Launcher(kind, "/x/mpiexec"), places), "printenv", *names]
    hosts = [place.host for place in places for _ in place.ranks]
    for rank, wanted in enumerate(variables_of_ranks(hosts)):
        told = subprocess.run(words, env={variable: str(rank)}, capture_output=True, text=True, check=True).stdout
        assert dict(zip(names, told.split(), strict=True)) == wanted
    assert subprocess.run(words, env={}, capture_output=True, check=False).stdout == b""


def test_what_ranks_on_other_hosts_are_to_be_told_goes_with_open_mpi() -> None:
    run = gang(("a", "a", (0, 1), 2), ("b", "b", (0, 1), 2), num_ranks=4, launcher_options="-x MINE")
    line = variables(Launcher("openmpi", "/x/mpirun"), run, "a")["PARSL_MPI_PREFIX"]
    assert " -x MINE -x MASTER_ADDR -x MASTER_PORT /bin/sh " in line
    assert "-x" not in variables(Launcher("hydra", "/x/mpiexec"), run, "a")["PARSL_MPIEXEC_PREFIX"].split()[:12]


def gang(*shares: tuple[str, str, tuple[int, ...], int], **resources: object) -> Run:
    placed = tuple(
        Placed(Node(name=name, host=host, cores=tuple(range(4)), real_cores=(0, 1, 0, 1)), Share(name, cores), ranks)
        for name, host, cores, ranks in shares
    )
    return Run(1, TaskSpec(resources=Resources(**resources)), placed)  # type: ignore[arg-type]  # names are checked there


def test_nodes_of_one_host_are_one_place() -> None:
    run = gang(("a#0", "a", (0, 1), 2), ("a#1", "a", (2, 3), 1), num_ranks=3)
    assert places_of(run.placed) == [Place("a", ((0,), (1,), (0, 1)))]


def test_each_node_has_its_own_real_cores() -> None:
    """Those of like nodes are looked up once; the same declared cores of another node are others."""
    real = {"a": (4, 5, 6), "b": (7, 8, 9), "c": (4, 5, 6)}
    nodes = [Node(name=name, host=name, cores=(0, 1, 2), real_cores=own) for name, own in real.items()]
    parts = [Placed(node, Share(node.name, node.cores), 3) for node in nodes]
    assert [place.ranks for place in places_of(parts)] == [tuple((core,) for core in own) for own in real.values()]
    assert places_of([Placed(nodes[0], Share("a", (1, 2)), 1)]) == [Place("a", ((5, 6),))]


def test_the_gpus_of_groups_are_apart() -> None:
    node = Node(name="a", host="a", cores=(0, 1, 2, 3), real_cores=(0, 1, 2, 3), gpus=("4", "5", "6"))
    groups = (RankGroup(1), RankGroup(2, gpus=False), RankGroup(1))
    placed = [Placed(node, Share("a", (0, 1, 2), (2,)), 3), Placed(node, Share("a", (3,), (0,)), 1)]
    assert [place.gpus for place in places_of(placed, 1.0, groups)] == [(("6",), (), (), ("4",))]
    halves = [Placed(node, Share("a", (0, 1, 2, 3), (1,)), 4)]
    assert places_of(halves, 0.5, groups)[0].gpus == (("5",), (), (), ("5",))
    assert plan(places_of(placed, 1.0, groups)) == "a=0@6/1/2/3@4"


def test_variables_on_this_host() -> None:
    launcher = Launcher("hydra", "/x/mpiexec")
    found = variables(launcher, gang(("a", "a", (0, 1, 2, 3), 2), cores_per_rank=2), "a")
    before = shlex.join(preparing(launcher, [Place("a", ((0,), (1,)))]))
    line = f"/x/mpiexec -launcher fork -rmk user -bind-to none -n 2 {before}"
    assert found == {
        "PARSL_MPI_PREFIX": line,
        "PARSL_MPIEXEC_PREFIX": line,
        "PARSL_SRUN_PREFIX": "srun --ntasks 2 --ntasks-per-node 2 --nodelist a --nodes 1",
        "PARSL_APRUN_PREFIX": "aprun -n 2 -N 2 -node-list a",
        "PARSL_NUM_NODES": "1",
        "PARSL_NUM_RANKS": "2",
        "PARSL_RANKS_PER_NODE": "2",
        "PARSL_MPI_NODELIST": "a",
        "OMP_NUM_THREADS": "2",
    }


def test_variables_over_hosts_with_options() -> None:
    run = gang(("a", "a", (0, 1), 2), ("b", "b", (0, 1), 2), num_ranks=4, launcher_options="-genv WORD 'two words'")
    launcher = Launcher("hydra", "/x/mpiexec")
    found = variables(launcher, run, "a")
    assert found["PARSL_LAUNCHER_OPTIONS"] == "-genv WORD 'two words'"
    assert found["PARSL_MPI_NODELIST"] == "a,b"
    end = f"-n 4 -ppn 2 -hosts a,b -genv WORD 'two words' {shlex.join(preparing(launcher, TWO))}"
    assert found["PARSL_MPI_PREFIX"].endswith(end)
    assert not any("None" in value for value in found.values())
    assert variables(Launcher("srun", "/x/srun"), run, "a")["PARSL_SRUN_PREFIX"].startswith("/x/srun --mpi=pmi2")


def test_options_after_the_launch_line_are_refused_with_the_remedy() -> None:
    words = [*preparing(Launcher("hydra", "mpiexec", python=sys.executable), HERE), "-env", "A", "1", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "launcher_options" in done.stderr


@pytest.mark.parametrize(
    "broken", [b"\x7fELF\2\1\1" + bytes(100), b"#!/none/python\n", b"#!/bin/sh\nsleep 100 & sleep 100\n"]
)
def test_a_program_that_cannot_run_or_hangs_is_passed_over(
    broken: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an mpiexec of another machine, one whose interpreter is gone, and one that waits for something."""
    monkeypatch.setattr("rhapsody_parsl.runtimes.mpi.launch.launcher._VERSION_TIMEOUT", 0.5)
    good = fake(tmp_path / "sys", "mpiexec", HYDRA_VERSION)
    monkeypatch.setenv("PATH", f"{tmp_path / 'sys'}:/bin:/usr/bin")
    program = Path(fake(tmp_path / "env", "mpiexec", ""))
    program.write_bytes(broken)
    assert asyncio.run(detect(MPIRuntime(), str(tmp_path / "env" / "python"))).program == good
