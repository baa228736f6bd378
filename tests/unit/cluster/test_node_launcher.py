"""The words that start a process on another host."""

from pathlib import Path

import pytest

from rhapsody_parsl.cluster.node_launcher import Unreachable, detect, environment


def which(*programs: str) -> object:
    return lambda name: f"/usr/bin/{name}" if name in programs else None


ALL = which("srun", "ssh", "mpiexec", "flux")
THREE = ["vn1", "vn2", "vn3"]
FLUX = "stdbuf -oL /usr/bin/flux exec --quiet --rank=1 setsid --wait env -u _STDBUF_O -u LD_PRELOAD python -m agent"
"""As it has started node agents on a Flux instance of three nodes (0.88)."""


@pytest.mark.parametrize(("env", "there", "kind"), [
    ({"SLURM_JOB_ID": "1"}, ALL, "srun"),
    ({"SLURM_JOB_ID": "1"}, which("ssh"), "ssh"),
    ({"FLUX_URI": "x"}, ALL, "flux"),
    ({"PBS_JOBID": "1"}, ALL, "ssh"),
    ({}, ALL, "ssh"),
])  # fmt: skip
def test_the_batch_systems_own_way_comes_first(env: dict[str, str], there: object, kind: str) -> None:
    assert detect("auto", env, there, lambda: THREE).kind == kind  # type: ignore[arg-type]  # for shutil.which


def test_the_mpiexec_of_pals_is_told_by_where_it_lives(tmp_path: Path) -> None:
    real = tmp_path / "pals" / "1.3" / "mpiexec"
    real.parent.mkdir(parents=True)
    real.touch()
    (tmp_path / "mpiexec").symlink_to(real)
    reach = detect("auto", {"PBS_JOBID": "1"}, lambda name: str(tmp_path / name))
    assert reach.kind == "pals"
    assert reach.argv("n7", ["a", "b"])[1:] == [
        "--hosts", "n7", "-n", "1", "--ppn", "1", "--cpu-bind", "none", "a", "b",
    ]  # fmt: skip
    assert reach.step_argv(["n7", "n8"], ["a", "b"])[1:] == [
        "--hosts", "n7,n8", "-n", "2", "--ppn", "1", "--cpu-bind", "none", "--no-abort-on-failure", "a", "b",
    ]  # fmt: skip
    assert reach.by_file, "it copies its standard input to the first process alone"


def test_the_words_of_each_way() -> None:
    command = ["python", "-c", "print('a b')"]

    def words(way: str) -> str:
        return " ".join(detect(way, {}, ALL).argv("n7", command))  # type: ignore[arg-type]  # as above

    assert words("srun").startswith("/usr/bin/srun --overlap --cpu-bind=none --mpi=none --export=ALL ")
    assert " --nodes=1 --ntasks=1 --nodelist=n7 " in words("srun")
    assert words("srun").endswith("python -c print('a b')")
    assert words("ssh").endswith("""n7 exec python -c 'print('"'"'a b'"'"')'""")
    assert words("ssh -p 2222 {host}") == """ssh -p 2222 n7 exec python -c 'print('"'"'a b'"'"')'"""
    assert words("blaunch -z {host}") == "blaunch -z n7 python -c print('a b')"


PBS = {"PBS_JOBID": "7"}


@pytest.mark.parametrize(("way", "words", "by_file"), [
    ("srun", "/usr/bin/srun --overlap --cpu-bind=none --mpi=none --export=ALL --quiet --nodes=2 --ntasks=2 "
     "--ntasks-per-node=1 --nodelist=n7,n8 --input=all --no-kill --kill-on-bad-exit=0 --wait=0 python x", False),
    ("pbsdsh", "/usr/bin/pbsdsh -- python x", True),
    ("blaunch", "/usr/bin/blaunch -z n7 n8 python x", True),
    ("jsrun", "/usr/bin/jsrun --nrs=2 --rs_per_host=1 --tasks_per_rs=1 --cpu_per_rs=ALL_CPUS --gpu_per_rs=ALL_GPUS "
     "--bind=none python x", True),
    ("clush -w {hosts}", "clush -w n7,n8 python x", True),
])  # fmt: skip
def test_the_words_of_one_step_for_many(way: str, words: str, by_file: bool) -> None:
    launcher = detect(way, {}, lambda name: f"/usr/bin/{name}")
    assert launcher.by_file == by_file
    argv = launcher.step_argv(["n7", "n8"], ["python", "x"])
    assert " ".join(argv) == words
    assert ("n7 n8" in argv) == (way == "blaunch"), "their names are one word"


@pytest.mark.parametrize(("way", "words"), [
    ("pbsdsh", "/usr/bin/pbs_tmrsh n7 python x"),
    ("blaunch", "/usr/bin/blaunch n7 python x"),
    ("jsrun", "/usr/bin/blaunch n7 python x"),
    ("clush -w {hosts}", "clush -w n7 python x"),
])  # fmt: skip
def test_one_of_a_step_is_started_again_alone(way: str, words: str) -> None:
    launcher = detect(way, {}, lambda name: f"/usr/bin/{name}")
    assert " ".join(launcher.argv("n7", ["python", "x"])) == words


@pytest.mark.parametrize("way", ["ssh", "pbs_attach", "rsh {host}"])
def test_what_reaches_one_host_has_no_step(way: str) -> None:
    assert not detect(way, PBS, which("ssh", "pbs_attach")).step  # type: ignore[arg-type]  # as above


