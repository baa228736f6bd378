"""The batch systems' own words for the hosts of a block."""

import os
import pickle
import time
from pathlib import Path

import pytest

from rhapsody_parsl.cluster.batch import InventoryUnknown, NotListed, allocated, list_hosts, slurm_counts
from rhapsody_parsl.cluster.listed import Listed


def program(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def names(environment: dict[str, str], here: str = "here") -> list[str]:
    return [host.name for host in list_hosts(environment, here)]


def test_a_lone_host() -> None:
    assert list_hosts({}, "here") == [Listed("here")]


def test_slurm_lists_hosts_and_shares_and_we_stand_on_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows = '[ "$*" = "show hostnames c[1-3]" ] && printf "c1\\nhere.site\\nc3\\n"'
    program(tmp_path, "scontrol", shows, monkeypatch)
    env = {"SLURM_JOB_NODELIST": "c[1-3]", "SLURM_JOB_CPUS_PER_NODE": "2(x2),8", "SLURM_MEM_PER_NODE": "1000"}
    assert list_hosts(env, "here") == [
        Listed("here.site", 2, 1.048576), Listed("c1", 2, 1.048576), Listed("c3", 8, 1.048576),
    ]  # fmt: skip
    by_core = {**env, "SLURM_MEM_PER_NODE": "", "SLURM_MEM_PER_CPU": "1000"}
    assert [host.memory for host in list_hosts(by_core, "here")] == [2.097152, 2.097152, 8.388608]
    in_units = {**env, "SLURM_MEM_PER_NODE": "2G"}
    assert list_hosts(in_units, "here")[0].memory == 2.147484


@pytest.mark.parametrize(("says", "memory"), [
    ("NumCPUs=4 MinMemoryCPU=1000M MinTmpDiskNode=0", 4.194304),
    ("NumCPUs=4 MinMemoryNode=2G MinTmpDiskNode=0", 2.147484),
    ("NumCPUs=4 MinMemoryNode=0 MinTmpDiskNode=0", 0.0),
])  # fmt: skip
def test_slurm_is_asked_what_memory_the_job_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, memory: float
) -> None:
    """A variable may be left of the job from which this one was submitted."""
    program(tmp_path, "scontrol", f'[ "$*" = "show job 7" ] && echo "{says}" || echo here', monkeypatch)
    env = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "here", "SLURM_JOB_CPUS_PER_NODE": "4", "SLURM_MEM_PER_CPU": "3"}
    assert list_hosts(env, "here")[0].memory == memory
    assert list_hosts({**env, "SLURM_MEM_PER_NODE": "5"}, "here")[0].memory == memory


def test_slurm_counts() -> None:
    assert slurm_counts("2(x3),4,16(x2)") == [2, 2, 2, 4, 16, 16]
    assert slurm_counts("") == []


def test_a_slurm_list_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InventoryUnknown, match=r"c\[1-3\] could not be read with scontrol: .*No such file"):
        list_hosts({"SLURM_JOB_NODELIST": "c[1-3]"}, "here")
    program(tmp_path, "scontrol", "echo bad list >&2; exit 1", monkeypatch)
    with pytest.raises(InventoryUnknown, match="bad list"):
        list_hosts({"SLURM_JOB_NODELIST": "c[1-3]"}, "here")


