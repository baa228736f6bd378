"""The words that start a process on another host."""

from pathlib import Path

import pytest

from rhapsody_parsl.cluster.remote import Unreachable, detect, environment


def which(*programs: str) -> object:
    return lambda name: f"/usr/bin/{name}" if name in programs else None


ALL = which("srun", "ssh", "mpiexec", "flux")


@pytest.mark.parametrize(("env", "there", "kind"), [
    ({"SLURM_JOB_ID": "1"}, ALL, "srun"),
    ({"SLURM_JOB_ID": "1"}, which("ssh"), "ssh"),
    ({"FLUX_URI": "x"}, ALL, "flux"),
    ({"PBS_JOBID": "1"}, ALL, "ssh"),
    ({}, ALL, "ssh"),
])  # fmt: skip
def test_the_batch_systems_own_way_comes_first(env: dict[str, str], there: object, kind: str) -> None:
    assert detect("auto", env, there).kind == kind  # type: ignore[arg-type]  # a stand-in for shutil.which


def test_the_mpiexec_of_pals_is_told_by_where_it_lives(tmp_path: Path) -> None:
    real = tmp_path / "pals" / "1.3" / "mpiexec"
    real.parent.mkdir(parents=True)
    real.touch()
    (tmp_path / "mpiexec").symlink_to(real)
    reach = detect("auto", {"PBS_JOBID": "1"}, lambda name: str(tmp_path / name))
    assert reach.kind == "pals"
    assert reach.words("n7", ["a", "b"])[1:] == [
        "--hosts", "n7", "-n", "1", "--ppn", "1", "--cpu-bind", "none", "a", "b",
    ]  # fmt: skip


def test_the_words_of_each_way() -> None:
    command = ["python", "-c", "print('a b')"]

    def words(way: str) -> str:
        return " ".join(detect(way, {}, ALL).words("n7", command))  # type: ignore[arg-type]  # as above

    assert words("srun").startswith("/usr/bin/srun --overlap --nodes=1 --ntasks=1 --nodelist=n7 --cpu-bind=none ")
    assert words("srun").endswith("python -c print('a b')")
    assert words("ssh").endswith("""n7 exec python -c 'print('"'"'a b'"'"')'""")
    assert "--requires=host:n7" in words("flux")
    assert words("ssh -p 2222 {host}") == """ssh -p 2222 n7 exec python -c 'print('"'"'a b'"'"')'"""
    assert words("blaunch -z {host}") == "blaunch -z n7 python -c print('a b')"


def test_what_ssh_starts_can_be_part_of_a_pbs_job() -> None:
    there = which("ssh", "pbs_attach")
    reach = detect("pbs_attach", {"PBS_JOBID": "7.s"}, there)  # type: ignore[arg-type]  # as above
    assert reach.kind == "ssh"
    assert reach.words("n7", ["a", "b c"])[-2:] == ["n7", "exec /usr/bin/pbs_attach -j 7.s a 'b c'"]
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


def test_a_new_step_does_not_take_the_shape_of_ours() -> None:
    step = {"SLURM_CPU_BIND": "x", "SLURM_CPU_BIND_LIST": "0x1", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_ID": "0"}
    kept = {"SLURM_JOB_ID": "7", "PATH": "/bin"}
    assert environment({**step, **kept}) == kept