def test_pbsdsh_starts_a_process_for_each_line_of_the_jobs_file(tmp_path: Path) -> None:
    """So it is no step for a job that has a host on several lines."""
    lines = tmp_path / "nodes"
    for text, step in (("n1\nn2\n", True), ("n1\nn1\nn2\n", False)):
        lines.write_text(text)
        launcher = detect("pbsdsh", {**PBS, "PBS_NODEFILE": str(lines)}, lambda name: name)
        assert bool(launcher.step) == step


def test_a_step_of_flux_names_the_ranks_of_its_brokers() -> None:
    launcher = detect("flux", {}, ALL, lambda: THREE)  # type: ignore[arg-type]  # as above
    assert launcher.step_argv(["vn3", "vn2"], ["a"])[3:6] == ["exec", "--quiet", "--rank=1,2"]


def flux(host: str, **env: str) -> list[str]:
    return detect("flux", env, ALL, lambda: THREE).argv(host, ["python", "-m", "agent"])  # type: ignore[arg-type]  # names


def test_flux_knows_hosts_by_the_ranks_of_its_brokers() -> None:
    assert flux("vn2") == FLUX.split()
    assert flux("vn3.site")[5] == "--rank=2"
    with pytest.raises(Unreachable, match="Flux has no broker on vn4, but on vn1, vn2, vn3"):
        flux("vn4")


def test_a_task_of_a_flux_job_reaches_that_jobs_hosts() -> None:
    assert flux("vn1", FLUX_JOB_ID="f7")[3:7] == ["exec", "--quiet", "--rank=0", "--jobid=f7"]


def test_the_users_preloaded_library_goes_with_the_command_and_ours_does_not() -> None:
    assert flux("vn1", LD_PRELOAD="x.so")[-6:-3] == ["-u", "_STDBUF_O", "LD_PRELOAD=x.so"]


def test_what_ssh_starts_can_be_part_of_a_pbs_job() -> None:
    there = which("ssh", "pbs_attach")
    reach = detect("pbs_attach", {"PBS_JOBID": "7.s"}, there)  # type: ignore[arg-type]  # as above
    assert reach.kind == "ssh"
    assert reach.argv("n7", ["a", "b c"])[-2:] == ["n7", "exec /usr/bin/pbs_attach -j 7.s a 'b c'"]
    with pytest.raises(Unreachable, match="is for PBS jobs"):
        detect("pbs_attach", {}, there)  # type: ignore[arg-type]  # as above
    with pytest.raises(Unreachable, match="not on the PATH"):
        detect("pbs_attach", {"PBS_JOBID": "7.s"}, which("ssh"))  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("wanted", "told"), [("rsh", "node_launcher='rsh' is no way"), ("flux", "'flux' is not on the")]
)
def test_a_way_that_is_not_there_is_said(wanted: str, told: str) -> None:
    with pytest.raises(Unreachable, match=told) as caught:
        detect(wanted, {}, which("ssh"))  # type: ignore[arg-type]  # as above
    assert "RhapsodyExecutor(node_launcher=...)" in str(caught.value)


def test_no_step_of_ours_takes_options_from_the_environment() -> None:
    """A job sets some, a user's profile others, and they contradict each other and what we compose."""
    options = (
        "SLURM_CPU_BIND", "SLURM_CPU_BIND_LIST", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_NPROCS",
        "SLURM_STEP_ID", "SLURM_STEP_NODELIST", "SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_GPU",
        "SLURM_MEM_BIND", "SLURM_TRES_PER_TASK", "SLURM_GPUS", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_TASK",
        "SLURM_GPUS_ON_NODE", "SLURM_GPU_BIND", "SLURM_HINT", "SLURM_THREADS_PER_CORE", "SLURM_CPUS_PER_TASK",
        "SLURM_CPUS_PER_GPU", "SLURM_DISTRIBUTION", "SLURM_EXCLUSIVE", "SLURM_OVERLAP", "SLURM_EXPORT_ENV",
        "SLURM_MPI_TYPE", "SLURM_GRES", "SLURM_TIMELIMIT", "SLURM_HOSTFILE", "SLURM_UNBUFFEREDIO", "SLURM_LABELIO",
        "SRUN_CPUS_PER_TASK", "SRUN_EXPORT_ENV", "SLURM_WAIT", "SLURM_TASK_PROLOG", "SLURM_STDOUTMODE",
    )  # fmt: skip
    kept = {
        "SLURM_JOB_ID": "7", "SLURM_JOBID": "7", "SLURM_JOB_NODELIST": "a", "SLURM_JOB_NUM_NODES": "1", "PATH": "/bin",
        "SLURM_NODELIST": "a", "SLURM_TASKS_PER_NODE": "1", "SLURM_JOB_CPUS_PER_NODE": "4", "SLURM_JOB_GPUS": "0",
        "SLURM_ARRAY_TASK_ID": "3", "SLURMD_NODENAME": "a", "SLURM_TMPDIR": "/x", "SLURM_CONF": "/y",
        "SLURM_RESTART_COUNT": "1", "SLURM_CLUSTER_NAME": "c", "SLURM_SUBMIT_DIR": "/z", "SLURM_NODEID": "0",
    }  # fmt: skip
    assert environment({**dict.fromkeys(options, "x"), **kept}) == kept