def test_a_node_file_of_pbs_may_name_a_host_for_each_slot(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("a\na\nhere.site\n\nhere.site\nb\n")
    assert names({"PBS_NODEFILE": str(hosts)}) == ["here.site", "a", "b"]


def test_a_host_file_may_say_how_much_is_ours(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# ours\na slots=2 labels=big,fast\na\nhere # this one\n")
    assert list_hosts({"RHAPSODY_HOSTFILE": str(hosts)}, "here") == [
        Listed("here"), Listed("a", 2, labels=("big", "fast")),
    ]  # fmt: skip


def test_a_list_without_us_is_an_error_that_shows_it(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("a\nb\n")
    told = r"PBS_NODEFILE lists a, b, and this host \(here\) is none of them.*AllocationProvider.*unset PBS_NODEFILE"
    with pytest.raises(NotListed, match=told):
        names({"PBS_NODEFILE": str(hosts)})
    hosts.write_text("\n".join(f"n{number}" for number in range(1000)))
    with pytest.raises(NotListed) as caught:
        names({"PBS_NODEFILE": str(hosts)})
    assert len(str(caught.value)) < 700
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), NotListed)


def test_slurm_says_by_which_name_we_stand_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In clouds its nodes are called otherwise than the hosts."""
    program(tmp_path, "scontrol", "echo q1-dy-c5-1 q1-dy-c5-2", monkeypatch)
    job = {"SLURM_JOB_NODELIST": "q1-dy-c5-[1-2]", "SLURM_JOB_CPUS_PER_NODE": "4(x2)"}
    there = list_hosts({**job, "SLURMD_NODENAME": "q1-dy-c5-2"}, "ip-10-0-0-8")
    assert there == [Listed("q1-dy-c5-2", 4), Listed("q1-dy-c5-1", 4)]
    with pytest.raises(NotListed, match="q1-dy-c5-1, q1-dy-c5-2, and this host"):
        list_hosts(job, "ip-10-0-0-8")


def test_components_of_a_heterogeneous_job_are_refused() -> None:
    component = {"SLURM_HET_SIZE": "2", "SLURM_JOB_ID_HET_GROUP_0": "7", "SLURM_JOB_ID_HET_GROUP_1": "8"}
    with pytest.raises(InventoryUnknown, match="heterogeneous Slurm job of 2 components"):
        list_hosts({"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "c1", **component}, "c1")


def test_a_job_submitted_from_a_heterogeneous_one_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "scontrol", "echo c1", monkeypatch)
    left = {"SLURM_HET_SIZE": "2", "SLURM_JOB_ID_HET_GROUP_0": "7", "SLURM_JOB_ID_HET_GROUP_1": "8"}
    assert names({"SLURM_JOB_ID": "9", "SLURM_JOB_NODELIST": "c1", **left}, "c1") == ["c1"]


def test_a_task_of_a_job_array_is_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "scontrol", "echo here", monkeypatch)
    array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "9"}
    assert names({"SLURM_JOB_ID": "10", "SLURM_JOB_NODELIST": "here", **array}) == ["here"]


def test_torques_node_file_has_a_line_for_each_core(tmp_path: Path) -> None:
    hosts = tmp_path / "nodes"
    hosts.write_text("b\nb\nb\nhere\nhere\n")
    env = {"PBS_NODEFILE": str(hosts), "PBS_JOBID": "7.server", "PBS_NUM_PPN": "3"}
    wanted = [Listed("here", 2), Listed("b", 3)]
    assert list_hosts(env, "here") == wanted
    del env["PBS_NUM_PPN"]
    assert list_hosts({**env, "PBS_VERSION": "TORQUE-6.1.3"}, "here") == wanted


def test_grid_engine_gives_slots(tmp_path: Path) -> None:
    hosts = tmp_path / "pe_hostfile"
    hosts.write_text("n1.site 4 all.q@n1.site <NULL>\nhere.site 2 all.q@here UNDEFINED\nhere.site 1 long.q@here 0,1\n")
    env = {"PE_HOSTFILE": str(hosts), "NSLOTS": "7", "JOB_ID": "12"}
    assert list_hosts(env, "here") == [Listed("here.site", 3), Listed("n1.site", 4)]
    serial = {"NSLOTS": "2", "JOB_ID": "12"}
    assert list_hosts(serial, os.uname().nodename) == [Listed(os.uname().nodename, 2)]
    assert list_hosts({"NSLOTS": "2"}, "here") == [Listed("here")], "a variable of somebody else's"


NULL = "UNDEFINED"


@pytest.mark.parametrize(("variable", "text", "hosts"), [
    ("PE_HOSTFILE", f"here.site 4 all.q@here {NULL}\nb.site 0 all.q@b {NULL}\n", {"here.site": 4}),
    ("PE_HOSTFILE", f"HERE 1 q@here {NULL}\nhere.site 1 long@here <NULL>\nb 2 q@b 0,1:0,2\n\n", {"HERE": 2, "b": 2}),
    ("PE_HOSTFILE", "here 2\r\nb 3\r\n", {"here": 2, "b": 3}),
    ("PBS_NODEFILE", "here\nhere.site\nb.site\nb\nb\n", {"here": 2, "b.site": 3}),
    ("PBS_NODEFILE", "b.rack1\nb.rack2\nhere\n", {"here": 1, "b.rack1": 1, "b.rack2": 1}),
    ("LSB_DJOB_HOSTFILE", "b\nhere\nb\n", {"here": 1, "b": 2}),
    ("RHAPSODY_HOSTFILE", "here slots=2 # mine\nb slots=0\n[fe80::1] slots=3\n", {"here": 2, "[fe80::1]": 3}),
    ("RHAPSODY_HOSTFILE", "Here\nhere.site\nb max_slots=4\n", {"Here": 0, "b": 0}),
])  # fmt: skip
def test_lists_of_many_shapes(tmp_path: Path, variable: str, text: str, hosts: dict[str, int]) -> None:
    (tmp_path / "hosts").write_text(text)
    env = {variable: str(tmp_path / "hosts"), "PBS_NUM_PPN": "1"}
    for here in ("here", "here.site", "HERE.other.site"):
        found = list_hosts(env, here)
        assert {host.name: host.cores for host in found} == hosts
        assert found[0].name.lower().startswith("here")


@pytest.mark.parametrize(("variable", "text", "told"), [
    ("PE_HOSTFILE", None, "No such file"),
    ("PE_HOSTFILE", "", "lists no host on which the job has a core"),
    ("PE_HOSTFILE", "here 0 q UNDEFINED\n", "lists no host on which"),
    ("PE_HOSTFILE", "b 2 q UNDEFINED\nhere 0 q UNDEFINED\n", r"lists b, and this host \(here\) is none of them"),
    ("PE_HOSTFILE", "here\n", "'' is no number of slots of here"),
    ("PE_HOSTFILE", "here -1 q UNDEFINED\n", "'-1' is no number of slots of here"),
    ("PE_HOSTFILE", "here four q UNDEFINED\n", "'four' is no number of slots of here"),
    ("PBS_NODEFILE", None, "No such file"),
    ("PBS_NODEFILE", "\n \n", "lists no host"),
    ("PBS_NODEFILE", "b\nc.site\n", "lists b, c.site, and this host"),
    ("RHAPSODY_HOSTFILE", "# nothing\n", "lists no host"),
    ("RHAPSODY_HOSTFILE", "here slots=-2", "'-2' is no number of slots of here"),
    ("RHAPSODY_HOSTFILE", "here[1-3]\n", r"lists here\[1-3\], and this host"),
    ("LSB_DJOB_HOSTFILE", None, "No such file"),
])  # fmt: skip
def test_a_list_that_is_none_is_an_error_that_names_it(
    tmp_path: Path, variable: str, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / "hosts").write_text(text)
    env = {variable: str(tmp_path / "hosts")}
    with pytest.raises(InventoryUnknown, match=told) as caught:
        list_hosts(env, "here")
    assert variable in str(caught.value)


@pytest.mark.parametrize("words", ["here", "here 2 b", "here x"])
def test_lsfs_own_list_may_be_broken(words: str) -> None:
    with pytest.raises(InventoryUnknown, match=r"LSB_MCPU_HOSTS=.* is no number of slots of"):
        list_hosts({"LSB_MCPU_HOSTS": words}, "here")


def test_ten_thousand_hosts_are_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("".join(f"10.{n >> 8 & 255}.{n & 255}.7\n" * 4 for n in range(10_000)) + "here\n")
    began = time.process_time()
    assert len(list_hosts({"PBS_NODEFILE": str(tmp_path / "hosts"), "PBS_NUM_PPN": "4"}, "here")) == 10_001
    assert time.process_time() - began < 5


def test_hosts_may_be_given_by_address(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("203.0.113.5 slots=4\n127.0.0.1 slots=2\n")
    assert names({"RHAPSODY_HOSTFILE": str(hosts)}, "anything") == ["127.0.0.1", "203.0.113.5"]
    hosts.write_text("203.0.113.5\n203.0.113.6\n")
    with pytest.raises(NotListed):
        names({"RHAPSODY_HOSTFILE": str(hosts)}, "anything")


def test_lsf_counts_slots(tmp_path: Path) -> None:
    wanted = [Listed("here", 2), Listed("b", 1)]
    assert list_hosts({"LSB_MCPU_HOSTS": "b 1 here 2"}, "here") == wanted
    slots = tmp_path / "slots"
    slots.write_text("b\nhere\nhere\n")
    assert list_hosts({"LSB_DJOB_HOSTFILE": str(slots)}, "here") == wanted


def test_flux_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "flux", '[ "$*" = "hostlist --expand local" ] && echo f1 here f3', monkeypatch)
    assert names({"FLUX_URI": "local:///run"}) == ["here", "f1", "f3"]


def test_a_host_with_several_brokers_of_flux_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `flux start --test-size=3` says it."""
    program(tmp_path, "flux", "echo vm vm vm", monkeypatch)
    assert [host.name for host in allocated({"FLUX_URI": "local:///run"})] == ["vm"]
